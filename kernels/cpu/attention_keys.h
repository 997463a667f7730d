/* attention_keys.h: tiles of keys and values as a thread keeps them. It meets each with one tile
 * of queries after another, and the rows of a (B,T,H,D) tensor lie far apart in memory: a tile
 * that was packed is kept until another takes its place. */
#ifndef QUERN_CPU_ATTENTION_KEYS_H
#define QUERN_CPU_ATTENTION_KEYS_H

#include "attention_tile.h"

enum { KEPT_TILES = 32 }; /* at D = 64 these are 1 MiB, 2,048 keys and values */

/* Keys and values (TILE_KEYS, padded D), zeros after the last whole block. */
typedef struct key_tile {
    int64_t first_key;
    int n_keys;
    const float *k, *v;
} key_tile;

typedef struct key_store {
    const qn_attn_problem *problem;
    int64_t n_tiles, n_slots; /* tiles of a head; tile t goes to slot t % n_slots */
    int64_t *held;            /* 1 + the tile's number among those of all heads; 0: none */
    float *rows;              /* (n_slots, 2, TILE_KEYS, padded D) */
} key_store;

static inline int64_t key_tiles_of(const qn_attn_problem *p) {
    return ceil_div(p->mask.n_keys, TILE_KEYS);
}

/* Floats of a store, a multiple of 16. */
static inline size_t key_store_floats(const qn_attn_problem *p) {
    size_t slots = (size_t)qn_min_i64(key_tiles_of(p), KEPT_TILES);
    return (size_t)KEPT_TILES * (sizeof(int64_t) / sizeof(float)) +
           slots * 2 * TILE_KEYS * (size_t)padded_dim(p->head_dim);
}

/* An empty store at `memory`, aligned to 64. */
static inline key_store key_store_at(const qn_attn_problem *p, float *memory) {
    key_store store = {.problem = p, .n_tiles = key_tiles_of(p), .held = (void *)memory};
    store.n_slots = qn_min_i64(store.n_tiles, KEPT_TILES);
    store.rows = (float *)(store.held + KEPT_TILES);
    memset(store.held, 0, KEPT_TILES * sizeof *store.held);
    return store;
}

static inline int64_t key_tile_number(const key_store *store, int64_t b, int64_t kv_head,
                                      int64_t tile) {
    return 1 + (b * store->problem->n_kv_heads + kv_head) * store->n_tiles + tile;
}

static inline float *key_slot(const key_store *store, int64_t tile) {
    return store->rows +
           tile % store->n_slots * 2 * TILE_KEYS * padded_dim(store->problem->head_dim);
}

/* The tile, packed; it stays until n_slots tiles further on are asked for. */
static inline key_tile key_store_get(key_store *store, int64_t b, int64_t kv_head, int64_t tile) {
    const qn_attn_problem *p = store->problem;
    const qn_tensor *k = &p->args->k, *v = &p->args->v;
    const int64_t number = key_tile_number(store, b, kv_head, tile);
    float *rows = key_slot(store, tile);
    key_tile out = {.first_key = tile * TILE_KEYS,
                    .n_keys = (int)qn_min_i64(TILE_KEYS, p->mask.n_keys - tile * TILE_KEYS),
                    .k = rows,
                    .v = rows + TILE_KEYS * padded_dim(p->head_dim)};
    int64_t *held = &store->held[tile % store->n_slots];
    if (*held == number) return out;
    *held = number;
    const int64_t padded = round_up(out.n_keys, BLOCK_ROWS);
    pack_rows(rows, padded, qn_attn_row(k, b, out.first_key, kv_head), k->stride[1], out.n_keys,
              p->head_dim);
    pack_rows(rows + TILE_KEYS * padded_dim(p->head_dim), padded,
              qn_attn_row(v, b, out.first_key, kv_head), v->stride[1], out.n_keys, p->head_dim);
    return out;
}

/* ---- ahead of time ---------------------------------------------------------- */

enum { LINE_FLOATS = 16 };

/* Asks for rows that will be read, into the second-level cache. */
static inline void prefetch_rows(const float *rows, int64_t stride, int64_t n_rows, int64_t n) {
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t d = 0; d < n; d += LINE_FLOATS)
            __builtin_prefetch(rows + r * stride + d, 0, 2);
}

/* Asks for part n of TILE_PANELS of a tile, wherever it lies: a little before each panel, for
 * the memory answers only so many requests at a time. */
static inline void key_store_prefetch(const key_store *store, int64_t b, int64_t kv_head,
                                      int64_t tile, int n) {
    enum { PART = TILE_KEYS / TILE_PANELS };
    const qn_attn_problem *p = store->problem;
    const int64_t first = tile * TILE_KEYS + n * PART, dim = padded_dim(p->head_dim);
    const int64_t n_rows = qn_min_i64(PART, p->mask.n_keys - first);
    const qn_tensor *k = &p->args->k, *v = &p->args->v;
    if (n_rows <= 0) return;
    if (store->held[tile % store->n_slots] == key_tile_number(store, b, kv_head, tile)) {
        const float *rows = key_slot(store, tile) + n * PART * dim;
        prefetch_rows(rows, dim, PART, dim);
        prefetch_rows(rows + TILE_KEYS * dim, dim, PART, dim);
    } else {
        prefetch_rows(qn_attn_row(k, b, first, kv_head), k->stride[1], n_rows, p->head_dim);
        prefetch_rows(qn_attn_row(v, b, first, kv_head), v->stride[1], n_rows, p->head_dim);
    }
}

#endif
