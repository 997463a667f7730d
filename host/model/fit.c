#include "quern/fit.h"

#include <stdio.h>

typedef struct search {
    qn_backend *backend;
    const qn_params *params;
    const qn_plan *plan;
    size_t memory;
} search;

static qn_status measure(const search *s, qn_fit_choice *choice) {
    qn_plan plan;
    QN_TRY(qn_plan_make(s->backend, &s->plan->config, s->params, &choice->options, &plan));
    choice->bytes = plan.total_bytes;
    return QN_OK;
}

/* ---- one step towards less memory: false where there is none -------------------------------- */

static bool recompute_more(qn_plan_options *o) {
    if (o->mode != QN_PLAN_TRAIN || o->recompute == QN_RECOMPUTE_BLOCK) return false;
    o->recompute++;
    return true;
}

/* In training, more micro-steps make up for smaller ones, as far as a plan takes them. */
static void accumulate(qn_plan_options *o, int64_t factor) {
    if (o->mode != QN_PLAN_TRAIN || o->grad_accum > INT32_MAX / factor) return;
    o->grad_accum *= factor;
}

static int64_t smallest_factor(int64_t n) {
    for (int64_t p = 2; p * p <= n; p++)
        if (n % p == 0) return p;
    return n;
}

/* Half of an even batch; an odd one falls into equal parts too. */
static bool split_batch(qn_plan_options *o) {
    if (o->batch_size == 1) return false;
    const int64_t factor = smallest_factor(o->batch_size);
    o->batch_size /= factor;
    accumulate(o, factor);
    return true;
}

static bool halve_sequence(qn_plan_options *o) {
    if (o->seq_len < 2 * QN_FIT_SHORTEST) return false;
    o->seq_len /= 2;
    accumulate(o, 2);
    return true;
}

/* ---- the search -------------------------------------------------------------------------- */

typedef bool change(qn_plan_options *);

/* Changes `at` until it fits or cannot be changed further. */
static qn_status descend(const search *s, change *one, qn_fit_choice *at) {
    while (at->bytes > s->memory && one(&at->options)) QN_TRY(measure(s, at));
    return QN_OK;
}

static void keep_if_fits(const search *s, const qn_fit_choice *choice, qn_fit *fit) {
    if (choice->bytes <= s->memory) fit->choices[fit->count++] = *choice;
}

qn_status qn_fit_find(qn_backend *backend, const qn_params *params, const qn_plan *plan,
                      size_t memory, qn_fit *out) {
    const search s = {backend, params, plan, memory};
    const qn_fit_choice asked = {plan->options, plan->total_bytes};
    qn_fit_choice recomputed = asked, split = asked;
    *out = (qn_fit){.state_bytes = plan->group_bytes[QN_GROUP_PARAMS] +
                                   plan->group_bytes[QN_GROUP_GRADS] +
                                   plan->group_bytes[QN_GROUP_OPTIMIZER]};
    QN_TRY(descend(&s, recompute_more, &recomputed));
    QN_TRY(descend(&s, split_batch, &split));
    keep_if_fits(&s, &recomputed, out);
    keep_if_fits(&s, &split, out);
    if (out->count) return QN_OK;
    QN_TRY(descend(&s, split_batch, &recomputed));
    QN_TRY(descend(&s, halve_sequence, &recomputed));
    keep_if_fits(&s, &recomputed, out);
    out->least = recomputed;
    return QN_OK;
}

/* ---- in words -------------------------------------------------------------------------------- */

typedef struct writer {
    char *text;
    size_t used;
} writer;

#define WRITE(w, ...)                                                                              \
    ((w)->used += (size_t)snprintf((w)->text + (w)->used, QN_FIT_TEXT - (w)->used, __VA_ARGS__))

/* The flags that differ from the plan's. */
static void write_flags(writer *w, const qn_plan_options *o, const qn_plan_options *asked) {
    if (o->recompute != asked->recompute)
        WRITE(w, " --recompute %s", qn_recompute_names[o->recompute]);
    if (o->batch_size != asked->batch_size)
        WRITE(w, " --batch-size %lld", (long long)o->batch_size);
    if (o->seq_len != asked->seq_len)
        WRITE(w, " %s %lld", o->mode == QN_PLAN_GENERATE ? "--context" : "--seq-len",
              (long long)o->seq_len);
    if (o->grad_accum != asked->grad_accum)
        WRITE(w, " --grad-accum %lld", (long long)o->grad_accum);
}

static void write_too_large(writer *w, const qn_fit *fit, const qn_plan *plan) {
    WRITE(w, "the model's %s need %.2f GB of it",
          plan->options.mode == QN_PLAN_TRAIN ? "parameters, gradients and moments" : "parameters",
          1e-9 * (double)fit->state_bytes);
    if (fit->least.bytes < plan->total_bytes) {
        WRITE(w, ", and with");
        write_flags(w, &fit->least.options, &plan->options);
        WRITE(w, " all needs %.2f GB", 1e-9 * (double)fit->least.bytes);
    }
    WRITE(w, "; it takes a smaller model or a device with more memory");
}

const char *qn_fit_describe(const qn_fit *fit, const qn_plan *plan, char text[QN_FIT_TEXT]) {
    writer w = {text, 0};
    for (int i = 0; i < fit->count; i++) {
        WRITE(&w, "%s", i ? ", with" : "with");
        write_flags(&w, &fit->choices[i].options, &plan->options);
        WRITE(&w, "%s %.2f GB", i ? "" : " it needs", 1e-9 * (double)fit->choices[i].bytes);
    }
    if (!fit->count) write_too_large(&w, fit, plan);
    return text;
}
