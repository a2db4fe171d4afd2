#include "level.h"
#include <math.h>
#include <string.h>

enum { lanes = 16, rounds = 32, flush = lanes * rounds };

/* The fixed order in which lanes are added. */
static double added(double *lane) {
  for (int width = lanes / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lane[l] += lane[l + width];
  return lane[0];
}

static uint32_t magnitude_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits & 0x7fffffffu;
}

/* -- Largest ---------------------------------------------------------------------------------------------------- */

/* The flushing loops below handle at most `flush` elements: `whole` rounds of 16, then the rest. */
static uint32_t largest_plain(const float *x, size_t n, float lane[lanes]) {
  uint32_t most = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = magnitude_bits(x[i]);
    most = bits > most ? bits : most;
    lane[i % lanes] += fabsf(x[i]);
  }
  return most;
}

#if defined(__x86_64__)
NC_AVX2 static uint32_t largest_avx2(const float *x, size_t n, float lane[lanes]) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 s0 = _mm256_setzero_ps(), s1 = s0;
  __m256i m0 = _mm256_setzero_si256(), m1 = m0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    __m256 a = _mm256_and_ps(_mm256_loadu_ps(x + i), magnitude);
    __m256 b = _mm256_and_ps(_mm256_loadu_ps(x + i + 8), magnitude);
    m0 = _mm256_max_epu32(m0, _mm256_castps_si256(a));
    m1 = _mm256_max_epu32(m1, _mm256_castps_si256(b));
    s0 = _mm256_add_ps(s0, a);
    s1 = _mm256_add_ps(s1, b);
  }
  _mm256_storeu_ps(lane, s0);
  _mm256_storeu_ps(lane + 8, s1);
  m0 = _mm256_max_epu32(m0, m1);
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(m0), _mm256_extracti128_si256(m0, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
  uint32_t most = (uint32_t)_mm_cvtsi128_si32(m);
  for (; i < n; i++) {
    uint32_t bits = magnitude_bits(x[i]);
    most = bits > most ? bits : most;
    lane[i % lanes] += fabsf(x[i]);
  }
  return most;
}
#endif

uint32_t nc_magnitude_largest(const float *x, size_t n, double *sum) {
  uint32_t most = 0;
  double total[lanes] = {0};
#if defined(__x86_64__)
  bool vectors = nc_level() >= 1;
#endif
  while (n > 0) {
    size_t part = n < flush ? n : flush;
    float lane[lanes] = {0};
    uint32_t bits;
#if defined(__x86_64__)
    if (vectors)
      bits = largest_avx2(x, part, lane);
    else
#endif
      bits = largest_plain(x, part, lane);
    most = bits > most ? bits : most;
    for (int l = 0; l < lanes; l++) total[l] += (double)lane[l];
    x += part;
    n -= part;
  }
  *sum = added(total);
  return most;
}

/* -- Above ------------------------------------------------------------------------------------------------------ */

typedef struct {
  float lane[4][lanes];
  uint32_t count[4];
} flushed;

static void above_plain(const float *x, size_t n, const float t[4], flushed *f) {
  for (int j = 0; j < 4; j++)
    for (size_t i = 0; i < n; i++) {
      float a = fabsf(x[i]);
      f->lane[j][i % lanes] += a > t[j] ? a : 0;
      f->count[j] += a > t[j];
    }
}

