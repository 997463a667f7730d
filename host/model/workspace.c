/* workspace.c: asks a backend with the shapes, dtypes and options of every operation that
 * linear.c, transformer.c and model.c call. */
#include "model/workspace.h"

typedef struct asker {
    qn_backend *backend;
    const qn_config *config;
    const qn_plan_options *options;
    qn_dtype storage;
    int64_t N, C; /* tokens and width */
    bool train;
    size_t most;
} asker;

static void note(asker *k, size_t bytes) {
    if (bytes > k->most) k->most = bytes;
}

/* ---- products ------------------------------------------------------------------------- */

static void ask_gemm(asker *k, qn_gemm_args args) {
    args.compute = k->options->compute;
    note(k, k->backend->ops->gemm_workspace(k->backend, &args));
}

static void ask_weight_grad(asker *k, qn_tensor x, qn_tensor y, qn_tensor w, bool llama) {
    w.dtype = QN_F32;
    qn_gemm_args args = {.a = llama ? y : x,
                         .b = llama ? x : y,
                         .c = w,
                         .transpose_a = true,
                         .beta = 1,
                         .bias = qn_tensor_1d(NULL, QN_F32, y.shape[1])};
    ask_gemm(k, args);
    args.epilogue = llama ? QN_EPILOGUE_BGRAD_A : QN_EPILOGUE_BGRAD_B;
    ask_gemm(k, args);
}

/* y (N,outputs) = x (N,inputs)·W and its gradients, with any epilogue. */
static void ask_linear(asker *k, int64_t inputs, int64_t outputs) {
    const bool llama = k->config->arch == QN_ARCH_LLAMA; /* W is (outputs,inputs) */
    const qn_tensor x = qn_tensor_2d(NULL, k->storage, k->N, inputs);
    const qn_tensor y = qn_tensor_2d(NULL, k->storage, k->N, outputs);
    const qn_tensor w =
        qn_tensor_2d(NULL, k->storage, llama ? outputs : inputs, llama ? inputs : outputs);
    qn_gemm_args forward = {.a = x,
                            .b = w,
                            .c = y,
                            .transpose_b = llama,
                            .bias = qn_tensor_1d(NULL, k->storage, outputs),
                            .aux = y};
    for (qn_epilogue e = QN_EPILOGUE_NONE; e <= QN_EPILOGUE_GELU; e++) {
        forward.epilogue = e;
        ask_gemm(k, forward);
    }
    if (!k->train) return;
    qn_gemm_args input_grad = {.a = y, .b = w, .c = x, .transpose_b = !llama, .aux = x};
    ask_gemm(k, input_grad);
    input_grad.epilogue = QN_EPILOGUE_DGELU;
    ask_gemm(k, input_grad);
    ask_weight_grad(k, x, y, w, llama);
}

static void ask_linears(asker *k) {
    const qn_config *c = k->config;
    const int64_t q_width = c->n_heads * c->head_dim, kv_width = c->n_kv_heads * c->head_dim;
    ask_linear(k, k->C, q_width + 2 * kv_width);
    ask_linear(k, q_width, k->C);
    ask_linear(k, k->C, c->arch == QN_ARCH_GPT2 ? c->ffn_size : 2 * c->ffn_size);
    ask_linear(k, c->ffn_size, k->C);
}

static void ask_logits(asker *k) {
    const int64_t B = qn_logit_rows(k->options), rows = qn_table_rows(k->config->vocab_size);
    ask_gemm(k, (qn_gemm_args){.a = qn_tensor_2d(NULL, k->storage, B, k->C),
                               .b = qn_tensor_2d(NULL, k->storage, rows, k->C),
                               .c = qn_tensor_2d(NULL, QN_F32, B, rows),
                               .transpose_b = true});
}

/* ---- the rest --------------------------------------------------------------------------- */

