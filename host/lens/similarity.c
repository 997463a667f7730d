/* similarity.c: how alike the residual stream is at two depths: linear centred kernel alignment
 * (Kornblith et al. 1905.00414).
 *
 * With X (n,C) of centred features and K = X·Xᵀ its Gram matrix,
 *     cka(a,b) = ⟨K_a,K_b⟩ / (‖K_a‖·‖K_b‖),
 * which is the same as ‖X_aᵀX_b‖² / (‖X_aᵀX_a‖·‖X_bᵀX_b‖): of n tokens and L depths the first
 * costs L·n²·C/2 multiplications, the second L²·n·C²/2, so at most MOST_TOKENS are taken,
 * evenly over the text. The Gram matrices never exist whole: a tile of all of them at a time is
 * made and multiplied. */
#include <math.h>
#include <stdlib.h>

#include "lens/probe_text.h"
#include "quern/activations.h"

enum {
    MOST_TOKENS = 1024,
    TILE = 4 /* tokens whose products with as many others fit the registers */
};

typedef struct similarity {
    qn_model *model;
    int64_t n_depths, width;
    int64_t n_counted, n_tokens, n_tiles; /* of the text; taken; of TILE */
    float *x;                             /* (n_depths,n_tiles,C,TILE), zeros behind the last */
    float *residual;                      /* (N,C) of a batch */
    double *tile;                         /* (n_depths,TILE,TILE) of the Gram matrices */
    double *inner;                        /* (n_depths,n_depths) ⟨K_a,K_b⟩ for a ≤ b */
    double *trace;                        /* (n_depths) */
} similarity;

static float *features(const similarity *s, int64_t depth, int64_t tile) {
    return s->x + (depth * s->n_tiles + tile) * s->width * TILE;
}

/* ---- the tokens ------------------------------------------------------------------------------ */

static void take_token(similarity *s, int64_t depth, int64_t slot, const float *residual) {
    float *to = features(s, depth, slot / TILE) + slot % TILE;
    for (int64_t c = 0; c < s->width; c++) to[c * TILE] = residual[c];
}

/* The slot-th of the tokens taken is this one of those that count. */
static int64_t taken(const similarity *s, int64_t slot) {
    return slot * s->n_counted / s->n_tokens;
}

static qn_status read_depth(similarity *s, const qn_batch *batch, int64_t depth, int64_t *counted,
                            int64_t *slot) {
    QN_TRY(qn_model_read_residual(s->model, depth, s->residual));
    for (int64_t n = 0; n < qn_batch_tokens(s->model); n++) {
        if (batch->targets[n] < 0 || *slot == s->n_tokens) continue;
        if (*counted == taken(s, *slot)) {
            take_token(s, depth, *slot, s->residual + n * s->width);
            ++*slot;
        }
        ++*counted;
    }
    return QN_OK;
}

static qn_status read_text(similarity *s, const qn_probe_text *text) {
    int64_t counted = 0, slot = 0;
    for (int64_t b = 0; b < text->n_batches; b++) {
        const int64_t counted_before = counted, slot_before = slot;
        double loss;
        QN_TRY(qn_model_evaluate(s->model, &text->batches[b], &loss));
        for (int64_t depth = 0; depth < s->n_depths; depth++) {
            counted = counted_before;
            slot = slot_before;
            QN_TRY(read_depth(s, &text->batches[b], depth, &counted, &slot));
        }
    }
    return QN_OK;
}

/* Subtracts the mean over tokens from a feature. */
static void centre_feature(similarity *s, int64_t depth, int64_t c) {
    double sum = 0;
    for (int64_t i = 0; i < s->n_tokens; i++)
        sum += (double)features(s, depth, i / TILE)[c * TILE + i % TILE];
    const double mean = sum / (double)s->n_tokens;
    for (int64_t i = 0; i < s->n_tokens; i++) {
        float *x = &features(s, depth, i / TILE)[c * TILE + i % TILE];
        *x = (float)((double)*x - mean);
    }
}

/* ---- products of Gram matrices --------------------------------------------------------------- */

