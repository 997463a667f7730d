#include "simt/hopper_state.h"

#include <algorithm>

#include "simt/warpgroup.h"

namespace simt {

// As the compiler has it when __launch_bounds__ names the number of threads and nothing else.
static int registers_at_launch(int n_threads) {
    return std::min(kRegistersOfBlock / n_threads / 8 * 8, kMostRegisters);
}

static std::shared_ptr<HopperBlock> new_state(const Block &block) {
    auto state = std::make_shared<HopperBlock>();
    size_t n_warps = block.warps.size();
    state->products.resize(n_warps);
    state->warpgroups.resize((n_warps + 3) / 4);
    state->registers.assign(n_warps, registers_at_launch(block.n_threads));
    return state;
}

HopperBlock &hopper(Block &block) {
    if (!block.hopper) block.hopper = new_state(block);
    return *block.hopper;
}

} // namespace simt
