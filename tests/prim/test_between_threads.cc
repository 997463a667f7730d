// Named barriers, additions and semaphores: between warps, and between blocks.
#include "prim/device.h"

namespace {

// Warps 0 and 1 hand values to warps 2 and 3 through two slots: barriers 1 and 2 say that a slot
// is full, 3 and 4 that it is free again.
__global__ void hand_over(int *out, int n_rounds) {
    QN_SHARED(int, slots, [2][64]);
    int t = (int)threadIdx.x;
    if (t < 64) {
        for (int i = 0; i < n_rounds; i++) {
            int s = i % 2;
            if (i >= 2) barrier_sync(3 + s, 128);
            slots[s][t] = 1000 * i + t;
            barrier_arrive(1 + s, 128);
        }
    } else {
        for (int i = 0; i < n_rounds; i++) {
            int s = i % 2;
            barrier_sync(1 + s, 128);
            out[i * 64 + t - 64] = slots[s][127 - t];
            if (i + 2 < n_rounds) barrier_arrive(3 + s, 128);
        }
    }
}

TEST(NamedBarriers, ProducersAndConsumers) {
    prim::for_each_schedule([] {
        const int n_rounds = 7;
        prim::Array<int> out(n_rounds * 64);
        QN_LAUNCH(hand_over, 1, 128, 0, 0, out.get(), n_rounds);
        ASSERT_TRUE(prim::finished());
        std::vector<int> result = out.values();
        for (int i = 0; i < n_rounds; i++)
            for (int t = 0; t < 64; t++) ASSERT_EQ(result[i * 64 + t], 1000 * i + 63 - t);
    });
}

// Two halves of a block, each at a barrier of its own.
__global__ void halves(int *out) {
    QN_SHARED(int, values, [128]);
    int t = (int)threadIdx.x, half = t / 64;
    values[t] = t;
    barrier_sync(half ? 15 : 7, 64);
    out[t] = values[half * 64 + 63 - t % 64];
}

TEST(NamedBarriers, HalvesOfABlock) {
    prim::for_each_schedule([] {
        prim::Array<int> out(128);
        QN_LAUNCH(halves, 1, 128, 0, 0, out.get());
        ASSERT_TRUE(prim::finished());
        std::vector<int> result = out.values();
        for (int t = 0; t < 128; t++) ASSERT_EQ(result[t], t / 64 * 64 + 63 - t % 64);
    });
}

__global__ void add(float *sums) { reduce_add(&sums[threadIdx.x % 4], 1.0f); }

TEST(ReduceAdd, LosesNothing) {
    prim::for_each_schedule([] {
        prim::Array<float> sums(std::vector<float>(4, 0.5f));
        QN_LAUNCH(add, 6, 96, 0, 0, sums.get());
        ASSERT_TRUE(prim::finished());
        for (float sum : sums.values()) ASSERT_EQ(sum, 0.5f + 6 * 24);
    });
}

// sum ← 2·sum + block, by the blocks in order. The order shows in the result.
__global__ void take_turns(float *sums, int32_t *turn) {
    if (threadIdx.x == 0) semaphore_wait(turn, (int32_t)blockIdx.x);
    __syncthreads();
    sums[threadIdx.x] = 2 * sums[threadIdx.x] + (float)blockIdx.x;
    __syncthreads();
    if (threadIdx.x == 0) semaphore_release(turn, (int32_t)blockIdx.x + 1);
}

TEST(Semaphores, OrderBlocks) {
    prim::for_each_schedule([] {
        const int n_blocks = 12;
        prim::Array<float> sums(std::vector<float>(96, 0.0f));
        prim::Array<int32_t> turn(std::vector<int32_t>(1, 0));
        QN_LAUNCH(take_turns, n_blocks, 96, 0, 0, sums.get(), turn.get());
        ASSERT_TRUE(prim::finished());
        float expected = 0;
        for (int b = 0; b < n_blocks; b++) expected = 2 * expected + (float)b;
        for (float sum : sums.values()) ASSERT_EQ(sum, expected);
        ASSERT_EQ(turn.values()[0], n_blocks);
    });
}

} // namespace
