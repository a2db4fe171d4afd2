/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_LANES_H
#define NC_LANES_H
#include "level.h"

/* Sums are taken in this many lanes, element i in lane i mod lanes. */
enum { lanes = 16 };

/* The fixed order in which lanes are added. */
static inline double added(double *lane) {
  for (int width = lanes / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lane[l] += lane[l + width];
  return lane[0];
}

#if defined(__x86_64__)
/* Four vectors of four double lanes, added as in `added`. */
NC_AVX2 static inline double added4(const __m256d d[4]) {
  __m256d s = _mm256_add_pd(_mm256_add_pd(d[0], d[2]), _mm256_add_pd(d[1], d[3]));
  __m128d h = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
  return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}
#endif

#endif
