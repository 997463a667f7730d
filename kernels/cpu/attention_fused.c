/* attention_fused.c: the forward pass by online softmax over tiles of keys (Dao,
 * FlashAttention-2, 2307.08691, algorithm 1).
 *
 * A unit of work is a tile of queries of one head. It runs over the tiles of keys that
 * its queries see; each panel of its queries keeps the running maximum m and sum l of
 * its rows and its output, transposed. Scores become powers of 2 by one multiply-add; m is
 * in base 2 as well. It begins at a finite −1e30 and masked scores are −inf, so that a row
 * without visible keys ends with l = 0. */
#include <math.h>
#include <omp.h>

#include "attention_keys.h"
#include "attention_stats.h"

/* Running statistics of the rows of a panel, in base 2; see qn_attn_stats. */
typedef struct panel_stats {
    float weighted[PANEL]; /* Σ p·log2 p, before p is divided by l */
    float distance[PANEL], sink[PANEL], local[PANEL];
} panel_stats;

typedef struct panel_state {
    tile_panel keys;
    float m[PANEL], l[PANEL], rescale[PANEL];
    panel_stats stats;
} panel_state;

/* What a thread works on; it lies in the workspace. */
typedef struct forward_tiles {
    panel_state panel[TILE_PANELS];
    float scores[TILE_KEYS * PANEL] __attribute__((aligned(64)));
    float weights[TILE_KEYS * PANEL]; /* apart from the scores for statistics only */
    float rows[]; /* queries and output (TILE_PANELS, D, PANEL) each, and the keys */
} forward_tiles;

static int64_t query_floats(const qn_attn_problem *p) {
    return round_up(TILE_QUERIES * p->head_dim, LINE_FLOATS);
}

static size_t tiles_bytes(const qn_attn_problem *p) {
    size_t rows = 2 * (size_t)query_floats(p) + key_store_floats(p);
    return qn_cpu_align(sizeof(forward_tiles) + rows * sizeof(float));
}

static int64_t tiles_of(const qn_attn_problem *p) {
    return ceil_div(p->mask.n_queries, TILE_QUERIES);
}

static int64_t units_of(const qn_attn_problem *p) { return p->batch * p->n_heads * tiles_of(p); }

size_t qn_attn_fused_forward_workspace(const qn_attn_problem *p) {
    size_t threads = (size_t)qn_min_i64(p->n_threads, units_of(p));
    size_t parts = p->args->stats ? qn_size_mul((size_t)units_of(p), sizeof(qn_attn_part)) : 0;
    return qn_size_add(threads * tiles_bytes(p), parts);
}

/* ---- one panel against one tile of keys ---------------------------------- */

/* What the functions below share. */
typedef struct panel_pair {
    panel_state *panel;
    tile_range range;
    int64_t first_key;
    float base2;        /* see base2_factor */
    float *scores;      /* (TILE_KEYS, PANEL) */
    float *weights;     /* the same shape; may be the scores */
    float old_m[PANEL]; /* m before this tile */
    float sums[PANEL];  /* of this tile's weights */
} panel_pair;

/* Raises m to the maximum of the scores, masking them first where needed. */
ALWAYS_INLINE void take_maximum(panel_pair *x, int v, bool masked) {
    panel_state *panel = x->panel;
    vfloat old = vload(panel->m + v * LANES), highest = vset(-INFINITY);
    for (int j = x->range.first; j < x->range.last; j++) {
        float *score = x->scores + j * PANEL + v * LANES;
        vfloat s = vload(score);
        if (masked) {
            s = vselect(panel_sees(&panel->keys, v, x->first_key + j), s, vset(-INFINITY));
            vstore(score, s);
        }
        highest = vmax(s, highest);
    }
    vfloat m = vmax(highest * x->base2, old);
    vstore(x->old_m + v * LANES, old);
    vstore(panel->m + v * LANES, m);
    vstore(panel->rescale + v * LANES, vexp2(old - m));
}

/* weights = 2^(scores·base2 − m), and their sums. */
ALWAYS_INLINE void exponentiate(panel_pair *x, int v) {
    vfloat m = vload(x->panel->m + v * LANES), sum = {0};
    for (int j = x->range.first; j < x->range.last; j++) {
        vfloat w = vexp2(vload(x->scores + j * PANEL + v * LANES) * x->base2 - m);
        vstore(x->weights + j * PANEL + v * LANES, w);
        sum += w;
    }
    vstore(x->sums + v * LANES, sum);
}

