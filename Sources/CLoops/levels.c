/* SPDX-License-Identifier: Apache-2.0 */
#include "bits.h"
#include "elements.h"
#include "level.h"

/* Every product is rounded for itself. */
#pragma STDC FP_CONTRACT OFF

/* -- Codes of few bits ------------------------------------------------------------------------------------------ */

/* The number in each of eight bytes. */
#define EACH(number) (0x0101010101010101 * (uint64_t)(number))

/* Eight codes, a byte each, become eight times `bits` bits: neighbours are joined to pairs, fours and eights. */
static inline uint64_t close8(uint64_t codes, unsigned bits) {
  codes &= EACH((1u << bits) - 1);
  codes = (codes | codes >> (8 - bits)) & 0x0001000100010001 * ((1ull << 2 * bits) - 1);
  codes = (codes | codes >> (16 - 2 * bits)) & 0x0000000100000001 * ((1ull << 4 * bits) - 1);
  return low_bits(codes | codes >> (32 - 4 * bits), 8 * bits);
}

static inline uint64_t open8(uint64_t codes, unsigned bits) {
  codes = (codes | codes << (32 - 4 * bits)) & 0x0000000100000001 * ((1ull << 4 * bits) - 1);
  codes = (codes | codes << (16 - 2 * bits)) & 0x0001000100010001 * ((1ull << 2 * bits) - 1);
  return (codes | codes << (8 - bits)) & EACH((1u << bits) - 1);
}

/* The bits above a number in two's complement are as its highest one. */
static inline uint64_t signed8(uint64_t codes, unsigned bits) {
  return codes | (codes >> (bits - 1) & EACH(1)) * (256 - (1u << bits));
}

NC_BODY void pack_body(const uint8_t *codes, size_t n, unsigned bits, uint8_t *packed) {
  uint64_t word;
  for (; n >= 8; n -= 8, codes += 8, packed += bits) {
    memcpy(&word, codes, 8);
    word = close8(word, bits);
    memcpy(packed, &word, bits);
  }
  word = close8(word_at(codes, n), bits);
  memcpy(packed, &word, bit_bytes(n * bits));
}

NC_BODY void unpack_body(const uint8_t *packed, size_t n, unsigned bits, bool is_signed, uint8_t *codes) {
  for (; n >= 8; n -= 8, codes += 8, packed += bits) {
    uint64_t word = 0;
    memcpy(&word, packed, bits);
    word = open8(word, bits);
    if (is_signed) word = signed8(word, bits);
    memcpy(codes, &word, 8);
  }
  uint64_t word = open8(word_at(packed, bit_bytes(n * bits)), bits);
  if (is_signed) word = signed8(word, bits);
  memcpy(codes, &word, n);
}

void nc_codes_pack(const uint8_t *codes, size_t n, unsigned bits, uint8_t *packed) {
  switch (bits) {
  case 1: pack_body(codes, n, 1, packed); break;
  case 2: pack_body(codes, n, 2, packed); break;
  case 4: pack_body(codes, n, 4, packed); break;
  default: memcpy(packed, codes, n);
  }
}

void nc_codes_unpack(const uint8_t *packed, size_t n, unsigned bits, bool is_signed, uint8_t *codes) {
  switch (bits) {
  case 1: unpack_body(packed, n, 1, is_signed, codes); break;
  case 2: unpack_body(packed, n, 2, is_signed, codes); break;
  case 4: unpack_body(packed, n, 4, is_signed, codes); break;
  default: memcpy(codes, packed, n);
  }
}

/* -- Codes to values -------------------------------------------------------------------------------------------- */

void nc_levels_values(const uint8_t *codes, size_t n, size_t size, const void *levels, void *out) {
  switch (size) {
#define VALUES(bits)                                                                                                  \
  case bits / 8:                                                                                                      \
    for (size_t i = 0; i < n; i++)                                                                                    \
      memcpy((uint8_t *)out + bits / 8 * i, (const uint8_t *)levels + bits / 8 * (size_t)codes[i], bits / 8);         \
    break;
    VALUES(8)
    VALUES(16)
    VALUES(32)
    VALUES(64)
  }
}

