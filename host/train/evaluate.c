#include <math.h>

#include "quern/clock.h"
#include "quern/train.h"
#include "train/even_batch.h"
#include "train/input.h"

/* Bytes that the counted targets stand for: by the tokenizer, or by the mean over the
 * held-out text; 0 when neither is known. */
static double target_bytes(const qn_dataset *dataset, const int32_t *targets, int64_t count) {
    double bytes = 0;
    for (int64_t i = 0; i < count; i++) {
        if (targets[i] < 0) continue;
        if (dataset->tokenizer) {
            bytes += qn_tokenizer_token_bytes(dataset->tokenizer, targets[i]);
        } else if (dataset->val_tokens > 0) {
            bytes += (double)dataset->val_bytes / (double)dataset->val_tokens;
        }
    }
    return bytes;
}

static int64_t count_targets(const int32_t *targets, int64_t count) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) n += targets[i] >= 0;
    return n;
}

/* What evaluation adds up. */
typedef struct sums {
    double loss, bytes;
    int64_t tokens;
} sums;

/* Adds the batch of sequences from `first` on. */
static qn_status add_batch(qn_model *model, const qn_dataset *dataset, const qn_loader *loader,
                           int64_t first, int64_t end, qn_input *input, sums *s) {
    const qn_plan_options *plan = &qn_model_plan(model)->options;
    const int64_t B = plan->batch_size, T = plan->seq_len;
    int32_t *tokens, *targets, *doc_start;
    double loss;
    QN_TRY(qn_input_acquire(input, &tokens, &targets, &doc_start));
    QN_TRY(qn_even_fill(loader, first, end, B, T, tokens, targets, doc_start));
    const qn_batch batch = {tokens, targets, doc_start};
    QN_TRY(qn_model_evaluate(model, &batch, &loss));
    s->loss += loss;
    s->tokens += count_targets(targets, B * T);
    s->bytes += target_bytes(dataset, targets, B * T);
    return qn_input_release(input, qn_model_stream(model));
}

static qn_status add_batches(qn_model *model, const qn_dataset *dataset, const qn_loader *loader,
                             int64_t end, qn_input *input, sums *s) {
    const int64_t B = qn_model_plan(model)->options.batch_size;
    for (int64_t first = 0; first < end; first += B)
        QN_TRY(add_batch(model, dataset, loader, first, end, input, s));
    return QN_OK;
}

qn_status qn_evaluate(qn_model *model, const qn_dataset *dataset, const qn_loader *loader,
                      int64_t max_tokens, qn_eval_result *out) {
    const qn_plan_options *plan = &qn_model_plan(model)->options;
    const double begun = qn_clock();
    sums s = {0};
    qn_input input;
    *out = (qn_eval_result){0};
    qn_status status =
        qn_input_open(qn_model_backend(model), plan->batch_size * plan->seq_len, &input);
    if (!status) {
        status = add_batches(model, dataset, loader, qn_loader_sequences_for(loader, max_tokens),
                             &input, &s);
    }
    /* What was enqueued before an error may still read the input. */
    if (status) qn_status_free(qn_model_backend(model)->ops->stream_sync(qn_model_stream(model)));
    qn_input_close(&input);
    out->tokens = s.tokens;
    out->bytes = llround(s.bytes);
    out->loss = s.tokens ? s.loss / (double)s.tokens : 0;
    out->bits_per_byte = s.bytes > 0 ? s.loss / log(2) / s.bytes : NAN;
    out->seconds = qn_clock() - begun;
    return status;
}
