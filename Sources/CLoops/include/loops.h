/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops. Each has a plain C form and, on x86-64, vector forms chosen once at run time; all forms of a loop
   return the same bytes, because sums are taken in the lane order stated here. Loops allocate nothing, and cannot
   fail once what is said of their arguments holds. */
#ifndef NC_LOOPS_H
#define NC_LOOPS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#pragma clang assume_nonnull begin

/* Vector forms in use: 0 plain C, 1 AVX2 (with BMI2, F16C, PCLMULQDQ), 2 AVX-512. */
int nc_level(void);
/* Uses no form above `level` from now on; returns the level that results. For tests and measurements: the bytes are
   the same on every level. */
int nc_limit_level(int level);
/* The compiler of the loops, and its version. */
const char *nc_compiler(void);

/* CRC-32 (zlib's: polynomial 0xEDB88320, initial and final inversion) of n bytes, continued from `crc`
   (0 to start). */
uint32_t nc_crc32(uint32_t crc, const void *bytes, size_t n);

/* Updates the state of SHA-256 (FIPS 180-4) with whole blocks of 64 bytes. */
void nc_sha256_blocks(uint32_t state[_Nonnull 8], const void *bytes, size_t blocks);

/* -- Trits: two bits a weight, two's complement (00 0, 01 +1, 11 -1; 10 never), the first in the low bits. -------- */

/* Writes trits `first` ..< first + n of a row: 0 where |x| <= above, else the sign of x; returns how many are not 0.
   Trits of the row before the range are kept; where the range starts inside a byte, the byte's later
   trits must be zero, and where it ends inside one, they become zero. */
size_t nc_ternary_pack(const float *x, size_t n, float above, uint8_t *row, size_t first);

/* Writes the values of trits `first` ..< first + n of a row, elements of `size` (2, 4 or 8) bytes: the little-endian
   patterns `plus` for +1, `minus` for -1, zero bits for 0. */
void nc_ternary_unpack(const uint8_t *row, size_t first, size_t n, size_t size, uint64_t plus, uint64_t minus,
                       void *out);

/* Gathers words `first` ..< first + n of each row of trits, words of one position side by side: words[k * rows + r] is
   word first + k of row r, which holds its trits 16 (first + k) ..< 16 (first + k + 1), the first in the low bits; what
   is beyond the row is 0. Each word begins within the row. */
void nc_ternary_words(const uint8_t *codes, size_t row_bytes, size_t rows, size_t first, size_t n, uint32_t *words);

/* Writes the values of one trit (0 ..< 16) of each of n words: +0, the scale (>= 0) of the word or its negative. */
void nc_ternary_values(const uint32_t *words, unsigned trit, size_t n, const float *scales, float *out);

/* Draws trits `first` ..< first + n of the sequence of a seed, packed from a byte boundary on; unused bits of the last byte
   become zero. Trit j takes 16 bits u, number j mod 4 from the lowest, of output j / 4 of SplitMix64: it is 0 where
   u / 2 >= threshold (0 ... 2^15), else -1 where u is odd, +1 where it is even. */
void nc_seeded_trits(uint64_t seed, uint32_t threshold, size_t first, size_t n, uint8_t *codes);

/* -- Magnitudes |x| of n floats --------------------------------------------------------------------------------- */

/* The magnitudes above a threshold. */
typedef struct {
  double sum;
  uint64_t count;
} nc_tail;

/* The largest magnitude, as bits (>= 0x7F800000 when an element is infinite or NaN); *sum is the sum of all.
   Sums as in nc_magnitude_above. */
uint32_t nc_magnitude_largest(const float *x, size_t n, double *sum);

/* The tails above four thresholds (>= 0). Sums are added in float in 16 lanes (element i in lane i mod 16) for at
   most 32 elements a lane, then in double: the relative error is below 2^-18 for n < 2^30. The total must not overflow
   float: elements < 2^120. */
void nc_magnitude_above(const float *x, size_t n, const float thresholds[_Nonnull 4], nc_tail tails[_Nonnull 4]);