static void gram_tile(const float *a, const float *b, int64_t width, double out[TILE * TILE]) {
    double sum[TILE][TILE] = {{0}};
    for (int64_t c = 0; c < width; c++, a += TILE, b += TILE)
        for (int i = 0; i < TILE; i++)
            for (int j = 0; j < TILE; j++) sum[i][j] += (double)a[i] * (double)b[j];
    for (int i = 0; i < TILE * TILE; i++) out[i] = sum[i / TILE][i % TILE];
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* The matrices are symmetric: a tile off the diagonal stands for two. */
static void add_tile(similarity *s, int64_t i, int64_t j) {
    const int64_t size = TILE * TILE;
    for (int64_t d = 0; d < s->n_depths; d++) {
        double *tile = s->tile + d * size;
        gram_tile(features(s, d, i), features(s, d, j), s->width, tile);
        for (int64_t t = 0; i == j && t < TILE; t++) s->trace[d] += tile[t * TILE + t];
    }
    for (int64_t a = 0; a < s->n_depths; a++)
        for (int64_t b = a; b < s->n_depths; b++)
            s->inner[a * s->n_depths + b] +=
                (i == j ? 1 : 2) * dot(s->tile + a * size, s->tile + b * size, size);
}

static void compare(similarity *s) {
    for (int64_t d = 0; d < s->n_depths; d++)
        for (int64_t c = 0; c < s->width; c++) centre_feature(s, d, c);
    for (int64_t i = 0; i < s->n_tiles; i++)
        for (int64_t j = i; j < s->n_tiles; j++) add_tile(s, i, j);
}

/* ---- the figures ----------------------------------------------------------------------------- */

/* The baseline is the mean over all orders of one depth's tokens: that of a centred Gram matrix is
 * tr(K)/(n−1)·(I − 1/n), and its product with the other one tr(K_a)·tr(K_b)/(n−1). */
static qn_lens_figure figure(const similarity *s, int64_t a, int64_t b) {
    const int64_t D = s->n_depths, n = s->n_tokens;
    const double norms = sqrt(s->inner[a * D + a]) * sqrt(s->inner[b * D + b]);
    const double shuffled = s->trace[a] * s->trace[b] / (double)(n - 1);
    const bool some = n > 1 && norms > 0;
    return (qn_lens_figure){.layer = a,
                            .head = -1,
                            .metric = "cka",
                            .value = some ? s->inner[a * D + b] / norms : (double)NAN,
                            .baseline = some ? shuffled / norms : (double)NAN,
                            .n = n,
                            .at = b,
                            .error = (double)NAN};
}

static qn_status allocate(similarity *s) {
    const size_t D = (size_t)s->n_depths, C = (size_t)s->width;
    s->x = calloc(D * (size_t)(s->n_tiles + 1) * C * TILE, sizeof *s->x);
    s->residual = malloc((size_t)qn_batch_tokens(s->model) * C * sizeof *s->residual);
    s->tile = malloc(D * TILE * TILE * sizeof *s->tile);
    s->inner = calloc(D * D, sizeof *s->inner);
    s->trace = calloc(D, sizeof *s->trace);
    if (s->x && s->residual && s->tile && s->inner && s->trace) return QN_OK;
    return qn_error(QN_CODE_MEMORY, "similarity: no host memory for %lld tokens at %lld depths",
                    (long long)s->n_tokens, (long long)s->n_depths);
}

static qn_status measure(similarity *s, const qn_probe_text *text, qn_lens_figures *out) {
    QN_TRY(allocate(s));
    QN_TRY(read_text(s, text));
    if (s->n_tokens) compare(s);
    for (int64_t a = 0; a < s->n_depths; a++)
        for (int64_t b = a + 1; b < s->n_depths; b++) QN_TRY(qn_lens_add(out, figure(s, a, b)));
    return QN_OK;
}

qn_status qn_probe_similarity(qn_model *model, const qn_probe_text *text, qn_lens_figures *out) {
    const qn_config *config = &qn_model_plan(model)->config;
    similarity s = {.model = model, .n_depths = config->n_layers + 1, .width = config->hidden_size};
    s.n_counted = qn_text_tokens(model, text);
    s.n_tokens = s.n_counted < MOST_TOKENS ? s.n_counted : MOST_TOKENS;
    s.n_tiles = (s.n_tokens + TILE - 1) / TILE;
    qn_status status = measure(&s, text, out);
    free(s.x);
    free(s.residual);
    free(s.tile);
    free(s.inner);
    free(s.trace);
    return status;
}
