/* reduce.h: sums of a warp and of a block, in a fixed order. Device code. */
#ifndef QUERN_CUDA_REDUCE_H
#define QUERN_CUDA_REDUCE_H

#include "prim/prim.h"

/* The sum over the warp, in every lane. Whole warp. */
template <typename T> QN_DEVICE T warp_sum(T x) {
#pragma unroll
    for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(0xffffffffu, x, away);
    return x;
}

QN_DEVICE float warp_max(float x) {
#pragma unroll
    for (int away = 16; away > 0; away /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, away));
    return x;
}

/* The sum over a block of WARPS warps, in every thread. `parts` lies in shared memory. Whole
 * block; two barriers, so that `parts` may be used again at once. */
template <int WARPS, typename T> QN_DEVICE T block_sum(T x, T (&parts)[WARPS]) {
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads(); /* every warp's part is there */
    T sum = parts[0];
    for (int w = 1; w < WARPS; w++) sum += parts[w];
    __syncthreads(); /* every part has been read */
    return sum;
}

#endif
