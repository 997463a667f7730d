/* fused_sm80_backward_shape.h: the shape of a block of the fused backward pass, and what lies where
 * in its shared memory. */
#ifndef QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_SHAPE_H
#define QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_SHAPE_H

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

#endif
