/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

enum { tall = nc_low_rank_rows, wide = nc_low_rank_columns };

void nc_low_rank_pack(const float *x, size_t stride, size_t step, size_t n, size_t rank, size_t width, double *out) {
  for (size_t first = 0; first < n; first += width, x += width * stride, out += width * rank) {
    size_t some = n - first < width ? n - first : width;
    if (some < width) memset(out, 0, width * rank * sizeof *out);
    if (step == 1) {
      for (size_t i = 0; i < some; i++)
        for (size_t k = 0; k < rank; k++) out[k * width + i] = (double)x[i * stride + k];
    } else {
      for (size_t k = 0; k < rank; k++)
        for (size_t i = 0; i < some; i++) out[k * width + i] = (double)x[i * stride + k * step];
    }
  }
}

/* The product of two floats is exact in double: whether it is fused with the addition makes no difference. */

static void products_plain(const double *left, size_t panels, const double *right, size_t rank, float *out,
                           size_t stride) {
  for (size_t p = 0; p < panels; p++, left += tall * rank, out += tall * stride)
    for (size_t i = 0; i < tall; i++) {
      double sum[wide] = {0};
      for (size_t k = 0; k < rank; k++)
        for (size_t j = 0; j < wide; j++) sum[j] += left[k * tall + i] * right[k * wide + j];
      for (size_t j = 0; j < wide; j++) out[i * stride + j] = (float)sum[j];
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void products_fma(const double *left, size_t panels, const double *right,
                                                             size_t rank, float *out, size_t stride) {
  for (size_t p = 0; p < panels; p++, out += tall * stride) {
    __m256d low[tall], high[tall];
    for (int i = 0; i < tall; i++) low[i] = high[i] = _mm256_setzero_pd();
    const double *r = right;
    for (size_t k = 0; k < rank; k++, left += tall, r += wide) {
      __m256d a = _mm256_loadu_pd(r), b = _mm256_loadu_pd(r + 4);
#pragma clang loop unroll(full)
      for (int i = 0; i < tall; i++) {
        __m256d factor = _mm256_broadcast_sd(left + i);
        low[i] = _mm256_fmadd_pd(factor, a, low[i]);
        high[i] = _mm256_fmadd_pd(factor, b, high[i]);
      }
    }
    for (int i = 0; i < tall; i++) {
      _mm_storeu_ps(out + (size_t)i * stride, _mm256_cvtpd_ps(low[i]));
      _mm_storeu_ps(out + (size_t)i * stride + 4, _mm256_cvtpd_ps(high[i]));
    }
  }
}
#endif

void nc_low_rank_products(const double *left, size_t panels, const double *right, size_t rank, float *out,
                          size_t stride) {
#if defined(__x86_64__)
  if (nc_level() >= 1 && __builtin_cpu_supports("fma")) {
    products_fma(left, panels, right, rank, out, stride);
    return;
  }
#endif
  products_plain(left, panels, right, rank, out, stride);
}
