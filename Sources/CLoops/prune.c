#include "level.h"
#include <math.h>
#include <string.h>

enum { lanes = 16 };

/* -- Plain forms ------------------------------------------------------------------------------------------------ */

#define KEYS(bits)                                                                                                    \
  static const uint##bits##_t magnitude##bits = UINT##bits##_MAX >> 1;                                                \
                                                                                                                      \
  static uint##bits##_t element##bits(const uint8_t *x, size_t i) {                                                   \
    uint##bits##_t e;                                                                                                 \
    memcpy(&e, x + i * sizeof e, sizeof e);                                                                           \
    return e;                                                                                                         \
  }                                                                                                                   \
                                                                                                                      \
  static size_t collect##bits(const uint8_t *x, size_t n, uint##bits##_t low, uint##bits##_t high, uint8_t *out,      \
                              nc_key_tail *tail) {                                                                    \
    size_t taken = 0, above = 0;                                                                                      \
    uint##bits##_t largest = 0;                                                                                       \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t key = element##bits(x, i) & magnitude##bits;                                                     \
      memcpy(out + taken * sizeof key, &key, sizeof key);                                                             \
      taken += (key >= low) & (key <= high);                                                                          \
      above += key > high;                                                                                            \
      largest = key > largest ? key : largest;                                                                        \
    }                                                                                                                 \
    tail->count += above;                                                                                             \
    tail->largest = largest > tail->largest ? largest : tail->largest;                                                \
    return taken;                                                                                                     \
  }                                                                                                                   \
                                                                                                                      \
  /* From bit `first` (0 ..< 8) of a byte, whose bits from there on are zero. */                                      \
  static size_t compact##bits(const uint8_t *x, size_t n, uint##bits##_t least, uint8_t *mask, size_t first,          \
                              uint8_t *values) {                                                                      \
    size_t taken = 0;                                                                                                 \
    while (n > 0) {                                                                                                   \
      size_t count = n < 8 - first ? n : 8 - first;                                                                   \
      unsigned byte = 0;                                                                                              \
      for (size_t i = 0; i < count; i++) {                                                                            \
        uint##bits##_t e = element##bits(x, i);                                                                       \
        unsigned kept = ((uint##bits##_t)(e & magnitude##bits) >= least) & (e != 0);                                  \
        memcpy(values + taken * sizeof e, &e, sizeof e);                                                              \
        taken += kept;                                                                                                \
        byte |= kept << i;                                                                                            \
      }                                                                                                               \
      *mask = (uint8_t)((first > 0 ? *mask : 0) | byte << first);                                                     \
      mask++;                                                                                                         \
      x += count * sizeof(uint##bits##_t);                                                                            \
      n -= count;                                                                                                     \
      first = 0;                                                                                                      \
    }                                                                                                                 \
    return taken;                                                                                                     \
  }                                                                                                                   \
                                                                                                                      \
  /* From bit `first` (0 ..< 8) of a byte. */                                                                         \
  static size_t expand##bits(const uint8_t *mask, size_t first, size_t n, const uint8_t *values, uint8_t *out) {      \
    size_t taken = 0;                                                                                                 \
    memset(out, 0, n * sizeof(uint##bits##_t));                                                                       \
    for (size_t i = 0; i < n;) {                                                                                      \
      uint64_t word = 0;                                                                                              \
      size_t bytes = (first + n - i + 7) / 8, count = n - i < 64 - first ? n - i : 64 - first;                        \
      memcpy(&word, mask, bytes < 8 ? bytes : 8);                                                                     \
      word >>= first;                                                                                                 \
      if (count < 64) word &= ((uint64_t)1 << count) - 1;                                                             \
      for (; word != 0; word &= word - 1, taken++)                                                                    \
        memcpy(out + (i + (size_t)__builtin_ctzll(word)) * sizeof(uint##bits##_t),                                    \
               values + taken * sizeof(uint##bits##_t), sizeof(uint##bits##_t));                                      \
      i += count;                                                                                                     \
      mask += 8;                                                                                                      \
      first = 0;                                                                                                      \
    }                                                                                                                 \
    return taken;                                                                                                     \
  }
KEYS(16)
KEYS(32)
KEYS(64)

/* The fixed order in which lanes are added. */
static double added(double *lane) {
  for (int width = lanes / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lane[l] += lane[l + width];
  return lane[0];
}

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

static size_t count_plain(const uint8_t *bytes, size_t n) {
  size_t count = 0;
  for (; n >= 8; n -= 8, bytes += 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    count += (size_t)__builtin_popcountll(word);
  }
  for (; n > 0; n--, bytes++) count += (size_t)__builtin_popcount(*bytes);
  return count;
}

#if defined(__x86_64__)

/* For each byte of bits, the positions of those set, one a byte, and for each of its bits the number of those set
   before it. */
static uint64_t positions[256], ranks[256];

__attribute__((constructor)) static void make_tables(void) {
  for (int mask = 0; mask < 256; mask++)
    for (int bit = 0, at = 0; bit < 8; bit++) {
      ranks[mask] |= (uint64_t)at << 8 * bit;
      if (mask >> bit & 1) positions[mask] |= (uint64_t)bit << 8 * at++;
    }
}

/* -- AVX2 ------------------------------------------------------------------------------------------------------- */

NC_AVX2 static inline __m256i indices(const uint64_t *table, unsigned mask) {
  return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)table[mask]));
}

NC_AVX2 static size_t collect32_avx2(const uint8_t *x, size_t n, uint32_t low, uint32_t high, uint8_t *out,
                                     nc_key_tail *tail) {
  /* Keys are below 2^31, so that signed comparisons do. */
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const __m256i below = _mm256_set1_epi32((int)low - 1), h = _mm256_set1_epi32((int)high);
  __m256i largest = _mm256_setzero_si256();
  size_t taken = 0, i = 0;
  while (n - i >= 8) {
    __m256i above = _mm256_setzero_si256();
    size_t end = n - i > 1 << 20 ? i + (1 << 20) : n - (n - i) % 8;
    for (; i < end; i += 8) {
      __m256i key = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)(x + 4 * i)), magnitude);
      __m256i larger = _mm256_cmpgt_epi32(key, h);
      largest = _mm256_max_epi32(largest, key);
      above = _mm256_sub_epi32(above, larger);
      __m256i between = _mm256_andnot_si256(larger, _mm256_cmpgt_epi32(key, below));
      unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(between));
      _mm256_storeu_si256((__m256i *)(void *)(out + 4 * taken),
                          _mm256_permutevar8x32_epi32(key, indices(positions, mask)));
      taken += (size_t)_mm_popcnt_u32(mask);
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(above), _mm256_extracti128_si256(above, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    tail->count += (uint32_t)_mm_cvtsi128_si32(s);
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  uint32_t most = (uint32_t)_mm_cvtsi128_si32(m);
  tail->largest = most > tail->largest ? most : tail->largest;
  return taken + collect32(x + 4 * i, n - i, low, high, out + 4 * taken, tail);
}

/* From a byte boundary, as all that follow. */
NC_AVX2 static size_t compact32_avx2(const uint8_t *x, size_t n, uint32_t least, uint8_t *mask, uint8_t *values) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), zero = _mm256_setzero_si256();
  const __m256i below = _mm256_set1_epi32((int)least - 1);
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i e = _mm256_loadu_si256((const __m256i *)(const void *)(x + 4 * i));
    __m256i kept = _mm256_andnot_si256(_mm256_cmpeq_epi32(e, zero),
                                       _mm256_cmpgt_epi32(_mm256_and_si256(e, magnitude), below));
    unsigned bits = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(kept));
    mask[i / 8] = (uint8_t)bits;
    _mm256_storeu_si256((__m256i *)(void *)(values + 4 * taken),
                        _mm256_permutevar8x32_epi32(e, indices(positions, bits)));
    taken += (size_t)_mm_popcnt_u32(bits);
  }
  return taken + compact32(x + 4 * i, n - i, least, mask + i / 8, 0, values + 4 * taken);
}

