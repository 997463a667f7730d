/* fused_sm80_backward.cu: the fused backward pass for compute capability 8.0 and later, which
 * recomputes P from q, k and lse (Dao, FlashAttention-2, 2307.08691, algorithm 2). */
#include <math.h>

#include "launch.h"
#include "mask.h"
#include "online_softmax.h"
#include "tile.h"

/* Up to DIM elements a head. A block has KEYS keys and takes QUERIES query rows at a time. Its
 * warps stand in KEY_WARPS columns of 16·STRIPS keys and QUERY_WARPS rows; those of one column
 * share keys and divide the queries. STAGES tiles of queries are in shared memory. For dq the
 * warps divide the tile anew, into parts of 16·DQ_STRIPS queries and DQ_COLUMNS elements. */
template <int DIM_, int QUERIES_, int KEYS_, int KEY_WARPS, int QUERY_WARPS_, int DQ_STRIPS_,
          int STAGES_>
struct backward_shape {
    static constexpr int DIM = DIM_, QUERIES = QUERIES_, KEYS = KEYS_;
    static constexpr int QUERY_WARPS = QUERY_WARPS_, STAGES = STAGES_;
    static constexpr int WARPS = KEY_WARPS * QUERY_WARPS, THREADS = WARPS * 32;
    static constexpr int WARP_KEYS = KEYS / KEY_WARPS, STRIPS = WARP_KEYS / 16;
    static constexpr int WARP_QUERIES = QUERIES / QUERY_WARPS;
    static constexpr int COLUMNS = 64 / STRIPS; /* queries whose scores a warp holds at once */
    static constexpr int DQ_STRIPS = DQ_STRIPS_, DQ_PARTS = QUERIES / (16 * DQ_STRIPS);
    static constexpr int DQ_COLUMNS = DIM * DQ_PARTS / WARPS;
    static constexpr int DQ_LANE_FLOATS = DQ_STRIPS * DQ_COLUMNS / 2;
    static constexpr int GRADIENT_FLOATS = STRIPS * DIM / 2; /* of dk, and of dv, in a lane */

    static constexpr uint32_t KEY_BYTES = tile_bytes<KEYS, DIM>(),
                              QUERY_BYTES = tile_bytes<QUERIES, DIM>(),
                              DS_BYTES = tile_bytes<KEYS, QUERIES>(),
                              FACT_BYTES = QUERIES * (4 + 4 + 2);
    static constexpr uint32_t SHARED_BYTES =
        2 * KEY_BYTES + STAGES * 2 * QUERY_BYTES + 2 * DS_BYTES + STAGES * FACT_BYTES + TILE_ALIGN;

    static_assert(KEYS <= 128, "a number of keys is one byte of row_facts");
    static_assert(WARP_QUERIES % COLUMNS == 0 && THREADS >= QUERIES, "whole turns");
    static_assert(QUERY_WARPS == 1 ||
                      WARPS * GRADIENT_FLOATS * 128 <= STAGES * 2 * QUERY_BYTES + 2 * DS_BYTES,
                  "room to add what two warps gathered");
};

/* ---- shared memory -------------------------------------------------------------- */

/* Two rows' keys in the block's tile: the first that is seen in the low byte, their number in the
 * high one. */
struct alignas(4) seen_pair {
    uint16_t of[2];
};

/* What a query row brings beside q and dout. Rows that see nothing, or do not exist, have
 * minus_lse2 = −inf, so that P is 0. */
template <typename Shape> struct row_facts {
    float minus_lse2[Shape::QUERIES], minus_delta[Shape::QUERIES]; /* lse in base 2 */
    seen_pair seen[Shape::QUERIES / 2];
};

template <typename Shape> struct backward_shared {
    uint8_t *k, *v;
    uint8_t *queries; /* STAGES times q, dout */
    uint8_t *ds;      /* twice: dSᵀ of a tile, rows are keys */
    row_facts<Shape> *facts;
};

template <typename Shape> QN_DEVICE backward_shared<Shape> divide_shared() {
    backward_shared<Shape> shared;
    shared.k = aligned_shared();
    shared.v = shared.k + Shape::KEY_BYTES;
    shared.queries = shared.v + Shape::KEY_BYTES;
    shared.ds = shared.queries + Shape::STAGES * 2 * Shape::QUERY_BYTES;
    shared.facts = (row_facts<Shape> *)(shared.ds + 2 * Shape::DS_BYTES);
    return shared;
}

