#include "openblas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#if __has_include(<openblas-pthread/cblas.h>) /* Debian */
#include <openblas-pthread/cblas.h>
#else
#include <cblas.h>
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nc_openblas_functions functions;
static const nc_openblas_functions *loaded;
static char problem[256] = "";

static void load(void) {
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library) {
    __typeof__(openblas_set_num_threads) *set_threads = dlsym(library, "openblas_set_num_threads");
    functions.dgesdd = dlsym(library, "dgesdd_");
    functions.dgemm = dlsym(library, "dgemm_");
    functions.dsytrd = dlsym(library, "dsytrd_");
    functions.dsterf = dlsym(library, "dsterf_");
    functions.dstemr = dlsym(library, "dstemr_");
    functions.dormtr = dlsym(library, "dormtr_");
    if (set_threads && functions.dgesdd && functions.dgemm && functions.dsytrd && functions.dsterf &&
        functions.dstemr && functions.dormtr) {
      set_threads(1);
      loaded = &functions;
      return;
    }
  }
  const char *message = dlerror();
  snprintf(problem, sizeof problem, "%s", message ? message : "libopenblas.so.0");
}

const nc_openblas_functions *nc_openblas(void) {
  pthread_once(&once, load);
  return loaded;
}

const char *nc_openblas_error(void) { return problem; }
