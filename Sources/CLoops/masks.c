/* SPDX-License-Identifier: Apache-2.0 */
#include "elements.h"
#include "orders.h"
#include <string.h>

/* -- Plain forms ------------------------------------------------------------------------------------------------ */

#define MASKS(bits)                                                                                                   \
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
MASKS(16)
MASKS(32)
MASKS(64)

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
/* -- AVX2 ------------------------------------------------------------------------------------------------------- */

/* Numbers of 16-bit elements as those of their bytes. An absent one has its high bit set in both. */
NC_AVX2 static inline __m128i byte_pairs(uint64_t order) {
  __m128i numbers = _mm_cvtsi64_si128((long long)order);
  numbers = _mm_add_epi8(numbers, _mm_andnot_si128(_mm_set1_epi8((char)nc_absent), numbers));
  numbers = _mm_unpacklo_epi8(numbers, numbers);
  return _mm_add_epi8(numbers, _mm_set1_epi16(0x0100));
}

/* Numbers of four 64-bit elements as those of their halves. An absent one has its high bit set in both. */
NC_AVX2 static inline __m256i half_pairs(uint64_t order) {
  __m256i numbers = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128((int)(uint32_t)order));
  numbers = _mm256_shuffle_epi32(_mm256_add_epi32(numbers, numbers), 0xa0);
  return _mm256_add_epi32(numbers, _mm256_set1_epi64x(1LL << 32));
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
    _mm_storeu_si128((__m128i *)(void *)(values + 2 * taken), _mm_shuffle_epi8(e, byte_pairs(nc_positions[bits])));
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
                        _mm256_permutevar8x32_epi32(e, nc_words(nc_positions[bits])));
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
                          _mm256_permutevar8x32_epi32(e, half_pairs(nc_positions[bits])));
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
    _mm_storeu_si128((__m128i *)(void *)(out + 2 * i), _mm_shuffle_epi8(v, byte_pairs(nc_ranks[mask[i / 8]])));
    taken += (size_t)_mm_popcnt_u32(mask[i / 8]);
  }
  return taken + expand16(mask + i / 8, 0, n - i, values + 2 * taken, out + 2 * i);
}

NC_AVX2 static size_t expand32_avx2(const uint8_t *mask, size_t n, const uint8_t *values, size_t room, uint8_t *out) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n && taken + 8 <= room; i += 8) {
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(values + 4 * taken));
    __m256i order = nc_words(nc_ranks[mask[i / 8]]);
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
      __m256i order = half_pairs(nc_ranks[bits]);
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
                     _mm_shuffle_epi8(e, byte_pairs(nc_positions[mask[i / 8]])));
    taken += (size_t)_mm_popcnt_u32(mask[i / 8]);
  }
  return taken + gather16(x + 2 * i, mask + i / 8, 0, n - i, values + 2 * taken);
}

NC_AVX2 static size_t gather32_avx2(const uint8_t *x, const uint8_t *mask, size_t n, uint8_t *values) {
  size_t taken = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i e = _mm256_loadu_si256((const __m256i *)(const void *)(x + 4 * i));
    _mm256_storeu_si256((__m256i *)(void *)(values + 4 * taken),
                        _mm256_permutevar8x32_epi32(e, nc_words(nc_positions[mask[i / 8]])));
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
                          _mm256_permutevar8x32_epi32(e, half_pairs(nc_positions[bits])));
      taken += (size_t)_mm_popcnt_u32(bits);
    }
  return taken + gather64(x + 8 * i, mask + i / 8, 0, n - i, values + 8 * taken);
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
