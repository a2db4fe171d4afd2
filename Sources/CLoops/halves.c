/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

/* -- Widening --------------------------------------------------------------------------------------------------- */

static void widen_plain(const uint16_t *halves, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    /* Shifted into place and multiplied by 2^112, which is exact for every finite number. */
    uint32_t magnitude = (uint32_t)(halves[i] & 0x7fff) << 13, sign = (uint32_t)(halves[i] & 0x8000) << 16;
    float value;
    memcpy(&value, &magnitude, 4);
    value *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = (magnitude >= 0x0f800000 ? 0x7f800000 | magnitude : bits) | sign;
    bits |= (uint32_t)(magnitude > 0x0f800000) << 22;
    memcpy(&out[i], &bits, 4);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2,f16c"))) static void widen_f16c(const uint16_t *halves, size_t n, float *out) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
  widen_plain(halves + i, n - i, out + i);
}
#endif

void nc_widen(const uint16_t *halves, size_t n, bool brain, float *out) {
  if (brain) {
    for (size_t i = 0; i < n; i++) {
      uint32_t bits = (uint32_t)halves[i] << 16;
      bits |= (uint32_t)((bits & 0x7fffffff) > 0x7f800000) << 22;
      memcpy(&out[i], &bits, 4);
    }
    return;
  }
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    widen_f16c(halves, n, out);
    return;
  }
#endif
  widen_plain(halves, n, out);
}

/* -- Rounding to 16 bits ---------------------------------------------------------------------------------------- */

static uint16_t half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  bits &= 0x7FFFFFFF;
  if (bits > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (bits >> 13 & 0x3FF)); /* NaN, made quiet */
  if (bits >= 0x477FF000) return (uint16_t)(sign | 0x7C00);                       /* 65520 and more */
  if (bits < 0x38800000) {
    /* Below 2^-14: added to 1/2, the sum's last bit is that of subnormals, 2^-24. */
    float magnitude, sum;
    memcpy(&magnitude, &bits, 4);
    sum = magnitude + 0.5f;
    memcpy(&bits, &sum, 4);
    return (uint16_t)(sign | (bits - 0x3F000000));
  }
  bits += 0xFFF + (bits >> 13 & 1);
  return (uint16_t)(sign | ((bits >> 13) - (112 << 10)));
}

static uint16_t brain_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static void narrow_plain(const float *x, size_t n, uint16_t *halves) {
  for (size_t i = 0; i < n; i++) halves[i] = half(x[i]);
}

#if defined(__x86_64__)
__attribute__((target("avx2,f16c"))) static void narrow_avx2(const float *x, size_t n, uint16_t *halves) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128((__m128i *)(void *)(halves + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  narrow_plain(x + i, n - i, halves + i);
}
#endif

void nc_narrow(const float *x, size_t n, bool brain, uint16_t *halves) {
  if (brain) {
    for (size_t i = 0; i < n; i++) halves[i] = brain_half(x[i]);
    return;
  }
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    narrow_avx2(x, n, halves);
    return;
  }
#endif
  narrow_plain(x, n, halves);
}
