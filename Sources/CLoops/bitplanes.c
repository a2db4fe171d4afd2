/* SPDX-License-Identifier: Apache-2.0 */
#include "bitplanes.h"
#include "level.h"
#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

enum {
  width = nc_plane_columns,
  rows_at_once = nc_plane_rows,
  samples_at_once = nc_plane_samples,
  planes_limit = nc_plane_levels - 1,
  /* From a word of weights to the next. */
  step = 2 * rows_at_once
};

static size_t words_of(size_t columns) { return columns / width + (columns % width != 0); }

/* -- Weights ------------------------------------------------------------------------------------------------------ */

/* Bits 0, 2, 4, ... of a word, side by side. */
static uint32_t even_bits(uint64_t x) {
  x &= 0x5555555555555555u;
  x = (x | x >> 1) & 0x3333333333333333u;
  x = (x | x >> 2) & 0x0F0F0F0F0F0F0F0Fu;
  x = (x | x >> 4) & 0x00FF00FF00FF00FFu;
  x = (x | x >> 8) & 0x0000FFFF0000FFFFu;
  return (uint32_t)(x | x >> 16);
}

void nc_ternary_planes(const uint8_t *codes, size_t row_bytes, size_t rows, size_t columns, uint32_t *planes,
                       int32_t *plus, int32_t *minus) {
  size_t words = words_of(columns);
  for (size_t r = 0; r < rows; r++, codes += row_bytes) {
    size_t lane = r % rows_at_once;
    uint32_t *to = planes + (r - lane) * 2 * words + lane;
    plus[r] = minus[r] = 0;
    /* Rows beyond the last. */
    if (r + 1 == rows)
      for (size_t w = 0; w < 2 * words; w++)
        memset(to + w * rows_at_once + 1, 0, (rows_at_once - 1 - lane) * sizeof *to);
    for (size_t w = 0; w < words; w++, to += step) {
      size_t some = columns - w * width < width ? columns - w * width : width;
      uint64_t trits = 0;
      memcpy(&trits, codes + width / 4 * w, (some + 3) / 4);
      if (some < width) trits &= ((uint64_t)1 << 2 * some) - 1;
      uint32_t kept = even_bits(trits), negative = even_bits(trits >> 1) & kept;
      to[0] = kept;
      to[rows_at_once] = negative;
      plus[r] += __builtin_popcount(kept ^ negative);
      minus[r] += __builtin_popcount(negative);
    }
  }
}

/* -- Inputs ------------------------------------------------------------------------------------------------------- */

static bool level_bits_plain(const double *x, size_t n, const double *levels, size_t count, uint32_t *bits) {
  bool are_levels = true;
  memset(bits, 0, (count - 1) * sizeof *bits);
  for (size_t i = 0; i < n; i++) {
    double level = levels[0];
    for (size_t k = 1; k < count; k++) {
      if (!(x[i] >= levels[k])) break;
      level = levels[k];
      bits[k - 1] |= (uint32_t)1 << i;
    }
    are_levels &= x[i] == level;
  }
  return are_levels;
}

#if defined(__x86_64__)
NC_AVX2 NC_BODY bool level_bits_avx2(const double *x, const double *levels, size_t count, uint32_t *bits) {
  __m256d others = _mm256_setzero_pd(), least = _mm256_set1_pd(levels[0]);
  for (size_t k = 1; k < count; k++) bits[k - 1] = 0;
  for (unsigned i = 0; i < width; i += 4) {
    __m256d v = _mm256_loadu_pd(x + i), level = least;
    for (size_t k = 1; k < count; k++) {
      __m256d next = _mm256_set1_pd(levels[k]), above = _mm256_cmp_pd(v, next, _CMP_GE_OQ);
      level = _mm256_blendv_pd(level, next, above);
      bits[k - 1] |= (uint32_t)_mm256_movemask_pd(above) << i;
    }
    others = _mm256_or_pd(others, _mm256_cmp_pd(v, level, _CMP_NEQ_UQ));
  }
  return _mm256_movemask_pd(others) == 0;
}

