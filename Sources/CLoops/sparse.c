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

#define PLAIN
TERNARY_SPLIT(plain, PLAIN, close_trits(mask), gather(word >> 1, mask))
TERNARY_JOIN(plain, PLAIN, open_trits(x), scatter(x, mask))
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

/* -- Gaps ------------------------------------------------------------------------------------------------------- */

enum { skip = 255 };

static inline uint8_t *put_gap(uint8_t *out, size_t gap) {
  for (; gap >= skip; gap -= skip) *out++ = skip;
  *out++ = (uint8_t)gap;
  return out;
}

static size_t gaps_encode_plain(const uint8_t *bits, size_t n, uint8_t *gaps) {
  uint8_t *out = gaps;
  size_t size = bit_bytes(n), next = 0;
  for (size_t at = 0; at < size; at += 8)
    for (uint64_t word = word_at(bits + at, size - at); word != 0; word &= word - 1) {
      size_t position = 8 * at + (size_t)__builtin_ctzll(word);
      out = put_gap(out, position - next);
      next = position + 1;
    }
  return (size_t)(out - gaps);
}

#if defined(__x86_64__)
/* Only the first gap of a word can need more than a byte. The others are written in eights, more than there are: how
   many bits a word has is hard to foresee, whether it has more than nine is easier. */
NC_AVX2 static size_t gaps_encode_avx2(const uint8_t *bits, size_t n, uint8_t *gaps) {
  uint8_t *out = gaps;
  size_t size = bit_bytes(n), next = 0;
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = word_at(bits + at, size - at), rest = word;
    if (word == 0) continue;
    size_t gap = 8 * at - next + _tzcnt_u64(word);
    for (; gap >= skip; gap -= skip) *out++ = skip;
    *out = (uint8_t)gap;
    unsigned more = (unsigned)_mm_popcnt_u64(word) - 1;
    uint8_t *to = out + 1;
    out = to + more;
    /* One after the last position. */
    unsigned after = (unsigned)_tzcnt_u64(rest) + 1;
    rest = _blsr_u64(rest);
    for (;;) {
#pragma clang loop unroll(full)
      for (int k = 0; k < 8; k++) {
        unsigned position = (unsigned)_tzcnt_u64(rest);
        to[k] = (uint8_t)(position - after);
        after = position + 1;
        rest = _blsr_u64(rest);
      }
      if (more <= 8) break;
      more -= 8;
      to += 8;
    }
    next = 8 * at + 64 - _lzcnt_u64(word);
  }
  return (size_t)(out - gaps);
}
#endif

size_t nc_gaps_encode(const uint8_t *bits, size_t n, uint8_t *gaps) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return gaps_encode_avx2(bits, n, gaps);
#endif
  return gaps_encode_plain(bits, n, gaps);
}

/* A word of bits is made in a register and stored at every step: when the next position is in another word, it begins
   with zeros. So nothing is loaded that was just stored, and no branch depends on the gaps. */
bool nc_gaps_decode(const uint8_t *gaps, size_t count, size_t n, uint8_t *bits, size_t *stored) {
  memset(bits, 0, bit_bytes(n));
  size_t i = 0, position = 0, done = 0, at = 0;
  uint64_t word = 0;
  /* As long as the next eight gaps stay clear of the last word. */
  for (; i + 8 <= count && position + 8 * (skip + 1) + 64 <= n; i += 8) {
#pragma clang loop unroll(full)
    for (size_t k = 0; k < 8; k++) {
      size_t gap = gaps[i + k], is_stored = gap != skip;
      position += gap;
      word = position / 64 == at ? word : 0;
      at = position / 64;
      word |= (uint64_t)is_stored << position % 64;
      memcpy(bits + 8 * at, &word, 8);
      position += is_stored;
      done += is_stored;
    }
  }
  for (; i < count; i++) {
    position += gaps[i];
    if (gaps[i] == skip) continue;
    if (position >= n) break;
    bits[position / 8] |= (uint8_t)(1 << position % 8);
    position++;
    done++;
  }
  *stored = done;
  return i == count;
}

/* -- Stored elements ----------------------------------------------------------------------------------------------- */

