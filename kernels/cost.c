#include "cost.h"

double qn_cost_tensor(const qn_tensor *t) {
    return t->data ? (double)qn_tensor_numel(t) * (double)qn_dtype_size(t->dtype) : 0;
}

static double once(qn_tensor t) { return qn_cost_tensor(&t); }
static double added(qn_tensor t) { return 2 * qn_cost_tensor(&t); }

qn_cost qn_cost_gemm(const qn_gemm_args *a) {
    const double k = (double)(a->transpose_a ? a->a.shape[0] : a->a.shape[1]);
    const bool adds = a->beta != 0;
    const bool sums = a->epilogue == QN_EPILOGUE_BGRAD_A || a->epilogue == QN_EPILOGUE_BGRAD_B;
    return (qn_cost){2.0 * (double)a->c.shape[0] * (double)a->c.shape[1] * k,
                     once(a->a) + once(a->b) + (adds ? added(a->c) : once(a->c)) + once(a->aux) +
                         (sums ? added(a->bias) : once(a->bias))};
}

/* Rows of tables that tokens share are counted once a token, at most the table. */
static double rows_of(qn_tensor table, int64_t n) {
    const int64_t rows = table.data ? table.shape[0] : 0;
    return rows ? once(table) * (double)(n < rows ? n : rows) / (double)rows : 0;
}

qn_cost qn_cost_embedding_forward(const qn_embedding_args *a) {
    const int64_t n = a->tokens.shape[0];
    return (qn_cost){0, rows_of(a->wte, n) + rows_of(a->wpe, n) + once(a->out)};
}
qn_cost qn_cost_embedding_backward(const qn_embedding_args *a) {
    const int64_t n = a->tokens.shape[0];
    return (qn_cost){0, once(a->dout) + 2 * rows_of(a->dwte, n) + 2 * rows_of(a->dwpe, n)};
}

qn_cost qn_cost_norm_forward(const qn_norm_args *a) {
    const bool fused = a->residual.data;
    return (qn_cost){0, once(a->x) + once(a->residual) + (fused ? once(a->sum) : 0) + once(a->out) +
                            once(a->mean) + once(a->rstd)};
}
qn_cost qn_cost_norm_backward(const qn_norm_args *a) {
    return (qn_cost){0, once(a->x) + once(a->dout) + once(a->dresidual) + once(a->dx) +
                            once(a->mean) + once(a->rstd) + added(a->dweight) + added(a->dbias)};
}

qn_cost qn_cost_rope(const qn_rope_args *a) { return (qn_cost){0, added(a->x)}; }

qn_cost qn_cost_attention_forward(const qn_attention_args *a) {
    return (qn_cost){0, once(a->q) + once(a->k) + once(a->v) + once(a->o) + once(a->lse)};
}
qn_cost qn_cost_attention_backward(const qn_attention_args *a) {
    const qn_cost forward = qn_cost_attention_forward(a);
    return (qn_cost){0, forward.bytes + once(a->dout) + once(a->dq) + once(a->dk) + once(a->dv)};
}

qn_cost qn_cost_swiglu_forward(const qn_swiglu_args *a) {
    return (qn_cost){0, once(a->gate_up) + once(a->out)};
}
qn_cost qn_cost_swiglu_backward(const qn_swiglu_args *a) {
    return (qn_cost){0, once(a->gate_up) + once(a->dout) + once(a->dgate_up)};
}

/* Rows of a table that are words. */
static qn_tensor words_of(qn_tensor table, int64_t vocab_size) {
    table.shape[0] = vocab_size;
    return table;
}

qn_cost qn_cost_classifier(const qn_classifier_args *a) {
    const double product = 2.0 * (double)(a->x.shape[0] * a->x.shape[1]) * (double)a->vocab_size;
    return (qn_cost){product * (1 + (a->dx.data != NULL) + (a->dweight.data != NULL)),
                     once(a->x) + once(words_of(a->weight, a->vocab_size)) + once(a->dx) +
                         added(words_of(a->dweight, a->vocab_size))};
}

/* Parameters and moments are read and written, gradients read, the working copy written. */
qn_cost qn_cost_adamw(const qn_adamw_args *a) {
    const double copy = a->weights ? (double)qn_dtype_size(a->weights_dtype) : 0;
    return (qn_cost){0, (double)a->count * (7 * sizeof(float) + copy)};
}
