#include "train/even_batch.h"

qn_status qn_even_fill(const qn_loader *loader, int64_t first, int64_t end, int64_t B, int64_t T,
                       int32_t *tokens, int32_t *targets, int32_t *doc_start) {
    for (int64_t b = 0; b < B; b++) {
        const int64_t at = b * T, chosen = first + b < end ? first + b : end - 1;
        const int64_t sequence = (int64_t)((__int128)chosen * qn_loader_sequences(loader) / end);
        QN_TRY(qn_loader_fill(loader, sequence, tokens + at, targets + at, doc_start + at));
        if (first + b < end) continue;
        for (int64_t i = 0; i < T; i++) targets[at + i] = -1;
    }
    return QN_OK;
}
