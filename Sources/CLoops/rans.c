/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include "orders.h"
#include <string.h>

/* Doubles decide which bytes are written: every operation is rounded for itself, on every machine. */
#pragma STDC FP_CONTRACT OFF

enum { scale_bits = 12, scale = 1 << scale_bits, lane_limit = nc_rans_lane_limit };
/* States are lower ..< 2^16 * lower. */
static const uint32_t lower = (uint32_t)1 << 15, upper = (uint32_t)1 << 31;

/* -- Counts and frequencies ------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* So many different values are counted faster one after the other, many bytes at a time. */
enum { few_values = 32, vector_bytes = 32 };

/* Whether the bytes, as unsigned or as signed numbers, lie so close together; then they are counted. */
NC_AVX2 static bool histogram_of_few(const uint8_t *bytes, size_t n, uint32_t *counts) {
  const __m256i flip = _mm256_set1_epi8((char)0x80);
  __m256i least[2] = {_mm256_set1_epi8(-1), _mm256_set1_epi8(-1)}, most[2] = {{0}, {0}};
  for (size_t i = 0; i < n; i += vector_bytes) {
    __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + i));
    for (size_t k = 0; k < 2; k++, x = _mm256_xor_si256(x, flip)) {
      least[k] = _mm256_min_epu8(least[k], x);
      most[k] = _mm256_max_epu8(most[k], x);
    }
  }
  for (size_t k = 0; k < 2; k++) {
    uint8_t lows[vector_bytes], highs[vector_bytes], low = 255, high = 0;
    _mm256_storeu_si256((__m256i *)lows, least[k]);
    _mm256_storeu_si256((__m256i *)highs, most[k]);
    for (size_t i = 0; i < vector_bytes; i++) {
      low = lows[i] < low ? lows[i] : low;
      high = highs[i] > high ? highs[i] : high;
    }
    if (high - low >= few_values) continue;
    /* A sum of 255 comparisons has room in a byte. */
    for (size_t i = 0; i < n; i += 255 * vector_bytes) {
      size_t end = n - i < 255 * vector_bytes ? n : i + 255 * vector_bytes;
      for (unsigned value = low; value <= high; value += 4) {
        __m256i wanted[4], sums[4] = {{0}, {0}, {0}, {0}};
        for (unsigned v = 0; v < 4; v++) wanted[v] = _mm256_set1_epi8((char)((value + v) ^ (k ? 0x80 : 0)));
        for (size_t j = i; j < end; j += vector_bytes) {
          __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + j));
          for (unsigned v = 0; v < 4; v++) sums[v] = _mm256_sub_epi8(sums[v], _mm256_cmpeq_epi8(x, wanted[v]));
        }
        for (unsigned v = 0; v < 4 && value + v <= high; v++) {
          uint64_t quarters[4];
          _mm256_storeu_si256((__m256i *)quarters, _mm256_sad_epu8(sums[v], _mm256_setzero_si256()));
          counts[(value + v) ^ (k ? 0x80 : 0)] += (uint32_t)(quarters[0] + quarters[1] + quarters[2] + quarters[3]);
        }
      }
    }
    return true;
  }
  return false;
}
#endif

void nc_histogram(const uint8_t *bytes, size_t n, uint32_t *counts) {
  size_t i = 0;
#if defined(__x86_64__)
  size_t whole = n / vector_bytes * vector_bytes;
  if (nc_level() >= 1 && n >= 1024 && histogram_of_few(bytes, whole, counts)) i = whole;
#endif
  /* Equal neighbours count in different tables, so that no count waits for the one before. */
  uint32_t table[4][256];
  memset(table, 0, sizeof table);
  for (; i + 8 <= n; i += 8) {
    uint64_t word;
    memcpy(&word, bytes + i, 8);
    for (size_t k = 0; k < 8; k++) table[k % 4][word >> 8 * k & 255]++;
  }
  for (; i < n; i++) table[0][bytes[i]]++;
  for (size_t b = 0; b < 256; b++) counts[b] += table[0][b] + table[1][b] + table[2][b] + table[3][b];
}

/* log2 of x >= 1 from arithmetic alone, as libraries differ in their last bits. With x = m * 2^e, m in
   [1/sqrt 2, sqrt 2), and z = (m - 1) / (m + 1), ln m = 2 (z + z^3 / 3 + z^5 / 5 + ...): what is left out is below
   10^-10. */
