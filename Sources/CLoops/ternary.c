/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <math.h>
#include <string.h>

static uint8_t trit(float x, float above) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return fabsf(x) > above ? (uint8_t)(1 | (bits >> 31) << 1) : 0;
}

/* n trits from a byte boundary; returns how many are not 0. */
static size_t pack_plain(const float *x, size_t n, float above, uint8_t *out) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i += 4) {
    unsigned byte = 0;
    for (size_t j = 0; j < 4 && i + j < n; j++) byte |= (unsigned)trit(x[i + j], above) << 2 * j;
    kept += (size_t)__builtin_popcount(byte & 0x55);
    *out++ = (uint8_t)byte;
  }
  return kept;
}

#if defined(__x86_64__)
NC_AVX2 static size_t pack_avx2(const float *x, size_t n, float above, uint8_t *out) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)), t = _mm256_set1_ps(above);
  size_t count = 0;
  for (; n >= 32; n -= 32, x += 32, out += 8) {
    uint32_t kept = 0, negative = 0;
    for (int j = 0; j < 4; j++) {
      __m256 v = _mm256_loadu_ps(x + 8 * j);
      kept |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_and_ps(v, magnitude), t, _CMP_GT_OQ)) << 8 * j;
      negative |= (uint32_t)_mm256_movemask_ps(v) << 8 * j;
    }
    uint64_t trits = _pdep_u64(kept, 0x5555555555555555u) | _pdep_u64(kept & negative, 0xAAAAAAAAAAAAAAAAu);
    memcpy(out, &trits, 8);
    count += (size_t)_mm_popcnt_u32(kept);
  }
  return count + pack_plain(x, n, above, out);
}
#endif

size_t nc_ternary_pack(const float *x, size_t n, float above, uint8_t *row, size_t first) {
  size_t kept = 0;
  row += first / 4;
  if (first % 4 != 0) {
    for (; n > 0 && first % 4 != 0; n--, first++) {
      uint8_t t = trit(*x++, above);
      *row |= (uint8_t)(t << 2 * (first % 4));
      kept += t & 1;
    }
    row++;
  }
#if defined(__x86_64__)
  if (nc_level() >= 1) return kept + pack_avx2(x, n, above, row);
#endif
  return kept + pack_plain(x, n, above, row);
}

#define UNPACK(bits)                                                                                                  \
  static void unpack##bits(const uint8_t *row, size_t first, size_t n, uint##bits##_t plus, uint##bits##_t minus,     \
                           uint8_t *out) {                                                                            \
    const uint##bits##_t values[4] = {0, plus, 0, minus};                                                             \
    for (size_t i = 0; i < n; i++)                                                                                    \
      memcpy(out + i * sizeof(uint##bits##_t), &values[row[(first + i) / 4] >> 2 * ((first + i) % 4) & 3],            \
             sizeof(uint##bits##_t));                                                                                 \
  }
UNPACK(16)
UNPACK(32)
UNPACK(64)

static void unpack_from(const uint8_t *row, size_t first, size_t n, size_t size, uint64_t plus, uint64_t minus,
                        uint8_t *out) {
  switch (size) {
  case 2: unpack16(row, first, n, (uint16_t)plus, (uint16_t)minus, out); break;
  case 4: unpack32(row, first, n, (uint32_t)plus, (uint32_t)minus, out); break;
  default: unpack64(row, first, n, plus, minus, out);
  }
}

#if defined(__x86_64__)
/* n trits from a byte boundary; returns how many were written. */
NC_AVX2 static size_t unpack32_avx2(const uint8_t *codes, size_t n, uint32_t plus, uint32_t minus, uint8_t *out) {
  const __m256 values =
      _mm256_castsi256_ps(_mm256_setr_epi32(0, (int)plus, 0, (int)minus, 0, (int)plus, 0, (int)minus));
  const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
  const __m256i high = _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    uint32_t word;
    memcpy(&word, codes + i / 4, 4);
    __m256i trits = _mm256_set1_epi32((int)word);
    float *to = (float *)(void *)(out + 4 * i);
    _mm256_storeu_ps(to, _mm256_permutevar_ps(values, _mm256_srlv_epi32(trits, low)));
    _mm256_storeu_ps(to + 8, _mm256_permutevar_ps(values, _mm256_srlv_epi32(trits, high)));
  }
  return i;
}

/* As unpack32_avx2: the values are looked up in 32 bits. */
NC_AVX2 static size_t unpack16_avx2(const uint8_t *codes, size_t n, uint32_t plus, uint32_t minus, uint8_t *out) {
  const __m256 values =
      _mm256_castsi256_ps(_mm256_setr_epi32(0, (int)plus, 0, (int)minus, 0, (int)plus, 0, (int)minus));
  const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22);
  const __m256i high = _mm256_setr_epi32(8, 10, 12, 14, 24, 26, 28, 30);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    uint32_t word;
    memcpy(&word, codes + i / 4, 4);
    __m256i trits = _mm256_set1_epi32((int)word);
    __m256i a = _mm256_castps_si256(_mm256_permutevar_ps(values, _mm256_srlv_epi32(trits, low)));
    __m256i b = _mm256_castps_si256(_mm256_permutevar_ps(values, _mm256_srlv_epi32(trits, high)));
    _mm256_storeu_si256((__m256i *)(void *)(out + 2 * i), _mm256_packus_epi32(a, b));
  }
  return i;
}
#endif

