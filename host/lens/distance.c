/* distance.c: how much of a score is where the key stands, and how much what it is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens/heads.h"
#include "quern/probe.h"

enum { DENSE_DISTANCES = 32 }; /* of a profile; behind them eight to an octave */

/* Of one head: the sum of its q and k before rotation, and of its scores by distance. */
typedef struct sums {
    double *q, *k;          /* (D) */
    double *score, *square; /* (T) */
    int64_t *pairs;         /* (T) */
    int64_t tokens;
} sums;

typedef struct probe {
    qn_heads heads;
    int64_t n_layers;
    sums *of_head; /* (L,Hq) */
    double *row;   /* (T) scores */
} probe;

/* ---- memory ---------------------------------------------------------------------------------- */

static qn_status open_sums(sums *s, int64_t D, int64_t T) {
    s->q = calloc((size_t)(2 * D + 2 * T), sizeof *s->q);
    s->pairs = calloc((size_t)T, sizeof *s->pairs);
    if (!s->q || !s->pairs)
        return qn_error(QN_CODE_MEMORY, "no host memory for scores by distance");
    s->k = s->q + D;
    s->score = s->k + D;
    s->square = s->score + T;
    return QN_OK;
}

static void close_probe(probe *p) {
    for (int64_t i = 0; p->of_head && i < p->n_layers * p->heads.n_heads; i++) {
        free(p->of_head[i].q);
        free(p->of_head[i].pairs);
    }
    free(p->of_head);
    free(p->row);
    qn_heads_close(&p->heads);
}