static double log2_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  int exponent = (int)(bits >> 52) - 1023;
  bits = (bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000;
  double m;
  memcpy(&m, &bits, 8);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  double z = (m - 1) / (m + 1), square = z * z, sum = 0;
  for (int k = 11; k > 0; k -= 2) sum = sum * square + 1.0 / k;
  return exponent + 2.8853900817779268 * z * sum;
}

double nc_entropy(const uint32_t *counts) {
  double all = 0, sum = 0;
  for (size_t s = 0; s < 256; s++) {
    if (counts[s] == 0) continue;
    all += counts[s];
    sum += counts[s] * log2_of(counts[s]);
  }
  return all == 0 ? 0 : all * log2_of(all) - sum;
}

/* What one more frequency saves a symbol of frequency f. */
static double saving(uint32_t count, uint32_t f) {
  return count * (log2_of(f + 1) - log2_of(f));
}

void nc_rans_normalize(const uint32_t *counts, uint16_t *frequencies) {
  uint64_t all = 0;
  for (size_t s = 0; s < 256; s++) all += counts[s];
  /* What a symbol would save with one more, and loses with one less. */
  double more[256], less[256];
  uint8_t symbols[256];
  size_t n = 0;
  uint32_t sum = 0;
  memset(frequencies, 0, 256 * sizeof *frequencies);
  for (size_t s = 0; s < 256; s++) {
    if (counts[s] == 0) continue;
    uint32_t f = (uint32_t)(counts[s] * (uint64_t)scale / all);
    frequencies[s] = (uint16_t)(f == 0 ? 1 : f);
    sum += frequencies[s];
    symbols[n++] = (uint8_t)s;
  }
  for (size_t i = 0; i < n; i++) {
    uint32_t count = counts[symbols[i]], f = frequencies[symbols[i]];
    more[i] = saving(count, f);
    less[i] = f == 1 ? -1 : saving(count, f - 1);
  }
  /* One is given where it saves most and taken where it loses least, until the sum is right and no exchange saves
     anything. What it saves falls with the frequency, so this is the optimum. */
  for (;;) {
    size_t best = 0, worst = n;
    for (size_t i = 0; i < n; i++) {
      if (more[i] > more[best]) best = i;
      if (less[i] >= 0 && (worst == n || less[i] < less[worst])) worst = i;
    }
    bool gives = sum < scale, takes = sum > scale;
    if (!gives && !takes) {
      if (worst == n || best == worst || more[best] <= less[worst]) return;
      gives = takes = true;
    }
    if (gives) {
      uint32_t f = ++frequencies[symbols[best]];
      less[best] = more[best];
      more[best] = saving(counts[symbols[best]], f);
      sum++;
    }
    if (takes) {
      uint32_t f = --frequencies[symbols[worst]];
      more[worst] = less[worst];
      less[worst] = f == 1 ? -1 : saving(counts[symbols[worst]], f - 1);
      sum--;
    }
  }
}

/* -- Tables ----------------------------------------------------------------------------------------------------- */

static uint8_t *put_table(const uint16_t *frequencies, uint8_t *out) {
  unsigned first = 0, last = 255;
  while (frequencies[first] == 0) first++;
  while (frequencies[last] == 0) last--;
  *out++ = (uint8_t)first;
  *out++ = (uint8_t)(last - first);
  for (unsigned s = first; s <= last; s++) {
    unsigned f = frequencies[s];
    if (f < 128) {
      *out++ = (uint8_t)f;
    } else {
      *out++ = (uint8_t)(f | 128);
      *out++ = (uint8_t)(f >> 7);
    }
  }
  return out;
}

typedef struct {
  unsigned first, count;
  uint16_t frequencies[256]; /* of symbols first, first + 1, ... */
} table;

/* Reads a table, and returns what is after it; NULL where there is none. */
static const uint8_t *get_table(const uint8_t *from, const uint8_t *end, table *t) {
  if (end - from < 2) return NULL;
  t->first = from[0];
  t->count = from[1] + 1u;
  from += 2;
  if (t->first + t->count > 256) return NULL;
  uint32_t sum = 0;
  for (unsigned i = 0; i < t->count; i++) {
    if (from == end) return NULL;
    unsigned f = *from++;
    if (f >= 128) {
      if (from == end || *from == 0) return NULL; /* a frequency has one spelling */
      f = (f & 127) | (unsigned)*from++ << 7;
    }
    if (f > scale) return NULL;
    t->frequencies[i] = (uint16_t)f;
    sum += f;
  }
  return sum == scale && t->frequencies[0] != 0 && t->frequencies[t->count - 1] != 0 ? from : NULL;
}

