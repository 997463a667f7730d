#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/choice_flags.h"
#include "cli/commands.h"
#include "cli/run_model.h"
#include "quern/files.h"
#include "quern/train.h"

static const char doc[] =
    "Measures a trained model on a data folder: mean loss in nats a token, perplexity, and bits "
    "per "
    "byte of the text."
    "\v"
    "Examples:\n"
    "  quern eval --run runs/first\n"
    "  quern eval --run runs/first --checkpoint 1000 --split train --tokens 100000\n"
    "  quern eval --model path/to/hf-folder --data data/austen --seq-len 512";

enum {
    KEY_DATA = 0x1000,
    KEY_SPLIT,
    KEY_TOKENS,
    KEY_BATCH,
    KEY_SEQ,
    KEY_OVERLAP,
    KEY_PRECISION,
    KEY_JSON
};

static const struct argp_option options[] = {
    {"data", KEY_DATA, "DIR", 0, "data folder (default: the run's)", 2},
    {"split", KEY_SPLIT, "val|train", 0, "which text (default val)", 2},
    {"tokens", KEY_TOKENS, "N", 0, "read at most N tokens (default: all)", 2},
    {"batch-size", KEY_BATCH, "B", 0, "sequences at a time (default 8)", 2},
    {"seq-len", KEY_SEQ, "T", 0, "tokens of a sequence (default: the run's, or 256)", 2},
    {"overlap", KEY_OVERLAP, "X", 0,
     "leading share of a sequence that is context only (default: the run's, or 0.5)", 2},
    {"precision", KEY_PRECISION, "NAME", 0,
     "auto, fp32 or bf16 (default auto: fp32 on a CPU, bf16 on a GPU)", 3},
    {"json", KEY_JSON, "FILE", 0, "write the figures there too", 3},
    {0}};

typedef struct arguments {
    qn_model_choice choice;
    const char *data, *json;
    bool train_split;
    int64_t tokens, batch_size, seq_len;
    double overlap; /* negative: not given */
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->choice;
        break;
    case KEY_DATA:
        a->data = arg;
        break;
    case KEY_SPLIT:
        a->train_split = !strcmp(arg, "train");
        if (!a->train_split && strcmp(arg, "val")) {
            argp_error(state, "--split is \"%s\", expected val or train", arg);
        }
        break;
    case KEY_TOKENS:
        a->tokens = qn_arg_int(state, "--tokens", arg, 1, INT64_MAX);
        break;
    case KEY_BATCH:
        a->batch_size = qn_arg_int(state, "--batch-size", arg, 1, INT32_MAX);
        break;
    case KEY_SEQ:
        a->seq_len = qn_arg_int(state, "--seq-len", arg, 1, INT32_MAX);
        break;
    case KEY_OVERLAP:
        a->overlap = qn_arg_real(state, "--overlap", arg, 0, 0.99);
        break;
    case KEY_PRECISION:
        a->choice.precision = QN_PRECISION_AUTO;
        while (a->choice.precision < QN_N_PRECISIONS &&
               strcmp(arg, qn_precision_names[a->choice.precision])) {
            a->choice.precision++;
        }
        if (a->choice.precision == QN_N_PRECISIONS) {
            argp_error(state, "--precision is \"%s\", expected auto, fp32 or bf16", arg);
        }
        break;
    case KEY_JSON:
        a->json = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Data folder and sequence length that were not given are the run's. */
static qn_status complete(const arguments *a, qn_train_options *run) {
    qn_options_default(run);
    if (a->choice.run) {
        char *path = qn_path("%s/run.json", a->choice.run);
        if (!path) return qn_error(QN_CODE_MEMORY, "no memory for a path");
        qn_status status = qn_options_load(run, path);
        free(path);
        if (status) return status;
    } else {
        run->seq_len = 256;
    }
    if (a->data) QN_TRY(qn_option_set(run, qn_option_find("data"), a->data, "command line"));
    if (a->seq_len) run->seq_len = a->seq_len;
    if (a->overlap >= 0) run->eval_overlap = a->overlap;
    return *run->data ? QN_OK : qn_error(QN_CODE_USAGE, "--data DIR is missing");
}

static qn_status report(const arguments *a, const qn_opened_model *opened, const char *data,
                        const qn_eval_result *r) {
    printf("%s on %s (%s): loss %.4f, perplexity %.2f", opened->folder, data,
           a->train_split ? "training text" : "held-out text", r->loss, exp(r->loss));
    if (isfinite(r->bits_per_byte)) printf(", %.4f bits per byte", r->bits_per_byte);
    printf("; %lld tokens, %lld bytes, %.1f s\n", (long long)r->tokens, (long long)r->bytes,
           r->seconds);
    if (!a->json) return QN_OK;
    char text[256], bits[32] = "null";
    if (isfinite(r->bits_per_byte)) snprintf(bits, sizeof bits, "%.9g", r->bits_per_byte);
    snprintf(text, sizeof text,
             "{\"loss\": %.9g, \"bits_per_byte\": %s, \"tokens\": %lld, \"bytes\": %lld}\n",
             r->loss, bits, (long long)r->tokens, (long long)r->bytes);
    return qn_file_write(a->json, text, strlen(text));
}

static qn_status evaluate(const arguments *a, const qn_train_options *run,
                          const qn_dataset *dataset) {
    const qn_plan_options plan = {.mode = QN_PLAN_EVAL,
                                  .batch_size = a->batch_size,
                                  .seq_len = run->seq_len,
                                  .grad_accum = 1,
                                  .documents = run->documents};
    qn_opened_model opened;
    QN_TRY(qn_open_model(&a->choice, &plan, &opened));
    const int64_t vocab_size = qn_model_plan(opened.model)->config.vocab_size;
    const int64_t boundary = dataset->boundary_id;
    const qn_loader_options loader_options = {
        .seq_len = run->seq_len,
        .overlap =
            dataset->examples.length ? 0 : (int64_t)(run->eval_overlap * (double)run->seq_len),
        .examples = dataset->examples,
        .boundary_id = boundary < vocab_size ? boundary : -1,
        .vocab_size = vocab_size};
    qn_loader *loader = NULL;
    qn_eval_result result;
    qn_status status = qn_dataset_check_vocab(dataset, run->data, vocab_size, opened.folder);
    if (!status) {
        status = qn_loader_open(a->train_split ? dataset->train_pattern : dataset->val_pattern,
                                &loader_options, &loader);
    }
    if (!status) status = qn_evaluate(opened.model, dataset, loader, a->tokens, &result);
    if (!status) status = report(a, &opened, run->data, &result);
    qn_loader_close(loader);
    qn_close_model(&opened);
    return status;
}

qn_status cmd_eval(int argc, char **argv) {
    arguments a = {.choice = QN_MODEL_CHOICE, .tokens = INT64_MAX, .batch_size = 8, .overlap = -1};
    const struct argp_child children[] = {{&qn_choice_flags, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_train_options run;
    qn_dataset dataset;
    QN_TRY(complete(&a, &run));
    QN_TRY(qn_dataset_open(run.data, &dataset));
    qn_status status = evaluate(&a, &run, &dataset);
    qn_dataset_close(&dataset);
    return status;
}
