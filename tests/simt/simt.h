// simt.h: CUDA kernels on the CPU (docs/simt.md). All that kernels and their tests include.
#ifndef QUERN_TESTS_SIMT_SIMT_H
#define QUERN_TESTS_SIMT_SIMT_H

#include "simt/atomics.h"
#include "simt/barrier.h"
#include "simt/collective.h"
#include "simt/config.h"
#include "simt/cp_async.h"
#include "simt/device.h"
#include "simt/device_memory.h"
#include "simt/launch.h"
#include "simt/matrix.h"
#include "simt/shared_memory.h"

// A variable of the block: one for each function (and instance of a template) it stands in.
#define QN_SHARED(T, name, dims)                                                                   \
    typedef T name##_type dims;                                                                    \
    static char name##_key;                                                                        \
    name##_type &name = *(name##_type *)::simt::static_shared(                                     \
        &name##_key, sizeof(name##_type), alignof(name##_type), ::simt::Where::here())

#define QN_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    ::simt::launch(#kernel, grid, block, shared_bytes, stream, kernel, ##__VA_ARGS__)

#endif