/* -- Encoding --------------------------------------------------------------------------------------------------- */

/* What the encoder needs to know of each symbol: a reciprocal of its frequency f, and in `rest`
   bits 0 ... 11: 4096 - f; 12 ... 24: what is added to the state; 25 ... 28: how far the product is shifted.
   floor(x / f) = (x * reciprocal >> 32) >> shift, exactly for x < 2^31, with shift = ceil(log2 f) - 1 and reciprocal =
   ceil(2^(shift + 32) / f) (Alverson, "Integer Division Using Reciprocals", 1991). For f = 1 it is x - 1, which the
   added number makes good. */
typedef struct {
  uint32_t reciprocal[256], rest[256];
} coder;

static void make_coder(const table *t, coder *c) {
  uint32_t start = 0;
  for (unsigned i = 0; i < t->count; i++) {
    uint32_t f = t->frequencies[i], s = t->first + i;
    if (f == 0) continue;
    if (f == 1) {
      c->reciprocal[s] = UINT32_MAX;
      c->rest[s] = (scale - 1) | (start + scale - 1) << 12;
    } else {
      uint32_t shift = 31 - (uint32_t)__builtin_clz(f - 1);
      c->reciprocal[s] = (uint32_t)((((uint64_t)1 << (shift + 32)) + f - 1) / f);
      c->rest[s] = (scale - f) | start << 12 | shift << 25;
    }
    start += f;
  }
}

/* The symbol is put before those that the state holds; a word that has no more room in it, before `words`. */
static inline uint32_t put_symbol(uint32_t x, const coder *c, uint8_t symbol, uint8_t **words) {
  uint32_t rest = c->rest[symbol], complement = rest & (scale - 1);
  if (x >= (scale - complement) << 19) {
    uint16_t word = (uint16_t)x;
    *words -= 2;
    memcpy(*words, &word, 2);
    x >>= 16;
  }
  uint32_t quotient = (uint32_t)((uint64_t)x * c->reciprocal[symbol] >> 32) >> (rest >> 25);
  return x + (rest >> 12 & 0x1FFF) + quotient * complement;
}

NC_BODY uint8_t *put_body(const uint8_t *symbols, size_t n, const coder *c, size_t lanes, uint32_t *states,
                          uint8_t *words) {
  while (n-- > 0) states[n % lanes] = put_symbol(states[n % lanes], c, symbols[n], &words);
  return words;
}

static uint8_t *put_plain(const uint8_t *symbols, size_t n, const coder *c, size_t lanes, uint32_t *states,
                          uint8_t *words) {
  switch (lanes) {
  case 1: return put_body(symbols, n, c, 1, states, words);
  case 4: return put_body(symbols, n, c, 4, states, words);
  default: return put_body(symbols, n, c, lanes, states, words);
  }
}

#if defined(__x86_64__)
/* Sixteen lanes. */
NC_AVX512 static inline __m512i put16(__m512i x, __m512i reciprocal, __m512i rest, uint8_t **words) {
  __m512i complement = _mm512_and_si512(rest, _mm512_set1_epi32(scale - 1));
  __m512i limit = _mm512_slli_epi32(_mm512_sub_epi32(_mm512_set1_epi32(scale), complement), 19);
  __mmask16 full = _mm512_cmpge_epu32_mask(x, limit);
  __m256i out = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, x));
  unsigned n = (unsigned)_mm_popcnt_u32(full);
  *words -= 2 * n;
  _mm256_mask_storeu_epi16(*words, (__mmask16)_bzhi_u32(0xFFFF, n), out);
  x = _mm512_mask_srli_epi32(x, full, x, 16);
  __m512i even = _mm512_mul_epu32(x, reciprocal);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(reciprocal, 32));
  __m512i high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xAAAA, odd);
  __m512i quotient = _mm512_srlv_epi32(high, _mm512_srli_epi32(rest, 25));
  __m512i added = _mm512_and_si512(_mm512_srli_epi32(rest, 12), _mm512_set1_epi32(0x1FFF));
  return _mm512_add_epi32(_mm512_add_epi32(x, added), _mm512_mullo_epi32(quotient, complement));
}

NC_AVX512 static inline __m512i symbols16(const uint8_t *symbols) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)symbols));
}

