/* options.h: what can be set of a training run. One table serves the command line, the
 * --config file and run.json. */
#ifndef QUERN_OPTIONS_H
#define QUERN_OPTIONS_H

#include "quern/loader.h"
#include "quern/plan.h"
#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_schedule { QN_SCHEDULE_COSINE, QN_SCHEDULE_WSD, QN_SCHEDULE_CONSTANT } qn_schedule;

typedef enum qn_weight_rounding { QN_ROUND_NEAREST, QN_ROUND_STOCHASTIC } qn_weight_rounding;

typedef enum qn_freeze { QN_FREEZE_NONE, QN_FREEZE_QK } qn_freeze;

enum { QN_OPTION_TEXT = 1024 }; /* longest value of a text option, with its zero byte */

typedef struct qn_train_options {
    char data[QN_OPTION_TEXT];
    char run[QN_OPTION_TEXT];
    char model[QN_OPTION_TEXT]; /* a preset, or the path of a config.json or of a folder with
                                   weights */
    int64_t steps, batch_size, seq_len, grad_accum;
    double lr, min_lr; /* min_lr: share of lr at the end of the schedule */
    int64_t warmup;    /* steps */
    int64_t schedule;  /* qn_schedule */
    double decay;      /* WSD: share of the steps in which lr falls */
    double weight_decay, beta1, beta2, eps, clip;
    int64_t freeze; /* qn_freeze */
    int64_t seed;
    int64_t precision;       /* qn_precision */
    int64_t weight_rounding; /* qn_weight_rounding, of the working copy */
    int64_t attention;       /* qn_attn_impl */
    int64_t recompute;       /* qn_recompute */
    int64_t documents;       /* bool */
    int64_t deterministic;   /* bool */
    int64_t eval_every, eval_tokens;
    double eval_overlap; /* share of a sequence */
    int64_t save_every, keep_last, keep_every;
    int64_t lens_every;  /* steps; 0: off */
    int64_t lens_probes; /* steps, as qn_snapshot_due has them; 0: off */
    char backend[QN_OPTION_TEXT];
    int64_t threads;
} qn_train_options;

typedef enum qn_option_type {
    QN_OPTION_INT,
    QN_OPTION_REAL,
    QN_OPTION_CHOICE,
    QN_OPTION_STRING
} qn_option_type;

typedef struct qn_option {
    const char *name; /* as in --name, and as the key of a JSON file */
    const char *arg;  /* how help calls the value */
    const char *help;
    qn_option_type type;
    size_t offset;              /* of the field in qn_train_options */
    const char *default_text;   /* as a user would type it; "" for none */
    double min, max;            /* of numbers */
    const char *const *choices; /* ended by NULL; the field holds the index */
    bool resumable;             /* may differ from run.json on --resume */
} qn_option;

/* The table and its length. */
const qn_option *qn_option_table(int *count);
const qn_option *qn_option_find(const char *name);

void qn_options_default(qn_train_options *options);

/* The plan that training with these options has, but for the precision, which depends on the
 * backend: see qn_plan_set_precision. */
qn_plan_options qn_options_plan(const qn_train_options *options);

/* Sets one option from text. `where` ("--lr", a file's name) begins the message of an error,
 * which is QN_CODE_USAGE. */
qn_status qn_option_set(qn_train_options *options, const qn_option *option, const char *text,
                        const char *where);
/* The value as text that qn_option_set takes back exactly. */
void qn_option_get(const qn_train_options *options, const qn_option *option, char *text,
                   size_t size);

/* Reads the keys of a JSON file that are options (run.json, --config); an unknown key is an
 * error, but for run.json's object "environment". */
qn_status qn_options_load(qn_train_options *options, const char *path);

/* Where and on what a run computes. */
typedef struct qn_environment {
    qn_device_info device;
    qn_dtype precision;  /* of products */
    qn_fingerprint data; /* of the training text */
    int64_t step;        /* steps done: 0 for a run that begins */
} qn_environment;

/* Writes run.json: every option, and the environment. When a run goes on (step > 0) on another
 * device, with other threads, in another precision, by another quern or with another rounding of
 * weights than the run.json at `path` says, *change, which the caller frees, is a line that says
 * so, else NULL; "environment"."changes" keeps what these lines say.
 */
qn_status qn_options_save(const qn_train_options *options, const qn_environment *environment,
                          const char *path, char **change);

#ifdef __cplusplus
}
#endif
#endif
