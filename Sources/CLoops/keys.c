/* SPDX-License-Identifier: Apache-2.0 */
#include "elements.h"
#include "orders.h"
#include <string.h>

/* A key is an element without its sign bit. */
#define COLLECT(bits)                                                                                                 \
  static size_t collect##bits(const uint8_t *x, size_t n, uint##bits##_t low, uint##bits##_t high, uint8_t *out,      \
                              nc_key_tail *tail) {                                                                    \
    size_t taken = 0, above = 0;                                                                                      \
    uint##bits##_t largest = 0;                                                                                       \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t key = element##bits(x, i) & magnitude##bits;                                                     \
      memcpy(out + taken * sizeof key, &key, sizeof key);                                                             \
      taken += (key >= low) & (key <= high);                                                                          \
      above += key > high;                                                                                            \
      largest = key > largest ? key : largest;                                                                        \
    }                                                                                                                 \
    tail->count += above;                                                                                             \
    tail->largest = largest > tail->largest ? largest : tail->largest;                                                \
    return taken;                                                                                                     \
  }
COLLECT(16)
COLLECT(32)
COLLECT(64)

#if defined(__x86_64__)
NC_AVX2 static size_t collect32_avx2(const uint8_t *x, size_t n, uint32_t low, uint32_t high, uint8_t *out,
                                     nc_key_tail *tail) {
  /* Keys are below 2^31, so that signed comparisons do. */
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const __m256i below = _mm256_set1_epi32((int)low - 1), h = _mm256_set1_epi32((int)high);
  __m256i largest = _mm256_setzero_si256();
  size_t taken = 0, i = 0;
  while (n - i >= 8) {
    __m256i above = _mm256_setzero_si256();
    size_t end = n - i > 1 << 20 ? i + (1 << 20) : n - (n - i) % 8;
    for (; i < end; i += 8) {
      __m256i key = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)(x + 4 * i)), magnitude);
      __m256i larger = _mm256_cmpgt_epi32(key, h);
      largest = _mm256_max_epi32(largest, key);
      above = _mm256_sub_epi32(above, larger);
      __m256i between = _mm256_andnot_si256(larger, _mm256_cmpgt_epi32(key, below));
      unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(between));
      _mm256_storeu_si256((__m256i *)(void *)(out + 4 * taken),
                          _mm256_permutevar8x32_epi32(key, nc_words(nc_positions[mask])));
      taken += (size_t)_mm_popcnt_u32(mask);
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(above), _mm256_extracti128_si256(above, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    tail->count += (uint32_t)_mm_cvtsi128_si32(s);
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  uint32_t most = (uint32_t)_mm_cvtsi128_si32(m);
  tail->largest = most > tail->largest ? most : tail->largest;
  return taken + collect32(x + 4 * i, n - i, low, high, out + 4 * taken, tail);
}

NC_AVX512 static size_t collect32_avx512(const uint8_t *x, size_t n, uint32_t low, uint32_t high, uint8_t *out,
                                         nc_key_tail *tail) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i below = _mm512_set1_epi32((int)low - 1), h = _mm512_set1_epi32((int)high);
  __m512i largest = _mm512_setzero_si512();
  size_t taken = 0, above = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i key = _mm512_and_si512(_mm512_loadu_si512(x + 4 * i), magnitude);
    __mmask16 larger = _mm512_cmpgt_epi32_mask(key, h);
    __mmask16 between = (__mmask16)(_mm512_cmpgt_epi32_mask(key, below) & ~larger);
    largest = _mm512_max_epi32(largest, key);
    above += (size_t)_mm_popcnt_u32(larger);
    _mm512_storeu_si512(out + 4 * taken, _mm512_maskz_compress_epi32(between, key));
    taken += (size_t)_mm_popcnt_u32(between);
  }
  uint32_t most = (uint32_t)_mm512_reduce_max_epi32(largest);
  tail->count += above;
  tail->largest = most > tail->largest ? most : tail->largest;
  return taken + collect32(x + 4 * i, n - i, low, high, out + 4 * taken, tail);
}
#endif

size_t nc_key_collect(const void *x, size_t n, size_t size, uint64_t low, uint64_t high, void *out,
                      nc_key_tail *tail) {
  if (size == 2) return collect16(x, n, (uint16_t)low, (uint16_t)high, out, tail);
  if (size == 8) return collect64(x, n, low, high, out, tail);
#if defined(__x86_64__)
  if (nc_level() >= 2) return collect32_avx512(x, n, (uint32_t)low, (uint32_t)high, out, tail);
  if (nc_level() >= 1) return collect32_avx2(x, n, (uint32_t)low, (uint32_t)high, out, tail);
#endif
  return collect32(x, n, (uint32_t)low, (uint32_t)high, out, tail);
}