/* n is a multiple of 32. The numbers of up to 32 symbols fit two registers; those of more are gathered. */
NC_AVX512 static uint8_t *put32_avx512(const uint8_t *symbols, size_t n, const coder *c, const table *t,
                                       uint32_t *states, uint8_t *words) {
  __m512i x0 = _mm512_loadu_si512(states), x1 = _mm512_loadu_si512(states + 16);
  if (t->count <= 32) {
    uint32_t copy[2][32];
    memset(copy, 0, sizeof copy);
    memcpy(copy[0], c->reciprocal + t->first, t->count * 4);
    memcpy(copy[1], c->rest + t->first, t->count * 4);
    const __m512i r0 = _mm512_loadu_si512(copy[0]), r1 = _mm512_loadu_si512(copy[0] + 16);
    const __m512i s0 = _mm512_loadu_si512(copy[1]), s1 = _mm512_loadu_si512(copy[1] + 16);
    const __m512i first = _mm512_set1_epi32((int)t->first);
    while (n > 0) {
      n -= 32;
      __m512i b = _mm512_sub_epi32(symbols16(symbols + n + 16), first);
      __m512i a = _mm512_sub_epi32(symbols16(symbols + n), first);
      x1 = put16(x1, _mm512_permutex2var_epi32(r0, b, r1), _mm512_permutex2var_epi32(s0, b, s1), &words);
      x0 = put16(x0, _mm512_permutex2var_epi32(r0, a, r1), _mm512_permutex2var_epi32(s0, a, s1), &words);
    }
  } else {
    while (n > 0) {
      n -= 32;
      __m512i b = symbols16(symbols + n + 16), a = symbols16(symbols + n);
      x1 = put16(x1, _mm512_i32gather_epi32(b, c->reciprocal, 4), _mm512_i32gather_epi32(b, c->rest, 4), &words);
      x0 = put16(x0, _mm512_i32gather_epi32(a, c->reciprocal, 4), _mm512_i32gather_epi32(a, c->rest, 4), &words);
    }
  }
  _mm512_storeu_si512(states, x0);
  _mm512_storeu_si512(states + 16, x1);
  return words;
}
#endif

/* Writes the words of a group of symbols before `words`, and returns where they begin. */
static uint8_t *put_symbols(const uint8_t *symbols, size_t n, const table *t, size_t lanes, uint32_t *states,
                            uint8_t *words) {
  /* A symbol that is the only one takes nothing. */
  if (t->count == 1) return words;
  coder c;
  make_coder(t, &c);
#if defined(__x86_64__)
  if (lanes == 32 && nc_level() >= 2) {
    size_t whole = n / 32 * 32;
    words = put_plain(symbols + whole, n - whole, &c, lanes, states, words);
    return put32_avx512(symbols, whole, &c, t, states, words);
  }
#endif
  return put_plain(symbols, n, &c, lanes, states, words);
}

size_t nc_rans_room(size_t n, size_t group_count) { return 1 + group_count * (2 + 2 * 256) + 4 * lane_limit + 2 * n; }

size_t nc_rans_encode(const uint8_t *symbols, const size_t *groups, size_t group_count, int log_lanes, uint8_t *out) {
  size_t n = 0, start[nc_rans_group_limit];
  double bits = 0;
  uint8_t *next = out + 1;
  for (size_t g = 0; g < group_count; n += groups[g++]) {
    start[g] = (size_t)(next - out);
    if (groups[g] == 0) continue;
    uint32_t counts[256] = {0};
    uint16_t frequencies[256];
    nc_histogram(symbols + n, groups[g], counts);
    nc_rans_normalize(counts, frequencies);
    if (log_lanes < 0) bits += nc_entropy(counts);
    next = put_table(frequencies, next);
  }
  if (n == 0) return 0;
  /* A lane costs four bytes, of which one is not lost: so many that it is no more than a hundredth. */
  if (log_lanes < 0) log_lanes = bits > 8 * 100 * 3 * 32 ? 5 : bits > 8 * 100 * 3 * 4 ? 2 : 0;
  *out = (uint8_t)log_lanes;

  size_t lanes = (size_t)1 << log_lanes;
  uint32_t states[lane_limit];
  for (size_t lane = 0; lane < lane_limit; lane++) states[lane] = lower;
  uint8_t *end = next + 4 * lanes + 2 * n, *words = end;
  for (size_t g = group_count; g-- > 0;) {
    if (groups[g] == 0) continue;
    table t;
    get_table(out + start[g], next, &t);
    n -= groups[g];
    words = put_symbols(symbols + n, groups[g], &t, lanes, states, words);
  }
  memcpy(next, states, 4 * lanes);
  next += 4 * lanes;
  memmove(next, words, (size_t)(end - words));
  return (size_t)(next - out) + (size_t)(end - words);
}

