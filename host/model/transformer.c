/* transformer.c: the path of one training step.
 *
 *   tokens → embed → [ norm → qkv → (qk-norm) → rope → attention → out + residual
 *                    → norm → gate,up → swiglu → down + residual ] × L
 *          → norm → classifier → loss
 *
 * Each step stands next to its gradient. GPT-2 differs in three places: LayerNorm for
 * RMSNorm, learned positions for rotary ones, GELU for SwiGLU. The residual is added
 * inside the norm that follows it, so a block hands on two things: the residual before
 * its last addition and the branch to be added. */
#include <math.h>

#include "model/linear.h"
#include "quern/range.h"

/* Where in a pass through a block we are: a block that is computed again for the
 * backward pass finds its input ready. */
typedef enum pass { PASS_FORWARD, PASS_AGAIN } pass;

static int64_t q_width(const qn_model *m) { return m->config.n_heads * m->config.head_dim; }
static int64_t kv_width(const qn_model *m) { return m->config.n_kv_heads * m->config.head_dim; }
static int64_t qkv_width(const qn_model *m) { return q_width(m) + 2 * kv_width(m); }
static int64_t ffn_in_width(const qn_model *m) {
    return m->config.arch == QN_ARCH_GPT2 ? m->config.ffn_size : 2 * m->config.ffn_size;
}
static qn_tensor hidden(const qn_model *m, qn_buffer_id id, int64_t layer) {
    return qn_activation(m, id, layer, m->config.hidden_size);
}
static void *workspace(const qn_model *m) { return qn_buffer_at(m, QN_BUF_WORKSPACE, 0); }

/* ---- embedding ---------------------------------------------------------------------- */

static qn_embedding_args embedding(const qn_model *m) {
    return (qn_embedding_args){.tokens = qn_per_token(m, QN_BUF_TOKENS, 0),
                               .positions = qn_per_token(m, QN_BUF_POSITIONS, 0),
                               .wte = qn_weight(m, QN_WTE, -1),
                               .wpe = qn_weight(m, QN_WPE, -1),
                               .workspace = workspace(m)};
}

static qn_status embed_forward(qn_model *m) {
    qn_embedding_args args = embedding(m);
    args.out = hidden(m, QN_BUF_RESID_IN, 0);
    return m->ops->embedding_forward(m->stream, &args);
}

static qn_status embed_backward(qn_model *m) {
    qn_embedding_args args = embedding(m);
    args.dout = hidden(m, QN_BUF_D_RESID, 0);
    args.dwte = qn_weight_grad(m, QN_WTE, -1);
    args.dwpe = qn_weight_grad(m, QN_WPE, -1);
    return m->ops->embedding_backward(m->stream, &args);
}

/* ---- norms -------------------------------------------------------------------------- */

/* One of the norms of the residual stream: its parameters and buffers. */
typedef struct norm_site {
    qn_role weight, bias;
    qn_buffer_id input, mean, rstd, out;
    int64_t layer; /* of the buffers */
} norm_site;

static norm_site attn_norm(int64_t l) {
    return (norm_site){QN_ATTN_NORM_W,
                       QN_ATTN_NORM_B,
                       QN_BUF_RESID_IN,
                       QN_BUF_NORM1_MEAN,
                       QN_BUF_NORM1_RSTD,
                       QN_BUF_NORM1,
                       l};
}
static norm_site mlp_norm(int64_t l) {
    return (norm_site){QN_MLP_NORM_W,
                       QN_MLP_NORM_B,
                       QN_BUF_RESID_MID,
                       QN_BUF_NORM2_MEAN,
                       QN_BUF_NORM2_RSTD,
                       QN_BUF_NORM2,
                       l};
}
static norm_site final_norm(void) {
    return (norm_site){QN_FINAL_NORM_W,
                       QN_FINAL_NORM_B,
                       QN_BUF_RESID_OUT,
                       QN_BUF_FINAL_MEAN,
                       QN_BUF_FINAL_RSTD,
                       QN_BUF_FINAL_NORM,
                       -1};
}

