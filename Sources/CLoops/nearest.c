/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

/* Written once, in vectors of 16 elements as the compiler offers them to every processor, and compiled for each level.
   Sums are only added to, so every level gives the same bytes. */
typedef uint32_t bits16 __attribute__((ext_vector_type(16)));
typedef float floats16 __attribute__((ext_vector_type(16)));
typedef double double8 __attribute__((ext_vector_type(8)));
typedef float floats8 __attribute__((ext_vector_type(8)));
typedef uint32_t bits8 __attribute__((ext_vector_type(8)));
typedef int64_t mask8 __attribute__((ext_vector_type(8)));
typedef bool bool8 __attribute__((ext_vector_type(8)));
#define INLINE static inline __attribute__((always_inline))

enum { lanes = 16, most_vectors = 4 };

/* The magnitudes of x[i] ..< x[i + 16], as bits; zeros from x[n] on. */
INLINE void magnitudes(const float *x, size_t i, size_t n, bits16 *a) {
  if (i + lanes <= n) {
    memcpy(a, x + i, sizeof *a);
  } else {
    uint32_t part[lanes] = {0};
    if (i < n) memcpy(part, x + i, (n - i) * sizeof *part);
    memcpy(a, part, sizeof *a);
  }
  *a &= 0x7fffffff;
}

/* -- Sorting networks ------------------------------------------------------------------------------------------- */

/* One layer of a network: lane i meets lane i ^ mask, and the larger goes to the lane without `bit`, the highest of
   `mask`. */
#define PARTNERS(m) 0 ^ m, 1 ^ m, 2 ^ m, 3 ^ m, 4 ^ m, 5 ^ m, 6 ^ m, 7 ^ m, 8 ^ m, 9 ^ m, 10 ^ m, 11 ^ m, 12 ^ m, \
                    13 ^ m, 14 ^ m, 15 ^ m
#define LANE(i, bit) i + (i & bit ? lanes : 0)
#define CHOICE(b) LANE(0, b), LANE(1, b), LANE(2, b), LANE(3, b), LANE(4, b), LANE(5, b), LANE(6, b), LANE(7, b), \
                  LANE(8, b), LANE(9, b), LANE(10, b), LANE(11, b), LANE(12, b), LANE(13, b), LANE(14, b), LANE(15, b)
#define LAYER(x, mask, bit)                                                                                            \
  do {                                                                                                                 \
    bits16 other = __builtin_shufflevector(x, x, PARTNERS(mask));                                                      \
    bits16 more = __builtin_elementwise_max(x, other), less = __builtin_elementwise_min(x, other);                     \
    x = __builtin_shufflevector(more, less, CHOICE(bit));                                                              \
  } while (0)

/* Sorts 16 * vectors numbers, largest first (Batcher's bitonic merges, the second run of each pair reversed, so
   that all comparisons point one way). `vectors` is a power of two. */
INLINE void sort(bits16 *x, int vectors) {
#pragma clang loop unroll(full)
  for (int v = 0; v < vectors; v++) {
    LAYER(x[v], 1, 1);
    LAYER(x[v], 3, 2);
    LAYER(x[v], 1, 1);
    LAYER(x[v], 7, 4);
    LAYER(x[v], 2, 2);
    LAYER(x[v], 1, 1);
    LAYER(x[v], 15, 8);
    LAYER(x[v], 4, 4);
    LAYER(x[v], 2, 2);
    LAYER(x[v], 1, 1);
  }
#pragma clang loop unroll(full)
  for (int run = 1; run < vectors; run *= 2) {
#pragma clang loop unroll(full)
    for (int first = 0; first < vectors; first += 2 * run) {
#pragma clang loop unroll(full)
      for (int v = 0; v < run; v++) {
        bits16 a = x[first + v], b = x[first + 2 * run - 1 - v];
        b = __builtin_shufflevector(b, b, PARTNERS(15));
        x[first + v] = __builtin_elementwise_max(a, b);
        b = __builtin_elementwise_min(a, b);
        x[first + 2 * run - 1 - v] = __builtin_shufflevector(b, b, PARTNERS(15));
      }
    }
#pragma clang loop unroll(full)
    for (int distance = run / 2; distance > 0; distance /= 2)
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++)
        if ((v & distance) == 0) {
          bits16 a = x[v], b = x[v + distance];
          x[v] = __builtin_elementwise_max(a, b);
          x[v + distance] = __builtin_elementwise_min(a, b);
        }
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      LAYER(x[v], 8, 8);
      LAYER(x[v], 4, 4);
      LAYER(x[v], 2, 2);
      LAYER(x[v], 1, 1);
    }
  }
}

