/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

/* Slicing by 8: table[j][b] is the CRC of byte b followed by j zero bytes. */
static uint32_t table[8][256];

__attribute__((constructor)) static void make_table(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
    table[0][b] = crc;
  }
  for (int j = 1; j < 8; j++)
    for (int b = 0; b < 256; b++) table[j][b] = (table[j - 1][b] >> 8) ^ table[0][table[j - 1][b] & 255];
}

/* On the inverted remainder. */
static uint32_t crc_plain(uint32_t crc, const uint8_t *b, size_t n) {
  for (; n >= 8; n -= 8, b += 8) {
    uint32_t low = crc ^ ((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
    crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
          table[3][b[4]] ^ table[2][b[5]] ^ table[1][b[6]] ^ table[0][b[7]];
  }
  while (n--) crc = (crc >> 8) ^ table[0][(crc ^ *b++) & 255];
  return crc;
}

#if defined(__x86_64__)
/* Folding by carry-less products (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
   Instruction", Intel 2009), bit-reflected. n is a multiple of 16, at least 64. */
__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i x, __m128i k, __m128i next) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)), next);
}

__attribute__((target("pclmul,sse4.1"))) static uint32_t crc_folding(uint32_t crc, const uint8_t *b, size_t n) {
  const __m128i by64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4); /* x^(512-32), x^(512+32) mod P */
  const __m128i by16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0); /* x^(128-32), x^(128+32) mod P */
  const __m128i to64 = _mm_set_epi64x(0, 0x163cd6124);           /* x^64 mod P */
  const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641); /* floor(x^64 / P), P */
  const __m128i low32 = _mm_setr_epi32(-1, 0, -1, 0);
  const __m128i *p = (const __m128i *)b;
  __m128i x0 = _mm_xor_si128(_mm_loadu_si128(p), _mm_cvtsi32_si128((int)crc));
  __m128i x1 = _mm_loadu_si128(p + 1), x2 = _mm_loadu_si128(p + 2), x3 = _mm_loadu_si128(p + 3);
  for (p += 4, n -= 64; n >= 64; p += 4, n -= 64) {
    x0 = fold(x0, by64, _mm_loadu_si128(p));
    x1 = fold(x1, by64, _mm_loadu_si128(p + 1));
    x2 = fold(x2, by64, _mm_loadu_si128(p + 2));
    x3 = fold(x3, by64, _mm_loadu_si128(p + 3));
  }
  x0 = fold(fold(fold(x0, by16, x1), by16, x2), by16, x3);
  for (; n >= 16; p++, n -= 16) x0 = fold(x0, by16, _mm_loadu_si128(p));
  /* 128 bits to 64, to 32. */
  x0 = _mm_xor_si128(_mm_srli_si128(x0, 8), _mm_clmulepi64_si128(x0, by16, 0x10));
  x0 = _mm_xor_si128(_mm_srli_si128(x0, 4), _mm_clmulepi64_si128(_mm_and_si128(x0, low32), to64, 0x00));
  __m128i q = _mm_clmulepi64_si128(_mm_and_si128(x0, low32), barrett, 0x10);
  q = _mm_clmulepi64_si128(_mm_and_si128(q, low32), barrett, 0x00);
  return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x0, q), 1);
}
#endif

uint32_t nc_crc32(uint32_t crc, const void *bytes, size_t n) {
  const uint8_t *b = bytes;
  crc = ~crc;
#if defined(__x86_64__)
  if (n >= 64 && nc_level() >= 1) {
    size_t folded = n & ~(size_t)15;
    crc = crc_folding(crc, b, folded);
    b += folded;
    n -= folded;
  }
#endif
  return ~crc_plain(crc, b, n);
}
