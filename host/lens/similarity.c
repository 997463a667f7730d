/* similarity.c: how alike the residual stream is at two depths: linear centred kernel alignment
 * (Kornblith et al. 1905.00414), in the form with one Gram matrix of tokens a depth, which costs
 * N²·C a depth and N² a pair. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quern/activations.h"
#include "quern/probe.h"

enum { MOST_TOKENS = 1024 }; /* 8 MiB a depth */

typedef struct probe {
    qn_model *model;
    int64_t depths, C, most, count; /* count: tokens so far, most: room for them */
    float *x;                       /* (depths,most,C) */
    float *pass;                    /* (B·T,C) */
    double *grams;                  /* (depths,count,count), centred */
} probe;

static double *gram_of(const probe *p, int64_t depth) {
    return p->grams + depth * p->count * p->count;
}

/* ---- tokens
 * ------------------------------------------------------------------------------------------ */

static int64_t count_targets(const qn_probe_text *text, int64_t N) {
    int64_t count = 0;
    for (int64_t i = 0; i < text->n_batches; i++)
        for (int64_t n = 0; n < N; n++) count += text->batches[i].targets[n] >= 0;
    return count;
}

/* Takes every stride-th token whose target counts; `number` is how many came before this batch. */
static qn_status add_batch(probe *p, const qn_batch *batch, int64_t N, int64_t stride,
                           int64_t *number) {
    int64_t taken = 0, seen = *number;
    double loss;
    QN_TRY(qn_model_evaluate(p->model, batch, &loss));
    for (int64_t d = 0; d < p->depths; d++) {
        QN_TRY(qn_model_read_residual(p->model, d, p->pass));
        taken = 0;
        seen = *number;
        for (int64_t n = 0; n < N; n++) {
            if (batch->targets[n] < 0 || seen++ % stride || p->count + taken == p->most) continue;
            memcpy(p->x + (d * p->most + p->count + taken++) * p->C, p->pass + n * p->C,
                   (size_t)p->C * sizeof *p->x);
        }
    }
    p->count += taken;
    *number = seen;
    return QN_OK;
}

static qn_status read_tokens(probe *p, const qn_probe_text *text) {
    const qn_plan_options *o = &qn_model_plan(p->model)->options;
    const int64_t N = o->batch_size * o->seq_len, all = count_targets(text, N);
    const int64_t stride = (all + p->most - 1) / p->most;
    int64_t number = 0;
    for (int64_t i = 0; i < text->n_batches; i++)
        QN_TRY(add_batch(p, &text->batches[i], N, stride, &number));
    return QN_OK;
}

/* ---- Gram matrices
 * ------------------------------------------------------------------------------------- */

static double product(const float *a, const float *b, int64_t C) {
    double sum = 0;
    for (int64_t c = 0; c < C; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

/* Subtracts the means of rows and of columns: what centred features would give. */
static void centre(double *gram, double *means, int64_t n) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) {
        means[i] = 0;
        for (int64_t j = 0; j < n; j++) means[i] += gram[i * n + j] / (double)n;
        mean += means[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) gram[i * n + j] += mean - means[i] - means[j];
}

static qn_status make_grams(probe *p) {
    const int64_t n = p->count;
    double *means = malloc((size_t)n * sizeof *means);
    p->grams = malloc((size_t)(p->depths * n * n) * sizeof *p->grams);
    if (!p->grams || !means) {
        free(means);
        return qn_error(QN_CODE_MEMORY, "no host memory to compare %lld tokens", (long long)n);
    }
    for (int64_t d = 0; d < p->depths; d++) {
        const float *x = p->x + d * p->most * p->C;
        double *gram = gram_of(p, d);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++)
                gram[i * n + j] = gram[j * n + i] = product(x + i * p->C, x + j * p->C, p->C);
        centre(gram, means, n);
    }
    free(means);
    return QN_OK;
}

/* ---- figures
 * --------------------------------------------------------------------------------------------- */

static double inner(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n * n; i++) sum += a[i] * b[i];
    return sum;
}

static double trace(const double *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i * n + i];
    return sum;
}

/* Over all orders of one side's tokens the mean of ⟨K, L⟩ is tr K · tr L / (n − 1), for centred K
 * and L: each entry off the diagonal is as often met by every other. */
static qn_status add_pair(const probe *p, int64_t a, int64_t b, qn_lens_figures *out) {
    const int64_t n = p->count;
    const double *K = gram_of(p, a), *L = gram_of(p, b);
    const double norm = sqrt(inner(K, K, n) * inner(L, L, n));
    const bool known = n > 1 && norm > 0;
    return qn_lens_add(
        out, (qn_lens_figure){.layer = a,
                              .head = -1,
                              .metric = "cka",
                              .value = known ? inner(K, L, n) / norm : (double)NAN,
                              .baseline = known ? trace(K, n) * trace(L, n) / (double)(n - 1) / norm
                                                : (double)NAN,
                              .n = n,
                              .at = b,
                              .error = (double)NAN});
}

static qn_status measure(probe *p, const qn_probe_text *text, qn_lens_figures *out) {
    QN_TRY(read_tokens(p, text));
    QN_TRY(make_grams(p));
    for (int64_t a = 0; a < p->depths; a++)
        for (int64_t b = a + 1; b < p->depths; b++) QN_TRY(add_pair(p, a, b, out));
    return QN_OK;
}

qn_status qn_probe_similarity(qn_model *model, const qn_probe_text *text, qn_lens_figures *out) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t N = plan->options.batch_size * plan->options.seq_len;
    const int64_t C = plan->config.hidden_size;
    probe p = {.model = model, .depths = plan->config.n_layers + 1, .C = C};
    p.most = N * text->n_batches < MOST_TOKENS ? N * text->n_batches : MOST_TOKENS;
    p.x = malloc((size_t)(p.depths * p.most * C) * sizeof *p.x);
    p.pass = malloc((size_t)(N * C) * sizeof *p.pass);
    qn_status status = p.x && p.pass ? measure(&p, text, out)
                                     : qn_error(QN_CODE_MEMORY, "no host memory for residuals");
    free(p.x);
    free(p.pass);
    free(p.grams);
    return status;
}