/* -- The best of few supports ----------------------------------------------------------------------------------- */

/* 1 / k. */
enum { inverses = 1024 };
static double inverse[inverses];

__attribute__((constructor)) static void make_inverses(void) {
  for (int k = 1; k < inverses; k++) inverse[k] = 1.0 / k;
}

/* The prefix sums of 8 numbers: pairs, then quarters, then halves. */
INLINE void scan(double8 *x) {
  const double8 zero = 0;
  *x += __builtin_shufflevector(*x, zero, 8, 0, 8, 2, 8, 4, 8, 6);
  *x += __builtin_shufflevector(*x, zero, 8, 8, 1, 1, 8, 8, 5, 5);
  *x += __builtin_shufflevector(*x, zero, 8, 8, 8, 8, 3, 3, 3, 3);
}

/* The best of the supports that have `base` and some of the largest of n <= 16 * vectors candidates; no other magnitude
   that is not in `base` exceeds `low`. Returns the bits of the largest candidate. */
INLINE uint32_t best_of(const float *candidates, size_t n, nc_tail base, float low, int vectors,
                        nc_support *support) {
  bits16 x[most_vectors];
  double objective[most_vectors * lanes], sums[most_vectors * lanes];
  /* The zeros that fill the last vector make no support better. */
#pragma clang loop unroll(full)
  for (int v = 0; v < vectors; v++) magnitudes(candidates, (size_t)v * lanes, n, &x[v]);
  sort(x, vectors);
  uint32_t sorted[most_vectors * lanes + 1];
  memcpy(sorted, x, (size_t)vectors * sizeof *x);
  sorted[vectors * lanes] = 0;

  /* S_k^2 / k, for small k by way of 1 / k: off by less than 2^-50. Not inside a run of equals. */
  const bits16 zeros = 0;
  double8 carry = base.sum, most = 0;
  bool is_small = base.count < inverses - most_vectors * lanes;
#pragma clang loop unroll(full)
  for (int v = 0; v < 2 * vectors; v++) {
    bits16 all = x[v / 2];
    bits16 shifted = __builtin_shufflevector(all, v / 2 + 1 < vectors ? x[v / 2 + 1] : zeros, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                             10, 11, 12, 13, 14, 15, 16);
    bits8 here = v % 2 == 0 ? all.lo : all.hi, next = v % 2 == 0 ? shifted.lo : shifted.hi;
    double8 s = __builtin_convertvector((floats8)here, double8), k;
    scan(&s);
    s += carry;
    carry = s.s7;
    double8 f = s * s;
    if (is_small) {
      memcpy(&k, inverse + base.count + 8 * v + 1, sizeof k);
      f *= k;
    } else {
      k = (double8){1, 2, 3, 4, 5, 6, 7, 8} + (double)(base.count + 8 * (uint64_t)v);
      f /= k;
    }
    mask8 last = __builtin_convertvector(here != next, mask8);
    f = (double8)((mask8)f & last);
    most = __builtin_elementwise_max(most, f);
    memcpy(sums + 8 * v, &s, sizeof s);
    memcpy(objective + 8 * v, &f, sizeof f);
  }
  double reached = __builtin_reduce_max(most) * (1 - 0x1p-48);
  uint64_t contenders = 0;
#pragma clang loop unroll(full)
  for (int v = 0; v < 2 * vectors; v++) {
    double8 f;
    memcpy(&f, objective + 8 * v, sizeof f);
    bool8 is = __builtin_convertvector(f >= reached, bool8);
    uint8_t byte;
    memcpy(&byte, &is, 1);
    contenders |= (uint64_t)byte << 8 * v;
  }

  /* Between those that come near, S_k^2 / k itself decides; the first, if several. */
  double best = base.count > 0 ? base.sum * base.sum / (double)base.count : 0;
  int chosen = -1;
  if (best < reached && (contenders & (contenders - 1)) == 0) {
    chosen = __builtin_ctzll(contenders);
  } else {
    for (; contenders != 0; contenders &= contenders - 1) {
      int i = __builtin_ctzll(contenders);
      double f = sums[i] * sums[i] / (double)(base.count + (uint64_t)i + 1);
      if (f > best) best = f, chosen = i;
    }
  }
  uint64_t added = (uint64_t)(chosen + 1);
  support->count = base.count + added;
  support->sum = chosen < 0 ? base.sum : sums[chosen];
  if (added < n)
    memcpy(&support->above, &sorted[added], sizeof support->above);
  else
    support->above = low;
  return sorted[0];
}

