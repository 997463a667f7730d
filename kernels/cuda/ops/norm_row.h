/* norm_row.h: how the rows of a norm lie on threads. Device code. */
#ifndef QUERN_CUDA_NORM_ROW_H
#define QUERN_CUDA_NORM_ROW_H

#include "norm.h"
#include "reduce.h"
#include "vector.h"

/* LANES threads of a block take a row, VECTORS times eight elements each, LANES·8 apart, which
 * they hold in registers. Of a longer row the rest is read again for each pass over it, which only
 * the last shape allows. BLOCKS fit on a multiprocessor in the backward pass, whose grid they make.
 */
template <int LANES_, int VECTORS_, int BLOCKS_, bool OPEN_ENDED_> struct norm_shape {
    enum {
        LANES = LANES_,
        VECTORS = VECTORS_,
        BLOCKS = BLOCKS_,
        OPEN_ENDED = OPEN_ENDED_,
        STEP = LANES * VECTOR,
        HELD = STEP * VECTORS,
        THREADS = LANES > 128 ? LANES : 128,
        ROWS = THREADS / LANES,
        WARPS = THREADS / 32,
    };
};

typedef norm_shape<8, 2, 6, false> norm_by_lanes;    /* up to 128 elements: heads */
typedef norm_shape<32, 4, 3, false> norm_by_warps;   /* up to 1024 */
typedef norm_shape<256, 2, 3, false> norm_by_blocks; /* up to 4096 */
typedef norm_shape<512, 2, 1, true> norm_by_broad_blocks;

/* f(shape) for the shape that suits rows of `cols` elements. */
template <typename F> static auto with_norm_shape(int64_t cols, F f) {
    if (cols <= norm_by_lanes::HELD) return f(norm_by_lanes());
    if (cols <= norm_by_warps::HELD) return f(norm_by_warps());
    if (cols <= norm_by_blocks::HELD) return f(norm_by_blocks());
    return f(norm_by_broad_blocks());
}

/* A thread's row. `cols` is 0 for a thread that has none, and comes along to the sums only. */
struct norm_place {
    int64_t token, head, cols;
};

template <typename S> QN_DEVICE norm_place place_norm(const qn_norm_params &p, int64_t first) {
    const int64_t row = first + threadIdx.x / S::LANES;
    if (row >= p.n_rows) return {0, 0, 0};
    return {row / p.n_heads, row % p.n_heads, p.cols};
}

QN_DEVICE bf16 *norm_row_at(const qn_norm_rows &t, const norm_place &at) {
    return (bf16 *)t.data + at.token * t.token + at.head * t.head;
}

QN_DEVICE float *norm_stat_at(const qn_norm_stat &t, const norm_place &at) {
    return t.data + at.token * t.token + at.head;
}

/* The first element of the thread's vector v. */
template <typename S> QN_DEVICE int64_t norm_begin(int v) {
    return v * S::STEP + threadIdx.x % S::LANES * VECTOR;
}

/* The sum over the threads of a row, in each of them. Whole block. */
template <typename S> QN_DEVICE float norm_row_sum(float x, float (&parts)[S::WARPS]) {
    if constexpr (S::LANES == S::THREADS) {
        return block_sum(x, parts);
    } else {
#pragma unroll
        for (int away = S::LANES / 2; away > 0; away /= 2)
            x += __shfl_xor_sync(0xffffffffu, x, away);
        return x;
    }
}

#endif