/* -- Stored elements ----------------------------------------------------------------------------------------------- */

#define STORED(bits)                                                                                                  \
  static bool nonzero##bits(const uint8_t *elements, size_t n) {                                                      \
    uint##bits##_t zeros = 0;                                                                                         \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x;                                                                                               \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      zeros |= x == 0;                                                                                                \
    }                                                                                                                 \
    return zeros == 0;                                                                                                \
  }                                                                                                                   \
  NC_BODY uint##bits##_t least##bits(const uint8_t *elements, size_t n) {                                             \
    const uint##bits##_t magnitude = UINT##bits##_MAX >> 1;                                                           \
    uint##bits##_t least = magnitude;                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x;                                                                                               \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      x &= magnitude;                                                                                                 \
      least = x < least ? x : least;                                                                                  \
    }                                                                                                                 \
    return least;                                                                                                     \
  }                                                                                                                   \
  NC_BODY void lower##bits(const uint8_t *elements, size_t n, uint##bits##_t by, uint8_t *out) {                      \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x;                                                                                               \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      x = (uint##bits##_t)(x - by);                                                                                   \
      memcpy(out + (bits / 8) * i, &x, bits / 8);                                                                     \
    }                                                                                                                 \
  }                                                                                                                   \
  /* A sum that is too large carries into the sign bit, and no further. */                                            \
  NC_BODY bool raise##bits(uint8_t *elements, size_t n, uint##bits##_t by) {                                          \
    uint##bits##_t changed = 0;                                                                                       \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x, sum;                                                                                          \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      sum = (uint##bits##_t)(x + by);                                                                                 \
      changed |= sum ^ x;                                                                                             \
      memcpy(elements + (bits / 8) * i, &sum, bits / 8);                                                              \
    }                                                                                                                 \
    return changed >> (bits - 1) == 0;                                                                                \
  }
STORED(16)
STORED(32)
STORED(64)

#define STORED_FORMS(level, TARGET)                                                                                   \
  TARGET static uint64_t least_##level(const uint8_t *elements, size_t n, size_t size) {                              \
    switch (size) {                                                                                                   \
    case 2: return least16(elements, n);                                                                              \
    case 4: return least32(elements, n);                                                                              \
    default: return least64(elements, n);                                                                             \
    }                                                                                                                 \
  }                                                                                                                   \
  TARGET static void lower_##level(const uint8_t *elements, size_t n, size_t size, uint64_t by, uint8_t *out) {       \
    switch (size) {                                                                                                   \
    case 2: lower16(elements, n, (uint16_t)by, out); break;                                                           \
    case 4: lower32(elements, n, (uint32_t)by, out); break;                                                           \
    default: lower64(elements, n, by, out);                                                                           \
    }                                                                                                                 \
  }                                                                                                                   \
  TARGET static bool raise_##level(uint8_t *elements, size_t n, size_t size, uint64_t by) {                           \
    switch (size) {                                                                                                   \
    case 2: return raise16(elements, n, (uint16_t)by);                                                                \
    case 4: return raise32(elements, n, (uint32_t)by);                                                                \
    default: return raise64(elements, n, by);                                                                         \
    }                                                                                                                 \
  }
STORED_FORMS(plain, NC_PLAIN)
#if defined(__x86_64__)
STORED_FORMS(avx2, NC_AVX2)
#endif

uint64_t nc_key_least(const void *elements, size_t n, size_t size) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return least_avx2(elements, n, size);
#endif
  return least_plain(elements, n, size);
}

void nc_key_lower(const void *elements, size_t n, size_t size, uint64_t by, void *out) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    lower_avx2(elements, n, size, by, out);
    return;
  }
#endif
  lower_plain(elements, n, size, by, out);
}

bool nc_key_raise(void *elements, size_t n, size_t size, uint64_t by) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return raise_avx2(elements, n, size, by);
#endif
  return raise_plain(elements, n, size, by);
}

bool nc_sparse_nonzero(const void *elements, size_t n, size_t size) {
  switch (size) {
  case 2: return nonzero16(elements, n);
  case 4: return nonzero32(elements, n);
  default: return nonzero64(elements, n);
  }
}
