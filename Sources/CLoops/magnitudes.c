/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"
#include "orders.h"
#include <math.h>
#include <string.h>

/* Elements that are added in float before they are added in double. */
enum { flush = 32 * lanes };

/* -- Plain forms ------------------------------------------------------------------------------------------------ */

static uint32_t largest_plain(const float *x, size_t n, double *sum) {
  double total[lanes] = {0};
  uint32_t most = 0;
  for (size_t start = 0; start < n; start += flush) {
    float lane[lanes] = {0};
    for (size_t i = start; i < n && i < start + flush; i++) {
      float a = fabsf(x[i]);
      uint32_t bits;
      memcpy(&bits, &a, 4);
      most = bits > most ? bits : most;
      lane[i % lanes] += a;
    }
    for (int l = 0; l < lanes; l++) total[l] += (double)lane[l];
  }
  *sum = added(total);
  return most;
}

static void above_plain(const float *x, size_t n, const float thresholds[4], nc_tail tails[4]) {
  for (int j = 0; j < 4; j++) {
    double total[lanes] = {0};
    tails[j].count = 0;
    for (size_t start = 0; start < n; start += flush) {
      float lane[lanes] = {0};
      for (size_t i = start; i < n && i < start + flush; i++) {
        float a = fabsf(x[i]);
        lane[i % lanes] += a > thresholds[j] ? a : 0;
        tails[j].count += a > thresholds[j];
      }
      for (int l = 0; l < lanes; l++) total[l] += (double)lane[l];
    }
    tails[j].sum = added(total);
  }
}

static size_t collect_plain(const float *x, size_t n, float low, float high, float *out, nc_tail *above) {
  double lane[lanes] = {0};
  size_t taken = 0;
  above->count = 0;
  for (size_t i = 0; i < n; i++) {
    float a = fabsf(x[i]);
    out[taken] = a;
    taken += (a > low) & (a <= high);
    lane[i % lanes] += a > high ? (double)a : 0;
    above->count += a > high;
  }
  above->sum = added(lane);
  return taken;
}

#if defined(__x86_64__)

/* -- AVX2: lanes 0-7 and 8-15 in two vectors -------------------------------------------------------------------- */

/* The magnitudes of x[i] ..< x[i + 8], zeros from x[n] on, which change no sum. */
NC_AVX2 static inline __m256 magnitudes8(const float *x, size_t i, size_t n) {
  static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  if (i + 8 <= n) return _mm256_and_ps(_mm256_loadu_ps(x + i), magnitude);
  size_t missing = i < n ? i + 8 - n : 8;
  return _mm256_and_ps(_mm256_maskload_ps(x + i, _mm256_loadu_si256((const __m256i *)(window + missing))), magnitude);
}

NC_AVX2 static inline void add_floats(__m256d d[4], __m256 s0, __m256 s1) {
  d[0] = _mm256_add_pd(d[0], _mm256_cvtps_pd(_mm256_castps256_ps128(s0)));
  d[1] = _mm256_add_pd(d[1], _mm256_cvtps_pd(_mm256_extractf128_ps(s0, 1)));
  d[2] = _mm256_add_pd(d[2], _mm256_cvtps_pd(_mm256_castps256_ps128(s1)));
  d[3] = _mm256_add_pd(d[3], _mm256_cvtps_pd(_mm256_extractf128_ps(s1, 1)));
}

