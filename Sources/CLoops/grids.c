/* SPDX-License-Identifier: Apache-2.0 */
#include "grids.h"
#include "level.h"
#include <string.h>

/* How vectors are passed does not matter: what takes them is always inlined. */
#pragma clang diagnostic ignored "-Wpsabi"

typedef double double8 __attribute__((ext_vector_type(8)));
typedef float float8 __attribute__((ext_vector_type(8)));
typedef int64_t mask8 __attribute__((ext_vector_type(8)));
typedef int8_t code8 __attribute__((ext_vector_type(8)));

/* Products are statements of their own, so that no compiler contracts them into the sums. */

/* Weights i ..< i + 8, zeros from n on: they add nothing to any sum. */
NC_BODY double8 weights8(const void *x, bool wide, size_t i, size_t n) {
  if (wide) {
    double8 w = 0;
    if (i + 8 <= n)
      memcpy(&w, (const double *)x + i, sizeof w);
    else
      memcpy(&w, (const double *)x + i, (n - i) * sizeof(double));
    return w;
  }
  float8 w = 0;
  if (i + 8 <= n)
    memcpy(&w, (const float *)x + i, sizeof w);
  else
    memcpy(&w, (const float *)x + i, (n - i) * sizeof(float));
  return __builtin_convertvector(w, double8);
}

NC_BODY mask8 magnitude_bits(double8 x) { return (mask8)x & INT64_MAX; }

/* The nearest integer, of two the even one, for |q| < 2^51. */
NC_BODY double8 nearest8(double8 q) {
  double8 shifted = q + 0x1.8p52;
  return shifted - 0x1.8p52;
}

NC_BODY double added8(double8 lane) {
  typedef double double4 __attribute__((ext_vector_type(4)));
  double4 b = lane.lo + lane.hi;
  return (b.x + b.z) + (b.y + b.w);
}

NC_BODY void store_codes(double8 k, int8_t *codes, size_t i, size_t n) {
  code8 code = __builtin_convertvector(k, code8);
  memcpy(codes + i, &code, i + 8 <= n ? 8 : n - i);
}

/* -- A given step -------------------------------------------------------------------------------------------------- */

NC_BODY nc_grid_sums round_body(const void *x, bool wide, size_t n, double inverse, int8_t *_Nullable codes) {
  double8 rests = 0, slope = 0, squares = 0;
  mask8 largest = 0, nonzero = 0, exceptions = 0;
  for (size_t i = 0; i < n; i += 8) {
    double8 w = weights8(x, wide, i, n);
    double8 q = w * inverse;
    double8 k = nearest8(q);
    double8 rest = q - k;
    double8 rest_square = rest * rest;
    double8 product = k * rest;
    double8 square = k * k;
    rests += rest_square;
    slope += product;
    squares += square;
    mask8 bits = magnitude_bits(w);
    largest = bits > largest ? bits : largest;
    nonzero += k != 0;
    mask8 large = square > 127 * 127;
    exceptions += large;
    if (codes) store_codes(large ? (double8)-128 : k, codes, i, n);
  }
  return (nc_grid_sums){
      .rest = added8(rests),
      .slope = added8(slope),
      .squares = added8(squares),
      .largest = (uint64_t)__builtin_reduce_max(largest),
      .nonzero = (uint64_t)-__builtin_reduce_add(nonzero),
      .exceptions = (uint64_t)-__builtin_reduce_add(exceptions),
  };
}

/* -- The best scale ------------------------------------------------------------------------------------------------ */

NC_BODY double8 steps8(double8 w, double inverse, double most) {
  double8 q = w * inverse;
  return nearest8(q < most ? q : (double8)most);
}

NC_BODY nc_scale_sums evaluate_body(const void *x, bool wide, size_t n, double scale, double most) {
  double8 errors = 0, slope = 0, squares = 0, steps = 0;
  double inverse = 1 / scale;
  for (size_t i = 0; i < n; i += 8) {
    double8 w = (double8)magnitude_bits(weights8(x, wide, i, n));
    double8 k = steps8(w, inverse, most);
    double8 value = k * scale;
    double8 e = w - value;
    double8 ee = e * e, ke = k * e, kk = k * k;
    errors += ee;
    slope += ke;
    squares += kk;
    steps += k;
  }
  return (nc_scale_sums){added8(errors), added8(slope), added8(squares), added8(steps)};
}

NC_BODY size_t breakpoints_body(const void *x, bool wide, size_t n, double low, double high, double most,
                                nc_breakpoint *out) {
  double inverse_low = 1 / low, inverse_high = 1 / high;
  size_t count = 0;
  for (size_t i = 0; i < n; i += 8) {
    double8 w = (double8)magnitude_bits(weights8(x, wide, i, n));
    double8 from = steps8(w, inverse_high, most), to = steps8(w, inverse_low, most);
    if (!__builtin_reduce_or(from < to)) continue;
    for (size_t j = 0; j < 8 && i + j < n; j++)
      for (double k = from[j]; k < to[j]; k++) {
        double step = 2 * k + 1;
        out[count++] = (nc_breakpoint){2 * w[j] / step, w[j], step};
      }
  }
  return count;
}

