#include <math.h>
#include <stdlib.h>

#include "quern/clock.h"
#include "quern/train.h"

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

/* Sequences [first, first + B) of the `end` that are read, which lie evenly over the loader's;
 * those from `end` on are all ignored targets. */
static qn_status fill_batch(const qn_loader *loader, int64_t first, int64_t end, int64_t B,
                            int64_t T, int32_t *tokens, int32_t *targets, int32_t *doc_start) {
    for (int64_t b = 0; b < B; b++) {
        const int64_t at = b * T, chosen = first + b < end ? first + b : end - 1;
        const int64_t sequence = (int64_t)((__int128)chosen * qn_loader_sequences(loader) / end);
        QN_TRY(qn_loader_fill(loader, sequence, tokens + at, targets + at, doc_start + at));
        if (first + b < end) continue;
        for (int64_t i = 0; i < T; i++) targets[at + i] = -1;
    }
    return QN_OK;
}

static int64_t count_targets(const int32_t *targets, int64_t count) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) n += targets[i] >= 0;
    return n;
}

qn_status qn_evaluate(qn_model *model, const qn_dataset *dataset, const qn_loader *loader,
                      int64_t max_tokens, qn_eval_result *out) {
    const qn_plan_options *plan = &qn_model_plan(model)->options;
    const int64_t B = plan->batch_size, T = plan->seq_len, N = B * T;
    int64_t end = qn_loader_sequences(loader);
    const int64_t stride = qn_loader_stride(loader);
    const int64_t wanted = max_tokens <= T ? 1 : 1 + (max_tokens - T + stride - 1) / stride;
    if (wanted < end) end = wanted;
    const double begun = qn_clock();
    double loss = 0, bytes = 0;
    *out = (qn_eval_result){0};
    int32_t *host = malloc((size_t)N * 3 * sizeof *host);
    if (!host)
        return qn_error(QN_CODE_MEMORY, "no host memory for a batch of %lld tokens", (long long)N);
    qn_batch batch = {.tokens = host, .targets = host + N, .doc_start = host + 2 * N};
    qn_status status = QN_OK;
    for (int64_t first = 0; first < end && !status; first += B) {
        double sum = 0;
        status = fill_batch(loader, first, end, B, T, host, host + N, host + 2 * N);
        if (!status) status = qn_model_evaluate(model, &batch, &sum);
        loss += sum;
        out->tokens += count_targets(batch.targets, N);
        bytes += target_bytes(dataset, batch.targets, N);
    }
    free(host);
    out->bytes = llround(bytes);
    out->loss = out->tokens ? loss / (double)out->tokens : 0;
    out->bits_per_byte = bytes > 0 ? loss / log(2) / bytes : NAN;
    out->seconds = qn_clock() - begun;
    return status;
}