NC_AVX2 static size_t expand32_avx2(const uint8_t *mask, size_t n, const uint8_t *values, uint8_t *out) {
  static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    unsigned bits = mask[i / 8];
    size_t count = (size_t)_mm_popcnt_u32(bits);
    /* Nothing is read beyond the values. */
    __m256i present = _mm256_loadu_si256((const __m256i *)(const void *)(window + 8 - count));
    __m256i v = _mm256_maskload_epi32((const int *)(const void *)(values + 4 * taken), present);
    __m256i kept = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), bit), bit);
    v = _mm256_and_si256(_mm256_permutevar8x32_epi32(v, indices(ranks, bits)), kept);
    _mm256_storeu_si256((__m256i *)(void *)(out + 4 * i), v);
    taken += count;
  }
  return taken + expand32(mask + i / 8, 0, n - i, values + 4 * taken, out + 4 * i);
}

/* Four vectors of four double lanes, added as in `added`. */
NC_AVX2 static inline double added4(const __m256d d[4]) {
  __m256d s = _mm256_add_pd(_mm256_add_pd(d[0], d[2]), _mm256_add_pd(d[1], d[3]));
  __m128d h = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
  return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

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

NC_AVX2 static size_t count_popcnt(const uint8_t *bytes, size_t n) {
  size_t count[4] = {0, 0, 0, 0};
  for (; n >= 32; n -= 32, bytes += 32) {
    uint64_t word[4];
    memcpy(word, bytes, 32);
    for (int j = 0; j < 4; j++) count[j] += (size_t)_mm_popcnt_u64(word[j]);
  }
  size_t total = count[0] + count[1] + count[2] + count[3];
  for (; n > 0; n--, bytes++) total += (size_t)_mm_popcnt_u32(*bytes);
  return total;
}

/* -- AVX-512: compress and expand are instructions -------------------------------------------------------------- */

NC_AVX512 static size_t collect32_avx512(const uint8_t *x, size_t n, uint32_t low, uint32_t high, uint8_t *out,
                                         nc_key_tail *tail) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i below = _mm512_set1_epi32((int)low - 1), h = _mm512_set1_epi32((int)high);
  __m512i largest = _mm512_setzero_si512();
  size_t taken = 0, above = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i key = _mm512_and_si512(_mm512_loadu_si512(x + 4 * i), magnitude);
    __mmask16 larger = _mm512_cmpgt_epi32_mask(key, h);
    __mmask16 between = (__mmask16)(_mm512_cmpgt_epi32_mask(key, below) & ~larger);
    largest = _mm512_max_epi32(largest, key);
    above += (size_t)_mm_popcnt_u32(larger);
    _mm512_storeu_si512(out + 4 * taken, _mm512_maskz_compress_epi32(between, key));
    taken += (size_t)_mm_popcnt_u32(between);
  }
  uint32_t most = (uint32_t)_mm512_reduce_max_epi32(largest);
  tail->count += above;
  tail->largest = most > tail->largest ? most : tail->largest;
  return taken + collect32(x + 4 * i, n - i, low, high, out + 4 * taken, tail);
}

