/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "openblas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if __has_include(<openblas-pthread/cblas.h>) /* Debian */
#include <openblas-pthread/cblas.h>
#else
#include <cblas.h>
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nc_openblas_functions functions;
static const nc_openblas_functions *loaded;
static char problem[256] = "";
static int lacks_memory;
static const char library_name[] = "libopenblas.so.0";

/* What one call of OpenBLAS uses beside its arguments (its BUFFER_SIZE), and what the library itself takes. */
static const size_t buffer_size = (size_t)128 << 20, library_size = (size_t)64 << 20;

/* OpenBLAS asks for a buffer again and again, for ever, when it gets none. So: as many as there can be calls at once
   are asked for here, and when they are there OpenBLAS makes them, and keeps them. Nothing is touched, so this takes
   address space and no memory. */
static int has_room(size_t buffers) {
  size_t size = library_size + buffers * buffer_size;
  void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room != MAP_FAILED) return munmap(room, size) == 0;
  snprintf(problem, sizeof problem, "it needs %zu MB of address space, more than is left (ulimit -v)", size / 1000000);
  lacks_memory = 1;
  return 0;
}

static void make_buffers(void *library, size_t count) {
  void *(*make)(int) = (void *(*)(int))dlsym(library, "blas_memory_alloc");
  void (*give_back)(void *) = (void (*)(void *))dlsym(library, "blas_memory_free");
  void *buffers[64];
  if (!make || !give_back) return;
  for (size_t i = 0; i < count; i++) buffers[i] = make(0);
  for (size_t i = 0; i < count; i++) give_back(buffers[i]);
}

#define FUNCTIONS(F) \
  F(dgesdd) F(dgemm) F(dgemv) F(dsytrd) F(dsterf) F(dstemr) F(dormtr) F(dpotrf) F(dtrsm) F(dgeqrf)

static int find_functions(void *library) {
  int all = 1;
#define FIND(name) all &= (functions.name = (__typeof__(functions.name))dlsym(library, #name "_")) != NULL;
  FUNCTIONS(FIND)
#undef FIND
  return all;
}

/* OpenBLAS knows the processors of its time. For one that it does not know it takes the loops of the oldest that has 64
   bits, a third as fast; then it is opened again with those for AVX2, where the processor has that. What the user says
   (OPENBLAS_CORETYPE) counts. */
static void *open_library(void) {
  void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
#if defined(__x86_64__)
  char *(*core)(void) = library ? (char *(*)(void))dlsym(library, "openblas_get_corename") : NULL;
  __builtin_cpu_init();
  if (!core || strcmp(core(), "Prescott") != 0 || getenv("OPENBLAS_CORETYPE") || !__builtin_cpu_supports("avx2") ||
      !__builtin_cpu_supports("fma"))
    return library;
  dlclose(library);
  setenv("OPENBLAS_CORETYPE", "Haswell", 1);
  library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
#endif
  return library;
}

static void load(void) {
  /* Calls at once: one for each core. */
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  size_t buffers = cores < 1 ? 1 : cores > 64 ? 64 : (size_t)cores;
  if (!has_room(buffers)) return;
  /* Threads of its own would be started when it is loaded, each with a buffer. */
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  void *library = open_library();
  if (library) {
    __typeof__(openblas_set_num_threads) *set_threads = dlsym(library, "openblas_set_num_threads");
    if (set_threads && find_functions(library)) {
      set_threads(1);
      make_buffers(library, buffers);
      loaded = &functions;
      return;
    }
  }
  const char *message = dlerror();
  snprintf(problem, sizeof problem, "%s", message ? message : library_name);
}

const nc_openblas_functions *nc_openblas(void) {
  pthread_once(&once, load);
  return loaded;
}

const char *nc_openblas_error(void) { return problem; }

int nc_openblas_lacks_memory(void) { return lacks_memory; }
