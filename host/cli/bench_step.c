#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/gpu_peak.h"
#include "cli/open_backend.h"
#include "cli/train_flags.h"
#include "quern/clock.h"
#include "quern/files.h"
#include "quern/model_source.h"
#include "quern/philox.h"
#include "quern/profile.h"
#include "quern/step.h"
#include "quern/train.h"

static const char doc[] =
    "Measures whole training steps on random tokens: tokens/s, utilisation (on a known GPU of its "
    "dense bf16 peak, and everywhere of the matrix product's ceiling measured in the same run), "
    "and "
    "the time of each operation beside its floor: operations over that ceiling or bytes over the "
    "bandwidth of a copy, whichever takes longer (caches can beat the latter)."
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
    QN_TRY(qn_stepper_open(out->model, o, out->comm, &out->stepper));
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

/* ---- measuring ------------------------------------------------------------------------------ */

typedef struct figures {
    const char *precision;
    double step_seconds; /* median */
    double best_seconds;
    double tokens_per_s, flops_per_token;
    double gemm_flops_per_s; /* the ceiling: the median of measurements between the steps */
    int64_t m, n, k;         /* of the ceiling's product */
    double copy_bytes_per_s; /* the bandwidth of memory */
    double peak_flops_per_s; /* of a GPU's data sheet; 0: unknown */
    bool is_gpu;
} figures;

/* The least time in which a step's share of an operation can be done. */
static double floor_seconds(const qn_profile_entry *e, const figures *f) {
    return fmax(e->flops / f->gemm_flops_per_s, e->bytes / f->copy_bytes_per_s);
}

/* The share of a step in which no operation runs on a GPU; its profile is of other steps, so that
 * the difference can fall below 0. */
