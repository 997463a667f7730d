/* warp_product.h: a warp's matrix products by mma.sync over the tiles of tile.h, which both fused
 * passes are made of. A result c has M strips of 16 rows and N times 8 columns: lane 4g+t holds, as
 * c[m][n][2r+e], row 16m + g + 8r and column 8n + 2t + e. */
#ifndef QUERN_CUDA_ATTENTION_WARP_PRODUCT_H
#define QUERN_CUDA_ATTENTION_WARP_PRODUCT_H

#include "tile.h"

/* ---- fragments ------------------------------------------------------------------ */

/* Where a lane reads the fragments of a product from; `step` moves by 16 elements along a row
 * (two chunks), and rows are added by the caller, in multiples of 8. */
template <int DIM> struct fragment_lane {
    uint32_t tile, offset;

    QN_DEVICE uint32_t at(int row, int step) const {
        return tile + (offset ^ ((step & 3) * (2 * CHUNK_BYTES))) + (step >> 2) * GROUP_BYTES +
               row * (DIM * 2);
    }
};

/* A (16×16, row-major): matrices (rows 0–7, low half), (8–15, low), (0–7, high), (8–15, high).
 * Also, with ldmatrix_x4_trans, B (16×8 twice) from a tile whose rows are k: r[0..1] are columns
 * 0–7 of the step, r[2..3] columns 8–15. */
template <int DIM> QN_DEVICE fragment_lane<DIM> lane_of_rows(uint32_t tile, int row, int lane) {
    return {tile, chunk_offset<DIM>(row + lane % 16, lane / 16)};
}

/* B (16×8 twice) from a tile whose rows are n: r[0..1] are rows 0–7, r[2..3] rows 8–15. */
template <int DIM> QN_DEVICE fragment_lane<DIM> lane_of_columns(uint32_t tile, int row, int lane) {
    return {tile, chunk_offset<DIM>(row + lane % 8 + lane / 16 * 8, lane / 8 % 2)};
}

/* The halves of what an x4 load brought, as operands of two products. */
QN_DEVICE const uint32_t (&low_half(const uint32_t (&r)[4]))[2] {
    return *(const uint32_t(*)[2]) & r[0];
}
QN_DEVICE const uint32_t (&high_half(const uint32_t (&r)[4]))[2] {
    return *(const uint32_t(*)[2]) & r[2];
}

/* ---- products -------------------------------------------------------------------- */

/* The A operand of columns 16·step to 16·step + 15 of a strip of results, rounded to nearest even.
 */
template <int N> QN_DEVICE void pack_operand(uint32_t (&a)[4], const float (&c)[N][4], int step) {
    const float(&low)[4] = c[2 * step], (&high)[4] = c[2 * step + 1];
    a[0] = pack_bf16(low[0], low[1]);
    a[1] = pack_bf16(low[2], low[3]);
    a[2] = pack_bf16(high[0], high[1]);
    a[3] = pack_bf16(high[2], high[3]);
}

/* c += a·b for columns 8n to 8n + 15. */
template <int M, int N>
QN_DEVICE void multiply_pair(float (&c)[M][N][4], int n, const uint32_t (&a)[M][4],
                             const uint32_t (&b)[4]) {
#pragma unroll
    for (int m = 0; m < M; m++) {
        mma_m16n8k16(c[m][n], a[m], low_half(b));
        mma_m16n8k16(c[m][n + 1], a[m], high_half(b));
    }
}

/* c += a·bᵀ, where rows of both tiles are DIM elements: of a those of the lane, of b those from
 * `row` on. UNROLL steps of 16 elements are unrolled. */
template <int UNROLL, int DIM, int M, int N>
QN_DEVICE void multiply_rows(float (&c)[M][N][4], fragment_lane<DIM> a_lane,
                             fragment_lane<DIM> b_lane, int row) {
#pragma unroll(UNROLL)
    for (int step = 0; step < DIM / 16; step++) {
        uint32_t a[M][4], b[4];
#pragma unroll
        for (int m = 0; m < M; m++) ldmatrix_x4(a[m], a_lane.at(m * 16, step));
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            ldmatrix_x4(b, b_lane.at(row + n * 8, step));
            multiply_pair(c, n, a, b);
        }
    }
}

/* c += a·b, where b is 16 rows of a tile from `row` on, and of their columns those from
 * 16·column on. */
template <int DIM, int M, int N>
QN_DEVICE void multiply_columns(float (&c)[M][N][4], const uint32_t (&a)[M][4],
                                fragment_lane<DIM> b_lane, int row, int column) {
#pragma unroll
    for (int n = 0; n < N; n += 2) {
        uint32_t b[4];
        ldmatrix_x4_trans(b, b_lane.at(row, column + n / 2));
        multiply_pair(c, n, a, b);
    }
}

#endif
