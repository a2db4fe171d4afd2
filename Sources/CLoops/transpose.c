/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

/* Tiles are squares of whole 64-byte lines. The lines of a tile are first copied side by side: in the source they are a
   row apart, often a power of two, so that they would drive each other out of the first-level cache. Then each line of
   the result is written at once, from squares of 16-byte vectors. The lines of the tile below are asked for
   meanwhile: they lie on other pages, where the processor does not look ahead. */
#define TRANSPOSE(bits, LOW, HIGH)                                                                                    \
  static void transpose##bits(const uint##bits##_t *in, size_t in_stride, size_t rows, size_t columns,                \
                              uint##bits##_t *out, size_t out_stride) {                                               \
    typedef uint##bits##_t vector __attribute__((ext_vector_type(128 / bits)));                                       \
    enum { tile = 512 / bits, square = 128 / bits };                                                                  \
    size_t whole_rows = rows - rows % tile, whole_columns = columns - columns % tile;                                 \
    for (size_t r = 0; r < whole_rows; r += tile)                                                                     \
      for (size_t c = 0; c < whole_columns; c += tile) {                                                              \
        _Alignas(64) uint##bits##_t lines[tile][tile];                                                                \
        for (size_t i = 0; i < tile; i++) {                                                                           \
          const uint##bits##_t *line = in + (r + i) * in_stride + c;                                                  \
          memcpy(lines[i], line, sizeof lines[i]);                                                                    \
          if (r + i + tile < rows) __builtin_prefetch(line + tile * in_stride);                                       \
        }                                                                                                             \
        for (size_t j = 0; j < tile; j += square)                                                                     \
          for (size_t i = 0; i < tile; i += square) {                                                                 \
            vector v[square], w[square];                                                                              \
            for (size_t k = 0; k < square; k++) memcpy(&v[k], &lines[i + k][j], sizeof v[k]);                         \
            /* Each interleaving of the first half of the vectors with the second doubles how much of a               \
               column stands together. */                                                                             \
            for (size_t together = 1; together < square; together *= 2) {                                             \
              for (size_t k = 0; k < square / 2; k++) {                                                               \
                w[2 * k] = __builtin_shufflevector(v[k], v[k + square / 2], LOW);                                     \
                w[2 * k + 1] = __builtin_shufflevector(v[k], v[k + square / 2], HIGH);                                \
              }                                                                                                       \
              memcpy(v, w, sizeof v);                                                                                 \
            }                                                                                                         \
            for (size_t k = 0; k < square; k++) memcpy(out + (c + j + k) * out_stride + r + i, &v[k], sizeof v[k]);   \
          }                                                                                                           \
      }                                                                                                               \
    for (size_t r = 0; r < rows; r += tile)                                                                           \
      for (size_t j = r < whole_rows ? whole_columns : 0; j < columns; j++)                                           \
        for (size_t i = r; i < r + tile && i < rows; i++) out[j * out_stride + i] = in[i * in_stride + j];            \
  }
#define LANES(...) __VA_ARGS__
TRANSPOSE(8, LANES(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
          LANES(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))
TRANSPOSE(16, LANES(0, 8, 1, 9, 2, 10, 3, 11), LANES(4, 12, 5, 13, 6, 14, 7, 15))
TRANSPOSE(32, LANES(0, 4, 1, 5), LANES(2, 6, 3, 7))
TRANSPOSE(64, LANES(0, 2), LANES(1, 3))

#if defined(__x86_64__)
NC_AVX2 static inline void tile8x8(const float *in, size_t in_stride, float *out, size_t out_stride) {
  __m256 r[8], t[8];
  /* Rows k and k + 4 side by side, so that only in-lane shuffles remain. */
  for (size_t k = 0; k < 4; k++) {
    const float *top = in + k * in_stride, *bottom = in + (k + 4) * in_stride;
    r[k] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(top)), _mm_loadu_ps(bottom), 1);
    r[k + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(top + 4)), _mm_loadu_ps(bottom + 4), 1);
  }
  for (int h = 0; h < 8; h += 4) {
    t[h] = _mm256_unpacklo_ps(r[h], r[h + 1]);
    t[h + 1] = _mm256_unpackhi_ps(r[h], r[h + 1]);
    t[h + 2] = _mm256_unpacklo_ps(r[h + 2], r[h + 3]);
    t[h + 3] = _mm256_unpackhi_ps(r[h + 2], r[h + 3]);
    float *to = out + (size_t)h * out_stride;
    _mm256_storeu_ps(to, _mm256_shuffle_ps(t[h], t[h + 2], 0x44));
    _mm256_storeu_ps(to + out_stride, _mm256_shuffle_ps(t[h], t[h + 2], 0xee));
    _mm256_storeu_ps(to + 2 * out_stride, _mm256_shuffle_ps(t[h + 1], t[h + 3], 0x44));
    _mm256_storeu_ps(to + 3 * out_stride, _mm256_shuffle_ps(t[h + 1], t[h + 3], 0xee));
  }
}

