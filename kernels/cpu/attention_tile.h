/* attention_tile.h: the tiles of fused attention and their products.
 *
 * A tile of queries is cut into panels of up to PANEL rows, and a panel is kept
 * transposed: queries run along the lanes of a vector. So scores stand as (key, query),
 * a row's maximum and sum are plain vector operations, and both operands of every
 * product are read as they lie: one along vectors, one element by element. */
#ifndef QUERN_CPU_ATTENTION_TILE_H
#define QUERN_CPU_ATTENTION_TILE_H

#include <float.h>
#include <math.h>

#include "attention_problem.h"
#include "attention_simd.h"

enum {
    PANEL_VECTORS = 3,
    PANEL = PANEL_VECTORS * LANES,
    TILE_QUERIES = 96,
    TILE_KEYS = 64,
    TILE_PANELS = TILE_QUERIES / PANEL,
};
_Static_assert(TILE_QUERIES % PANEL == 0, "a tile is whole panels");
_Static_assert(TILE_KEYS % BLOCK_ROWS == 0, "a tile is whole blocks");

#define LOG2_E 1.44269504088896340736
#define LN_2 0.69314718055994530942

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/* Scores are products q·k; times base2_factor they are powers of 2. The scale's sign goes
 * into the packed queries, so that the largest score also is the largest power; the factor
 * is never 0, so that −inf stays −inf. */
static inline float base2_factor(float scale) {
    float factor = (float)(fabs(scale) * LOG2_E);
    return factor > 0 ? factor : FLT_MIN;
}
static inline float query_sign(float scale) { return scale < 0 ? -1.0f : 1.0f; }

/* ---- products ------------------------------------------------------------ */

/* What a product does with the old content of C. */
typedef enum tile_start {
    TILE_SET,     /* C = A·B */
    TILE_ADD,     /* C = C + A·B */
    TILE_RESCALE, /* C = C·diag(factor) + A·B */
} tile_start;

/* A: element (r, c) at data[r·row + c·col], read one by one.
 * B: row c at data + c·ld, read by vectors. */
typedef struct tile_a {
    const float *data;
    int64_t row, col;
} tile_a;
typedef struct tile_b {
    const float *data;
    int64_t ld;
} tile_b;

/* A block of A·B, BLOCK_ROWS × n_vectors vectors, stays in registers over the whole depth, and
 * only then meets the old content: a sum of tile sums rounds less than one long sum. */
ALWAYS_INLINE void block_product(tile_start start, int n_vectors, tile_a a, tile_b b, int64_t depth,
                                 const float *factor, float *c, int64_t ld) {
    vfloat sum[BLOCK_ROWS][PANEL_VECTORS];
    for (int r = 0; r < BLOCK_ROWS; r++)
        for (int v = 0; v < n_vectors; v++) sum[r][v] = (vfloat){0};
    for (int64_t k = 0; k < depth; k++) {
        vfloat row[PANEL_VECTORS];
        for (int v = 0; v < n_vectors; v++) row[v] = vhold(vload(b.data + k * b.ld + v * LANES));
        for (int r = 0; r < BLOCK_ROWS; r++) {
            vfloat x = vset(a.data[r * a.row + k * a.col]);
            for (int v = 0; v < n_vectors; v++) sum[r][v] += x * row[v];
        }
    }
    for (int r = 0; r < BLOCK_ROWS; r++) {
        for (int v = 0; v < n_vectors; v++) {
            float *out = c + r * ld + v * LANES;
            if (start == TILE_ADD) sum[r][v] += vload(out);
            if (start == TILE_RESCALE) sum[r][v] += vload(out) * vload(factor + v * LANES);
            vstore(out, sum[r][v]);
        }
    }
}

/* C (rows, n_vectors·LANES): rows a multiple of BLOCK_ROWS, n_vectors 1 to 3. */
ALWAYS_INLINE void panel_product(tile_start start, int n_vectors, int64_t rows, tile_a a, tile_b b,
                                 int64_t depth, const float *factor, float *c, int64_t ld) {
    for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
        tile_a block = {a.data + r * a.row, a.row, a.col};
        if (n_vectors == 3)
            block_product(start, 3, block, b, depth, factor, c + r * ld, ld);
        else if (n_vectors == 2)
            block_product(start, 2, block, b, depth, factor, c + r * ld, ld);
        else
            block_product(start, 1, block, b, depth, factor, c + r * ld, ld);
    }
}

/* ---- panels -------------------------------------------------------------- */

/* Up to PANEL queries and the keys [lo, hi) that each of them sees. Lanes past the last
 * query repeat it. */
typedef struct tile_panel {
    int n_vectors;
    int n_rows;
    int32_t lo[PANEL], hi[PANEL];
} tile_panel;

