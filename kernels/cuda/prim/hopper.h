/* hopper.h: the device primitives of compute capability 9.0, beside those of prim.h: mbarriers,
 * bulk copies by the tensor memory accelerator (TMA), and matrix products of a warpgroup (wgmma;
 * compiled for sm_90a). Source: PTX ISA 8.5, chapters 9.7.8 (copies), 9.7.12 (mbarrier), 9.7.14
 * (wgmma).
 *
 * Bulk copies and wgmma go through the async proxy: what threads wrote to shared memory becomes
 * visible to it by fence_proxy_async, what it wrote becomes visible to threads by the completion
 * of the mbarrier, group or wait that it is tied to. */
#ifndef QUERN_CUDA_HOPPER_H
#define QUERN_CUDA_HOPPER_H

#include "prim.h"

#ifdef __CUDACC__
#include <cuda.h>
typedef CUtensorMap qn_tensor_map;
#else
#include "simt/hopper.h"
typedef simt::TensorMap qn_tensor_map;
#endif

/* ---- mbarrier ---------------------------------------------------------------- */

/* 8 bytes of shared memory, aligned to 8; named by their shared address. A phase completes when
 * `count` arrivals and all expected bytes have come; then the next begins. */
QN_DEVICE void mbarrier_init(uint32_t mbarrier, uint32_t count QN_HERE);
/* Makes initialised mbarriers visible to the async proxy. */
QN_DEVICE void mbarrier_init_fence(QN_HERE_ONLY);
QN_DEVICE void mbarrier_arrive(uint32_t mbarrier QN_HERE);
/* Arrives, and adds to the bytes that the phase waits for. */
QN_DEVICE void mbarrier_arrive_expect(uint32_t mbarrier, uint32_t bytes QN_HERE);
/* Waits until the phase of this parity (0 is the first phase) has completed. */
QN_DEVICE void mbarrier_wait(uint32_t mbarrier, uint32_t parity QN_HERE);

/* What this thread wrote to shared memory comes before what the async proxy does later. */
QN_DEVICE void fence_proxy_async(QN_HERE_ONLY);

/* ---- bulk copies -------------------------------------------------------------- */

/* A box of a tensor, coordinates innermost first, between global memory and shared memory
 * (aligned to 128 bytes, for a swizzled map to 8 times its swizzle). Loads fill what lies outside
 * the tensor with zeros and complete on an mbarrier by their bytes; stores and additions skip it.
 * One thread calls. RANK 1 to 5. */
template <int RANK>
QN_DEVICE void tma_load(uint32_t dst, const qn_tensor_map *map, uint32_t mbarrier,
                        const int32_t (&at)[RANK] QN_HERE);
template <int RANK>
QN_DEVICE void tma_store(const qn_tensor_map *map, uint32_t src, const int32_t (&at)[RANK] QN_HERE);
template <int RANK>
QN_DEVICE void tma_reduce_add(const qn_tensor_map *map, uint32_t src,
                              const int32_t (&at)[RANK] QN_HERE);
/* Fetches the map itself ahead of time. */
QN_DEVICE void tma_prefetch_map(const qn_tensor_map *map);

/* The same without a map, for bytes in a row: addresses and size are multiples of 16. */
QN_DEVICE void bulk_load(uint32_t dst, const void *src, uint32_t bytes, uint32_t mbarrier QN_HERE);
QN_DEVICE void bulk_store(void *dst, uint32_t src, uint32_t bytes QN_HERE);
QN_DEVICE void bulk_reduce_add_f32(float *dst, uint32_t src, uint32_t bytes QN_HERE);

/* Closes the calling thread's group of stores and additions. */
QN_DEVICE void bulk_commit(QN_HERE_ONLY);
/* Waits until at most N groups have not yet read their shared memory … */
template <int N> QN_DEVICE void bulk_wait_read(QN_HERE_ONLY);
/* … or have not yet written all of their global memory. */
template <int N> QN_DEVICE void bulk_wait(QN_HERE_ONLY);

/* ---- matrix product of a warpgroup ---------------------------------------------- */

/* Swizzle of a shared tile, as descriptors name it. */
enum wgmma_swizzle { WGMMA_PLAIN = 0, WGMMA_128B = 1, WGMMA_64B = 2, WGMMA_32B = 3 };

/* A matrix in shared memory: start (16-byte aligned; a swizzled tile begins at a multiple of 8
 * times its swizzle), leading and stride byte offsets (multiples of 16, below 2^18). */
QN_DEVICE uint64_t wgmma_descriptor(uint32_t start, uint32_t leading, uint32_t stride,
                                    wgmma_swizzle swizzle) {
    return (uint64_t)((start & 0x3ffff) >> 4) | (uint64_t)((leading & 0x3ffff) >> 4) << 16 |
           (uint64_t)((stride & 0x3ffff) >> 4) << 32 | (uint64_t)swizzle << 62;
}

/* Comes before the first wgmma, and after any other access to its registers. */
QN_DEVICE void wgmma_fence(QN_HERE_ONLY);
QN_DEVICE void wgmma_commit(QN_HERE_ONLY);
/* Waits until at most N groups are in flight. Registers and shared memory of an unfinished one
 * are not to be touched. */
template <int N> QN_DEVICE void wgmma_wait(QN_HERE_ONLY);

/* The compiler moves no access to d across it. It knows nothing of products in flight, and takes
 * d for final as soon as wgmma has been issued: pin d after each wait whose results are used. */
template <int N> QN_DEVICE void wgmma_pin(float (&d)[N]);

/* d (64×N fp32) = a (64×16 bf16) · b (16×N bf16), plus the old d if `accumulate`. N is a multiple
 * of 8 up to 256. Warp w of the warpgroup has rows 16w to 16w+15; with g = lane/4 and t = lane%4,
 * d[4i..4i+1] is (g, 8i+2t..), d[4i+2..4i+3] is (g+8, 8i+2t..). Operands are K-major (rows of k
 * for a, columns of k for b), or, where TRANS is 1, MN-major. a lies in shared memory, or in
 * registers as for mma_m16n8k16. */
template <int N, int TRANS_A, int TRANS_B>
QN_DEVICE void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate QN_HERE);
template <int N, int TRANS_B>
QN_DEVICE void wgmma(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b,
                     bool accumulate QN_HERE);

/* ---- warps of a kernel that specialises them ---------------------------------------- */

/* Registers a thread of the calling warpgroup may use from here on: a multiple of 8. */
template <int N> QN_DEVICE void registers_raise(QN_HERE_ONLY);
template <int N> QN_DEVICE void registers_lower(QN_HERE_ONLY);
/* True in one lane of the warp. */
QN_DEVICE bool elect_one(QN_HERE_ONLY);

#ifdef __CUDACC__
#include "hopper_cuda.h"
#else
#include "hopper_host.h"
#endif

#endif