static qn_norm_args norm_args(const qn_model *m, norm_site s) {
    const int64_t copy = s.layer < 0 ? 0 : s.layer;
    return (qn_norm_args){.x = hidden(m, s.input, copy),
                          .weight = qn_weight(m, s.weight, s.layer),
                          .bias = qn_weight(m, s.bias, s.layer),
                          .mean = qn_per_token(m, s.mean, copy),
                          .rstd = qn_per_token(m, s.rstd, copy),
                          .eps = (float)m->config.norm_eps,
                          .workspace = workspace(m)};
}

/* `branch` is added to `residual` first, and the sum kept at the site's input. */
static qn_status norm_forward(qn_model *m, norm_site site, qn_tensor branch, qn_tensor residual) {
    qn_norm_args args = norm_args(m, site);
    if (branch.data) {
        args.sum = args.x;
        args.x = branch;
        args.residual = residual;
    }
    args.out = hidden(m, site.out, site.layer < 0 ? 0 : site.layer);
    return m->config.arch == QN_ARCH_GPT2 ? m->ops->layernorm_forward(m->stream, &args)
                                          : m->ops->rmsnorm_forward(m->stream, &args);
}

/* Adds the norm's gradient of `dout` to the gradient of the residual stream. */
static qn_status norm_backward(qn_model *m, norm_site site, qn_tensor dout, bool first) {
    qn_norm_args args = norm_args(m, site);
    args.dout = dout;
    args.dx = hidden(m, QN_BUF_D_RESID, 0);
    if (!first) args.dresidual = args.dx;
    args.dweight = qn_weight_grad(m, site.weight, site.layer);
    args.dbias = qn_weight_grad(m, site.bias, site.layer);
    return m->config.arch == QN_ARCH_GPT2 ? m->ops->layernorm_backward(m->stream, &args)
                                          : m->ops->rmsnorm_backward(m->stream, &args);
}

static const qn_tensor absent = {0};

/* ---- queries, keys, values ---------------------------------------------------------- */

/* q, k and v of a block as attention reads them, (N,H,D) each: slices of the qkv buffer, or,
 * with qk-norm, q and k from the buffer of normed ones. `raw` asks for what the projection
 * gave. */
typedef struct heads {
    qn_tensor q, k, v;
} heads;

static heads split_heads(const qn_model *m, qn_tensor qkv) {
    const qn_config *c = &m->config;
    return (heads){
        .q = qn_head_columns(m, qkv, 0, c->n_heads),
        .k = qn_head_columns(m, qkv, q_width(m), c->n_kv_heads),
        .v = qn_head_columns(m, qkv, q_width(m) + kv_width(m), c->n_kv_heads),
    };
}

static heads raw_heads(const qn_model *m, int64_t l) {
    return split_heads(m, qn_activation(m, QN_BUF_QKV, l, qkv_width(m)));
}

static heads attended_heads(const qn_model *m, int64_t l) {
    heads h = raw_heads(m, l);
    if (m->config.qk_norm) {
        qn_tensor qk = qn_activation(m, QN_BUF_QK, l, q_width(m) + kv_width(m));
        h.q = qn_head_columns(m, qk, 0, m->config.n_heads);
        h.k = qn_head_columns(m, qk, q_width(m), m->config.n_kv_heads);
    }
    return h;
}

static qn_norm_args qk_norm_args(const qn_model *m, int64_t l, qn_role weight, qn_tensor x,
                                 int64_t first_head) {
    const int64_t n_heads = m->config.n_heads + m->config.n_kv_heads;
    qn_tensor rstd = qn_activation(m, QN_BUF_QK_RSTD, l, n_heads);
    rstd = qn_from(rstd, first_head);
    rstd.shape[1] = x.shape[1];
    return (qn_norm_args){.x = x,
                          .weight = qn_weight(m, weight, l),
                          .rstd = rstd,
                          .eps = (float)m->config.norm_eps,
                          .dweight = qn_weight_grad(m, weight, l),
                          .workspace = workspace(m)};
}