/* -- Decoding --------------------------------------------------------------------------------------------------- */

/* A step decodes one symbol of each lane. It takes a word for each at most, and may read all of them: */
enum { step_bytes = 2 * lane_limit };

typedef struct {
  uint32_t states[lane_limit];
  const uint8_t *next, *end; /* the words */
  bool is_tail;              /* whether they are the last ones, in `tail`, and zeros after them */
  uint8_t tail[2 * step_bytes];
  uint32_t entries[scale]; /* of y: frequency - 1, y - start << 12, symbol << 24 */
} decoder;

static void make_entries(const table *t, uint32_t *entries) {
  for (unsigned i = 0; i < t->count; i++) {
    uint32_t f = t->frequencies[i], base = (uint32_t)(t->first + i) << 24 | (f - 1);
    for (uint32_t k = 0; k < f; k++) entries[k] = base | k << 12;
    entries += f;
  }
}

/* Called where fewer than `step_bytes` are left: copies them to where a step may read beyond them. False where more
   words were taken than there are. */
static bool refill(decoder *d) {
  if (d->next > d->end) return false;
  if (d->is_tail) return true;
  size_t rest = (size_t)(d->end - d->next);
  memset(d->tail, 0, sizeof d->tail);
  memcpy(d->tail, d->next, rest);
  d->next = d->tail;
  d->end = d->tail + rest;
  d->is_tail = true;
  return true;
}

static inline bool ready(decoder *d) {
  return __builtin_expect(d->end - d->next >= step_bytes, 1) || refill(d);
}

static inline uint8_t get_symbol(decoder *d, size_t lane) {
  uint32_t x = d->states[lane], entry = d->entries[x & (scale - 1)];
  x = (x >> scale_bits) * ((entry & (scale - 1)) + 1) + (entry >> 12 & (scale - 1));
  uint16_t word;
  memcpy(&word, d->next, 2);
  /* Whether a word is taken is hard to foresee: no branch. */
  uint32_t takes = x < lower;
  d->states[lane] = x << 16 * takes | (word & (0 - takes));
  d->next += 2 * takes;
  return (uint8_t)(entry >> 24);
}

NC_BODY bool get_body(decoder *d, size_t lanes, uint8_t *symbols, size_t n) {
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    if (!ready(d)) return false;
    for (size_t lane = 0; lane < lanes; lane++) symbols[i + lane] = get_symbol(d, lane);
  }
  if (!ready(d)) return false;
  for (size_t lane = 0; i + lane < n; lane++) symbols[i + lane] = get_symbol(d, lane);
  return d->next <= d->end;
}

static bool get_plain(decoder *d, size_t lanes, uint8_t *symbols, size_t n) {
  switch (lanes) {
  case 1: return get_body(d, 1, symbols, n);
  case 4: return get_body(d, 4, symbols, n);
  default: return get_body(d, lanes, symbols, n);
  }
}

#if defined(__x86_64__)
/* Eight lanes, and sixteen. */
NC_AVX2 static inline __m256i get8(__m256i x, const decoder *d, const uint8_t **next, __m256i *entry) {
  const __m256i mask = _mm256_set1_epi32(scale - 1);
  __m256i e = _mm256_i32gather_epi32((const int *)d->entries, _mm256_and_si256(x, mask), 4);
  __m256i f = _mm256_add_epi32(_mm256_and_si256(e, mask), _mm256_set1_epi32(1));
  x = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(x, scale_bits), f),
                       _mm256_and_si256(_mm256_srli_epi32(e, 12), mask));
  __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lower), x); /* x < 2^31 */
  unsigned takes = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
  __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)*next));
  words = _mm256_permutevar8x32_epi32(words, nc_words(nc_ranks[takes]));
  *next += 2 * (size_t)_mm_popcnt_u32(takes);
  *entry = e;
  return _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), low);
}

NC_AVX2 static bool get32_avx2(decoder *d, uint8_t *symbols, size_t n) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256i x[4];
  for (int k = 0; k < 4; k++) x[k] = _mm256_loadu_si256((const __m256i *)(d->states + 8 * k));
  for (size_t i = 0; i < n; i += 32) {
    if (!ready(d)) return false;
    const uint8_t *next = d->next;
    __m256i e[4];
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      x[k] = get8(x[k], d, &next, &e[k]);
      e[k] = _mm256_srli_epi32(e[k], 24);
    }
    d->next = next;
    __m256i low = _mm256_packus_epi32(e[0], e[1]), high = _mm256_packus_epi32(e[2], e[3]);
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    _mm256_storeu_si256((__m256i *)(symbols + i), bytes);
  }
  for (int k = 0; k < 4; k++) _mm256_storeu_si256((__m256i *)(d->states + 8 * k), x[k]);
  return true;
}

