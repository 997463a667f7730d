#include "cli/attention_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What the calls of a pass share. */
typedef struct measurement {
    qn_attention_problem *problem;
    const qn_measure_options *options;
    qn_pass *pass;
    void *workspace, *cleared;
    qn_event *start, *end;
} measurement;

static void show_progress(const measurement *m, const char *what) {
    if (!isatty(STDERR_FILENO)) return;
    fprintf(stderr, "\r\033[K%s T=%lld %s", what, (long long)m->problem->shape.seq_len,
            m->pass->backward ? "backward" : "forward");
    fflush(stderr);
}

static void clear_progress(void) {
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

/* ---- calls -------------------------------------------------------------------------- */

static qn_attention_args args_of(qn_attention_problem *p, qn_variant v) {
    qn_attention_args args = p->args;
    args.impl = v == QN_VARIANT_NAIVE ? QN_ATTN_NAIVE : QN_ATTN_FUSED;
    args.stats = v == QN_VARIANT_STATS ? &p->stats : NULL;
    return args;
}

static size_t workspace_of(qn_attention_problem *p, bool backward, qn_variant v) {
    const qn_ops *ops = p->backend->ops;
    const qn_attention_args args = args_of(p, v);
    return backward ? ops->attention_backward_workspace(p->backend, &args)
                    : ops->attention_forward_workspace(p->backend, &args);
}

static qn_status call(qn_attention_problem *p, bool backward, qn_variant v, void *workspace) {
    const qn_ops *ops = p->backend->ops;
    qn_attention_args args = args_of(p, v);
    args.workspace = workspace;
    return backward ? ops->attention_backward(p->stream, &args)
                    : ops->attention_forward(p->stream, &args);
}

/* o and lse, which a backward pass reads. */
static qn_status make_outputs(qn_attention_problem *p) {
    const qn_ops *ops = p->backend->ops;
    void *workspace;
    QN_TRY(ops->alloc(p->backend, workspace_of(p, false, QN_VARIANT_FUSED), &workspace));
    qn_status status = call(p, false, QN_VARIANT_FUSED, workspace);
    if (!status) status = ops->stream_sync(p->stream);
    ops->free(p->backend, workspace);
    return status;
}

/* ---- measuring -------------------------------------------------------------------------- */

/* The first call of a variant warms up, and is the one that is checked. */
static qn_status check_variant(measurement *m, qn_variant v) {
    qn_attention_error *error = &m->pass->of[v].error;
    QN_TRY(call(m->problem, m->pass->backward, v, m->workspace));
    QN_TRY(qn_attention_problem_fetch(m->problem, m->pass->backward));
    const qn_attention_check check = qn_attention_problem_check(m->problem);
    return m->pass->backward ? qn_attention_check_backward(&check, error)
                             : qn_attention_check_forward(&check, error);
}

static qn_status time_call(measurement *m, qn_variant v, double *seconds) {
    qn_attention_problem *p = m->problem;
    const qn_ops *ops = p->backend->ops;
    if (m->cleared) QN_TRY(ops->zero(p->stream, m->cleared, m->options->clear_bytes));
    QN_TRY(ops->event_record(m->start, p->stream));
    QN_TRY(call(p, m->pass->backward, v, m->workspace));
    QN_TRY(ops->event_record(m->end, p->stream));
    return ops->event_elapsed(m->start, m->end, seconds);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The variants take turns, so that all see the same machine. */
static qn_status time_variants(measurement *m) {
    const int64_t repeats = m->options->repeats;
    for (int64_t i = 0; i < repeats; i++)
        for (int v = 0; v < QN_VARIANTS; v++)
            if (m->pass->of[v].run) QN_TRY(time_call(m, (qn_variant)v, &m->pass->of[v].times[i]));
    for (int v = 0; v < QN_VARIANTS; v++) {
        qn_figures *f = &m->pass->of[v];
        if (!f->run) continue;
        qsort(f->times, (size_t)repeats, sizeof *f->times, ascending);
        f->seconds = f->times[repeats / 2];
    }
    return QN_OK;
}

/* Which variants run; the largest workspace among them. */
static size_t choose_variants(measurement *m, const qn_ceilings *ceilings) {
    const bool backward = m->pass->backward;
    size_t largest = 0;
    for (int v = 0; v < QN_VARIANTS; v++) {
        qn_figures *f = &m->pass->of[v];
        f->times = m->pass->times + v * m->options->repeats;
        f->workspace = workspace_of(m->problem, backward, (qn_variant)v);
        f->floor = qn_attention_floor(m->problem, backward, v == QN_VARIANT_NAIVE, ceilings);
        f->run = v == QN_VARIANT_NAIVE   ? (double)f->workspace <= m->options->max_naive_bytes
                 : v == QN_VARIANT_FUSED ? true
                                         : m->options->stats && !backward;
        if (f->run && f->workspace > largest) largest = f->workspace;
    }
    return largest;
}

static qn_status open_measurement(measurement *m, size_t workspace) {
    qn_backend *backend = m->problem->backend;
    QN_TRY(backend->ops->alloc(backend, workspace, &m->workspace));
    QN_TRY(backend->ops->alloc(backend, m->options->clear_bytes, &m->cleared));
    QN_TRY(backend->ops->event_create(backend, &m->start));
    return backend->ops->event_create(backend, &m->end);
}

static void close_measurement(measurement *m) {
    const qn_ops *ops = m->problem->backend->ops;
    ops->free(m->problem->backend, m->workspace);
    ops->free(m->problem->backend, m->cleared);
    if (m->start) ops->event_destroy(m->start);
    if (m->end) ops->event_destroy(m->end);
}

static qn_status run_measurement(measurement *m) {
    static const char *const names[] = {"naive", "fused", "fused with statistics"};
    for (int v = 0; v < QN_VARIANTS; v++) {
        if (!m->pass->of[v].run) continue;
        show_progress(m, names[v]);
        QN_TRY(check_variant(m, (qn_variant)v));
    }
    show_progress(m, "timing");
    return time_variants(m);
}

qn_status qn_pass_measure(qn_attention_problem *problem, bool backward,
                          const qn_measure_options *options, const qn_ceilings *ceilings,
                          qn_pass *pass) {
    *pass = (qn_pass){.backward = backward, .flops = (backward ? 2.5 : 1) * problem->flops};
    pass->times = calloc((size_t)options->repeats * QN_VARIANTS, sizeof *pass->times);
    if (!pass->times) return qn_error(QN_CODE_MEMORY, "no memory for the times of the repeats");
    if (backward) QN_TRY(make_outputs(problem));
    measurement m = {.problem = problem, .options = options, .pass = pass};
    qn_status status = open_measurement(&m, choose_variants(&m, ceilings));
    if (!status) status = run_measurement(&m);
    clear_progress();
    close_measurement(&m);
    return status;
}

void qn_pass_free(qn_pass *pass) { free(pass->times); }
