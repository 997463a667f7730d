#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/gpu_peak.h"
#include "cli/open_backend.h"
#include "cli/step_report.h"
#include "cli/train_flags.h"
#include "quern/clock.h"
#include "quern/model_source.h"
#include "quern/philox.h"
#include "quern/profile.h"
#include "quern/step.h"
#include "quern/train.h"

static const char doc[] =
    "Measures whole training steps on random tokens: tokens/s, utilisation (on a known GPU of its "
    "dense bf16 peak, and everywhere of the matrix product's ceiling measured in the same run), "
    "and the time of each operation beside its floor: operations over that ceiling or bytes over "
    "the "
    "bandwidth of a copy, whichever takes longer (caches can beat the latter). On a GPU with CUPTI "
    "also the kernels of each operation, and how long the GPU is idle in whole steps."
    "\v"
    "Examples:\n"
    "  quern bench step --model gpt2-12m --batch-size 8 --seq-len 256\n"
    "  quern bench step --model gpt2-12m --seq-len 256 --precision bf16 --json step.json";

static const char *const names[] = {"model",     "batch-size", "seq-len", "grad-accum", "precision",
                                    "attention", "recompute",  "threads", "backend",    NULL};

typedef struct arguments {
    qn_train_flags flags;
    qn_train_options options;
    int64_t steps, vocab_size;
    const char *json;
} arguments;

enum { KEY_STEPS = 0x1000, KEY_VOCAB, KEY_JSON };

