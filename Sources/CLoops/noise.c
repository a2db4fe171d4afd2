/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"
#include <string.h>

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
