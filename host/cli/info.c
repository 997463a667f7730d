#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/gpu_peak.h"
#include "cli/open_backend.h"
#include "quern/checkpoint.h"
#include "quern/dataset.h"
#include "quern/files.h"
#include "quern/model_source.h"
#include "quern/options.h"

static const char doc[] =
    "Says what things are: a run folder, a model (preset, config.json or folder), a data folder; "
    "without arguments, this machine and the presets. What has a preset's name is that preset: "
    "write ./NAME for a folder of that name."
    "\v"
    "Examples:\n"
    "  quern info\n"
    "  quern info runs/first data/austen gpt2-124m\n"
    "  quern info gpt2-124m --save-config my/config.json\n"
    "  quern info --device";

typedef struct arguments {
    char **things;
    int count;
    const char *config; /* where to write one */
    bool device;
} arguments;

enum { KEY_CONFIG = 0x1000, KEY_DEVICE };

static const struct argp_option own_options[] = {
    {"save-config", KEY_CONFIG, "FILE", 0, "write the config.json of the model named there", 0},
    {"device", KEY_DEVICE, NULL, 0,
     "for scripts, on which device training runs here: lines of a word and its value", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_ARGS:
        a->things = state->argv + state->next;
        a->count = state->argc - state->next;
        return 0;
    case KEY_CONFIG:
        a->config = arg;
        return 0;
    case KEY_DEVICE:
        a->device = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the machine ------------------------------------------------------------------------- */

static qn_status find_device(qn_device_info *out) {
    qn_backend *backend;
    QN_TRY(qn_open_backend("auto", 0, &backend));
    qn_status status = backend->ops->device_info(backend, out);
    backend->ops->close(backend);
    return status;
}

static qn_status describe_device(void) {
    qn_device_info device;
    QN_TRY(find_device(&device));
    printf("backend %s\nbackends", device.n_threads ? "cpu" : "cuda");
    for (const char *const *name = qn_backend_names; *name; name++) printf(" %s", *name);
    printf("\nname %s\nmemory_free %zu\npeak_tflops %.0f\n", device.name, device.memory_free,
           1e-12 * qn_gpu_peak(device.name));
    return QN_OK;
}

static qn_status describe_machine(void) {
    qn_device_info device;
    QN_TRY(find_device(&device));
    printf("quern %s\n%s: %s, %d threads, %.1f of %.1f GB free, bf16 products %s\n\npresets:\n",
           QN_VERSION, device.name, device.arch, device.n_threads,
           1e-9 * (double)device.memory_free, 1e-9 * (double)device.memory_total,
           device.bf16_gemm ? "in hardware" : "emulated");
    for (const char *const *name = qn_config_preset_names(); *name; name++) {
        printf("  %-14s %s\n", *name, qn_config_preset_description(*name));
    }
    return QN_OK;
}

/* ---- models --------------------------------------------------------------------------------- */

static qn_status describe_config(const char *name, const qn_config *c) {
    qn_params params;
    QN_TRY(qn_params_make(c, &params));
    printf("%s: %s, %.3f M parameters\n", name, c->architecture, 1e-6 * (double)params.n_params);
    qn_params_free(&params);
    printf("  vocabulary %lld, %lld layers, width %lld, %lld heads of %lld (%lld for k and v), "
           "feed-forward %lld, positions %lld\n",
           (long long)c->vocab_size, (long long)c->n_layers, (long long)c->hidden_size,
           (long long)c->n_heads, (long long)c->head_dim, (long long)c->n_kv_heads,
           (long long)c->ffn_size, (long long)c->max_seq_len);
    if (c->arch == QN_ARCH_LLAMA) printf("  rotary base %g", c->rope_theta);
    if (c->sliding_window) printf(", window %lld", (long long)c->sliding_window);
    printf("%s%s%s%s\n", c->arch == QN_ARCH_LLAMA ? "" : "  learned positions",
           c->qk_norm ? ", qk-norm" : "", c->qkv_bias ? ", biases on q, k, v" : "",
           c->tie_embeddings ? ", tied embeddings" : "");
    return QN_OK;
}

static qn_status describe_config_file(const char *path) {
    qn_config config;
    QN_TRY(qn_config_load(path, &config));
    return describe_config(path, &config);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void print_note(void *context, const char *message) {
    (void)context;
    printf("  %s\n", message);
}

static qn_status describe_run(const char *run, const char *run_json) {
    qn_train_options options;
    qn_options_default(&options);
    QN_TRY(qn_options_load(&options, run_json));
    int count;
    const qn_option *table = qn_option_table(&count);
    printf("%s: a run\n", run);
    for (int i = 0; i < count; i++) {
        char text[QN_OPTION_TEXT];
        qn_option_get(&options, &table[i], text, sizeof text);
        if (*text) printf("  %-14s %s\n", table[i].name, text);
    }
    char *checkpoint;
    QN_TRY(qn_checkpoint_find(run, -1, print_note, NULL, &checkpoint));
    if (!checkpoint) {
        printf("  no checkpoint yet\n");
        return QN_OK;
    }
    qn_train_state state;
    qn_status status = qn_checkpoint_state(checkpoint, &state);
    if (!status) {
        printf("  newest checkpoint %s: step %lld, %lld tokens, %.0f s\n", checkpoint,
               (long long)state.step, (long long)state.tokens, state.seconds);
    }
    free(checkpoint);
    return status;
}

/* ---- data ------------------------------------------------------------------------------------ */

static qn_status describe_data(const char *dir) {
    qn_dataset d;
    QN_TRY(qn_dataset_open(dir, &d));
    printf("%s: data; vocabulary %lld, boundary token %lld, %s\n", dir, (long long)d.vocab_size,
           (long long)d.boundary_id, d.tokenizer ? "with tokenizer" : "no tokenizer");
    printf("  training %lld tokens, %lld bytes; held out %lld tokens, %lld bytes\n",
           (long long)d.train_tokens, (long long)d.train_bytes, (long long)d.val_tokens,
           (long long)d.val_bytes);
    if (d.examples.length) {
        printf("  examples of %lld tokens, %lld of them targets\n", (long long)d.examples.length,
               (long long)qn_examples_targets(&d.examples));
    }
    qn_dataset_close(&d);
    return QN_OK;
}

/* A folder is a run, a model or data by the file that it holds. */
static qn_status describe_folder(const char *dir) {
    char *run_json = qn_path("%s/run.json", dir), *config = qn_path("%s/config.json", dir);
    qn_status status;
    if (!run_json || !config) {
        status = qn_error(QN_CODE_MEMORY, "no memory for a path");
    } else if (qn_path_exists(run_json)) {
        status = describe_run(dir, run_json);
        if (!status) status = describe_config_file(config);
    } else if (qn_path_exists(config)) {
        status = describe_config_file(config);
    } else {
        status = describe_data(dir);
    }
    free(run_json);
    free(config);
    return status;
}

static qn_status describe(const char *thing) {
    struct stat info;
    if (!qn_config_preset_description(thing) && !stat(thing, &info)) {
        return S_ISDIR(info.st_mode) ? describe_folder(thing) : describe_config_file(thing);
    }
    qn_config config;
    QN_TRY(qn_config_preset(thing, 0, &config));
    return describe_config(thing, &config);
}

static qn_status check_alone(const arguments *a) {
    if (!a->count && !a->config) return QN_OK;
    return qn_error(
        QN_CODE_USAGE,
        "--device goes alone: it asks about this machine, not about a model, run or data");
}

static qn_status save_config(const arguments *a) {
    qn_config config;
    if (a->count != 1)
        return qn_error(QN_CODE_USAGE, "--save-config goes with one model, but %d are named",
                        a->count);
    QN_TRY(qn_model_source_config(a->things[0], 0, &config));
    return qn_config_save(&config, a->config);
}

qn_status cmd_info(int argc, char **argv) {
    arguments a = {0};
    const struct argp argp = {own_options, parse, "[RUN|MODEL|DATA...]", doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.device) {
        QN_TRY(check_alone(&a));
        return describe_device();
    }
    if (a.config) return save_config(&a);
    if (!a.count) return describe_machine();
    for (int i = 0; i < a.count; i++) QN_TRY(describe(a.things[i]));
    return QN_OK;
}
