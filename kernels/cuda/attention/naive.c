/* naive.c: the products around the softmax, as nests over sequences, key heads, and the query
 * heads of each key head's group. */
#include "naive.h"

#include "blas/matmul.h"
#include "blas/product.h"
#include "launch.h"
#include "ops/cast.h"

/* ---- memory ------------------------------------------------------------------ */

static size_t n_scores(const qn_attn_params *p) {
    const size_t heads = qn_size_mul((size_t)p->batch, (size_t)p->n_heads);
    return qn_size_mul(qn_size_mul(heads, (size_t)p->n_queries), (size_t)p->n_keys);
}

static bool shares_keys(const qn_attn_params *p) { return p->n_heads > p->n_kv_heads; }

void qn_cuda_naive_lay_out(const qn_cuda *cuda, const qn_attn_params *p, bool backward,
                           qn_workspace *w, qn_cuda_naive *n) {
    const size_t scores = n_scores(p);
    *n = (qn_cuda_naive){0};
    n->scores = qn_workspace_cut(w, qn_size_mul(scores, sizeof(float)));
    n->weights = qn_workspace_cut(w, qn_size_mul(scores, sizeof(uint16_t)));
    n->matmul = qn_workspace_cut(w, qn_product_workspace(cuda));
    if (!backward) return;
    n->dweights = qn_workspace_cut(w, qn_size_mul(scores, sizeof(float)));
    n->dscores = qn_workspace_cut(w, qn_size_mul(scores, sizeof(uint16_t)));
    if (!shares_keys(p)) return;
    const size_t keys = (size_t)p->batch * (size_t)p->n_keys * (size_t)p->n_kv_heads;
    n->dk_sum = qn_workspace_cut(w, qn_size_mul(keys, (size_t)p->head_dim * sizeof(float)));
    n->dv_sum = qn_workspace_cut(w, qn_size_mul(keys, (size_t)p->head_dim * sizeof(float)));
}

/* ---- operands: axes are sequence, key head, query head of the group -------------- */

static int64_t group_of(const qn_attn_params *p) { return p->n_heads / p->n_kv_heads; }

static qn_operand like_q(const qn_attn_params *p, const qn_attn_view *x) {
    return (qn_operand){.data = x->data,
                        .dtype = QN_BF16,
                        .row = x->row,
                        .step = {x->batch, group_of(p) * x->head, x->head}};
}

static qn_operand like_k(const qn_attn_view *x) {
    return (qn_operand){
        .data = x->data, .dtype = QN_BF16, .row = x->row, .step = {x->batch, x->head, 0}};
}

static qn_operand like_scores(const qn_attn_params *p, void *x, qn_dtype dtype) {
    const int64_t head = (int64_t)p->n_queries * p->n_keys;
    return (qn_operand){.data = x,
                        .dtype = dtype,
                        .row = p->n_keys,
                        .step = {head * p->n_heads, head * group_of(p), head}};
}

static qn_operand transposed(qn_operand x) {
    x.transpose = true;
    return x;
}

/* ---- products ---------------------------------------------------------------------- */

static qn_products nest(const qn_attn_params *p, int64_t m, int64_t n, int64_t k) {
    return (qn_products){
        .m = m, .n = n, .k = k, .count = {p->batch, p->n_kv_heads, group_of(p)}, .alpha = 1};
}

/* scores = x·yᵀ for x like q and y like k. */
static qn_status product_of_rows(qn_stream *stream, const qn_attn_params *p,
                                 const qn_cuda_naive *naive, const qn_attn_view *x,
                                 const qn_attn_view *y, float *scores) {
    qn_products products = nest(p, p->n_queries, p->n_keys, p->head_dim);
    products.a = like_q(p, x);
    products.b = transposed(like_k(y));
    products.c = like_scores(p, scores, QN_F32);
    return qn_matmul(stream, &products, naive->matmul);
}

/* out = alpha·weights·x for x like k and out like q. */
static qn_status weigh_keys(qn_stream *stream, const qn_attn_params *p, const qn_cuda_naive *naive,
                            float alpha, uint16_t *weights, const qn_attn_view *x,
                            const qn_attn_view *out) {
    qn_products products = nest(p, p->n_queries, p->head_dim, p->n_keys);
    products.alpha = alpha;
    products.a = like_scores(p, weights, QN_BF16);
    products.b = like_k(x);
    products.c = like_q(p, out);
    return qn_matmul(stream, &products, naive->matmul);
}

static qn_tensor tensor_like_k(const qn_attn_params *p, const qn_attn_view *x) {
    qn_tensor t = qn_tensor_4d(x->data, QN_BF16, p->batch, p->n_keys, p->n_kv_heads, p->head_dim);
    t.stride[0] = x->batch;
    t.stride[1] = x->row;
    t.stride[2] = x->head;
    return t;
}

/* out = alpha·weightsᵀ·x for x like q and out like k, summed over the group: in fp32 `sum` where
 * there is one, and rounded from it. */
static qn_status weigh_queries(qn_stream *stream, const qn_attn_params *p,
                               const qn_cuda_naive *naive, float alpha, uint16_t *weights,
                               const qn_attn_view *x, float *sum, const qn_attn_view *out) {
    qn_products products = nest(p, p->n_keys, p->head_dim, p->n_queries);
    products.alpha = alpha;
    products.a = transposed(like_scores(p, weights, QN_BF16));
    products.b = like_q(p, x);
    products.c = like_k(out);
    if (!sum) return qn_matmul(stream, &products, naive->matmul);
    const qn_tensor sums =
        qn_tensor_4d(sum, QN_F32, p->batch, p->n_keys, p->n_kv_heads, p->head_dim);
    products.c = (qn_operand){.data = sum,
                              .dtype = QN_F32,
                              .row = sums.stride[1],
                              .step = {sums.stride[0], sums.stride[2], 0}};
    QN_TRY(qn_matmul(stream, &products, naive->matmul));
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_cast(tensor_like_k(p, out), sums, &queue),
                   "attention: launching the rounding of a key gradient");
    return QN_OK;
}

/* ---- the passes ----------------------------------------------------------------------- */

qn_status qn_cuda_naive_forward(qn_stream *stream, const qn_attn_params *p,
                                const qn_cuda_naive *n) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_TRY(product_of_rows(stream, p, n, &p->q, &p->k, n->scores));
    QN_CUDA_LAUNCH(qn_attn_naive_softmax_forward(p, n->scores, n->weights, &queue),
                   "attention: launching the softmax");
    return weigh_keys(stream, p, n, 1, n->weights, &p->v, &p->o);
}

qn_status qn_cuda_naive_backward(qn_stream *stream, const qn_attn_params *p,
                                 const qn_cuda_naive *n) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_attn_delta(p, 0, 0, &queue),
                   "attention: launching the row sums of its backward pass");
    QN_TRY(product_of_rows(stream, p, n, &p->q, &p->k, n->scores));
    QN_TRY(product_of_rows(stream, p, n, &p->dout, &p->v, n->dweights));
    QN_CUDA_LAUNCH(
        qn_attn_naive_softmax_backward(p, n->scores, n->dweights, n->weights, n->dscores, &queue),
        "attention: launching the gradient of the softmax");
    QN_TRY(weigh_queries(stream, p, n, 1, n->weights, &p->dout, n->dv_sum, &p->dv));
    QN_TRY(weigh_queries(stream, p, n, p->scale, n->dscores, &p->q, n->dk_sum, &p->dk));
    return weigh_keys(stream, p, n, p->scale, n->dscores, &p->k, &p->dq);
}
