#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/open_backend.h"
#include "cli/plan_json.h"
#include "cli/train_flags.h"
#include "quern/model_source.h"

static const char doc[] =
    "Prints the memory that training a model would take, buffer by buffer, without allocating it."
    "\v"
    "Examples:\n"
    "  quern plan --model gpt2-124m --batch-size 4 --seq-len 1024\n"
    "  quern plan --model qwen2.5-1.5b --batch-size 1 --seq-len 2048 --recompute block\n"
    "  quern plan --model my/config.json --memory 24 --json plan.json";

static const char *const names[] = {"model",     "batch-size", "seq-len",   "grad-accum",
                                    "precision", "attention",  "recompute", "documents",
                                    "threads",   "backend",    NULL};

typedef struct arguments {
    qn_train_flags flags;
    int64_t vocab_size;
    double memory; /* GB to compare with; 0: what the device has free */
    const char *json;
    bool all;
} arguments;

enum { KEY_MEMORY = 0x1000, KEY_VOCAB, KEY_ALL, KEY_JSON };

static const struct argp_option own_options[] = {
    {"memory", KEY_MEMORY, "GB", 0, "compare with this much (default: what is free here)", 0},
    {"vocab-size", KEY_VOCAB, "N", 0, "vocabulary of a preset (default: its own)", 0},
    {"all", KEY_ALL, NULL, 0, "list small buffers too", 0},
    {"json", KEY_JSON, "FILE", 0, "write the plan there too, every buffer of it", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->flags;
        break;
    case KEY_MEMORY:
        a->memory = qn_arg_real(state, "--memory", arg, 0, 1e9);
        break;
    case KEY_VOCAB:
        a->vocab_size = qn_arg_int(state, "--vocab-size", arg, 1, 1 << 30);
        break;
    case KEY_ALL:
        a->all = true;
        break;
    case KEY_JSON:
        a->json = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static double gb(size_t bytes) { return 1e-9 * (double)bytes; }

static void print_table(const qn_plan *plan, bool all) {
    printf("%-30s %6s %14s %7s %12s\n", "buffer", "dtype", "elements", "copies", "GB");
    for (int g = 0; g < QN_N_GROUPS; g++) {
        if (!plan->group_bytes[g]) continue;
        for (int i = 0; i < QN_N_BUFFERS; i++) {
            const qn_buffer *b = &plan->buffers[i];
            const size_t bytes = b->stride * (size_t)b->copies;
            if (!b->name || (int)b->group != g) continue;
            if (!all && bytes < plan->total_bytes / 1000) continue;
            printf("  %-28s %6s %14lld %7lld %12.4f\n", b->name, qn_dtype_name(b->dtype),
                   (long long)b->count, (long long)b->copies, gb(bytes));
        }
        printf("%-30s %42.4f\n", qn_buffer_group_name(g), gb(plan->group_bytes[g]));
    }
    printf("%-30s %42.4f\n", "total", gb(plan->total_bytes));
}

static void print_verdict(const qn_planned *p) {
    printf("\n%s: %.1f GB; the plan %s", p->device, gb(p->memory),
           p->fits ? "fits" : "does not fit");
    char remedy[QN_FIT_TEXT];
    if (!p->fits) printf("; %s", qn_fit_describe(&p->fit, &p->plan, remedy));
    printf("\n");
}

static void print_plan(const qn_planned *p, bool all) {
    const qn_plan_options *o = &p->plan.options;
    printf("%s (%s): %.2f M parameters, %.3g GFLOP a token; batch %lld × %lld tokens\n\n", p->model,
           p->plan.config.architecture, 1e-6 * (double)p->n_params, 1e-9 * p->flops_per_token,
           (long long)o->batch_size, (long long)o->seq_len);
    print_table(&p->plan, all);
    print_verdict(p);
}

static qn_status make_plan(const qn_train_options *o, qn_backend *backend, const qn_config *config,
                           const qn_params *params, qn_planned *out) {
    qn_plan_options options = qn_options_plan(o);
    QN_TRY(qn_plan_set_precision(backend, (qn_precision)o->precision, &options));
    QN_TRY(qn_plan_make(backend, config, params, &options, &out->plan));
    out->model = o->model;
    out->n_params = params->n_params;
    out->flops_per_token = qn_plan_flops_per_token(config, params, o->seq_len);
    out->fits = out->plan.total_bytes <= out->memory;
    return out->fits ? QN_OK : qn_fit_find(backend, params, &out->plan, out->memory, &out->fit);
}

static qn_status plan_on(const arguments *a, const qn_train_options *o, qn_backend *backend) {
    qn_config config;
    qn_params params;
    qn_device_info device;
    QN_TRY(backend->ops->device_info(backend, &device));
    QN_TRY(qn_model_source_config(o->model, a->vocab_size, &config));
    QN_TRY(qn_params_make(&config, &params));
    qn_planned planned = {.memory = a->memory > 0 ? (size_t)(1e9 * a->memory) : device.memory_free,
                          .device = a->memory > 0 ? "given" : device.name};
    qn_status status = make_plan(o, backend, &config, &params, &planned);
    qn_params_free(&params);
    if (status) return status;
    print_plan(&planned, a->all);
    return a->json ? qn_plan_json_write(&planned, a->json) : QN_OK;
}

static qn_status plan(const arguments *a) {
    qn_train_options options;
    qn_backend *backend;
    qn_options_default(&options);
    QN_TRY(qn_train_flags_apply(&a->flags, &options));
    QN_TRY(qn_open_backend(options.backend, options.threads, &backend));
    qn_status status = plan_on(a, &options, backend);
    backend->ops->close(backend);
    return status;
}

qn_status cmd_plan(int argc, char **argv) {
    arguments a = {0};
    QN_TRY(qn_train_flags_open(&a.flags, names, argc));
    const struct argp_child children[] = {{&a.flags.argp, 0, NULL, 0}, {0}};
    const struct argp argp = {own_options, parse, NULL, doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_status status = plan(&a);
    qn_train_flags_close(&a.flags);
    return status;
}
