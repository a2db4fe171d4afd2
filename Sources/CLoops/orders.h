/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_ORDERS_H
#define NC_ORDERS_H
#include "level.h"

#if defined(__x86_64__)
/* For each byte of bits, the positions of those set, one a byte; and for each of its bits the number of those set
   before it, or absent where it is not set. */
extern uint64_t nc_positions[256], nc_ranks[256];
enum { nc_absent = 0x80 };

/* Numbers of eight 32-bit elements. An absent one is negative. */
NC_AVX2 static inline __m256i nc_words(uint64_t order) {
  return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long)order));
}
#endif

#endif