static double idle_share(const qn_profile_entry *entries, int count, int64_t steps,
                         const figures *f) {
    double busy = 0;
    for (int i = 0; i < count; i++) busy += entries[i].seconds;
    return fmax(0, 1 - busy / (double)steps / f->step_seconds);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

/* Steps and the ceiling in turn, so that both see the same machine. */
static qn_status measure(bench *b, qn_backend *backend, int64_t steps, figures *f) {
    double *times = malloc((size_t)steps * 2 * sizeof *times), warm;
    if (!times) return qn_error(QN_CODE_MEMORY, "no memory for %lld times", (long long)steps);
    double *ceilings = times + steps;
    qn_status status = take_step(b, &warm);
    for (int64_t i = 0; i < steps && !status; i++) {
        status = take_step(b, &times[i]);
        if (status) break;
        status = qn_measure_gemm(backend, (qn_precision)b->options->precision, f->m, f->n, f->k,
                                 0.05, &ceilings[i]);
    }
    if (!status) {
        f->step_seconds = median(times, steps);
        f->best_seconds = times[0];
        f->gemm_flops_per_s = median(ceilings, steps);
    }
    free(times);
    return status;
}

static double share(const figures *f) {
    return f->tokens_per_s * f->flops_per_token / f->gemm_flops_per_s;
}

static double utilisation(const figures *f) {
    return f->tokens_per_s * f->flops_per_token / f->peak_flops_per_s;
}

static void print_figures(const arguments *a, const figures *f, const char *device) {
    const qn_train_options *o = &a->options;
    printf("%s, %s, batch %lld × %lld × %lld micro-steps, on %s\n", o->model, f->precision,
           (long long)o->batch_size, (long long)o->seq_len, (long long)o->grad_accum, device);
    printf("  step        %10.1f ms (median of %lld; best %.1f)\n", 1e3 * f->step_seconds,
           (long long)a->steps, 1e3 * f->best_seconds);
    printf("  tokens/s    %10.0f\n", f->tokens_per_s);
    printf("  operations  %10.1f GFLOP/s (%.1f MFLOP a token)\n",
           1e-9 * f->tokens_per_s * f->flops_per_token, 1e-6 * f->flops_per_token);
    printf("  ceiling     %10.1f GFLOP/s (matrix product %lld×%lld×%lld, same run)\n",
           1e-9 * f->gemm_flops_per_s, (long long)f->m, (long long)f->n, (long long)f->k);
    printf("  share       %10.2f of the ceiling\n", share(f));
    if (f->peak_flops_per_s > 0) {
        printf("  utilisation %10.1f %% of the data sheet's %.0f TFLOP/s\n", 100 * utilisation(f),
               1e-12 * f->peak_flops_per_s);
    }
    printf("  bandwidth   %10.1f GB/s (copy, same run)\n\n", 1e-9 * f->copy_bytes_per_s);
}

static void print_breakdown(const qn_profile_entry *entries, int count, int64_t steps,
                            const figures *f) {
    double total = 0;
    for (int i = 0; i < count; i++) total += entries[i].seconds;
    printf("  %-20s %8s %10s %7s %10s %9s %10s\n", "operation", "calls", "ms/step", "share",
           "floor ms", "of time", "GFLOP/s");
    for (int i = 0; i < count; i++) {
        const qn_profile_entry *e = &entries[i];
        printf("  %-20s %8.0f %10.2f %6.1f%%", e->op, (double)e->calls / (double)steps,
               1e3 * e->seconds / (double)steps, 100 * e->seconds / total);
        const double least = floor_seconds(e, f);
        printf(" %10.3f %9.2f", 1e3 * least / (double)steps, least / e->seconds);
        if (e->flops > 0) printf(" %10.1f", 1e-9 * e->flops / e->seconds);
        printf("\n");
    }
    if (f->is_gpu) printf("  idle %.1f %% of a step\n", 100 * idle_share(entries, count, steps, f));
}

static qn_status write_json(const arguments *a, const figures *f, const char *device,
                            const qn_profile_entry *entries, int count, int64_t steps) {
    const qn_train_options *o = &a->options;
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return qn_error(QN_CODE_MEMORY, "%s: no memory for its text", a->json);
    char used[32] = "null", idle[32] = "null";
    if (f->peak_flops_per_s > 0) snprintf(used, sizeof used, "%.4f", utilisation(f));
    if (f->is_gpu) snprintf(idle, sizeof idle, "%.4f", idle_share(entries, count, steps, f));
    fprintf(out,
            "{\"bench\": \"step\", \"version\": \"%s\", \"device\": \"%s\", \"model\": \"%s\", "
            "\"precision\": \"%s\",\n \"batch_size\": %lld, \"seq_len\": %lld, "
            "\"grad_accum\": %lld, \"step_seconds\": %.6g, \"tokens_per_s\": %.6g,\n"
            " \"flops_per_token\": %.9g, \"gemm_flops_per_s\": %.6g, \"share\": %.4f,\n"
            " \"copy_bytes_per_s\": %.6g, \"peak_flops_per_s\": %.6g, \"utilisation\": %s, "
            "\"idle\": %s,\n \"operations\": [",
            QN_VERSION, device, o->model, f->precision, (long long)o->batch_size,
            (long long)o->seq_len, (long long)o->grad_accum, f->step_seconds, f->tokens_per_s,
            f->flops_per_token, f->gemm_flops_per_s, share(f), f->copy_bytes_per_s,
            f->peak_flops_per_s, used, idle);
    for (int i = 0; i < count; i++) {
        const qn_profile_entry *e = &entries[i];
        const double n = (double)steps;
        fprintf(out,
                "%s\n  {\"op\": \"%s\", \"calls\": %.6g, \"seconds\": %.6g, \"flops\": %.6g, "
                "\"bytes\": %.6g, \"floor_seconds\": %.6g}",
                i ? "," : "", e->op, (double)e->calls / n, e->seconds / n, e->flops / n,
                e->bytes / n, floor_seconds(e, f) / n);
    }
    fprintf(out, "]}\n");
    fclose(out);
    qn_status status = qn_file_write(a->json, text, length);
    free(text);
    return status;
}

enum { PROFILED_STEPS = 3 };

static qn_status profile(const arguments *a, const qn_config *config, qn_backend *backend,
                         const figures *f, const char *device) {
    qn_backend *profiler;
    bench b;
    double time;
    QN_TRY(qn_profile_open(backend, &profiler));
    qn_status status = open_bench(config, &a->options, profiler, &b);
    for (int i = 0; i <= PROFILED_STEPS && !status; i++) {
        if (i == 1) status = qn_profile_reset(profiler);
        if (!status) status = take_step(&b, &time);
    }
    const qn_profile_entry *entries;
    int count;
    if (!status) status = qn_profile_read(profiler, &entries, &count);
    if (!status) {
        print_breakdown(entries, count, PROFILED_STEPS, f);
        if (a->json) status = write_json(a, f, device, entries, count, PROFILED_STEPS);
    }
    close_bench(&b);
    profiler->ops->close(profiler);
    return status;
}

static qn_status run(const arguments *a, const qn_config *config, qn_backend *backend) {
    const qn_train_options *o = &a->options;
    bench b;
    qn_device_info device;
    QN_TRY(backend->ops->device_info(backend, &device));
    figures f = {.m = o->batch_size * o->seq_len,
                 .n = 4 * config->hidden_size,
                 .k = config->hidden_size,
                 .peak_flops_per_s = qn_gpu_peak(device.name),
                 .is_gpu = device.n_threads == 0};
    QN_TRY(qn_measure_copy(backend, &f.copy_bytes_per_s));
    qn_status status = open_bench(config, o, backend, &b);
    if (!status) status = measure(&b, backend, a->steps, &f);
    if (!status) {
        f.precision = qn_dtype_name(qn_model_plan(b.model)->options.compute);
        f.tokens_per_s = (double)(f.m * o->grad_accum) / f.step_seconds;
        f.flops_per_token = qn_plan_flops_per_token(config, qn_model_params(b.model), o->seq_len);
        print_figures(a, &f, device.name);
    }
    close_bench(&b);
    return status ? status : profile(a, config, backend, &f, device.name);
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