/* The terms of the running statistics; l still is that of before this tile. */
static void update_stats(panel_pair *x, int v, int64_t position, int32_t local_window) {
    panel_state *panel = x->panel;
    panel_stats *stats = &panel->stats;
    int at = v * LANES;
    vfloat m = vload(panel->m + at), rescale = vload(panel->rescale + at);
    vfloat weighted = {0}, distance = {0}, local = {0};
    vint away = vset_int((int32_t)(position - x->first_key - x->range.first)) + vlane();
    for (int j = x->range.first; j < x->range.last; j++, away -= 1) {
        vfloat w = vload(x->weights + j * PANEL + at);
        vfloat power = vload(x->scores + j * PANEL + at) * x->base2 - m;
        weighted += w * vmax(vset(-127.0f), power); /* a masked one is −inf, its weight 0 */
        distance += w * __builtin_convertvector(away, vfloat);
        local += vselect(away < local_window, w, (vfloat){0});
    }
    vfloat before = (vload(x->old_m + at) - m) * vload(panel->l + at);
    vstore(stats->weighted + at, rescale * (vload(stats->weighted + at) + before) + weighted);
    vstore(stats->distance + at, rescale * vload(stats->distance + at) + distance);
    vstore(stats->local + at, rescale * vload(stats->local + at) + local);
}

/* The weight of the first position of each row's document, where this tile holds it. */
static void update_sink(const qn_attn_problem *p, panel_pair *x, int64_t batch, int64_t position) {
    panel_state *panel = x->panel;
    for (int i = 0; i < panel->keys.n_rows; i++) {
        int64_t sink = qn_attn_doc_first(&p->mask, batch, position + i) - x->first_key;
        panel->stats.sink[i] *= panel->rescale[i];
        if (x->range.first <= sink && sink < x->range.last)
            panel->stats.sink[i] += x->weights[sink * PANEL + i];
    }
}

/* ---- one tile of queries -------------------------------------------------- */

/* Everything of a unit that does not change while it runs over the keys. */
typedef struct forward_unit {
    const qn_attn_problem *problem;
    int64_t batch, head, first_row, n_rows;
    int n_panels;
    forward_tiles *tiles;
    float *queries, *output;
    key_store keys;
} forward_unit;

static void begin_unit(forward_unit *u) {
    const qn_attn_problem *p = u->problem;
    const qn_tensor *q = &p->args->q;
    int64_t panel_size = PANEL * p->head_dim;
    u->n_panels = (int)ceil_div(u->n_rows, PANEL);
    for (int n = 0; n < u->n_panels; n++) {
        panel_state *panel = &u->tiles->panel[n];
        int64_t row = u->first_row + n * PANEL;
        memset(panel, 0, sizeof *panel);
        panel_init(&panel->keys, &p->mask, u->batch, row, u->n_rows - n * PANEL);
        for (int i = 0; i < PANEL; i++) panel->m[i] = -1e30f;
        pack_transposed(u->queries + n * panel_size, qn_attn_row(q, u->batch, row, u->head),
                        q->stride[1], panel->keys.n_rows, p->head_dim, query_sign(p->args->scale));
    }
    memset(u->output, 0, (size_t)(u->n_panels * panel_size) * sizeof(float));
}

/* Statistics change no operation on m, l and o: the weights only go to a place of their
 * own, so that the scores stay. */
static void softmax_panel(const forward_unit *u, int n, panel_pair *x) {
    const qn_attn_problem *p = u->problem;
    panel_state *panel = x->panel;
    for (int v = 0; v < panel->keys.n_vectors; v++) {
        if (x->range.masked)
            take_maximum(x, v, true);
        else
            take_maximum(x, v, false);
        exponentiate(x, v);
    }
    if (p->args->stats) {
        int64_t position = qn_attn_position(&p->mask, u->first_row + n * PANEL);
        int64_t window = qn_min_i64(p->args->stats->local_window, INT32_MAX);
        for (int v = 0; v < panel->keys.n_vectors; v++)
            update_stats(x, v, position + v * LANES, (int32_t)window);
        update_sink(p, x, u->batch, position);
    }
    for (int i = 0; i < panel->keys.n_vectors * LANES; i++)
        panel->l[i] = panel->l[i] * panel->rescale[i] + x->sums[i];
}

static void attend(forward_unit *u, int n, tile_range range, const key_tile *tile) {
    const qn_attn_problem *p = u->problem;
    int64_t head_dim = p->head_dim, dim = padded_dim(head_dim);
    panel_state *panel = &u->tiles->panel[n];
    panel_pair x = {.panel = panel, .range = range, .first_key = tile->first_key};
    x.base2 = base2_factor(p->args->scale);
    x.scores = u->tiles->scores;
    x.weights = p->args->stats ? u->tiles->weights : x.scores;
    int n_vectors = panel->keys.n_vectors, n_keys = range.last - range.first;
    int corner = range.first * PANEL;

    tile_a keys = {tile->k + range.first * dim, dim, 1};
    tile_b queries = {u->queries + n * PANEL * head_dim, PANEL};
    panel_product(TILE_SET, n_vectors, n_keys, keys, queries, head_dim, NULL, x.scores + corner,
                  PANEL);
    softmax_panel(u, n, &x);
    tile_a values = {tile->v + range.first * dim, 1, dim};
    panel_product(TILE_RESCALE, n_vectors, head_dim, values, (tile_b){x.weights + corner, PANEL},
                  n_keys, panel->rescale, u->output + n * PANEL * head_dim, PANEL);
}

