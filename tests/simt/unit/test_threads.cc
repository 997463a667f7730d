// Threads, blocks, barriers and collectives compute what CUDA says they do, in every order.
#include <gtest/gtest.h>

#include <vector>

#include "cuda/prim/prim.h"
#include "simt/sweep.h"

namespace {

__global__ void write_indices(int *out) {
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    unsigned n_threads = blockDim.x * blockDim.y * blockDim.z;
    out[block * n_threads + thread] = (int)(block * n_threads + thread);
}

TEST(Threads, EachRunsOnceWithItsIndices) {
    simt::for_each_schedule(4, [] {
        std::vector<int> out(3 * 2 * 2 * 5 * 3 * 3, -1);
        QN_LAUNCH(write_indices, dim3(3, 2, 2), dim3(5, 3, 3), 0, 0, out.data());
        for (size_t i = 0; i < out.size(); i++) ASSERT_EQ(out[i], (int)i);
    });
}

__global__ void reverse(int *out) {
    QN_SHARED(int, values, [256]);
    QN_SHARED(int, offset, );
    int t = (int)threadIdx.x;
    if (t == 0) offset = 1000 * (int)blockIdx.x;
    values[t] = t;
    __syncthreads();
    out[blockIdx.x * 256 + threadIdx.x] = values[255 - t] + offset;
}

TEST(Threads, SharedMemoryBelongsToABlock) {
    simt::for_each_schedule(8, [] {
        std::vector<int> out(5 * 256);
        QN_LAUNCH(reverse, 5, 256, 0, 0, out.data());
        for (int i = 0; i < 5 * 256; i++) ASSERT_EQ(out[i], 255 - i % 256 + 1000 * (i / 256));
    });
}

__global__ void shuffles(int *out) {
    int l = (int)threadIdx.x, *mine = out + 6 * l;
    mine[0] = __shfl_sync(~0u, l, 5);
    mine[1] = __shfl_sync(~0u, l, 3, 8);
    mine[2] = __shfl_xor_sync(~0u, l, 9);
    mine[3] = __shfl_up_sync(~0u, l, 3, 16);
    mine[4] = __shfl_down_sync(~0u, l, 3, 16);
    mine[5] = (int)__ballot_sync(~0u, l % 3 == 0);
}

TEST(Threads, ShufflesAndVotes) {
    simt::for_each_schedule(4, [] {
        std::vector<int> out(32 * 6);
        QN_LAUNCH(shuffles, 1, 32, 0, 0, out.data());
        for (int l = 0; l < 32; l++) {
            EXPECT_EQ(out[6 * l], 5);
            EXPECT_EQ(out[6 * l + 1], l / 8 * 8 + 3);
            EXPECT_EQ(out[6 * l + 2], l ^ 9);
            EXPECT_EQ(out[6 * l + 3], l % 16 >= 3 ? l - 3 : l);
            EXPECT_EQ(out[6 * l + 4], l % 16 < 13 ? l + 3 : l);
            EXPECT_EQ(out[6 * l + 5], 0x49249249);
        }
    });
}

__global__ void masked_halves(int *out) {
    int l = (int)threadIdx.x;
    uint32_t mask = l < 16 ? 0x0000ffffu : 0xffff0000u;
    if (l < 16) {
        out[l] = __shfl_xor_sync(mask, l, 1);
    } else {
        __syncwarp(mask);
        out[l] = __shfl_xor_sync(mask, l, 2);
    }
}

TEST(Threads, MasksSplitAWarp) {
    simt::for_each_schedule(4, [] {
        std::vector<int> out(32);
        QN_LAUNCH(masked_halves, 1, 32, 0, 0, out.data());
        for (int l = 0; l < 32; l++) EXPECT_EQ(out[l], l < 16 ? l ^ 1 : l ^ 2);
    });
}

__global__ void add_all(float *sum, int *largest, int *tickets) {
    atomicAdd(sum, 1);
    atomicMax(largest, (int)(blockIdx.x * blockDim.x + threadIdx.x));
    int ticket = atomicAdd(&tickets[0], 1);
    tickets[1 + ticket] = 1;
}

TEST(Threads, AtomicsLoseNothing) {
    simt::for_each_schedule(4, [] {
        float sum = 0;
        int largest = -1;
        std::vector<int> tickets(1 + 4 * 96);
        QN_LAUNCH(add_all, 4, 96, 0, 0, &sum, &largest, tickets.data());
        EXPECT_EQ(sum, 4 * 96);
        EXPECT_EQ(largest, 4 * 96 - 1);
        for (size_t i = 1; i < tickets.size(); i++) ASSERT_EQ(tickets[i], 1);
    });
}

} // namespace
