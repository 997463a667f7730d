#include "simt/gather.h"

#include <cstring>

#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/text.h"

namespace simt {

static bool same_text(const char *a, const char *b) { return a == b || !strcmp(a, b); }

static bool same_operation(const Gathering &g, uint32_t mask, const char *operation, Where where) {
    return g.mask == mask && g.where.line == where.line && same_text(g.operation, operation) &&
           same_text(g.where.file, where.file);
}

static void check_mask(const Thread &thread, uint32_t mask, const char *operation, Where where) {
    if (!(mask >> thread.lane & 1))
        fail_at(where, operation, format("the calling lane is not in its mask 0x%08x", mask));
    uint32_t exited = mask & warp_of(thread).exited;
    if (exited)
        fail_at(where, operation,
                format("lanes 0x%08x of its mask 0x%08x have exited", exited, mask));
}

static Gathering &find_or_open(Warp &warp, uint32_t mask, const char *operation, Where where) {
    for (Gathering &g : warp.gatherings)
        if (same_operation(g, mask, operation, where)) return g;
    warp.gatherings.push_back(Gathering{mask, 0, operation, where, {}});
    return warp.gatherings.back();
}

// Lanes that wait in two places, each of them for a lane of the other.
static void check_converged(const Warp &warp, const Gathering &mine) {
    for (const Gathering &g : warp.gatherings)
        if (g.arrived & mine.mask && g.mask & mine.arrived && &g != &mine)
            fail_at(mine.where, mine.operation,
                    format("diverged: with mask 0x%08x, while lanes 0x%08x of the warp wait in %s "
                           "at %s with mask 0x%08x",
                           mine.mask, g.arrived, g.operation, to_string(g.where).c_str(), g.mask));
}

static std::string missing_lanes(const Thread &thread) {
    for (const Gathering &g : thread.block->warps[(size_t)thread.warp].gatherings)
        if (g.arrived >> thread.lane & 1)
            return format("lanes 0x%08x of its mask 0x%08x are missing", g.mask & ~g.arrived,
                          g.mask);
    return "";
}

bool gather(uint32_t mask, const char *operation, void *arguments, Where where,
            Gathering &complete) {
    Thread &thread = self();
    Warp &warp = warp_of(thread);
    mask &= warp.lanes;
    check_mask(thread, mask, operation, where);
    Gathering &g = find_or_open(warp, mask, operation, where);
    g.arrived |= 1u << thread.lane;
    g.arguments[(size_t)thread.lane] = arguments;
    if (warp.gatherings.size() > 1) check_converged(warp, g);
    if (g.arrived != mask) {
        suspend(Wait{operation, where, missing_lanes});
        return false;
    }
    complete = g;
    g = warp.gatherings.back();
    warp.gatherings.pop_back();
    return true;
}

void resume(const Gathering &complete) {
    Thread &thread = self();
    for (int l = 0; l < kWarpSize; l++)
        if (complete.mask >> l & 1 && l != thread.lane)
            make_ready(lane_of(*thread.block, thread.warp, l));
    perhaps_yield(complete.where);
}

LaneList threads_of(const Gathering &complete) {
    LaneList threads;
    for (int l = 0; l < kWarpSize; l++)
        if (complete.mask >> l & 1) threads.push_back(&lane_of(*self().block, self().warp, l));
    return threads;
}

} // namespace simt
