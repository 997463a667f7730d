#include "train/probe_sample.h"

#include <stdlib.h>

#include "train/even_batch.h"

qn_status qn_probe_sample_fill(const qn_loader *loader, int64_t B, int64_t T, int64_t max_tokens,
                               qn_probe_sample *out) {
    const int64_t sequences = qn_loader_sequences_for(loader, max_tokens);
    const int64_t n_batches = (sequences + B - 1) / B, N = B * T;
    *out = (qn_probe_sample){.batches = calloc((size_t)n_batches, sizeof *out->batches),
                             .ids = malloc((size_t)(3 * N * n_batches) * sizeof *out->ids)};
    qn_status status = out->batches && out->ids
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no memory for a sample of %lld tokens",
                                      (long long)(N * n_batches));
    for (int64_t i = 0; i < n_batches && !status; i++) {
        int32_t *tokens = out->ids + 3 * N * i, *targets = tokens + N, *doc_start = targets + N;
        out->batches[i] = (qn_batch){tokens, targets, doc_start};
        status = qn_even_fill(loader, i * B, sequences, B, T, tokens, targets, doc_start);
    }
    if (status) qn_probe_sample_free(out);
    out->text = (qn_probe_text){out->batches, status ? 0 : n_batches};
    return status;
}

void qn_probe_sample_free(qn_probe_sample *sample) {
    free(sample->batches);
    free(sample->ids);
    *sample = (qn_probe_sample){0};
}