static qn_status open_probe(qn_model *model, probe *p) {
    *p = (probe){.n_layers = qn_model_plan(model)->config.n_layers};
    QN_TRY(qn_heads_open(model, &p->heads));
    const int64_t count = p->n_layers * p->heads.n_heads, D = p->heads.head_dim, T = p->heads.T;
    p->of_head = calloc((size_t)count, sizeof *p->of_head);
    p->row = malloc((size_t)T * sizeof *p->row);
    qn_status status = p->of_head && p->row
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no host memory for scores by distance");
    for (int64_t i = 0; i < count && !status; i++) status = open_sums(&p->of_head[i], D, T);
    if (status) close_probe(p);
    return status;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void add_vectors(probe *p, sums *to, int64_t head, int64_t b, int64_t i) {
    const qn_heads *s = &p->heads;
    const int64_t n = b * s->T + i;
    qn_rotation_add_undone(&s->rotation, i, qn_heads_q(s, n, head), to->q);
    qn_rotation_add_undone(&s->rotation, i, qn_heads_k(s, n, head), to->k);
    to->tokens++;
}

static void add_scores(probe *p, sums *to, int64_t head, int64_t b, int64_t i,
                       const int32_t *doc_start) {
    const int64_t first = qn_heads_first_key(&p->heads, doc_start, i);
    qn_heads_scores(&p->heads, head, b, i, first, p->row);
    for (int64_t j = first; j <= i; j++) {
        const double score = p->row[j - first];
        to->score[i - j] += score;
        to->square[i - j] += score * score;
        to->pairs[i - j]++;
    }
}

/* Rows whose target counts, of a sequence. */
static void add_sequence(probe *p, sums *to, int64_t head, int64_t b, const qn_batch *batch) {
    const int64_t T = p->heads.T, at = b * T;
    const bool documents = qn_model_plan(p->heads.model)->options.documents;
    for (int64_t i = 0; i < T; i++) {
        if (batch->targets[at + i] < 0) continue;
        add_vectors(p, to, head, b, i);
        add_scores(p, to, head, b, i, documents ? batch->doc_start + at : NULL);
    }
}

static qn_status add_batch(probe *p, const qn_batch *batch) {
    double loss;
    QN_TRY(qn_model_evaluate(p->heads.model, batch, &loss));
    for (int64_t l = 0; l < p->n_layers; l++) {
        QN_TRY(qn_heads_read(&p->heads, l));
        for (int64_t h = 0; h < p->heads.n_heads; h++)
            for (int64_t b = 0; b < p->heads.B; b++)
                add_sequence(p, &p->of_head[l * p->heads.n_heads + h], h, b, batch);
    }
    return QN_OK;
}

/* ---- figures --------------------------------------------------------------------------------- */

/* Re Σ q̄·conj(k̄)·e^{iθΔ}/√D with (first half) + i·(second half) as the complex numbers: the score
 * of two vectors at distance Δ, as the query's angle is Δθ ahead of the key's. */
static double profile_at(const qn_heads *s, const sums *of, int64_t distance) {
    const int64_t half = s->head_dim / 2;
    const double *angle = s->rotation.turns + distance * s->head_dim, n = (double)of->tokens;
    double sum = 0;
    for (int64_t c = 0; c < half; c++) {
        const double qr = of->q[c], qi = of->q[half + c], kr = of->k[c], ki = of->k[half + c];
        sum += (qr * kr + qi * ki) * angle[c] - (qi * kr - qr * ki) * angle[half + c];
    }
    return s->scale * sum / (n * n);
}

/* The distance after `d` in a profile. */
static int64_t next_distance(int64_t d) {
    if (d < DENSE_DISTANCES) return d + 1;
    const int64_t step = (int64_t)((double)d * (exp2(0.125) - 1));
    return d + (step > 1 ? step : 1);
}

static qn_status add_profile(const qn_heads *s, const sums *of, qn_lens_figure f,
                             qn_lens_figures *out) {
    f.metric = "profile";
    f.baseline = (double)NAN;
    f.n = of->tokens;
    for (int64_t d = 0; d < s->T; d = next_distance(d)) {
        f.at = d;
        f.value = of->tokens ? profile_at(s, of, d) : (double)NAN;
        QN_TRY(qn_lens_add(out, f));
    }
    return QN_OK;
}

/* Var(E[s|Δ]) / Var(s), and what it is on average where the scores are dealt out anew: of n pairs
 * in g groups, (g − 1)/(n − 1). */
static qn_status add_share(const qn_heads *s, const sums *of, qn_lens_figure f,
                           qn_lens_figures *out) {
    double score = 0, square = 0, between = 0, pairs = 0, groups = 0;
    for (int64_t d = 0; d < s->T; d++) {
        if (!of->pairs[d]) continue;
        const double n = (double)of->pairs[d];
        score += of->score[d];
        square += of->square[d];
        between += of->score[d] * of->score[d] / n;
        pairs += n;
        groups++;
    }
    const double within_all = square - score * score / pairs;
    f.metric = "position_share";
    f.at = -1;
    f.n = (int64_t)pairs;
    f.value =
        pairs > 1 && within_all > 0 ? (between - score * score / pairs) / within_all : (double)NAN;
    f.baseline = pairs > 1 ? (groups - 1) / (pairs - 1) : (double)NAN;
    return qn_lens_add(out, f);
}

static qn_status add_figures(const probe *p, qn_lens_figures *out) {
    const int64_t n_heads = p->heads.n_heads;
    for (int64_t i = 0; i < p->n_layers * n_heads; i++) {
        const qn_lens_figure f = {.layer = i / n_heads, .head = i % n_heads, .error = (double)NAN};
        QN_TRY(add_share(&p->heads, &p->of_head[i], f, out));
        QN_TRY(add_profile(&p->heads, &p->of_head[i], f, out));
    }
    return QN_OK;
}

qn_status qn_probe_distance(qn_model *model, const qn_probe_text *text, qn_lens_figures *out) {
    probe p;
    if (qn_model_plan(model)->config.arch != QN_ARCH_LLAMA) return QN_OK;
    QN_TRY(open_probe(model, &p));
    qn_status status = QN_OK;
    for (int64_t i = 0; i < text->n_batches && !status; i++)
        status = add_batch(&p, &text->batches[i]);
    if (!status) status = add_figures(&p, out);
    close_probe(&p);
    return status;
}
