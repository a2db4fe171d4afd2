/* SPDX-License-Identifier: Apache-2.0 */
/* OpenBLAS, opened when it is first asked for: it is 40 MB, starts threads when it is loaded, and only a few tools, and
   no process that reads HDF5 under a limit on memory, need it. */
#ifndef NC_OPENBLAS_H
#define NC_OPENBLAS_H
#include <stddef.h>
#pragma clang assume_nonnull begin

/* LAPACK is in the library, but Debian installs no header for it. Fortran's convention: every argument by address,
   integers of 32 bits, arrays column by column, and the length of each character argument after all others. */
typedef struct {
  /* A = U diag(s) V^T by divide and conquer; A (m x n) is destroyed. jobz: "S" the first min(m, n) columns of U and
     rows of V^T, "N" values only. lwork = -1 asks for the best size of `work`. iwork: 8 min(m, n). info: 0 when all
     went well, above 0 when it did not converge. */
  void (*dgesdd)(const char *jobz, const int *m, const int *n, double *_Nullable a, const int *lda,
                 double *_Nullable s, double *_Nullable u, const int *ldu, double *_Nullable vt, const int *ldvt,
                 double *work, const int *lwork, int *_Nullable iwork, int *info, size_t jobz_length);

  /* C = alpha op(A) op(B) + beta C, op(X) being X ("N") or its transpose ("T"); op(A) m x k, op(B) k x n. */
  void (*dgemm)(const char *transa, const char *transb, const int *m, const int *n, const int *k, const double *alpha,
                const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
                const int *ldc, size_t transa_length, size_t transb_length);

  /* y = alpha op(A) x + beta y; A is m x n. */
  void (*dgemv)(const char *trans, const int *m, const int *n, const double *alpha, const double *a, const int *lda,
                const double *x, const int *incx, const double *beta, double *y, const int *incy, size_t trans_length);

  /* A symmetric matrix as Q T Q^T, T tridiagonal with diagonal d and e beside it; Q stays in A and tau as reflections.
     lwork = -1 asks for the best size of `work`. */
  void (*dsytrd)(const char *uplo, const int *n, double *_Nullable a, const int *lda, double *_Nullable d,
                 double *_Nullable e, double *_Nullable tau, double *work, const int *lwork, int *info,
                 size_t uplo_length);
  /* The eigenvalues of T, ascending, in d; e is destroyed. */
  void (*dsterf)(const int *n, double *d, double *e, int *info);
  /* Eigenvalues il ... iu (from 1, ascending) of T for range "I", and with jobz "V" their vectors; d and e are destroyed
     (e has room for n). */
  void (*dstemr)(const char *jobz, const char *range, const int *n, double *d, double *e, const double *vl,
                 const double *vu, const int *il, const int *iu, int *m, double *w, double *z, const int *ldz,
                 const int *nzc, int *isuppz, int *tryrac, double *work, const int *lwork, int *iwork,
                 const int *liwork, int *info, size_t jobz_length, size_t range_length);
  /* C = op(Q) C for side "L", Q as dsytrd left it; C is m x n. */
  void (*dormtr)(const char *side, const char *uplo, const char *trans, const int *m, const int *n, const double *a,
                 const int *lda, const double *tau, double *c, const int *ldc, double *work, const int *lwork,
                 int *info, size_t side_length, size_t uplo_length, size_t trans_length);
  /* A = L L^T of a symmetric positive definite matrix, for uplo "L"; A is overwritten. info: above 0 where it is not. */
  void (*dpotrf)(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);
  /* X in op(A) X = alpha B for side "L", X op(A) = alpha B for side "R", A triangular; B (m x n) becomes X. */
  void (*dtrsm)(const char *side, const char *uplo, const char *transa, const char *diag, const int *m, const int *n,
                const double *alpha, const double *a, const int *lda, double *b, const int *ldb, size_t side_length,
                size_t uplo_length, size_t transa_length, size_t diag_length);
  /* A = Q R, A (m x n) with m >= n: R in the upper triangle of A, Q below it and in tau as reflections. lwork = -1 asks
     for the best size of `work`. */
  void (*dgeqrf)(const int *m, const int *n, double *_Nullable a, const int *lda, double *_Nullable tau, double *work,
                 const int *lwork, int *info);
} nc_openblas_functions;

/* The library, told to use one thread: results are the same for any number of threads of ours, but not of its own.
   NULL where it cannot be loaded. */
const nc_openblas_functions *_Nullable nc_openblas(void);

/* Why not. */
const char *nc_openblas_error(void);

/* Whether it could be loaded if the process had more address space. */
int nc_openblas_lacks_memory(void);

#pragma clang assume_nonnull end
#endif