NC_AVX2 static uint32_t largest_avx2(const float *x, size_t n, double *sum) {
  const __m256 zero = _mm256_setzero_ps();
  __m256d d[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
  __m256i m0 = _mm256_setzero_si256(), m1 = m0;
  for (size_t i = 0; i < n;) {
    __m256 s0 = zero, s1 = zero;
    for (size_t end = i + flush; i < end && i < n; i += lanes) {
      __m256 a = magnitudes8(x, i, n), b = magnitudes8(x, i + 8, n);
      m0 = _mm256_max_epu32(m0, _mm256_castps_si256(a));
      m1 = _mm256_max_epu32(m1, _mm256_castps_si256(b));
      s0 = _mm256_add_ps(s0, a);
      s1 = _mm256_add_ps(s1, b);
    }
    add_floats(d, s0, s1);
  }
  m0 = _mm256_max_epu32(m0, m1);
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(m0), _mm256_extracti128_si256(m0, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
  *sum = added4(d);
  return (uint32_t)_mm_cvtsi128_si32(m);
}

NC_AVX2 static void above_avx2(const float *x, size_t n, const float thresholds[4], nc_tail tails[4]) {
  __m256d d[4][4];
  uint64_t count[4] = {0, 0, 0, 0};
  __m256 t[4];
  for (int j = 0; j < 4; j++) {
    t[j] = _mm256_set1_ps(thresholds[j]);
    for (int q = 0; q < 4; q++) d[j][q] = _mm256_setzero_pd();
  }
  for (size_t i = 0; i < n;) {
    __m256 s[8];
    __m256i c[4];
    for (int j = 0; j < 8; j++) s[j] = _mm256_setzero_ps();
    for (int j = 0; j < 4; j++) c[j] = _mm256_setzero_si256();
    for (size_t end = i + flush; i < end && i < n; i += lanes) {
      __m256 a = magnitudes8(x, i, n), b = magnitudes8(x, i + 8, n);
#pragma clang loop unroll(full)
      for (int j = 0; j < 4; j++) {
        __m256 ka = _mm256_cmp_ps(a, t[j], _CMP_GT_OQ), kb = _mm256_cmp_ps(b, t[j], _CMP_GT_OQ);
        s[j] = _mm256_add_ps(s[j], _mm256_and_ps(a, ka));
        s[4 + j] = _mm256_add_ps(s[4 + j], _mm256_and_ps(b, kb));
        c[j] = _mm256_add_epi32(c[j], _mm256_add_epi32(_mm256_castps_si256(ka), _mm256_castps_si256(kb)));
      }
    }
    for (int j = 0; j < 4; j++) {
      add_floats(d[j], s[j], s[4 + j]);
      __m128i h = _mm_add_epi32(_mm256_castsi256_si128(c[j]), _mm256_extracti128_si256(c[j], 1));
      h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
      h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1));
      count[j] += (uint32_t)-_mm_cvtsi128_si32(h);
    }
  }
  for (int j = 0; j < 4; j++) tails[j] = (nc_tail){added4(d[j]), count[j]};
}

NC_AVX2 static size_t collect_avx2(const float *x, size_t n, float low, float high, float *out, nc_tail *above) {
  const __m256 l = _mm256_set1_ps(low), h = _mm256_set1_ps(high);
  __m256d d[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
  size_t taken = 0;
  uint64_t count = 0;
  for (size_t i = 0; i < n; i += lanes) {
    __m256 a[2] = {magnitudes8(x, i, n), magnitudes8(x, i + 8, n)};
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++) {
      __m256 kept = _mm256_cmp_ps(a[j], h, _CMP_GT_OQ);
      unsigned k = (unsigned)_mm256_movemask_ps(kept);
      unsigned between = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a[j], l, _CMP_GT_OQ)) & ~k;
      count += (uint64_t)_mm_popcnt_u32(k);
      __m256i order = nc_words(nc_positions[between]);
      _mm256_storeu_ps(out + taken, _mm256_permutevar8x32_ps(a[j], order));
      taken += (size_t)_mm_popcnt_u32(between);
      a[j] = _mm256_and_ps(a[j], kept);
    }
    add_floats(d, a[0], a[1]);
  }
  *above = (nc_tail){added4(d), count};
  return taken;
}

/* -- AVX-512: 16 lanes in one vector; only where it is much faster ---------------------------------------------- */

NC_AVX512 static inline __m512 magnitudes16(const float *x, size_t i, size_t n) {
  __mmask16 present = i + lanes <= n ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
  return _mm512_and_ps(_mm512_maskz_loadu_ps(present, x + i), _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff)));
}