typedef int8_t codes16 __attribute__((ext_vector_type(16)));
typedef float floats16 __attribute__((ext_vector_type(16)));
typedef double doubles16 __attribute__((ext_vector_type(16)));

/* A product of 7 and 24 bits is exact in float64: rounded to float32 it is what float32 makes of it. */
#define GRID(name, target, number, numbers16)                                                                         \
  target static void name(const int8_t *codes, size_t n, number scale, number *out) {                                 \
    size_t i = 0;                                                                                                     \
    for (; i + 16 <= n; i += 16) {                                                                                    \
      codes16 c;                                                                                                      \
      memcpy(&c, codes + i, sizeof c);                                                                                \
      numbers16 x = __builtin_convertvector(c, numbers16) * scale;                                                    \
      memcpy(out + i, &x, sizeof x);                                                                                  \
    }                                                                                                                 \
    for (; i < n; i++) out[i] = (number)codes[i] * scale;                                                             \
  }
GRID(grid32_plain, NC_PLAIN, float, floats16)
GRID(grid64_plain, NC_PLAIN, double, doubles16)
#if defined(__x86_64__)
GRID(grid32_avx2, NC_AVX2, float, floats16)
GRID(grid64_avx2, NC_AVX2, double, doubles16)
GRID(grid32_avx512, NC_AVX512, float, floats16)
GRID(grid64_avx512, NC_AVX512, double, doubles16)
#endif

/* Rounded to odd: of the floats on both sides of x the one whose last bit is 1. A later rounding to fewer bits gives
   what x itself would have given. */
static float odd_float(double x) {
  float f = (float)x;
  if ((double)f == x) return f;
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if (__builtin_fabs((double)f) > __builtin_fabs(x)) bits--;
  bits |= 1;
  memcpy(&f, &bits, 4);
  return f;
}

static void grid16_few(const int8_t *codes, size_t n, double scale, bool brain, uint16_t *out) {
  float x[64];
  for (size_t i = 0; i < n; i += 64) {
    size_t some = n - i < 64 ? n - i : 64;
    for (size_t k = 0; k < some; k++) x[k] = odd_float(codes[i + k] * scale);
    nc_narrow(x, some, brain, out + i);
  }
}

/* For many, the values of all codes are made first. */
static void grid16(const int8_t *codes, size_t n, double scale, bool brain, uint16_t *out) {
  if (n < 512) {
    grid16_few(codes, n, scale, brain, out);
    return;
  }
  int8_t all[256];
  uint16_t values[256];
  for (int k = 0; k < 256; k++) all[k] = (int8_t)k;
  grid16_few(all, 256, scale, brain, values);
  for (size_t i = 0; i < n; i++) out[i] = values[(uint8_t)codes[i]];
}

void nc_grid_values(const int8_t *codes, size_t n, double scale, size_t size, bool brain, void *out) {
  if (size == 2) {
    grid16(codes, n, scale, brain, out);
    return;
  }
#if defined(__x86_64__)
  int level = nc_level();
  if (level >= 1) {
    if (size == 4) {
      (level >= 2 ? grid32_avx512 : grid32_avx2)(codes, n, (float)scale, out);
    } else {
      (level >= 2 ? grid64_avx512 : grid64_avx2)(codes, n, scale, out);
    }
    return;
  }
#endif
  if (size == 4) {
    grid32_plain(codes, n, (float)scale, out);
  } else {
    grid64_plain(codes, n, scale, out);
  }
}

/* -- Values to codes -------------------------------------------------------------------------------------------- */

/* x to the nearest integer, ties to even, for |x| < 2^51. */
static inline double rounded(float x) { return ((double)x + 0x1.8p52) - 0x1.8p52; }

static size_t quantize_plain(const float *x, size_t n, float inverse, int8_t *codes) {
  size_t outliers = 0;
  for (size_t i = 0; i < n; i++) {
    float y = x[i] * inverse;
    bool is_code = __builtin_fabsf(y) <= 127.5f; /* and 127.5 is not, being rounded to 128 */
    double k = is_code ? rounded(y) : -128;
    is_code = k > -128 && k < 128;
    codes[i] = is_code ? (int8_t)k : -128;
    outliers += !is_code;
  }
  return outliers;
}

