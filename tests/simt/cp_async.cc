#include "simt/cp_async.h"

#include <cstring>

#include "simt/device_memory.h"
#include "simt/race.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/shared_window.h"
#include "simt/text.h"

namespace simt {

static constexpr size_t kBytes = 16;

// Reads its source as late as it writes its destination.
struct CopyToShared : AsyncWork {
    uint8_t *destination;
    const void *source; // null: zeros

    void complete() override {
        if (source)
            memcpy(destination, source, kBytes);
        else
            memset(destination, 0, kBytes);
    }
};

// The epoch of this copy. It may write as soon as it is issued.
static uint32_t check_races(Thread &thread, const CopyToShared &copy, Where where) {
    if (!race_enabled()) return 0;
    ThreadClock &clock = thread.clock;
    if (!clock.copier) clock.copier = new_agent(*thread.block);
    Agent agent = {clock.copier, ++clock.copies_issued};
    if (copy.source) check_copy(thread, agent, copy.source, kBytes, Access::kRead, where);
    check_copy(thread, agent, copy.destination, kBytes, Access::kWrite, where);
    return agent.epoch;
}

static void issue(Thread &thread, uint32_t destination, const void *source, bool valid,
                  Where where) {
    auto copy = std::make_shared<CopyToShared>();
    copy->destination = shared_bytes(*thread.block, destination, kBytes, kBytes, "cp.async", where);
    copy->source = valid ? source : nullptr;
    uint32_t epoch = check_races(thread, *copy, where);
    uint8_t *bytes = copy->destination;
    AsyncTicket ticket = machine->async.issue(copy, [=] { memset(bytes, 0xff, kBytes); });
    thread.copies.open.push_back({ticket, epoch});
}

void cp_async_16(uint32_t destination, const void *source, bool valid, Where where) {
    if ((uintptr_t)source % kBytes)
        fail_at(where, "cp.async", format("global address %p is not a multiple of 16", source));
    if (valid) check_device_bounds(source, kBytes, "cp.async", where);
    issue(self(), destination, source, valid, where);
    perhaps_yield(where);
}

void cp_async_commit() {
    CopyGroups &copies = self().copies;
    copies.committed.push_back(std::move(copies.open));
    copies.open.clear();
}

void cp_async_wait(int n, Where where) {
    Thread &thread = self();
    std::deque<std::vector<Copy>> &groups = thread.copies.committed;
    while (groups.size() > (size_t)n) {
        for (const Copy &copy : groups.front()) {
            machine->async.demand(copy.ticket);
            thread.clock.copies_known = copy.epoch;
        }
        groups.pop_front();
    }
    perhaps_yield(where);
}

} // namespace simt
