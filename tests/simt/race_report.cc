#include "simt/race_report.h"

#include "simt/device_heap.h"
#include "simt/report.h"
#include "simt/shared_window.h"
#include "simt/text.h"

namespace simt {

static std::string place_of(const Block &block, const void *address) {
    if (in_arenas(address))
        return format("shared memory at 0x%zx", (size_t)((const uint8_t *)address - block.shared));
    const Allocation *a = find_allocation(address);
    return format("device memory, byte %zu of allocation %d",
                  (size_t)((const uint8_t *)address - a->begin), a->number);
}

// ---- accesses -----------------------------------------------------------------------------

static const char *name_of(Access access) {
    return access == Access::kRead ? "read" : access == Access::kWrite ? "write" : "atomic";
}

static std::string block_of(uint32_t serial) {
    dim3 grid = machine->grid;
    return to_string(uint3{serial % grid.x, serial / grid.x % grid.y, serial / (grid.x * grid.y)});
}

static std::string who(const EarlierAccess &e) {
    std::string block = "block " + block_of(e.block);
    if (e.copy) return "an asynchronous copy of " + block + ", not waited for";
    return block + format(" warp %u lane %u", e.agent / kWarpSize, e.agent % kWarpSize);
}

void report_race(const LaterAccess &later, const EarlierAccess &earlier) {
    std::string pair = format("%s %s, %s %s", name_of(later.access), to_string(later.site).c_str(),
                              earlier.access, to_string(earlier.site).c_str());
    RaceReports &reports = machine->races;
    reports.n_races++;
    if (!reports.seen.insert(pair).second) return;
    if ((int)reports.lines.size() >= machine->config.max_reports) return;
    reports.lines.push_back(format("race: %s%s at %s in %s of %s", name_of(later.access),
                                   later.copy ? " by an asynchronous copy" : "",
                                   to_string(later.site).c_str(), to_string(later.thread).c_str(),
                                   place_of(*later.thread.block, later.address).c_str()) +
                            format("\n      nothing orders it after the %s at %s by %s",
                                   earlier.access, to_string(earlier.site).c_str(),
                                   who(earlier).c_str()));
}

std::string race_reports() {
    const RaceReports &reports = machine->races;
    std::string text;
    for (const std::string &line : reports.lines) text += (text.empty() ? "" : "\n  ") + line;
    if (reports.seen.size() > reports.lines.size())
        text +=
            format("\n  and %zu more pairs of places", reports.seen.size() - reports.lines.size());
    return text;
}

} // namespace simt
