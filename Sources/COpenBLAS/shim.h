#ifndef NC_COPENBLAS_SHIM_H
#define NC_COPENBLAS_SHIM_H
#if __has_include(<openblas-pthread/cblas.h>) /* Debian */
#include <openblas-pthread/cblas.h>
#else
#include <cblas.h>
#endif
#endif