NC_AVX512 NC_BODY bool level_bits_avx512(const double *x, const double *levels, size_t count, uint32_t *bits) {
  __mmask8 others = 0;
  __m512d least = _mm512_set1_pd(levels[0]);
  for (size_t k = 1; k < count; k++) bits[k - 1] = 0;
  for (unsigned i = 0; i < width; i += 8) {
    __m512d v = _mm512_loadu_pd(x + i), level = least;
    for (size_t k = 1; k < count; k++) {
      __m512d next = _mm512_set1_pd(levels[k]);
      __mmask8 above = _mm512_cmp_pd_mask(v, next, _CMP_GE_OQ);
      level = _mm512_mask_mov_pd(level, above, next);
      bits[k - 1] |= (uint32_t)above << i;
    }
    others |= _mm512_cmp_pd_mask(v, level, _CMP_NEQ_UQ);
  }
  return others == 0;
}
#endif

/* `BITS` packs a whole word; the number of levels is a constant where it can be. */
#define LEVEL_PLANES(form, TARGET, BITS)                                                                              \
  TARGET NC_BODY void level_planes_some_##form(const double *x, size_t samples, size_t columns, const double *levels, \
                                               size_t count, uint32_t *planes, bool *are_levels) {                    \
    size_t words = words_of(columns), plane = words * samples_at_once;                                                \
    for (size_t s = 0; s < samples; s++, x += columns) {                                                              \
      uint32_t bits[planes_limit], *to = planes + s / samples_at_once * (count - 1) * plane + s % samples_at_once;    \
      are_levels[s] = true;                                                                                           \
      for (size_t at = 0; at < columns; at += width, to += samples_at_once) {                                         \
        bool fits = columns - at < width ? level_bits_plain(x + at, columns - at, levels, count, bits)                \
                                         : BITS(x + at, levels, count, bits);                                         \
        if (!fits) are_levels[s] = false;                                                                             \
        for (size_t k = 1; k < count; k++) to[(k - 1) * plane] = bits[k - 1];                                         \
      }                                                                                                               \
    }                                                                                                                 \
  }                                                                                                                   \
  TARGET static void level_planes_##form(const double *x, size_t samples, size_t columns, const double *levels,       \
                                         size_t count, uint32_t *planes, bool *are_levels) {                          \
    switch (count) {                                                                                                  \
    case 2: level_planes_some_##form(x, samples, columns, levels, 2, planes, are_levels); break;                      \
    case 3: level_planes_some_##form(x, samples, columns, levels, 3, planes, are_levels); break;                      \
    default: level_planes_some_##form(x, samples, columns, levels, count, planes, are_levels);                        \
    }                                                                                                                 \
  }

#define PLAIN_BITS(x, levels, count, bits) level_bits_plain(x, width, levels, count, bits)
LEVEL_PLANES(plain, NC_PLAIN, PLAIN_BITS)
#if defined(__x86_64__)
LEVEL_PLANES(avx2, NC_AVX2, level_bits_avx2)
LEVEL_PLANES(avx512, NC_AVX512, level_bits_avx512)
#endif

void nc_level_planes(const double *x, size_t samples, size_t columns, const double *levels, size_t count,
                     uint32_t *planes, bool *are_levels) {
#if defined(__x86_64__)
  if (nc_level() >= 2) {
    level_planes_avx512(x, samples, columns, levels, count, planes, are_levels);
    return;
  }
  if (nc_level() >= 1) {
    level_planes_avx2(x, samples, columns, levels, count, planes, are_levels);
    return;
  }
#endif
  level_planes_plain(x, samples, columns, levels, count, planes, are_levels);
}

/* -- Counts ------------------------------------------------------------------------------------------------------- */

/* For some rows and samples: the weights +1 whose input's bit is 1, and those -1 whose input's bit is 0: the ones in
   kept & (negative ^ input), which is (kept & input) ^ negative. */
typedef struct {
  int32_t of[samples_at_once][rows_at_once];
} counts;

static void counts_plain(const uint32_t *weights, const uint32_t *inputs, size_t words, size_t samples, counts *out) {
  memset(out, 0, sizeof *out);
  for (; words > 0; words--, weights += step, inputs += samples_at_once)
    for (size_t s = 0; s < samples; s++)
      for (size_t r = 0; r < rows_at_once; r++)
        out->of[s][r] += __builtin_popcount((weights[r] & inputs[s]) ^ weights[rows_at_once + r]);
}

