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
  }                                                                                                                   \
                                                                                                                      \
  /* From bit `first` (0 ..< 8) of a byte. */                                                                         \
  static size_t gather##bits(const uint8_t *x, const uint8_t *mask, size_t first, size_t n, uint8_t *values) {        \
    size_t taken = 0;                                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      memcpy(values + taken * sizeof(uint##bits##_t), x + i * sizeof(uint##bits##_t), sizeof(uint##bits##_t));        \
      taken += mask[(first + i) / 8] >> (first + i) % 8 & 1;                                                          \
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

/* For each byte of bits, the positions of those set, one a byte; and for each of its bits the number of those set
   before it, or absent where it is not set. */
static uint64_t positions[256], ranks[256];
enum { absent = 0x80 };

__attribute__((constructor)) static void make_tables(void) {
  for (unsigned mask = 0; mask < 256; mask++)
    for (unsigned bit = 0, at = 0; bit < 8; bit++) {
      ranks[mask] |= (uint64_t)(mask >> bit & 1 ? at : absent) << 8 * bit;
      if (mask >> bit & 1) positions[mask] |= (uint64_t)bit << 8 * at++;
    }
}

/* -- AVX2 ------------------------------------------------------------------------------------------------------- */

/* Numbers of 16-bit elements as those of their bytes. An absent one has its high bit set in both. */
NC_AVX2 static inline __m128i byte_pairs(uint64_t order) {
  __m128i numbers = _mm_cvtsi64_si128((long long)order);
  numbers = _mm_add_epi8(numbers, _mm_andnot_si128(_mm_set1_epi8((char)absent), numbers));
  numbers = _mm_unpacklo_epi8(numbers, numbers);
  return _mm_add_epi8(numbers, _mm_set1_epi16(0x0100));
}

/* Numbers of eight 32-bit elements. An absent one is negative. */
NC_AVX2 static inline __m256i words(uint64_t order) {
  return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long)order));
}

/* Numbers of four 64-bit elements as those of their halves. An absent one has its high bit set in both. */
NC_AVX2 static inline __m256i half_pairs(uint64_t order) {
  __m256i numbers = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128((int)(uint32_t)order));
  numbers = _mm256_shuffle_epi32(_mm256_add_epi32(numbers, numbers), 0xa0);
  return _mm256_add_epi32(numbers, _mm256_set1_epi64x(1LL << 32));
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
                          _mm256_permutevar8x32_epi32(key, words(positions[mask])));
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
NC_AVX2 static size_t compact16_avx2(const uint8_t *x, size_t n, uint16_t least, uint8_t *mask, uint8_t *values) {
  const __m128i magnitude = _mm_set1_epi16(0x7fff), zero = _mm_setzero_si128();
  const __m128i below = _mm_set1_epi16((short)(least - 1));
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    __m128i e = _mm_loadu_si128((const __m128i *)(const void *)(x + 2 * i));
    __m128i kept = _mm_andnot_si128(_mm_cmpeq_epi16(e, zero), _mm_cmpgt_epi16(_mm_and_si128(e, magnitude), below));
    unsigned bits = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(kept, zero));
    mask[i / 8] = (uint8_t)bits;
    _mm_storeu_si128((__m128i *)(void *)(values + 2 * taken), _mm_shuffle_epi8(e, byte_pairs(positions[bits])));
    taken += (size_t)_mm_popcnt_u32(bits);
  }
  return taken + compact16(x + 2 * i, n - i, least, mask + i / 8, 0, values + 2 * taken);
}

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
                        _mm256_permutevar8x32_epi32(e, words(positions[bits])));
    taken += (size_t)_mm_popcnt_u32(bits);
  }
  return taken + compact32(x + 4 * i, n - i, least, mask + i / 8, 0, values + 4 * taken);
}

NC_AVX2 static size_t compact64_avx2(const uint8_t *x, size_t n, uint64_t least, uint8_t *mask, uint8_t *values) {
  const __m256i magnitude = _mm256_set1_epi64x(INT64_MAX), zero = _mm256_setzero_si256();
  const __m256i below = _mm256_set1_epi64x((long long)(least - 1));
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    unsigned both = 0;
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 8; j += 4) {
      __m256i e = _mm256_loadu_si256((const __m256i *)(const void *)(x + 8 * (i + j)));
      __m256i kept = _mm256_andnot_si256(_mm256_cmpeq_epi64(e, zero),
                                         _mm256_cmpgt_epi64(_mm256_and_si256(e, magnitude), below));
      unsigned bits = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(kept));
      both |= bits << j;
      _mm256_storeu_si256((__m256i *)(void *)(values + 8 * taken),
                          _mm256_permutevar8x32_epi32(e, half_pairs(positions[bits])));
      taken += (size_t)_mm_popcnt_u32(bits);
    }
    mask[i / 8] = (uint8_t)both;
  }
  return taken + compact64(x + 8 * i, n - i, least, mask + i / 8, 0, values + 8 * taken);
}

