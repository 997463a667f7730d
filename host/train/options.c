#include "quern/options.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "quern/files.h"
#include "train/environment.h"

static const char *const schedules[] = {"cosine", "wsd", "constant", NULL};
static const char *const roundings[] = {"nearest", "stochastic", NULL};
static const char *const freezes[] = {"none", "qk", NULL};
static const char *const attentions[] = {"auto", "naive", "fused", NULL};
static const char *const switches[] = {"off", "on", NULL};

#define FIELD(f) offsetof(qn_train_options, f)
#define INT(f, name, def, lo, hi, resume, arg, help)                                               \
    { name, arg, help, QN_OPTION_INT, FIELD(f), def, lo, hi, NULL, resume }
#define REAL(f, name, def, lo, hi, resume, arg, help)                                              \
    { name, arg, help, QN_OPTION_REAL, FIELD(f), def, lo, hi, NULL, resume }
#define CHOICE(f, name, def, choices, resume, arg, help)                                           \
    { name, arg, help, QN_OPTION_CHOICE, FIELD(f), def, 0, 0, choices, resume }
#define STRING(f, name, def, resume, arg, help)                                                    \
    { name, arg, help, QN_OPTION_STRING, FIELD(f), def, 0, 0, NULL, resume }

enum { FIXED = false, RESUMABLE = true };
#define MANY 9e15 /* below 2^53, so that a double holds it */

static const qn_option table[] = {
    STRING(data, "data", "", RESUMABLE, "DIR", "data folder, as `quern prepare` writes it"),
    STRING(run, "run", "", RESUMABLE, "DIR", "run folder to make, or to continue"),
    STRING(
        model, "model", "default", FIXED, "MODEL",
        "preset, or the path of a config.json or of a folder with config.json and weights to train "
        "on; a name without a slash or .json is a preset's: write ./NAME for a folder here"),
    INT(steps, "steps", "6200", 1, MANY, RESUMABLE, "N", "steps of the optimizer"),
    INT(batch_size, "batch-size", "4", 1, 1 << 30, FIXED, "B", "sequences per rank per micro-step"),
    INT(seq_len, "seq-len", "128", 1, 1 << 30, FIXED, "T", "tokens of a sequence"),
    INT(grad_accum, "grad-accum", "1", 1, 1 << 30, FIXED, "G", "micro-steps of a step"),
    REAL(lr, "lr", "0.006", 0, 1e3, FIXED, "X", "peak learning rate"),
    REAL(min_lr, "min-lr", "0", 0, 1, FIXED, "X", "share of --lr at the end of the schedule"),
    INT(warmup, "warmup", "100", 0, MANY, FIXED, "N", "steps in which the rate rises linearly"),
    CHOICE(schedule, "schedule", "wsd", schedules, FIXED, "NAME",
           "after warmup: cosine, wsd (constant, then a linear fall) or constant"),
    REAL(decay, "decay", "0.6", 0, 1, FIXED, "X", "wsd: share of the steps in which it falls"),
    REAL(weight_decay, "weight-decay", "0.02", 0, 1e3, FIXED, "X",
         "AdamW's decay, of matrices only"),
    REAL(beta1, "beta1", "0.9", 0, 0.999999, FIXED, "X", "AdamW's decay of the first moment"),
    REAL(beta2, "beta2", "0.99", 0, 0.999999, FIXED, "X", "AdamW's decay of the second moment"),
    REAL(eps, "eps", "1e-08", 1e-30, 1, FIXED, "X", "AdamW's epsilon"),
    REAL(clip, "clip", "1", 0, 1e30, FIXED, "X", "largest norm of the gradient; 0: off"),
    CHOICE(
        freeze, "freeze", "none", freezes, FIXED, "WHAT",
        "parameters that stay as they begin: none, or qk for the projections to q and k in every "
        "layer, with their biases and norms"),
    INT(seed, "seed", "1", 0, MANY, FIXED, "N", "of initial weights and the order of the data"),
    CHOICE(precision, "precision", "auto", qn_precision_names, FIXED, "NAME",
           "operands of matrix products, and what else is stored in their precision: fp32, bf16, "
           "or auto for fp32 on a CPU and bf16 on a GPU"),
    CHOICE(weight_rounding, "weight-rounding", "nearest", roundings, RESUMABLE, "NAME",
           "of the weights that are stored in bf16 beside fp32 masters: nearest or stochastic"),
    CHOICE(attention, "attention", "auto", attentions, FIXED, "NAME", "auto, naive or fused"),
    CHOICE(recompute, "recompute", "none", qn_recompute_names, FIXED, "POLICY",
           "what the backward pass computes again to save memory: none, norms (and "
           "activations) or block"),
    CHOICE(documents, "documents", "on", switches, FIXED, "on|off",
           "attention stays inside a document"),
    CHOICE(deterministic, "deterministic", "off", switches, FIXED, "on|off",
           "the same bits each time on a GPU, where the backward pass of attention is slower for "
           "it; a CPU always gives them"),
    INT(eval_every, "eval-every", "1600", 0, MANY, RESUMABLE, "N",
        "steps between evaluations; 0: only at the end"),
    INT(eval_tokens, "eval-tokens", "16384", 1, MANY, RESUMABLE, "N",
        "most held-out tokens that an evaluation on the way reads; the last reads all"),
    REAL(eval_overlap, "eval-overlap", "0.5", 0, 0.99, FIXED, "X",
         "evaluation: leading share of a sequence that is context only"),
    INT(save_every, "save-every", "1600", 0, MANY, RESUMABLE, "N",
        "steps between checkpoints; 0: only at the end"),
    INT(keep_last, "keep-last", "2", 1, MANY, RESUMABLE, "N", "newest checkpoints kept"),
    INT(keep_every, "keep-every", "0", 0, MANY, RESUMABLE, "N",
        "checkpoints kept for good: those at multiples of N steps; 0: none"),
    INT(lens_every, "lens-every", "0", 0, MANY, RESUMABLE, "N",
        "steps between samples of attention, which go into the run's lens.jsonl; 0: none"),
    INT(lens_probes, "lens-probes", "0", 0, MANY, RESUMABLE, "N",
        "small checkpoints (no optimizer state) in the run's probes/ for `quern inspect`: at steps "
        "0, "
        "1, 2, 4, ... 512, then every N, and the last; 0: none"),
    STRING(backend, "backend", "auto", RESUMABLE, "NAME",
           "cpu, cuda, or auto for a GPU where there is one"),
    INT(threads, "threads", "0", 0, 4096, RESUMABLE, "N", "CPU threads; 0: one a core"),
};