#define STORED(bits)                                                                                                  \
  static bool nonzero##bits(const uint8_t *elements, size_t n) {                                                      \
    uint##bits##_t zeros = 0;                                                                                         \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x;                                                                                               \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      zeros |= x == 0;                                                                                                \
    }                                                                                                                 \
    return zeros == 0;                                                                                                \
  }                                                                                                                   \
  NC_BODY uint##bits##_t least##bits(const uint8_t *elements, size_t n) {                                             \
    const uint##bits##_t magnitude = UINT##bits##_MAX >> 1;                                                           \
    uint##bits##_t least = magnitude;                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x;                                                                                               \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      x &= magnitude;                                                                                                 \
      least = x < least ? x : least;                                                                                  \
    }                                                                                                                 \
    return least;                                                                                                     \
  }                                                                                                                   \
  NC_BODY void lower##bits(const uint8_t *elements, size_t n, uint##bits##_t by, uint8_t *out) {                      \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x;                                                                                               \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      x = (uint##bits##_t)(x - by);                                                                                   \
      memcpy(out + (bits / 8) * i, &x, bits / 8);                                                                     \
    }                                                                                                                 \
  }                                                                                                                   \
  /* A sum that is too large carries into the sign bit, and no further. */                                            \
  NC_BODY bool raise##bits(uint8_t *elements, size_t n, uint##bits##_t by) {                                          \
    uint##bits##_t changed = 0;                                                                                       \
    for (size_t i = 0; i < n; i++) {                                                                                  \
      uint##bits##_t x, sum;                                                                                          \
      memcpy(&x, elements + (bits / 8) * i, bits / 8);                                                                \
      sum = (uint##bits##_t)(x + by);                                                                                 \
      changed |= sum ^ x;                                                                                             \
      memcpy(elements + (bits / 8) * i, &sum, bits / 8);                                                              \
    }                                                                                                                 \
    return changed >> (bits - 1) == 0;                                                                                \
  }
STORED(16)
STORED(32)
STORED(64)

#define STORED_FORMS(level, TARGET)                                                                                   \
  TARGET static uint64_t least_##level(const uint8_t *elements, size_t n, size_t size) {                              \
    switch (size) {                                                                                                   \
    case 2: return least16(elements, n);                                                                              \
    case 4: return least32(elements, n);                                                                              \
    default: return least64(elements, n);                                                                             \
    }                                                                                                                 \
  }                                                                                                                   \
  TARGET static void lower_##level(const uint8_t *elements, size_t n, size_t size, uint64_t by, uint8_t *out) {       \
    switch (size) {                                                                                                   \
    case 2: lower16(elements, n, (uint16_t)by, out); break;                                                           \
    case 4: lower32(elements, n, (uint32_t)by, out); break;                                                           \
    default: lower64(elements, n, by, out);                                                                           \
    }                                                                                                                 \
  }                                                                                                                   \
  TARGET static bool raise_##level(uint8_t *elements, size_t n, size_t size, uint64_t by) {                           \
    switch (size) {                                                                                                   \
    case 2: return raise16(elements, n, (uint16_t)by);                                                                \
    case 4: return raise32(elements, n, (uint32_t)by);                                                                \
    default: return raise64(elements, n, by);                                                                         \
    }                                                                                                                 \
  }
STORED_FORMS(plain, PLAIN)
#if defined(__x86_64__)
STORED_FORMS(avx2, NC_AVX2)
#endif

uint64_t nc_key_least(const void *elements, size_t n, size_t size) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return least_avx2(elements, n, size);
#endif
  return least_plain(elements, n, size);
}

void nc_key_lower(const void *elements, size_t n, size_t size, uint64_t by, void *out) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    lower_avx2(elements, n, size, by, out);
    return;
  }
#endif
  lower_plain(elements, n, size, by, out);
}

bool nc_key_raise(void *elements, size_t n, size_t size, uint64_t by) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return raise_avx2(elements, n, size, by);
#endif
  return raise_plain(elements, n, size, by);
}

bool nc_sparse_nonzero(const void *elements, size_t n, size_t size) {
  switch (size) {
  case 2: return nonzero16(elements, n);
  case 4: return nonzero32(elements, n);
  default: return nonzero64(elements, n);
  }
}

/* -- Noise ------------------------------------------------------------------------------------------------------ */

bool nc_bytes_are_noise(const uint8_t *bytes, size_t n) {
  enum { runs = 64, run = 64, sample = runs * run };
  uint16_t counts[4][256];
  memset(counts, 0, sizeof counts);
  size_t taken = n < sample ? n : sample;
  for (size_t i = 0; i < taken; i += run) {
    const uint8_t *from = n < sample ? bytes + i : bytes + (n - run) / (runs - 1) * (i / run);
    size_t size = taken - i < run ? taken - i : run;
    for (size_t j = 0; j < size; j++) counts[j % 4][from[j]]++;
  }
  uint64_t pairs = 0;
  for (int b = 0; b < 256; b++) {
    uint64_t count = (uint64_t)counts[0][b] + counts[1][b] + counts[2][b] + counts[3][b];
    pairs += count * (count - 1);
  }
  return 256 * 100 * pairs < 102 * (uint64_t)taken * (taken - 1);
}
