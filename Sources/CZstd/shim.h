#ifndef NC_CZSTD_SHIM_H
#define NC_CZSTD_SHIM_H
/* For ZSTD_c_literalCompressionMode: entropy coding without match finding. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#endif
