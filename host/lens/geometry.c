/* geometry.c: how long q and k are, and how they spread. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens/eigen.h"
#include "lens/heads.h"
#include "quern/probe.h"

/* Share of the mean square that the squared rounding of fp32 values stays well below. */
#define FP32_NOISE 1e-12

/* Sums over the vectors of one head. */
typedef struct spread {
    double norm;
    double *sum, *unit;        /* (D): of vectors, of vectors of length 1 */
    double *product;           /* (D,D): of x·xᵀ */
    int64_t count, directions; /* directions: vectors that are not 0 */
} spread;

/* What is measured of q and of k. */
static const struct {
    const char *norm, *participation, *rank, *anisotropy;
} names[] = {{"q_norm", "q_participation", "q_rank", "q_anisotropy"},
             {"k_norm", "k_participation", "k_rank", "k_anisotropy"}};

typedef struct probe {
    qn_heads heads;
    int64_t n_layers;
    spread *of; /* (L,Hq,2) */
    double *vector, *matrix;
} probe;

static int64_t count_of(const probe *p) { return 2 * p->n_layers * p->heads.n_heads; }

/* ---- memory ---------------------------------------------------------------------------------- */

static qn_status open_spread(spread *s, int64_t D) {
    s->sum = calloc((size_t)(2 * D + D * D), sizeof *s->sum);
    if (!s->sum) return qn_error(QN_CODE_MEMORY, "no host memory for covariances");
    s->unit = s->sum + D;
    s->product = s->unit + D;
    return QN_OK;
}

static void close_probe(probe *p) {
    for (int64_t i = 0; p->of && i < count_of(p); i++) free(p->of[i].sum);
    free(p->of);
    free(p->vector);
    free(p->matrix);
    qn_heads_close(&p->heads);
}