#if defined(__x86_64__)
/* Beyond the level: not every processor with AVX-512 counts bits. */
#define NC_POPCNT512                                                                                                  \
  __attribute__((target("avx512vpopcntdq,avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,popcnt,lzcnt")))

NC_POPCNT512 NC_BODY void counts_some_popcnt512(const uint32_t *weights, const uint32_t *inputs, size_t words,
                                                size_t samples, counts *out) {
  enum { kept_and_input_differs = 0x6C };
  __m512i sums[samples_at_once];
  for (size_t s = 0; s < samples; s++) sums[s] = _mm512_setzero_si512();
  for (; words > 0; words--, weights += step, inputs += samples_at_once) {
    __m512i kept = _mm512_loadu_si512(weights), negative = _mm512_loadu_si512(weights + rows_at_once);
    for (size_t s = 0; s < samples; s++) {
      __m512i input = _mm512_set1_epi32((int)inputs[s]);
      __m512i bits = _mm512_ternarylogic_epi32(kept, negative, input, kept_and_input_differs);
      sums[s] = _mm512_add_epi32(sums[s], _mm512_popcnt_epi32(bits));
    }
  }
  for (size_t s = 0; s < samples; s++) _mm512_storeu_si512(out->of[s], sums[s]);
}

NC_POPCNT512 static void counts_popcnt512(const uint32_t *weights, const uint32_t *inputs, size_t words,
                                          size_t samples, counts *out) {
  if (samples == 1)
    counts_some_popcnt512(weights, inputs, words, 1, out);
  else
    counts_some_popcnt512(weights, inputs, words, samples_at_once, out);
}

/* The bits of each byte. */
NC_AVX2 NC_BODY __m256i bits_of_bytes(__m256i v) {
  const __m256i of_nibble =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(of_nibble, _mm256_and_si256(v, low)),
                         _mm256_shuffle_epi8(of_nibble, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
}

/* The sum of the four bytes of each word. */
NC_AVX2 NC_BODY __m256i sums_of_bytes(__m256i v) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}

/* Adds b and c to *sum at each place, where the low bit of the sum stays; returns the high bit. */
NC_AVX2 NC_BODY __m256i carry(__m256i *sum, __m256i b, __m256i c) {
  __m256i a = *sum, either = _mm256_xor_si256(b, c);
  *sum = _mm256_xor_si256(a, either);
  return _mm256_or_si256(_mm256_and_si256(b, c), _mm256_and_si256(a, either));
}

NC_AVX2 NC_BODY __m256i load_avx2(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }

NC_AVX2 NC_BODY __m256i asked_avx2(const uint32_t *weights, const uint32_t *input) {
  __m256i kept = load_avx2(weights), negative = load_avx2(weights + rows_at_once);
  return _mm256_xor_si256(negative, _mm256_and_si256(kept, _mm256_set1_epi32((int)*input)));
}

/* Sums of bits at each place, in binary. */
typedef struct {
  __m256i ones, twos, fours;
} place_sums;

/* Adds two words. Returns the carries to `twos`. */
NC_AVX2 NC_BODY __m256i carry2(place_sums *sums, const uint32_t *weights, const uint32_t *inputs) {
  return carry(&sums->ones, asked_avx2(weights, inputs), asked_avx2(weights + step, inputs + samples_at_once));
}

/* Adds four words. */
NC_AVX2 NC_BODY __m256i carry4(place_sums *sums, const uint32_t *weights, const uint32_t *inputs) {
  __m256i a = carry2(sums, weights, inputs);
  __m256i b = carry2(sums, weights + 2 * step, inputs + 2 * samples_at_once);
  return carry(&sums->twos, a, b);
}

