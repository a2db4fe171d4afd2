/* SPDX-License-Identifier: Apache-2.0 */
/* Products of ternary weights in bit planes, loops as those of loops.h.

   A word holds 32 columns, the first in the lowest bit; bits beyond the last column are zero. Weights have two planes:
   a bit that is 1 where the weight is not 0, and one that is 1 where it is -1. Words of 16 rows stand side by side, those
   of the first plane before those of the second: the words of row r and word w are

     planes[(r / 16 * words + w) * 32 + r % 16]   and 16 further, words = ceil(columns / 32),

   and rows beyond the last are zero. Numbers that have `count` levels c_0 < c_1 < ... have count - 1 planes, bit j of
   plane k being 1 where number j >= c_k, 1 <= k < count. Words of 8 samples stand side by side: the word w of sample s is

     planes[((s / 8 * (count - 1) + k - 1) * words + w) * 8 + s % 8]. */
#ifndef NC_BITPLANES_H
#define NC_BITPLANES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#pragma clang assume_nonnull begin

enum { nc_plane_columns = 32, nc_plane_rows = 16, nc_plane_samples = 8, nc_plane_levels = 5 };

/* Writes the planes of rows of `columns` < 2^31 trits, each of `row_bytes` bytes, and how many weights of each row are +1
   and -1. Bits beyond the last column of a row are not looked at. */
void nc_ternary_planes(const uint8_t *codes, size_t row_bytes, size_t rows, size_t columns, uint32_t *planes,
                       int32_t *plus, int32_t *minus);

/* Writes the planes of samples of `columns` numbers each, with 2 <= count <= nc_plane_levels levels, ascending and
   finite; words of samples beyond the last are left as they are. are_levels[s]: whether every number of sample s is a
   level. */
void nc_level_planes(const double *x, size_t samples, size_t columns, const double *levels, size_t count,
                     uint32_t *planes, bool *are_levels);

/* out[s * rows + r] = scales[r] * (c_0 n_0 + c_1 n_1 + ...), n_k the sum of those weights of row r whose number in sample s
   is level k: an exact integer, from the number of ones in weight & (sign ^ number). Products and sums are rounded to
   double one by one, in this order. */
void nc_planes_product(const uint32_t *weights, const int32_t *plus, const int32_t *minus, const double *scales,
                       size_t rows, size_t columns, const uint32_t *inputs, size_t samples, const double *levels,
                       size_t count, double *out);

/* Numbers of `room` for each word of nc_planes_vector. */
enum { nc_plane_room = 7 * 32 };

/* out[r] = scales[r] * u * (the sum of weights of row r times k), k = x / u rounded to an integer, ties to even: exact in
   integers. u is the power of two with S < 2^30 u <= 2 S, S the sum of |x|, so that each x is rounded by no more than
   S / 2^30. Returns false where S is not finite. `room` has room for nc_plane_room numbers for each word. */
bool nc_planes_vector(const uint32_t *weights, const double *scales, size_t rows, size_t columns, const float *x,
                      int32_t *room, double *out);

#pragma clang assume_nonnull end
#endif
