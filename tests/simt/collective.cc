#include "simt/collective.h"

#include "simt/clocks.h"
#include "simt/gather.h"
#include "simt/race.h"
#include "simt/report.h"
#include "simt/text.h"

namespace simt {

void collective(uint32_t mask, const char *operation, CollectiveFunction compute, void *arguments,
                Where where) {
    Gathering complete;
    if (!gather(mask, operation, arguments, where, complete)) return;
    compute(Lanes{complete.mask, complete.arguments, where});
    resume(complete);
}

static void synchronize(const LaneList &lanes) {
    KnowledgeSum sum;
    for (Thread *thread : lanes) release(*thread, sum);
    learn(std::vector<Thread *>(lanes.begin(), lanes.end()), sum);
}

void sync_warp(uint32_t mask, Where where) {
    Gathering complete;
    if (!gather(mask, "__syncwarp", nullptr, where, complete)) return;
    if (race_enabled()) synchronize(threads_of(complete));
    resume(complete);
}

// ---- shuffles and votes: they exchange registers, and order no memory ------------------------

struct ShuffleLane {
    Shuffle in;
    uint64_t out;
    const char *operation;
};

static void shuffle_lanes(const Lanes &lanes) {
    for (int l = 0; l < kWarpSize; l++) {
        if (!(lanes.mask >> l & 1)) continue;
        ShuffleLane &lane = *(ShuffleLane *)lanes.arguments[(size_t)l];
        int source = lane.in.source;
        if (!(lanes.mask >> source & 1))
            fail_at(lanes.where, lane.operation,
                    format("lane %d reads lane %d, which is not in the mask 0x%08x", l, source,
                           lanes.mask));
        lane.out = ((ShuffleLane *)lanes.arguments[(size_t)source])->in.value;
    }
}

uint64_t shuffle(uint32_t mask, const char *operation, Shuffle arguments, Where where) {
    ShuffleLane lane = {arguments, 0, operation};
    collective(mask, operation, shuffle_lanes, &lane, where);
    return lane.out;
}

struct BallotLane {
    bool predicate;
    uint32_t result;
};

static void count_ballot(const Lanes &lanes) {
    uint32_t result = 0;
    for (int l = 0; l < kWarpSize; l++)
        if (lanes.mask >> l & 1)
            result |= (uint32_t)((BallotLane *)lanes.arguments[(size_t)l])->predicate << l;
    for (int l = 0; l < kWarpSize; l++)
        if (lanes.mask >> l & 1) ((BallotLane *)lanes.arguments[(size_t)l])->result = result;
}

uint32_t ballot(uint32_t mask, const char *operation, bool predicate, Where where) {
    BallotLane lane = {predicate, 0};
    collective(mask, operation, count_ballot, &lane, where);
    return lane.result;
}

} // namespace simt