static void ask_attention(asker *k) {
    const qn_config *c = k->config;
    const qn_plan_options *o = k->options;
    const int64_t B = o->batch_size, T = o->seq_len, D = c->head_dim;
    const qn_tensor q = qn_tensor_4d(NULL, k->storage, B, T, c->n_heads, D);
    const qn_tensor kv = qn_tensor_4d(NULL, k->storage, B, T, c->n_kv_heads, D);
    qn_attn_stats stats = {0}; /* they may be asked for at any pass */
    qn_attention_args args = {.q = q,
                              .k = kv,
                              .v = kv,
                              .o = q,
                              .lse = qn_tensor_3d(NULL, QN_F32, B, c->n_heads, T),
                              .causal = true,
                              .window = c->sliding_window,
                              .impl = o->attention,
                              .compute = o->compute,
                              .stats = o->mode != QN_PLAN_GENERATE ? &stats : NULL,
                              .deterministic = o->deterministic};
    if (o->documents) args.doc_start = qn_tensor_2d(NULL, QN_I32, B, T);
    note(k, k->backend->ops->attention_forward_workspace(k->backend, &args));
    if (!k->train) return;
    args.stats = NULL;
    args.dout = args.dq = q;
    args.dk = args.dv = kv;
    note(k, k->backend->ops->attention_backward_workspace(k->backend, &args));
}

static void ask_classifier(asker *k) {
    const int64_t rows = qn_table_rows(k->config->vocab_size);
    qn_classifier_args args = {.x = qn_tensor_2d(NULL, k->storage, k->N, k->C),
                               .weight = qn_tensor_2d(NULL, k->storage, rows, k->C),
                               .vocab_size = k->config->vocab_size,
                               .targets = qn_tensor_1d(NULL, QN_I32, k->N),
                               .losses = qn_tensor_1d(NULL, QN_F32, k->N),
                               .compute = k->options->compute};
    if (k->train) {
        args.dx = args.x;
        args.dweight = qn_tensor_2d(NULL, QN_F32, rows, k->C);
    }
    note(k, k->backend->ops->classifier_workspace(k->backend, &args));
}

static void ask_norm_backward(asker *k, qn_tensor x) {
    const int64_t width = x.shape[x.rank - 1];
    const qn_norm_args args = {.x = x,
                               .weight = qn_tensor_1d(NULL, k->storage, width),
                               .dout = x,
                               .dx = x,
                               .dweight = qn_tensor_1d(NULL, QN_F32, width)};
    note(k, k->backend->ops->norm_backward_workspace(k->backend, &args));
}

static void ask_embedding_backward(asker *k) {
    const qn_config *c = k->config;
    qn_embedding_args args = {.tokens = qn_tensor_1d(NULL, QN_I32, k->N),
                              .dout = qn_tensor_2d(NULL, k->storage, k->N, k->C),
                              .dwte = qn_tensor_2d(NULL, QN_F32, c->vocab_size, k->C)};
    if (c->arch == QN_ARCH_GPT2) {
        args.positions = args.tokens;
        args.dwpe = qn_tensor_2d(NULL, QN_F32, c->max_seq_len, k->C);
    }
    note(k, k->backend->ops->embedding_backward_workspace(k->backend, &args));
}

static void ask_backward(asker *k) {
    const qn_config *c = k->config;
    ask_norm_backward(k, qn_tensor_2d(NULL, k->storage, k->N, k->C));
    if (c->qk_norm) {
        ask_norm_backward(k, qn_tensor_3d(NULL, k->storage, k->N, c->n_heads, c->head_dim));
        ask_norm_backward(k, qn_tensor_3d(NULL, k->storage, k->N, c->n_kv_heads, c->head_dim));
    }
    ask_embedding_backward(k);
}

/* The lens makes the q and k columns of a gradient (C,3C) dense, one after the other. */
static void ask_lens(asker *k) {
    if (k->config->arch == QN_ARCH_GPT2) note(k, (size_t)(k->C * k->C) * sizeof(float));
}

size_t qn_workspace_bytes(const qn_plan *plan, qn_backend *backend) {
    const qn_plan_options *o = &plan->options;
    asker k = {.backend = backend,
               .config = &plan->config,
               .options = o,
               .storage = o->storage,
               .N = o->batch_size * o->seq_len,
               .C = plan->config.hidden_size,
               .train = o->mode == QN_PLAN_TRAIN};
    ask_linears(&k);
    ask_attention(&k);
    if (qn_logit_rows(o)) ask_logits(&k);
    if (o->mode != QN_PLAN_GENERATE) ask_classifier(&k);
    if (k.train) ask_backward(&k);
    if (k.train) ask_lens(&k);
    return k.most;
}