/* Tiles of 16 x 16, so that lines of the cache are read and written whole. The lines of a tile are first copied side by
   side, and those of the tile below asked for, as in the plain form. */
NC_AVX2 static void tile16x16_avx2(const uint32_t *in, size_t in_stride, uint32_t *out, size_t out_stride,
                                   bool is_last) {
  _Alignas(64) float lines[16][16];
  for (size_t i = 0; i < 16; i++) {
    const uint32_t *line = in + i * in_stride;
    _mm256_store_ps(lines[i], _mm256_loadu_ps((const float *)(const void *)line));
    _mm256_store_ps(lines[i] + 8, _mm256_loadu_ps((const float *)(const void *)(line + 8)));
    if (!is_last) _mm_prefetch((const char *)(line + 16 * in_stride), _MM_HINT_T0);
  }
  for (size_t j = 0; j < 16; j += 8)
    for (size_t i = 0; i < 16; i += 8)
      tile8x8(&lines[i][j], 16, (float *)(void *)out + j * out_stride + i, out_stride);
}

/* A line of the cache is a vector; each round of shuffles doubles how much of a column stands together: within
   quarters of the vectors, then across them. */
NC_AVX512 static void tile16x16_avx512(const uint32_t *in, size_t in_stride, uint32_t *out, size_t out_stride,
                                       bool is_last) {
  __m512i r[16], t[16];
  for (size_t i = 0; i < 16; i++) {
    const uint32_t *line = in + i * in_stride;
    r[i] = _mm512_loadu_si512(line);
    if (!is_last) _mm_prefetch((const char *)(line + 16 * in_stride), _MM_HINT_T0);
  }
  for (size_t i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (size_t i = 0; i < 16; i += 4)
    for (size_t k = 0; k < 2; k++) {
      r[i + 2 * k] = _mm512_unpacklo_epi64(t[i + k], t[i + k + 2]);
      r[i + 2 * k + 1] = _mm512_unpackhi_epi64(t[i + k], t[i + k + 2]);
    }
  /* r[i + k] holds columns k, k + 4, k + 8, k + 12 of rows i ..< i + 4. */
  for (size_t k = 0; k < 4; k++) {
    __m512i top_even = _mm512_shuffle_i32x4(r[k], r[k + 4], 0x88);
    __m512i top_odd = _mm512_shuffle_i32x4(r[k], r[k + 4], 0xdd);
    __m512i bottom_even = _mm512_shuffle_i32x4(r[k + 8], r[k + 12], 0x88);
    __m512i bottom_odd = _mm512_shuffle_i32x4(r[k + 8], r[k + 12], 0xdd);
    _mm512_storeu_si512(out + k * out_stride, _mm512_shuffle_i32x4(top_even, bottom_even, 0x88));
    _mm512_storeu_si512(out + (k + 4) * out_stride, _mm512_shuffle_i32x4(top_odd, bottom_odd, 0x88));
    _mm512_storeu_si512(out + (k + 8) * out_stride, _mm512_shuffle_i32x4(top_even, bottom_even, 0xdd));
    _mm512_storeu_si512(out + (k + 12) * out_stride, _mm512_shuffle_i32x4(top_odd, bottom_odd, 0xdd));
  }
}

#define TRANSPOSE32(level, TARGET)                                                                                    \
  TARGET static void transpose32_##level(const uint32_t *in, size_t in_stride, size_t rows, size_t columns,           \
                                         uint32_t *out, size_t out_stride) {                                          \
    size_t whole_rows = rows - rows % 16, whole_columns = columns - columns % 16;                                     \
    for (size_t r = 0; r < whole_rows; r += 16)                                                                       \
      for (size_t c = 0; c < whole_columns; c += 16)                                                                  \
        tile16x16_##level(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride,                    \
                          r + 32 > rows);                                                                             \
    transpose32(in + whole_columns, in_stride, whole_rows, columns - whole_columns,                                   \
                out + whole_columns * out_stride, out_stride);                                                        \
    transpose32(in + whole_rows * in_stride, in_stride, rows - whole_rows, columns, out + whole_rows, out_stride);    \
  }
TRANSPOSE32(avx2, NC_AVX2)
TRANSPOSE32(avx512, NC_AVX512)
#endif

void nc_transpose(const void *in, size_t in_stride, size_t rows, size_t columns, size_t size, void *out,
                  size_t out_stride) {
  switch (size) {
  case 1: transpose8(in, in_stride, rows, columns, out, out_stride); break;
  case 2: transpose16(in, in_stride, rows, columns, out, out_stride); break;
  case 8: transpose64(in, in_stride, rows, columns, out, out_stride); break;
  default:
#if defined(__x86_64__)
    if (nc_level() >= 2) {
      transpose32_avx512(in, in_stride, rows, columns, out, out_stride);
      break;
    }
    if (nc_level() >= 1) {
      transpose32_avx2(in, in_stride, rows, columns, out, out_stride);
      break;
    }
#endif
    transpose32(in, in_stride, rows, columns, out, out_stride);
  }
}
