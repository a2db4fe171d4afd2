#ifndef NC_LOOPS_H
#define NC_LOOPS_H
#include <stddef.h>
#include <stdint.h>
#pragma clang assume_nonnull begin

/* CRC-32 (zlib's: polynomial 0xEDB88320, initial and final inversion) of n bytes, continued from `crc`
   (0 to start). */
uint32_t nc_crc32(uint32_t crc, const void *bytes, size_t n);

#pragma clang assume_nonnull end
#endif
