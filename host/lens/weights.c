/* weights.c: attention weights whole, of sequences short enough to look at. */
#include <stdlib.h>
#include <string.h>

#include "lens/heads.h"
#include "quern/probe.h"

static qn_status check(const qn_heads *s, int64_t head, int64_t b, int64_t count) {
    if (head >= 0 && head < s->n_heads && b >= 0 && b < s->B && count >= 0 && count <= s->T)
        return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "weights of %lld rows of head %lld in sequence %lld: the pass had %lld rows, "
                    "%lld heads and %lld sequences",
                    (long long)count, (long long)head, (long long)b, (long long)s->T,
                    (long long)s->n_heads, (long long)s->B);
}

/* (T) of sequence b, the caller's to free; NULL where the plan has no documents. */
static qn_status read_documents(const qn_heads *s, int64_t b, int32_t **out) {
    const qn_ops *ops = qn_model_backend(s->model)->ops;
    qn_stream *stream = qn_model_stream(s->model);
    const int32_t *starts = qn_model_buffer(s->model, QN_BUF_DOC_START);
    const size_t bytes = (size_t)s->T * sizeof *starts;
    *out = NULL;
    if (!starts) return QN_OK;
    *out = malloc(bytes);
    if (!*out) return qn_error(QN_CODE_MEMORY, "no host memory for document starts");
    QN_TRY(ops->copy(stream, *out, starts + b * s->T, bytes, QN_COPY_TO_HOST));
    return ops->stream_sync(stream);
}

qn_status qn_probe_weights(qn_model *model, int64_t layer, int64_t head, int64_t b, int64_t count,
                           double *out) {
    qn_heads s;
    int32_t *doc_start = NULL;
    QN_TRY(qn_heads_open(model, &s));
    qn_status status = check(&s, head, b, count);
    if (!status) status = qn_heads_read(&s, layer);
    if (!status) status = read_documents(&s, b, &doc_start);
    for (int64_t i = 0; i < count && !status; i++) {
        const int64_t first = qn_heads_first_key(&s, doc_start, i);
        double *row = out + i * count;
        memset(row, 0, (size_t)count * sizeof *row);
        qn_heads_scores(&s, head, b, i, first, row + first);
        qn_softmax(row + first, i - first + 1);
    }
    free(doc_start);
    qn_heads_close(&s);
    return status;
}
