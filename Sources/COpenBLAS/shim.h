#ifndef NC_COPENBLAS_SHIM_H
#define NC_COPENBLAS_SHIM_H
#include <stddef.h>
#if __has_include(<openblas-pthread/cblas.h>) /* Debian */
#include <openblas-pthread/cblas.h>
#else
#include <cblas.h>
#endif

/* LAPACK is in the library, but Debian installs no header for it. Fortran's convention: every argument by address,
   integers of 32 bits, arrays column by column, and the length of each character argument after all others. */

/* A = U diag(s) V^T by divide and conquer; A (m x n) is destroyed. jobz: "S" the first min(m, n) columns of U and rows
   of V^T, "N" values only. lwork = -1 asks for the best size of `work`. iwork: 8 min(m, n). info: 0 when all went well,
   above 0 when it did not converge. */
void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
             const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info,
             size_t jobz_length);
#endif