/* Harley and Seal: bits are added at each place; what is counted are the carries to 8. */
NC_AVX2 static void counts_avx2(const uint32_t *weights, const uint32_t *inputs, size_t words, size_t samples,
                                counts *out) {
  for (size_t s = 0; s < samples; s++) {
    for (size_t r = 0; r < rows_at_once; r += 8) {
      const uint32_t *own = weights + r, *x = inputs + s;
      const __m256i zero = _mm256_setzero_si256();
      place_sums sums = {zero, zero, zero};
      __m256i eights = zero, rest = zero;
      size_t w = 0;
      while (w + 8 <= words) {
        /* Up to 31 times 8 in each byte. */
        __m256i bytes = zero;
        for (int times = 0; times < 31 && w + 8 <= words; times++) {
          __m256i a = carry4(&sums, own, x), b = carry4(&sums, own + 4 * step, x + 4 * samples_at_once);
          bytes = _mm256_add_epi8(bytes, bits_of_bytes(carry(&sums.fours, a, b)));
          w += 8;
          own += 8 * step;
          x += 8 * samples_at_once;
        }
        eights = _mm256_add_epi32(eights, sums_of_bytes(bytes));
      }
      for (; w < words; w++, own += step, x += samples_at_once)
        rest = _mm256_add_epi8(rest, bits_of_bytes(asked_avx2(own, x)));
      /* 4 fours + 2 twos + ones, at most 7 * 8 in each byte, and at most 7 * 8 in the rest. */
      __m256i more = bits_of_bytes(sums.fours);
      more = _mm256_add_epi8(_mm256_add_epi8(more, more), bits_of_bytes(sums.twos));
      more = _mm256_add_epi8(_mm256_add_epi8(more, more), bits_of_bytes(sums.ones));
      __m256i all = _mm256_add_epi32(_mm256_slli_epi32(eights, 3), sums_of_bytes(_mm256_add_epi8(more, rest)));
      _mm256_storeu_si256((__m256i *)(void *)&out->of[s][r], all);
    }
  }
}
#endif

/* -- Products ----------------------------------------------------------------------------------------------------- */

/* The outputs of one sample. Of the weights whose input is at least level k, the sum is counted[k - 1] - minus. */
NC_BODY void outputs_body(const counts *counted, size_t s, const int32_t *plus, const int32_t *minus,
                          const double *scales, size_t rows, const double *levels, size_t count, double *out) {
  int32_t above[rows_at_once];
  double sums[rows_at_once];
  for (size_t r = 0; r < rows; r++) {
    above[r] = plus[r] - minus[r];
    sums[r] = 0;
  }
  for (size_t k = 0; k < count; k++)
    for (size_t r = 0; r < rows; r++) {
      int32_t next = k + 1 < count ? counted[k].of[s][r] - minus[r] : 0;
      sums[r] += levels[k] * (double)(above[r] - next);
      above[r] = next;
    }
  for (size_t r = 0; r < rows; r++) out[r] = sums[r] * scales[r];
}

#define PRODUCT(form, TARGET, COUNTS)                                                                                 \
  TARGET static void product_##form(const uint32_t *weights, const int32_t *plus, const int32_t *minus,               \
                                    const double *scales, size_t rows, size_t columns, const uint32_t *inputs,        \
                                    size_t samples, const double *levels, size_t count, double *out) {                \
    size_t words = words_of(columns), plane = words * samples_at_once;                                                \
    counts counted[planes_limit];                                                                                     \
    for (size_t r = 0; r < rows; r += rows_at_once, weights += words * step) {                                        \
      size_t own = rows - r < rows_at_once ? rows - r : rows_at_once;                                                 \
      for (size_t first = 0; first < samples; first += samples_at_once) {                                             \
        size_t some = samples - first < samples_at_once ? samples - first : samples_at_once;                          \
        for (size_t k = 0; k + 1 < count; k++)                                                                        \
          COUNTS(weights, inputs + (first / samples_at_once * (count - 1) + k) * plane, words, some, &counted[k]);    \
        for (size_t s = 0; s < some; s++) {                                                                           \
          double *to = out + (first + s) * rows + r;                                                                  \
          if (own == rows_at_once)                                                                                    \
            outputs_body(counted, s, plus + r, minus + r, scales + r, rows_at_once, levels, count, to);               \
          else                                                                                                        \
            outputs_body(counted, s, plus + r, minus + r, scales + r, own, levels, count, to);                        \
        }                                                                                                             \
      }                                                                                                               \
    }                                                                                                                 \
  }

PRODUCT(plain, NC_PLAIN, counts_plain)
#if defined(__x86_64__)
PRODUCT(avx2, NC_AVX2, counts_avx2)
PRODUCT(popcnt512, NC_POPCNT512, counts_popcnt512)
#endif