#if defined(__x86_64__)
/* What is no number, or too large for one, becomes -2^31. */
NC_AVX2 static size_t quantize_avx2(const float *x, size_t n, float inverse, int8_t *codes, size_t *outliers) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7), limit = _mm256_set1_epi32(127);
  const __m256i none = _mm256_set1_epi32(-128);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i k[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
      __m256i y = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * j), _mm256_set1_ps(inverse)));
      __m256i large = _mm256_cmpgt_epi32(_mm256_abs_epi32(y), limit);
      /* The magnitude of -2^31 is itself. */
      large = _mm256_or_si256(large, _mm256_cmpgt_epi32(none, y));
      *outliers += (size_t)_mm_popcnt_u32((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(large)));
      k[j] = _mm256_blendv_epi8(y, none, large);
    }
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(k[0], k[1]), _mm256_packs_epi32(k[2], k[3]));
    _mm256_storeu_si256((__m256i *)(codes + i), _mm256_permutevar8x32_epi32(bytes, order));
  }
  return i;
}

NC_AVX512 static size_t quantize_avx512(const float *x, size_t n, float inverse, int8_t *codes, size_t *outliers) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i y = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(inverse)));
    __mmask16 large = _mm512_cmpgt_epu32_mask(_mm512_abs_epi32(y), _mm512_set1_epi32(127));
    *outliers += (size_t)_mm_popcnt_u32(large);
    y = _mm512_mask_mov_epi32(y, large, _mm512_set1_epi32(-128));
    _mm_storeu_si128((__m128i *)(codes + i), _mm512_cvtepi32_epi8(y));
  }
  return i;
}
#endif

size_t nc_grid_codes(const float *x, size_t n, float inverse, int8_t *codes) {
  size_t i = 0, outliers = 0;
#if defined(__x86_64__)
  int level = nc_level();
  if (level >= 2) {
    i = quantize_avx512(x, n, inverse, codes, &outliers);
  } else if (level >= 1) {
    i = quantize_avx2(x, n, inverse, codes, &outliers);
  }
#endif
  return outliers + quantize_plain(x + i, n - i, inverse, codes + i);
}

bool nc_grid_exceptions(const float *x, const int8_t *codes, size_t n, float inverse, int32_t *numbers) {
  for (size_t i = 0; i < n; i++) {
    if (codes[i] != -128) continue;
    float y = x[i] * inverse;
    if (!(__builtin_fabsf(y) <= 0x1p24f)) return false;
    *numbers++ = (int32_t)rounded(y);
  }
  return true;
}

/* -- Distinct elements ------------------------------------------------------------------------------------------ */

enum { slots = 1024, slot_bits = 10, empty = 0xFFFF };

/* Numbers of patterns, each at or after the slot that its bits say. */
typedef struct {
  uint16_t number[slots];
} pattern_map;

static inline size_t slot_of(const pattern_map *m, const uint64_t *patterns, uint64_t pattern) {
  size_t slot = pattern * 0x9E3779B97F4A7C15 >> (64 - slot_bits);
  while (m->number[slot] != empty && patterns[m->number[slot]] != pattern) slot = (slot + 1) % slots;
  return slot;
}

static void make_map(pattern_map *m, const uint64_t *patterns, size_t count) {
  memset(m->number, 0xFF, sizeof m->number);
  for (size_t k = 0; k < count; k++) m->number[slot_of(m, patterns, patterns[k])] = (uint16_t)k;
}

static inline uint64_t pattern_at(const uint8_t *x, size_t i, size_t size) {
  switch (size) {
  case 1: return x[i];
  case 2: return element16(x, i);
  case 4: return element32(x, i);
  default: return element64(x, i);
  }
}

/* Elements like the one before are frequent where few are distinct: they need no look into the map. */
NC_BODY size_t distinct_body(const uint8_t *x, size_t n, size_t size, uint64_t *patterns, size_t count) {
  pattern_map map;
  make_map(&map, patterns, count);
  uint64_t last = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t pattern = pattern_at(x, i, size);
    if (pattern == last && i > 0) continue;
    last = pattern;
    size_t slot = slot_of(&map, patterns, pattern);
    if (map.number[slot] != empty) continue;
    if (count == nc_distinct_limit) return count + 1;
    map.number[slot] = (uint16_t)count;
    patterns[count++] = pattern;
  }
  return count;
}