static const struct argp_option own_options[] = {
    {"steps", KEY_STEPS, "N", 0, "steps that are timed (default 10)", 0},
    {"vocab-size", KEY_VOCAB, "N", 0, "vocabulary of a preset (default: its own)", 0},
    {"json", KEY_JSON, "FILE", 0, "write the figures there too", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->flags;
        break;
    case KEY_STEPS:
        a->steps = qn_arg_int(state, "--steps", arg, 1, 1 << 30);
        break;
    case KEY_VOCAB:
        a->vocab_size = qn_arg_int(state, "--vocab-size", arg, 1, 1 << 30);
        break;
    case KEY_JSON:
        a->json = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- one step ----------------------------------------------------------------------------- */

typedef struct bench {
    qn_model *model;
    qn_comm *comm;
    qn_stepper *stepper;
    const qn_train_options *options;
    int64_t step;
    uint32_t drawn; /* micro-batches */
} bench;

/* The next micro-batch: random tokens, and the same shifted as targets. */
static qn_status draw_batch(bench *b) {
    const int64_t N = b->options->batch_size * b->options->seq_len;
    const uint32_t V = (uint32_t)qn_model_plan(b->model)->config.vocab_size, number = b->drawn++;
    int32_t *tokens, *targets, *doc_start;
    QN_TRY(qn_stepper_input(b->stepper, &tokens, &targets, &doc_start));
    for (int64_t i = 0; i <= N; i++) {
        const qn_philox r = qn_philox_at(1, QN_RANDOM_SHUFFLE, number, (uint64_t)i);
        if (i < N) tokens[i] = (int32_t)(r.x[0] % V);
        if (i > 0) targets[i - 1] = (int32_t)(r.x[0] % V);
    }
    return QN_OK;
}

static qn_status open_bench(const qn_config *config, const qn_train_options *o, qn_backend *backend,
                            bench *out) {
    *out = (bench){.options = o};
    qn_plan_options plan = qn_options_plan(o);
    plan.documents = false; /* random tokens have none */
    QN_TRY(qn_plan_set_precision(backend, (qn_precision)o->precision, &plan));
    QN_TRY(qn_model_create(backend, config, &plan, &out->model));
    QN_TRY(qn_model_init(out->model, 1));
    QN_TRY(qn_comm_open(&out->comm));
    QN_TRY(qn_stepper_open(out->model, o, o->seq_len, out->comm, &out->stepper));
    return draw_batch(out);
}

static void close_bench(bench *b) {
    qn_stepper_close(b->stepper);
    if (b->comm) b->comm->ops->close(b->comm);
    qn_model_destroy(b->model);
}

static qn_status take_step(bench *b, double *time) {
    const int64_t G = b->options->grad_accum;
    double loss, norm;
    const double start = qn_clock();
    b->step++;
    for (int64_t g = 0; g < G; g++) {
        QN_TRY(qn_stepper_pass(b->stepper, g, b->step, 1e-4));
        QN_TRY(draw_batch(b)); /* while the device is at work, as in training */
    }
    QN_TRY(qn_stepper_result(b->stepper, &loss, &norm));
    if (!isfinite(loss)) return qn_error(QN_CODE_NUMERIC, "the loss of a bench step is %g", loss);
    *time = qn_clock() - start;
    return QN_OK;
}

static qn_status warm_up(bench *b) {
    double time;
    for (int64_t i = qn_stepper_warm_steps(b->stepper); i > 0; i--) QN_TRY(take_step(b, &time));
    return QN_OK;
}

/* ---- measuring ------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

/* Steps and the ceiling in turn, so that both see the same machine. */
static qn_status time_in_turn(bench *b, qn_backend *backend, const qn_step_bench *r, double *times,
                              double *ceilings) {
    const qn_precision precision = (qn_precision)b->options->precision;
    for (int64_t i = 0; i < r->steps; i++) {
        QN_TRY(take_step(b, &times[i]));
        QN_TRY(qn_measure_gemm(backend, precision, r->gemm_m, r->gemm_n, r->gemm_k, 0.05,
                               &ceilings[i]));
    }
    return QN_OK;
}

static qn_status measure(bench *b, qn_backend *backend, qn_step_bench *r) {
    QN_TRY(warm_up(b));
    QN_TRY(qn_fit_gemm(backend, (qn_precision)b->options->precision, &r->gemm_m, r->gemm_n,
                       r->gemm_k));
    double *times = malloc((size_t)r->steps * 2 * sizeof *times);
    if (!times) return qn_error(QN_CODE_MEMORY, "no memory for %lld times", (long long)r->steps);
    qn_status status = time_in_turn(b, backend, r, times, times + r->steps);
    if (!status) {
        r->step_seconds = median(times, r->steps);
        r->best_seconds = times[0];
        r->gemm_flops_per_s = median(times + r->steps, r->steps);
    }
    free(times);
    return status;
}

static qn_status measure_steps(const arguments *a, const qn_config *config, qn_backend *backend,
                               qn_step_bench *r) {
    const qn_train_options *o = &a->options;
    bench b;
    QN_TRY(qn_measure_copy(backend, &r->copy_bytes_per_s));
    qn_status status = open_bench(config, o, backend, &b);
    if (!status) status = measure(&b, backend, r);
    if (!status) {
        r->precision = qn_dtype_name(qn_model_plan(b.model)->options.compute);
        r->tokens_per_s = (double)(o->batch_size * o->seq_len * o->grad_accum) / r->step_seconds;
        r->flops_per_token = qn_plan_flops_per_token(config, qn_model_params(b.model), o->seq_len);
    }
    close_bench(&b);
    return status;
}

/* ---- breaking down -------------------------------------------------------------------------- */

enum { TRACED_STEPS = 3, PROFILED_STEPS = 3 };

/* Steps as they train, of which the trace tells how long the GPU does nothing. */
static qn_status trace_steps(const arguments *a, const qn_config *config, qn_backend *backend,
                             qn_trace *trace, qn_step_bench *r) {
    bench b;
    double time;
    qn_trace_reading reading;
    qn_status status = open_bench(config, &a->options, backend, &b);
    if (!status) status = warm_up(&b); /* graphs are recorded under the trace */
    if (!status) status = trace->ops->start(trace);
    for (int i = 0; i < TRACED_STEPS && !status; i++) status = take_step(&b, &time);
    if (!status) status = trace->ops->stop(trace);
    if (!status) status = trace->ops->read(trace, &reading);
    if (!status) {
        r->traced_seconds = reading.span_seconds / TRACED_STEPS;
        r->traced_idle = 1 - reading.busy_seconds / reading.span_seconds;
    }
    close_bench(&b);
    return status;
}

static qn_status read_kernels(qn_trace *trace, qn_trace_reading *out) {
    QN_TRY(trace->ops->stop(trace));
    return trace->ops->read(trace, out);
}

/* Goes on without what there is no trace of. */
static void note(qn_step_bench *r, qn_status status) {
    if (status && !r->note[0]) snprintf(r->note, sizeof r->note, "%s", qn_message(status));
    qn_status_free(status);
}

/* Operation by operation, without graphs; `trace` may be NULL. */
static qn_status profile_steps(const arguments *a, const qn_config *config, qn_backend *profiler,
                               qn_trace *trace, qn_step_bench *r) {
    bench b;
    double time;
    bool traced = trace;
    qn_status status = open_bench(config, &a->options, profiler, &b);
    if (!status) status = warm_up(&b);
    if (!status) status = qn_profile_reset(profiler);
    if (!status && trace) {
        qn_status started = trace->ops->start(trace);
        traced = !started;
        note(r, started);
    }
    for (int i = 0; i < PROFILED_STEPS && !status; i++) status = take_step(&b, &time);
    if (!status && traced) note(r, read_kernels(trace, &r->kernels));
    if (!status) status = qn_profile_read(profiler, &r->operations, &r->n_operations);
    r->profiled_steps = PROFILED_STEPS;
    close_bench(&b);
    return status;
}

static qn_status break_down(const arguments *a, const qn_config *config, qn_backend *backend,
                            qn_trace *trace, qn_step_bench *r) {
    qn_backend *profiler;
    QN_TRY(qn_profile_open(backend, &profiler));
    qn_status status = profile_steps(a, config, profiler, trace, r);
    if (!status) {
        qn_step_print_operations(r);
        if (a->json) status = qn_step_write_json(r, a->json);
    }
    profiler->ops->close(profiler);
    return status;
}

/* The trace is opened after the steps that were timed, since it takes time of its own. */
static qn_status trace_and_break_down(const arguments *a, const qn_config *config,
                                      qn_backend *backend, qn_step_bench *r) {
    qn_trace *trace = NULL;
    if (r->is_gpu) note(r, backend->ops->trace_open(backend, &trace));
    if (trace) note(r, trace_steps(a, config, backend, trace, r));
    qn_status status = break_down(a, config, backend, trace, r);
    if (trace) trace->ops->close(trace);
    return status;
}

static qn_status run(const arguments *a, const qn_config *config, qn_backend *backend) {
    const qn_train_options *o = &a->options;
    qn_device_info device;
    QN_TRY(backend->ops->device_info(backend, &device));
    qn_step_bench report = {.options = o,
                            .device = device.name,
                            .is_gpu = device.n_threads == 0,
                            .steps = a->steps,
                            .gemm_m = o->batch_size * o->seq_len,
                            .gemm_n = 4 * config->hidden_size,
                            .gemm_k = config->hidden_size,
                            .wanted_m = o->batch_size * o->seq_len,
                            .peak_flops_per_s = qn_gpu_peak(device.name)};
    QN_TRY(measure_steps(a, config, backend, &report));
    qn_step_print_figures(&report);
    return trace_and_break_down(a, config, backend, &report);
}

static qn_status open_and_run(arguments *a) {
    qn_config config;
    qn_backend *backend;
    qn_options_default(&a->options);
    QN_TRY(qn_train_flags_apply(&a->flags, &a->options));
    QN_TRY(qn_model_source_config(a->options.model, a->vocab_size, &config));
    QN_TRY(qn_open_backend(a->options.backend, a->options.threads, &backend));
    qn_status status = run(a, &config, backend);
    backend->ops->close(backend);
    return status;
}

qn_status bench_step(int argc, char **argv) {
    arguments a = {.steps = 10};
    QN_TRY(qn_train_flags_open(&a.flags, names, argc));
    const struct argp_child children[] = {{&a.flags.argp, 0, NULL, 0}, {0}};
    const struct argp argp = {own_options, parse, NULL, doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_status status = open_and_run(&a);
    qn_train_flags_close(&a.flags);
    return status;
}
