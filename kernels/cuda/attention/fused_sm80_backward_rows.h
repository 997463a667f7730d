/* fused_sm80_backward_rows.h: rows of queries on their way to the block's keys: their tiles, what
 * they bring beside, and which of the keys they see. */
#ifndef QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_ROWS_H
#define QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_ROWS_H

#include <math.h>

#include "fused_sm80_backward_order.h"
#include "fused_sm80_backward_shape.h"
#include "online_softmax.h"

/* ---- tiles of queries --------------------------------------------------------------- */

template <typename Shape>
QN_DEVICE void load_queries(const qn_attn_params &p, const key_place &place, query_step step,
                            uint32_t stage) {
    const int32_t first = step.tile * Shape::QUERIES;
    load_tile<Shape::QUERIES, Shape::DIM, Shape::THREADS>(
        stage, rows_of(p.q, place.batch, step.head), first, p.n_queries, p.head_dim);
    load_tile<Shape::QUERIES, Shape::DIM, Shape::THREADS>(stage + Shape::QUERY_BYTES,
                                                          rows_of(p.dout, place.batch, step.head),
                                                          first, p.n_queries, p.head_dim);
    cp_async_commit();
}

/* Of the row that is threadIdx.x in its tile. */
struct row_fact {
    float minus_lse2, minus_delta;
    uint32_t seen;
};

template <typename Shape>
QN_DEVICE row_fact fetch_fact(const qn_attn_params &p, const key_place &place, query_step step) {
    const int32_t first_row = step.tile * Shape::QUERIES, index = threadIdx.x;
    row_fact fact = {-INFINITY, 0, 0};
    if (index >= Shape::QUERIES || index >= p.n_queries - first_row) return fact;
    const int64_t row = first_row + index;
    const float lse = p.lse[place.batch * p.lse_batch + step.head * p.lse_head + row * p.lse_row];
    if (lse != -INFINITY) fact.minus_lse2 = lse * -LOG2_E;
    fact.minus_delta = -p.delta[((int64_t)place.batch * p.n_heads + step.head) * p.n_queries + row];
    const position_span span = keys_seen(p, place.batch, (int32_t)row);
    const int32_t first_key = place.tile * Shape::KEYS;
    const int32_t lo = max_i32(span.lo - first_key, 0);
    const int32_t hi = min_i32(span.hi - first_key, Shape::KEYS);
    if (lo < hi) fact.seen = (uint32_t)(lo | (hi - lo) << 8);
    return fact;
}

/* Begins to copy a tile of queries if there is one, and returns this thread's fact of it. */
template <typename Shape>
QN_DEVICE row_fact begin_step(const qn_attn_params &p, const key_place &place, query_step step,
                              bool exists, uint32_t stage) {
    if (!exists) return {};
    load_queries<Shape>(p, place, step, stage);
    return fetch_fact<Shape>(p, place, step);
}

template <typename Shape> QN_DEVICE void put_fact(row_facts<Shape> &facts, const row_fact &fact) {
    if (threadIdx.x >= Shape::QUERIES) return;
    facts.minus_lse2[threadIdx.x] = fact.minus_lse2;
    facts.minus_delta[threadIdx.x] = fact.minus_delta;
    facts.seen[threadIdx.x / 2].of[threadIdx.x % 2] = (uint16_t)fact.seen;
}

/* ---- which keys they see --------------------------------------------------------------- */

/* What the queries from `query` on see of a warp's keys. */
enum sight { SEES_ALL, SEES_SOME, SEES_NONE };

/* Is one of the keys from `first` to `first + n` seen? */
QN_DEVICE bool sees_one(uint32_t seen, uint32_t first, uint32_t n) {
    const uint32_t lo = seen & 255, hi = lo + (seen >> 8);
    return lo < hi && lo < first + n && first < hi;
}

/* Of this lane's two rows in columns 8n to 8n + 7 of the scores. */
template <typename Shape>
QN_DEVICE seen_pair seen_by(const row_facts<Shape> &facts, int query, int n) {
    return facts.seen[query / 2 + n * 4 + threadIdx.x % 4];
}

template <typename Shape>
QN_DEVICE sight sight_of(const row_facts<Shape> &facts, int query, int warp_key) {
    constexpr uint32_t ALL = Shape::KEYS << 8, WHOLE_WARP = 0xffffffffu;
    uint32_t hidden = 0;
    bool one = false;
#pragma unroll
    for (int n = 0; n < Shape::COLUMNS / 8; n++) {
        const seen_pair seen = seen_by(facts, query, n);
        hidden |= (seen.of[0] ^ ALL) | (seen.of[1] ^ ALL);
    }
    if (!__ballot_sync(WHOLE_WARP, hidden != 0)) return SEES_ALL;
#pragma unroll
    for (int n = 0; n < Shape::COLUMNS / 8; n++) {
        const seen_pair seen = seen_by(facts, query, n);
        one |= sees_one(seen.of[0], warp_key, Shape::WARP_KEYS) ||
               sees_one(seen.of[1], warp_key, Shape::WARP_KEYS);
    }
    return __ballot_sync(WHOLE_WARP, one) ? SEES_SOME : SEES_NONE;
}

QN_DEVICE bool sees_key(uint32_t seen, uint32_t key) { return key - (seen & 255) < seen >> 8; }

/* Pᵀ or dSᵀ of a warp's keys and COLUMNS queries in bf16, as the A operand of products over the
 * queries. */
template <typename Shape> struct packed_scores {
    uint32_t a[Shape::COLUMNS / 16][Shape::STRIPS][4];
};

/* Zeros in P and dS where a query does not see a key, whatever exp2 has made of its score. Packed,
 * they leave registers enough for it. */
template <typename Shape>
QN_DEVICE void hide(packed_scores<Shape> &p, packed_scores<Shape> &ds,
                    const row_facts<Shape> &facts, int query, int warp_key) {
    const uint32_t first_key = warp_key + threadIdx.x % 32 / 4;
#pragma unroll
    for (int n = 0; n < Shape::COLUMNS / 8; n++) {
        const seen_pair seen = seen_by(facts, query, n);
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const uint32_t key = first_key + m * 16 + r * 8;
                const uint32_t mask = (sees_key(seen.of[0], key) ? 0xffffu : 0) |
                                      (sees_key(seen.of[1], key) ? 0xffff0000u : 0);
                p.a[n / 2][m][n % 2 * 2 + r] &= mask;
                ds.a[n / 2][m][n % 2 * 2 + r] &= mask;
            }
    }
}

#endif