/* Copies the magnitudes in low < |x| <= high to `out`, in order, and returns their number; low >= 0. `out` has room for
   n + 16, and may be x.
   *above is the tail above `high`, summed in double in 16 lanes, which are added pairwise: l + (l+8), (l+4), (l+2),
   (l+1). */
size_t nc_magnitude_collect(const float *x, size_t n, float low, float high, float *out, nc_tail *above);

/* The weights whose magnitude exceeds `above`: how many, and the sum of their magnitudes. */
typedef struct {
  double sum;
  uint64_t count;
  float above;
} nc_support;

enum { nc_nearest_limit = 512 };

/* Finds the support of the ternary vector nearest to n <= nc_nearest_limit weights: the k* largest magnitudes,
   k* = argmax S_k^2 / k, S_k the sum of the k largest; the smallest such k. Sums are taken in double, those
   of a few largest as in nc_magnitude_collect, then by descending magnitude, in eights: pairs, quarters, halves.
   Returns false without an answer when a magnitude is 2^120 or more, infinite or NaN, or when too many supports
   compete. */
bool nc_ternary_nearest(const float *x, size_t n, nc_support *support);

/* Copies those magnitudes of n < 2^30 finite doubles to `out`, in order, that may or may not belong to the support of
   the nearest ternary vector, and returns their number; `out` has room for n + 1. Larger ones belong to it:
   *above is their tail, summed in 8 lanes; those up to *low do not. */
size_t nc_wide_collect(const double *x, size_t n, double *out, double *low, nc_tail *above);

/* Sorts n magnitudes, largest first. `room` has room for n. */
void nc_magnitude_sort(float *magnitudes, size_t n, float *room);

/* -- Arrangement ------------------------------------------------------------------------------------------------ */

/* Transposes rows x columns elements of `size` (1, 2, 4 or 8) bytes: out[c * out_stride + r] = in[r * in_stride + c].
   Strides count elements. */
void nc_transpose(const void *in, size_t in_stride, size_t rows, size_t columns, size_t size, void *out,
                  size_t out_stride);

/* Widens n float16 (bfloat16 if `brain`) to floats, exactly; a NaN becomes quiet, and keeps its sign and the rest of its
   fraction. */
void nc_widen(const uint16_t *halves, size_t n, bool brain, float *out);

/* Regroups n elements of `size` (2, 4 or 8) bytes by significance: all first bytes, then all second bytes, ... */
void nc_planes_split(const void *elements, size_t n, size_t size, uint8_t *planes);
void nc_planes_join(const uint8_t *planes, size_t n, size_t size, void *elements);

/* -- Low rank ----------------------------------------------------------------------------------------------------- */

/* The rows and columns of a product that are computed together. */
enum { nc_low_rank_rows = 6, nc_low_rank_columns = 8 };

/* Copies n vectors of `rank` floats, element k of vector i at x[i * stride + k * step], to doubles in panels of `width`
   vectors, those of one k side by side: out[(i / width * rank + k) * width + i % width]. The last panel is filled up
   with zeros. */
void nc_low_rank_pack(const float *x, size_t stride, size_t step, size_t n, size_t rank, size_t width, double *out);

/* Writes the products of `panels` panels of nc_low_rank_rows vectors with one panel of nc_low_rank_columns vectors:
   out[i * stride + j] is the sum of left_i[k] * right_j[k], in double in ascending order of k from +0, rounded to
   float. */
void nc_low_rank_products(const double *left, size_t panels, const double *right, size_t rank, float *out,
                          size_t stride);

/* Rounds n floats to float16 (bfloat16 if `brain`), to nearest, ties to even; a NaN stays one. */
void nc_narrow(const float *x, size_t n, bool brain, uint16_t *halves);

/* -- Keys: the bits of elements of 2, 4 or 8 bytes without their sign, ordered as magnitudes are ------------------ */

/* How many keys exceed a threshold, and the largest key. */
typedef struct {
  uint64_t count;
  uint64_t largest;
} nc_key_tail;