/* Eights of elements are read where `room`, the values there are, has so many. */
NC_AVX2 static size_t expand16_avx2(const uint8_t *mask, size_t n, const uint8_t *values, size_t room, uint8_t *out) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n && taken + 8 <= room; i += 8) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(values + 2 * taken));
    _mm_storeu_si128((__m128i *)(void *)(out + 2 * i), _mm_shuffle_epi8(v, byte_pairs(ranks[mask[i / 8]])));
    taken += (size_t)_mm_popcnt_u32(mask[i / 8]);
  }
  return taken + expand16(mask + i / 8, 0, n - i, values + 2 * taken, out + 2 * i);
}

NC_AVX2 static size_t expand32_avx2(const uint8_t *mask, size_t n, const uint8_t *values, size_t room, uint8_t *out) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n && taken + 8 <= room; i += 8) {
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(values + 4 * taken));
    __m256i order = words(ranks[mask[i / 8]]);
    v = _mm256_andnot_si256(_mm256_srai_epi32(order, 31), _mm256_permutevar8x32_epi32(v, order));
    _mm256_storeu_si256((__m256i *)(void *)(out + 4 * i), v);
    taken += (size_t)_mm_popcnt_u32(mask[i / 8]);
  }
  return taken + expand32(mask + i / 8, 0, n - i, values + 4 * taken, out + 4 * i);
}

NC_AVX2 static size_t expand64_avx2(const uint8_t *mask, size_t n, const uint8_t *values, size_t room, uint8_t *out) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n && taken + 8 <= room; i += 8)
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 8; j += 4) {
      unsigned bits = mask[i / 8] >> j & 15;
      __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(values + 8 * taken));
      __m256i order = half_pairs(ranks[bits]);
      v = _mm256_andnot_si256(_mm256_srai_epi32(order, 31), _mm256_permutevar8x32_epi32(v, order));
      _mm256_storeu_si256((__m256i *)(void *)(out + 8 * (i + j)), v);
      taken += (size_t)_mm_popcnt_u32(bits);
    }
  return taken + expand64(mask + i / 8, 0, n - i, values + 8 * taken, out + 8 * i);
}

NC_AVX2 static size_t gather16_avx2(const uint8_t *x, const uint8_t *mask, size_t n, uint8_t *values) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    __m128i e = _mm_loadu_si128((const __m128i *)(const void *)(x + 2 * i));
    _mm_storeu_si128((__m128i *)(void *)(values + 2 * taken),
                     _mm_shuffle_epi8(e, byte_pairs(positions[mask[i / 8]])));
    taken += (size_t)_mm_popcnt_u32(mask[i / 8]);
  }
  return taken + gather16(x + 2 * i, mask + i / 8, 0, n - i, values + 2 * taken);
}

NC_AVX2 static size_t gather32_avx2(const uint8_t *x, const uint8_t *mask, size_t n, uint8_t *values) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i e = _mm256_loadu_si256((const __m256i *)(const void *)(x + 4 * i));
    _mm256_storeu_si256((__m256i *)(void *)(values + 4 * taken),
                        _mm256_permutevar8x32_epi32(e, words(positions[mask[i / 8]])));
    taken += (size_t)_mm_popcnt_u32(mask[i / 8]);
  }
  return taken + gather32(x + 4 * i, mask + i / 8, 0, n - i, values + 4 * taken);
}

NC_AVX2 static size_t gather64_avx2(const uint8_t *x, const uint8_t *mask, size_t n, uint8_t *values) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8)
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 8; j += 4) {
      unsigned bits = mask[i / 8] >> j & 15;
      __m256i e = _mm256_loadu_si256((const __m256i *)(const void *)(x + 8 * (i + j)));
      _mm256_storeu_si256((__m256i *)(void *)(values + 8 * taken),
                          _mm256_permutevar8x32_epi32(e, half_pairs(positions[bits])));
      taken += (size_t)_mm_popcnt_u32(bits);
    }
  return taken + gather64(x + 8 * i, mask + i / 8, 0, n - i, values + 8 * taken);
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

