// hopper_gemm.h: a product of matrices as kernels for Hopper are built, and its mutants: each
// barrier, wait, fence and arrival can be left out.
#ifndef QUERN_TESTS_SIMT_NEGATIVE_HOPPER_GEMM_H
#define QUERN_TESTS_SIMT_NEGATIVE_HOPPER_GEMM_H

#include "cuda/prim/hopper.h"

namespace negative {

enum class Omit {
    kNothing,
    kInitFence, // that mbarriers are initialised
    kInitBarrier,
    kRegistersLower,
    kEmptyWait, // of the producer
    kExpect,    // the producer's arrival, and the bytes
    kFullWait,  // of the consumers
    kWgmmaFence,
    kWgmmaCommit,
    kWgmmaWait, // before the stage is handed back
    kLastWgmmaWait,
    kEmptyArrival,
    kStageBehind, // no omission: hands back the stage just issued
    kStoreRead,   // that the tile before has left its buffer
    kStoreReadBarrier,
    kProxyFence,
    kStoreBarrier,
    kStoreCommit,
    kLastStoreRead,
};

constexpr int kGemmM = 128, kGemmTileN = 32, kGemmTileK = 64, kGemmStages = 2;
constexpr uint32_t kABytes = kGemmM * kGemmTileK * 2, kBBytes = kGemmTileK * kGemmTileN * 2;
constexpr uint32_t kCBytes = 64 * kGemmTileN * 4; // of a warpgroup
constexpr uint32_t kGemmShared = 1024 + kGemmStages * (kABytes + kBBytes) + 2 * kCBytes;

struct GemmMaps {
    qn_tensor_map a, b, c; // a: 64 of k by 128 of m; b: 32 of n by 64 of k; c: 32 of n by 64
};

struct GemmShared {
    uint32_t a, b, c, full, empty;
};

// Warpgroup 0: one thread loads the stages of all tiles.
__device__ inline void produce(Omit omit, const GemmMaps &maps, const GemmShared &at, int n_tiles,
                               int n_steps) {
    for (int i = 0; i < n_tiles * n_steps; i++) {
        uint32_t stage = (uint32_t)(i % kGemmStages), parity = (uint32_t)(i / kGemmStages % 2);
        uint32_t full = at.full + 8 * stage;
        if (omit != Omit::kEmptyWait) mbarrier_wait(at.empty + 8 * stage, parity ^ 1);
        if (omit != Omit::kExpect) mbarrier_arrive_expect(full, kABytes + kBBytes);
        int k = i % n_steps * kGemmTileK, n = i / n_steps * kGemmTileN;
        tma_load<2>(at.a + stage * kABytes, &maps.a, full, {k, 0});
        tma_load<2>(at.b + stage * kBBytes, &maps.b, full, {n, k});
    }
}

// 64×32×64 from one stage. a is K-major, b N-major.
__device__ inline void multiply_stage(Omit omit, float (&d)[16], uint32_t a, uint32_t b,
                                      bool accumulate) {
    wgmma_pin(d);
    if (omit != Omit::kWgmmaFence) wgmma_fence();
    for (uint32_t k = 0; k < kGemmTileK / 16; k++)
        wgmma<kGemmTileN, 0, 1>(d, wgmma_descriptor(a + 32 * k, 16, 1024, WGMMA_128B),
                                wgmma_descriptor(b + 1024 * k, 16, 512, WGMMA_64B),
                                accumulate || k > 0);
    if (omit != Omit::kWgmmaCommit) wgmma_commit();
}

// One lane of each warp: the wait before it was the warp's.
__device__ inline void hand_back(Omit omit, const GemmShared &at, int i) {
    if (omit != Omit::kEmptyArrival && threadIdx.x % 32 == 0)
        mbarrier_arrive(at.empty + 8 * (uint32_t)(i % kGemmStages));
}

// All steps of a tile, one product in flight while the next is issued.
__device__ inline void accumulate_tile(Omit omit, float (&d)[16], const GemmShared &at, int group,
                                       int first, int n_steps) {
    for (int i = first; i < first + n_steps; i++) {
        uint32_t stage = (uint32_t)(i % kGemmStages), parity = (uint32_t)(i / kGemmStages % 2);
        if (omit != Omit::kFullWait) mbarrier_wait(at.full + 8 * stage, parity);
        multiply_stage(omit, d, at.a + stage * kABytes + (uint32_t)group * (kABytes / 2),
                       at.b + stage * kBBytes, i > first);
        if (omit != Omit::kWgmmaWait) wgmma_wait<1>();
        if (omit == Omit::kStageBehind)
            hand_back(omit, at, i);
        else if (i > first)
            hand_back(omit, at, i - 1);
    }
    if (omit != Omit::kLastWgmmaWait) wgmma_wait<0>();
    wgmma_pin(d);
    if (omit != Omit::kStageBehind) hand_back(omit, at, first + n_steps - 1);
}

__device__ inline void store_tile(Omit omit, const float (&d)[16], const GemmMaps &maps,
                                  uint32_t buffer, int group, int n) {
    int t = (int)threadIdx.x % 128, id = 1 + group;
    if (t == 0 && omit != Omit::kStoreRead) bulk_wait_read<0>();
    if (omit != Omit::kStoreReadBarrier) barrier_sync(id, 128);
    float *c = (float *)(dynamic_shared() + (buffer - shared_address(dynamic_shared())));
    for (int i = 0; i < 16; i++) {
        int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + t % 4 * 2 + i % 2;
        c[row * kGemmTileN + column] = d[i];
    }
    if (omit != Omit::kProxyFence) fence_proxy_async();
    if (omit != Omit::kStoreBarrier) barrier_sync(id, 128);
    if (t) return;
    tma_store<2>(&maps.c, buffer, {n, 64 * group});
    if (omit != Omit::kStoreCommit) bulk_commit();
}

__device__ inline void consume(Omit omit, const GemmMaps &maps, const GemmShared &at, int n_tiles,
                               int n_steps) {
    int group = (int)threadIdx.x / 128 - 1;
    for (int tile = 0; tile < n_tiles; tile++) {
        float d[16];
        accumulate_tile(omit, d, at, group, tile * n_steps, n_steps);
        store_tile(omit, d, maps, at.c + (uint32_t)group * kCBytes, group, tile * kGemmTileN);
    }
    if (threadIdx.x % 128 == 0 && omit != Omit::kLastStoreRead) bulk_wait_read<0>();
}

// c (128×n) = a (128×k) · b (k×n), in tiles of 128×32. 384 threads: a warpgroup that loads, two
// that multiply 64 rows each.
__global__ void __launch_bounds__(384, 1)
    hopper_gemm(const __grid_constant__ GemmMaps maps, int n_tiles, int n_steps, Omit omit) {
    QN_SHARED(uint64_t, barriers, [2 * kGemmStages]);
    GemmShared at;
    at.a = (shared_address(dynamic_shared()) + 1023u) & ~1023u;
    at.b = at.a + kGemmStages * kABytes;
    at.c = at.b + kGemmStages * kBBytes;
    at.full = shared_address(barriers);
    at.empty = at.full + 8 * kGemmStages;
    if (threadIdx.x == 0) {
        for (uint32_t i = 0; i < kGemmStages; i++) {
            mbarrier_init(at.full + 8 * i, 1);
            mbarrier_init(at.empty + 8 * i, 8);
        }
        if (omit != Omit::kInitFence) mbarrier_init_fence();
    }
    if (omit != Omit::kInitBarrier) __syncthreads();
    if (threadIdx.x < 128) {
        if (omit != Omit::kRegistersLower) registers_lower<40>();
        if (threadIdx.x < 32 && elect_one()) produce(omit, maps, at, n_tiles, n_steps);
    } else {
        registers_raise<232>();
        consume(omit, maps, at, n_tiles, n_steps);
    }
}

} // namespace negative

#endif