/* ---- which block does what -------------------------------------------------------- */

/* Blocks start in the order of their index: the key tiles of one head together, so that they
 * share its queries in the L2 cache, and the first ones, the longest under a causal mask, first. */
struct key_place {
    int32_t batch, kv_head, tile;
    int32_t first_head, n_heads; /* query heads of the group */
    int32_t first_tile, n_tiles; /* tiles of queries that may see a key of the tile */
    int32_t n_steps;             /* n_heads·n_tiles */
    int32_t n_query_tiles;       /* of a head */
};

template <typename Shape>
QN_DEVICE key_place place_block(const qn_attn_params &p, uint32_t n_key_tiles) {
    const uint32_t head = blockIdx.x / n_key_tiles;
    key_place place;
    place.tile = (int32_t)(blockIdx.x % n_key_tiles);
    place.batch = (int32_t)(head / p.n_kv_heads);
    place.kv_head = (int32_t)(head % p.n_kv_heads);
    place.n_heads = p.n_heads / p.n_kv_heads;
    place.first_head = place.kv_head * place.n_heads;
    place.n_query_tiles = (p.n_queries - 1) / Shape::QUERIES + 1;
    const int32_t first_key = place.tile * Shape::KEYS;
    const int32_t last_key = first_key + min_i32(Shape::KEYS, p.n_keys - first_key) - 1;
    const int32_t lo = rows_that_see(p, place.batch, first_key).lo;
    const int32_t hi = min_i32(rows_that_see(p, place.batch, last_key).hi, p.n_queries);
    place.first_tile = lo / Shape::QUERIES;
    place.n_tiles = lo < hi ? (hi - 1) / Shape::QUERIES + 1 - place.first_tile : 0;
    place.n_steps = place.n_heads * place.n_tiles;
    return place;
}

/* One tile of queries of one head of the group. A block takes the heads in order, and the tiles
 * of each from the last to the first. */
struct query_step {
    int32_t head, tile;
};

QN_DEVICE query_step first_step(const key_place &place) {
    return {place.first_head, place.first_tile + place.n_tiles - 1};
}

QN_DEVICE query_step step_after(query_step step, const key_place &place) {
    if (step.tile > place.first_tile) return {step.head, step.tile - 1};
    return {step.head + 1, place.first_tile + place.n_tiles - 1};
}

QN_DEVICE query_step step_before(query_step step, const key_place &place) {
    if (step.tile < place.first_tile + place.n_tiles - 1) return {step.head, step.tile + 1};
    return {step.head - 1, place.first_tile};
}

/* How many tiles of the group's heads come before this one in that order. */
QN_DEVICE int32_t rank_of(query_step step, const key_place &place) {
    return (step.head - place.first_head) * place.n_query_tiles + place.n_query_tiles - 1 -
           step.tile;
}

/* Where dq of a tile of queries gathers: DQ_LANE_FLOATS times 32 for each warp, each 32 in the
 * order of the lanes, so that one addition of a warp is 128 bytes in sequence. */
template <typename Shape>
QN_DEVICE float *dq_sums(const qn_attn_params &p, int64_t batch, int64_t head, int32_t tile,
                         int32_t n_query_tiles) {
    const int64_t index = (batch * p.n_heads + head) * n_query_tiles + tile;
    return p.dq_sum + index * (Shape::QUERIES * Shape::DIM) +
           threadIdx.x / 32 * (Shape::DQ_LANE_FLOATS * 32) + threadIdx.x % 32;
}

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

/* ---- products ------------------------------------------------------------------------ */

/* c (keys × queries) += a·bᵀ, with a the warp's keys or values, b queries from `row` on. */
template <typename Shape>
QN_DEVICE void multiply_rows(float (&c)[Shape::STRIPS][Shape::COLUMNS / 8][4],
                             fragment_lane<Shape::DIM> a_lane, fragment_lane<Shape::DIM> b_lane,
                             int row) {
#pragma unroll
    for (int step = 0; step < Shape::DIM / 16; step++) {
        uint32_t a[Shape::STRIPS][4], b[4];
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++) ldmatrix_x4(a[m], a_lane.at(m * 16, step));
#pragma unroll
        for (int n = 0; n < Shape::COLUMNS / 8; n += 2) {
            ldmatrix_x4(b, b_lane.at(row + n * 8, step));
#pragma unroll
            for (int m = 0; m < Shape::STRIPS; m++) {
                mma_m16n8k16(c[m][n], a[m], low_half(b));
                mma_m16n8k16(c[m][n + 1], a[m], high_half(b));
            }
        }
    }
}