/* Copies the keys low <= key <= high of n elements to `out`, in order, and returns their number; `out` has room for
   n elements. Adds the number of those above `high` to tail->count, and raises tail->largest to the largest. */
size_t nc_key_collect(const void *x, size_t n, size_t size, uint64_t low, uint64_t high, void *out,
                      nc_key_tail *tail);

/* Sets those of bits `first` ..< first + n of a row, lowest bit first, whose element has a key >= least and not all
   bits zero, copies these elements to `values`, in order, and returns their number; `values` has room for n.
   Bits of the row before the range are kept; where the range starts inside a byte, the byte's later bits must be zero,
   and where it ends inside one, they become zero. */
size_t nc_mask_compact(const void *x, size_t n, size_t size, uint64_t least, uint8_t *row, size_t first,
                       void *values);

/* Writes the elements of bits `first` ..< first + n of a row: the next of `values` where the bit is set, else zero
   bits; returns how many are set. */
size_t nc_mask_expand(const uint8_t *row, size_t first, size_t n, size_t size, const void *values, void *out);

/* Copies those of n elements to `values`, in order, whose bit among bits `first` ..< first + n of a row is set, and
   returns their number; `values` has room for n. */
size_t nc_mask_gather(const void *x, const uint8_t *row, size_t first, size_t n, size_t size, void *values);

/* Bits that are set in n bytes. */
size_t nc_mask_count(const uint8_t *bytes, size_t n);

/* The sum of the squares of x, and of those with |x| < least; summed as in nc_magnitude_collect. */
void nc_squares(const float *x, size_t n, float least, double *norm, double *dropped);

/* As nc_squares, of x divided by `unit`, a power of two; `least` is compared with |x|. */
void nc_wide_squares(const double *x, size_t n, double unit, double least, double *norm, double *dropped);

/* The sums of a^2 and of (a - b)^2, in double, summed as in nc_magnitude_collect. */
void nc_squared_errors(const float *a, const float *b, size_t n, double *norm, double *error);

/* The sum of (a - b)^2, summed as in nc_magnitude_collect. */
double nc_squared_distance(const float *a, const float *b, size_t n);

/* -- Bits, the first lowest in its byte ------------------------------------------------------------------------- */

/* Whether the unused bits of the last byte of each row of `columns` bits are zero. */
bool nc_bits_padded(const uint8_t *bits, size_t rows, size_t columns);

/* Closes up rows of `columns` bits, each of which begins with a byte, to rows * columns bits in a run; unused bits of
   its last byte become zero. And the inverse. */
void nc_bits_close(const uint8_t *rows_of_bits, size_t rows, size_t columns, uint8_t *bits);
void nc_bits_open(const uint8_t *bits, size_t rows, size_t columns, uint8_t *rows_of_bits);

/* Takes rows of `columns` trits apart: a bit for each trit, 1 where it is not 0, all in a run; and for each of these a
   bit in `signs`, 1 for -1. Returns how many they are, which `signs` has room for. Unused bits of last bytes
   become zero. And the inverse. */
size_t nc_ternary_split(const uint8_t *codes, size_t rows, size_t columns, uint8_t *bits, uint8_t *signs);
void nc_ternary_join(const uint8_t *bits, const uint8_t *signs, size_t stored, size_t rows, size_t columns,
                     uint8_t *codes);

/* Writes the gaps of n bits: for each bit that is 1 the number of zeros since the one before, or since the beginning:
   a byte 255 for each 255 of them, then a byte 0 ... 254 for the rest. Returns the number of bytes; `gaps` has room for
   8 more than the bits that are 1 and n / 255 together. Unused bits of the last byte are zero. */
size_t nc_gaps_encode(const uint8_t *bits, size_t n, uint8_t *gaps);

/* Writes the n bits whose gaps are `count` bytes, of which the last is below 255. *stored is how many bits are 1.
   Returns false when the one after these would be beyond the n bits. */
bool nc_gaps_decode(const uint8_t *gaps, size_t count, size_t n, uint8_t *bits, size_t *stored);