void nc_ternary_unpack(const uint8_t *row, size_t first, size_t n, size_t size, uint64_t plus, uint64_t minus,
                       void *out) {
  uint8_t *to = out;
#if defined(__x86_64__)
  if (nc_level() >= 1 && size < 8) {
    size_t head = (4 - first % 4) % 4;
    if (head > n) head = n;
    unpack_from(row, first, head, size, plus, minus, to);
    const uint8_t *codes = row + (first + head) / 4;
    to += head * size;
    size_t done = size == 2 ? unpack16_avx2(codes, n - head, (uint32_t)plus, (uint32_t)minus, to)
                            : unpack32_avx2(codes, n - head, (uint32_t)plus, (uint32_t)minus, to);
    to += done * size;
    first += head + done;
    n -= head + done;
  }
#endif
  unpack_from(row, first, n, size, plus, minus, to);
}

void nc_ternary_words(const uint8_t *codes, size_t row_bytes, size_t rows, size_t first, size_t n, uint32_t *words) {
  codes += first * 4;
  size_t room = row_bytes - first * 4;
  if (n == 4 && room >= 16) {
    for (size_t r = 0; r < rows; r++, codes += row_bytes) {
      uint32_t w[4];
      memcpy(w, codes, sizeof w);
      /* The rows of trits are on pages of their own, where the processor does not look ahead. */
      if (r + 16 < rows) __builtin_prefetch(codes + 16 * row_bytes);
      for (size_t k = 0; k < 4; k++) words[k * rows + r] = w[k];
    }
    return;
  }
  for (size_t k = 0; k < n; k++) {
    size_t size = room - 4 * k < 4 ? room - 4 * k : 4;
    for (size_t r = 0; r < rows; r++) {
      const uint8_t *from = codes + r * row_bytes + 4 * k;
      uint32_t w = 0;
      for (size_t b = 0; b < size; b++) w |= (uint32_t)from[b] << 8 * b;
      words[k * rows + r] = w;
    }
  }
}

static void values_plain(const uint32_t *words, unsigned trit, size_t n, const float *scales, float *out) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits, t = words[i] >> 2 * trit;
    memcpy(&bits, &scales[i], 4);
    bits = (bits & -(t & 1)) | (t & 2) << 30;
    memcpy(&out[i], &bits, 4);
  }
}

#if defined(__x86_64__)
NC_AVX2 static void values_avx2(const uint32_t *words, unsigned trit, size_t n, const float *scales, float *out) {
  /* What remains of -s: nothing, its magnitude, all. */
  const __m256 masks = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0x7fffffff, 0, -1, 0, 0x7fffffff, 0, -1));
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m128i shift = _mm_cvtsi32_si128((int)(2 * trit));
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i trits = _mm256_srl_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(words + i)), shift);
    __m256 minus = _mm256_or_ps(_mm256_loadu_ps(scales + i), sign);
    _mm256_storeu_ps(out + i, _mm256_and_ps(minus, _mm256_permutevar_ps(masks, trits)));
  }
  values_plain(words + i, trit, n - i, scales + i, out + i);
}
#endif

void nc_ternary_values(const uint32_t *words, unsigned trit, size_t n, const float *scales, float *out) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    values_avx2(words, trit, n, scales, out);
    return;
  }
#endif
  values_plain(words, trit, n, scales, out);
}
