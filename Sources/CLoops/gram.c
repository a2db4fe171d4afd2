/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"

/* 64 bytes of elements; `size` of them in a vector. Products are statements of their own, so that no compiler contracts
   them into the sums. */
#define GRAM(name, element, vector, size)                                                                             \
  typedef element vector __attribute__((vector_size(64), aligned(sizeof(element)), may_alias));                       \
                                                                                                                      \
  NC_BODY element name##_dot(const element *a, const element *b, size_t n, const element *x) {                        \
    vector sums[4] = {{0}, {0}, {0}, {0}};                                                                            \
    size_t i = 0;                                                                                                     \
    for (; i + 4 * size <= n; i += 4 * size)                                                                          \
      for (size_t k = 0; k < 4; k++) {                                                                                \
        vector d = *(const vector *)(a + i + k * size);                                                               \
        if (b) d -= *(const vector *)(b + i + k * size);                                                              \
        vector p = d * *(const vector *)(x + i + k * size);                                                           \
        sums[k] += p;                                                                                                 \
      }                                                                                                               \
    element lane[4 * size];                                                                                           \
    for (size_t k = 0; k < 4; k++)                                                                                    \
      for (size_t l = 0; l < size; l++) lane[k * size + l] = sums[k][l];                                              \
    for (; i < n; i++) {                                                                                              \
      element d = b ? a[i] - b[i] : a[i];                                                                             \
      element p = d * x[i];                                                                                           \
      lane[i % (4 * size)] += p;                                                                                      \
    }                                                                                                                 \
    for (size_t width = 2 * size; width > 0; width /= 2)                                                              \
      for (size_t l = 0; l < width; l++) lane[l] += lane[l + width];                                                  \
    return lane[0];                                                                                                   \
  }                                                                                                                   \
                                                                                                                      \
  NC_BODY void name##_body(const element *a, const element *b, size_t rows, size_t columns, const element *x,         \
                           element *y) {                                                                              \
    for (size_t row = 0; row < rows; row++, a += columns, b = b ? b + columns : b) {                                  \
      element t = name##_dot(a, b, columns, x);                                                                       \
      vector factor = (vector){0} + t;                                                                                \
      size_t i = 0;                                                                                                   \
      for (; i + size <= columns; i += size) {                                                                        \
        vector d = *(const vector *)(a + i);                                                                          \
        if (b) d -= *(const vector *)(b + i);                                                                         \
        vector p = d * factor;                                                                                        \
        *(vector *)(y + i) += p;                                                                                      \
      }                                                                                                               \
      for (; i < columns; i++) {                                                                                      \
        element d = b ? a[i] - b[i] : a[i];                                                                           \
        element p = d * t;                                                                                            \
        y[i] += p;                                                                                                    \
      }                                                                                                               \
    }                                                                                                                 \
  }

GRAM(gram, float, floats, 16)
GRAM(wide_gram, double, doubles, 8)

#define FORM(name, element, level, TARGET)                                                                            \
  TARGET static void name##_##level(const element *a, const element *b, size_t rows, size_t columns,                  \
                                    const element *x, element *y) {                                                   \
    name##_body(a, b, rows, columns, x, y);                                                                           \
  }

FORM(gram, float, plain, )
FORM(wide_gram, double, plain, )
#if defined(__x86_64__)
FORM(gram, float, avx2, NC_AVX2)
FORM(wide_gram, double, avx2, NC_AVX2)
FORM(gram, float, avx512, NC_AVX512)
FORM(wide_gram, double, avx512, NC_AVX512)
#define CHOOSE(name, ...)                                                                                             \
  if (nc_level() >= 2) {                                                                                              \
    name##_avx512(__VA_ARGS__);                                                                                       \
    return;                                                                                                           \
  }                                                                                                                   \
  if (nc_level() >= 1) {                                                                                              \
    name##_avx2(__VA_ARGS__);                                                                                         \
    return;                                                                                                           \
  }
#else
#define CHOOSE(name, ...)
#endif

void nc_gram_add(const float *a, const float *b, size_t rows, size_t columns, const float *x, float *y) {
  CHOOSE(gram, a, b, rows, columns, x, y)
  gram_plain(a, b, rows, columns, x, y);
}

void nc_wide_gram_add(const double *a, const double *b, size_t rows, size_t columns, const double *x, double *y) {
  CHOOSE(wide_gram, a, b, rows, columns, x, y)
  wide_gram_plain(a, b, rows, columns, x, y);
}