INLINE uint32_t best_of_any(const float *candidates, size_t n, nc_tail base, float low, nc_support *support) {
  return n <= lanes       ? best_of(candidates, n, base, low, 1, support)
         : n <= 2 * lanes ? best_of(candidates, n, base, low, 2, support)
                          : best_of(candidates, n, base, low, 4, support);
}

/* -- The best support of a group -------------------------------------------------------------------------------- */

INLINE double added(const floats16 *lane) {
  floats8 a = lane->lo + lane->hi;
  typedef float floats4 __attribute__((ext_vector_type(4)));
  floats4 b = a.lo + a.hi;
  return (double)(b.x + b.z) + (double)(b.y + b.w);
}

/* S (1/2 + slack) / k, rounded away from S / 2k: a step further, which counts among subnormal numbers. */
INLINE float fixed_point(const floats16 *lane, double count, double slack) {
  float t = (float)(added(lane) / count * (0.5 + slack));
  uint32_t bits;
  memcpy(&bits, &t, sizeof bits);
  bits += slack > 0 ? 1 : bits > 0 ? -1u : 0;
  memcpy(&t, &bits, sizeof t);
  return t;
}

/* As many magnitudes as are in question are sorted at once; when they are more, the ends low <= high of the thresholds
   that are in question are drawn together first. With phi(t) = mean(|w| : |w| > t) / 2, the threshold of the best
   support lies in phi(low) ... phi(high) when it lies in low ... high, and at first in phi(0) ... max|w| / 2
   (OptimalSupport.swift, law 2). Sums are added in float in 16 lanes of at most 32 numbers, so phi is right to
   a relative 2^-18. */
INLINE bool nearest(const float *x, size_t n, nc_support *support) {
  const double slack = 0x1p-17;
  const uint32_t limit = 0x7b800000; /* 2^120: below, sums in float stay finite */
  if (n <= most_vectors * lanes) return best_of_any(x, n, (nc_tail){0, 0}, 0, support) < limit;
  bits16 most = 0, a;
  floats16 all = 0;
  for (size_t i = 0; i < n; i += lanes) {
    magnitudes(x, i, n, &a);
    most = __builtin_elementwise_max(most, a);
    all += (floats16)a;
  }
  uint32_t largest = __builtin_reduce_max(most);
  if (largest >= limit) return false;
  float high;
  memcpy(&high, &largest, sizeof high);
  high = high / 2 + 0x1p-149f;
  float low = fixed_point(&all, (double)n, -slack);
  for (size_t undecided = n, rounds = 0; undecided > most_vectors * lanes && rounds < 8; rounds++) {
    floats16 sum_low = 0, sum_high = 0;
    bits16 count_low = 0, count_high = 0;
    for (size_t i = 0; i < n; i += lanes) {
      magnitudes(x, i, n, &a);
      bits16 l = (bits16)((floats16)a > low), h = (bits16)((floats16)a > high);
      sum_low += (floats16)(a & l);
      sum_high += (floats16)(a & h);
      count_low -= l;
      count_high -= h;
    }
    uint32_t k_low = __builtin_reduce_add(count_low), k_high = __builtin_reduce_add(count_high);
    if (k_high == 0) break;
    low = fixed_point(&sum_low, (double)k_low, -slack);
    high = fixed_point(&sum_high, (double)k_high, slack);
    undecided = k_low - k_high;
  }
  float candidates[nc_nearest_limit + lanes];
  nc_tail base;
  size_t count = nc_magnitude_collect(x, n, low, high, candidates, &base);
  if (count > most_vectors * lanes) return false;
  best_of_any(candidates, count, base, low, support);
  return true;
}

