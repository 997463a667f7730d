/* logits.c: logits whole, for those who read them; training never has them so. */
#include "model/model_impl.h"
#include "model/workspace.h"

enum { INSPECTED_ROWS = 64 };

int64_t qn_logit_rows(const qn_plan_options *options) {
    const int64_t N = options->batch_size * options->seq_len;
    switch (options->mode) {
    case QN_PLAN_GENERATE:
        return options->batch_size;
    case QN_PLAN_INSPECT:
        return N < INSPECTED_ROWS ? N : INSPECTED_ROWS;
    default:
        return 0;
    }
}

/* (rows,V) of words from rows that are longer. */
static qn_status fetch(qn_model *m, const qn_tensor *from, float *logits) {
    const int64_t V = m->config.vocab_size;
    for (int64_t i = 0; i < from->shape[0]; i++) {
        const float *row = (const float *)from->data + i * from->stride[0];
        QN_TRY(m->ops->copy(m->stream, logits + i * V, row, (size_t)V * sizeof(float),
                            QN_COPY_TO_HOST));
    }
    return m->ops->stream_sync(m->stream);
}

qn_status qn_read_logits(qn_model *m, qn_tensor x, float *logits) {
    const qn_tensor head = qn_head(m);
    qn_gemm_args args = {
        .a = x,
        .b = head,
        .c = qn_tensor_2d(qn_buffer_at(m, QN_BUF_LOGITS, 0), QN_F32, x.shape[0], head.shape[0]),
        .transpose_b = true,
        .compute = m->plan.options.compute,
        .workspace = qn_buffer_at(m, QN_BUF_WORKSPACE, 0)};
    QN_TRY(m->ops->gemm(m->stream, &args));
    return fetch(m, &args.c, logits);
}
