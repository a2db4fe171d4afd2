/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_CHDF5_DRIVER_H
#define NC_CHDF5_DRIVER_H
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* A file driver for open descriptors and for memory: like HDF5's own "sec2" and "core", but it opens nothing, so the files
   may have no name and the process may have lost the right to open files ("core" tries to). There are two descriptors, named
   "/descriptor" and "/copy"; "/memory" is a new, empty file each time. libhdf5 asks for the working directory where a name
   has no slash in front. */

enum { chdf5_descriptor = 4, chdf5_copy_descriptor = 5 };

typedef struct {
  H5FD_t base;
  int descriptor; /* -1: memory */
  unsigned char *bytes;
  size_t room;
  haddr_t end_of_allocation, end_of_file;
} chdf5_file;

static inline H5FD_t *chdf5_open(const char *name, unsigned flags, hid_t list, haddr_t most) {
  (void)flags, (void)list, (void)most;
  int descriptor;
  if (strcmp(name, "/descriptor") == 0) descriptor = chdf5_descriptor;
  else if (strcmp(name, "/copy") == 0) descriptor = chdf5_copy_descriptor;
  else if (strcmp(name, "/memory") == 0) descriptor = -1;
  else return NULL;
  off_t end = descriptor < 0 ? 0 : lseek(descriptor, 0, SEEK_END);
  chdf5_file *file = end < 0 ? NULL : (chdf5_file *)calloc(1, sizeof(chdf5_file));
  if (file == NULL) return NULL;
  file->descriptor = descriptor;
  file->end_of_file = (haddr_t)end;
  return &file->base;
}

static inline herr_t chdf5_close(H5FD_t *file) {
  free(((chdf5_file *)file)->bytes);
  free(file);
  return 0;
}

static inline int chdf5_compare(const H5FD_t *a, const H5FD_t *b) { return a < b ? -1 : a > b; }

static inline herr_t chdf5_query(const H5FD_t *file, unsigned long *flags) {
  (void)file;
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

static inline haddr_t chdf5_get_end(const H5FD_t *file, H5FD_mem_t type) {
  (void)type;
  return ((const chdf5_file *)file)->end_of_allocation;
}

static inline herr_t chdf5_set_end(H5FD_t *file, H5FD_mem_t type, haddr_t address) {
  (void)type;
  ((chdf5_file *)file)->end_of_allocation = address;
  return 0;
}

static inline haddr_t chdf5_file_end(const H5FD_t *file, H5FD_mem_t type) {
  (void)type;
  return ((const chdf5_file *)file)->end_of_file;
}

static inline herr_t chdf5_read_memory(const chdf5_file *file, haddr_t address, size_t size, void *bytes) {
  size_t stored = address >= file->end_of_file ? 0 : (size_t)(file->end_of_file - address);
  if (stored > size) stored = size;
  if (stored > 0) memcpy(bytes, file->bytes + address, stored);
  memset((char *)bytes + stored, 0, size - stored);
  return 0;
}

static inline herr_t chdf5_write_memory(chdf5_file *file, haddr_t address, size_t size, const void *bytes) {
  haddr_t end = address + size;
  if (end > file->room) {
    size_t piece = (size_t)1 << 20, room = ((size_t)end + piece - 1) / piece * piece;
    unsigned char *larger = (unsigned char *)realloc(file->bytes, room);
    if (larger == NULL) return -1;
    file->bytes = larger;
    file->room = room;
  }
  if (address > file->end_of_file) memset(file->bytes + file->end_of_file, 0, (size_t)(address - file->end_of_file));
  memcpy(file->bytes + address, bytes, size);
  if (end > file->end_of_file) file->end_of_file = end;
  return 0;
}

static inline herr_t chdf5_read(H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address, size_t size, void *bytes) {
  (void)type, (void)list;
  if (address > INT64_MAX - size) return -1;
  if (((chdf5_file *)file)->descriptor < 0) return chdf5_read_memory((chdf5_file *)file, address, size, bytes);
  while (size > 0) {
    ssize_t count = pread(((chdf5_file *)file)->descriptor, bytes, size, (off_t)address);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) { /* allocated, but never written */
      memset(bytes, 0, size);
      return 0;
    }
    bytes = (char *)bytes + count;
    address += (haddr_t)count;
    size -= (size_t)count;
  }
  return 0;
}

static inline herr_t chdf5_write(
    H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address, size_t size, const void *bytes) {
  (void)type, (void)list;
  if (address > INT64_MAX - size) return -1;
  if (((chdf5_file *)file)->descriptor < 0) return chdf5_write_memory((chdf5_file *)file, address, size, bytes);
  while (size > 0) {
    ssize_t count = pwrite(((chdf5_file *)file)->descriptor, bytes, size, (off_t)address);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    bytes = (const char *)bytes + count;
    address += (haddr_t)count;
    size -= (size_t)count;
  }
  if (address > ((chdf5_file *)file)->end_of_file) ((chdf5_file *)file)->end_of_file = address;
  return 0;
}

static inline herr_t chdf5_truncate(H5FD_t *base, hid_t list, hbool_t closing) {
  chdf5_file *file = (chdf5_file *)base;
  (void)list, (void)closing;
  if (file->end_of_file == file->end_of_allocation) return 0;
  if (file->descriptor < 0) { /* what is not there reads as zeros */
    if (file->end_of_file > file->end_of_allocation) file->end_of_file = file->end_of_allocation;
    return 0;
  }
  if (ftruncate(file->descriptor, (off_t)file->end_of_allocation) != 0) return -1;
  file->end_of_file = file->end_of_allocation;
  return 0;
}

/* Makes the file access list use this driver. */
static inline herr_t chdf5_use_driver(hid_t list) {
  static hid_t id = -1;
  static const H5FD_class_t driver = {
      .name = "descriptor", .maxaddr = INT64_MAX, .fc_degree = H5F_CLOSE_STRONG,
      .open = chdf5_open, .close = chdf5_close, .cmp = chdf5_compare, .query = chdf5_query,
      .get_eoa = chdf5_get_end, .set_eoa = chdf5_set_end, .get_eof = chdf5_file_end,
      .read = chdf5_read, .write = chdf5_write, .truncate = chdf5_truncate, .fl_map = H5FD_FLMAP_DICHOTOMY};
  if (id < 0) id = H5FDregister(&driver);
  return id < 0 ? -1 : H5Pset_driver(list, id, NULL);
}
#endif