static void finish_stats(const forward_unit *u, int n, qn_attn_part *part) {
    const qn_attn_problem *p = u->problem;
    const panel_state *panel = &u->tiles->panel[n];
    const panel_stats *stats = &panel->stats;
    for (int i = 0; i < panel->keys.n_rows; i++) {
        double l = panel->l[i];
        int64_t row = u->first_row + n * PANEL + i, seen = panel->keys.hi[i] - panel->keys.lo[i];
        qn_attn_row_stats values = {
            .entropy = LN_2 * (log2(l) - stats->weighted[i] / l),
            .max_logit = LN_2 * panel->m[i],
            .p_max = 1 / l,
            .distance = stats->distance[i] / l,
            .sink = stats->sink[i] / l,
            .local = stats->local[i] / l,
        };
        qn_attn_part_add(part, &values, seen);
        qn_attn_part_add_base(part, &p->mask, u->batch, row, p->args->stats->local_window);
    }
}

static void finish_unit(const forward_unit *u, qn_attn_part *part) {
    const qn_attn_problem *p = u->problem;
    const qn_tensor *o = &p->args->o;
    if (part) qn_attn_part_clear(part);
    for (int n = 0; n < u->n_panels; n++) {
        const panel_state *panel = &u->tiles->panel[n];
        int64_t row = u->first_row + n * PANEL;
        float inverse[PANEL];
        for (int i = 0; i < PANEL; i++) inverse[i] = panel->l[i] == 0 ? 0 : 1 / panel->l[i];
        for (int i = 0; i < panel->keys.n_rows; i++)
            *qn_attn_lse(&p->args->lse, u->batch, u->head, row + i) =
                (float)(LN_2 * (panel->m[i] + log2((double)panel->l[i])));
        unpack_transposed(qn_attn_row(o, u->batch, row, u->head), o->stride[1], panel->keys.n_rows,
                          p->head_dim, u->output + n * PANEL * p->head_dim, inverse);
        if (part) finish_stats(u, n, part);
    }
}

static void run_unit(forward_unit *u, qn_attn_part *part) {
    const int64_t kv_head = u->head / u->problem->group;
    begin_unit(u);
    const int64_t first = u->tiles->panel[0].keys.lo[0] / TILE_KEYS;
    const int64_t end = ceil_div(u->tiles->panel[u->n_panels - 1].keys.hi[PANEL - 1], TILE_KEYS);
    for (int64_t at = first; at < end; at++) {
        key_tile tile = key_store_get(&u->keys, u->batch, kv_head, at);
        for (int n = 0; n < u->n_panels; n++) {
            tile_range range = panel_keys(&u->tiles->panel[n].keys, tile.first_key, tile.n_keys);
            if (at + 1 < end) key_store_prefetch(&u->keys, u->batch, kv_head, at + 1, n);
            if (range.first < range.last) attend(u, n, range, &tile);
        }
    }
    finish_unit(u, part);
}

/* ---- all of them ----------------------------------------------------------- */

/* Adds the units' parts head by head, in the units' order: tiles run fastest. */
static void deliver_stats(const qn_attn_problem *p, const qn_attn_part *parts) {
    for (int64_t h = 0; h < p->n_heads; h++) {
        qn_attn_part total;
        qn_attn_part_clear(&total);
        for (int64_t unit = 0; unit < units_of(p); unit++)
            if (unit / tiles_of(p) % p->n_heads == h) qn_attn_part_merge(&total, &parts[unit]);
        qn_attn_part_deliver(&total, p->args->stats, h, p->n_heads);
    }
}

/* Head by head, so that the keys and values of one stay in the cache while its tiles of
 * queries go over them; the last tiles first: under a causal mask they are the longest. */
void qn_attn_fused_forward(const qn_attn_problem *p) {
    int64_t units = units_of(p);
    int threads = (int)qn_min_i64(p->n_threads, units);
    char *tiles = p->args->workspace;
    size_t bytes = tiles_bytes(p);
    qn_attn_part *parts = p->args->stats ? (void *)(tiles + (size_t)threads * bytes) : NULL;
#pragma omp parallel num_threads(threads)
    {
        forward_unit u = {.problem = p};
        u.tiles = (void *)(tiles + (size_t)omp_get_thread_num() * bytes);
        u.queries = u.tiles->rows;
        u.output = u.queries + query_floats(p);
        u.keys = key_store_at(p, u.output + query_floats(p));
#pragma omp for schedule(dynamic) nowait
        for (int64_t unit = 0; unit < units; unit++) {
            int64_t head = unit / tiles_of(p), tile = tiles_of(p) - 1 - unit % tiles_of(p);
            u.first_row = tile * TILE_QUERIES;
            u.n_rows = qn_min_i64(TILE_QUERIES, p->mask.n_queries - u.first_row);
            u.batch = head / p->n_heads;
            u.head = head % p->n_heads;
            run_unit(&u, parts ? &parts[unit] : NULL);
        }
    }
    if (parts) deliver_stats(p, parts);
}
