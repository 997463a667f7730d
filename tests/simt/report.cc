#include "simt/report.h"

#include "simt/scheduler.h"
#include "simt/text.h"

namespace simt {

std::string to_string(uint3 i) { return format("(%u,%u,%u)", i.x, i.y, i.z); }

std::string to_string(const Thread &thread) {
    return format("block %s warp %d lane %d", to_string(thread.block_index).c_str(), thread.warp,
                  thread.lane);
}

void fail_at(Where where, const char *operation, const std::string &what) {
    fail(format("%s: %s: %s, in %s", to_string(where).c_str(), operation, what.c_str(),
                to_string(self()).c_str()));
}

// ---- who waits where ---------------------------------------------------------------------

static bool same_wait(const Wait &a, const Wait &b) {
    return a.what == b.what && a.where.file == b.where.file && a.where.line == b.where.line &&
           a.object == b.object && a.value == b.value;
}

static std::string line_of(const Thread &first, uint32_t lanes) {
    const Wait &wait = first.wait;
    std::string line = format("\n  block %s warp %d lanes 0x%08x wait for %s at %s",
                              to_string(first.block_index).c_str(), first.warp, lanes,
                              wait.what ? wait.what : "nothing", to_string(wait.where).c_str());
    if (wait.detail) line += ": " + wait.detail(first);
    return line;
}

static std::string lines_of_warp(Block &block, int warp) {
    std::string lines;
    uint32_t waiting = 0, exited = 0;
    for (int l = 0; l < kWarpSize; l++) {
        if (!(block.warps[(size_t)warp].lanes >> l & 1)) continue;
        (lane_of(block, warp, l).done ? exited : waiting) |= 1u << l;
    }
    if (exited && waiting)
        lines += format("\n  block %s warp %d lanes 0x%08x have exited",
                        to_string(block.index).c_str(), warp, exited);
    else if (exited)
        lines += format("\n  block %s warp %d has exited", to_string(block.index).c_str(), warp);
    while (waiting) {
        const Thread &first = lane_of(block, warp, __builtin_ctz(waiting));
        uint32_t same = 0;
        for (int l = first.lane; l < kWarpSize; l++)
            if (waiting >> l & 1 && same_wait(lane_of(block, warp, l).wait, first.wait))
                same |= 1u << l;
        lines += line_of(first, same);
        waiting &= ~same;
    }
    return lines;
}

std::string waiting_threads() {
    std::string lines;
    for (Block *block : machine->resident)
        for (size_t w = 0; w < block->warps.size(); w++) lines += lines_of_warp(*block, (int)w);
    if (machine->n_started < machine->n_blocks)
        lines += format("\n  %llu blocks have not started: %d are resident at a time",
                        (unsigned long long)(machine->n_blocks - machine->n_started),
                        machine->config.resident_blocks);
    return lines;
}

} // namespace simt