NC_BODY size_t codes_body(const void *x, bool wide, size_t n, double scale, double most, int8_t *codes) {
  double inverse = 1 / scale;
  mask8 nonzero = 0;
  for (size_t i = 0; i < n; i += 8) {
    double8 w = weights8(x, wide, i, n);
    double8 k = steps8((double8)magnitude_bits(w), inverse, most);
    nonzero += k != 0;
    store_codes(w < 0 ? -k : k, codes, i, n);
  }
  return (size_t)-__builtin_reduce_add(nonzero);
}

/* -- Tables -------------------------------------------------------------------------------------------------------- */

NC_BODY void level_body(const float *x, size_t n, const float *thresholds, size_t count, uint8_t *codes) {
  typedef float float16v __attribute__((ext_vector_type(16)));
  typedef int32_t int16v __attribute__((ext_vector_type(16)));
  typedef uint8_t byte16v __attribute__((ext_vector_type(16)));
  size_t i = 0;
  if (count <= 32)
    for (; i + 16 <= n; i += 16) {
      float16v w;
      memcpy(&w, x + i, sizeof w);
      int16v above = 0;
      for (size_t t = 0; t < count; t++) above -= w > thresholds[t];
      byte16v code = __builtin_convertvector(above, byte16v);
      memcpy(codes + i, &code, sizeof code);
    }
  for (; i < n; i++) {
    const float *from = thresholds;
    for (size_t left = count; left > 0;) {
      size_t half = left / 2;
      bool above = x[i] > from[half];
      from += above ? half + 1 : 0;
      left = above ? left - half - 1 : half;
    }
    codes[i] = (uint8_t)(from - thresholds);
  }
}

/* -- Levels -------------------------------------------------------------------------------------------------------- */

#define NC_FORMS(level, target)                                                                                       \
  target static nc_grid_sums round_##level(const void *x, bool wide, size_t n, double inverse,                    \
                                      int8_t *_Nullable codes) {                                                      \
    if (wide) return round_body(x, true, n, inverse, codes);                                                          \
    return codes ? round_body(x, false, n, inverse, codes) : round_body(x, false, n, inverse, (int8_t *)0);           \
  }                                                                                                                   \
  target static nc_scale_sums evaluate_##level(const void *x, bool wide, size_t n, double scale, double most) {       \
    return wide ? evaluate_body(x, true, n, scale, most) : evaluate_body(x, false, n, scale, most);                   \
  }                                                                                                                   \
  target static size_t breakpoints_##level(const void *x, bool wide, size_t n, double low, double high, double most,  \
                                           nc_breakpoint *out) {                                                      \
    return wide ? breakpoints_body(x, true, n, low, high, most, out)                                                  \
                : breakpoints_body(x, false, n, low, high, most, out);                                                \
  }                                                                                                                   \
  target static size_t codes_##level(const void *x, bool wide, size_t n, double scale, double most, int8_t *codes) {  \
    return wide ? codes_body(x, true, n, scale, most, codes) : codes_body(x, false, n, scale, most, codes);           \
  }                                                                                                                   \
  target static void level_##level(const float *x, size_t n, const float *thresholds, size_t count,                   \
                                   uint8_t *codes) {                                                                  \
    level_body(x, n, thresholds, count, codes);                                                                       \
  }

NC_FORMS(plain, NC_PLAIN)
#if defined(__x86_64__)
NC_FORMS(avx2, NC_AVX2)
NC_FORMS(avx512, NC_AVX512)
#define NC_BEST(name, ...)                                                                                            \
  (nc_level() >= 2   ? name##_avx512(__VA_ARGS__)                                                                     \
   : nc_level() >= 1 ? name##_avx2(__VA_ARGS__)                                                                       \
                     : name##_plain(__VA_ARGS__))
#else
#define NC_BEST(name, ...) name##_plain(__VA_ARGS__)
#endif

nc_grid_sums nc_grid_round(const void *x, bool wide, size_t n, double inverse, int8_t *codes) {
  return NC_BEST(round, x, wide, n, inverse, codes);
}

nc_scale_sums nc_scale_evaluate(const void *x, bool wide, size_t n, double scale, double most) {
  return NC_BEST(evaluate, x, wide, n, scale, most);
}

size_t nc_scale_breakpoints(const void *x, bool wide, size_t n, double low, double high, double most,
                            nc_breakpoint *out) {
  return NC_BEST(breakpoints, x, wide, n, low, high, most, out);
}

size_t nc_scale_codes(const void *x, bool wide, size_t n, double scale, double most, int8_t *codes) {
  return NC_BEST(codes, x, wide, n, scale, most, codes);
}

void nc_level_codes(const float *x, size_t n, const float *thresholds, size_t count, uint8_t *codes) {
  NC_BEST(level, x, n, thresholds, count, codes);
}
