#include "simt/mbarrier.h"

#include <algorithm>
#include <cstring>

#include "simt/async_proxy.h"
#include "simt/mbarrier_copies.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/shared_window.h"
#include "simt/text.h"

namespace simt {

static constexpr uint32_t kBytes = 8, kMostArrivals = (1u << 20) - 1;
static constexpr int64_t kMostBytes = (1 << 20) - 1;

// ---- what lies in its 8 bytes ---------------------------------------------------------------

static uint64_t mark_of(uint32_t address) { return 0x6d62617272696572u ^ address; }

static bool overwritten(const Block &block, const Mbarrier &barrier) {
    uint64_t mark;
    memcpy(&mark, block.shared + barrier.address, sizeof mark);
    return mark != mark_of(barrier.address);
}

Mbarrier &find_mbarrier(Thread &thread, uint32_t address, const char *operation, Where where) {
    Block &block = *thread.block;
    uint8_t *bytes = shared_bytes(block, address, kBytes, kBytes, operation, where);
    auto at = hopper(block).mbarriers.find(address);
    if (at == hopper(block).mbarriers.end())
        fail_at(where, operation, format("the mbarrier at 0x%x was never initialised", address));
    Mbarrier &barrier = at->second;
    if (overwritten(block, barrier))
        fail_at(where, operation,
                format("the mbarrier at 0x%x, initialised at %s, was overwritten", address,
                       to_string(barrier.where).c_str()));
    check_access(thread, bytes, kBytes, Access::kAtomic, where);
    return barrier;
}

// ---- initialisation ---------------------------------------------------------------------------

void mbarrier_init(uint32_t address, uint32_t count, Where where) {
    Thread &thread = self();
    Block &block = *thread.block;
    uint8_t *bytes = shared_bytes(block, address, kBytes, kBytes, "mbarrier_init", where);
    if (count < 1 || count > kMostArrivals)
        fail_at(where, "mbarrier_init",
                format("%u arrivals; expected 1 to %u", count, kMostArrivals));
    Mbarrier barrier = {};
    barrier.address = address;
    barrier.where = where;
    barrier.initialiser = &thread;
    barrier.count = barrier.pending = count;
    barrier.copy_phase = -1;
    barrier.waited_phase = kNeverWaited;
    barrier.waited.assign((size_t)block.n_threads, kNeverWaited);
    auto [at, is_new] = hopper(block).mbarriers.emplace(address, std::move(barrier));
    if (!is_new)
        fail_at(where, "mbarrier_init",
                format("the mbarrier at 0x%x, initialised at %s, is in use", address,
                       to_string(at->second.where).c_str()));
    check_access(thread, bytes, kBytes, Access::kWrite, where);
    uint64_t mark = mark_of(address);
    memcpy(bytes, &mark, sizeof mark);
}

void mbarrier_init_fence() {
    Thread &thread = self();
    for (auto &[address, barrier] : hopper(*thread.block).mbarriers)
        if (barrier.initialiser == &thread) barrier.initialiser = nullptr;
}

void fence_proxy_async() {
    mbarrier_init_fence();
    publish_to_async_proxy(self());
}

// ---- phases -------------------------------------------------------------------------------------

static void complete_phase_perhaps(Mbarrier &barrier) {
    if (barrier.pending || barrier.bytes) return;
    barrier.phase++;
    barrier.pending = barrier.count;
    if (race_enabled()) barrier.completed = barrier.arrived.result();
    for (Thread *thread : barrier.waiting) make_ready(*thread);
    barrier.waiting.clear();
}

void mbarrier_arrive(uint32_t address, uint32_t bytes, Where where) {
    Thread &thread = self();
    Mbarrier &barrier = find_mbarrier(thread, address, "mbarrier_arrive", where);
    if (!barrier.pending)
        fail_at(where, "mbarrier_arrive",
                format("the mbarrier at 0x%x is for %u arrivals a phase, and phase %lld, which "
                       "still waits for %lld bytes, has had them",
                       address, barrier.count, (long long)barrier.phase, (long long)barrier.bytes));
    if (barrier.bytes + bytes > kMostBytes)
        fail_at(where, "mbarrier_arrive",
                format("phase %lld expects %lld bytes; at most %lld are possible",
                       (long long)barrier.phase, (long long)(barrier.bytes + bytes),
                       (long long)kMostBytes));
    release(thread, barrier.arrived);
    barrier.pending--;
    barrier.bytes += bytes;
    complete_phase_perhaps(barrier);
    perhaps_yield(where);
}

// ---- waiting
// --------------------------------------------------------------------------------------

static std::string state_of(const Mbarrier &barrier) {
    return format("the mbarrier at 0x%x, initialised at %s: phase %lld lacks %u of %u arrivals "
                  "and %lld bytes",
                  barrier.address, to_string(barrier.where).c_str(), (long long)barrier.phase,
                  barrier.pending, barrier.count, (long long)barrier.bytes);
}

static std::string phase_wanted(const Thread &thread) {
    const Mbarrier &barrier = *(const Mbarrier *)thread.wait.object;
    std::string text =
        state_of(barrier) + format("; waited for with parity %lld", (long long)thread.wait.value);
    int64_t last = barrier.waited[(size_t)thread.linear];
    if (last >= 0) text += format("; its last wait was for phase %lld", (long long)last);
    return text;
}

[[noreturn]] static void fail_late(const Mbarrier &barrier, int64_t phase, Where where) {
    fail_at(where, "mbarrier_wait",
            format("it is for phase %lld of the mbarrier at 0x%x, but phase %lld has completed "
                   "too: their parity is the same, and the wait would last another phase",
                   (long long)phase, barrier.address, (long long)phase + 1));
}

// Threads wait for phases in turn: this one waits for the phase after that of its last wait,
// by parity, or for the same again.
static void check_in_time(const Mbarrier &barrier, const Thread &thread, uint32_t parity,
                          Where where) {
    int64_t last = barrier.waited[(size_t)thread.linear];
    if (last == kNeverWaited || ((last + 1) & 1) != parity) return;
    if (barrier.phase > last + 2) fail_late(barrier, last + 1, where);
}

void mbarrier_wait(uint32_t address, uint32_t parity, Where where) {
    Thread &thread = self();
    perhaps_yield(where);
    Mbarrier &barrier = find_mbarrier(thread, address, "mbarrier_wait", where);
    if (parity > 1) fail_at(where, "mbarrier_wait", format("parity %u; expected 0 or 1", parity));
    check_in_time(barrier, thread, parity, where);
    bool in_progress = (barrier.phase & 1) == parity;
    int64_t phase = in_progress ? barrier.phase : barrier.phase - 1;
    if (in_progress) {
        barrier.waiting.push_back(&thread);
        suspend(Wait{"mbarrier_wait", where, phase_wanted, &barrier, parity});
    }
    if (barrier.phase > phase + 1) fail_late(barrier, phase, where);
    barrier.waited[(size_t)thread.linear] = phase;
    barrier.waited_phase = std::max(barrier.waited_phase, phase);
    acquire(thread, barrier.completed);
}

// ---- copies
// -----------------------------------------------------------------------------------------

Mbarrier &mbarrier_of_copy(Thread &thread, uint32_t address, const char *operation, Where where) {
    Mbarrier &barrier = find_mbarrier(thread, address, operation, where);
    if (barrier.initialiser)
        fail_at(where, operation,
                format("the async proxy may not see that the mbarrier at 0x%x was initialised: "
                       "no mbarrier_init_fence followed, at %s",
                       address, to_string(barrier.where).c_str()));
    barrier.copy_phase = barrier.phase;
    return barrier;
}

void complete_bytes(Mbarrier &barrier, const Block &block, uint32_t bytes, uint32_t epoch) {
    add_completion(barrier.arrived, block, barrier.copies, epoch);
    barrier.bytes -= bytes;
    complete_phase_perhaps(barrier);
}

void check_mbarriers_done(Block &block) {
    for (const auto &[address, barrier] : hopper(block).mbarriers) {
        bool unseen = barrier.copy_phase >= 0 && barrier.copy_phase > barrier.waited_phase;
        if (!unseen && !barrier.bytes) continue;
        fail(format("block %s exits, and no thread has waited for its last copies: ",
                    to_string(block.index).c_str()) +
             state_of(barrier));
    }
}

} // namespace simt
