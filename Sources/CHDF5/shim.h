#ifndef NC_CHDF5_SHIM_H
#define NC_CHDF5_SHIM_H
#if __has_include(<hdf5/serial/hdf5.h>) /* Debian */
#include <hdf5/serial/hdf5.h>
#else
#include <hdf5.h>
#endif
#endif
