/* row_stats.h: statistics of attention rows, gathered beside the online softmax without changing
 * any of its operations. Names and formulas as in ops.h. What a lane sums is over its own columns
 * until the quad's sums are added up, or the block's where a block has one row. */
#ifndef QUERN_CUDA_ATTENTION_ROW_STATS_H
#define QUERN_CUDA_ATTENTION_ROW_STATS_H

#include "online_softmax.h"
#include "quern/ops.h"

static_assert((int)QN_ATTN_PART_SUMS == (int)QN_ATTN_N_SUMS &&
                  (int)QN_ATTN_PART_COUNTS == (int)QN_ATTN_N_COUNTS,
              "a part holds what ops.h asks for");

/* ---- while the softmax runs --------------------------------------------------- */

/* Of one row, before division by l. In the fused pass they lie in shared memory, a slot for each
 * lane and row: registers are for the accumulators. */
struct alignas(16) row_stats {
    float weighted; /* Σ w·log2 w: shifted by m, so that it does not cancel */
    float distance, sink, local;
};

/* Position − key of this lane's first row and column, from that of its warp's. */
QN_DEVICE int32_t lane_away(int32_t away) {
    return away + (int)(threadIdx.x % 32 / 4) - (int)(threadIdx.x % 4 * 2);
}

/* Some row of the warp is local to some key of the tile: the first row to the last key, if any. */
QN_DEVICE bool any_local(int32_t away, int32_t n_keys, int32_t local_window) {
    return away - (n_keys - 1) < local_window;
}

/* The first position of some row's document is in the tile; documents never falls. */
QN_DEVICE bool any_sink(const int32_t *documents, int32_t n_rows, int32_t first_key,
                        int32_t n_keys) {
    return documents[0] < first_key + n_keys && documents[n_rows - 1] >= first_key;
}

/* The sums of a tile: alpha as raise_maximum returned it, drop = old m − new m, l that of before
 * the tile, away = position − key of this lane's column 0. The sink is the first key of all, and
 * tiles come from the last to the first: what it has weighed stays, for m rises no more. */
QN_DEVICE void add_to_row(row_stats &row, const row_sums &sums, float alpha, float drop, float l,
                          int32_t away) {
    row_stats x = row;
    x.weighted = fmaf(alpha, fmaf(drop, l, x.weighted), sums.weighted);
    x.distance = fmaf(alpha, x.distance, fmaf((float)away, sums.weights, -sums.columns));
    x.local *= alpha;
    row = x;
}

/* Σ w over the columns that are local to a row; w as exponentiate left it. */
template <int N>
QN_DEVICE float local_weight(const float (&w)[N][4], int r, int32_t away, int32_t local_window) {
    float sum = 0;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
            if (away - (n * 8 + e) < local_window) sum += w[n][r * 2 + e];
    return sum;
}

/* The weight of one column of this lane; 0 where another lane or no lane has it. */
template <int N> QN_DEVICE float weight_at(const float (&w)[N][4], int r, int32_t column) {
    float found = 0;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
            if (n * 8 + e == column) found = w[n][r * 2 + e];
    return found;
}

/* ---- when it is done ----------------------------------------------------------- */

QN_DEVICE void clear_stats(qn_attn_tile_stats &part) {
#pragma unroll
    for (int s = 0; s < QN_ATTN_N_SUMS; s++) part.sums[s] = 0;
    part.sums[QN_ATTN_MAX_LOGIT] = -INFINITY;
    part.counts[QN_ATTN_ROWS] = part.counts[QN_ATTN_ROWS_ENTROPY] = 0;
}

/* What uniform attention over the keys that a row sees would give. */
QN_DEVICE void add_baseline(qn_attn_tile_stats &part, position_span span, int32_t position,
                            int32_t document, int32_t local_window) {
    const float one = 1 / (float)(span.hi - span.lo);
    const int32_t local_lo = max_i32(span.lo, position + 1 - min_i32(local_window, position + 1));
    part.sums[QN_ATTN_BASE_P_MAX] += one;
    part.sums[QN_ATTN_BASE_DISTANCE] +=
        0.5f * ((float)(position - span.lo) + (float)(position - span.hi + 1));
    part.sums[QN_ATTN_BASE_SINK] += span_has(span, document) ? one : 0;
    part.sums[QN_ATTN_BASE_LOCAL] += (float)max_i32(span.hi - local_lo, 0) * one;
}

/* Adds a row whose sums are x and l, if it sees any key that weighs anything: where every score it
 * sees has overflowed to −inf, o is 0 and lse −inf, as if it saw none. */
QN_DEVICE void add_row(qn_attn_tile_stats &part, const row_stats &x, float m, float l,
                       position_span span, int32_t position, int32_t document,
                       int32_t local_window) {
    const int32_t n = span.hi - span.lo;
    if (n <= 0 || l == 0) return;
    const float one = 1 / l;
    part.counts[QN_ATTN_ROWS]++;
    if (n > 1) {
        part.counts[QN_ATTN_ROWS_ENTROPY]++;
        part.sums[QN_ATTN_ENTROPY] += (log2_approx(l) - x.weighted * one) / log2_approx((float)n);
    }
    part.sums[QN_ATTN_MAX_LOGIT] = fmaxf(part.sums[QN_ATTN_MAX_LOGIT], LN_2 * m);
    part.sums[QN_ATTN_P_MAX] += one;
    part.sums[QN_ATTN_DISTANCE] += x.distance * one;
    part.sums[QN_ATTN_SINK] += x.sink * one;
    part.sums[QN_ATTN_LOCAL] += x.local * one;
    add_baseline(part, span, position, document, local_window);
}

/* Over the quads of a warp: lane 0 ends with what the first lane of each quad holds. */
QN_DEVICE void merge_lanes(qn_attn_tile_stats &part) {
#pragma unroll
    for (int mask = 4; mask < 32; mask *= 2) {
#pragma unroll
        for (int s = 0; s < QN_ATTN_N_SUMS; s++) {
            const float other = __shfl_xor_sync(0xffffffffu, part.sums[s], mask);
            part.sums[s] =
                s == QN_ATTN_MAX_LOGIT ? fmaxf(part.sums[s], other) : part.sums[s] + other;
        }
#pragma unroll
        for (int c = 0; c < QN_ATTN_N_COUNTS; c++)
            part.counts[c] += __shfl_xor_sync(0xffffffffu, part.counts[c], mask);
    }
}

/* Thread s of the block adds up statistic s of the block's warps and stores it. */
QN_DEVICE void store_stats(qn_attn_tile_stats *out, const qn_attn_tile_stats *warps, int n_warps) {
    const int s = threadIdx.x, c = s - QN_ATTN_N_SUMS;
    if (s < QN_ATTN_N_SUMS) {
        float sum = warps[0].sums[s];
        for (int w = 1; w < n_warps; w++)
            sum = s == QN_ATTN_MAX_LOGIT ? fmaxf(sum, warps[w].sums[s]) : sum + warps[w].sums[s];
        out->sums[s] = sum;
    } else if (c < QN_ATTN_N_COUNTS) {
        int32_t count = 0;
        for (int w = 0; w < n_warps; w++) count += warps[w].counts[c];
        out->counts[c] = count;
    }
}

#endif
