// mbarriers: misuse, waits that are missing or for another phase, and what a deadlock says.
#include "cuda/prim/hopper.h"
#include "simt/negative/expect.h"

using namespace negative;

namespace {

// ---- misuse ------------------------------------------------------------------------------------

enum class Misuse {
    kNone,
    kNeverInitialised,
    kInitialisedTwice,
    kNoArrivals,
    kMisaligned,
    kOverwritten,
    kTooManyArrivals,
    kTooManyBytes,
    kParity,
};

__global__ void misuse(Misuse bug) {
    QN_SHARED(uint64_t, barriers, [2]);
    uint32_t at = shared_address(barriers);
    if (bug == Misuse::kMisaligned) at += 4;
    if (bug != Misuse::kNeverInitialised) mbarrier_init(at, bug == Misuse::kNoArrivals ? 0 : 1);
    if (bug == Misuse::kInitialisedTwice) mbarrier_init(at, 1);
    if (bug == Misuse::kOverwritten) barriers[0] = 0;
    if (bug == Misuse::kTooManyArrivals) {
        mbarrier_arrive_expect(at, 16);
        mbarrier_arrive(at);
    }
    if (bug == Misuse::kTooManyBytes) mbarrier_arrive_expect(at, 1 << 20);
    mbarrier_arrive(at);
    mbarrier_wait(at, bug == Misuse::kParity ? 2 : 0);
}

template <Misuse bug> bool run_misuse() {
    QN_LAUNCH(misuse, 1, 1, 0, 0, bug);
    return true;
}

TEST(Mbarrier, Misuse) {
    expect_reported("was never initialised", run_misuse<Misuse::kNeverInitialised>);
    expect_reported("is in use", run_misuse<Misuse::kInitialisedTwice>);
    expect_reported("0 arrivals; expected 1 to 1048575", run_misuse<Misuse::kNoArrivals>);
    expect_reported("is not a multiple of 8", run_misuse<Misuse::kMisaligned>);
    expect_reported("was overwritten", run_misuse<Misuse::kOverwritten>);
    expect_reported("is for 1 arrivals a phase, and phase 0", run_misuse<Misuse::kTooManyArrivals>);
    expect_reported("expects 1048576 bytes", run_misuse<Misuse::kTooManyBytes>);
    expect_reported("parity 2; expected 0 or 1", run_misuse<Misuse::kParity>);
    expect_silent(run_misuse<Misuse::kNone>);
}

// Others use it before they can know that it was initialised.
template <bool barrier> __global__ void initialise() {
    QN_SHARED(uint64_t, arrived, );
    QN_SHARED(int, initialised, );
    uint32_t at = shared_address(&arrived);
    if (threadIdx.x == 0) {
        mbarrier_init(at, 64);
        atomicExch(&initialised, 1); // relaxed: orders nothing
    }
    if (barrier) __syncthreads();
    while (!barrier && atomicAdd(&initialised, 0) != 1) {
    }
    mbarrier_arrive(at);
    mbarrier_wait(at, 0);
}

template <bool barrier> bool run_initialise() {
    QN_LAUNCH(initialise<barrier>, 1, 64, 0, 0);
    return true;
}

TEST(Mbarrier, InitialisedWithoutABarrier) { expect_race("atomic", run_initialise<false>); }
TEST(Mbarrier, InitialisedBeforeABarrier) { expect_silent(run_initialise<true>); }

// ---- phases ------------------------------------------------------------------------------------

enum class Phases { kRight, kSameParity, kNoWait, kNoWaitForEmpty };

// A slot that thread 0 fills and warp 1 reads, step by step.
__global__ void hand_over(Phases bug, int *out) {
    QN_SHARED(int, slot, );
    QN_SHARED(uint64_t, barriers, [2]);
    uint32_t full = shared_address(&barriers[0]), empty = shared_address(&barriers[1]);
    if (threadIdx.x == 0) {
        mbarrier_init(full, 1);
        mbarrier_init(empty, 32);
    }
    __syncthreads();
    for (uint32_t s = 0; s < 4; s++) {
        if (threadIdx.x == 0) {
            if (bug != Phases::kNoWaitForEmpty) mbarrier_wait(empty, s % 2 ^ 1);
            slot = (int)s + 10;
            mbarrier_arrive(full);
        } else if (threadIdx.x >= 32) {
            if (bug != Phases::kNoWait) mbarrier_wait(full, bug == Phases::kSameParity ? 0 : s % 2);
            out[s * 32 + threadIdx.x - 32] = slot;
            mbarrier_arrive(empty);
        }
    }
}

template <Phases bug> bool run_hand_over() {
    Device<int> out(128, 0);
    QN_LAUNCH(hand_over, 1, 64, 0, 0, bug, out.get());
    for (int i = 0; i < 128; i++)
        if (out[i] != i / 32 + 10) return false;
    return true;
}

TEST(Mbarrier, WaitMissing) { expect_caught(run_hand_over<Phases::kNoWait>); }
TEST(Mbarrier, WaitForTheSameParityAgain) { expect_caught(run_hand_over<Phases::kSameParity>); }
TEST(Mbarrier, SlotFilledBeforeItIsEmpty) { expect_caught(run_hand_over<Phases::kNoWaitForEmpty>); }
TEST(Mbarrier, WaitsInTurn) { expect_silent(run_hand_over<Phases::kRight>); }

// A thread that waits for phase 1 when phase 2 has completed too.
template <bool late> __global__ void wait_late() {
    QN_SHARED(uint64_t, barrier, );
    uint32_t at = shared_address(&barrier);
    if (threadIdx.x == 0) mbarrier_init(at, 1);
    __syncthreads();
    if (threadIdx.x == 0) mbarrier_arrive(at);
    mbarrier_wait(at, 0);
    __syncthreads();
    if (threadIdx.x == 0) mbarrier_arrive(at);
    if (late && threadIdx.x == 0) {
        mbarrier_wait(at, 1);
        mbarrier_arrive(at);
    }
    if (late) __syncthreads();
    if (threadIdx.x == 32) mbarrier_wait(at, 1);
}

template <bool late> bool run_wait_late() {
    QN_LAUNCH(wait_late<late>, 1, 64, 0, 0);
    return true;
}

TEST(Mbarrier, WaitTwoPhasesLate) {
    expect_reported("it is for phase 1 of the mbarrier", run_wait_late<true>);
    expect_silent(run_wait_late<false>);
}

// ---- bytes
// ------------------------------------------------------------------------------------------

enum class Bytes { kRight, kTooMany, kTooFew, kNoArrival, kNoFence, kNoWait };

__global__ void load(Bytes bug, const float4 *in, float *out) {
    QN_SHARED(float4, tile, [32]);
    QN_SHARED(uint64_t, barrier, );
    uint32_t full = shared_address(&barrier);
    if (threadIdx.x == 0) {
        mbarrier_init(full, 1);
        if (bug != Bytes::kNoFence) mbarrier_init_fence();
        uint32_t bytes = bug == Bytes::kTooMany ? 528 : bug == Bytes::kTooFew ? 496 : 512;
        if (bug != Bytes::kNoArrival) mbarrier_arrive_expect(full, bytes);
        bulk_load(shared_address(tile), in, 512, full);
    }
    __syncthreads();
    if (bug != Bytes::kNoWait) mbarrier_wait(full, 0);
    out[threadIdx.x] = tile[31 - threadIdx.x].x;
    __syncthreads();
    mbarrier_wait(full, 0);
}

template <Bytes bug> bool run_load() {
    Device<float4> in(32, float4{3, 0, 0, 0});
    Device<float> out(32, 0);
    QN_LAUNCH(load, 1, 32, 0, 0, bug, in.get(), out.get());
    return out[0] == 3 && out[31] == 3;
}

TEST(Mbarrier, DeadlocksSayWhatIsMissing) {
    expect_reported("phase 0 lacks 0 of 1 arrivals and 16 bytes; waited for with parity 0",
                    run_load<Bytes::kTooMany>);
    expect_reported("phase 0 lacks 0 of 1 arrivals and -16 bytes", run_load<Bytes::kTooFew>);
    expect_reported("phase 0 lacks 1 of 1 arrivals and -512 bytes", run_load<Bytes::kNoArrival>);
}
TEST(Mbarrier, InitialisationNotFenced) {
    expect_reported("no mbarrier_init_fence followed", run_load<Bytes::kNoFence>);
}
TEST(Mbarrier, LoadNotWaitedFor) { expect_race_and_harm("read", run_load<Bytes::kNoWait>); }
TEST(Mbarrier, LoadWaitedFor) { expect_silent(run_load<Bytes::kRight>); }

template <bool wait> __global__ void leave(const float4 *in) {
    QN_SHARED(float4, tile, );
    QN_SHARED(uint64_t, barrier, );
    uint32_t full = shared_address(&barrier);
    mbarrier_init(full, 1);
    mbarrier_init_fence();
    mbarrier_arrive_expect(full, 16);
    bulk_load(shared_address(&tile), in, 16, full);
    if (wait) mbarrier_wait(full, 0);
}

template <bool wait> bool run_leave() {
    Device<float4> in(1, float4{});
    QN_LAUNCH(leave<wait>, 1, 1, 0, 0, in.get());
    return true;
}

TEST(Mbarrier, LoadInFlightAtExit) {
    expect_reported("no thread has waited for its last copies", run_leave<false>);
    expect_silent(run_leave<true>);
}

} // namespace