size_t nc_distinct(const void *x, size_t n, size_t size, uint64_t *patterns, size_t count) {
  switch (size) {
  case 1: return distinct_body(x, n, 1, patterns, count);
  case 2: return distinct_body(x, n, 2, patterns, count);
  case 4: return distinct_body(x, n, 4, patterns, count);
  default: return distinct_body(x, n, 8, patterns, count);
  }
}

NC_BODY bool codes_body(const uint8_t *x, size_t n, size_t size, const uint64_t *levels, size_t count, uint8_t *codes) {
  pattern_map map;
  make_map(&map, levels, count);
  for (size_t i = 0; i < n; i++) {
    uint16_t number = map.number[slot_of(&map, levels, pattern_at(x, i, size))];
    if (number == empty) return false;
    codes[i] = (uint8_t)number;
  }
  return true;
}

bool nc_levels_codes(const void *x, size_t n, size_t size, const uint64_t *levels, size_t count, uint8_t *codes) {
  switch (size) {
  case 1: return codes_body(x, n, 1, levels, count, codes);
  case 2: return codes_body(x, n, 2, levels, count, codes);
  case 4: return codes_body(x, n, 4, levels, count, codes);
  default: return codes_body(x, n, 8, levels, count, codes);
  }
}

/* -- Arrangements of codes -------------------------------------------------------------------------------------- */

#define DEVIATIONS(name, target)                                                                                      \
  target static uint32_t name(const uint8_t *codes, size_t n, uint8_t flip, uint8_t center, uint32_t *columns) {      \
    uint32_t sum = 0;                                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint8_t c = codes[i] ^ flip, d = c > center ? (uint8_t)(c - center) : (uint8_t)(center - c);                    \
      columns[i] += d;                                                                                                \
      sum += d;                                                                                                       \
    }                                                                                                                 \
    return sum;                                                                                                       \
  }
DEVIATIONS(deviations_plain, NC_PLAIN)
#if defined(__x86_64__)
DEVIATIONS(deviations_avx2, NC_AVX2)
DEVIATIONS(deviations_avx512, NC_AVX512)
#endif

uint32_t nc_codes_deviations(const uint8_t *codes, size_t n, uint8_t flip, uint8_t center, uint32_t *columns) {
#if defined(__x86_64__)
  int level = nc_level();
  if (level >= 2) return deviations_avx512(codes, n, flip, center, columns);
  if (level >= 1) return deviations_avx2(codes, n, flip, center, columns);
#endif
  return deviations_plain(codes, n, flip, center, columns);
}

void nc_codes_gather(const uint8_t *codes, const uint32_t *places, size_t n, uint8_t *out) {
  for (size_t i = 0; i < n; i++) out[i] = codes[places[i]];
}

void nc_codes_scatter(const uint8_t *codes, const uint32_t *places, size_t n, uint8_t *out) {
  for (size_t i = 0; i < n; i++) out[places[i]] = codes[i];
}

void nc_codes_flip(uint8_t *codes, size_t n, uint8_t bits) {
  for (size_t i = 0; i < n; i++) codes[i] ^= bits;
}

size_t nc_codes_select(const uint8_t *codes, size_t n, const uint8_t *stored, uint8_t *bits, uint8_t *out) {
  size_t count = 0;
  for (size_t i = 0; i < n; i += 8) {
    size_t some = n - i < 8 ? n - i : 8;
    unsigned byte = 0;
    for (size_t k = 0; k < some; k++) {
      uint8_t is_stored = stored[codes[i + k]];
      out[count] = codes[i + k];
      count += is_stored;
      byte |= (unsigned)is_stored << k;
    }
    bits[i / 8] = (uint8_t)byte;
  }
  return count;
}

void nc_codes_place(const uint8_t *bits, size_t n, const uint8_t *codes, uint8_t *out) {
  size_t size = bit_bytes(n);
  for (size_t at = 0; at < size; at += 8)
    for (uint64_t word = word_at(bits + at, size - at); word != 0; word &= word - 1)
      out[8 * at + (size_t)__builtin_ctzll(word)] = *codes++;
}
