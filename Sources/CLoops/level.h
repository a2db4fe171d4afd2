/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_LEVEL_H
#define NC_LEVEL_H
#include "loops.h"

#if defined(__x86_64__)
#include <immintrin.h>
/* No FMA: a contracted product would round differently from the plain form. */
#define NC_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define NC_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,popcnt,lzcnt")))
#endif

/* The target of plain forms: none. */
#define NC_PLAIN

/* Bodies that are compiled for several levels: in functions of the level's target, whose instructions they take. */
#define NC_BODY static inline __attribute__((always_inline))

#endif
