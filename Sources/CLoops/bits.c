/* SPDX-License-Identifier: Apache-2.0 */
#include "bits.h"
#include "level.h"

/* -- Bits ------------------------------------------------------------------------------------------------------- */

/* Bits that are appended: whole words are in `out`, the others wait. */
typedef struct {
  uint8_t *out;
  uint64_t waiting;
  unsigned count;
} bit_writer;

/* Appends n <= 64 bits; those of `bits` above them are 0. */
static inline void append(bit_writer *w, uint64_t bits, unsigned n) {
  w->waiting |= bits << w->count;
  if (w->count + n < 64) {
    w->count += n;
    return;
  }
  memcpy(w->out, &w->waiting, 8);
  w->out += 8;
  w->waiting = w->count == 0 ? 0 : bits >> (64 - w->count);
  w->count = w->count + n - 64;
}

static inline void finish(bit_writer *w) {
  memcpy(w->out, &w->waiting, bit_bytes(w->count));
}

bool nc_bits_padded(const uint8_t *bits, size_t rows, size_t columns) {
  if (columns % 8 == 0) return true;
  size_t row_bytes = bit_bytes(columns);
  unsigned bad = 0;
  for (size_t r = 0; r < rows; r++) bad |= (unsigned)bits[r * row_bytes + row_bytes - 1] >> columns % 8;
  return bad == 0;
}

void nc_bits_close(const uint8_t *rows_of_bits, size_t rows, size_t columns, uint8_t *bits) {
  bit_writer to = {bits, 0, 0};
  size_t row_bytes = bit_bytes(columns);
  for (size_t r = 0; r < rows; r++, rows_of_bits += row_bytes)
    for (size_t c = 0; c < columns; c += 64) {
      size_t n = columns - c < 64 ? columns - c : 64;
      append(&to, low_bits(word_at(rows_of_bits + c / 8, row_bytes - c / 8), n), (unsigned)n);
    }
  finish(&to);
}

void nc_bits_open(const uint8_t *bits, size_t rows, size_t columns, uint8_t *rows_of_bits) {
  size_t row_bytes = bit_bytes(columns), size = bit_bytes(rows * columns);
  for (size_t r = 0; r < rows; r++, rows_of_bits += row_bytes)
    for (size_t c = 0; c < columns; c += 64) {
      size_t n = columns - c < 64 ? columns - c : 64;
      uint64_t word = bits_at(bits, size, r * columns + c, n);
      memcpy(rows_of_bits + c / 8, &word, bit_bytes(n));
    }
}

/* -- Trits as bits and signs ------------------------------------------------------------------------------------ */

static const uint64_t low_of_trits = 0x5555555555555555u;

/* The low bits of 32 trits side by side, and the inverse. */
static inline uint64_t close_trits(uint64_t x) {
  x &= low_of_trits;
  x = (x | x >> 1) & 0x3333333333333333u;
  x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0fu;
  x = (x | x >> 4) & 0x00ff00ff00ff00ffu;
  x = (x | x >> 8) & 0x0000ffff0000ffffu;
  return (x | x >> 16) & 0x00000000ffffffffu;
}

static inline uint64_t open_trits(uint64_t x) {
  x = (x | x << 16) & 0x0000ffff0000ffffu;
  x = (x | x << 8) & 0x00ff00ff00ff00ffu;
  x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
  x = (x | x << 2) & 0x3333333333333333u;
  return (x | x << 1) & low_of_trits;
}

/* The bits of x where `mask` has bits, side by side, and the inverse. */
static inline uint64_t gather(uint64_t x, uint64_t mask) {
  uint64_t out = 0;
  for (unsigned k = 0; mask != 0; k++, mask &= mask - 1) out |= (uint64_t)((x & mask & -mask) != 0) << k;
  return out;
}

static inline uint64_t scatter(uint64_t x, uint64_t mask) {
  uint64_t out = 0;
  for (; mask != 0; x >>= 1, mask &= mask - 1) out |= (mask & -mask) & -(x & 1);
  return out;
}

#define TERNARY_SPLIT(level, TARGET, CLOSE, GATHER)                                                                   \
  TARGET static size_t ternary_split_##level(const uint8_t *codes, size_t rows, size_t columns, uint8_t *bits,        \
                                             uint8_t *signs) {                                                        \
    bit_writer to = {bits, 0, 0}, sign = {signs, 0, 0};                                                               \
    size_t row_bytes = columns / 4 + (columns % 4 != 0), stored = 0;                                                  \
    for (size_t r = 0; r < rows; r++, codes += row_bytes)                                                             \
      for (size_t c = 0; c < columns; c += 32) {                                                                      \
        size_t n = columns - c < 32 ? columns - c : 32;                                                               \
        uint64_t word = low_bits(word_at(codes + c / 4, row_bytes - c / 4), 2 * n), mask = word & low_of_trits;       \
        unsigned count = (unsigned)__builtin_popcountll(mask);                                                        \
        append(&to, CLOSE, (unsigned)n);                                                                              \
        append(&sign, GATHER, count);                                                                                 \
        stored += count;                                                                                              \
      }                                                                                                               \
    finish(&to);                                                                                                      \
    finish(&sign);                                                                                                    \
    return stored;                                                                                                    \
  }

#define TERNARY_JOIN(level, TARGET, OPEN, SCATTER)                                                                    \
  TARGET static void ternary_join_##level(const uint8_t *bits, const uint8_t *signs, size_t stored, size_t rows,      \
                                          size_t columns, uint8_t *codes) {                                           \
    size_t row_bytes = columns / 4 + (columns % 4 != 0), size = bit_bytes(rows * columns);                            \
    size_t sign_bytes = bit_bytes(stored), done = 0;                                                                  \
    for (size_t r = 0; r < rows; r++, codes += row_bytes)                                                             \
      for (size_t c = 0; c < columns; c += 32) {                                                                      \
        size_t n = columns - c < 32 ? columns - c : 32, code_bytes = n / 4 + (n % 4 != 0);                            \
        uint64_t x = bits_at(bits, size, r * columns + c, n), mask = OPEN;                                            \
        x = bits_at(signs, sign_bytes, done, 64);                                                                     \
        uint64_t word = mask | SCATTER << 1;                                                                          \
        memcpy(codes + c / 4, &word, code_bytes);                                                                     \
        done += (size_t)__builtin_popcountll(mask);                                                                   \
      }                                                                                                               \
  }

TERNARY_SPLIT(plain, NC_PLAIN, close_trits(mask), gather(word >> 1, mask))
TERNARY_JOIN(plain, NC_PLAIN, open_trits(x), scatter(x, mask))
#if defined(__x86_64__)
TERNARY_SPLIT(avx2, NC_AVX2, _pext_u64(mask, low_of_trits), _pext_u64(word >> 1, mask))
TERNARY_JOIN(avx2, NC_AVX2, _pdep_u64(x, low_of_trits), _pdep_u64(x, mask))
#endif

size_t nc_ternary_split(const uint8_t *codes, size_t rows, size_t columns, uint8_t *bits, uint8_t *signs) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return ternary_split_avx2(codes, rows, columns, bits, signs);
#endif
  return ternary_split_plain(codes, rows, columns, bits, signs);
}

void nc_ternary_join(const uint8_t *bits, const uint8_t *signs, size_t stored, size_t rows, size_t columns,
                     uint8_t *codes) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    ternary_join_avx2(bits, signs, stored, rows, columns, codes);
    return;
  }
#endif
  ternary_join_plain(bits, signs, stored, rows, columns, codes);
}