#if defined(__x86_64__)
NC_AVX2 static void above_avx2(const float *x, size_t n, const float t[4], flushed *f) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 s[8], threshold[4];
  __m256i c[4];
  for (int j = 0; j < 8; j++) s[j] = _mm256_setzero_ps();
  for (int j = 0; j < 4; j++) c[j] = _mm256_setzero_si256(), threshold[j] = _mm256_set1_ps(t[j]);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    __m256 a = _mm256_and_ps(_mm256_loadu_ps(x + i), magnitude);
    __m256 b = _mm256_and_ps(_mm256_loadu_ps(x + i + 8), magnitude);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
      __m256 ka = _mm256_cmp_ps(a, threshold[j], _CMP_GT_OQ), kb = _mm256_cmp_ps(b, threshold[j], _CMP_GT_OQ);
      s[j] = _mm256_add_ps(s[j], _mm256_and_ps(a, ka));
      s[4 + j] = _mm256_add_ps(s[4 + j], _mm256_and_ps(b, kb));
      c[j] = _mm256_add_epi32(c[j], _mm256_add_epi32(_mm256_castps_si256(ka), _mm256_castps_si256(kb)));
    }
  }
  for (int j = 0; j < 4; j++) {
    _mm256_storeu_ps(f->lane[j], s[j]);
    _mm256_storeu_ps(f->lane[j] + 8, s[4 + j]);
    __m128i h = _mm_add_epi32(_mm256_castsi256_si128(c[j]), _mm256_extracti128_si256(c[j], 1));
    h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1));
    f->count[j] = (uint32_t)-_mm_cvtsi128_si32(h);
  }
  if (i < n) above_plain(x + i, n - i, t, f);
}

NC_AVX512 static void above_avx512(const float *x, size_t n, const float t[4], flushed *f) {
  const __m512 magnitude = _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff));
  __m512 s[4], threshold[4];
  uint32_t c[4] = {0, 0, 0, 0};
  for (int j = 0; j < 4; j++) s[j] = _mm512_setzero_ps(), threshold[j] = _mm512_set1_ps(t[j]);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    __m512 a = _mm512_and_ps(_mm512_loadu_ps(x + i), magnitude);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
      __mmask16 k = _mm512_cmp_ps_mask(a, threshold[j], _CMP_GT_OQ);
      s[j] = _mm512_mask_add_ps(s[j], k, s[j], a);
      c[j] += (uint32_t)_mm_popcnt_u32(k);
    }
  }
  for (int j = 0; j < 4; j++) {
    _mm512_storeu_ps(f->lane[j], s[j]);
    f->count[j] = c[j];
  }
  if (i < n) above_plain(x + i, n - i, t, f);
}
#endif

void nc_magnitude_above(const float *x, size_t n, const float thresholds[4], nc_tail tails[4]) {
  double total[4][lanes] = {{0}};
  for (int j = 0; j < 4; j++) tails[j].count = 0;
  void (*form)(const float *, size_t, const float[4], flushed *) = above_plain;
#if defined(__x86_64__)
  if (nc_level() >= 2)
    form = above_avx512;
  else if (nc_level() >= 1)
    form = above_avx2;
#endif
  while (n > 0) {
    size_t part = n < flush ? n : flush;
    flushed f = {{{0}}, {0}};
    form(x, part, thresholds, &f);
    for (int j = 0; j < 4; j++) {
      for (int l = 0; l < lanes; l++) total[j][l] += (double)f.lane[j][l];
      tails[j].count += f.count[j];
    }
    x += part;
    n -= part;
  }
  for (int j = 0; j < 4; j++) tails[j].sum = added(total[j]);
}

/* -- Collect ---------------------------------------------------------------------------------------------------- */

static size_t collect_plain(const float *x, size_t n, float low, float high, float *out, double lane[lanes],
                            uint64_t *count) {
  size_t taken = 0;
  for (size_t i = 0; i < n; i++) {
    float a = fabsf(x[i]);
    out[taken] = a;
    taken += (a > low) & (a <= high);
    lane[i % lanes] += a > high ? (double)a : 0;
    *count += a > high;
  }
  return taken;
}

#if defined(__x86_64__)
/* For each mask of eight, the positions of its set bits, one a byte. */
static uint64_t positions[256];

