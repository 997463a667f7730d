#include "simt/wgmma.h"

#include <algorithm>
#include <cstring>

#include "simt/async_proxy.h"
#include "simt/collective.h"
#include "simt/product.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/text.h"
#include "simt/warpgroup.h"

namespace simt {

static constexpr uint32_t kWarp = 0xffffffffu;
static constexpr uint32_t kPoison = 0x7fc0dead; // a NaN that no arithmetic makes

static ProductsOfWarp &products_of(const Thread &thread) {
    return hopper(*thread.block).products[(size_t)thread.warp];
}

static std::vector<Thread *> lanes_of(Thread &thread) {
    std::vector<Thread *> lanes;
    for (int l = 0; l < kWarpSize; l++) lanes.push_back(&lane_of(*thread.block, thread.warp, l));
    return lanes;
}

// ---- the registers of products in flight
// ----------------------------------------------------------

static void poison(const Accumulator &accumulator) {
    for (float *registers : accumulator.registers)
        for (int i = 0; i < accumulator.n / 2; i++) memcpy(registers + i, &kPoison, sizeof kPoison);
}

static void check_untouched(const Accumulator &accumulator, Where issued) {
    for (size_t l = 0; l < kWarpSize; l++)
        for (int i = 0; i < accumulator.n / 2; i++)
            if (memcmp(accumulator.registers[l] + i, &kPoison, sizeof kPoison))
                fail_at(issued, "wgmma",
                        format("d[%d] of lane %zu was changed before the product was waited for", i,
                               l));
}

static bool overlap(const Accumulator &a, const Accumulator &b) {
    const float *first = a.registers[0], *second = b.registers[0];
    return first < second + b.n / 2 && second < first + a.n / 2;
}

// That of the products in flight which use the same registers, or a new one, which has taken
// the registers' values.
static std::shared_ptr<Accumulator> accumulator_for(ProductsOfWarp &products, Accumulator wanted,
                                                    Where where) {
    for (const std::shared_ptr<Accumulator> &old : products.accumulators) {
        if (old->registers == wanted.registers && old->n == wanted.n) return old;
        if (overlap(*old, wanted))
            fail_at(where, "wgmma", "its d overlaps that of a product of another shape in flight");
    }
    auto accumulator = std::make_shared<Accumulator>(std::move(wanted));
    read_registers(*accumulator);
    poison(*accumulator);
    products.accumulators.push_back(accumulator);
    return accumulator;
}

static void retire(ProductsOfWarp &products, const Product &product) {
    machine->async.demand(product.work);
    Accumulator &accumulator = *product.accumulator;
    if (--accumulator.in_flight) return;
    check_untouched(accumulator, product.where);
    write_registers(accumulator);
    auto &all = products.accumulators;
    all.erase(std::find(all.begin(), all.end(), product.accumulator));
}

// ---- issue
// -----------------------------------------------------------------------------------------

struct WgmmaLane {
    const WgmmaShape &shape;
    float *d;
    const uint32_t *a;
    uint64_t a_descriptor, b_descriptor;
    bool accumulate;
};

static const WgmmaLane &lane_at(const Lanes &lanes, int l) {
    return *(const WgmmaLane *)lanes.arguments[(size_t)l];
}

static void check_uniform(const Lanes &lanes) {
    const WgmmaLane &first = lane_at(lanes, 0);
    for (int l = 1; l < kWarpSize; l++) {
        const WgmmaLane &lane = lane_at(lanes, l);
        if (lane.a_descriptor != first.a_descriptor || lane.b_descriptor != first.b_descriptor)
            fail_at(lanes.where, "wgmma", format("lane %d has other descriptors than lane 0", l));
        if (lane.accumulate != first.accumulate)
            fail_at(lanes.where, "wgmma", format("`accumulate` of lane %d differs", l));
    }
}

static std::shared_ptr<WarpProduct> product_of(const Lanes &lanes, ProductsOfWarp &products) {
    const WgmmaLane &first = lane_at(lanes, 0);
    auto product = std::make_shared<WarpProduct>();
    Accumulator wanted = {};
    wanted.n = first.shape.n;
    for (int l = 0; l < kWarpSize; l++) {
        const WgmmaLane &lane = lane_at(lanes, l);
        wanted.registers[(size_t)l] = lane.d;
        if (lane.a) memcpy(product->a_registers[(size_t)l].data(), lane.a, 4 * sizeof *lane.a);
    }
    product->accumulator = accumulator_for(products, std::move(wanted), lanes.where);
    product->accumulate = first.accumulate;
    product->a_in_registers = first.a != nullptr;
    product->a_mn_major = first.shape.a_mn_major;
    product->b_mn_major = first.shape.b_mn_major;
    product->before = products.last;
    return product;
}

static void read_operands(WarpProduct &product, const WgmmaLane &lane, const Thread &thread,
                          Where where) {
    const Block &block = *thread.block;
    if (!lane.a) {
        WgmmaDescriptor a = wgmma_descriptor_of(lane.a_descriptor, lane.shape.a_mn_major, where);
        product.a = eights_of(block, a, 16 * ((uint32_t)thread.warp % 4), 16, where);
    }
    WgmmaDescriptor b = wgmma_descriptor_of(lane.b_descriptor, lane.shape.b_mn_major, where);
    product.b = eights_of(block, b, 0, (uint32_t)lane.shape.n, where);
}

static void check_races(Thread &thread, ProductsOfWarp &products, const WarpProduct &product,
                        Where where) {
    if (!race_enabled()) return;
    AsyncOperation operation(products.engine, lanes_of(thread), where);
    for (const uint8_t *eight : product.a) operation.check(eight, 16, Access::kRead);
    for (const uint8_t *eight : product.b) operation.check(eight, 16, Access::kRead);
}

static void issue(const Lanes &lanes) {
    Thread &thread = self();
    const WgmmaLane &first = lane_at(lanes, 0);
    check_uniform(lanes);
    uint64_t shape = (uint64_t)first.shape.n << 2 | (uint64_t)first.shape.a_mn_major << 1 |
                     (uint64_t)first.shape.b_mn_major;
    step_with_warpgroup(
        thread, "wgmma",
        {shape, first.a ? 1 : first.a_descriptor, first.b_descriptor, first.accumulate},
        lanes.where);
    ProductsOfWarp &products = products_of(thread);
    if (!products.fenced)
        fail_at(lanes.where, "wgmma",
                "no wgmma_fence since the warp's registers could last be accessed");
    std::shared_ptr<WarpProduct> product = product_of(lanes, products);
    read_operands(*product, first, thread, lanes.where);
    check_races(thread, products, *product, lanes.where);
    product->accumulator->in_flight++;
    AsyncTicket ticket = machine->async.issue(product, [] {});
    products.last = ticket;
    products.open.push_back({ticket, product->accumulator, products.engine.epoch, lanes.where});
}

void wgmma(const WgmmaShape &shape, float *d, const uint32_t *a, uint64_t a_descriptor,
           uint64_t b_descriptor, bool accumulate, Where where) {
    WgmmaLane lane = {shape, d, a, a_descriptor, b_descriptor, accumulate};
    collective(kWarp, "wgmma", issue, &lane, where);
}

// ---- fence, groups
// ----------------------------------------------------------------------------------

void wgmma_fence(Where where) {
    collective(
        kWarp, "wgmma_fence",
        [](const Lanes &lanes) {
            step_with_warpgroup(self(), "wgmma_fence", {}, lanes.where);
            products_of(self()).fenced = true;
        },
        nullptr, where);
}

void wgmma_commit(Where where) {
    collective(
        kWarp, "wgmma_commit",
        [](const Lanes &lanes) {
            step_with_warpgroup(self(), "wgmma_commit", {}, lanes.where);
            ProductsOfWarp &products = products_of(self());
            products.committed.push_back(std::move(products.open));
            products.open.clear();
        },
        nullptr, where);
}

static void complete_groups(const Lanes &lanes) {
    Thread &thread = self();
    size_t n = (size_t) * (const int *)lanes.arguments[0];
    step_with_warpgroup(thread, "wgmma_wait", {n}, lanes.where);
    ProductsOfWarp &products = products_of(thread);
    uint32_t epoch = 0;
    for (; products.committed.size() > n; products.committed.pop_front())
        for (const Product &product : products.committed.front()) {
            retire(products, product);
            epoch = product.epoch;
        }
    learn_completion(lanes_of(thread), products.engine, epoch);
    products.fenced = false;
}

void wgmma_wait(int n, Where where) {
    yield(where);
    collective(kWarp, "wgmma_wait", complete_groups, &n, where);
}

void check_products_done(const Thread &thread) {
    const ProductsOfWarp &products = products_of(thread);
    size_t n = products.open.size();
    for (const std::vector<Product> &group : products.committed) n += group.size();
    if (n)
        fail(format("%zu products are in flight as the thread exits, in %s", n,
                    to_string(thread).c_str()));
}

} // namespace simt
