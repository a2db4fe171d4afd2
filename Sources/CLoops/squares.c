/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"
#include <math.h>
#include <string.h>

/* Products are statements of their own, so that no compiler contracts them into the sums. */
static void squares_plain(const float *x, size_t n, float least, double *norm, double *dropped) {
  double norms[lanes] = {0}, errors[lanes] = {0};
  for (size_t i = 0; i < n; i++) {
    double v = (double)x[i];
    double vv = v * v;
    norms[i % lanes] += vv;
    errors[i % lanes] += fabsf(x[i]) >= least ? 0 : vv;
  }
  *norm = added(norms);
  *dropped = added(errors);
}

#if defined(__x86_64__)
NC_AVX2 static inline void add_squares(__m128 x, __m256d least, __m256d *norm, __m256d *error) {
  __m256d v = _mm256_cvtps_pd(x);
  __m256d kept = _mm256_cmp_pd(_mm256_andnot_pd(_mm256_set1_pd(-0.0), v), least, _CMP_GE_OQ);
  __m256d vv = _mm256_mul_pd(v, v);
  *norm = _mm256_add_pd(*norm, vv);
  *error = _mm256_add_pd(*error, _mm256_andnot_pd(kept, vv));
}

NC_AVX2 static void squares_avx2(const float *x, size_t n, float least, double *norm, double *dropped) {
  const __m256d l = _mm256_set1_pd((double)least);
  __m256d norms[4], errors[4];
  for (int j = 0; j < 4; j++) norms[j] = errors[j] = _mm256_setzero_pd();
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 4; j++) add_squares(_mm_loadu_ps(x + i + 4 * j), l, &norms[j], &errors[j]);
  }
  /* Zeros change no sum. */
  float rest[lanes] = {0};
  memcpy(rest, x + i, (n - i) * sizeof *x);
  for (size_t j = 0; j < 4; j++) add_squares(_mm_loadu_ps(rest + 4 * j), l, &norms[j], &errors[j]);
  *norm = added4(norms);
  *dropped = added4(errors);
}
#endif

void nc_squares(const float *x, size_t n, float least, double *norm, double *dropped) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    squares_avx2(x, n, least, norm, dropped);
    return;
  }
#endif
  squares_plain(x, n, least, norm, dropped);
}

void nc_wide_squares(const double *x, size_t n, double unit, double least, double *norm, double *dropped) {
  double norms[lanes] = {0}, errors[lanes] = {0};
  for (size_t i = 0; i < n; i++) {
    double v = x[i] / unit;
    double vv = v * v;
    norms[i % lanes] += vv;
    errors[i % lanes] += fabs(x[i]) >= least ? 0 : vv;
  }
  *norm = added(norms);
  *dropped = added(errors);
}

double nc_squared_distance(const float *a, const float *b, size_t n) {
  double sums[lanes] = {0};
  for (size_t i = 0; i < n; i++) {
    double d = (double)a[i] - (double)b[i];
    double dd = d * d;
    sums[i % lanes] += dd;
  }
  return added(sums);
}

/* Eight floats, and the same as doubles. */
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef double wide_eight __attribute__((vector_size(64)));

NC_BODY void losses_body(const float *a, const float *b, size_t n, double *norm, double *error) {
  wide_eight sums[4] = {{0}, {0}, {0}, {0}};
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int half = 0; half < 2; half++) {
      wide_eight x = __builtin_convertvector(*(const eight *)(a + i + 8 * half), wide_eight);
      wide_eight y = __builtin_convertvector(*(const eight *)(b + i + 8 * half), wide_eight);
      wide_eight d = x - y;
      wide_eight xx = x * x, dd = d * d;
      sums[half] += xx;
      sums[2 + half] += dd;
    }
  double norms[lanes], errors[lanes];
  memcpy(norms, sums, sizeof norms);
  memcpy(errors, sums + 2, sizeof errors);
  for (; i < n; i++) {
    double x = (double)a[i], d = x - (double)b[i];
    double xx = x * x, dd = d * d;
    norms[i % lanes] += xx;
    errors[i % lanes] += dd;
  }
  *norm = added(norms);
  *error = added(errors);
}

static void losses_plain(const float *a, const float *b, size_t n, double *norm, double *error) {
  losses_body(a, b, n, norm, error);
}

#if defined(__x86_64__)
NC_AVX2 static void losses_avx2(const float *a, const float *b, size_t n, double *norm, double *error) {
  losses_body(a, b, n, norm, error);
}
#endif

void nc_squared_errors(const float *a, const float *b, size_t n, double *norm, double *error) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    losses_avx2(a, b, n, norm, error);
    return;
  }
#endif
  losses_plain(a, b, n, norm, error);
}
