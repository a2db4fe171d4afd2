/* SPDX-License-Identifier: Apache-2.0 */
#include "orders.h"

#if defined(__x86_64__)
uint64_t nc_positions[256], nc_ranks[256];

__attribute__((constructor)) static void make_tables(void) {
  for (unsigned mask = 0; mask < 256; mask++)
    for (unsigned bit = 0, at = 0; bit < 8; bit++) {
      nc_ranks[mask] |= (uint64_t)(mask >> bit & 1 ? at : nc_absent) << 8 * bit;
      if (mask >> bit & 1) nc_positions[mask] |= (uint64_t)bit << 8 * at++;
    }
}
#endif
