// Bulk copies without a map: stores, additions, and the two kinds of waiting for them.
#include "cuda/prim/hopper.h"
#include "prim/device.h"

namespace {

constexpr int kChunk = 256, kChunks = 5; // floats

__device__ void fill(float *buffer, float value) {
    for (int i = (int)threadIdx.x; i < kChunk; i += (int)blockDim.x) buffer[i] = value + (float)i;
    fence_proxy_async();
    __syncthreads();
}

// Chunk after chunk through one buffer, which may be written again once it has been read.
__global__ void store_chunks(float *out) {
    QN_SHARED(float4, buffer, [kChunk / 4]);
    for (int c = 0; c < kChunks; c++) {
        fill((float *)buffer, (float)(1000 * c));
        if (threadIdx.x == 0) {
            bulk_store(out + c * kChunk, shared_address(buffer), kChunk * 4);
            bulk_commit();
            bulk_wait_read<0>();
        }
        __syncthreads();
    }
}

TEST(Bulk, Stores) {
    prim::for_each_schedule([] {
        prim::Array<float> out(kChunks * kChunk);
        QN_LAUNCH(store_chunks, 1, 64, 0, 0, out.get());
        ASSERT_TRUE(prim::finished());
        std::vector<float> values = out.values();
        for (int i = 0; i < kChunks * kChunk; i++)
            ASSERT_EQ(values[(size_t)i], (float)(1000 * (i / kChunk) + i % kChunk));
    });
}

// Two buffers in turn, one group in flight; what landed is read back by another thread.
__global__ void add_chunks(float *sum, float *seen) {
    QN_SHARED(float4, buffers, [2][kChunk / 4]);
    for (int c = 0; c < kChunks; c++) {
        fill((float *)buffers[c % 2], (float)(c + 1));
        if (threadIdx.x == 0) {
            bulk_reduce_add_f32(sum, shared_address(buffers[c % 2]), kChunk * 4);
            bulk_commit();
            bulk_wait_read<1>();
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) bulk_wait<0>();
    __syncthreads();
    if (blockIdx.x == 0 && gridDim.x == 1)
        for (int i = (int)threadIdx.x; i < kChunk; i += 64) seen[i] = sum[i];
}

TEST(Bulk, AdditionsLand) {
    prim::for_each_schedule([] {
        prim::Array<float> sum(std::vector<float>(kChunk, 0.5f)), seen(kChunk);
        QN_LAUNCH(add_chunks, 1, 64, 0, 0, sum.get(), seen.get());
        ASSERT_TRUE(prim::finished());
        std::vector<float> values = seen.values();
        for (int i = 0; i < kChunk; i++)
            ASSERT_EQ(values[(size_t)i], 0.5f + (float)(15 + 5 * i)); // 1 + … + 5 = 15
    });
}

TEST(Bulk, AdditionsOfBlocksLoseNothing) {
    prim::for_each_schedule([] {
        prim::Array<float> sum(std::vector<float>(kChunk, 0)), seen(kChunk);
        QN_LAUNCH(add_chunks, 6, 64, 0, 0, sum.get(), seen.get());
        ASSERT_TRUE(prim::finished());
        std::vector<float> values = sum.values();
        for (int i = 0; i < kChunk; i++) ASSERT_EQ(values[(size_t)i], (float)(6 * (15 + 5 * i)));
    });
}

} // namespace