__attribute__((constructor)) static void make_positions(void) {
  for (int mask = 0; mask < 256; mask++)
    for (int bit = 0, at = 0; bit < 8; bit++)
      if (mask >> bit & 1) positions[mask] |= (uint64_t)bit << 8 * at++;
}

NC_AVX2 static size_t collect_avx2(const float *x, size_t n, float low, float high, float *out, double lane[lanes],
                                   uint64_t *count) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256 l = _mm256_set1_ps(low), h = _mm256_set1_ps(high);
  __m256d s[4];
  for (int j = 0; j < 4; j++) s[j] = _mm256_setzero_pd();
  size_t i = 0, taken = 0;
  uint64_t tail = 0;
  for (; i + lanes <= n; i += lanes)
    for (int j = 0; j < 2; j++) {
      __m256 a = _mm256_and_ps(_mm256_loadu_ps(x + i + 8 * j), magnitude);
      __m256 kept = _mm256_cmp_ps(a, h, _CMP_GT_OQ);
      unsigned k = (unsigned)_mm256_movemask_ps(kept);
      unsigned between = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, l, _CMP_GT_OQ)) & ~k;
      tail += (uint64_t)_mm_popcnt_u32(k);
      if (between) {
        __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)positions[between]));
        _mm256_storeu_ps(out + taken, _mm256_permutevar8x32_ps(a, order));
        taken += (size_t)_mm_popcnt_u32(between);
      }
      a = _mm256_and_ps(a, kept);
      s[2 * j] = _mm256_add_pd(s[2 * j], _mm256_cvtps_pd(_mm256_castps256_ps128(a)));
      s[2 * j + 1] = _mm256_add_pd(s[2 * j + 1], _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)));
    }
  for (int j = 0; j < 4; j++) _mm256_storeu_pd(lane + 4 * j, s[j]);
  *count += tail;
  return taken + collect_plain(x + i, n - i, low, high, out + taken, lane, count);
}

NC_AVX512 static size_t collect_avx512(const float *x, size_t n, float low, float high, float *out,
                                       double lane[lanes], uint64_t *count) {
  const __m512 magnitude = _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff));
  const __m512 l = _mm512_set1_ps(low), h = _mm512_set1_ps(high);
  __m512d s0 = _mm512_setzero_pd(), s1 = s0;
  size_t i = 0, taken = 0;
  uint64_t tail = 0;
  for (; i + lanes <= n; i += lanes) {
    __m512 a = _mm512_and_ps(_mm512_loadu_ps(x + i), magnitude);
    __mmask16 kept = _mm512_cmp_ps_mask(a, h, _CMP_GT_OQ);
    __mmask16 between = _mm512_cmp_ps_mask(a, l, _CMP_GT_OQ) & (__mmask16)~kept;
    tail += (uint64_t)_mm_popcnt_u32(kept);
    /* Compressed in a register: compressing straight to memory is microcoded on some processors. */
    _mm512_storeu_ps(out + taken, _mm512_maskz_compress_ps(between, a));
    taken += (size_t)_mm_popcnt_u32(between);
    a = _mm512_maskz_mov_ps(kept, a);
    s0 = _mm512_add_pd(s0, _mm512_cvtps_pd(_mm512_castps512_ps256(a)));
    s1 = _mm512_add_pd(s1, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)));
  }
  _mm512_storeu_pd(lane, s0);
  _mm512_storeu_pd(lane + 8, s1);
  *count += tail;
  return taken + collect_plain(x + i, n - i, low, high, out + taken, lane, count);
}
#endif

size_t nc_magnitude_collect(const float *x, size_t n, float low, float high, float *out, nc_tail *above) {
  double lane[lanes] = {0};
  uint64_t count = 0;
  size_t taken;
#if defined(__x86_64__)
  if (nc_level() >= 2)
    taken = collect_avx512(x, n, low, high, out, lane, &count);
  else if (nc_level() >= 1)
    taken = collect_avx2(x, n, low, high, out, lane, &count);
  else
#endif
    taken = collect_plain(x, n, low, high, out, lane, &count);
  above->sum = added(lane);
  above->count = count;
  return taken;
}

