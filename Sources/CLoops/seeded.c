/* SPDX-License-Identifier: Apache-2.0 */
#include "loops.h"

/* The four trits of output k, as a byte. `above` has 2^15 - threshold in each 16 bits. */
static inline uint8_t trits(uint64_t seed, uint64_t above, uint64_t k) {
  uint64_t z = seed + (k + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  /* The high bit of each 16 is set where their half is at least the threshold; no sum carries into the next. */
  uint64_t zeros = (z >> 1 & 0x7FFF7FFF7FFF7FFFu) + above;
  uint64_t some = ~zeros >> 15 & 0x0001000100010001u;
  uint64_t codes = some | (some & z) << 1;
  /* Two bits of each 16, side by side in bits 48 ... 55; no two products meet. */
  return (uint8_t)(codes * (1ull << 48 | 1ull << 34 | 1ull << 20 | 1ull << 6) >> 48);
}

void nc_seeded_trits(uint64_t seed, uint32_t threshold, size_t first, size_t n, uint8_t *codes) {
  const uint64_t above = (uint64_t)(0x8000 - threshold) * 0x0001000100010001u;
  const size_t bytes = n / 4 + (n % 4 != 0);
  const unsigned shift = 2 * (first % 4);
  uint64_t k = first / 4;
  if (shift == 0) {
    for (size_t i = 0; i < bytes; i++) codes[i] = trits(seed, above, k + i);
  } else {
    unsigned here = trits(seed, above, k);
    for (size_t i = 0; i < bytes; i++) {
      unsigned after = trits(seed, above, ++k);
      codes[i] = (uint8_t)((here | after << 8) >> shift);
      here = after;
    }
  }
  if (n % 4 != 0) codes[bytes - 1] &= (uint8_t)((1u << 2 * (n % 4)) - 1);
}
