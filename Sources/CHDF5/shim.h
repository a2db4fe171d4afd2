/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_CHDF5_SHIM_H
#define NC_CHDF5_SHIM_H
#if __has_include(<hdf5/serial/hdf5.h>) /* Debian */
#include <hdf5/serial/hdf5.h>
#else
#include <hdf5.h>
#endif
#include "driver.h"
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

/* HDF5's numbers are macros around variables, casts and calls, which Swift does not import. */
static inline hid_t chdf5_file_access_class(void) { return H5P_FILE_ACCESS; }
static inline unsigned chdf5_read_only(void) { return H5F_ACC_RDONLY; }
static inline unsigned chdf5_read_write(void) { return H5F_ACC_RDWR; }
static inline unsigned chdf5_create_anew(void) { return H5F_ACC_TRUNC; }
static inline hid_t chdf5_file_creation_class(void) { return H5P_FILE_CREATE; }
static inline hid_t chdf5_group_creation_class(void) { return H5P_GROUP_CREATE; }
static inline hid_t chdf5_dataset_creation_class(void) { return H5P_DATASET_CREATE; }
static inline hid_t chdf5_link_creation_class(void) { return H5P_LINK_CREATE; }
static inline H5F_libver_t chdf5_newest(void) { return H5F_LIBVER_LATEST; }
static inline hid_t chdf5_int64(void) { return H5T_STD_I64LE; }
static inline hid_t chdf5_uint64(void) { return H5T_STD_U64LE; }
static inline hid_t chdf5_float64(void) { return H5T_IEEE_F64LE; }
static inline hid_t chdf5_string(void) { return H5T_C_S1; }
static inline size_t chdf5_variable_size(void) { return H5T_VARIABLE; }
static inline hid_t chdf5_error_no_space(void) { return H5E_NOSPACE; }
static inline hid_t chdf5_error_cannot_allocate(void) { return H5E_CANTALLOC; }
static inline hsize_t chdf5_unlimited(void) { return H5S_UNLIMITED; }
static inline haddr_t chdf5_no_address(void) { return HADDR_UNDEF; }

/* What H5Ddebug prints about a dataset: for chunked ones a line per stored chunk. NULL on failure; to be freed. */
static inline char *chdf5_describe(hid_t dataset) {
  char *text = NULL;
  size_t size = 0;
  FILE *memory = open_memstream(&text, &size), *output = stdout;
  if (memory == NULL) return NULL;
  stdout = memory;
  herr_t result = H5Ddebug(dataset);
  stdout = output;
  if (fclose(memory) == 0 && result >= 0) return text;
  free(text);
  return NULL;
}

/* prctl takes variable arguments; resources are an enum in C and an integer in the kernel. */
static inline int chdf5_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0); }
static inline int chdf5_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
enum { chdf5_cpu = RLIMIT_CPU, chdf5_file_size = RLIMIT_FSIZE, chdf5_core = RLIMIT_CORE,
       chdf5_open_files = RLIMIT_NOFILE, chdf5_address_space = RLIMIT_AS };
/* Lowers a limit; one that the caller has set lower stays. `grace` is how far the hard limit lies above. */
static inline int chdf5_limit(int resource, uint64_t most, uint64_t grace) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return -1;
  if (limit.rlim_max > most + grace) limit.rlim_max = most + grace;
  if (limit.rlim_cur > most) limit.rlim_cur = most;
  return setrlimit(resource, &limit);
}

/* What the C library would ask the system for later: a second arena for malloc when memory runs out, the time zone, and
   how much memory there is, the first time that qsort gets more than a kibibyte. */
static inline int chdf5_equal(const void *a, const void *b) { return (void)a, (void)b, 0; }
static inline void chdf5_prepare_libc(void) {
  static char room[2][1024];
  mallopt(M_ARENA_MAX, 1);
  tzset();
  qsort(room, 2, sizeof *room, chdf5_equal);
}

/* The version of the library that is linked, as a sentence. (H5get_libversion would initialise the library first.) */
static inline const char *chdf5_version(void) {
  extern const char H5_lib_vers_info_g[];
  return H5_lib_vers_info_g;
}
#endif
