/* fused_sm80_backward_order.h: which block of the fused backward pass does what, in which order,
 * and who waits for whom where the bits of dq are to be the same each time. */
#ifndef QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_ORDER_H
#define QUERN_CUDA_ATTENTION_FUSED_SM80_BACKWARD_ORDER_H

#include "mask.h"

/* ---- which keys a block has --------------------------------------------------------- */

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

/* ---- the order of a block's steps ------------------------------------------------------ */

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

/* ---- the order of blocks --------------------------------------------------------------- */

/* Blocks add to a tile of dq in the order of their keys, so that its bits are always the same. All
 * blocks of a head take the tiles from the last to the first, and each publishes the rank of the
 * next tile it will add to; its successor adds to tiles of lower rank only. The tiles that see a
 * block's keys are an interval neither end of which falls from one block to the next; so a tile
 * that the predecessor leaves out before its own first is left out by all before it.
 * A block waits only for the one whose index is one less. Blocks start in the order of their
 * index, so that one is running or done; by induction from the first, which waits for none, no
 * block waits for ever, whatever doc_start holds. */

/* How many tiles of the group's heads come before this one in that order. */
QN_DEVICE int32_t rank_of(query_step step, const key_place &place) {
    return (step.head - place.first_head) * place.n_query_tiles + place.n_query_tiles - 1 -
           step.tile;
}

/* The rank of the first tile that a block will add to; past all where it adds to none. One thread.
 */
QN_DEVICE void publish_first(const qn_attn_params &p, const key_place &place) {
    semaphore_release(&p.semaphores[blockIdx.x], place.n_steps > 0
                                                     ? rank_of(first_step(place), place)
                                                     : place.n_heads * place.n_query_tiles);
}

/* Waits until the block of the keys before has added its own to a tile or has none to add. Whole
 * block. */
QN_DEVICE void await_turn(const qn_attn_params &p, const key_place &place, query_step step) {
    if (threadIdx.x == 0 && place.tile > 0)
        semaphore_wait(&p.semaphores[blockIdx.x - 1], rank_of(step, place) + 1);
    __syncthreads(); /* it is this block's turn */
}

/* Ends it. Whole block. */
QN_DEVICE void end_turn(const qn_attn_params &p, const key_place &place, query_step step) {
    __syncthreads(); /* all threads have added */
    if (threadIdx.x == 0)
        semaphore_release(&p.semaphores[blockIdx.x], rank_of(step_after(step, place), place));
}

#endif