/* c (keys × queries) in bf16, as A of a product over queries. */
template <typename Shape> struct packed_scores {
    uint32_t a[Shape::COLUMNS / 16][Shape::STRIPS][4];
};

template <typename Shape>
QN_DEVICE packed_scores<Shape> pack(const float (&c)[Shape::STRIPS][Shape::COLUMNS / 8][4]) {
    packed_scores<Shape> packed;
#pragma unroll
    for (int step = 0; step < Shape::COLUMNS / 16; step++)
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                packed.a[step][m][i] = pack_bf16(c[m][step * 2 + i / 2][i % 2 * 2],
                                                 c[m][step * 2 + i / 2][i % 2 * 2 + 1]);
    return packed;
}

/* A lane's part of dk or of dv: the accumulators of the warp's keys × DIM. */
template <typename Shape> using key_gradient = float[Shape::STRIPS][Shape::DIM / 8][4];

/* gradient += w·(rows from `row` on of q or dout). */
template <typename Shape>
QN_DEVICE void add_gradient(key_gradient<Shape> &gradient, const packed_scores<Shape> &w,
                            fragment_lane<Shape::DIM> lane, int row) {
#pragma unroll
    for (int step = 0; step < Shape::COLUMNS / 16; step++)
#pragma unroll
        for (int n = 0; n < Shape::DIM / 8; n += 2) {
            uint32_t b[4];
            ldmatrix_x4_trans(b, lane.at(row + step * 16, n / 2));
#pragma unroll
            for (int m = 0; m < Shape::STRIPS; m++) {
                mma_m16n8k16(gradient[m][n], w.a[step][m], low_half(b));
                mma_m16n8k16(gradient[m][n + 1], w.a[step][m], high_half(b));
            }
        }
}

/* ---- masks ---------------------------------------------------------------------------- */

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

/* ---- a tile of queries meets the block's keys -------------------------------------------- */

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

/* Pᵀ = 2^(Sᵀ·base2 − lse2), in place of Sᵀ. */
template <typename Shape>
QN_DEVICE void weigh(float (&s)[Shape::STRIPS][Shape::COLUMNS / 8][4],
                     const row_facts<Shape> &facts, int query, float base2) {
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
QN_DEVICE void begin_dp(float (&dp)[Shape::STRIPS][Shape::COLUMNS / 8][4],
                        const row_facts<Shape> &facts, int query) {
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
        float p[Shape::STRIPS][Shape::COLUMNS / 8][4] = {};
        multiply_rows<Shape>(p, lanes.k, lanes.q, query);
        weigh(p, facts, query, base2);

        float ds_terms[Shape::STRIPS][Shape::COLUMNS / 8][4];
        begin_dp(ds_terms, facts, query);
        multiply_rows<Shape>(ds_terms, lanes.v, lanes.dout, query);
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++)
#pragma unroll
            for (int n = 0; n < Shape::COLUMNS / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) ds_terms[m][n][i] *= p[m][n][i];

        packed_scores<Shape> weights = pack<Shape>(p), packed = pack<Shape>(ds_terms);
        if (seen == SEES_SOME) hide(weights, packed, facts, query, warp_key);
        store_ds(ds, packed, query, warp_key);
        add_gradient(dv, weights, lanes.dout_trans, query);
        add_gradient(dk, packed, lanes.q_trans, query);
    }
}

/* ---- dq --------------------------------------------------------------------------------- */

/* A lane's part of dq. */
template <typename Shape> using query_gradient = float[Shape::DQ_STRIPS][Shape::DQ_COLUMNS / 8][4];

/* The warp's first row and column in a tile of dq. */
template <typename Shape> struct dq_corner {
    int row, column;

    QN_DEVICE dq_corner()
        : row(threadIdx.x / 32 % Shape::DQ_PARTS * (16 * Shape::DQ_STRIPS)),
          column(threadIdx.x / 32 / Shape::DQ_PARTS * Shape::DQ_COLUMNS) {}
};

