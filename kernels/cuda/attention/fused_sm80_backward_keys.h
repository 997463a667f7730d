/* fused_sm80_backward_keys.h: dk and dv of the block's keys, in registers from the first tile of
 * queries to the last. */
#ifndef QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_KEYS_H
#define QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_KEYS_H

#include "fused_sm80_backward_rows.h"
#include "warp_product.h"

/* ---- a warp's operands and results -------------------------------------------------- */

/* Where a warp reads the fragments of its products. */
template <typename Shape> struct warp_lanes {
    fragment_lane<Shape::DIM> k, v;                /* A, its own keys */
    fragment_lane<Shape::DIM> q, dout;             /* B over elements */
    fragment_lane<Shape::DIM> q_trans, dout_trans; /* B over queries */
};

template <typename Shape>
QN_DEVICE warp_lanes<Shape> place_lanes(const backward_shared<Shape> &shared, int stage,
                                        int warp_key) {
    constexpr int DIM = Shape::DIM;
    const int lane = threadIdx.x % 32;
    const uint32_t k = shared_address(shared.k), v = k + Shape::KEY_BYTES;
    const uint32_t q = v + Shape::KEY_BYTES + stage * 2 * Shape::QUERY_BYTES;
    const uint32_t dout = q + Shape::QUERY_BYTES;
    return {lane_of_rows<DIM>(k, warp_key, lane), lane_of_rows<DIM>(v, warp_key, lane),
            lane_of_columns<DIM>(q, 0, lane),     lane_of_columns<DIM>(dout, 0, lane),
            lane_of_rows<DIM>(q, 0, lane),        lane_of_rows<DIM>(dout, 0, lane)};
}

/* A lane's part of dk or of dv: the accumulators of the warp's keys × DIM. */
template <typename Shape> using key_gradient = float[Shape::STRIPS][Shape::DIM / 8][4];

/* The same of Sᵀ and of what follows from it: the warp's keys × COLUMNS queries. */
template <typename Shape> using key_scores = float[Shape::STRIPS][Shape::COLUMNS / 8][4];

template <typename Shape> QN_DEVICE packed_scores<Shape> pack(const key_scores<Shape> &c) {
    packed_scores<Shape> packed;
#pragma unroll
    for (int step = 0; step < Shape::COLUMNS / 16; step++)
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++) pack_operand(packed.a[step][m], c[m], step);
    return packed;
}

/* gradient += w·(rows from `row` on of q or dout). */
template <typename Shape>
QN_DEVICE void add_gradient(key_gradient<Shape> &gradient, const packed_scores<Shape> &w,
                            fragment_lane<Shape::DIM> lane, int row) {
#pragma unroll
    for (int step = 0; step < Shape::COLUMNS / 16; step++)
        multiply_columns(gradient, w.a[step], lane, row + step * 16, 0);
}

/* ---- a tile of queries meets the block's keys ----------------------------------------- */

/* Pᵀ = 2^(Sᵀ·base2 − lse2), in place of Sᵀ. */
template <typename Shape>
QN_DEVICE void weigh(key_scores<Shape> &s, const row_facts<Shape> &facts, int query, float base2) {
#pragma unroll
    for (int n = 0; n < Shape::COLUMNS / 8; n++) {
        const float2 minus_lse2 =
            *(const float2 *)&facts.minus_lse2[query + n * 8 + threadIdx.x % 4 * 2];
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[m][n][i] =
                    exp2_approx(fmaf(s[m][n][i], base2, i % 2 ? minus_lse2.y : minus_lse2.x));
    }
}

/* dPᵀ begins at −delta. */
template <typename Shape>
QN_DEVICE void begin_dp(key_scores<Shape> &dp, const row_facts<Shape> &facts, int query) {
#pragma unroll
    for (int n = 0; n < Shape::COLUMNS / 8; n++) {
        const float2 minus_delta =
            *(const float2 *)&facts.minus_delta[query + n * 8 + threadIdx.x % 4 * 2];
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) dp[m][n][i] = i % 2 ? minus_delta.y : minus_delta.x;
    }
}

/* dSᵀ of the warp to the tile that all warps read for dq. */
template <typename Shape>
QN_DEVICE void store_ds(uint8_t *ds, const packed_scores<Shape> &packed, int query, int warp_key) {
    const int key = warp_key + threadIdx.x % 32 / 4, word = threadIdx.x % 4 * 4;
#pragma unroll
    for (int step = 0; step < Shape::COLUMNS / 16; step++)
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                *(uint32_t *)(ds + word +
                              chunk_offset<Shape::QUERIES>(key + m * 16 + i % 2 * 8,
                                                           query / 8 + step * 2 + i / 2)) =
                    packed.a[step][m][i];
}

