// registers.h: what a kernel's thread knows of itself.
#ifndef QUERN_TESTS_SIMT_REGISTERS_H
#define QUERN_TESTS_SIMT_REGISTERS_H

#include "simt/vector_types.h"

namespace simt {

struct Registers {
    uint3 thread_index, block_index;
    dim3 block_shape, grid_shape;
};

// Those of the thread that runs; null outside kernels. A plain global: one OS thread runs all
// threads of a process, and thread_local would be read once and kept across a switch.
extern Registers *current;

} // namespace simt

#endif
