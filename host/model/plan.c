#include "quern/plan.h"

#include <stdint.h>
#include <string.h>

#include "model/precision.h"
#include "model/workspace.h"

enum { BUFFER_ALIGNMENT = 256 };

static const char *const group_names[QN_N_GROUPS] = {"parameters", "gradients", "optimizer state",
                                                     "activations", "scratch"};

const char *const qn_recompute_names[] = {"none", "norms", "block", NULL};

const char *qn_buffer_group_name(qn_buffer_group group) { return group_names[group]; }

typedef struct layout {
    qn_plan *plan;
    int64_t N, C, F, D, q_width, kv_width; /* tokens and widths */
    qn_dtype storage;                      /* of activations and of parameters in use */
    bool train, keep_all, keep_cheap;      /* what the backward pass finds */
    bool overflow;
} layout;

static size_t align_up(size_t bytes) {
    return (bytes + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT;
}

static void place(layout *l, qn_buffer_id id, const char *name, qn_buffer_group group,
                  qn_dtype dtype, int64_t rows, int64_t cols, int64_t copies) {
    qn_plan *plan = l->plan;
    int64_t count, bytes, all;
    if (__builtin_mul_overflow(rows, cols, &count) ||
        __builtin_mul_overflow(count, (int64_t)qn_dtype_size(dtype), &bytes) ||
        bytes > INT64_MAX / 2 ||
        __builtin_mul_overflow((int64_t)align_up((size_t)bytes), copies, &all) ||
        __builtin_add_overflow(all, (int64_t)plan->total_bytes, &(int64_t){0})) {
        l->overflow = true;
        return;
    }
    plan->buffers[id] = (qn_buffer){.name = name,
                                    .group = group,
                                    .dtype = dtype,
                                    .count = count,
                                    .copies = copies,
                                    .stride = align_up((size_t)bytes),
                                    .offset = plan->total_bytes};
    plan->total_bytes += (size_t)all;
    plan->group_bytes[group] += (size_t)all;
}

static void place_scratch(layout *l, qn_buffer_id id, const char *name, qn_dtype dtype,
                          int64_t rows, int64_t cols) {
    place(l, id, name, QN_GROUP_SCRATCH, dtype, rows, cols, 1);
}

/* What activations.h reads of each layer. */
static bool is_inspected(qn_buffer_id id) {
    return id == QN_BUF_RESID_IN || id == QN_BUF_QKV || id == QN_BUF_QK;
}

/* What every block makes: one copy a layer where it is kept, else one shared. */
static void place_of_block(layout *l, qn_buffer_id id, const char *name, qn_dtype dtype,
                           int64_t rows, int64_t cols, bool keep) {
    const bool inspect = l->plan->options.mode == QN_PLAN_INSPECT;
    const bool kept = (l->train && keep) || (inspect && is_inspected(id));
    place(l, id, name, kept ? QN_GROUP_ACTIVATIONS : QN_GROUP_SCRATCH, dtype, rows, cols,
          kept ? l->plan->config.n_layers : 1);
}

static void place_activation(layout *l, qn_buffer_id id, const char *name, int64_t rows,
                             int64_t cols, bool keep) {
    place_of_block(l, id, name, l->storage, rows, cols, keep);
}

/* A mean, a scale or a log-sum-exp of rows: fp32 whatever the storage. */
static void place_row_statistic(layout *l, qn_buffer_id id, const char *name, int64_t rows,
                                int64_t cols, bool keep) {
    place_of_block(l, id, name, QN_F32, rows, cols, keep);
}

/* Only the optimizer needs fp32 masters; a working copy stands beside or in place of them. */
static void place_params(layout *l, const qn_params *params) {
    const bool copy = l->storage != QN_F32;
    if (l->train || !copy) {
        place(l, QN_BUF_PARAMS, copy ? "master parameters" : "parameters", QN_GROUP_PARAMS, QN_F32,
              params->n_elements, 1, 1);
    }
    if (copy) {
        place(l, QN_BUF_WEIGHTS, l->train ? "working copy" : "parameters", QN_GROUP_PARAMS,
              l->storage, params->n_elements, 1, 1);
    }
}

static void place_state(layout *l, const qn_params *params) {
    place_params(l, params);
    if (!l->train) return;
    place(l, QN_BUF_GRADS, "gradients", QN_GROUP_GRADS, QN_F32, params->n_elements, 1, 1);
    place(l, QN_BUF_ADAM_M, "first moments", QN_GROUP_OPTIMIZER, QN_F32, params->n_elements, 1, 1);
    place(l, QN_BUF_ADAM_V, "second moments", QN_GROUP_OPTIMIZER, QN_F32, params->n_elements, 1, 1);
    place_scratch(l, QN_BUF_ADAM_SEGMENTS, "optimizer's segments", QN_I32,
                  qn_params_most_segments(params), sizeof(qn_adamw_segment) / sizeof(int32_t));
    place_scratch(l, QN_BUF_ADAM_RATE, "optimizer's rate", QN_I32, 1,
                  sizeof(qn_adamw_rate) / sizeof(int32_t));
}

static void place_inputs(layout *l) {
    const qn_plan_options *o = &l->plan->options;
    place_scratch(l, QN_BUF_TOKENS, "tokens", QN_I32, l->N, 1);
    place_scratch(l, QN_BUF_POSITIONS, "positions", QN_I32, l->N, 1);
    if (o->mode != QN_PLAN_GENERATE) place_scratch(l, QN_BUF_TARGETS, "targets", QN_I32, l->N, 1);
    if (o->documents) place_scratch(l, QN_BUF_DOC_START, "document starts", QN_I32, l->N, 1);
    if (l->plan->config.arch == QN_ARCH_LLAMA) {
        place_scratch(l, QN_BUF_ROPE, "rotary table", QN_F32, o->seq_len, l->D);
    }
}

static void place_block(layout *l) {
    const qn_config *c = &l->plan->config;
    const qn_plan_options *o = &l->plan->options;
    const int64_t N = l->N, C = l->C, qkv = l->q_width + 2 * l->kv_width;
    const bool layernorm = c->arch == QN_ARCH_GPT2, all = l->keep_all, cheap = l->keep_cheap;

    place_activation(l, QN_BUF_RESID_IN, "block input", N, C, true);
    if (layernorm) place_row_statistic(l, QN_BUF_NORM1_MEAN, "attention norm mean", N, 1, all);
    place_row_statistic(l, QN_BUF_NORM1_RSTD, "attention norm scale", N, 1, all);
    place_activation(l, QN_BUF_NORM1, "attention norm", N, C, cheap);
    place_activation(l, QN_BUF_QKV, "q, k, v", N, qkv, all);
    if (c->qk_norm) {
        place_row_statistic(l, QN_BUF_QK_RSTD, "qk-norm scale", N, c->n_heads + c->n_kv_heads, all);
        place_activation(l, QN_BUF_QK, "q, k normed", N, l->q_width + l->kv_width, all);
    }
    place_activation(l, QN_BUF_ATT, "attention output", N, l->q_width, all);
    place_row_statistic(l, QN_BUF_LSE, "log-sum-exp", N, c->n_heads, all);
    place_activation(l, QN_BUF_RESID_MID, "residual after attention", N, C, all);
    if (layernorm) place_row_statistic(l, QN_BUF_NORM2_MEAN, "mlp norm mean", N, 1, all);
    place_row_statistic(l, QN_BUF_NORM2_RSTD, "mlp norm scale", N, 1, all);
    place_activation(l, QN_BUF_NORM2, "mlp norm", N, C, cheap);
    place_activation(l, QN_BUF_FFN_IN, layernorm ? "mlp before GELU" : "gate and up", N,
                     layernorm ? l->F : 2 * l->F, all);
    place_activation(l, QN_BUF_FFN_ACT, "mlp activation", N, l->F, cheap);
    place_scratch(l, QN_BUF_BRANCH, "branch output", l->storage, N, C);
    if (o->mode == QN_PLAN_GENERATE) {
        place(l, QN_BUF_CACHE_K, "key cache", QN_GROUP_ACTIVATIONS, l->storage,
              o->batch_size * o->seq_len, l->kv_width, c->n_layers);
        place(l, QN_BUF_CACHE_V, "value cache", QN_GROUP_ACTIVATIONS, l->storage,
              o->batch_size * o->seq_len, l->kv_width, c->n_layers);
    }
}

static void place_head(layout *l) {
    const qn_config *c = &l->plan->config;
    const qn_plan_options *o = &l->plan->options;
    place_scratch(l, QN_BUF_RESID_OUT, "last residual", l->storage, l->N, l->C);
    if (c->arch == QN_ARCH_GPT2) {
        place_scratch(l, QN_BUF_FINAL_MEAN, "final norm mean", QN_F32, l->N, 1);
    }
    place_scratch(l, QN_BUF_FINAL_RSTD, "final norm scale", QN_F32, l->N, 1);
    place_scratch(l, QN_BUF_FINAL_NORM, "final norm", l->storage, l->N, l->C);
    const int64_t logit_rows = qn_logit_rows(o);
    if (logit_rows) {
        place_scratch(l, QN_BUF_LOGITS, "logits", QN_F32, logit_rows, qn_table_rows(c->vocab_size));
    }
    if (o->mode == QN_PLAN_GENERATE) return;
    place_scratch(l, QN_BUF_LOSSES, "losses", QN_F32, l->N, 1);
    place_scratch(l, QN_BUF_LOSS_SUMS, "loss sums", QN_F32, o->grad_accum + 1, 1);
}

static void place_gradients(layout *l, const qn_params *params) {
    const int64_t heads = l->plan->config.n_layers * l->plan->config.n_heads;
    place_scratch(l, QN_BUF_ATTN_SUMS, "attention's statistics", QN_F32, QN_ATTN_N_SUMS, heads);
    place_scratch(l, QN_BUF_ATTN_COUNTS, "attention's rows", QN_I64, QN_ATTN_N_COUNTS, heads);
    place_scratch(l, QN_BUF_GRAD_SUMSQ, "gradient sum of squares", QN_F32, 1, 1);
    place_scratch(l, QN_BUF_GRAD_PARTS, "the same of its parts", QN_F32, params->count, 1);
    place_scratch(l, QN_BUF_D_RESID, "residual gradient", l->storage, l->N, l->C);
    place_scratch(l, QN_BUF_D_NORM, "norm output gradient", l->storage, l->N, l->C);
    place_scratch(l, QN_BUF_D_QKV, "q, k, v gradient", l->storage, l->N,
                  l->q_width + 2 * l->kv_width);
    place_scratch(l, QN_BUF_D_ATT, "attention gradient", l->storage, l->N, l->q_width);
    place_scratch(l, QN_BUF_D_FFN, "mlp gradient", l->storage, l->N, l->F);
}

/* A backend answers SIZE_MAX where no memory would suffice. */
static void place_workspace(layout *l, size_t bytes) {
    if (bytes > INT64_MAX / 2) {
        l->overflow = true;
        return;
    }
    place_scratch(l, QN_BUF_WORKSPACE, "workspace", QN_F32, (int64_t)(bytes + 3) / 4, 1);
}

/* ---- the plan -------------------------------------------------------------------- */

static qn_status check_options(qn_backend *backend, const qn_config *c, const qn_plan_options *o) {
    if (o->batch_size < 1 || o->batch_size > INT32_MAX) {
        return qn_error(QN_CODE_USAGE, "batch size %lld: expected a number from 1 to %d",
                        (long long)o->batch_size, INT32_MAX);
    }
    if (o->seq_len < 1 || o->seq_len > INT32_MAX) {
        return qn_error(QN_CODE_USAGE, "sequence length %lld: expected a number from 1 to %d",
                        (long long)o->seq_len, INT32_MAX);
    }
    if (o->grad_accum < 1 || o->grad_accum > INT32_MAX) {
        return qn_error(QN_CODE_USAGE, "gradient accumulation %lld: expected a number from 1 on",
                        (long long)o->grad_accum);
    }
    QN_TRY(qn_check_dtypes(backend, o));
    if (o->documents && o->mode == QN_PLAN_GENERATE) {
        return qn_error(QN_CODE_USAGE, "documents: a generated sequence is one; expected false");
    }
    if (c->arch == QN_ARCH_GPT2 && o->seq_len > c->max_seq_len) {
        return qn_error(QN_CODE_USAGE,
                        "sequence length %lld is beyond the model's %lld learned positions "
                        "(n_positions); choose a shorter one",
                        (long long)o->seq_len, (long long)c->max_seq_len);
    }
    return QN_OK;
}

qn_status qn_plan_make(qn_backend *backend, const qn_config *config, const qn_params *params,
                       const qn_plan_options *options, qn_plan *out) {
    QN_TRY(check_options(backend, config, options));
    memset(out, 0, sizeof *out);
    out->config = *config;
    out->options = *options;
    layout l = {.plan = out,
                .N = options->batch_size * options->seq_len,
                .C = config->hidden_size,
                .F = config->ffn_size,
                .D = config->head_dim,
                .q_width = config->n_heads * config->head_dim,
                .kv_width = config->n_kv_heads * config->head_dim,
                .storage = options->storage,
                .train = options->mode == QN_PLAN_TRAIN,
                .keep_all = options->recompute != QN_RECOMPUTE_BLOCK,
                .keep_cheap = options->recompute == QN_RECOMPUTE_NONE};
    place_state(&l, params);
    place_inputs(&l);
    place_block(&l);
    place_head(&l);
    if (l.train) place_gradients(&l, params);
    if (!l.overflow) place_workspace(&l, qn_workspace_bytes(out, backend));
    if (l.overflow) {
        return qn_error(QN_CODE_USAGE,
                        "batch size %lld of %lld tokens: the buffers pass 2^63 bytes; choose "
                        "smaller ones",
                        (long long)options->batch_size, (long long)options->seq_len);
    }
    return QN_OK;
}

double qn_plan_flops_per_token(const qn_config *config, const qn_params *params, int64_t seq_len) {
    int64_t n = params->n_params;
    if (!config->tie_embeddings) n -= config->vocab_size * config->hidden_size;
    if (config->arch == QN_ARCH_GPT2) n -= config->max_seq_len * config->hidden_size;
    return 6.0 * (double)n +
           6.0 * (double)(config->n_layers * config->n_heads * config->head_dim) * (double)seq_len;
}