NC_AVX512 static size_t compact32_avx512(const uint8_t *x, size_t n, uint32_t least, uint8_t *mask, uint8_t *values) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff), below = _mm512_set1_epi32((int)least - 1);
  size_t taken = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i e = _mm512_loadu_si512(x + 4 * i);
    __mmask16 kept = _mm512_cmpgt_epi32_mask(_mm512_and_si512(e, magnitude), below);
    kept &= _mm512_test_epi32_mask(e, e);
    uint16_t bits = (uint16_t)kept;
    memcpy(mask + i / 8, &bits, 2);
    _mm512_storeu_si512(values + 4 * taken, _mm512_maskz_compress_epi32(kept, e));
    taken += (size_t)_mm_popcnt_u32(bits);
  }
  return taken + compact32(x + 4 * i, n - i, least, mask + i / 8, 0, values + 4 * taken);
}

NC_AVX512 static size_t expand32_avx512(const uint8_t *mask, size_t n, const uint8_t *values, uint8_t *out) {
  size_t taken = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    uint16_t bits;
    memcpy(&bits, mask + i / 8, 2);
    size_t count = (size_t)_mm_popcnt_u32(bits);
    __m512i v = _mm512_maskz_loadu_epi32((__mmask16)((1u << count) - 1), values + 4 * taken);
    _mm512_storeu_si512(out + 4 * i, _mm512_maskz_expand_epi32((__mmask16)bits, v));
    taken += count;
  }
  return taken + expand32(mask + i / 8, 0, n - i, values + 4 * taken, out + 4 * i);
}
#endif