void nc_planes_product(const uint32_t *weights, const int32_t *plus, const int32_t *minus, const double *scales,
                       size_t rows, size_t columns, const uint32_t *inputs, size_t samples, const double *levels,
                       size_t count, double *out) {
#if defined(__x86_64__)
  if (nc_level() >= 2 && __builtin_cpu_supports("avx512vpopcntdq")) {
    product_popcnt512(weights, plus, minus, scales, rows, columns, inputs, samples, levels, count, out);
    return;
  }
  if (nc_level() >= 1) {
    product_avx2(weights, plus, minus, scales, rows, columns, inputs, samples, levels, count, out);
    return;
  }
#endif
  product_plain(weights, plus, minus, scales, rows, columns, inputs, samples, levels, count, out);
}

/* -- Products with one vector ------------------------------------------------------------------------------------- */

/* The sums of all subsets of a few inputs are in a table, in which the bits of a word look up. Sums of integers do not
   depend on their order, nor on how inputs are grouped. */

/* The inputs of a word times `factor`, as integers below 2^30. */
static void integers(const float *x, size_t n, double factor, int32_t *out) {
  /* A number that is added to 1.5 * 2^52 is rounded to an integer, whose bits are the lowest. */
  const double shift = 0x1.8p52;
  for (size_t i = 0; i < width; i++) {
    double shifted = (i < n ? (double)x[i] : 0) * factor;
    shifted += shift;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    out[i] = (int32_t)(uint32_t)bits;
  }
}

/* Tables for each `some` inputs of a word, of 2^some sums each. */
NC_BODY void subset_sums(const int32_t *x, size_t some, int32_t *table) {
  for (size_t first = 0; first < width; first += some, table += (size_t)1 << some) {
    table[0] = 0;
    for (size_t i = 0; i < some; i++) {
      int32_t next = first + i < width ? x[first + i] : 0;
      for (size_t b = 0; b < (size_t)1 << i; b++) table[((size_t)1 << i) + b] = table[b] + next;
    }
  }
}

/* Bits that look up together, and tables of a word. */
enum { bits_avx2 = 3, tables_avx2 = 11, bits = 5, tables = 7, panels_at_once = 3 };

/* What follows writes the sums of the rows of one panel of 16 rows, or of panels_at_once. */

static void vector_plain(const uint32_t *weights, size_t words, size_t panels, const int32_t *table, int32_t *sums) {
  memset(sums, 0, panels * rows_at_once * sizeof *sums);
  for (size_t p = 0; p < panels; p++, sums += rows_at_once) {
    const int32_t *own = table;
    for (size_t w = 0; w < words; w++, weights += step, own += tables << bits)
      for (size_t r = 0; r < rows_at_once; r++) {
        int32_t sum = 0;
        for (unsigned t = 0; t < tables; t++) {
          uint32_t kept = weights[r] >> bits * t & 31, negative = weights[rows_at_once + r] >> bits * t & 31;
          sum += own[(t << bits) + (kept ^ negative)] - own[(t << bits) + negative];
        }
        sums[r] += sum;
      }
  }
}

#if defined(__x86_64__)
NC_AVX2 NC_BODY void vector_some_avx2(const uint32_t *weights, size_t words, size_t panels, const int32_t *table,
                                      int32_t *sums) {
  __m256i sum[panels_at_once];
  for (size_t p = 0; p < panels; p++) sum[p] = _mm256_setzero_si256();
  for (size_t w = 0; w < words; w++, weights += step) {
    __m256i plus[panels_at_once], minus[panels_at_once];
    for (size_t p = 0; p < panels; p++) {
      minus[p] = load_avx2(weights + p * words * step + rows_at_once);
      plus[p] = _mm256_xor_si256(load_avx2(weights + p * words * step), minus[p]);
    }
    for (int t = 0; t < tables_avx2; t++, table += 1 << bits_avx2) {
      __m256i values = load_avx2(table);
      for (size_t p = 0; p < panels; p++) {
        __m256i a = _mm256_permutevar8x32_epi32(values, plus[p]), b = _mm256_permutevar8x32_epi32(values, minus[p]);
        sum[p] = _mm256_add_epi32(sum[p], _mm256_sub_epi32(a, b));
        plus[p] = _mm256_srli_epi32(plus[p], bits_avx2);
        minus[p] = _mm256_srli_epi32(minus[p], bits_avx2);
      }
    }
  }
  for (size_t p = 0; p < panels; p++) _mm256_storeu_si256((__m256i *)(void *)(sums + p * rows_at_once), sum[p]);
}