static qn_status open_probe(qn_model *model, probe *p) {
    *p = (probe){.n_layers = qn_model_plan(model)->config.n_layers};
    QN_TRY(qn_heads_open(model, &p->heads));
    const size_t D = (size_t)p->heads.head_dim;
    p->of = calloc((size_t)count_of(p), sizeof *p->of);
    p->vector = malloc(D * sizeof *p->vector);
    p->matrix = malloc(D * D * sizeof *p->matrix);
    qn_status status = p->of && p->vector && p->matrix
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no host memory for covariances");
    for (int64_t i = 0; i < count_of(p) && !status; i++)
        status = open_spread(&p->of[i], (int64_t)D);
    if (status) close_probe(p);
    return status;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void add_vector(spread *s, const double *x, int64_t D) {
    double square = 0;
    for (int64_t i = 0; i < D; i++) square += x[i] * x[i];
    const double norm = sqrt(square), scale = norm > 0 ? 1 / norm : 0;
    s->norm += norm;
    s->count++;
    s->directions += norm > 0;
    for (int64_t i = 0; i < D; i++) {
        s->sum[i] += x[i];
        s->unit[i] += scale * x[i];
        for (int64_t j = 0; j <= i; j++) s->product[i * D + j] += x[i] * x[j];
    }
}

static void add_unrotated(probe *p, spread *s, const float *x, int64_t position) {
    const int64_t D = p->heads.head_dim;
    memset(p->vector, 0, (size_t)D * sizeof *p->vector);
    qn_rotation_add_undone(&p->heads.rotation, position, x, p->vector);
    add_vector(s, p->vector, D);
}

/* q and k of a layer, before rotation, of the tokens whose target counts. */
static void add_layer(probe *p, int64_t layer, const qn_batch *batch) {
    const qn_heads *s = &p->heads;
    for (int64_t n = 0; n < s->B * s->T; n++) {
        if (batch->targets[n] < 0) continue;
        for (int64_t h = 0; h < s->n_heads; h++) {
            spread *of = p->of + 2 * (layer * s->n_heads + h);
            add_unrotated(p, &of[0], qn_heads_q(s, n, h), n % s->T);
            add_unrotated(p, &of[1], qn_heads_k(s, n, h), n % s->T);
        }
    }
}

static qn_status add_batch(probe *p, const qn_batch *batch) {
    double loss;
    QN_TRY(qn_model_evaluate(p->heads.model, batch, &loss));
    for (int64_t l = 0; l < p->n_layers; l++) {
        QN_TRY(qn_heads_read(&p->heads, l));
        add_layer(p, l, batch);
    }
    return QN_OK;
}

/* ---- figures --------------------------------------------------------------------------------- */

/* Of vectors that differ by rounding alone, 0. */
static void covariance(const spread *s, int64_t D, double *out) {
    const double n = (double)s->count;
    double trace = 0, square = 0;
    for (int64_t i = 0; i < D; i++) {
        for (int64_t j = 0; j <= i; j++) {
            out[i * D + j] = out[j * D + i] =
                s->product[i * D + j] / n - s->sum[i] * s->sum[j] / (n * n);
        }
        trace += out[i * D + i];
        square += s->product[i * D + i] / n;
    }
    if (trace <= FP32_NOISE * square) memset(out, 0, (size_t)(D * D) * sizeof *out);
}

/* tr(C)²/‖C‖²: how many directions an even spread of this kind would fill. */
static double participation(const double *c, int64_t D) {
    double trace = 0, square = 0;
    for (int64_t i = 0; i < D; i++) trace += c[i * D + i];
    for (int64_t i = 0; i < D * D; i++) square += c[i] * c[i];
    return square > 0 ? trace * trace / square : (double)NAN;
}

/* exp of the entropy of the normalised eigenvalues (Roy & Vetterli, EUSIPCO 2007). */
static double effective_rank(double *c, int64_t D, double *eigenvalues) {
    double trace = 0, entropy = 0;
    for (int64_t i = 0; i < D; i++) trace += c[i * D + i];
    qn_eigenvalues(c, D, eigenvalues);
    for (int64_t i = 0; i < D; i++) {
        const double share = eigenvalues[i] / trace;
        if (share > 0) entropy -= share * log(share);
    }
    return trace > 0 ? exp(entropy) : (double)NAN;
}

/* Mean cosine of two different vectors, from the sum of all, each of length 1; a vector of 0 has
 * none. */
static double anisotropy(const spread *s, int64_t D) {
    double square = 0;
    const double n = (double)s->directions;
    for (int64_t i = 0; i < D; i++) square += s->unit[i] * s->unit[i];
    return n > 1 ? (square - n) / (n * (n - 1)) : (double)NAN;
}

static qn_status add_figures(probe *p, int64_t i, qn_lens_figures *out) {
    const spread *s = &p->of[i];
    const int64_t D = p->heads.head_dim;
    const double none = (double)NAN;
    qn_lens_figure f = {.layer = i / 2 / p->heads.n_heads,
                        .head = i / 2 % p->heads.n_heads,
                        .baseline = none,
                        .n = s->count,
                        .at = -1,
                        .error = none};
    covariance(s, D, p->matrix);
    f.metric = names[i % 2].norm;
    f.value = s->count ? s->norm / (double)s->count : none;
    QN_TRY(qn_lens_add(out, f));
    f.metric = names[i % 2].participation;
    f.value = participation(p->matrix, D);
    QN_TRY(qn_lens_add(out, f));
    f.metric = names[i % 2].rank;
    f.value = effective_rank(p->matrix, D, p->vector);
    QN_TRY(qn_lens_add(out, f));
    f.metric = names[i % 2].anisotropy;
    f.value = anisotropy(s, D);
    f.baseline = 0;
    f.n = s->directions;
    return qn_lens_add(out, f);
}

qn_status qn_probe_geometry(qn_model *model, const qn_probe_text *text, qn_lens_figures *out) {
    probe p;
    QN_TRY(open_probe(model, &p));
    qn_status status = QN_OK;
    for (int64_t i = 0; i < text->n_batches && !status; i++)
        status = add_batch(&p, &text->batches[i]);
    for (int64_t i = 0; i < count_of(&p) && !status; i++) status = add_figures(&p, i, out);
    close_probe(&p);
    return status;
}
