#include "simt/warpgroup.h"

#include <cstring>

#include "simt/collective.h"
#include "simt/hopper_state.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/text.h"

namespace simt {

static constexpr uint32_t kWarp = 0xffffffffu;
static constexpr int kWarps = 4;

// ---- steps --------------------------------------------------------------------------------------

static void check_complete(const Thread &thread, const char *operation, Where where) {
    int warpgroup = thread.warp / kWarps, n_threads = thread.block->n_threads;
    if ((warpgroup + 1) * kWarps * kWarpSize > n_threads)
        fail_at(where, operation,
                format("the block's %d threads do not fill warpgroup %d", n_threads, warpgroup));
}

static void check_same(const WarpgroupStep &step, const char *operation,
                       const std::array<uint64_t, 4> &arguments, Where where) {
    if (strcmp(step.operation, operation))
        fail_at(where, operation,
                format("another warp of the warpgroup did %s at %s instead", step.operation,
                       to_string(step.where).c_str()));
    if (step.arguments != arguments)
        fail_at(where, operation,
                format("another warp of the warpgroup did it with other arguments, at %s",
                       to_string(step.where).c_str()));
}

void step_with_warpgroup(Thread &thread, const char *operation,
                         const std::array<uint64_t, 4> &arguments, Where where) {
    check_complete(thread, operation, where);
    Warpgroup &group = hopper(*thread.block).warpgroups[(size_t)(thread.warp / kWarps)];
    uint64_t &n_done = group.n_done[(size_t)(thread.warp % kWarps)];
    uint64_t first = n_done; // the number of the oldest step that some warp has not done
    for (uint64_t n : group.n_done) first = n < first ? n : first;
    size_t i = (size_t)(n_done - first);
    if (i == group.steps.size()) group.steps.push_back({operation, where, arguments, 0});
    check_same(group.steps[i], operation, arguments, where);
    n_done++;
    if (++group.steps[i].warps == kWarps) group.steps.pop_front();
}

void check_warpgroups_done(Block &block) {
    for (const Warpgroup &group : hopper(block).warpgroups) {
        if (group.steps.empty()) continue;
        const WarpgroupStep &step = group.steps.front();
        fail(format("%s: %s: only %d of the four warps of the warpgroup did it, in block %s",
                    to_string(step.where).c_str(), step.operation, step.warps,
                    to_string(block.index).c_str()));
    }
}

// ---- registers
// ------------------------------------------------------------------------------------

struct Change {
    int n;
    bool raise;
};

static const char *name_of(const Change &change) {
    return change.raise ? "registers_raise" : "registers_lower";
}

static void change_registers(const Lanes &lanes) {
    Thread &thread = self();
    const Change &change = *(const Change *)lanes.arguments[0];
    HopperBlock &state = hopper(*thread.block);
    int &registers = state.registers[(size_t)thread.warp];
    if (change.n % 8 || change.n < 24 || change.n > kMostRegisters)
        fail_at(lanes.where, name_of(change),
                format("%d registers; expected a multiple of 8 from 24 to 256", change.n));
    if (change.raise ? change.n < registers : change.n > registers)
        fail_at(lanes.where, name_of(change),
                format("to %d registers, but a thread has %d", change.n, registers));
    step_with_warpgroup(thread, name_of(change), {(uint64_t)change.n}, lanes.where);
    if (change.raise) return;
    state.free_registers += kWarpSize * (registers - change.n);
    registers = change.n;
    ask_polling();
}

static int registers_wanted(const Thread &thread) {
    int has = hopper(*thread.block).registers[(size_t)thread.warp];
    return kWarpSize * ((int)thread.wait.value - has);
}

static bool enough_registers(const Thread &thread) {
    return registers_wanted(thread) <= hopper(*thread.block).free_registers;
}

static std::string registers_missing(const Thread &thread) {
    return format("the warp needs %d more registers, and %d are free", registers_wanted(thread),
                  hopper(*thread.block).free_registers);
}

static void take_registers(int n, Where where) {
    Thread &thread = self();
    Wait wait = {"registers_raise", where, registers_missing, nullptr, n};
    suspend_until(wait, enough_registers);
    HopperBlock &state = hopper(*thread.block);
    int &registers = state.registers[(size_t)thread.warp];
    state.free_registers -= kWarpSize * (n - registers);
    registers = n;
}

void registers_lower(int n, Where where) {
    Change change = {n, false};
    collective(kWarp, name_of(change), change_registers, &change, where);
}

void registers_raise(int n, Where where) {
    Change change = {n, true};
    collective(kWarp, name_of(change), change_registers, &change, where);
    if (self().lane == 0) take_registers(n, where);
    collective(
        kWarp, name_of(change), [](const Lanes &) {}, nullptr, where);
}

bool elect_one(Where where) {
    collective(
        kWarp, "elect_one", [](const Lanes &) {}, nullptr, where);
    uint64_t mixed = machine->config.seed * 0x9e3779b97f4a7c15u;
    return (uint64_t)self().lane == mixed >> 59;
}

} // namespace simt