/* Two vectors of eight double lanes, added as in `added`. */
NC_AVX512 static inline double added8(__m512d d0, __m512d d1) {
  __m512d d = _mm512_add_pd(d0, d1);
  __m256d s = _mm256_add_pd(_mm512_castpd512_pd256(d), _mm512_extractf64x4_pd(d, 1));
  __m128d h = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
  return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

NC_AVX512 static void above_avx512(const float *x, size_t n, const float thresholds[4], nc_tail tails[4]) {
  __m512d d[4][2];
  uint64_t count[4] = {0, 0, 0, 0};
  __m512 t[4];
  for (int j = 0; j < 4; j++) {
    t[j] = _mm512_set1_ps(thresholds[j]);
    d[j][0] = d[j][1] = _mm512_setzero_pd();
  }
  const __m512i one = _mm512_set1_epi32(1);
  for (size_t i = 0; i < n;) {
    __m512 s[4];
    __m512i c[4];
    for (int j = 0; j < 4; j++) s[j] = _mm512_setzero_ps(), c[j] = _mm512_setzero_si512();
    for (size_t end = i + flush; i < end && i < n; i += lanes) {
      __m512 a = magnitudes16(x, i, n);
#pragma clang loop unroll(full)
      for (int j = 0; j < 4; j++) {
        __mmask16 k = _mm512_cmp_ps_mask(a, t[j], _CMP_GT_OQ);
        s[j] = _mm512_mask_add_ps(s[j], k, s[j], a);
        c[j] = _mm512_mask_add_epi32(c[j], k, c[j], one);
      }
    }
    for (int j = 0; j < 4; j++) {
      d[j][0] = _mm512_add_pd(d[j][0], _mm512_cvtps_pd(_mm512_castps512_ps256(s[j])));
      d[j][1] = _mm512_add_pd(d[j][1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(s[j], 1)));
      count[j] += (uint32_t)_mm512_reduce_add_epi32(c[j]);
    }
  }
  for (int j = 0; j < 4; j++) tails[j] = (nc_tail){added8(d[j][0], d[j][1]), count[j]};
}
#endif

/* -- Choice of form --------------------------------------------------------------------------------------------- */

uint32_t nc_magnitude_largest(const float *x, size_t n, double *sum) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return largest_avx2(x, n, sum);
#endif
  return largest_plain(x, n, sum);
}

void nc_magnitude_above(const float *x, size_t n, const float thresholds[4], nc_tail tails[4]) {
#if defined(__x86_64__)
  if (nc_level() >= 2)
    above_avx512(x, n, thresholds, tails);
  else if (nc_level() >= 1)
    above_avx2(x, n, thresholds, tails);
  else
#endif
    above_plain(x, n, thresholds, tails);
}

size_t nc_magnitude_collect(const float *x, size_t n, float low, float high, float *out, nc_tail *above) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return collect_avx2(x, n, low, high, out, above);
#endif
  return collect_plain(x, n, low, high, out, above);
}

/* -- Sorting ---------------------------------------------------------------------------------------------------- */

void nc_magnitude_sort(float *x, size_t n, float *room) {
  if (n <= 48) {
    for (size_t i = 1; i < n; i++) {
      float value = x[i];
      size_t j = i;
      for (; j > 0 && x[j - 1] < value; j--) x[j] = x[j - 1];
      x[j] = value;
    }
    return;
  }
  /* By their bits, a byte at a time from the lowest; a byte that all share is skipped. */
  size_t count[4][256] = {{0}};
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], 4);
    for (int b = 0; b < 4; b++) count[b][bits >> 8 * b & 255]++;
  }
  float *from = x, *to = room;
  for (int b = 0; b < 4; b++) {
    uint32_t first;
    memcpy(&first, from, 4);
    if (count[b][first >> 8 * b & 255] == n) continue;
    for (size_t digit = 256, start = 0; digit-- > 0;) {
      size_t size = count[b][digit];
      count[b][digit] = start;
      start += size;
    }
    for (size_t i = 0; i < n; i++) {
      uint32_t bits;
      memcpy(&bits, &from[i], 4);
      memcpy(&to[count[b][bits >> 8 * b & 255]++], &bits, 4);
    }
    float *swap = from;
    from = to;
    to = swap;
  }
  if (from != x) memcpy(x, from, n * sizeof *x);
}