const qn_option *qn_option_table(int *count) {
    *count = (int)(sizeof table / sizeof *table);
    return table;
}

const qn_option *qn_option_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!strcmp(table[i].name, name)) return &table[i];
    }
    return NULL;
}

void qn_options_default(qn_train_options *options) {
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        /* The defaults are in range: the table's test sets each of them. */
        qn_status_free(qn_option_set(options, &table[i], table[i].default_text, table[i].name));
    }
}

qn_plan_options qn_options_plan(const qn_train_options *o) {
    return (qn_plan_options){.mode = QN_PLAN_TRAIN,
                             .batch_size = o->batch_size,
                             .seq_len = o->seq_len,
                             .grad_accum = o->grad_accum,
                             .recompute = (qn_recompute)o->recompute,
                             .attention = (qn_attn_impl)o->attention,
                             .documents = o->documents,
                             .deterministic = o->deterministic};
}

/* ---- one option from text and back --------------------------------------------------- */

static qn_status set_number(void *field, const qn_option *o, const char *text, const char *where) {
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    const bool whole = o->type != QN_OPTION_INT || value == floor(value);
    if (end == text || *end || errno || !(value >= o->min && value <= o->max) || !whole) {
        return qn_error(QN_CODE_USAGE, "%s: %s is \"%s\", expected a %s from %.12g to %.12g", where,
                        o->name, text, o->type == QN_OPTION_INT ? "whole number" : "number", o->min,
                        o->max);
    }
    if (o->type == QN_OPTION_INT) {
        *(int64_t *)field = (int64_t)value;
    } else {
        *(double *)field = value;
    }
    return QN_OK;
}

