/* attention_fused_backward.c: the backward pass, which recomputes P from q, k and lse
 * (Dao, FlashAttention-2, 2307.08691, algorithm 2).
 *
 * Tiles of queries meet tiles of keys; each meeting yields P and dS of the pair and from
 * them its terms of dq, dk and dv. Two plans, both free of atomics, and of equal bits,
 * for every sum runs over ascending tiles in both:
 * - whole heads: a unit is one key head of one sequence, and makes dq, dk and dv in one
 *   sweep of five products; its dk and dv gather in the workspace.
 * - two sweeps: units are tiles of keys, which make dk and dv, and then tiles of queries,
 *   which make dq. Seven products, but units enough for any number of threads. */
#include <math.h>
#include <omp.h>

#include "attention_keys.h"

/* ---- the plan --------------------------------------------------------------- */

typedef struct backward_plan {
    bool whole_heads;
    int threads;
    int64_t query_tiles, key_tiles;
    int64_t gathered_keys; /* rows of dk and dv that a thread gathers */
    size_t per_thread;     /* floats of the workspace */
} backward_plan;

/* A tile of queries, packed both ways, and its gradient. */
typedef struct query_tile {
    tile_panel panel[TILE_PANELS];
    float lse[TILE_QUERIES], delta[TILE_QUERIES]; /* lse in base 2 */
    int64_t first_row, n_rows;
    int n_panels;
} query_tile;

enum { QUERY_TILE_FLOATS = (sizeof(query_tile) + 63) / 64 * 16 };

/* Floats of a thread: the query tile, q and dout packed both ways and dq; P and dS; keys and
 * values; dk and dv. */
static size_t thread_floats(const qn_attn_problem *p, int64_t gathered_keys) {
    size_t dim = (size_t)padded_dim(p->head_dim);
    size_t tiles = QUERY_TILE_FLOATS + 5 * TILE_QUERIES * dim + 2 * TILE_KEYS * TILE_QUERIES +
                   key_store_floats(p);
    return round_up((int64_t)(tiles + 2 * (size_t)gathered_keys * dim), 16);
}

static backward_plan make_plan(const qn_attn_problem *p) {
    backward_plan plan = {
        .query_tiles = ceil_div(p->mask.n_queries, TILE_QUERIES),
        .key_tiles = key_tiles_of(p),
    };
    int64_t heads = p->batch * p->n_kv_heads;
    /* Time in products: five for each round of whole heads, or seven spread evenly. */
    plan.whole_heads = 5 * ceil_div(heads, p->n_threads) * p->n_threads <= 7 * heads;
    int64_t units = plan.whole_heads ? heads : heads * p->group * plan.key_tiles;
    plan.threads = (int)qn_min_i64(p->n_threads, units);
    plan.gathered_keys = plan.whole_heads ? plan.key_tiles * TILE_KEYS : TILE_KEYS;
    plan.per_thread = thread_floats(p, plan.gathered_keys);
    return plan;
}

size_t qn_attn_fused_backward_workspace(const qn_attn_problem *p) {
    backward_plan plan = make_plan(p);
    return qn_size_mul(qn_size_mul(plan.per_thread, (size_t)plan.threads), sizeof(float));
}

/* What a thread works on. */
typedef struct backward_thread {
    const qn_attn_problem *problem;
    int64_t dim; /* padded */
    query_tile *queries;
    float *q_panels, *dout_panels, *dq_panels; /* (TILE_PANELS, D, PANEL) */
    float *q, *dout;                           /* (TILE_QUERIES, dim) */
    float *p, *ds;                             /* (TILE_KEYS, TILE_QUERIES) */
    key_store keys;
    float *dk, *dv; /* (gathered_keys, dim) */
} backward_thread;

