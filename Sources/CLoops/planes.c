/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

/* Sixteen elements at a time: their bytes of one significance are shifted down and narrowed to a vector. Compiled once
   more with AVX2, where most have faster forms of their own. */
#define PLANES(bits)                                                                                                  \
  typedef uint##bits##_t words##bits __attribute__((ext_vector_type(16)));                                            \
  NC_BODY size_t split##bits(const uint8_t *e, size_t n, uint8_t *planes) {                                           \
    size_t i = 0;                                                                                                     \
    for (; i + 16 <= n; i += 16) {                                                                                    \
      words##bits w;                                                                                                  \
      memcpy(&w, e + (bits / 8) * i, sizeof w);                                                                       \
      for (size_t b = 0; b < bits / 8; b++) {                                                                         \
        bytes16 plane = __builtin_convertvector(w >> (uint##bits##_t)(8 * b), bytes16);                               \
        memcpy(planes + b * n + i, &plane, sizeof plane);                                                             \
      }                                                                                                               \
    }                                                                                                                 \
    return i;                                                                                                         \
  }                                                                                                                   \
  NC_BODY size_t join##bits(const uint8_t *planes, size_t n, uint8_t *e) {                                            \
    size_t i = 0;                                                                                                     \
    for (; i + 16 <= n; i += 16) {                                                                                    \
      words##bits w = 0;                                                                                              \
      for (size_t b = 0; b < bits / 8; b++) {                                                                         \
        bytes16 plane;                                                                                                \
        memcpy(&plane, planes + b * n + i, sizeof plane);                                                             \
        w |= __builtin_convertvector(plane, words##bits) << (uint##bits##_t)(8 * b);                                  \
      }                                                                                                               \
      memcpy(e + (bits / 8) * i, &w, sizeof w);                                                                       \
    }                                                                                                                 \
    return i;                                                                                                         \
  }
typedef uint8_t bytes16 __attribute__((ext_vector_type(16)));
PLANES(16)
PLANES(32)
PLANES(64)

NC_BODY size_t split_vectors(const uint8_t *e, size_t n, size_t size, uint8_t *planes) {
  switch (size) {
  case 2: return split16(e, n, planes);
  case 4: return split32(e, n, planes);
  default: return split64(e, n, planes);
  }
}

NC_BODY size_t join_vectors(const uint8_t *planes, size_t n, size_t size, uint8_t *e) {
  switch (size) {
  case 2: return join16(planes, n, e);
  case 4: return join32(planes, n, e);
  default: return join64(planes, n, e);
  }
}

#if defined(__x86_64__)
NC_AVX2 static size_t join2_avx2(const uint8_t *planes, size_t n, uint8_t *e) {
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i a = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i *)(planes + i)), 0xd8);
    __m256i b = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i *)(planes + n + i)), 0xd8);
    _mm256_storeu_si256((__m256i *)(e + 2 * i), _mm256_unpacklo_epi8(a, b));
    _mm256_storeu_si256((__m256i *)(e + 2 * i + 32), _mm256_unpackhi_epi8(a, b));
  }
  return i;
}

NC_AVX2 static size_t split4_avx2(const uint8_t *e, size_t n, uint8_t *planes) {
  const __m256i gather = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9,
                                          13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i pairs = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i v[4]; /* each: 8 bytes of plane 0, then of 1, 2, 3 */
    for (int j = 0; j < 4; j++) {
      __m256i x = _mm256_loadu_si256((const __m256i *)(e + 4 * i + 32 * (size_t)j));
      v[j] = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(x, gather), pairs);
    }
    __m256i l01 = _mm256_unpacklo_epi64(v[0], v[1]), h01 = _mm256_unpackhi_epi64(v[0], v[1]);
    __m256i l23 = _mm256_unpacklo_epi64(v[2], v[3]), h23 = _mm256_unpackhi_epi64(v[2], v[3]);
    _mm256_storeu_si256((__m256i *)(planes + i), _mm256_permute2x128_si256(l01, l23, 0x20));
    _mm256_storeu_si256((__m256i *)(planes + n + i), _mm256_permute2x128_si256(h01, h23, 0x20));
    _mm256_storeu_si256((__m256i *)(planes + 2 * n + i), _mm256_permute2x128_si256(l01, l23, 0x31));
    _mm256_storeu_si256((__m256i *)(planes + 3 * n + i), _mm256_permute2x128_si256(h01, h23, 0x31));
  }
  return i;
}

NC_AVX2 static size_t join4_avx2(const uint8_t *planes, size_t n, uint8_t *e) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m128i a = _mm_loadu_si128((const __m128i *)(planes + i));
    __m128i b = _mm_loadu_si128((const __m128i *)(planes + n + i));
    __m128i c = _mm_loadu_si128((const __m128i *)(planes + 2 * n + i));
    __m128i d = _mm_loadu_si128((const __m128i *)(planes + 3 * n + i));
    __m128i ab = _mm_unpacklo_epi8(a, b), AB = _mm_unpackhi_epi8(a, b);
    __m128i cd = _mm_unpacklo_epi8(c, d), CD = _mm_unpackhi_epi8(c, d);
    __m128i *to = (__m128i *)(e + 4 * i);
    _mm_storeu_si128(to, _mm_unpacklo_epi16(ab, cd));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(ab, cd));
    _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(AB, CD));
    _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(AB, CD));
  }
  return i;
}

NC_AVX2 static size_t split_avx2(const uint8_t *e, size_t n, size_t size, uint8_t *planes) {
  return size == 4 ? split4_avx2(e, n, planes) : split_vectors(e, n, size, planes);
}

NC_AVX2 static size_t join_avx2(const uint8_t *planes, size_t n, size_t size, uint8_t *e) {
  switch (size) {
  case 2: return join2_avx2(planes, n, e);
  case 4: return join4_avx2(planes, n, e);
  default: return join_vectors(planes, n, size, e);
  }
}
#endif

static size_t split_plain(const uint8_t *e, size_t n, size_t size, uint8_t *planes) {
  return split_vectors(e, n, size, planes);
}

static size_t join_plain(const uint8_t *planes, size_t n, size_t size, uint8_t *e) {
  return join_vectors(planes, n, size, e);
}

void nc_planes_split(const void *elements, size_t n, size_t size, uint8_t *planes) {
  const uint8_t *e = elements;
#if defined(__x86_64__)
  size_t i = nc_level() >= 1 ? split_avx2(e, n, size, planes) : split_plain(e, n, size, planes);
#else
  size_t i = split_plain(e, n, size, planes);
#endif
  for (; i < n; i++)
    for (size_t b = 0; b < size; b++) planes[b * n + i] = e[i * size + b];
}

void nc_planes_join(const uint8_t *planes, size_t n, size_t size, void *elements) {
  uint8_t *e = elements;
#if defined(__x86_64__)
  size_t i = nc_level() >= 1 ? join_avx2(planes, n, size, e) : join_plain(planes, n, size, e);
#else
  size_t i = join_plain(planes, n, size, e);
#endif
  for (; i < n; i++)
    for (size_t b = 0; b < size; b++) e[i * size + b] = planes[b * n + i];
}
