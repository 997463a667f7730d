// What warps of a specialised kernel use: registers handed on, one lane elected; and chains of
// products with groups in flight.
#include "cuda/prim/hopper.h"
#include "prim/device.h"

namespace {

// Three warpgroups of at most 168 registers a thread: 24 + 240 + 240.
__global__ void __launch_bounds__(384, 1) hand_registers_on(int *out) {
    int elected = 0;
    if (threadIdx.x < 128) {
        registers_lower<24>();
        elected = elect_one();
    } else {
        registers_raise<240>();
        elected = elect_one();
    }
    out[threadIdx.x] = elected;
}

TEST(Warpgroup, RegistersAndElection) {
    prim::for_each_schedule([] {
        prim::Array<int> out(384);
        QN_LAUNCH(hand_registers_on, 1, 384, 0, 0, out.get());
        ASSERT_TRUE(prim::finished());
        std::vector<int> elected = out.values();
        for (size_t warp = 0; warp < 12; warp++) {
            int n = 0;
            for (size_t lane = 0; lane < 32; lane++) n += elected[warp * 32 + lane];
            EXPECT_EQ(n, 1) << "warp " << warp;
        }
    });
}

// d += (x at (i, i), 0 elsewhere)·b for x = 1, 2, …: a in registers, b = all ones, K-major
// without swizzle. Groups of two products, two accumulators in turn, one group in flight.
__device__ void diagonal(uint32_t (&a)[4], float x) {
    int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
    float low = 2 * t == g ? x : 0, high = 2 * t + 1 == g ? x : 0;
    a[0] = pack_bf16(low, high);
    a[1] = a[2] = 0;
    a[3] = pack_bf16(low, high);
}

__device__ void add_group(float (&d)[4], int group, uint64_t b) {
    uint32_t first[4], second[4];
    diagonal(first, (float)(group + 1));
    diagonal(second, 10);
    wgmma_pin(d);
    wgmma_fence();
    wgmma<8, 0>(d, first, b, group > 1);
    wgmma<8, 0>(d, second, b, true);
    wgmma_commit();
}

__global__ void groups_in_flight(float *out) {
    QN_SHARED(uint4, ones, [16]);
    if (threadIdx.x < 16)
        ones[threadIdx.x] = make_uint4(0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u);
    fence_proxy_async();
    __syncthreads();
    uint64_t b = wgmma_descriptor(shared_address(ones), 128, 128, WGMMA_PLAIN);
    float even[4], odd[4];
    add_group(even, 0, b);
    add_group(odd, 1, b);
    add_group(even, 2, b);
    wgmma_wait<1>();
    wgmma_pin(odd);
    out[2 * threadIdx.x] = odd[0];
    wgmma_wait<0>();
    wgmma_pin(even);
    out[2 * threadIdx.x + 1] = even[0];
}

TEST(Warpgroup, GroupsOfProducts) {
    prim::for_each_schedule([] {
        prim::Array<float> out(256);
        QN_LAUNCH(groups_in_flight, 1, 128, 0, 0, out.get());
        ASSERT_TRUE(prim::finished());
        std::vector<float> values = out.values();
        for (size_t t = 0; t < 128; t++) {
            ASSERT_EQ(values[2 * t], 2 + 10);
            ASSERT_EQ(values[2 * t + 1], 1 + 10 + 3 + 10);
        }
    });
}

} // namespace
