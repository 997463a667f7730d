/* weights.c: attention weights whole, of sequences short enough to look at. */
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

qn_status qn_probe_weights(qn_model *model, int64_t layer, int64_t head, int64_t b, int64_t count,
                           double *out) {
    qn_heads s;
    QN_TRY(qn_heads_open(model, &s));
    qn_status status = check(&s, head, b, count);
    if (!status) status = qn_heads_read(&s, layer);
    for (int64_t i = 0; i < count && !status; i++) {
        const int64_t first = qn_heads_first_key(&s, NULL, i);
        double *row = out + i * count;
        memset(row, 0, (size_t)count * sizeof *row);
        qn_heads_scores(&s, head, b, i, first, row + first);
        qn_softmax(row + first, i - first + 1);
    }
    qn_heads_close(&s);
    return status;
}
