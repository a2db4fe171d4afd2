/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

/* Sums modulo 2^64: their order does not matter, so that every form is free to choose its own. */
enum { piece_bytes = 4096, shift_words = 4, sums = 4 };

/* Adds to the four sums the products of n words, n even, of which the first has the number `first` in its piece. */
static void fold_plain(const uint32_t *key, const uint8_t *bytes, size_t first, size_t n, uint64_t *sum) {
  for (size_t i = first; i < first + n; i += 2) {
    uint32_t w[2];
    memcpy(w, bytes + 4 * i, 8);
    for (size_t t = 0; t < sums; t++) {
      const uint32_t *k = key + i + shift_words * t;
      sum[t] += (uint64_t)(uint32_t)(w[0] + k[0]) * (uint32_t)(w[1] + k[1]);
    }
  }
}

#if defined(__x86_64__)
/* Both return how many words they took, the first ones of the piece. */
NC_AVX2 static size_t fold_avx2(const uint32_t *key, const uint8_t *bytes, size_t n, uint64_t *sum) {
  __m256i s[sums];
  for (int t = 0; t < sums; t++) s[t] = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i w = _mm256_loadu_si256((const __m256i *)(bytes + 4 * i));
#pragma clang loop unroll(full)
    for (int t = 0; t < sums; t++) {
      __m256i x = _mm256_add_epi32(w, _mm256_loadu_si256((const __m256i *)(key + i + shift_words * t)));
      s[t] = _mm256_add_epi64(s[t], _mm256_mul_epu32(x, _mm256_shuffle_epi32(x, 0xF5)));
    }
  }
  for (int t = 0; t < sums; t++) {
    __m128i h = _mm_add_epi64(_mm256_castsi256_si128(s[t]), _mm256_extracti128_si256(s[t], 1));
    sum[t] += (uint64_t)_mm_cvtsi128_si64(h) + (uint64_t)_mm_extract_epi64(h, 1);
  }
  return i;
}

NC_AVX512 static size_t fold_avx512(const uint32_t *key, const uint8_t *bytes, size_t n, uint64_t *sum) {
  __m512i s[sums];
  for (int t = 0; t < sums; t++) s[t] = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i w = _mm512_loadu_si512(bytes + 4 * i);
#pragma clang loop unroll(full)
    for (int t = 0; t < sums; t++) {
      __m512i x = _mm512_add_epi32(w, _mm512_loadu_si512(key + i + shift_words * t));
      s[t] = _mm512_add_epi64(s[t], _mm512_mul_epu32(x, _mm512_shuffle_epi32(x, 0xF5)));
    }
  }
  for (int t = 0; t < sums; t++) sum[t] += (uint64_t)_mm512_reduce_add_epi64(s[t]);
  return i;
}
#endif

/* A piece of n bytes. */
static void fold_piece(const uint32_t *key, const uint8_t *bytes, size_t n, uint64_t *sum) {
  size_t whole = n / 8 * 2, done = 0;
  memset(sum, 0, sums * sizeof *sum);
#if defined(__x86_64__)
  int level = nc_level();
  if (level >= 2) {
    done = fold_avx512(key, bytes, whole, sum);
  } else if (level >= 1) {
    done = fold_avx2(key, bytes, whole, sum);
  }
#endif
  fold_plain(key, bytes, done, whole - done, sum);
  if (n % 8 != 0) {
    uint8_t last[8] = {0};
    memcpy(last, bytes + 4 * whole, n % 8);
    fold_plain(key + whole, last, 0, 2, sum);
  }
}

void nc_fold(const uint32_t *key, const void *bytes, size_t n, uint64_t *sum) {
  const uint8_t *b = bytes;
  for (; n > 0; sum += sums) {
    size_t piece = n < piece_bytes ? n : piece_bytes;
    fold_piece(key, b, piece, sum);
    b += piece;
    n -= piece;
  }
}
