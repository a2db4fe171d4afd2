/* SPDX-License-Identifier: Apache-2.0 */
#include "bits.h"
#include "level.h"

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