static backward_thread thread_of(const qn_attn_problem *p, const backward_plan *plan, int index) {
    float *at = (float *)p->args->workspace + (size_t)index * plan->per_thread;
    backward_thread t = {.problem = p, .dim = padded_dim(p->head_dim), .queries = (void *)at};
    int64_t query_floats = TILE_QUERIES * t.dim;
    t.q_panels = at + QUERY_TILE_FLOATS;
    t.dout_panels = t.q_panels + query_floats;
    t.dq_panels = t.dout_panels + query_floats;
    t.q = t.dq_panels + query_floats;
    t.dout = t.q + query_floats;
    t.p = t.dout + query_floats;
    t.ds = t.p + TILE_KEYS * TILE_QUERIES;
    t.keys = key_store_at(p, t.ds + TILE_KEYS * TILE_QUERIES);
    t.dk = t.ds + TILE_KEYS * TILE_QUERIES + key_store_floats(p);
    t.dv = t.dk + plan->gathered_keys * t.dim;
    return t;
}

/* ---- tiles in and out ------------------------------------------------------------ */

static float dot(const float *x, const float *y, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* lse and delta = rowsum(dout ∘ o) of the rows. Where P is to be 0, that is in rows that see
 * nothing and in lanes past the last row, lse is +inf. */
static void load_row_scalars(backward_thread *t, int64_t b, int64_t h) {
    const qn_attn_problem *p = t->problem;
    query_tile *queries = t->queries;
    for (int64_t i = 0; i < TILE_QUERIES; i++) {
        queries->lse[i] = INFINITY;
        queries->delta[i] = 0;
        if (i >= queries->n_rows) continue;
        int64_t row = queries->first_row + i;
        float lse = *qn_attn_lse(&p->args->lse, b, h, row);
        if (lse != -INFINITY) queries->lse[i] = (float)(lse * LOG2_E);
        queries->delta[i] = dot(qn_attn_row(&p->args->dout, b, row, h),
                                qn_attn_row(&p->args->o, b, row, h), p->head_dim);
    }
}

/* The rows of a tile of queries and the keys that they see. */
static void place_queries(backward_thread *t, int64_t b, int64_t tile) {
    const qn_attn_problem *p = t->problem;
    query_tile *queries = t->queries;
    queries->first_row = tile * TILE_QUERIES;
    queries->n_rows = qn_min_i64(TILE_QUERIES, p->mask.n_queries - queries->first_row);
    queries->n_panels = (int)ceil_div(queries->n_rows, PANEL);
    for (int n = 0; n < queries->n_panels; n++)
        panel_init(&queries->panel[n], &p->mask, b, queries->first_row + n * PANEL,
                   queries->n_rows - n * PANEL);
}

/* Packs a (B,T,H,D) tensor's rows of the placed tile both ways, its panels times `factor`. */
static void pack_queries(const backward_thread *t, const qn_tensor *x, int64_t b, int64_t h,
                         float factor, float *panels, float *rows) {
    const query_tile *queries = t->queries;
    int64_t head_dim = t->problem->head_dim;
    const float *from = qn_attn_row(x, b, queries->first_row, h);
    for (int n = 0; n < queries->n_panels; n++)
        pack_transposed(panels + n * PANEL * head_dim, from + n * PANEL * x->stride[1],
                        x->stride[1], queries->panel[n].n_rows, head_dim, factor);
    pack_rows(rows, round_up(queries->n_rows, LANES), from, x->stride[1], queries->n_rows,
              head_dim);
}

static void load_queries(backward_thread *t, int64_t b, int64_t h) {
    const qn_attention_args *args = t->problem->args;
    load_row_scalars(t, b, h);
    pack_queries(t, &args->q, b, h, query_sign(args->scale), t->q_panels, t->q);
    pack_queries(t, &args->dout, b, h, 1, t->dout_panels, t->dout);
}

static void store_dq(const backward_thread *t, int64_t b, int64_t h) {
    const qn_attn_problem *p = t->problem;
    const query_tile *queries = t->queries;
    const qn_tensor *dq = &p->args->dq;
    float scale[PANEL];
    for (int i = 0; i < PANEL; i++) scale[i] = p->args->scale;
    for (int n = 0; n < queries->n_panels; n++)
        unpack_transposed(qn_attn_row(dq, b, queries->first_row + n * PANEL, h), dq->stride[1],
                          queries->panel[n].n_rows, p->head_dim,
                          t->dq_panels + n * PANEL * p->head_dim, scale);
}

/* Keys [first, first + n) from gathered row `from` on. */
static void store_dkv(const backward_thread *t, int64_t b, int64_t kv_head, int64_t first,
                      int64_t n, int64_t from) {
    const qn_attn_problem *p = t->problem;
    for (int64_t i = 0; i < n; i++) {
        const float *dk = t->dk + (from + i) * t->dim, *dv = t->dv + (from + i) * t->dim;
        float *dk_out = qn_attn_row(&p->args->dk, b, first + i, kv_head);
        for (int64_t d = 0; d < p->head_dim; d++) dk_out[d] = p->args->scale * dk[d];
        memcpy(qn_attn_row(&p->args->dv, b, first + i, kv_head), dv,
               (size_t)p->head_dim * sizeof(float));
    }
}

/* ---- a tile of queries meets a tile of keys ---------------------------------------- */

/* P = 2^(S − lse) and dS = P∘(dP − delta) in place of S and dP, for vector v of panel n. */
ALWAYS_INLINE void differentiate(const backward_thread *t, int n, int v, tile_range range,
                                 int64_t first_key, bool masked) {
    const query_tile *queries = t->queries;
    int column = n * PANEL + v * LANES;
    float base2 = base2_factor(t->problem->args->scale);
    vfloat lse = vload(queries->lse + column), delta = vload(queries->delta + column);
    for (int j = range.first; j < range.last; j++) {
        float *p = t->p + j * TILE_QUERIES + column, *ds = t->ds + j * TILE_QUERIES + column;
        vfloat weight = vexp2(vload(p) * base2 - lse);
        if (masked)
            weight = vselect(panel_sees(&queries->panel[n], v, first_key + j), weight, (vfloat){0});
        vstore(p, weight);
        vstore(ds, weight * (vload(ds) - delta));
    }
}

/* P and dS of panel n and the keys of `range`. */
static void score_panel(const backward_thread *t, int n, tile_range range, const key_tile *tile) {
    int64_t head_dim = t->problem->head_dim, at = n * PANEL * head_dim;
    int64_t corner = range.first * TILE_QUERIES + n * PANEL;
    int n_vectors = t->queries->panel[n].n_vectors, n_keys = range.last - range.first;
    tile_a keys = {tile->k + range.first * t->dim, t->dim, 1};
    tile_a values = {tile->v + range.first * t->dim, t->dim, 1};
    panel_product(TILE_SET, n_vectors, n_keys, keys, (tile_b){t->q_panels + at, PANEL}, head_dim,
                  NULL, t->p + corner, TILE_QUERIES);
    panel_product(TILE_SET, n_vectors, n_keys, values, (tile_b){t->dout_panels + at, PANEL},
                  head_dim, NULL, t->ds + corner, TILE_QUERIES);
    for (int v = 0; v < n_vectors; v++) {
        if (range.masked)
            differentiate(t, n, v, range, tile->first_key, true);
        else
            differentiate(t, n, v, range, tile->first_key, false);
    }
}

static void add_dq(const backward_thread *t, int n, tile_range range, const key_tile *tile) {
    int64_t head_dim = t->problem->head_dim;
    tile_a keys = {tile->k + range.first * t->dim, 1, t->dim};
    tile_b ds = {t->ds + range.first * TILE_QUERIES + n * PANEL, TILE_QUERIES};
    panel_product(TILE_ADD, t->queries->panel[n].n_vectors, head_dim, keys, ds,
                  range.last - range.first, NULL, t->dq_panels + n * PANEL * head_dim, PANEL);
}

/* gradient (BLOCK_ROWS, dim) += weights (BLOCK_ROWS, n_rows) · rows (n_rows, dim). */
static void add_block(const backward_thread *t, const float *weights, const float *rows,
                      int64_t n_rows, float *gradient) {
    tile_a a = {weights, TILE_QUERIES, 1};
    for (int64_t d = 0; d < t->dim;) {
        int64_t left = (t->dim - d) / LANES;
        int n_vectors = left == 4 ? 2 : (int)qn_min_i64(left, PANEL_VECTORS);
        panel_product(TILE_ADD, n_vectors, BLOCK_ROWS, a, (tile_b){rows + d, t->dim}, n_rows, NULL,
                      gradient + d, t->dim);
        d += n_vectors * LANES;
    }
}

/* dv += P·dout and dk += dS·q, block by block of keys, over the panels that see the block:
 * they follow each other, as the ends of what queries see never fall. */
static void add_dkv(const backward_thread *t, const tile_range range[], int n_keys, float *dk,
                    float *dv) {
    const query_tile *queries = t->queries;
    for (int j = 0; j < n_keys; j += BLOCK_ROWS) {
        int first = 0, last = queries->n_panels;
        while (first < last && !(range[first].first <= j && j < range[first].last)) first++;
        while (first < last && !(range[last - 1].first <= j && j < range[last - 1].last)) last--;
        if (first == last) continue;
        int64_t row = first * PANEL;
        int64_t n_rows = (last - 1 - first) * PANEL + queries->panel[last - 1].n_vectors * LANES;
        int64_t corner = j * TILE_QUERIES + row;
        add_block(t, t->p + corner, t->dout + row * t->dim, n_rows, dv + j * t->dim);
        add_block(t, t->ds + corner, t->q + row * t->dim, n_rows, dk + j * t->dim);
    }
}

/* What a meeting adds to, and which tile of keys comes next. */
typedef struct meeting {
    int64_t b, kv_head, key_tile;
    bool want_dq;
    float *dk, *dv; /* the tile's rows; NULL: not wanted */
} meeting;

/* Asks for a part of what the next meeting of this sweep over the keys will touch. */
static void prefetch_next(const backward_thread *t, const meeting *x, int part) {
    enum { PART = TILE_KEYS / TILE_PANELS };
    if (!x->want_dq || x->key_tile + 1 == t->keys.n_tiles) return;
    key_store_prefetch(&t->keys, x->b, x->kv_head, x->key_tile + 1, part);
    if (!x->dk) return;
    int64_t row = TILE_KEYS + part * PART;
    prefetch_rows(x->dk + row * t->dim, t->dim, PART, t->dim);
    prefetch_rows(x->dv + row * t->dim, t->dim, PART, t->dim);
}

static void meet(backward_thread *t, const meeting *x) {
    key_tile tile = key_store_get(&t->keys, x->b, x->kv_head, x->key_tile);
    tile_range range[TILE_PANELS];
    for (int n = 0; n < t->queries->n_panels; n++) {
        range[n] = panel_keys(&t->queries->panel[n], tile.first_key, tile.n_keys);
        if (range[n].first == range[n].last) continue;
        prefetch_next(t, x, n);
        score_panel(t, n, range[n], &tile);
        if (x->want_dq) add_dq(t, n, range[n], &tile);
    }
    if (x->dk) add_dkv(t, range, tile.n_keys, x->dk, x->dv);
}

static bool tiles_meet(const query_tile *queries, int64_t key_tile) {
    return queries->panel[0].lo[0] < (key_tile + 1) * TILE_KEYS &&
           queries->panel[queries->n_panels - 1].hi[PANEL - 1] > key_tile * TILE_KEYS;
}

/* ---- whole heads ------------------------------------------------------------------- */

static void sweep_keys(backward_thread *t, const backward_plan *plan, int64_t b, int64_t h,
                       bool want_dkv) {
    const qn_attn_problem *p = t->problem;
    memset(t->dq_panels, 0, (size_t)(TILE_QUERIES * p->head_dim) * sizeof(float));
    for (int64_t key_tile = 0; key_tile < plan->key_tiles; key_tile++) {
        if (!tiles_meet(t->queries, key_tile)) continue;
        int64_t row = key_tile * TILE_KEYS * t->dim;
        meeting x = {b, h / p->group, key_tile, .want_dq = true};
        if (want_dkv) {
            x.dk = t->dk + row;
            x.dv = t->dv + row;
        }
        meet(t, &x);
    }
    store_dq(t, b, h);
}

static void clear_dkv(backward_thread *t, int64_t n_keys) {
    memset(t->dk, 0, (size_t)(n_keys * t->dim) * sizeof(float));
    memset(t->dv, 0, (size_t)(n_keys * t->dim) * sizeof(float));
}

static void run_key_head(backward_thread *t, const backward_plan *plan, int64_t b,
                         int64_t kv_head) {
    const qn_attn_problem *p = t->problem;
    clear_dkv(t, plan->gathered_keys);
    for (int64_t h = kv_head * p->group; h < (kv_head + 1) * p->group; h++) {
        for (int64_t tile = 0; tile < plan->query_tiles; tile++) {
            place_queries(t, b, tile);
            load_queries(t, b, h);
            sweep_keys(t, plan, b, h, true);
        }
    }
    store_dkv(t, b, kv_head, 0, p->mask.n_keys, 0);
}

static void run_whole_heads(const qn_attn_problem *p, const backward_plan *plan) {
#pragma omp parallel num_threads(plan->threads)
    {
        backward_thread t = thread_of(p, plan, omp_get_thread_num());
#pragma omp for schedule(dynamic) nowait
        for (int64_t unit = 0; unit < p->batch * p->n_kv_heads; unit++)
            run_key_head(&t, plan, unit / p->n_kv_heads, unit % p->n_kv_heads);
    }
}

/* ---- two sweeps ---------------------------------------------------------------------- */

static void run_key_tile(backward_thread *t, const backward_plan *plan, int64_t b, int64_t kv_head,
                         int64_t key_tile) {
    const qn_attn_problem *p = t->problem;
    clear_dkv(t, TILE_KEYS);
    meeting x = {b, kv_head, key_tile, .dk = t->dk, .dv = t->dv};
    for (int64_t h = kv_head * p->group; h < (kv_head + 1) * p->group; h++) {
        for (int64_t tile = 0; tile < plan->query_tiles; tile++) {
            place_queries(t, b, tile);
            if (!tiles_meet(t->queries, key_tile)) continue;
            load_queries(t, b, h);
            meet(t, &x);
        }
    }
    int64_t first = key_tile * TILE_KEYS;
    store_dkv(t, b, kv_head, first, qn_min_i64(TILE_KEYS, p->mask.n_keys - first), 0);
}

/* Head by head, so that what its tiles share stays in the cache. Under a causal mask the first
 * keys and the last queries have most to do: they begin. */
static void run_two_sweeps(const qn_attn_problem *p, const backward_plan *plan) {
    int64_t kv_heads = p->batch * p->n_kv_heads, heads = p->batch * p->n_heads;
#pragma omp parallel num_threads(plan->threads)
    {
        backward_thread t = thread_of(p, plan, omp_get_thread_num());
#pragma omp for schedule(dynamic) nowait
        for (int64_t unit = 0; unit < kv_heads * plan->key_tiles; unit++) {
            int64_t head = unit / plan->key_tiles;
            run_key_tile(&t, plan, head / p->n_kv_heads, head % p->n_kv_heads,
                         unit % plan->key_tiles);
        }
#pragma omp for schedule(dynamic) nowait
        for (int64_t unit = 0; unit < heads * plan->query_tiles; unit++) {
            int64_t b = unit / plan->query_tiles / p->n_heads;
            int64_t h = unit / plan->query_tiles % p->n_heads;
            place_queries(&t, b, plan->query_tiles - 1 - unit % plan->query_tiles);
            load_queries(&t, b, h);
            sweep_keys(&t, plan, b, h, false);
        }
    }
}

void qn_attn_fused_backward(const qn_attn_problem *p) {
    backward_plan plan = make_plan(p);
    if (plan.whole_heads)
        run_whole_heads(p, &plan);
    else
        run_two_sweeps(p, &plan);
}
