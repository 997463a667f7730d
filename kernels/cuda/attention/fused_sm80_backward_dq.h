/* fused_sm80_backward_dq.h: dq, which the blocks of a head add up in fp32 in global memory, and a
 * kernel of its own makes bf16 of it. */
#ifndef QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_DQ_H
#define QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_DQ_H

#include "fused_sm80_backward_order.h"
#include "fused_sm80_backward_shape.h"
#include "warp_product.h"

/* ---- how a tile of dq is divided ---------------------------------------------------------- */

/* Where dq of a tile of queries gathers: DQ_LANE_FLOATS times 32 for each warp, each 32 in the
 * order of the lanes, so that one addition of a warp is 128 bytes in sequence. */
template <typename Shape>
QN_DEVICE float *dq_sums(const qn_attn_params &p, int64_t batch, int64_t head, int32_t tile,
                         int32_t n_query_tiles) {
    const int64_t index = (batch * p.n_heads + head) * n_query_tiles + tile;
    return p.dq_sum + index * (Shape::QUERIES * Shape::DIM) +
           threadIdx.x / 32 * (Shape::DQ_LANE_FLOATS * 32) + threadIdx.x % 32;
}

/* A lane's part of dq. */
template <typename Shape> using query_gradient = float[Shape::DQ_STRIPS][Shape::DQ_COLUMNS / 8][4];

/* The warp's first row and column in a tile of dq. */
template <typename Shape> struct dq_corner {
    int row, column;

    QN_DEVICE dq_corner()
        : row(threadIdx.x / 32 % Shape::DQ_PARTS * (16 * Shape::DQ_STRIPS)),
          column(threadIdx.x / 32 / Shape::DQ_PARTS * Shape::DQ_COLUMNS) {}
};

/* ---- a block's terms ------------------------------------------------------------------------ */

/* dq = dS·k. */
template <typename Shape>
QN_DEVICE void multiply_keys(query_gradient<Shape> &dq, uint32_t ds_tile, uint32_t k_tile) {
    const dq_corner<Shape> corner;
    const int lane = threadIdx.x % 32;
    const fragment_lane<Shape::QUERIES> a_lane = lane_of_columns<Shape::QUERIES>(ds_tile, 0, lane);
    const fragment_lane<Shape::DIM> b_lane = lane_of_rows<Shape::DIM>(k_tile, 0, lane);
#pragma unroll
    for (int key = 0; key < Shape::KEYS; key += 16) {
        uint32_t a[Shape::DQ_STRIPS][4];
#pragma unroll
        for (int m = 0; m < Shape::DQ_STRIPS; m++)
            ldmatrix_x4_trans(a[m], a_lane.at(key, corner.row / 16 + m));
        multiply_columns(dq, a, b_lane, key, corner.column / 16);
    }
}

/* Adds a tile's dS·k to its sums; ORDERED: when it is this block's turn. */
template <typename Shape, bool ORDERED>
QN_DEVICE void add_dq(const qn_attn_params &p, const key_place &place, query_step step,
                      uint32_t ds_tile, uint32_t k_tile) {
    query_gradient<Shape> dq = {};
    multiply_keys<Shape>(dq, ds_tile, k_tile);
    if (ORDERED) await_turn(p, place, step);
    float *const sums = dq_sums<Shape>(p, place.batch, step.head, step.tile, place.n_query_tiles);
#pragma unroll
    for (int m = 0; m < Shape::DQ_STRIPS; m++)
#pragma unroll
        for (int n = 0; n < Shape::DQ_COLUMNS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                reduce_add(sums + ((m * (Shape::DQ_COLUMNS / 8) + n) * 4 + i) * 32, dq[m][n][i]);
    if (ORDERED) end_turn(p, place, step);
}

/* ---- the sum -------------------------------------------------------------------------------- */

/* dq = scale·(its sums), in bf16. One block a tile of queries of one head, with the threads of
 * fused_sm80_backward: each reads the sums that it would have added to there, and rows are made of
 * them in shared memory. Bytes: 4·D a row read, 2·D written. */
template <typename Shape>
__global__ void __launch_bounds__(Shape::THREADS)
    finish_dq(const __grid_constant__ qn_attn_params p, int32_t n_query_tiles) {
    uint8_t *const tile = aligned_shared();
    const int64_t head = blockIdx.x / n_query_tiles;
    const int32_t batch = (int32_t)(head / p.n_heads);
    const int32_t query_tile = (int32_t)(blockIdx.x % n_query_tiles);
    const float *const sums = dq_sums<Shape>(p, batch, head % p.n_heads, query_tile, n_query_tiles);
    const dq_corner<Shape> corner;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < Shape::DQ_STRIPS; m++)
#pragma unroll
        for (int n = 0; n < Shape::DQ_COLUMNS / 8; n++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const float *const x = sums + ((m * (Shape::DQ_COLUMNS / 8) + n) * 4 + r * 2) * 32;
                *(uint32_t *)(tile + t * 4 +
                              chunk_offset<Shape::DIM>(corner.row + m * 16 + r * 8 + g,
                                                       corner.column / 8 + n)) =
                    pack_bf16(p.scale * x[0], p.scale * x[32]);
            }
    __syncthreads(); /* the tile is complete */
    store_tile<Shape::QUERIES, Shape::DIM, Shape::THREADS>(rows_of(p.dq, batch, head % p.n_heads),
                                                           tile, query_tile * Shape::QUERIES,
                                                           p.n_queries, p.head_dim);
}

#endif