/* dq = dS·k. */
template <typename Shape>
QN_DEVICE void multiply_keys(query_gradient<Shape> &dq, uint32_t ds_tile, uint32_t k_tile) {
    const dq_corner<Shape> corner;
    const int lane = threadIdx.x % 32;
    const fragment_lane<Shape::QUERIES> a_lane = lane_of_columns<Shape::QUERIES>(ds_tile, 0, lane);
    const fragment_lane<Shape::DIM> b_lane = lane_of_rows<Shape::DIM>(k_tile, 0, lane);
#pragma unroll
    for (int key = 0; key < Shape::KEYS; key += 16) {
        uint32_t a[Shape::DQ_STRIPS][4], b[4];
#pragma unroll
        for (int m = 0; m < Shape::DQ_STRIPS; m++)
            ldmatrix_x4_trans(a[m], a_lane.at(key, corner.row / 16 + m));
#pragma unroll
        for (int n = 0; n < Shape::DQ_COLUMNS / 8; n += 2) {
            ldmatrix_x4_trans(b, b_lane.at(key, corner.column / 16 + n / 2));
#pragma unroll
            for (int m = 0; m < Shape::DQ_STRIPS; m++) {
                mma_m16n8k16(dq[m][n], a[m], low_half(b));
                mma_m16n8k16(dq[m][n + 1], a[m], high_half(b));
            }
        }
    }
}

/* Adds a tile's dS·k to its sums. ORDERED: when the block of the keys before has added its own
 * or has none to add, which the rank that it published says; then publishes this block's. */
