#include "loops.h"

uint32_t nc_crc32(uint32_t crc, const void *bytes, size_t n) {
  const uint8_t *b = bytes;
  crc = ~crc;
  while (n--) {
    crc ^= *b++;
    for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
  }
  return ~crc;
}
