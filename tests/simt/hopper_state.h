// hopper_state.h: what a block has of compute capability 9.0: its mbarriers, and the bulk
// copies and products in flight. For the layer's own files.
#ifndef QUERN_TESTS_SIMT_HOPPER_STATE_H
#define QUERN_TESTS_SIMT_HOPPER_STATE_H

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "simt/machine.h"

namespace simt {

// An asynchronous engine: the number of its agent, and the epoch of its last operation. Each
// set of operations that complete in order has one of its own, for one clock says nothing
// about operations that overtake each other.
struct Engine {
    uint32_t agent = 0, epoch = 0; // agent 0: not yet numbered
};

constexpr int64_t kNeverWaited = -2;

struct Mbarrier {
    uint32_t address;
    Where where;             // of its initialisation
    Thread *initialiser;     // until it fences
    uint32_t count, pending; // arrivals a phase waits for, and how many are missing
    int64_t bytes = 0;       // expected and missing; negative: they came before expected
    int64_t phase = 0;       // in progress
    int64_t copy_phase = -1; // the last in which a copy was issued
    int64_t waited_phase = kNeverWaited; // the last that any thread waited for
    std::vector<int64_t> waited;         // … that each thread waited for
    std::vector<Thread *> waiting;
    Engine copies; // that complete on it
    KnowledgeSum arrived;
    Knowledge completed; // what those who wait for the last completed phase learn
};

// Bulk stores and additions of one thread.
struct BulkStore {
    AsyncTicket read, write; // null: done
    uint32_t epoch;
};
struct BulkGroup {
    std::vector<BulkStore> stores;
    bool read_waited = false;
};
struct BulkStores {
    std::vector<BulkStore> open;
    std::deque<BulkGroup> committed; // not yet waited for, oldest first
    Engine reader, writer;           // of their sources and destinations
};

// The registers d of products in flight: they belong to the tensor core until waited for.
struct Accumulator {
    std::array<float *, kWarpSize> registers;
    int n;                     // columns; n/2 registers a lane
    int in_flight = 0;         // products
    std::vector<float> values; // 16 rows of n
};

struct Product {
    AsyncTicket work;
    std::shared_ptr<Accumulator> accumulator;
    uint32_t epoch;
    Where where;
};

struct ProductsOfWarp {
    bool fenced = false; // since registers could last be accessed
    std::vector<Product> open;
    std::deque<std::vector<Product>> committed;
    std::vector<std::shared_ptr<Accumulator>> accumulators; // in flight
    AsyncTicket last;
    Engine engine;
};

// What the four warps of a warpgroup have to do alike, as far as not all of them have done it.
struct WarpgroupStep {
    const char *operation;
    Where where;
    std::array<uint64_t, 4> arguments;
    int warps; // that have come
};
struct Warpgroup {
    std::deque<WarpgroupStep> steps;
    std::array<uint64_t, 4> n_done = {}; // by warp
};

struct HopperBlock {
    std::map<uint32_t, Mbarrier> mbarriers; // by address
    std::map<int, BulkStores> stores;       // by thread
    std::vector<ProductsOfWarp> products;   // by warp
    std::vector<Warpgroup> warpgroups;
    std::vector<int> registers; // a thread may use, by warp
    int free_registers = 0;     // that warps have given up
};

// Made on first use.
HopperBlock &hopper(Block &block);

} // namespace simt

#endif