/* -- Error ------------------------------------------------------------------------------------------------------ */

static void error_plain(const float *x, size_t n, float above, double scale, double norm[lanes], double error[lanes]) {
  for (size_t i = 0; i < n; i++) {
    float a = fabsf(x[i]);
    double v = (double)a, r = a > above ? v - scale : v;
    double vv = v * v, rr = r * r;
    norm[i % lanes] += vv;
    error[i % lanes] += rr;
  }
}

#if defined(__x86_64__)
NC_AVX2 static void error_avx2(const float *x, size_t n, float above, double scale, double norm[lanes],
                               double error[lanes]) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256d t = _mm256_set1_pd((double)above), s = _mm256_set1_pd(scale);
  __m256d nn[4], ee[4];
  for (int j = 0; j < 4; j++) nn[j] = ee[j] = _mm256_setzero_pd();
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
      __m256d v = _mm256_cvtps_pd(_mm_and_ps(_mm_loadu_ps(x + i + 4 * j), _mm256_castps256_ps128(magnitude)));
      __m256d r = _mm256_sub_pd(v, _mm256_and_pd(_mm256_cmp_pd(v, t, _CMP_GT_OQ), s));
      nn[j] = _mm256_add_pd(nn[j], _mm256_mul_pd(v, v));
      ee[j] = _mm256_add_pd(ee[j], _mm256_mul_pd(r, r));
    }
  for (int j = 0; j < 4; j++) {
    _mm256_storeu_pd(norm + 4 * j, nn[j]);
    _mm256_storeu_pd(error + 4 * j, ee[j]);
  }
  if (i < n) error_plain(x + i, n - i, above, scale, norm, error);
}

NC_AVX512 static void error_avx512(const float *x, size_t n, float above, double scale, double norm[lanes],
                                   double error[lanes]) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m512d t = _mm512_set1_pd((double)above), s = _mm512_set1_pd(scale);
  __m512d n0 = _mm512_setzero_pd(), n1 = n0, e0 = n0, e1 = n0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    __m512d v = _mm512_cvtps_pd(_mm256_and_ps(_mm256_loadu_ps(x + i), magnitude));
    __m512d w = _mm512_cvtps_pd(_mm256_and_ps(_mm256_loadu_ps(x + i + 8), magnitude));
    __m512d q = _mm512_mask_sub_pd(v, _mm512_cmp_pd_mask(v, t, _CMP_GT_OQ), v, s);
    __m512d r = _mm512_mask_sub_pd(w, _mm512_cmp_pd_mask(w, t, _CMP_GT_OQ), w, s);
    n0 = _mm512_add_pd(n0, _mm512_mul_pd(v, v));
    n1 = _mm512_add_pd(n1, _mm512_mul_pd(w, w));
    e0 = _mm512_add_pd(e0, _mm512_mul_pd(q, q));
    e1 = _mm512_add_pd(e1, _mm512_mul_pd(r, r));
  }
  _mm512_storeu_pd(norm, n0);
  _mm512_storeu_pd(norm + 8, n1);
  _mm512_storeu_pd(error, e0);
  _mm512_storeu_pd(error + 8, e1);
  if (i < n) error_plain(x + i, n - i, above, scale, norm, error);
}
#endif

void nc_ternary_error(const float *x, size_t n, float above, double scale, double *norm, double *error) {
  double norms[lanes] = {0}, errors[lanes] = {0};
#if defined(__x86_64__)
  if (nc_level() >= 2)
    error_avx512(x, n, above, scale, norms, errors);
  else if (nc_level() >= 1)
    error_avx2(x, n, above, scale, norms, errors);
  else
#endif
    error_plain(x, n, above, scale, norms, errors);
  *norm = added(norms);
  *error = added(errors);
}