static qn_status qk_norm_forward(qn_model *m, int64_t l) {
    heads raw = raw_heads(m, l), normed = attended_heads(m, l);
    qn_norm_args q = qk_norm_args(m, l, QN_Q_NORM_W, raw.q, 0);
    q.out = normed.q;
    QN_TRY(m->ops->rmsnorm_forward(m->stream, &q));
    qn_norm_args k = qk_norm_args(m, l, QN_K_NORM_W, raw.k, m->config.n_heads);
    k.out = normed.k;
    return m->ops->rmsnorm_forward(m->stream, &k);
}

static qn_status qk_norm_backward(qn_model *m, int64_t l, heads grad) {
    heads raw = raw_heads(m, l);
    qn_norm_args q = qk_norm_args(m, l, QN_Q_NORM_W, raw.q, 0);
    q.dout = q.dx = grad.q;
    QN_TRY(m->ops->rmsnorm_backward(m->stream, &q));
    qn_norm_args k = qk_norm_args(m, l, QN_K_NORM_W, raw.k, m->config.n_heads);
    k.dout = k.dx = grad.k;
    return m->ops->rmsnorm_backward(m->stream, &k);
}

/* Rotates q and k, or their gradients back. */
static qn_status rope(qn_model *m, heads h, bool inverse) {
    const qn_plan *plan = &m->plan;
    qn_rope_args args = {.positions = qn_per_token(m, QN_BUF_POSITIONS, 0),
                         .table = qn_tensor_2d(qn_buffer_at(m, QN_BUF_ROPE, 0), QN_F32,
                                               plan->options.seq_len, m->config.head_dim),
                         .inverse = inverse};
    args.x = h.q;
    QN_TRY(m->ops->rope(m->stream, &args));
    args.x = h.k;
    return m->ops->rope(m->stream, &args);
}

/* ---- attention ---------------------------------------------------------------------- */

/* (N,H,D) as (B,T,H,D). */
static qn_tensor by_sequence(const qn_model *m, qn_tensor x) {
    qn_tensor t = qn_tensor_4d(x.data, x.dtype, m->B, m->T, x.shape[1], x.shape[2]);
    t.stride[0] = m->T * x.stride[0];
    t.stride[1] = x.stride[0];
    t.stride[2] = x.stride[1];
    return t;
}

/* Appends this pass's keys or values to a layer's cache; gives all positions so far. */
static qn_status extend_cache(qn_model *m, qn_buffer_id id, int64_t l, qn_tensor fresh,
                              qn_tensor *all) {
    const qn_config *c = &m->config;
    qn_tensor cache = qn_tensor_4d(qn_buffer_at(m, id, l), m->plan.buffers[id].dtype, m->B,
                                   m->plan.options.seq_len, c->n_kv_heads, c->head_dim);
    qn_tensor slot = qn_from(cache, m->start * cache.stride[1]);
    slot.shape[1] = m->T;
    QN_TRY(m->ops->cast(m->stream, slot, fresh));
    *all = cache;
    all->shape[1] = m->start + m->T;
    return QN_OK;
}

static qn_attention_args attention_args(const qn_model *m, int64_t l) {
    const qn_config *c = &m->config;
    heads h = attended_heads(m, l);
    qn_attention_args args = {
        .q = by_sequence(m, h.q),
        .k = by_sequence(m, h.k),
        .v = by_sequence(m, h.v),
        .o = by_sequence(
            m, qn_head_columns(m, qn_activation(m, QN_BUF_ATT, l, q_width(m)), 0, c->n_heads)),
        .lse = qn_tensor_3d(qn_buffer_at(m, QN_BUF_LSE, l), QN_F32, m->B, c->n_heads, m->T),
        .scale = 1.0f / sqrtf((float)c->head_dim),
        .causal = true,
        .window = c->sliding_window,
        .impl = m->plan.options.attention,
        .compute = m->plan.options.compute,
        .deterministic = m->plan.options.deterministic,
        .workspace = workspace(m),
    };
    if (m->plan.options.documents) {
        args.doc_start = qn_tensor_2d(qn_buffer_at(m, QN_BUF_DOC_START, 0), QN_I32, m->B, m->T);
    }
    return args;
}