NC_AVX512 static size_t gather32_avx512(const uint8_t *x, const uint8_t *mask, size_t n, uint8_t *values) {
  size_t taken = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    uint16_t bits;
    memcpy(&bits, mask + i / 8, 2);
    _mm512_storeu_si512(values + 4 * taken,
                        _mm512_maskz_compress_epi32((__mmask16)bits, _mm512_loadu_si512(x + 4 * i)));
    taken += (size_t)_mm_popcnt_u32(bits);
  }
  return taken + gather32(x + 4 * i, mask + i / 8, 0, n - i, values + 4 * taken);
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

#if defined(__x86_64__)
/* From a byte boundary. */
static size_t compact_vectors(const uint8_t *x, size_t n, size_t size, uint64_t least, uint8_t *mask,
                              uint8_t *values) {
  switch (size) {
  case 2: return compact16_avx2(x, n, (uint16_t)least, mask, values);
  case 4:
    return nc_level() >= 2 ? compact32_avx512(x, n, (uint32_t)least, mask, values)
                           : compact32_avx2(x, n, (uint32_t)least, mask, values);
  default: return compact64_avx2(x, n, least, mask, values);
  }
}
#endif

size_t nc_mask_compact(const void *x, size_t n, size_t size, uint64_t least, uint8_t *row, size_t first,
                       void *values) {
  const uint8_t *from = x;
  uint8_t *to = values, *mask = row + first / 8;
  first %= 8;
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    size_t head = (8 - first) % 8 < n ? (8 - first) % 8 : n;
    size_t taken = compact(from, head, size, least, mask, first, to);
    return taken + compact_vectors(from + size * head, n - head, size, least, mask + (head > 0), to + size * taken);
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

#if defined(__x86_64__)
/* From a byte boundary. */
static size_t expand_vectors(const uint8_t *mask, size_t n, size_t size, const uint8_t *values, uint8_t *out) {
  if (size == 4 && nc_level() >= 2) return expand32_avx512(mask, n, values, out);
  size_t room = count_popcnt(mask, n / 8);
  switch (size) {
  case 2: return expand16_avx2(mask, n, values, room, out);
  case 4: return expand32_avx2(mask, n, values, room, out);
  default: return expand64_avx2(mask, n, values, room, out);
  }
}
#endif

size_t nc_mask_expand(const uint8_t *row, size_t first, size_t n, size_t size, const void *values, void *out) {
  const uint8_t *from = values, *mask = row + first / 8;
  uint8_t *to = out;
  first %= 8;
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    size_t head = (8 - first) % 8 < n ? (8 - first) % 8 : n;
    size_t taken = expand(mask, first, head, size, from, to);
    return taken + expand_vectors(mask + (head > 0), n - head, size, from + size * taken, to + size * head);
  }
#endif
  return expand(mask, first, n, size, from, to);
}

static size_t gather(const uint8_t *x, const uint8_t *mask, size_t first, size_t n, size_t size, uint8_t *values) {
  switch (size) {
  case 2: return gather16(x, mask, first, n, values);
  case 4: return gather32(x, mask, first, n, values);
  default: return gather64(x, mask, first, n, values);
  }
}

#if defined(__x86_64__)
/* From a byte boundary. */
static size_t gather_vectors(const uint8_t *x, const uint8_t *mask, size_t n, size_t size, uint8_t *values) {
  switch (size) {
  case 2: return gather16_avx2(x, mask, n, values);
  case 4: return nc_level() >= 2 ? gather32_avx512(x, mask, n, values) : gather32_avx2(x, mask, n, values);
  default: return gather64_avx2(x, mask, n, values);
  }
}
#endif

size_t nc_mask_gather(const void *x, const uint8_t *row, size_t first, size_t n, size_t size, void *values) {
  const uint8_t *from = x, *mask = row + first / 8;
  uint8_t *to = values;
  first %= 8;
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    size_t head = (8 - first) % 8 < n ? (8 - first) % 8 : n;
    size_t taken = gather(from, mask, first, head, size, to);
    return taken + gather_vectors(from + size * head, mask + (head > 0), n - head, size, to + size * taken);
  }
#endif
  return gather(from, mask, first, n, size, to);
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

void nc_losses(const float *a, const float *b, size_t n, double *norm, double *error) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    losses_avx2(a, b, n, norm, error);
    return;
  }
#endif
  losses_plain(a, b, n, norm, error);
}
