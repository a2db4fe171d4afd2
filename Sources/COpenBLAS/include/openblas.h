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
} nc_openblas_functions;

/* The library, told to use one thread: results are the same for any number of threads of ours, but not of its own.
   NULL where it cannot be loaded. */
const nc_openblas_functions *_Nullable nc_openblas(void);

/* Why not. */
const char *nc_openblas_error(void);

#pragma clang assume_nonnull end
#endif