static qn_status attention_forward(qn_model *m, int64_t l, pass pass) {
    qn_attention_args args = attention_args(m, l);
    if (m->stats && pass == PASS_FORWARD) args.stats = &m->stats[l];
    if (m->plan.options.mode == QN_PLAN_GENERATE) {
        QN_TRY(extend_cache(m, QN_BUF_CACHE_K, l, args.k, &args.k));
        QN_TRY(extend_cache(m, QN_BUF_CACHE_V, l, args.v, &args.v));
    }
    return m->ops->attention_forward(m->stream, &args);
}

static qn_status attention_backward(qn_model *m, int64_t l, heads grad) {
    qn_attention_args args = attention_args(m, l);
    args.dout = by_sequence(
        m, qn_head_columns(m, qn_activation(m, QN_BUF_D_ATT, 0, q_width(m)), 0, m->config.n_heads));
    args.dq = by_sequence(m, grad.q);
    args.dk = by_sequence(m, grad.k);
    args.dv = by_sequence(m, grad.v);
    return m->ops->attention_backward(m->stream, &args);
}

/* norm → qkv → (qk-norm) → rope → attention → out; the branch is left in QN_BUF_BRANCH. */
static qn_status attention_half_forward(qn_model *m, int64_t l, pass pass) {
    const qn_linear qkv = qn_linear_qkv(m, l), out = qn_linear_out(m, l);
    const bool input_ready = l == 0 || pass == PASS_AGAIN;
    QN_TRY(norm_forward(m, attn_norm(l), input_ready ? absent : hidden(m, QN_BUF_BRANCH, 0),
                        input_ready ? absent : hidden(m, QN_BUF_RESID_MID, l - 1)));
    QN_TRY(qn_linear_forward(m, &qkv, hidden(m, QN_BUF_NORM1, l),
                             qn_activation(m, QN_BUF_QKV, l, qkv_width(m))));
    if (m->config.qk_norm) QN_TRY(qk_norm_forward(m, l));
    if (m->config.arch == QN_ARCH_LLAMA) QN_TRY(rope(m, attended_heads(m, l), false));
    QN_TRY(attention_forward(m, l, pass));
    return qn_linear_forward(m, &out, qn_activation(m, QN_BUF_ATT, l, q_width(m)),
                             hidden(m, QN_BUF_BRANCH, 0));
}

static qn_status attention_half_backward(qn_model *m, int64_t l) {
    const qn_linear qkv = qn_linear_qkv(m, l), out = qn_linear_out(m, l);
    const qn_tensor dresid = hidden(m, QN_BUF_D_RESID, 0), dnorm = hidden(m, QN_BUF_D_NORM, 0);
    const qn_tensor dqkv = qn_activation(m, QN_BUF_D_QKV, 0, qkv_width(m));
    const heads grad = split_heads(m, dqkv);
    QN_TRY(qn_linear_backward_weight(m, &out, qn_activation(m, QN_BUF_ATT, l, q_width(m)), dresid));
    QN_TRY(
        qn_linear_backward_input(m, &out, dresid, qn_activation(m, QN_BUF_D_ATT, 0, q_width(m))));
    QN_TRY(attention_backward(m, l, grad));
    if (m->config.arch == QN_ARCH_LLAMA) QN_TRY(rope(m, grad, true));
    if (m->config.qk_norm) QN_TRY(qk_norm_backward(m, l, grad));
    QN_TRY(qn_linear_backward_weight(m, &qkv, hidden(m, QN_BUF_NORM1, l), dqkv));
    QN_TRY(qn_linear_backward_input(m, &qkv, dqkv, dnorm));
    return norm_backward(m, attn_norm(l), dnorm, false);
}

