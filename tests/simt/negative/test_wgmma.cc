// wgmma: operands that the async proxy does not see or that change in flight, registers used
// too early, warps that do not come along; and registers that warpgroups hand to each other.
#include "cuda/prim/hopper.h"
#include "simt/negative/expect.h"

using namespace negative;

namespace {

// ---- operands in shared memory ------------------------------------------------------------------

enum class Operands {
    kRight,
    kNoProxyFence,
    kNoBarrier,
    kWaitTooWeak,
    kNoWait,
    kNoFence,
    kChangedInFlight,
    kNoCommit
};

// Twice: b (K-major, no swizzle) becomes all `step + 1`, and d the sum of a row of a (all ones,
// in registers) times it.
__global__ void multiply(Operands bug, float *out) {
    QN_SHARED(uint16_t, b, [8 * 16]);
    int t = (int)threadIdx.x;
    const uint32_t ones[4] = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
    uint64_t descriptor = wgmma_descriptor(shared_address(b), 128, 128, WGMMA_PLAIN);
    float d[2][4] = {};
    for (int step = 0; step < 2; step++) {
        b[t] = to_bf16((float)(step + 1)).bits;
        if (bug != Operands::kNoProxyFence) fence_proxy_async();
        if (bug != Operands::kNoBarrier) __syncthreads();
        wgmma_pin(d[step]);
        if (bug != Operands::kNoFence) wgmma_fence();
        wgmma<8, 0>(d[step], ones, descriptor, false);
        if (bug != Operands::kNoCommit) wgmma_commit();
        if (bug == Operands::kChangedInFlight) d[step][1] = 0;
        if (bug == Operands::kWaitTooWeak)
            wgmma_wait<1>();
        else if (bug != Operands::kNoWait)
            wgmma_wait<0>();
        wgmma_pin(d[step]);
        out[128 * step + t] = d[step][0];
        __syncthreads();
    }
    wgmma_wait<0>();
}

template <Operands bug> bool run_multiply() {
    Device<float> out(256, 0);
    QN_LAUNCH(multiply, 1, 128, 0, 0, bug, out.get());
    for (int i = 0; i < 256; i++)
        if (out[i] != (float)(16 * (i / 128 + 1))) return false;
    return true;
}

TEST(Wgmma, OperandNotFenced) {
    expect_race("read by an asynchronous copy", run_multiply<Operands::kNoProxyFence>);
}
TEST(Wgmma, OperandOfOtherWarpsWithoutABarrier) {
    expect_race_and_harm("", run_multiply<Operands::kNoBarrier>);
}
// The first step's product may still read b when the second step writes it.
TEST(Wgmma, WaitTooWeak) { expect_race_and_harm("write", run_multiply<Operands::kWaitTooWeak>); }
TEST(Wgmma, OperandChangedInFlight) {
    expect_race_and_harm("write", run_multiply<Operands::kNoWait>);
}
TEST(Wgmma, NoFence) { expect_reported("no wgmma_fence since", run_multiply<Operands::kNoFence>); }
TEST(Wgmma, RegistersChangedInFlight) {
    expect_reported("d[1] of lane 0 was changed", run_multiply<Operands::kChangedInFlight>);
}
TEST(Wgmma, NotCommitted) {
    expect_reported("2 products are in flight as the thread exits",
                    run_multiply<Operands::kNoCommit>);
}
TEST(Wgmma, FencedCommittedAndWaitedFor) { expect_silent(run_multiply<Operands::kRight>); }

// d is read before the product is waited for: NaNs, whatever the mode.
__global__ void read_early(float *out) {
    QN_SHARED(uint4, b, [16]);
    if (threadIdx.x < 16) b[threadIdx.x] = make_uint4(0, 0, 0, 0);
    fence_proxy_async();
    __syncthreads();
    const uint32_t a[4] = {};
    float d[4];
    wgmma_fence();
    wgmma<8, 0>(d, a, wgmma_descriptor(shared_address(b), 128, 128, WGMMA_PLAIN), false);
    wgmma_commit();
    out[threadIdx.x] = d[0];
    wgmma_wait<0>();
}

TEST(Wgmma, RegistersReadInFlight) {
    Outcome outcome = try_schedules([] {
        Device<float> out(128, 0);
        QN_LAUNCH(read_early, 1, 128, 0, 0, out.get());
        return out[0] == 0;
    });
    EXPECT_EQ(outcome.wrong, kSchedules);
}

// ---- two warpgroups and one buffer
// ------------------------------------------------------------------

// Each warpgroup brings its own b into the same buffer.
template <bool in_turn> __global__ void share(float *out) {
    QN_SHARED(uint16_t, b, [8 * 16]);
    int group = (int)threadIdx.x / 128, t = (int)threadIdx.x % 128;
    const uint32_t ones[4] = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
    float d[4];
    if (in_turn && group == 1) barrier_sync(3, 256);
    b[t] = to_bf16((float)(group + 1)).bits;
    fence_proxy_async();
    barrier_sync(1 + group, 128);
    wgmma_fence();
    wgmma<8, 0>(d, ones, wgmma_descriptor(shared_address(b), 128, 128, WGMMA_PLAIN), false);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(d);
    if (in_turn && group == 0) barrier_arrive(3, 256);
    out[threadIdx.x] = d[0];
}

template <bool in_turn> bool run_share() {
    Device<float> out(256, 0);
    QN_LAUNCH(share<in_turn>, 1, 256, 0, 0, out.get());
    for (int i = 0; i < 256; i++)
        if (out[i] != (float)(16 * (i / 128 + 1))) return false;
    return true;
}

TEST(Wgmma, WarpgroupsShareABuffer) { expect_race_and_harm("", run_share<false>); }
TEST(Wgmma, WarpgroupsTakeTurns) { expect_silent(run_share<true>); }

// ---- arguments
// ----------------------------------------------------------------------------------------

enum class Bad {
    kNone,
    kLaneDescriptor,
    kWarpDescriptor,
    kAccumulate,
    kBaseOffset,
    kReserved,
    kAtom,
    kBounds,
    kWarpMissing,
    kOverlap
};

__global__ void issue(Bad bug) {
    QN_SHARED(uint4, memory, [256]);
    for (uint32_t i = threadIdx.x; i < 256; i += blockDim.x) memory[i] = make_uint4(0, 0, 0, 0);
    fence_proxy_async();
    __syncthreads();
    uint32_t b = (shared_address(memory) + 1023u) & ~1023u;
    wgmma_swizzle swizzle = bug == Bad::kAtom ? WGMMA_128B : WGMMA_PLAIN;
    if (bug == Bad::kAtom) b += 256;
    if (bug == Bad::kBounds) b += 8192;
    uint64_t descriptor = wgmma_descriptor(b, 128, 128, swizzle);
    if (bug == Bad::kLaneDescriptor && threadIdx.x == 7) descriptor += 8;
    if (bug == Bad::kWarpDescriptor && threadIdx.x / 32 == 2) descriptor += 8;
    if (bug == Bad::kBaseOffset) descriptor |= (uint64_t)1 << 49;
    if (bug == Bad::kReserved) descriptor |= (uint64_t)1 << 47;
    const uint32_t a[4] = {};
    float d[8] = {};
    float(&first)[4] = *(float(*)[4])d, (&second)[4] = *(float(*)[4])(d + 2);
    wgmma_fence();
    if (bug == Bad::kWarpMissing && threadIdx.x / 32 == 3) return;
    wgmma<8, 0>(first, a, descriptor, bug == Bad::kAccumulate && threadIdx.x == 1);
    if (bug == Bad::kOverlap) wgmma<8, 0>(second, a, descriptor, false);
    wgmma_commit();
    wgmma_wait<0>();
}

template <Bad bug, int threads = 128> bool run_issue() {
    QN_LAUNCH(issue, 1, threads, 0, 0, bug);
    return true;
}

TEST(Wgmma, Arguments) {
    expect_reported("lane 7 has other descriptors than lane 0", run_issue<Bad::kLaneDescriptor>);
    expect_reported("with other arguments", run_issue<Bad::kWarpDescriptor>);
    expect_reported("`accumulate` of lane 1 differs", run_issue<Bad::kAccumulate>);
    expect_reported("base offset 1", run_issue<Bad::kBaseOffset>);
    expect_reported("reserved bits", run_issue<Bad::kReserved>);
    expect_reported("after which its swizzle repeats", run_issue<Bad::kAtom>);
    expect_reported("out of bounds", run_issue<Bad::kBounds>);
    expect_reported("only 3 of the four warps", run_issue<Bad::kWarpMissing>);
    expect_reported("its d overlaps", run_issue<Bad::kOverlap>);
    expect_reported("the block's 96 threads do not fill warpgroup 0", run_issue<Bad::kNone, 96>);
    expect_silent(run_issue<Bad::kNone>);
}

// ---- registers
// -------------------------------------------------------------------------------------------

enum class Registers { kRight, kNotGivenUp, kTooFew, kOdd, kRaisedDown, kOneWarp };

template <Registers bug> __global__ void change_registers() {
    constexpr bool given_up = bug != Registers::kNotGivenUp;
    if (threadIdx.x < 128) {
        if (bug == Registers::kTooFew) registers_lower<16>();
        if (bug == Registers::kOdd) registers_lower<28>();
        if (bug == Registers::kRaisedDown) registers_raise<40>();
        if (bug == Registers::kOneWarp && threadIdx.x >= 32) return;
        if (given_up) registers_lower<24>();
    } else {
        registers_raise<240>();
    }
}

template <Registers bug> bool run_change() {
    QN_LAUNCH(change_registers<bug>, 1, 384, 0, 0);
    return true;
}

TEST(Registers, Misuse) {
    expect_reported("the warp needs 2304 more registers, and", run_change<Registers::kNotGivenUp>);
    expect_reported("16 registers; expected", run_change<Registers::kTooFew>);
    expect_reported("28 registers; expected", run_change<Registers::kOdd>);
    expect_reported("to 40 registers, but a thread has 168", run_change<Registers::kRaisedDown>);
    expect_reported("", run_change<Registers::kOneWarp>);
    expect_silent(run_change<Registers::kRight>);
}

} // namespace
