/* SPDX-License-Identifier: Apache-2.0 */
#include "bits.h"
#include "level.h"

enum { lanes = nc_panel_lanes, parts = lanes / 4 };

/* Four samples. */
typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

/* A panel's sums, kept in registers. */
typedef struct {
  quad part[parts];
} sums_of_panel;

NC_BODY sums_of_panel read_sums(const double *sums) {
  sums_of_panel s;
  for (int k = 0; k < parts; k++) s.part[k] = *(const quad *)(sums + 4 * k);
  return s;
}

NC_BODY void write_sums(sums_of_panel s, double *sums) {
  for (int k = 0; k < parts; k++) *(quad *)(sums + 4 * k) = s.part[k];
}

NC_BODY void ternary_product_body(const uint8_t *row, size_t row_bytes, size_t first, size_t n, const double *panel,
                                  double *sums) {
  sums_of_panel s = read_sums(sums);
  for (size_t at = first; at < first + n; at += 32) {
    size_t some = first + n - at < 32 ? first + n - at : 32;
    uint64_t word = bits_at(row, row_bytes, 2 * at, 2 * some);
    /* 01 is +1, 11 is -1. */
    uint64_t minus = word >> 1 & 0x5555555555555555u, plus = word & 0x5555555555555555u & ~minus;
    for (; plus != 0; plus &= plus - 1) {
      const double *x = panel + (at + (size_t)__builtin_ctzll(plus) / 2) * lanes;
      for (int k = 0; k < parts; k++) s.part[k] += *(const quad *)(x + 4 * k);
    }
    for (; minus != 0; minus &= minus - 1) {
      const double *x = panel + (at + (size_t)__builtin_ctzll(minus) / 2) * lanes;
      for (int k = 0; k < parts; k++) s.part[k] -= *(const quad *)(x + 4 * k);
    }
  }
  write_sums(s, sums);
}

NC_BODY size_t mask_product_body(const uint8_t *row, size_t n, const double *values, const double *panel,
                                 double *sums) {
  sums_of_panel s = read_sums(sums);
  const double *value = values;
  for (size_t at = 0; at < n; at += 64) {
    size_t some = n - at < 64 ? n - at : 64;
    uint64_t word = low_bits(word_at(row + at / 8, bit_bytes(some)), some);
    for (; word != 0; word &= word - 1) {
      const double *x = panel + (at + (size_t)__builtin_ctzll(word)) * lanes;
      double factor = *value++;
      for (int k = 0; k < parts; k++) s.part[k] += factor * *(const quad *)(x + 4 * k);
    }
  }
  write_sums(s, sums);
  return (size_t)(value - values);
}

#define PRODUCTS(level, TARGET)                                                                                       \
  TARGET static void ternary_product_##level(const uint8_t *row, size_t row_bytes, size_t first, size_t n,            \
                                             const double *panel, double *sums) {                                     \
    ternary_product_body(row, row_bytes, first, n, panel, sums);                                                      \
  }                                                                                                                   \
  TARGET static size_t mask_product_##level(const uint8_t *row, size_t n, const double *values, const double *panel,  \
                                            double *sums) {                                                           \
    return mask_product_body(row, n, values, panel, sums);                                                            \
  }

PRODUCTS(plain, )
#if defined(__x86_64__)
PRODUCTS(avx2, NC_AVX2)
#endif

void nc_ternary_product(const uint8_t *row, size_t row_bytes, size_t first, size_t n, const double *panel,
                        double *sums) {
#if defined(__x86_64__)
  if (nc_level() >= 1) {
    ternary_product_avx2(row, row_bytes, first, n, panel, sums);
    return;
  }
#endif
  ternary_product_plain(row, row_bytes, first, n, panel, sums);
}

size_t nc_mask_product(const uint8_t *row, size_t n, const double *values, const double *panel, double *sums) {
#if defined(__x86_64__)
  if (nc_level() >= 1) return mask_product_avx2(row, n, values, panel, sums);
#endif
  return mask_product_plain(row, n, values, panel, sums);
}