/* -- Choice of form --------------------------------------------------------------------------------------------- */

size_t nc_key_collect(const void *x, size_t n, size_t size, uint64_t low, uint64_t high, void *out,
                      nc_key_tail *tail) {
  if (size == 2) return collect16(x, n, (uint16_t)low, (uint16_t)high, out, tail);
  if (size == 8) return collect64(x, n, low, high, out, tail);
#if defined(__x86_64__)
  if (nc_level() >= 2) return collect32_avx512(x, n, (uint32_t)low, (uint32_t)high, out, tail);
  if (nc_level() >= 1) return collect32_avx2(x, n, (uint32_t)low, (uint32_t)high, out, tail);
#endif
  return collect32(x, n, (uint32_t)low, (uint32_t)high, out, tail);
}

static size_t compact(const uint8_t *x, size_t n, size_t size, uint64_t least, uint8_t *mask, size_t first,
                      uint8_t *values) {
  switch (size) {
  case 2: return compact16(x, n, (uint16_t)least, mask, first, values);
  case 4: return compact32(x, n, (uint32_t)least, mask, first, values);
  default: return compact64(x, n, least, mask, first, values);
  }
}

size_t nc_mask_compact(const void *x, size_t n, size_t size, uint64_t least, uint8_t *row, size_t first,
                       void *values) {
  const uint8_t *from = x;
  uint8_t *to = values, *mask = row + first / 8;
  first %= 8;
#if defined(__x86_64__)
  if (nc_level() >= 1 && size == 4) {
    size_t head = (8 - first) % 8 < n ? (8 - first) % 8 : n;
    size_t taken = compact(from, head, size, least, mask, first, to);
    from += 4 * head;
    to += 4 * taken;
    mask += head > 0;
    return taken + (nc_level() >= 2 ? compact32_avx512(from, n - head, (uint32_t)least, mask, to)
                                    : compact32_avx2(from, n - head, (uint32_t)least, mask, to));
  }
#endif
  return compact(from, n, size, least, mask, first, to);
}

static size_t expand(const uint8_t *mask, size_t first, size_t n, size_t size, const uint8_t *values, uint8_t *out) {
  switch (size) {
  case 2: return expand16(mask, first, n, values, out);
  case 4: return expand32(mask, first, n, values, out);
  default: return expand64(mask, first, n, values, out);
  }
}

size_t nc_mask_expand(const uint8_t *row, size_t first, size_t n, size_t size, const void *values, void *out) {
  const uint8_t *from = values, *mask = row + first / 8;
  uint8_t *to = out;
  first %= 8;
#if defined(__x86_64__)
  if (nc_level() >= 1 && size == 4) {
    size_t head = (8 - first) % 8 < n ? (8 - first) % 8 : n;
    size_t taken = expand(mask, first, head, size, from, to);
    from += 4 * taken;
    to += 4 * head;
    mask += head > 0;
    return taken + (nc_level() >= 2 ? expand32_avx512(mask, n - head, from, to)
                                    : expand32_avx2(mask, n - head, from, to));
  }
#endif
  return expand(mask, first, n, size, from, to);
}

size_t nc_mask_count(const uint8_t *bytes, size_t n) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return count_popcnt(bytes, n);
#endif
  return count_plain(bytes, n);
}

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
