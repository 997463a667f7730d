// Asynchronous copies: waits that are missing, too weak, or not followed by a barrier.
#include "simt/negative/expect.h"

using namespace negative;

namespace {

enum class Wait { kNone, kOneTooFew, kRight, kRightNoBarrier };

// Two tiles of 64 float4, a group each; the sum of both is read by another thread.
template <Wait wait> __global__ void load(const float4 *in, float *out) {
    int t = (int)threadIdx.x;
    const float4 *tiles = (const float4 *)dynamic_shared();
    uint32_t address = shared_address(tiles);
    for (int i = 0; i < 2; i++) {
        cp_async_16(address + (uint32_t)(64 * i + t) * 16, in + 64 * i + t, true);
        cp_async_commit();
    }
    if (wait == Wait::kOneTooFew) cp_async_wait<1>();
    if (wait == Wait::kRight || wait == Wait::kRightNoBarrier) cp_async_wait<0>();
    if (wait != Wait::kRightNoBarrier) __syncthreads();
    out[t] = tiles[63 - t].x + tiles[127 - t].x;
    cp_async_wait<0>();
}

template <Wait wait> bool load_is_right() {
    Device<float4> in(128, float4{1, 0, 0, 0});
    Device<float> out(64);
    QN_LAUNCH(load<wait>, 1, 64, 128 * 16, 0, in.get(), out.get());
    for (int t = 0; t < 64; t++)
        if (out[t] != 2) return false;
    return true;
}

TEST(CpAsync, NotWaitedFor) {
    expect_race_and_harm("read", [] { return load_is_right<Wait::kNone>(); });
}
TEST(CpAsync, WaitedForOneGroupTooFew) {
    expect_race_and_harm("read", [] { return load_is_right<Wait::kOneTooFew>(); });
}
TEST(CpAsync, OthersNeedABarrier) {
    expect_race_and_harm("read", [] { return load_is_right<Wait::kRightNoBarrier>(); });
}
TEST(CpAsync, WaitAndBarrier) {
    expect_silent([] { return load_is_right<Wait::kRight>(); });
}

// The tile holds already what the copy brings: only NaNs in its place tell that it is in flight.
template <bool wait> __global__ void load_again(const float4 *in, float *out) {
    float4 *tile = (float4 *)dynamic_shared();
    uint32_t t = threadIdx.x;
    tile[t] = in[t];
    cp_async_16(shared_address(tile + t), in + t, true);
    cp_async_commit();
    if (wait) cp_async_wait<0>();
    out[t] = tile[t].x;
    cp_async_wait<0>();
}

template <bool wait> bool load_again_is_right() {
    Device<float4> in(32, float4{1, 0, 0, 0});
    Device<float> out(32);
    QN_LAUNCH(load_again<wait>, 1, 32, 512, 0, in.get(), out.get());
    return out[0] == 1 && out[31] == 1;
}

TEST(CpAsync, NotWaitedForOverTheSameData) {
    expect_race_and_harm("read", [] { return load_again_is_right<false>(); });
}
TEST(CpAsync, WaitedForOverTheSameData) {
    expect_silent([] { return load_again_is_right<true>(); });
}

template <bool wait> __global__ void leave(const float4 *in) {
    cp_async_16(shared_address(dynamic_shared()) + threadIdx.x * 16, in + threadIdx.x, true);
    cp_async_commit();
    if (wait) cp_async_wait<0>();
}

TEST(CpAsync, InFlightAtExit) {
    expect_reported("1 cp.async copies are in flight as the thread exits", [] {
        Device<float4> in(32);
        QN_LAUNCH(leave<false>, 1, 32, 512, 0, in.get());
        return true;
    });
}
TEST(CpAsync, DoneAtExit) {
    expect_silent([] {
        Device<float4> in(32);
        QN_LAUNCH(leave<true>, 1, 32, 512, 0, in.get());
        return true;
    });
}

// The source changes while it is copied, or after.
template <bool wait> __global__ void change_source(float4 *in, float *out) {
    const float4 *tile = (const float4 *)dynamic_shared();
    uint32_t t = threadIdx.x;
    cp_async_16(shared_address(tile + t), in + t, true);
    cp_async_commit();
    if (wait) cp_async_wait<0>();
    in[t].x = 5;
    cp_async_wait<0>();
    out[t] = tile[t].x;
}

template <bool wait> bool source_is_safe() {
    Device<float4> in(32, float4{1, 0, 0, 0});
    Device<float> out(32);
    QN_LAUNCH(change_source<wait>, 1, 32, 512, 0, in.get(), out.get());
    return out[0] == 1 && out[31] == 1;
}

TEST(CpAsync, SourceChangedInFlight) {
    expect_race_and_harm("write", [] { return source_is_safe<false>(); });
}
TEST(CpAsync, SourceChangedAfterwards) {
    expect_silent([] { return source_is_safe<true>(); });
}

__global__ void misalign(const uint8_t *in, uint32_t by_shared, uint32_t by_global) {
    cp_async_16(shared_address(dynamic_shared()) + by_shared, in + by_global, true);
    cp_async_commit();
    cp_async_wait<0>();
}

bool misaligned_copy(uint32_t by_shared, uint32_t by_global) {
    Device<uint8_t> in(64, 0);
    QN_LAUNCH(misalign, 1, 1, 64, 0, in.get(), by_shared, by_global);
    return true;
}

TEST(CpAsync, MisalignedDestination) {
    expect_reported("is not a multiple of 16", [] { return misaligned_copy(8, 0); });
}
TEST(CpAsync, MisalignedSource) {
    expect_reported("is not a multiple of 16", [] { return misaligned_copy(0, 8); });
}
TEST(CpAsync, DestinationOutOfBounds) {
    expect_reported("out of bounds", [] { return misaligned_copy(64, 0); });
}
TEST(CpAsync, SourceOutOfBounds) {
    expect_reported("out of bounds", [] { return misaligned_copy(0, 64); });
}
TEST(CpAsync, Aligned) {
    expect_silent([] { return misaligned_copy(48, 48); });
}

} // namespace