NC_AVX512 static inline __m512i get16(__m512i x, const decoder *d, const uint8_t **next, uint8_t *symbols) {
  const __m512i mask = _mm512_set1_epi32(scale - 1);
  __m512i e = _mm512_i32gather_epi32(_mm512_and_si512(x, mask), d->entries, 4);
  __m512i high = _mm512_srli_epi32(x, scale_bits);
  /* (f - 1 + 1) * high + y - start */
  __m512i sum = _mm512_add_epi32(high, _mm512_and_si512(_mm512_srli_epi32(e, 12), mask));
  x = _mm512_add_epi32(_mm512_mullo_epi32(high, _mm512_and_si512(e, mask)), sum);
  __mmask16 takes = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32((int)lower));
  __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)*next));
  words = _mm512_maskz_expand_epi32(takes, words);
  *next += 2 * (size_t)_mm_popcnt_u32(takes);
  _mm_storeu_si128((__m128i *)symbols, _mm512_cvtepi32_epi8(_mm512_srli_epi32(e, 24)));
  return _mm512_or_si512(_mm512_mask_slli_epi32(x, takes, x, 16), words);
}

NC_AVX512 static bool get32_avx512(decoder *d, uint8_t *symbols, size_t n) {
  __m512i x0 = _mm512_loadu_si512(d->states), x1 = _mm512_loadu_si512(d->states + 16);
  for (size_t i = 0; i < n; i += 32) {
    if (!ready(d)) return false;
    const uint8_t *next = d->next;
    x0 = get16(x0, d, &next, symbols + i);
    x1 = get16(x1, d, &next, symbols + i + 16);
    d->next = next;
  }
  _mm512_storeu_si512(d->states, x0);
  _mm512_storeu_si512(d->states + 16, x1);
  return true;
}
#endif

/* False where there are too few words. */
static bool get_symbols(decoder *d, const table *t, size_t lanes, uint8_t *symbols, size_t n) {
  if (t->count == 1) {
    memset(symbols, (int)t->first, n);
    return true;
  }
  make_entries(t, d->entries);
#if defined(__x86_64__)
  int level = nc_level();
  if (lanes == 32 && level >= 1) {
    size_t whole = n / 32 * 32;
    if (!(level >= 2 ? get32_avx512(d, symbols, whole) : get32_avx2(d, symbols, whole))) return false;
    symbols += whole;
    n -= whole;
  }
#endif
  return get_plain(d, lanes, symbols, n);
}

nc_rans_verdict nc_rans_decode(const uint8_t *bytes, size_t size, const size_t *groups, size_t group_count,
                               uint8_t *symbols) {
  size_t n = 0;
  for (size_t g = 0; g < group_count; g++) n += groups[g];
  if (n == 0) return size == 0 ? nc_rans_sound : nc_rans_left;
  if (size == 0 || bytes[0] > 5) return nc_rans_no_lanes;
  size_t lanes = (size_t)1 << bytes[0];
  const uint8_t *tables = bytes + 1, *end = bytes + size, *next = tables;
  table t;
  for (size_t g = 0; g < group_count; g++) {
    if (groups[g] == 0) continue;
    next = get_table(next, end, &t);
    if (next == NULL) return nc_rans_no_table;
  }
  if ((size_t)(end - next) < 4 * lanes) return nc_rans_no_state;
  decoder d;
  memcpy(d.states, next, 4 * lanes);
  for (size_t lane = 0; lane < lanes; lane++)
    if (d.states[lane] < lower || d.states[lane] >= upper) return nc_rans_no_state;
  d.next = next + 4 * lanes;
  d.end = end;
  d.is_tail = false;
  for (size_t g = 0; g < group_count; symbols += groups[g++]) {
    if (groups[g] == 0) continue;
    tables = get_table(tables, end, &t);
    if (!get_symbols(&d, &t, lanes, symbols, groups[g])) return nc_rans_cut;
  }
  for (size_t lane = 0; lane < lanes; lane++)
    if (d.states[lane] != lower) return nc_rans_left;
  return d.next == d.end ? nc_rans_sound : nc_rans_left;
}