/* ---- feed-forward ------------------------------------------------------------------- */

static qn_tensor ffn_in(const qn_model *m, int64_t l) {
    return qn_activation(m, QN_BUF_FFN_IN, l, ffn_in_width(m));
}
static qn_tensor ffn_act(const qn_model *m, int64_t l) {
    return qn_activation(m, QN_BUF_FFN_ACT, l, m->config.ffn_size);
}

/* norm → gate, up → swiglu → down (GPT-2: norm → fc → gelu → down); the branch is left in
 * QN_BUF_BRANCH, except again: no gradient is made from it. */
static qn_status mlp_half_forward(qn_model *m, int64_t l, pass pass) {
    const qn_linear in = qn_linear_ffn_in(m, l), down = qn_linear_down(m, l);
    const qn_tensor branch = hidden(m, QN_BUF_BRANCH, 0), norm = hidden(m, QN_BUF_NORM2, l);
    QN_TRY(norm_forward(m, mlp_norm(l), branch, hidden(m, QN_BUF_RESID_IN, l)));
    if (m->config.arch == QN_ARCH_GPT2) {
        QN_TRY(qn_linear_forward_gelu(m, &in, norm, ffn_in(m, l), ffn_act(m, l)));
    } else {
        QN_TRY(qn_linear_forward(m, &in, norm, ffn_in(m, l)));
        qn_swiglu_args swiglu = {.gate_up = ffn_in(m, l), .out = ffn_act(m, l)};
        QN_TRY(m->ops->swiglu_forward(m->stream, &swiglu));
    }
    return pass == PASS_AGAIN ? QN_OK : qn_linear_forward(m, &down, ffn_act(m, l), branch);
}

static qn_status mlp_half_backward(qn_model *m, int64_t l) {
    const qn_linear in = qn_linear_ffn_in(m, l), down = qn_linear_down(m, l);
    const qn_tensor dresid = hidden(m, QN_BUF_D_RESID, 0), dnorm = hidden(m, QN_BUF_D_NORM, 0);
    const qn_tensor dact = qn_activation(m, QN_BUF_D_FFN, 0, m->config.ffn_size);
    qn_tensor din = dact;
    QN_TRY(qn_linear_backward_weight(m, &down, ffn_act(m, l), dresid));
    if (m->config.arch == QN_ARCH_GPT2) {
        QN_TRY(qn_linear_backward_input_gelu(m, &down, dresid, ffn_in(m, l), din));
    } else {
        QN_TRY(qn_linear_backward_input(m, &down, dresid, dact));
        din = ffn_in(m, l); /* the gradient takes the place of what it was made from */
        qn_swiglu_args swiglu = {.gate_up = ffn_in(m, l), .dout = dact, .dgate_up = din};
        QN_TRY(m->ops->swiglu_backward(m->stream, &swiglu));
    }
    QN_TRY(qn_linear_backward_weight(m, &in, hidden(m, QN_BUF_NORM2, l), din));
    QN_TRY(qn_linear_backward_input(m, &in, din, dnorm));
    return norm_backward(m, mlp_norm(l), dnorm, false);
}

/* ---- recomputation ------------------------------------------------------------------ */

/* Makes again what the backward pass of block l reads and the plan did not keep. Of the last
 * block it is still there: where blocks share a buffer, that one was the last to write it. */
static qn_status recompute_block(qn_model *m, int64_t l) {
    if (l == m->config.n_layers - 1) return QN_OK;
    switch (m->plan.options.recompute) {
    case QN_RECOMPUTE_NONE:
        return QN_OK;
    case QN_RECOMPUTE_BLOCK:
        QN_TRY(attention_half_forward(m, l, PASS_AGAIN));
        return mlp_half_forward(m, l, PASS_AGAIN);
    case QN_RECOMPUTE_NORMS:
        break;
    }
    QN_TRY(norm_forward(m, attn_norm(l), absent, absent));
    QN_TRY(norm_forward(m, mlp_norm(l), absent, absent));
    if (m->config.arch == QN_ARCH_GPT2) {
        return m->ops->gelu(m->stream, ffn_act(m, l), ffn_in(m, l));
    }
    qn_swiglu_args swiglu = {.gate_up = ffn_in(m, l), .out = ffn_act(m, l)};
    return m->ops->swiglu_forward(m->stream, &swiglu);
}

