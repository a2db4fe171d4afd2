/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_ELEMENTS_H
#define NC_ELEMENTS_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Elements of 2, 4 and 8 bytes by their number, and the bits of each without its sign. */
#define NC_ELEMENT(bits)                                                                                              \
  static const uint##bits##_t magnitude##bits = UINT##bits##_MAX >> 1;                                                \
                                                                                                                      \
  static inline uint##bits##_t element##bits(const uint8_t *x, size_t i) {                                            \
    uint##bits##_t e;                                                                                                 \
    memcpy(&e, x + i * sizeof e, sizeof e);                                                                           \
    return e;                                                                                                         \
  }
NC_ELEMENT(16)
NC_ELEMENT(32)
NC_ELEMENT(64)

#endif