/* -- Stored values: elements of `size` (2, 4 or 8) bytes ----------------------------------------------------------- */

/* The smallest key of n elements; all bits of a key when n is 0. */
uint64_t nc_key_least(const void *elements, size_t n, size_t size);

/* Copies n elements, none of whose keys is below `by`, to `out`, their keys less `by`. And the inverse, in place; it
   returns false when a sum is no key, having written anything. */
void nc_key_lower(const void *elements, size_t n, size_t size, uint64_t by, void *out);
bool nc_key_raise(void *elements, size_t n, size_t size, uint64_t by);

/* Whether none of n elements has all bits zero. */
bool nc_sparse_nonzero(const void *elements, size_t n, size_t size);

/* Whether n bytes look like noise, which entropy coding does not make smaller: two of a sample of up to 4096, spread
   evenly, are equal less often than 1.02 times in 256. The entropy of a byte is at least -log2 of that chance, 7.97
   bits; bytes of 7.9 bits would be equal 1.07 times. (For uniform bytes the sample's figure varies by .0055 times.) */
bool nc_bytes_are_noise(const uint8_t *bytes, size_t n);

/* -- Products with a panel: nc_panel_lanes samples side by side, input i of sample s at panel[i * nc_panel_lanes + s] -- */

enum { nc_panel_lanes = 32 };

/* Adds to each of nc_panel_lanes sums the inputs `first` ..< first + n times their trits of a row of `row_bytes` bytes:
   trits are taken 32 at a time, those that are +1 before those that are -1. The order of the sums of one sample does not
   depend on the others. */
void nc_ternary_product(const uint8_t *row, size_t row_bytes, size_t first, size_t n, const double *panel,
                        double *sums);

/* Adds to each of nc_panel_lanes sums the inputs whose bits of a row of n are set times the next of `values`, in order;
   returns how many were set. */
size_t nc_mask_product(const uint8_t *row, size_t n, const double *values, const double *panel, double *sums);

/* -- Gram products ------------------------------------------------------------------------------------------------- */

/* y += D^T D x, D = A - B (or A where B is NULL) of `rows` rows of `columns` elements; a row's product with x is summed in
   64 lanes, which are added pairwise. nc_wide_gram_add in double, in 32 lanes. */
void nc_gram_add(const float *a, const float *_Nullable b, size_t rows, size_t columns, const float *x, float *y);
void nc_wide_gram_add(const double *a, const double *_Nullable b, size_t rows, size_t columns, const double *x,
                      double *y);

/* -- Levels: a code of 8 bits or fewer for each weight -------------------------------------------------------------- */

/* Packs n codes to `bits` (1, 2, 4 or 8) bits each, their low ones, the first in the low bits of a byte; unused bits of
   the last byte become zero. And the inverse, where codes are numbers in two's complement if `is_signed`. */
void nc_codes_pack(const uint8_t *codes, size_t n, unsigned bits, uint8_t *packed);
void nc_codes_unpack(const uint8_t *packed, size_t n, unsigned bits, bool is_signed, uint8_t *codes);

/* Writes for each of n codes the level of this number, an element of `size` (1, 2, 4 or 8) bytes. */
void nc_levels_values(const uint8_t *codes, size_t n, size_t size, const void *levels, void *out);

/* Writes code times scale for each of n codes: float64 of `size` 8, or rounded once to float32 of size 4 (of which the
   scale is a value) or to float16 (bfloat16 if `brain`) of size 2. */
void nc_grid_values(const int8_t *codes, size_t n, double scale, size_t size, bool brain, void *out);

/* Writes the integer nearest to x * inverse, ties to even, for each of n floats; the product is rounded to float32 first.
   Where the integer is not in -127 ... 127, and for what is no number, the code is -128; returns how many these are. */
size_t nc_grid_codes(const float *x, size_t n, float inverse, int8_t *codes);

/* Writes the integers of those whose code is -128, in order; false when one is no number or beyond 2^24. */
bool nc_grid_exceptions(const float *x, const int8_t *codes, size_t n, float inverse, int32_t *numbers);