template <typename Shape, bool ORDERED>
QN_DEVICE void add_dq(const qn_attn_params &p, const key_place &place, query_step step,
                      uint32_t ds_tile, uint32_t k_tile) {
    query_gradient<Shape> dq = {};
    multiply_keys<Shape>(dq, ds_tile, k_tile);
    if (ORDERED) {
        if (threadIdx.x == 0 && place.tile > 0)
            semaphore_wait(&p.semaphores[blockIdx.x - 1], rank_of(step, place) + 1);
        __syncthreads(); /* it is this block's turn */
    }
    float *const sums = dq_sums<Shape>(p, place.batch, step.head, step.tile, place.n_query_tiles);
#pragma unroll
    for (int m = 0; m < Shape::DQ_STRIPS; m++)
#pragma unroll
        for (int n = 0; n < Shape::DQ_COLUMNS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                reduce_add(sums + ((m * (Shape::DQ_COLUMNS / 8) + n) * 4 + i) * 32, dq[m][n][i]);
    if (ORDERED) {
        __syncthreads(); /* all threads have added */
        if (threadIdx.x == 0)
            semaphore_release(&p.semaphores[blockIdx.x], rank_of(step_after(step, place), place));
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

/* ---- the kernels ----------------------------------------------------------------- */

/* One block: KEYS keys of one head, against the tiles of QUERIES rows that see any of them, of
 * all query heads of the group; so dk and dv gather in registers and are written once, without
 * atomics. Shared memory, swizzled as tile.h says: k and v of the block; q and dout of STAGES
 * tiles, so that the next arrive meanwhile; dSᵀ of two tiles; what row_facts holds.
 *
 * A warp computes Sᵀ and dPᵀ of its keys, 64 accumulators a lane at a time: as accumulators they
 * have just the layout in which Pᵀ and dSᵀ are the A operand of dv += Pᵀ·dout and dk += dSᵀ·q, so
 * neither leaves the registers for these. Only dSᵀ goes to shared memory too, for dq = dS·k needs
 * all keys. This product comes a tile late, beside the next tile's: so one barrier a tile does
 * for all, the arrival of q and dout, dSᵀ, and the end of reading what is overwritten next. dq
 * is added to fp32 sums in global memory.
 *
 * Masks only touch warps that see a part of their keys, and a warp whose keys are hidden from all
 * rows does no products. Rows past the last one are zeros with P = 0; keys past the last one are
 * seen by no row.
 *
 * Bank conflicts: none. Tiles and fragments as tile.h says (dSᵀ is stored like accumulators and
 * read by ldmatrix); row_facts are read 4 or 8 bytes in sequence by the lanes of a quad, the same
 * in all quads; what warps exchange at the end is 128 bytes in sequence.
 *
 * ORDERED: blocks add to a tile of dq in the order of their keys, so that its bits are always the
 * same. All blocks of a head take the tiles from the last to the first, and each publishes the
 * rank of the next tile it will add to; its successor adds to tiles of lower rank only. The tiles
 * that see a block's keys are an interval neither end of which falls from one block to the next;
 * so a tile that the predecessor leaves out before its own first is left out by all before it.
 * A block waits only for the one whose index is one less. Blocks start in the order of their
 * index, so that one is running or done; by induction from the first, which waits for none, no
 * block waits for ever, whatever doc_start holds.
 *
 * Work: 10·D operations for each pair of query and key in tiles not skipped. Bytes: k, v, dk and
 * dv once; q, dout, lse and delta once for each tile of keys, from L2 mostly, and as often 4·D a
 * row added to dq. */
template <typename Shape, bool ORDERED>
__global__ void __launch_bounds__(Shape::THREADS, 1)
    fused_sm80_backward(const __grid_constant__ qn_attn_params p,
                        const __grid_constant__ float base2, uint32_t n_key_tiles) {
    constexpr int KEY_WARPS = Shape::WARPS / Shape::QUERY_WARPS;
    const backward_shared<Shape> shared = divide_shared<Shape>();
    const uint32_t k_tile = shared_address(shared.k), v_tile = shared_address(shared.v);
    const uint32_t queries = shared_address(shared.queries), ds_tiles = shared_address(shared.ds);
    const int warp_key = threadIdx.x / 32 % KEY_WARPS * Shape::WARP_KEYS;
    const int warp_query = threadIdx.x / 32 / KEY_WARPS * Shape::WARP_QUERIES;

    QN_SHARED(key_place, place, ); /* for the loop, where registers are scarce */
    const key_place here = place_block<Shape>(p, n_key_tiles);
    query_step step = first_step(here);
    if (threadIdx.x == 0) place = here;
    if (ORDERED && threadIdx.x == 0)
        semaphore_release(&p.semaphores[blockIdx.x], here.n_steps > 0
                                                         ? rank_of(step, here)
                                                         : here.n_heads * here.n_query_tiles);

    key_gradient<Shape> dk = {}, dv = {};
    if (here.n_steps > 0) {
        const int32_t first_key = here.tile * Shape::KEYS;
        load_tile<Shape::KEYS, Shape::DIM, Shape::THREADS>(
            k_tile, rows_of(p.k, here.batch, here.kv_head), first_key, p.n_keys, p.head_dim);
        load_tile<Shape::KEYS, Shape::DIM, Shape::THREADS>(
            v_tile, rows_of(p.v, here.batch, here.kv_head), first_key, p.n_keys, p.head_dim);
        put_fact(shared.facts[0], begin_step<Shape>(p, here, step, true, queries));
        int32_t i = 0;
        do {
            const int stage = i % Shape::STAGES, next_stage = (i + 1) % Shape::STAGES;
            cp_async_wait<0>();
            __syncthreads(); /* q, dout and facts are there, dSᵀ of the last tile is complete */
            const bool more = i + 1 < place.n_steps;
            row_fact fact;
            if (Shape::STAGES > 1)
                fact = begin_step<Shape>(p, place, step_after(step, place), more,
                                         queries + next_stage * 2 * Shape::QUERY_BYTES);
            if (i > 0)
                add_dq<Shape, ORDERED>(p, place, step_before(step, place),
                                       ds_tiles + (i - 1) % 2 * Shape::DS_BYTES, k_tile);
            if (Shape::STAGES > 1) put_fact(shared.facts[next_stage], fact);
            meet<Shape>(dk, dv, place_lanes(shared, stage, warp_key), shared.facts[stage],
                        shared.ds + i % 2 * Shape::DS_BYTES, warp_query, warp_key, base2);
            step = step_after(step, place);
            i++;
            if (Shape::STAGES == 1) {
                __syncthreads(); /* q, dout and facts have been read */
                put_fact(shared.facts[0],
                         begin_step<Shape>(p, place, step, i < place.n_steps, queries));
            }
        } while (i < place.n_steps);
        __syncthreads(); /* dSᵀ of the last tile is complete */
        add_dq<Shape, ORDERED>(p, place, step_before(step, place),
                               ds_tiles + (i - 1) % 2 * Shape::DS_BYTES, k_tile);
    }
    store_gradients<Shape>(p, place, shared, dk, dv, warp_key);
}

/* dq = scale·(its sums), in bf16. One block a tile of queries of one head, with the threads of
 * the kernel above: each reads the sums that it would have added to there, and rows are made of
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

/* ---- launching ------------------------------------------------------------------- */

using shape_64 = backward_shape<64, 128, 128, 4, 2, 2, 2>;
using shape_128 = backward_shape<128, 64, 128, 8, 1, 2, 2>;
/* For devices with 100 KB of shared memory. */
using shape_64_small = backward_shape<64, 64, 128, 4, 2, 1, 2>;
using shape_128_small = backward_shape<128, 64, 64, 4, 1, 4, 1>;

enum { MOST_QUERIES = 128, FEWEST_KEYS = 64 }; /* of these */

template <typename Shape, bool ORDERED>
static int launch_main(const qn_attn_params &p, struct CUstream_st *stream) {
    if (p.n_keys == 0) return 0;
    const uint32_t n_key_tiles = (uint32_t)(((int64_t)p.n_keys - 1) / Shape::KEYS + 1);
    QN_LAUNCH((fused_sm80_backward<Shape, ORDERED>),
              dim3(n_key_tiles * (uint32_t)p.batch * (uint32_t)p.n_kv_heads), dim3(Shape::THREADS),
              Shape::SHARED_BYTES, stream, p, p.scale * LOG2_E, n_key_tiles);
    return QN_LAUNCH_ERROR();
}

template <typename Shape> static int allow_shared() {
    const int error = QN_ALLOW_SHARED((fused_sm80_backward<Shape, false>), Shape::SHARED_BYTES);
    if (error) return error;
    return QN_ALLOW_SHARED((fused_sm80_backward<Shape, true>), Shape::SHARED_BYTES);
}

template <typename Shape> static int launch(const qn_attn_params &p, struct CUstream_st *stream) {
    const int32_t n_query_tiles = (p.n_queries - 1) / Shape::QUERIES + 1;
    const int64_t dq_head = (int64_t)n_query_tiles * Shape::QUERIES * Shape::DIM;
    const int64_t n_semaphores =
        p.semaphores ? p.batch * p.n_kv_heads * qn_attn_backward_semaphores(p.n_keys) : 0;
    int error = qn_attn_delta(&p, dq_head, n_semaphores, stream);
    if (!error)
        error = p.semaphores ? launch_main<Shape, true>(p, stream)
                             : launch_main<Shape, false>(p, stream);
    if (error) return error;
    QN_LAUNCH((finish_dq<Shape>),
              dim3((uint32_t)n_query_tiles * (uint32_t)p.batch * (uint32_t)p.n_heads),
              dim3(Shape::THREADS), Shape::QUERY_BYTES + TILE_ALIGN, stream, p, n_query_tiles);
    return QN_LAUNCH_ERROR();
}

/* The larger shape where the device has shared memory enough. */
template <typename Large, typename Small>
static int launch_fitting(const qn_attn_params &p, struct CUstream_st *stream) {
    if (!allow_shared<Large>()) return launch<Large>(p, stream);
    (void)QN_LAUNCH_ERROR(); /* forgets the refusal */
    const int error = allow_shared<Small>();
    return error ? error : launch<Small>(p, stream);
}

int qn_attn_fused_sm80_backward(const qn_attn_params *p, struct CUstream_st *stream) {
    if (p->head_dim <= 64) return launch_fitting<shape_64, shape_64_small>(*p, stream);
    return launch_fitting<shape_128, shape_128_small>(*p, stream);
}

int64_t qn_attn_backward_dq_floats(int64_t head_dim, int64_t n_queries) {
    return (n_queries + MOST_QUERIES - 1) / MOST_QUERIES * MOST_QUERIES *
           (head_dim <= 64 ? 64 : 128);
}

int64_t qn_attn_backward_semaphores(int64_t n_keys) {
    return (n_keys + FEWEST_KEYS - 1) / FEWEST_KEYS;
}