#if defined(__x86_64__)
NC_AVX2 static bool nearest_avx2(const float *x, size_t n, nc_support *support) { return nearest(x, n, support); }
NC_AVX512 static bool nearest_avx512(const float *x, size_t n, nc_support *support) { return nearest(x, n, support); }
#endif
static bool nearest_plain(const float *x, size_t n, nc_support *support) { return nearest(x, n, support); }

bool nc_ternary_nearest(const float *x, size_t n, nc_support *support) {
#if defined(__x86_64__)
  if (nc_level() >= 2) return nearest_avx512(x, n, support);
  if (nc_level() >= 1) return nearest_avx2(x, n, support);
#endif
  return nearest_plain(x, n, support);
}

/* -- Doubles ---------------------------------------------------------------------------------------------------- */

/* The magnitudes of x[i] ..< x[i + 8], zeros from x[n] on. */
INLINE void wide_magnitudes(const double *x, size_t i, size_t n, double8 *a) {
  if (i + 8 <= n) {
    memcpy(a, x + i, sizeof *a);
  } else {
    double part[8] = {0};
    memcpy(part, x + i, (n - i) * sizeof *part);
    memcpy(a, part, sizeof *a);
  }
  *a = (double8)((mask8)*a & INT64_MAX);
}

INLINE double wide_added(const double8 *lane) {
  typedef double double4 __attribute__((ext_vector_type(4)));
  double4 b = lane->lo + lane->hi;
  return (b.x + b.z) + (b.y + b.w);
}

/* As `nearest` draws the ends together. */
INLINE size_t wide_collect(const double *x, size_t n, double *out, double *lowest, nc_tail *above) {
  const double slack = 0x1p-23; /* up to 2^30 numbers in 8 lanes: 2^27 roundings of 2^-53 */
  double8 most = 0, all = 0, a;
  for (size_t i = 0; i < n; i += 8) {
    wide_magnitudes(x, i, n, &a);
    most = __builtin_elementwise_max(most, a);
    all += a;
  }
  double largest = __builtin_reduce_max(most), low = 0, high = largest;
  /* Away from the ends of the exponent's range, so that no sum overflows and no quotient loses bits. */
  if (largest < 0x1p960 && largest > 0x1p-900) {
    low = wide_added(&all) / (double)n * (0.5 - slack);
    high = largest * (0.5 + slack);
    for (size_t undecided = n, before = 2 * n; undecided > 64 && undecided <= before - before / 8;) {
      double8 sum_low = 0, sum_high = 0;
      mask8 count_low = 0, count_high = 0;
      for (size_t i = 0; i < n; i += 8) {
        wide_magnitudes(x, i, n, &a);
        mask8 l = a > low, h = a > high;
        sum_low += (double8)((mask8)a & l);
        sum_high += (double8)((mask8)a & h);
        count_low -= l;
        count_high -= h;
      }
      int64_t k_low = __builtin_reduce_add(count_low), k_high = __builtin_reduce_add(count_high);
      if (k_high == 0) break;
      low = wide_added(&sum_low) / (double)k_low * (0.5 - slack);
      high = wide_added(&sum_high) / (double)k_high * (0.5 + slack);
      before = undecided;
      undecided = (size_t)(k_low - k_high);
    }
  }
  double8 sum = 0;
  mask8 count = 0;
  size_t taken = 0;
  for (size_t i = 0; i < n; i += 8) {
    wide_magnitudes(x, i, n, &a);
    mask8 h = a > high;
    sum += (double8)((mask8)a & h);
    count -= h;
    for (size_t j = 0; j < 8 && i + j < n; j++) {
      out[taken] = a[j];
      taken += (a[j] > low) & (a[j] <= high);
    }
  }
  *lowest = low;
  *above = (nc_tail){wide_added(&sum), (uint64_t)__builtin_reduce_add(count)};
  return taken;
}

#if defined(__x86_64__)
NC_AVX2 static size_t wide_collect_avx2(const double *x, size_t n, double *out, double *low, nc_tail *above) {
  return wide_collect(x, n, out, low, above);
}
#endif

size_t nc_wide_collect(const double *x, size_t n, double *out, double *low, nc_tail *above) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return wide_collect_avx2(x, n, out, low, above);
#endif
  return wide_collect(x, n, out, low, above);
}