/* ---- classifier --------------------------------------------------------------------- */

/* Losses and, in training, the gradient of the final norm's output in its own place. */
static qn_status classifier(qn_model *m, float grad_scale, bool train) {
    qn_classifier_args args = {.x = hidden(m, QN_BUF_FINAL_NORM, 0),
                               .weight = qn_head(m),
                               .vocab_size = m->config.vocab_size,
                               .targets = qn_per_token(m, QN_BUF_TARGETS, 0),
                               .losses = qn_per_token(m, QN_BUF_LOSSES, 0),
                               .grad_scale = grad_scale,
                               .compute = m->plan.options.compute,
                               .workspace = workspace(m)};
    if (train) {
        args.dx = args.x;
        args.dweight = qn_head_grad(m);
    }
    return m->ops->classifier(m->stream, &args);
}

/* ---- the passes --------------------------------------------------------------------- */

qn_status qn_forward_blocks(qn_model *m) {
    QN_TRY(embed_forward(m));
    for (int64_t l = 0; l < m->config.n_layers; l++) {
        QN_TRY_IN(m->backend, "attention", attention_half_forward(m, l, PASS_FORWARD));
        QN_TRY_IN(m->backend, "feed-forward", mlp_half_forward(m, l, PASS_FORWARD));
    }
    return norm_forward(m, final_norm(), hidden(m, QN_BUF_BRANCH, 0),
                        hidden(m, QN_BUF_RESID_MID, m->config.n_layers - 1));
}

qn_status qn_forward_loss(qn_model *m, int64_t slot, float grad_scale, bool train) {
    QN_TRY(qn_forward_blocks(m));
    QN_TRY(classifier(m, grad_scale, train));
    float *sums = qn_buffer_at(m, QN_BUF_LOSS_SUMS, 0);
    return m->ops->sum(m->stream, qn_per_token(m, QN_BUF_LOSSES, 0), sums + slot);
}

/* Tells that the gradients of the parameters from `first` up to `end` are final. */
static qn_status announce(qn_model *m, const qn_param *first, const qn_param *end,
                          qn_grads_ready ready, void *context) {
    if (!ready || first == end) return QN_OK;
    const int64_t stop =
        end == m->params.items + m->params.count ? m->params.n_elements : end->offset;
    return ready(context, first->offset, stop - first->offset, m->stream);
}

qn_status qn_model_backward(qn_model *m, qn_grads_ready ready, void *context) {
    QN_TRY(qn_check_training(m, "backward pass"));
    const qn_param *end = m->params.items + m->params.count;
    const qn_param *block_end = qn_params_find(&m->params, QN_FINAL_NORM_W, -1);
    QN_TRY(norm_backward(m, final_norm(), hidden(m, QN_BUF_FINAL_NORM, 0), true));
    QN_TRY(announce(m, block_end, end, ready, context));
    for (int64_t l = m->config.n_layers - 1; l >= 0; l--) {
        const qn_param *block = qn_params_find(&m->params, QN_ATTN_NORM_W, l);
        QN_TRY_IN(m->backend, "recomputation", recompute_block(m, l));
        QN_TRY_IN(m->backend, "feed-forward", mlp_half_backward(m, l));
        QN_TRY_IN(m->backend, "attention", attention_half_backward(m, l));
        QN_TRY(announce(m, block, block_end, ready, context));
        block_end = block;
    }
    QN_TRY(embed_backward(m));
    return announce(m, m->params.items, block_end, ready, context);
}
