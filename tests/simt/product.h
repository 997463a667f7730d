// product.h: the arithmetic of wgmma for one warp. For the layer's own files.
#ifndef QUERN_TESTS_SIMT_PRODUCT_H
#define QUERN_TESTS_SIMT_PRODUCT_H

#include <array>

#include "simt/hopper_state.h"
#include "simt/wgmma_descriptor.h"

namespace simt {

// Where 8 neighbouring elements of an operand lie, in the order in which load_operand reads.
using Eights = std::vector<const uint8_t *>;

// The eights of rows (of a) or columns (of b) first to first+n−1, all 16 of k.
Eights eights_of(const Block &block, const WgmmaDescriptor &d, uint32_t first, uint32_t n,
                 Where where);

// A warp's 16 rows of d += a · b. It reads shared memory when it completes, after the one
// issued before it.
struct WarpProduct : AsyncWork {
    std::shared_ptr<Accumulator> accumulator;
    bool accumulate, a_in_registers, a_mn_major, b_mn_major;
    std::array<std::array<uint32_t, 4>, kWarpSize> a_registers;
    Eights a, b;
    AsyncTicket before;

    void complete() override;
};

// Fails when the thread exits with products in flight.
void check_products_done(const Thread &thread);

// Between the registers of lanes and 16 rows of n values.
void read_registers(Accumulator &accumulator);
void write_registers(const Accumulator &accumulator);

} // namespace simt

#endif
