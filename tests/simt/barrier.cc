#include "simt/barrier.h"

#include "simt/gather.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/text.h"

namespace simt {

static const char *const kSyncNames[kBarriers] = {
    "__syncthreads", "barrier 1",  "barrier 2",  "barrier 3", "barrier 4",  "barrier 5",
    "barrier 6",     "barrier 7",  "barrier 8",  "barrier 9", "barrier 10", "barrier 11",
    "barrier 12",    "barrier 13", "barrier 14", "barrier 15"};
static const char *const kArriveNames[kBarriers] = {
    "arrival at barrier 0",  "arrival at barrier 1",  "arrival at barrier 2",
    "arrival at barrier 3",  "arrival at barrier 4",  "arrival at barrier 5",
    "arrival at barrier 6",  "arrival at barrier 7",  "arrival at barrier 8",
    "arrival at barrier 9",  "arrival at barrier 10", "arrival at barrier 11",
    "arrival at barrier 12", "arrival at barrier 13", "arrival at barrier 14",
    "arrival at barrier 15"};

static int checked_count(const Block &block, int id, int n_threads, Where where) {
    if (id < 0 || id >= kBarriers)
        fail_at(where, "barrier", format("id %d; expected 0 to %d", id, kBarriers - 1));
    if (n_threads == kWholeBlock) return block.n_threads;
    if (n_threads % kWarpSize || n_threads < 0)
        fail_at(where, kSyncNames[id],
                format("%d threads; expected a multiple of %d", n_threads, kWarpSize));
    if (n_threads > block.n_threads)
        fail_at(where, kSyncNames[id],
                format("%d threads, but the block has %d", n_threads, block.n_threads));
    return n_threads;
}

static std::string arrivals(const Thread &thread) {
    const Barrier &barrier = *(const Barrier *)thread.wait.object;
    std::string text = format("%d of %d threads have arrived", barrier.arrived, barrier.expected);
    int exited = thread.block->n_threads - thread.block->n_live;
    if (exited) text += format(", and %d of the block have exited", exited);
    return text;
}

static void check_same_count(const Gathering &warp, int expected, const char *operation) {
    for (int l = 0; l < kWarpSize; l++) {
        if (!(warp.mask >> l & 1)) continue;
        int of_lane = *(const int *)warp.arguments[(size_t)l];
        if (of_lane != expected)
            fail_at(warp.where, operation,
                    format("for %d threads in one lane of the warp, for %d in another", expected,
                           of_lane));
    }
}

// Adds the warp's lanes. True when the barrier is complete with them.
static bool arrive(Block &block, int id, int expected, const LaneList &lanes, Where where) {
    Barrier &barrier = block.barriers[(size_t)id];
    if (barrier.arrived == 0) {
        barrier.expected = expected;
        barrier.where = where;
    }
    if (barrier.expected != expected)
        fail_at(where, kSyncNames[id],
                format("for %d threads, but at %s for %d", expected,
                       to_string(barrier.where).c_str(), barrier.expected));
    barrier.arrived += (int)lanes.size();
    if (barrier.arrived > barrier.expected)
        fail_at(where, kSyncNames[id],
                format("%d threads arrive at a barrier for %d", barrier.arrived, expected));
    for (Thread *thread : lanes) release(*thread, barrier.knowledge);
    return barrier.arrived == barrier.expected;
}

static void open(Barrier &barrier) {
    learn(barrier.waiting, barrier.knowledge);
    for (Thread *thread : barrier.waiting)
        if (thread != current) make_ready(*thread);
    barrier.waiting.clear();
    barrier.arrived = 0;
}

void barrier_sync(int id, int n_threads, Where where) {
    Block &block = *self().block;
    int expected = checked_count(block, id, n_threads, where);
    Gathering warp;
    if (!gather(~0u, kSyncNames[id], &expected, where, warp)) return;
    check_same_count(warp, expected, kSyncNames[id]);
    LaneList lanes = threads_of(warp);
    Barrier &barrier = block.barriers[(size_t)id];
    bool complete = arrive(block, id, expected, lanes, where);
    barrier.waiting.insert(barrier.waiting.end(), lanes.begin(), lanes.end());
    if (complete) {
        open(barrier);
        perhaps_yield(where);
        return;
    }
    Wait wait = {kSyncNames[id], where, arrivals, &barrier};
    for (Thread *lane : lanes) lane->wait = wait;
    suspend(wait);
}

void barrier_arrive(int id, int n_threads, Where where) {
    Block &block = *self().block;
    int expected = checked_count(block, id, n_threads, where);
    Gathering warp;
    if (!gather(~0u, kArriveNames[id], &expected, where, warp)) return;
    check_same_count(warp, expected, kArriveNames[id]);
    if (arrive(block, id, expected, threads_of(warp), where)) open(block.barriers[(size_t)id]);
    resume(warp);
}

} // namespace simt
