/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NC_CZSTD_SHIM_H
#define NC_CZSTD_SHIM_H
/* For frame headers, and for ZSTD_c_literalCompressionMode: entropy coding without match finding. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
/* A macro that Swift does not see. */
static const ZSTD_cParameter nc_ZSTD_c_literalCompressionMode = ZSTD_c_literalCompressionMode;
#endif