enum { nc_distinct_limit = 256 };

/* Adds to `count` <= nc_distinct_limit different patterns those bit patterns of n elements of `size` (1, 2, 4 or 8) bytes
   that are not among them, in order, and returns their number; nc_distinct_limit + 1 as soon as they are more. */
size_t nc_distinct(const void *x, size_t n, size_t size, uint64_t *patterns, size_t count);

/* Writes for each of n elements which of `count` <= nc_distinct_limit different patterns it is; false when it is none. */
bool nc_levels_codes(const void *x, size_t n, size_t size, const uint64_t *levels, size_t count, uint8_t *codes);

/* Adds to each of n < 2^24 columns how far its code, exclusive-or `flip`, is from `center`, and returns the sum of these
   distances. */
uint32_t nc_codes_deviations(const uint8_t *codes, size_t n, uint8_t flip, uint8_t center, uint32_t *columns);

/* Copies the codes at n places, in order; and the inverse. */
void nc_codes_gather(const uint8_t *codes, const uint32_t *places, size_t n, uint8_t *out);
void nc_codes_scatter(const uint8_t *codes, const uint32_t *places, size_t n, uint8_t *out);

/* Inverts some bits of each of n codes. */
void nc_codes_flip(uint8_t *codes, size_t n, uint8_t bits);

/* Copies to `out`, in order, those of n codes c whose stored[c] (0 or 1, for all 256) is 1, and returns their number; sets
   their bits, and no others. `out` has room for n. */
size_t nc_codes_select(const uint8_t *codes, size_t n, const uint8_t *stored, uint8_t *bits, uint8_t *out);

/* Writes the next of `codes` where one of n bits is set, and nothing elsewhere; unused bits of the last byte are zero. */
void nc_codes_place(const uint8_t *bits, size_t n, const uint8_t *codes, uint8_t *out);

/* -- Codes by frequency (rANS, spec/ncz-v1.md, 4.7): bytes, in groups that have a table of frequencies each ----------- */

/* Adds to 256 counts how often each value occurs among n bytes. */
void nc_histogram(const uint8_t *bytes, size_t n, uint32_t *counts);

/* The bits that symbols of these 256 counts take at least: the sum of n log2(N / n), N being the sum of the counts. */
double nc_entropy(const uint32_t *counts);

enum { nc_rans_lane_limit = 32, nc_rans_group_limit = 256 };

/* The frequencies, 256 of the sum 4096, with which symbols of these counts take fewest bits: at least 1 where the count
   is not 0, else 0. At least one count is not 0. */
void nc_rans_normalize(const uint32_t *counts, uint16_t *frequencies);

/* The room that nc_rans_encode needs. */
size_t nc_rans_room(size_t n, size_t group_count);

/* Encodes symbols, of which the first groups[0] are one group, the next groups[1] another, ..., in 2^log_lanes lanes, as
   many as their size is worth where log_lanes is negative; returns the bytes written. */
size_t nc_rans_encode(const uint8_t *symbols, const size_t *groups, size_t group_count, int log_lanes, uint8_t *out);

/* What is wrong with a block, if anything: the number of lanes, a table, a state, words that are missing, words or states
   that are left over. */
typedef enum {
  nc_rans_sound,
  nc_rans_no_lanes,
  nc_rans_no_table,
  nc_rans_no_state,
  nc_rans_cut,
  nc_rans_left
} nc_rans_verdict;

/* Decodes as many symbols as the groups have, from any bytes: nothing is read or written beyond what is given. */
nc_rans_verdict nc_rans_decode(const uint8_t *bytes, size_t size, const size_t *groups, size_t group_count,
                               uint8_t *symbols);

/* -- Digests ------------------------------------------------------------------------------------------------------ */

enum { nc_fold_key_words = 1036 };

/* Folds n bytes (spec/ncz-v1.md, 3.1): four sums for each piece of 4096 bytes, of which the last may be shorter. */
void nc_fold(const uint32_t *key, const void *bytes, size_t n, uint64_t *sums);

#pragma clang assume_nonnull end
#endif