NC_AVX2 static void vector_avx2(const uint32_t *weights, size_t words, size_t panels, const int32_t *table,
                                int32_t *sums) {
  for (size_t half = 0; half < rows_at_once; half += 8) {
    if (panels == panels_at_once)
      vector_some_avx2(weights + half, words, panels_at_once, table, sums + half);
    else
      vector_some_avx2(weights + half, words, 1, table, sums + half);
  }
}

NC_AVX512 NC_BODY void vector_some_avx512(const uint32_t *weights, size_t words, size_t panels, const int32_t *table,
                                          int32_t *sums) {
  /* The sums of weights that are not 0, and of those that are -1. */
  __m512i kept_sums[panels_at_once], negative_sums[panels_at_once];
  for (size_t p = 0; p < panels; p++) kept_sums[p] = negative_sums[p] = _mm512_setzero_si512();
  for (size_t w = 0; w < words; w++, weights += step) {
    __m512i kept[panels_at_once], negative[panels_at_once];
    for (size_t p = 0; p < panels; p++) {
      kept[p] = _mm512_loadu_si512(weights + p * words * step);
      negative[p] = _mm512_loadu_si512(weights + p * words * step + rows_at_once);
    }
    for (int t = 0; t < tables; t++, table += 1 << bits) {
      __m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + 16);
      for (size_t p = 0; p < panels; p++) {
        kept_sums[p] = _mm512_add_epi32(kept_sums[p], _mm512_permutex2var_epi32(low, kept[p], high));
        negative_sums[p] = _mm512_add_epi32(negative_sums[p], _mm512_permutex2var_epi32(low, negative[p], high));
        kept[p] = _mm512_srli_epi32(kept[p], bits);
        negative[p] = _mm512_srli_epi32(negative[p], bits);
      }
    }
  }
  for (size_t p = 0; p < panels; p++) {
    __m512i sum = _mm512_sub_epi32(kept_sums[p], _mm512_slli_epi32(negative_sums[p], 1));
    _mm512_storeu_si512(sums + p * rows_at_once, sum);
  }
}

NC_AVX512 static void vector_avx512(const uint32_t *weights, size_t words, size_t panels, const int32_t *table,
                                    int32_t *sums) {
  if (panels == panels_at_once)
    vector_some_avx512(weights, words, panels_at_once, table, sums);
  else
    vector_some_avx512(weights, words, 1, table, sums);
}
#endif

bool nc_planes_vector(const uint32_t *weights, const double *scales, size_t rows, size_t columns, const float *x,
                      int32_t *room, double *out) {
  double lane[8] = {0}, total = 0;
  for (size_t i = 0; i < columns; i++) lane[i % 8] += fabs((double)x[i]);
  for (size_t l = 0; l < 8; l++) total += lane[l];
  if (!(total < INFINITY)) return false;
  int exponent;
  frexp(total, &exponent);
  double unit = ldexp(1, exponent - 30), inverse = ldexp(1, 30 - exponent);
  void (*vector)(const uint32_t *, size_t, size_t, const int32_t *, int32_t *) = vector_plain;
  size_t some = bits, size = (size_t)tables << bits;
#if defined(__x86_64__)
  if (nc_level() >= 2) {
    vector = vector_avx512;
  } else if (nc_level() >= 1) {
    vector = vector_avx2;
    some = bits_avx2;
    size = (size_t)tables_avx2 << bits_avx2;
  }
#endif
  size_t words = words_of(columns);
  for (size_t w = 0; w < words; w++) {
    size_t left = columns - w * width < width ? columns - w * width : width;
    int32_t k[width];
    integers(x + w * width, left, inverse, k);
    if (some == bits)
      subset_sums(k, bits, room + w * size);
    else
      subset_sums(k, bits_avx2, room + w * size);
  }
  for (size_t r = 0; r < rows;) {
    size_t panels = rows - r >= panels_at_once * rows_at_once ? panels_at_once : 1;
    int32_t sums[panels_at_once * rows_at_once];
    vector(weights + 2 * r * words, words, panels, room, sums);
    for (size_t i = 0; i < panels * rows_at_once && r < rows; i++, r++) {
      double sum = (double)sums[i] * unit;
      out[r] = sum * scales[r];
    }
  }
  return true;
}
