#include "simt/race.h"

#include <algorithm>

#include "simt/device_heap.h"
#include "simt/race_report.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/shared_window.h"
#include "simt/text.h"

namespace simt {

uint32_t new_agent(Block &block) { return block.n_agents++; }

// ---- who makes an access ---------------------------------------------------------------

// A thread, or an engine that works for it and knows what it knew.
struct Actor {
    Thread &thread;
    uint32_t agent, epoch;
    bool copy;
};

static bool knows(const Actor &actor, uint32_t block, uint32_t agent, uint32_t epoch) {
    const Thread &thread = actor.thread;
    if (block == thread.block->serial) {
        if (agent == (uint32_t)thread.linear) return true;
        if (agent == thread.clock.copier && epoch <= thread.clock.copies_known) return true;
    }
    return known_epoch(thread.clock.known, block, agent) >= epoch;
}

static bool knows(const Actor &actor, const Touch &touch) {
    for (uint32_t lanes = touch.lanes; lanes; lanes &= lanes - 1)
        if (!knows(actor, touch.block, touch.first_agent + (uint32_t)__builtin_ctz(lanes),
                   touch.epoch))
            return false;
    return true;
}

// ---- cells ---------------------------------------------------------------------------------

static Touch touch_of(const Actor &actor, uint8_t bytes, bool atomic, Site site) {
    Touch touch = {
        actor.thread.block->serial, actor.agent, 1, actor.epoch, bytes, atomic, actor.copy, site};
    if (!actor.copy) {
        touch.first_agent = actor.agent / kWarpSize * kWarpSize;
        touch.lanes = 1u << actor.agent % kWarpSize;
    }
    return touch;
}

static bool same_kind(const Touch &a, const Touch &b) {
    return a.first_agent == b.first_agent && a.block == b.block && a.bytes == b.bytes &&
           a.atomic == b.atomic;
}

// Joins the touch with one of the same warp and epoch, or takes the place of an older one of
// that warp that happened before it.
static void remember(Cell &cell, const Actor &actor, const Touch &touch) {
    for (Touch &old : cell.touches) {
        if (!same_kind(old, touch)) continue;
        if (old.epoch == touch.epoch) {
            old.lanes |= touch.lanes;
            return;
        }
        if (knows(actor, old)) {
            old = touch;
            return;
        }
    }
    cell.touches.push_back(touch);
}

struct Watched { // where the access is
    ShadowMemory *shadow;
    size_t offset; // of its first byte
    uint32_t stamp;
};

static void check_against_write(const Cell &cell, const Actor &actor, uint8_t bytes, Access access,
                                const void *address, Site site) {
    const Write &write = cell.write;
    if (!(write.bytes & bytes)) return;
    if (knows(actor, write.block, write.agent, write.epoch)) return;
    report_race({actor.thread, access, actor.copy, site, address},
                {write.block, write.agent, "write", write.copy, write.site});
}

static void check_against_touches(const Cell &cell, const Actor &actor, uint8_t bytes,
                                  Access access, const void *address, Site site) {
    for (const Touch &touch : cell.touches) {
        bool conflict = access == Access::kWrite || touch.atomic != (access == Access::kAtomic);
        if (!conflict || !(touch.bytes & bytes) || knows(actor, touch)) continue;
        report_race({actor.thread, access, actor.copy, site, address},
                    {touch.block, touch.first_agent + (uint32_t)__builtin_ctz(touch.lanes),
                     touch.atomic ? "atomic" : "read", touch.copy, touch.site});
    }
}

static void check_cell(Cell &cell, const Actor &actor, uint8_t bytes, Access access,
                       const void *address, Site site) {
    check_against_write(cell, actor, bytes, access, address, site);
    // Plain reads conflict with atomics, and atomics with plain reads; writes with both.
    check_against_touches(cell, actor, bytes, access, address, site);
    if (access == Access::kWrite) {
        cell.touches.clear();
        cell.write = {
            actor.thread.block->serial, actor.agent, actor.epoch, bytes, actor.copy, site};
    } else {
        remember(cell, actor, touch_of(actor, bytes, access == Access::kAtomic, site));
    }
}

static void check_cells(const Watched &at, const Actor &actor, const void *address, size_t n,
                        Access access, Site site) {
    for (size_t byte = at.offset, end = at.offset + n; byte < end;) {
        size_t in_cell = byte % kCellBytes, count = std::min(kCellBytes - in_cell, end - byte);
        uint8_t bytes = (uint8_t)(((1u << count) - 1) << in_cell);
        check_cell(at.shadow->at(byte, at.stamp), actor, bytes, access, address, site);
        byte += count;
    }
}

// ---- memory -----------------------------------------------------------------------------

static ShadowMemory &shadow_of_arena(int arena) {
    static std::unique_ptr<ShadowMemory> shadows[kArenas];
    std::unique_ptr<ShadowMemory> &shadow = shadows[arena];
    if (!shadow) shadow = std::make_unique<ShadowMemory>(kArenaSize);
    return *shadow;
}

static void check(const Actor &actor, const void *address, size_t n, Access access, Site site) {
    const Block &block = *actor.thread.block;
    if (in_arenas(address)) {
        size_t offset = (size_t)((const uint8_t *)address - block.shared);
        check_cells({&shadow_of_arena(block.arena), offset, block.stamp}, actor, address, n, access,
                    site);
    } else if (in_device_heap(address)) {
        Allocation *a = find_allocation(address);
        size_t offset = (size_t)((const uint8_t *)address - a->begin);
        check_cells({a->shadow.get(), offset, machine->serial}, actor, address, n, access, site);
    }
}

void check_access(Thread &thread, const void *address, size_t n, Access access, Site site) {
    if (!race_enabled()) return;
    check({thread, (uint32_t)thread.linear, thread.clock.now, false}, address, n, access, site);
}

void check_copy(Thread &thread, Agent agent, const void *address, size_t n, Access access,
                Site site) {
    if (!race_enabled()) return;
    check({thread, agent.number, agent.epoch, true}, address, n, access, site);
}

// ---- the kernel's own code -----------------------------------------------------------------

static void check_shared_bounds(const Thread &thread, const void *address, size_t n, Access access,
                                const void *pc) {
    const Block &block = *thread.block;
    size_t offset = (size_t)((const uint8_t *)address - block.shared);
    if (offset < kArenaSize && in_window(block, (uint32_t)offset, n)) return;
    fail(format("%s: %s of %zu bytes out of the bounds of shared memory, in %s",
                to_string(Site(pc)).c_str(), access == Access::kRead ? "read" : "write", n,
                to_string(thread).c_str()) +
         (offset < kArenaSize ? format(" (shared address 0x%zx)", offset)
                              : " (shared memory of another block)"));
}

static void check_heap_bounds(const Thread &thread, const void *address, size_t n, Access access,
                              const void *pc) {
    const Allocation *a = find_allocation(address);
    if (a && (const uint8_t *)address + n <= a->begin + a->size) return;
    fail(format("%s: %s of %zu bytes out of the bounds of device memory, in %s: %s",
                to_string(Site(pc)).c_str(), access == Access::kRead ? "read" : "write", n,
                to_string(thread).c_str(), place_in_heap(address).c_str()));
}

void check_instrumented(Thread &thread, const void *address, size_t n, Access access,
                        const void *pc) {
    if (in_arenas(address))
        check_shared_bounds(thread, address, n, access, pc);
    else if (in_device_heap(address))
        check_heap_bounds(thread, address, n, access, pc);
    else
        return;
    check_access(thread, address, n, access, Site(pc));
    const Config &config = machine->config;
    if (config.preemption > 0 && machine->random.with_probability(config.preemption))
        yield(Where{"a memory access", 0});
}

} // namespace simt
