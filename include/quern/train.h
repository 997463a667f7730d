/* train.h: training, evaluation and generation with a run folder. */
#ifndef QUERN_TRAIN_H
#define QUERN_TRAIN_H

#include "quern/checkpoint.h"
#include "quern/dataset.h"
#include "quern/loader.h"
#include "quern/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- training ------------------------------------------------------------------------ */

/* One step, as log.jsonl has it. */
typedef struct qn_step_report {
    int64_t step, steps;
    int64_t tokens;       /* trained on so far */
    double loss;          /* mean over the step's targets before the update, nats */
    double lr, grad_norm; /* norm before clipping */
    double tokens_per_s;  /* of the step alone, without logging and saving */
    double seconds;       /* of training so far */
    double flops_per_s;   /* by qn_plan_flops_per_token */
    bool evaluated;       /* the two below are of this step */
    double val_loss;      /* nats a token */
    double bits_per_byte; /* NaN when the bytes are not known */
} qn_step_report;

/* What the caller may do while a run is under way; every member is nullable. */
typedef struct qn_train_hooks {
    void *context;
    bool (*should_stop)(void *context); /* asked after each step: save and return */
    void (*on_step)(void *context, const qn_step_report *report);
    void (*on_note)(void *context, const char *message); /* a line for people */
} qn_train_hooks;

typedef struct qn_train_result {
    qn_step_report last;
    bool interrupted; /* should_stop asked for it */
    int64_t saved_step;
} qn_train_result;

/* Trains a model and leaves a run folder. Without `resume` the folder must not exist or be
 * empty. With it the run goes on from its last whole checkpoint, bit for bit, or starts when
 * it has none; its options are those of its run.json, and `options` may differ in resumable
 * ones only; its data may lie in another folder, but must have the fingerprint that the
 * checkpoint states. Where device or threads are no longer the same, a note says so, for the
 * last bits may then differ. A loss or gradient that is not finite ends the run with
 * QN_CODE_NUMERIC; what was saved stays. */
qn_status qn_train(const qn_train_options *options, bool resume, const qn_train_hooks *hooks,
                   qn_train_result *out);

/* ---- evaluation ------------------------------------------------------------------------- */

typedef struct qn_eval_result {
    int64_t tokens, bytes; /* targets and the text they stand for; bytes 0: unknown */
    double loss;           /* mean, nats a token */
    double bits_per_byte;  /* NaN when the bytes are not known */
    double seconds;
} qn_eval_result;

/* Mean loss over max_tokens targets (rounded up to whole sequences, which lie evenly over the
 * text) of a loader that does not shuffle, with the batch size and sequence length of the model's
 * plan. */
qn_status qn_evaluate(qn_model *model, const qn_dataset *dataset, const qn_loader *loader,
                      int64_t max_tokens, qn_eval_result *out);

/* ---- generation --------------------------------------------------------------------------- */

typedef struct qn_sampling {
    double temperature; /* 0: the most probable token */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
    uint64_t seed;
    int64_t n_tokens; /* ids from this one on are never drawn, as a tokenizer with fewer pieces
                         than the vocabulary has no text for them; 0: all may be */
} qn_sampling;

/* Draws a token from logits (V): softmax at the temperature over the top_k most probable,
 * cut to the fewest whose probability reaches top_p. `position` numbers the draws of a seed.
 * `scratch` holds V indices. */
int32_t qn_sample(const float *logits, int64_t vocab_size, const qn_sampling *sampling,
                  uint64_t position, int32_t *scratch);

/* Extends a prompt by up to max_tokens, calling `emit` with each new token until it returns
 * false. The model is a QN_PLAN_GENERATE one with batch size 1; when its cache is full, the
 * older half of the context is dropped. */
qn_status qn_generate(qn_model *model, const int32_t *prompt, int64_t count, int64_t max_tokens,
                      const qn_sampling *sampling, bool (*emit)(void *context, int32_t token),
                      void *context);

/* ---- the machine ---------------------------------------------------------------------------- */

/* Operations per second of the backend's own matrix product (M,K)·(K,N): the best of several
 * runs over about `seconds`. */
qn_status qn_measure_gemm(qn_backend *backend, qn_precision precision, int64_t m, int64_t n,
                          int64_t k, double seconds, double *flops_per_s);

/* The same of a product that is large enough for the device. */
qn_status qn_measure_ceiling(qn_backend *backend, qn_precision precision, double seconds,
                             double *flops_per_s);

/* Halves *m as often as it takes for qn_measure_gemm to find memory beside what is allocated.
 * QN_CODE_MEMORY when a small product finds none. */
qn_status qn_fit_gemm(qn_backend *backend, qn_precision precision, int64_t *m, int64_t n,
                      int64_t k);

/* Bytes a second, read and written, of a copy on the device: the best of a few. */
qn_status qn_measure_copy(qn_backend *backend, double *bytes_per_s);

#ifdef __cplusplus
}
#endif
#endif
