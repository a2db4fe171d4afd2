/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <stdatomic.h>

/* -1: not yet asked. */
static _Atomic int current = -1;

static int available(void) {
#if defined(__x86_64__)
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul") &&
        __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("f16c")))
    return 0;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
             ? 2
             : 1;
#else
  return 0;
#endif
}

int nc_level(void) {
  int level = atomic_load_explicit(&current, memory_order_relaxed);
  if (level < 0) {
    level = available();
    atomic_store_explicit(&current, level, memory_order_relaxed);
  }
  return level;
}

int nc_limit_level(int level) {
  int most = available();
  level = level < 0 ? 0 : level < most ? level : most;
  atomic_store_explicit(&current, level, memory_order_relaxed);
  return level;
}

const char *nc_compiler(void) { return __VERSION__; }