static inline void panel_init(tile_panel *panel, const qn_attn_mask *mask, int64_t batch,
                              int64_t first_row, int64_t n_rows) {
    panel->n_rows = (int)qn_min_i64(n_rows, PANEL);
    panel->n_vectors = (int)ceil_div(panel->n_rows, LANES);
    for (int i = 0; i < PANEL; i++) {
        int64_t row = first_row + qn_min_i64(i, panel->n_rows - 1);
        qn_attn_span span = qn_attn_visible(mask, batch, row);
        panel->lo[i] = (int32_t)span.lo;
        panel->hi[i] = (int32_t)span.hi;
    }
}

/* Rows [first, last) of a tile of keys that some query of a panel sees, in whole blocks;
 * `masked`: some query does not see all of them. */
typedef struct tile_range {
    int first, last;
    bool masked;
} tile_range;

static inline tile_range panel_keys(const tile_panel *panel, int64_t first_key, int64_t n_keys) {
    int64_t lo = qn_max_i64(panel->lo[0] - first_key, 0);
    int64_t hi = qn_min_i64(panel->hi[PANEL - 1] - first_key, n_keys);
    if (lo >= hi) return (tile_range){0, 0, false};
    tile_range range = {(int)(lo / BLOCK_ROWS * BLOCK_ROWS), (int)round_up(hi, BLOCK_ROWS), false};
    range.masked =
        first_key + range.first < panel->lo[PANEL - 1] || first_key + range.last > panel->hi[0];
    return range;
}

/* All ones where the query sees the key. */
ALWAYS_INLINE vint panel_sees(const tile_panel *panel, int v, int64_t key) {
    vint j = vset_int((int32_t)key);
    return (j >= vload_int(panel->lo + v * LANES)) & (j < vload_int(panel->hi + v * LANES));
}

/* ---- moving rows in and out ---------------------------------------------- */

/* n ≤ LANES floats, zeros after them. */
ALWAYS_INLINE vfloat load_some(const float *p, int64_t n) {
    if (n == LANES) return vload(p);
    float some[LANES] = {0};
    memcpy(some, p, (size_t)n * sizeof *p);
    return vload(some);
}

/* Panel (D, PANEL) = factor · (n_rows, D)ᵀ; lanes past n_rows, up to a whole vector, are 0. */
static inline void pack_transposed(float *panel, const float *rows, int64_t stride, int64_t n_rows,
                                   int64_t head_dim, float factor) {
    for (int64_t i = 0; i < n_rows; i += LANES) {
        for (int64_t d = 0; d < head_dim; d += LANES) {
            int64_t n = qn_min_i64(LANES, head_dim - d);
            vfloat x[LANES];
            for (int64_t r = 0; r < LANES; r++)
                x[r] = i + r < n_rows ? factor * load_some(rows + (i + r) * stride + d, n)
                                      : (vfloat){0};
            vtranspose(x);
            for (int64_t c = 0; c < LANES; c++)
                if (c < n) vstore(panel + (d + c) * PANEL + i, x[c]);
        }
    }
}

/* Rows (n_rows, D) = (panel (D, PANEL) · diag(factor))ᵀ. */
static inline void unpack_transposed(float *rows, int64_t stride, int64_t n_rows, int64_t head_dim,
                                     const float *panel, const float *factor) {
    for (int64_t i = 0; i < n_rows; i += LANES) {
        for (int64_t d = 0; d < head_dim; d += LANES) {
            int64_t n = qn_min_i64(LANES, head_dim - d);
            vfloat x[LANES];
            for (int64_t c = 0; c < LANES; c++)
                x[c] = c < n ? vload(panel + (d + c) * PANEL + i) * vload(factor + i) : (vfloat){0};
            vtranspose(x);
            for (int64_t r = 0; r < LANES && i + r < n_rows; r++)
                memcpy(rows + (i + r) * stride + d, &x[r], (size_t)n * sizeof *rows);
        }
    }
}

/* Row length of tiles that are read by vectors. */
static inline int64_t padded_dim(int64_t head_dim) { return round_up(head_dim, LANES); }

/* Tile (n_padded, padded_dim) = (n_rows, D), zeros around it. */
static inline void pack_rows(float *tile, int64_t n_padded, const float *rows, int64_t stride,
                             int64_t n_rows, int64_t head_dim) {
    int64_t ld = padded_dim(head_dim);
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t d = 0; d < head_dim; d += LANES)
            vstore(tile + r * ld + d,
                   load_some(rows + r * stride + d, qn_min_i64(LANES, head_dim - d)));
    memset(tile + n_rows * ld, 0, (size_t)((n_padded - n_rows) * ld) * sizeof *tile);
}

#endif
