// SPDX-License-Identifier: Apache-2.0
#include "loops.h"
#include <string.h>
void nc_fold(const uint32_t *key, const void *bytes, size_t n, uint64_t *sums) {
  const uint8_t *b = bytes;
  for (size_t start = 0; start < n; start += 4096, sums += 4) {
    size_t count = n - start < 4096 ? n - start : 4096;
    uint32_t w[1024] = {0};
    memcpy(w, b + start, count);
    size_t pairs = (count + 7) / 8;
    for (int t = 0; t < 4; t++) {
      uint64_t sum = 0;
      for (size_t i = 0; i < pairs; i++)
        sum += (uint64_t)(uint32_t)(w[2 * i] + key[2 * i + 4 * t]) * (uint32_t)(w[2 * i + 1] + key[2 * i + 1 + 4 * t]);
      sums[t] = sum;
    }
  }
}
