// Races in shared memory: a synchronisation that is missing, or too weak.
#include "simt/negative/expect.h"

using namespace negative;

namespace {

enum class Sync { kNone, kShuffle, kWarp, kBlock, kArriveOnly };

template <Sync sync> __device__ void synchronize() {
    if (sync == Sync::kShuffle) (void)__shfl_xor_sync(~0u, 0, 1);
    if (sync == Sync::kWarp) __syncwarp();
    if (sync == Sync::kBlock) __syncthreads();
    if (sync == Sync::kArriveOnly) {
        if (threadIdx.x < 32)
            barrier_sync(1, 64);
        else
            barrier_arrive(1, 64);
    }
}

// Each thread reads what another one wrote, `distance` away.
template <Sync sync> __global__ void exchange(int *out, int distance) {
    QN_SHARED(int, values, [64]);
    int t = (int)threadIdx.x;
    values[t] = t;
    synchronize<sync>();
    out[t] = values[t ^ distance];
}

template <Sync sync> bool exchange_is_right(int distance) {
    Device<int> out(64);
    QN_LAUNCH(exchange<sync>, 1, 64, 0, 0, out.get(), distance);
    for (int t = 0; t < 64; t++)
        if (out[t] != (t ^ distance)) return false;
    return true;
}

TEST(SharedRaces, MissingSyncthreads) {
    expect_race_and_harm("read", [] { return exchange_is_right<Sync::kNone>(32); });
}
TEST(SharedRaces, SyncwarpIsTooWeakForABlock) {
    expect_race_and_harm("read", [] { return exchange_is_right<Sync::kWarp>(32); });
}
TEST(SharedRaces, SyncthreadsOrdersABlock) {
    expect_silent([] { return exchange_is_right<Sync::kBlock>(32); });
}
TEST(SharedRaces, MissingSyncwarp) {
    expect_race_and_harm("read", [] { return exchange_is_right<Sync::kNone>(1); });
}
TEST(SharedRaces, AShuffleOrdersNoMemory) {
    expect_race("read", [] { return exchange_is_right<Sync::kShuffle>(1); });
}
TEST(SharedRaces, SyncwarpOrdersAWarp) {
    expect_silent([] { return exchange_is_right<Sync::kWarp>(1); });
}
TEST(SharedRaces, WhoOnlyArrivesAtABarrierLearnsNothing) {
    expect_race("read", [] { return exchange_is_right<Sync::kArriveOnly>(32); });
}

// The first warp writes, the second reads: an arrival is enough for that.
__global__ void produce(int *out) {
    QN_SHARED(int, values, [32]);
    int t = (int)threadIdx.x;
    if (t < 32) {
        values[t] = t;
        barrier_arrive(1, 64);
    } else {
        barrier_sync(1, 64);
        out[t - 32] = values[t - 32];
    }
}

TEST(SharedRaces, WhoWaitsAtABarrierKnowsWhatArrivalsPublish) {
    expect_silent([] {
        Device<int> out(32);
        QN_LAUNCH(produce, 1, 64, 0, 0, out.get());
        for (int t = 0; t < 32; t++)
            if (out[t] != t) return false;
        return true;
    });
}

// A tile used twice: the second write must wait for the readers of the first.
template <bool wait_for_readers> __global__ void refill(int *out) {
    QN_SHARED(int, tile, [64]);
    int t = (int)threadIdx.x, sum = 0;
    for (int i = 0; i < 3; i++) {
        tile[t] = i;
        __syncthreads();
        sum += tile[63 - t];
        if (wait_for_readers) __syncthreads();
    }
    out[t] = sum;
}

template <bool wait_for_readers> bool refill_is_right() {
    Device<int> out(64);
    QN_LAUNCH(refill<wait_for_readers>, 1, 64, 0, 0, out.get());
    for (int t = 0; t < 64; t++)
        if (out[t] != 3) return false;
    return true;
}

TEST(SharedRaces, OverwrittenBeforeAllHaveRead) {
    expect_race_and_harm("write", [] { return refill_is_right<false>(); });
}
TEST(SharedRaces, OverwrittenAfterAllHaveRead) {
    expect_silent([] { return refill_is_right<true>(); });
}

// Neighbouring bytes are not the same byte.
__global__ void write_bytes(uint8_t *out) {
    QN_SHARED(uint8_t, bytes, [64]);
    bytes[threadIdx.x] = (uint8_t)threadIdx.x;
    out[threadIdx.x] = bytes[threadIdx.x];
}

TEST(SharedRaces, NeighboursDoNotRace) {
    expect_silent([] {
        Device<uint8_t> out(64);
        QN_LAUNCH(write_bytes, 1, 64, 0, 0, out.get());
        return out[63] == 63;
    });
}

} // namespace
