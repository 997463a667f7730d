/* fused_sm80_forward_rows.h: a warp's rows in the fused forward pass, from tile to tile and to the
 * end: their softmax, their statistics, and what is written of them. Layouts are those of
 * online_softmax.h. Shape is a forward_shape. */
#ifndef QUERN_CUDA_ATTENTION_FUSED_SM80_FORWARD_ROWS_H
#define QUERN_CUDA_ATTENTION_FUSED_SM80_FORWARD_ROWS_H

#include "row_stats.h"
#include "tile.h"

/* ---- from tile to tile ---------------------------------------------------------------- */

/* What a warp keeps in registers from tile to tile; the layout is online_softmax.h's. */
template <typename Shape> struct warp_rows {
    float o[Shape::STRIPS][Shape::DIM / 8][4];
    softmax_row *row; /* in shared memory, this lane's slots, THREADS apart */
};

template <typename Shape> QN_DEVICE void clear_rows(warp_rows<Shape> &rows, float start) {
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++) {
#pragma unroll
        for (int n = 0; n < Shape::DIM / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) rows.o[m][n][i] = 0;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            rows.row[(m * 2 + r) * Shape::THREADS] = {start, 0};
        }
    }
}

/* This lane's slots. */
template <typename Shape> QN_DEVICE void clear_row_stats(row_stats *stats) {
    for (int i = 0; i < Shape::STRIPS * 2; i++) stats[i * Shape::THREADS] = {0, 0, 0, 0};
}

/* Scores become weights; m, l and o follow. With statistics, stats are this lane's slots, one a
 * row and THREADS apart; away is position − key, of the warp's first row and the tile's first key.
 */
template <typename Shape, bool STATS>
QN_DEVICE void soften(warp_rows<Shape> &rows, float (&s)[Shape::STRIPS][Shape::KEYS / 8][4],
                      float base2, row_stats *stats, int32_t away) {
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const softmax_row old = rows.row[(m * 2 + r) * Shape::THREADS];
            softmax_row now = old;
            const float alpha = raise_maximum(now.m, s[m], r, base2);
            const row_sums sums = exponentiate<STATS>(s[m], r, base2, now.m);
            if constexpr (STATS)
                add_to_row(stats[(m * 2 + r) * Shape::THREADS], sums, alpha, old.m - now.m, old.l,
                           lane_away(away) + m * 16 + r * 8);
            now.l = fmaf(old.l, alpha, sums.weights);
            rows.row[(m * 2 + r) * Shape::THREADS] = now;
#pragma unroll
            for (int n = 0; n < Shape::DIM / 8; n++) {
                rows.o[m][n][r * 2] *= alpha;
                rows.o[m][n][r * 2 + 1] *= alpha;
            }
        }
}

/* Weights that count by where they lie; few tiles have any. After soften, not within: what finds
 * them takes registers that soften lacks. */
template <typename Shape>
QN_DEVICE void add_located(row_stats *stats, const float (&w)[Shape::STRIPS][Shape::KEYS / 8][4],
                           int32_t away, const int32_t *documents, int32_t first_key,
                           int32_t local_window) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const bool local = any_local(away, Shape::KEYS, local_window);
    const bool sink = any_sink(documents, Shape::WARP_ROWS, first_key, Shape::KEYS);
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            row_stats &x = stats[(m * 2 + r) * Shape::THREADS];
            const int row = m * 16 + r * 8;
            if (local) x.local += local_weight(w[m], r, lane_away(away) + row, local_window);
            if (sink) x.sink += weight_at(w[m], r, documents[row + g] - first_key - 2 * t);
        }
}

/* ---- at the end ------------------------------------------------------------------------ */

/* o/l and l of complete rows. */
template <typename Shape> QN_DEVICE void finish_rows(warp_rows<Shape> &rows) {
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const float l = quad_sum(rows.row[(m * 2 + r) * Shape::THREADS].l);
            rows.row[(m * 2 + r) * Shape::THREADS].l = l;
            const float inverse = l == 0 ? 0 : 1 / l;
#pragma unroll
            for (int n = 0; n < Shape::DIM / 8; n++) {
                rows.o[m][n][r * 2] *= inverse;
                rows.o[m][n][r * 2 + 1] *= inverse;
            }
        }
}

/* Rows of the warp that exist. */
struct warp_target {
    int32_t batch, head, first_row, n_rows;
};

/* Through the warp's part of the tile of queries, which is read no more. */
template <typename Shape>
QN_DEVICE void store_output(const warp_rows<Shape> &rows, const qn_attn_params &p,
                            const warp_target &to, uint8_t *stage) {
    constexpr int DIM = Shape::DIM;
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
            for (int n = 0; n < DIM / 8; n++)
                *(uint32_t *)(stage + chunk_offset<DIM>(m * 16 + r * 8 + g, n) + t * 4) =
                    pack_bf16(rows.o[m][n][r * 2], rows.o[m][n][r * 2 + 1]);
    __syncwarp();
    const row_view o = rows_of(p.o, to.batch, to.head);
#pragma unroll
    for (int i = 0; i < Shape::WARP_ROWS; i += 4) {
        const int row = i + lane / 8;
#pragma unroll
        for (int c = lane % 8; c < DIM / 8; c += 8)
            if (row < to.n_rows && c * 8 < p.head_dim)
                *(uint4 *)(o.data + (int64_t)(to.first_row + row) * o.stride + c * 8) =
                    *(const uint4 *)(stage + chunk_offset<DIM>(row, c));
    }
}

template <typename Shape>
QN_DEVICE void store_lse(const warp_rows<Shape> &rows, const qn_attn_params &p,
                         const warp_target &to) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    float *lse = p.lse + to.batch * p.lse_batch + to.head * p.lse_head;
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int row = m * 16 + r * 8 + g;
            if (t == 0 && row < to.n_rows)
                lse[(int64_t)(to.first_row + row) * p.lse_row] =
                    LN_2 * (rows.row[(m * 2 + r) * Shape::THREADS].m +
                            log2_approx(rows.row[(m * 2 + r) * Shape::THREADS].l));
        }
}

/* The warp's share of the statistics, in lane 0. */
template <typename Shape>
QN_DEVICE qn_attn_tile_stats gather_stats(const warp_rows<Shape> &rows, const row_stats *stats,
                                          const qn_attn_params &p, const warp_target &from,
                                          const position_span *spans, const int32_t *documents) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    qn_attn_tile_stats part;
    clear_stats(part);
#pragma unroll
    for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int row = m * 16 + r * 8 + g;
            const row_stats &x = stats[(m * 2 + r) * Shape::THREADS];
            const row_stats whole = {quad_sum(x.weighted), quad_sum(x.distance), quad_sum(x.sink),
                                     quad_sum(x.local)};
            if (t == 0 && row < from.n_rows)
                add_row(part, whole, rows.row[(m * 2 + r) * Shape::THREADS].m,
                        rows.row[(m * 2 + r) * Shape::THREADS].l, spans[row],
                        position_of(p, from.first_row + row), documents[row], p.stats_local_window);
        }
    merge_lanes(part);
    return part;
}

#endif
