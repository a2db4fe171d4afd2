/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_BITS_H
#define NC_BITS_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The bytes that hold n bits. */
static inline size_t bit_bytes(size_t n) { return n / 8 + (n % 8 != 0); }

/* Up to eight bytes as a word, the first lowest, zeros above them. */
static inline uint64_t word_at(const uint8_t *bytes, size_t room) {
  uint64_t word = 0;
  if (room >= 8) {
    memcpy(&word, bytes, 8);
  } else {
    for (size_t i = 0; i < room; i++) word |= (uint64_t)bytes[i] << 8 * i;
  }
  return word;
}

static inline uint64_t low_bits(uint64_t word, size_t n) { return n >= 64 ? word : word & (((uint64_t)1 << n) - 1); }

/* n <= 64 bits from bit `first` of `size` bytes; what is beyond them is 0. */
static inline uint64_t bits_at(const uint8_t *bytes, size_t size, size_t first, size_t n) {
  size_t at = first / 8, shift = first % 8;
  if (at >= size) return 0;
  uint64_t word = word_at(bytes + at, size - at) >> shift;
  if (shift != 0 && size - at > 8) word |= (uint64_t)bytes[at + 8] << (64 - shift);
  return low_bits(word, n);
}

#endif
