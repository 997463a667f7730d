#include "simt/hopper_exit.h"

#include "simt/mbarrier_copies.h"
#include "simt/product.h"
#include "simt/transfer.h"
#include "simt/warpgroup.h"

namespace simt {

void check_hopper_done(const Thread &thread) {
    Block &block = *thread.block;
    if (!block.hopper) return;
    check_stores_done(thread);
    check_products_done(thread);
    if (block.n_live > 1) return;
    check_mbarriers_done(block);
    check_warpgroups_done(block);
}

} // namespace simt
