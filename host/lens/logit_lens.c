/* logit_lens.c: what the residual stream would predict if it were read at each depth
 * (nostalgebraist, 2020; without the trained maps of Belrose et al. 2303.08112). */
#include <math.h>
#include <stdlib.h>

#include "quern/activations.h"
#include "quern/probe.h"

enum { ROWS = 64 }; /* read at a time */

/* Sums over tokens at one depth. */
typedef struct sums {
    double correct, loss, loss_square, entropy, divergence;
} sums;

typedef struct probe {
    qn_model *model;
    int64_t V, depths, count; /* count: tokens whose target counts */
    sums *at;                 /* (depths) */
    int64_t *seen;            /* (V): how often each target came */
    float *final, *logits;    /* (ROWS,V) */
} probe;

/* ---- a row of logits
 * ---------------------------------------------------------------------------------- */

static double log_sum_exp(const float *x, int64_t V) {
    double most = -INFINITY, sum = 0;
    for (int64_t v = 0; v < V; v++) most = fmax(most, (double)x[v]);
    for (int64_t v = 0; v < V; v++) sum += exp((double)x[v] - most);
    return most + log(sum);
}

static int64_t largest(const float *x, int64_t V) {
    int64_t best = 0;
    for (int64_t v = 1; v < V; v++) {
        if (x[v] > x[best]) best = v;
    }
    return best;
}

/* Entropy of the row's distribution, and the divergence of the output's from it. */
static void add_row(sums *s, const float *x, const float *output, int64_t target, int64_t V) {
    const double total = log_sum_exp(x, V), output_total = log_sum_exp(output, V);
    const double loss = total - (double)x[target];
    for (int64_t v = 0; v < V; v++) {
        const double logp = (double)x[v] - total, logq = (double)output[v] - output_total;
        s->entropy -= exp(logp) * logp;
        s->divergence += exp(logq) * (logq - logp);
    }
    s->correct += largest(x, V) == target;
    s->loss += loss;
    s->loss_square += loss * loss;
}

/* ---- tokens
 * -------------------------------------------------------------------------------------------- */

static qn_status add_rows(probe *p, const int32_t *targets, int64_t first, int64_t count) {
    QN_TRY(qn_model_read_logits(p->model, p->depths - 1, first, count, p->final));
    for (int64_t d = 0; d < p->depths; d++) {
        const bool last = d == p->depths - 1;
        float *x = last ? p->final : p->logits;
        if (!last) QN_TRY(qn_model_read_logits(p->model, d, first, count, x));
        for (int64_t i = 0; i < count; i++) {
            const int32_t target = targets[first + i];
            if (target >= 0) add_row(&p->at[d], x + i * p->V, p->final + i * p->V, target, p->V);
        }
    }
    return QN_OK;
}

static qn_status add_batch(probe *p, const qn_batch *batch) {
    const qn_plan_options *o = &qn_model_plan(p->model)->options;
    const int64_t N = o->batch_size * o->seq_len;
    double loss;
    QN_TRY(qn_model_evaluate(p->model, batch, &loss));
    for (int64_t n = 0; n < N; n++) {
        if (batch->targets[n] < 0) continue;
        p->count++;
        p->seen[batch->targets[n]]++;
    }
    for (int64_t first = 0; first < N; first += ROWS)
        QN_TRY(add_rows(p, batch->targets, first, N - first < ROWS ? N - first : ROWS));
    return QN_OK;
}

/* ---- figures
 * ------------------------------------------------------------------------------------------- */

static double commonest(const probe *p) {
    int64_t most = 0;
    for (int64_t v = 0; v < p->V; v++) most = p->seen[v] > most ? p->seen[v] : most;
    return (double)most / (double)p->count;
}

static qn_status add_depth(const probe *p, int64_t depth, qn_lens_figures *out) {
    const sums *s = &p->at[depth];
    const double n = (double)p->count, none = (double)NAN, uniform = log((double)p->V);
    const double accuracy = s->correct / n, loss = s->loss / n;
    const double spread = fmax(0, s->loss_square / n - loss * loss);
    const struct {
        const char *metric;
        double value, baseline, error;
    } rows[] = {{"lens_accuracy", accuracy, commonest(p), sqrt(accuracy * (1 - accuracy) / n)},
                {"lens_loss", loss, uniform, sqrt(spread / n)},
                {"lens_entropy", s->entropy / n, uniform, none},
                {"lens_kl", s->divergence / n, none, none}};
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        QN_TRY(qn_lens_add(out, (qn_lens_figure){.layer = depth,
                                                 .head = -1,
                                                 .metric = rows[i].metric,
                                                 .value = rows[i].value,
                                                 .baseline = rows[i].baseline,
                                                 .n = p->count,
                                                 .at = -1,
                                                 .error = rows[i].error}));
    }
    return QN_OK;
}

/* ---- the probe
 * ------------------------------------------------------------------------------------------- */

static qn_status measure(probe *p, const qn_probe_text *text, qn_lens_figures *out) {
    for (int64_t i = 0; i < text->n_batches; i++) QN_TRY(add_batch(p, &text->batches[i]));
    for (int64_t d = 0; d < p->depths; d++) QN_TRY(add_depth(p, d, out));
    return QN_OK;
}

qn_status qn_probe_logit_lens(qn_model *model, const qn_probe_text *text, qn_lens_figures *out) {
    const qn_config *c = &qn_model_plan(model)->config;
    const size_t V = (size_t)c->vocab_size;
    probe p = {.model = model, .V = c->vocab_size, .depths = c->n_layers + 1};
    p.at = calloc((size_t)p.depths, sizeof *p.at);
    p.seen = calloc(V, sizeof *p.seen);
    p.final = malloc(ROWS * V * sizeof *p.final);
    p.logits = malloc(ROWS * V * sizeof *p.logits);
    qn_status status = p.at && p.seen && p.final && p.logits
                           ? measure(&p, text, out)
                           : qn_error(QN_CODE_MEMORY, "no host memory for logits");
    free(p.at);
    free(p.seen);
    free(p.final);
    free(p.logits);
    return status;
}