static qn_status set_choice(void *field, const qn_option *o, const char *text, const char *where) {
    char names[256] = "";
    for (int i = 0; o->choices[i]; i++) {
        if (!strcmp(o->choices[i], text)) {
            *(int64_t *)field = i;
            return QN_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", o->choices[i]);
    }
    return qn_error(QN_CODE_USAGE, "%s: %s is \"%s\", expected one of %s", where, o->name, text,
                    names);
}

qn_status qn_option_set(qn_train_options *options, const qn_option *o, const char *text,
                        const char *where) {
    void *field = (char *)options + o->offset;
    switch (o->type) {
    case QN_OPTION_INT:
    case QN_OPTION_REAL:
        return set_number(field, o, text, where);
    case QN_OPTION_CHOICE:
        return set_choice(field, o, text, where);
    case QN_OPTION_STRING:
        break;
    }
    if (strlen(text) >= QN_OPTION_TEXT) {
        return qn_error(QN_CODE_USAGE, "%s: %s has %zu bytes, at most %d are possible", where,
                        o->name, strlen(text), QN_OPTION_TEXT - 1);
    }
    strcpy(field, text);
    return QN_OK;
}

void qn_option_get(const qn_train_options *options, const qn_option *o, char *text, size_t size) {
    const void *field = (const char *)options + o->offset;
    switch (o->type) {
    case QN_OPTION_INT:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)field);
        break;
    case QN_OPTION_REAL:
        snprintf(text, size, "%.17g", *(const double *)field);
        break;
    case QN_OPTION_CHOICE:
        snprintf(text, size, "%s", o->choices[*(const int64_t *)field]);
        break;
    case QN_OPTION_STRING:
        snprintf(text, size, "%s", (const char *)field);
        break;
    }
}

/* ---- JSON -------------------------------------------------------------------------------- */

static qn_status set_from_json(qn_train_options *options, const char *path, const char *key,
                               const json_t *value) {
    const qn_option *o = qn_option_find(key);
    if (!o) {
        return qn_error(QN_CODE_USAGE,
                        "%s: unknown key \"%s\"; `quern train --help` lists the options", path,
                        key);
    }
    char number[64];
    const char *text = json_string_value(value);
    if (json_is_number(value)) {
        snprintf(number, sizeof number, "%.17g", json_number_value(value));
        text = number;
    }
    if (json_is_boolean(value)) text = json_is_true(value) ? "on" : "off";
    if (!text) {
        return qn_error(QN_CODE_USAGE, "%s: %s is neither a number nor a string", path, key);
    }
    return qn_option_set(options, o, text, path);
}

qn_status qn_options_load(qn_train_options *options, const char *path) {
    json_t *root;
    QN_TRY(qn_json_load(path, &root));
    qn_status status = QN_OK;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (!strcmp(key, "environment")) continue;
        status = set_from_json(options, path, key, value);
        if (status) break;
    }
    json_decref(root);
    return status;
}

static json_t *json_of_option(const qn_train_options *options, const qn_option *o) {
    const void *field = (const char *)options + o->offset;
    switch (o->type) {
    case QN_OPTION_INT:
        return json_integer(*(const int64_t *)field);
    case QN_OPTION_REAL:
        return json_real(*(const double *)field);
    case QN_OPTION_CHOICE:
        return json_string(o->choices[*(const int64_t *)field]);
    case QN_OPTION_STRING:
        break;
    }
    return json_string(field);
}

static qn_status write_json(const json_t *root, const char *path) {
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    if (!text) {
        return qn_error(QN_CODE_USAGE,
                        "%s: an option's value is not UTF-8, which JSON needs (or memory ran out); "
                        "choose another name for the folder",
                        path);
    }
    qn_status status = qn_file_write(path, text, strlen(text));
    free(text);
    return status;
}

qn_status qn_options_save(const qn_train_options *options, const qn_environment *environment,
                          const char *path, char **change) {
    json_t *where;
    const char *rounding = roundings[options->weight_rounding];
    qn_status status = qn_environment_to_json(environment, rounding, path, &where, change);
    json_t *root = json_object();
    int failed = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        failed |= json_object_set_new(root, table[i].name, json_of_option(options, &table[i]));
    }
    failed |= json_object_set_new(root, "environment", where);
    if (!status) status = write_json(failed ? NULL : root, path);
    json_decref(root);
    if (!status) return QN_OK;
    free(*change);
    *change = NULL;
    return status;
}
