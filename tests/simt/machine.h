// machine.h: the state of a running launch: threads in warps in blocks. For the layer's own
// files; kernels and tests see simt.h.
#ifndef QUERN_TESTS_SIMT_MACHINE_H
#define QUERN_TESTS_SIMT_MACHINE_H

#include <array>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "simt/async.h"
#include "simt/clocks.h"
#include "simt/config.h"
#include "simt/fiber.h"
#include "simt/random.h"
#include "simt/registers.h"
#include "simt/shadow.h"
#include "simt/where.h"

namespace simt {

constexpr int kWarpSize = 32, kBarriers = 16;

struct Block;
struct Thread;

// What a suspended thread waits for. `detail` adds to a deadlock report.
struct Wait {
    const char *what = nullptr;
    Where where;
    std::string (*detail)(const Thread &) = nullptr;
    const void *object = nullptr; // what detail looks at
    int64_t value = 0;
};

// cp.async: copies, and their groups, oldest first.
struct Copy {
    AsyncTicket ticket;
    uint32_t epoch; // of the thread's copier
};
struct CopyGroups {
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> committed;
};

struct Thread : Registers {
    Block *block;
    int linear, warp, lane;
    Fiber fiber;
    bool queued, done;
    Wait wait;
    bool (*satisfied)(const Thread &); // of suspend_until
    CopyGroups copies;
    ThreadClock clock;
};

// Lanes that have arrived at a warp-wide operation which waits for the others of its mask.
struct Gathering {
    uint32_t mask, arrived;
    const char *operation;
    Where where;
    std::array<void *, kWarpSize> arguments;
};

struct Warp {
    uint32_t lanes, exited; // that exist; of these, that have exited
    std::vector<Gathering> gatherings;
};

struct Barrier {
    int expected = 0, arrived = 0;
    Where where; // of the first arrival
    std::vector<Thread *> waiting;
    KnowledgeSum knowledge; // of the threads that have arrived
};

// A static shared variable: its key is the address of a static of the function it stands in.
struct StaticShared {
    const void *key;
    uint32_t address, size;
};

struct Block {
    uint32_t serial; // its linear index in the grid
    uint3 index;
    int n_threads, n_live;
    std::vector<Thread *> threads;
    std::vector<Warp> warps;
    std::array<Barrier, kBarriers> barriers;
    uint8_t *shared; // its arena
    int arena;
    uint32_t dynamic_base, dynamic_size, static_bottom, static_size;
    std::vector<StaticShared> statics;
    uint32_t n_agents; // threads, and after them asynchronous engines
    uint32_t stamp;    // of its cells in shadow memory
};

// Races found, a line for each pair of places.
struct RaceReports {
    uint64_t n_races = 0;
    std::set<std::string> seen;
    std::vector<std::string> lines;
};

struct Machine {
    Config config;
    const char *kernel;
    void (*body)(void *);
    void *body_arguments;
    dim3 grid, block;
    uint32_t shared_bytes;
    uint64_t n_blocks, n_started;
    uint32_t serial; // of the launch, in the process

    Random random;
    Fiber host;
    std::vector<Thread *> ready;
    size_t ready_head;
    std::vector<Thread *> polling;
    std::vector<Block *> resident;
    AsyncQueue async;
    std::unordered_map<const void *, Knowledge> published; // by words that threads meet at
    RaceReports races;
    std::string error;
};

// The launch that runs, and its running thread. Only for use inside a launch.
extern Machine *machine;
inline Thread &self() { return *static_cast<Thread *>(current); }

inline Warp &warp_of(const Thread &thread) { return thread.block->warps[(size_t)thread.warp]; }
inline Thread &lane_of(Block &block, int warp, int lane) {
    return *block.threads[(size_t)(warp * kWarpSize + lane)];
}

} // namespace simt

#endif
