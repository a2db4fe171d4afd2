/* SPDX-License-Identifier: Apache-2.0 */
/* Loops of uniform grids and of tables of levels, as those of loops.h. Weights are n floats, or n doubles where `wide`
   is true. All sums are in double in 8 lanes (weight i in lane i mod 8), which are added pairwise: l + (l+4), (l+2),
   (l+1). A number is rounded to an integer, ties to even, by adding 1.5 * 2^52 and subtracting it again. */
#ifndef NC_GRIDS_H
#define NC_GRIDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#pragma clang assume_nonnull begin

/* -- A given step -------------------------------------------------------------------------------------------------- */

/* Of weights x, with q = x / step and k the integer nearest to q: */
typedef struct {
  double rest;         /* sum of (q - k)^2 */
  double slope;        /* sum of k (q - k) */
  double squares;      /* sum of k^2 */
  uint64_t largest;    /* the bits of the largest |x| as a double: from those of infinity on when one is not finite */
  uint64_t nonzero;    /* how many k are not 0 */
  uint64_t exceptions; /* how many |k| exceed 127 */
} nc_grid_sums;

/* Writes the codes of n weights, unless `codes` is null: k, or -128 where |k| > 127. q is x times `inverse`, rounded to double. What is returned
   means nothing, but for `largest`, when a weight is not finite or |q| > 2^31. */
nc_grid_sums nc_grid_round(const void *x, bool wide, size_t n, double inverse, int8_t *_Nullable codes);

/* -- The best scale ------------------------------------------------------------------------------------------------ */

/* Of magnitudes w = |x|, with k the integer in 0 ... most nearest to w / scale, and e = w - scale * k: */
typedef struct {
  double error;   /* sum of e^2 */
  double slope;   /* sum of k e */
  double squares; /* sum of k^2 */
  double steps;   /* sum of k */
} nc_scale_sums;

/* w / scale is w times the inverse of `scale`, each rounded to double. 2^-900 < scale < 2^900; most < 2^20. */
nc_scale_sums nc_scale_evaluate(const void *x, bool wide, size_t n, double scale, double most);

/* A scale at which the k of a weight w changes between (step - 1) / 2 and (step + 1) / 2: 2 w / step. */
typedef struct {
  double at;
  double weight;
  double step;
} nc_breakpoint;

/* Writes the breakpoints of n weights between two scales, as many as the sums of k of nc_scale_evaluate differ by, and
   returns their number. */
size_t nc_scale_breakpoints(const void *x, bool wide, size_t n, double low, double high, double most,
                            nc_breakpoint *out);

/* Writes k as nc_scale_evaluate has it, with the sign of x; returns how many are not 0. */
size_t nc_scale_codes(const void *x, bool wide, size_t n, double scale, double most, int8_t *codes);

/* -- Tables -------------------------------------------------------------------------------------------------------- */

/* Writes how many of `count` <= 255 ascending thresholds each of n floats exceeds. */
void nc_level_codes(const float *x, size_t n, const float *thresholds, size_t count, uint8_t *codes);

#pragma clang assume_nonnull end
#endif