/* dk and dv of the warp's keys take the terms of its queries, and dSᵀ goes to shared memory. */
template <typename Shape>
QN_DEVICE void meet(key_gradient<Shape> &dk, key_gradient<Shape> &dv,
                    const warp_lanes<Shape> &lanes, const row_facts<Shape> &facts, uint8_t *ds,
                    int first_query, int warp_key, float base2) {
#pragma unroll 1
    for (int query = first_query; query < first_query + Shape::WARP_QUERIES;
         query += Shape::COLUMNS) {
        const sight seen = sight_of(facts, query, warp_key);
        if (seen == SEES_NONE) {
            store_ds<Shape>(ds, {}, query, warp_key);
            continue;
        }
        key_scores<Shape> p = {};
        multiply_rows<Shape::DIM / 16>(p, lanes.k, lanes.q, query);
        weigh<Shape>(p, facts, query, base2);

        key_scores<Shape> ds_terms;
        begin_dp<Shape>(ds_terms, facts, query);
        multiply_rows<Shape::DIM / 16>(ds_terms, lanes.v, lanes.dout, query);
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int n = 0; n < Shape::COLUMNS / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) ds_terms[m][n][i] *= p[m][n][i];

        packed_scores<Shape> weights = pack<Shape>(p), packed = pack<Shape>(ds_terms);
        if (seen == SEES_SOME) hide(weights, packed, facts, query, warp_key);
        store_ds(ds, packed, query, warp_key);
        add_gradient<Shape>(dv, weights, lanes.dout_trans, query);
        add_gradient<Shape>(dk, packed, lanes.q_trans, query);
    }
}

/* ---- the end of a block -------------------------------------------------------------------- */

/* Of two warps that share keys the first completes dk, the second dv: each gives the other what
 * it has gathered of that. */
template <typename Shape>
QN_DEVICE void exchange(key_gradient<Shape> &mine, const key_gradient<Shape> &dk,
                        const key_gradient<Shape> &dv, bool completes_dk, float *scratch) {
    constexpr int HALF = Shape::WARPS / 2;
    const int warp = threadIdx.x / 32, partner = completes_dk ? warp + HALF : warp - HALF;
    float *const given = scratch + warp * (Shape::GRADIENT_FLOATS * 32) + threadIdx.x % 32;
    const float *const taken = given + (partner - warp) * (Shape::GRADIENT_FLOATS * 32);
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int n = 0; n < Shape::DIM / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                given[((m * (Shape::DIM / 8) + n) * 4 + i) * 32] =
                    completes_dk ? dv[m][n][i] : dk[m][n][i];
    __syncthreads(); /* what the partner gives is there */
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int n = 0; n < Shape::DIM / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                mine[m][n][i] = (completes_dk ? dk[m][n][i] : dv[m][n][i]) +
                                taken[((m * (Shape::DIM / 8) + n) * 4 + i) * 32];
}

/* factor·gradient in bf16 to the warp's rows of a tile. */
template <typename Shape>
QN_DEVICE void put_gradient(uint8_t *tile, const key_gradient<Shape> &gradient, float factor,
                            int warp_key) {
    const int key = warp_key + threadIdx.x % 32 / 4, word = threadIdx.x % 4 * 4;
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int n = 0; n < Shape::DIM / 8; n++)
#pragma unroll
            for (int r = 0; r < 2; r++)
                *(uint32_t *)(tile + chunk_offset<Shape::DIM>(key + m * 16 + r * 8, n) + word) =
                    pack_bf16(factor * gradient[m][n][r * 2], factor * gradient[m][n][r * 2 + 1]);
}

/* dk and dv by way of the tiles of k and v, which are read no more. */
template <typename Shape>
QN_DEVICE void store_gradients(const qn_attn_params &p, const key_place &place,
                               const backward_shared<Shape> &shared, const key_gradient<Shape> &dk,
                               const key_gradient<Shape> &dv, int warp_key) {
    __syncthreads(); /* all that lies in shared memory has been read */
    if constexpr (Shape::QUERY_WARPS == 1) {
        put_gradient<Shape>(shared.k, dk, p.scale, warp_key);
        put_gradient<Shape>(shared.v, dv, 1, warp_key);
    } else {
        const bool completes_dk = threadIdx.x < Shape::THREADS / 2;
        key_gradient<Shape> whole;
        exchange<Shape>(whole, dk, dv, completes_dk, (float *)shared.queries);
        put_gradient<Shape>(completes_dk ? shared.k : shared.v, whole, completes_dk ? p.scale : 1,
                            warp_key);
    }
    __syncthreads(); /* the tiles are complete */
    const int32_t first_key = place.tile * Shape::KEYS;
    store_tile<Shape::KEYS, Shape::DIM, Shape::THREADS>(rows_of(p.dk, place.batch, place.kv_head),
                                                        shared.k, first_key, p.n_keys, p.head_dim);
    store_tile<Shape::KEYS, Shape::DIM, Shape::THREADS>(rows_of(p.dv, place.batch, place.kv_head),
                                                        shared.v, first_key, p.n_keys, p.head_dim);
}

#endif
