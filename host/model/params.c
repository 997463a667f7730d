#include "quern/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern/philox.h"

/* Where a group of parameters begins: a multiple of 64 bytes of fp32. */
enum { GROUP_ALIGNMENT = 16 };

/* What the rows of a table of words are a multiple of. */
enum { TABLE_ROWS = 64 };

typedef struct builder {
    qn_params *params;
    int64_t layer;
    const char *prefix; /* of the layer's names, "" outside the blocks */
    float std;
} builder;

/* Adds one parameter; `joined` puts it right behind the one before. */
static void add(builder *b, qn_role role, const char *name, int64_t rows, int64_t cols,
                qn_init init, float std, qn_sharding sharding, bool joined) {
    qn_params *ps = b->params;
    if (!joined) {
        ps->n_elements = (ps->n_elements + GROUP_ALIGNMENT - 1) / GROUP_ALIGNMENT * GROUP_ALIGNMENT;
    }
    qn_param *p = &ps->items[ps->count];
    *p = (qn_param){.role = role,
                    .layer = b->layer,
                    .rank = cols ? 2 : 1,
                    .shape = {rows, cols ? cols : 1},
                    .offset = ps->n_elements,
                    .count = rows * (cols ? cols : 1),
                    .init = init,
                    .init_std = std,
                    .decay = cols != 0,
                    .sharding = sharding};
    snprintf(p->name, sizeof p->name, "%s%s", b->prefix, name);
    ps->index[(b->layer + 1) * QN_N_ROLES + role] = ps->count++;
    ps->n_elements += p->count;
    ps->n_params += p->count;
}

static void add_matrix(builder *b, qn_role role, const char *name, int64_t rows, int64_t cols,
                       float std, qn_sharding sharding, bool joined) {
    add(b, role, name, rows, cols, QN_INIT_NORMAL, std, sharding, joined);
}

static void add_vector(builder *b, qn_role role, const char *name, int64_t n, qn_init init,
                       bool joined) {
    add(b, role, name, n, 0, init, 0, QN_SHARD_NONE, joined);
}

/* One row a word, and behind them the rows of none. */
static void add_table(builder *b, qn_role role, const char *name, const qn_config *c, float std) {
    add_matrix(b, role, name, c->vocab_size, c->hidden_size, std, QN_SHARD_ROWS, false);
    b->params->n_elements += (qn_table_rows(c->vocab_size) - c->vocab_size) * c->hidden_size;
}

/* The projections back into the residual stream start smaller, so that its variance
 * does not grow with depth (Radford et al., GPT-2, section 2.3). */
static float residual_std(const qn_config *c) {
    return (float)(c->init_std / sqrt(2.0 * (double)c->n_layers));
}

static float embed_std(const qn_config *c) {
    return (float)(c->embed_std > 0 ? c->embed_std : c->init_std);
}

static void add_llama(builder *b, const qn_config *c) {
    const int64_t C = c->hidden_size, F = c->ffn_size, D = c->head_dim;
    const int64_t q = c->n_heads * D, kv = c->n_kv_heads * D;
    const float out_std = residual_std(c);

    b->prefix = "model.";
    add_table(b, QN_WTE, "embed_tokens.weight", c, embed_std(c));
    for (int64_t l = 0; l < c->n_layers; l++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "model.layers.%lld.", (long long)l);
        b->prefix = prefix;
        b->layer = l;
        add_vector(b, QN_ATTN_NORM_W, "input_layernorm.weight", C, QN_INIT_ONES, false);
        add_matrix(b, QN_Q_W, "self_attn.q_proj.weight", q, C, b->std, QN_SHARD_ROWS, false);
        add_matrix(b, QN_K_W, "self_attn.k_proj.weight", kv, C, b->std, QN_SHARD_ROWS, true);
        add_matrix(b, QN_V_W, "self_attn.v_proj.weight", kv, C, b->std, QN_SHARD_ROWS, true);
        if (c->qkv_bias) {
            add_vector(b, QN_Q_B, "self_attn.q_proj.bias", q, QN_INIT_ZEROS, false);
            add_vector(b, QN_K_B, "self_attn.k_proj.bias", kv, QN_INIT_ZEROS, true);
            add_vector(b, QN_V_B, "self_attn.v_proj.bias", kv, QN_INIT_ZEROS, true);
        }
        if (c->qk_norm) {
            add_vector(b, QN_Q_NORM_W, "self_attn.q_norm.weight", D, QN_INIT_ONES, false);
            add_vector(b, QN_K_NORM_W, "self_attn.k_norm.weight", D, QN_INIT_ONES, false);
        }
        add_matrix(b, QN_O_W, "self_attn.o_proj.weight", C, q, out_std, QN_SHARD_COLUMNS, false);
        add_vector(b, QN_MLP_NORM_W, "post_attention_layernorm.weight", C, QN_INIT_ONES, false);
        add_matrix(b, QN_GATE_W, "mlp.gate_proj.weight", F, C, b->std, QN_SHARD_ROWS, false);
        add_matrix(b, QN_UP_W, "mlp.up_proj.weight", F, C, b->std, QN_SHARD_ROWS, true);
        add_matrix(b, QN_DOWN_W, "mlp.down_proj.weight", C, F, out_std, QN_SHARD_COLUMNS, false);
    }
    b->prefix = "";
    b->layer = -1;
    add_vector(b, QN_FINAL_NORM_W, "model.norm.weight", C, QN_INIT_ONES, false);
    if (!c->tie_embeddings) add_table(b, QN_LM_HEAD_W, "lm_head.weight", c, b->std);
}

static void add_gpt2(builder *b, const qn_config *c) {
    const int64_t C = c->hidden_size, F = c->ffn_size;
    const float out_std = residual_std(c);

    b->prefix = "transformer.";
    add_table(b, QN_WTE, "wte.weight", c, embed_std(c));
    add_matrix(b, QN_WPE, "wpe.weight", c->max_seq_len, C, b->std, QN_SHARD_NONE, false);
    for (int64_t l = 0; l < c->n_layers; l++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "transformer.h.%lld.", (long long)l);
        b->prefix = prefix;
        b->layer = l;
        add_vector(b, QN_ATTN_NORM_W, "ln_1.weight", C, QN_INIT_ONES, false);
        add_vector(b, QN_ATTN_NORM_B, "ln_1.bias", C, QN_INIT_ZEROS, false);
        add_matrix(b, QN_QKV_W, "attn.c_attn.weight", C, 3 * C, b->std, QN_SHARD_COLUMNS, false);
        add_vector(b, QN_QKV_B, "attn.c_attn.bias", 3 * C, QN_INIT_ZEROS, false);
        add_matrix(b, QN_O_W, "attn.c_proj.weight", C, C, out_std, QN_SHARD_ROWS, false);
        add_vector(b, QN_O_B, "attn.c_proj.bias", C, QN_INIT_ZEROS, false);
        add_vector(b, QN_MLP_NORM_W, "ln_2.weight", C, QN_INIT_ONES, false);
        add_vector(b, QN_MLP_NORM_B, "ln_2.bias", C, QN_INIT_ZEROS, false);
        add_matrix(b, QN_FC_W, "mlp.c_fc.weight", C, F, b->std, QN_SHARD_COLUMNS, false);
        add_vector(b, QN_FC_B, "mlp.c_fc.bias", F, QN_INIT_ZEROS, false);
        add_matrix(b, QN_DOWN_W, "mlp.c_proj.weight", F, C, out_std, QN_SHARD_ROWS, false);
        add_vector(b, QN_DOWN_B, "mlp.c_proj.bias", C, QN_INIT_ZEROS, false);
    }
    b->prefix = "";
    b->layer = -1;
    add_vector(b, QN_FINAL_NORM_W, "transformer.ln_f.weight", C, QN_INIT_ONES, false);
    add_vector(b, QN_FINAL_NORM_B, "transformer.ln_f.bias", C, QN_INIT_ZEROS, false);
    if (!c->tie_embeddings) add_table(b, QN_LM_HEAD_W, "lm_head.weight", c, b->std);
}

int64_t qn_table_rows(int64_t vocab_size) {
    return (vocab_size + TABLE_ROWS - 1) / TABLE_ROWS * TABLE_ROWS;
}

qn_status qn_params_make(const qn_config *config, qn_params *out) {
    const size_t rows = (size_t)config->n_layers + 1, cells = rows * QN_N_ROLES;
    *out = (qn_params){.n_layers = config->n_layers,
                       .items = calloc(cells, sizeof *out->items),
                       .index = malloc(cells * sizeof *out->index)};
    if (!out->items || !out->index) {
        qn_params_free(out);
        return qn_error(QN_CODE_MEMORY, "no memory for a table of %zu parameters", cells);
    }
    memset(out->index, -1, cells * sizeof *out->index);
    builder b = {.params = out, .layer = -1, .std = (float)config->init_std};
    if (config->arch == QN_ARCH_GPT2) {
        add_gpt2(&b, config);
    } else {
        add_llama(&b, config);
    }
    return QN_OK;
}

void qn_params_free(qn_params *params) {
    free(params->items);
    free(params->index);
    *params = (qn_params){0};
}

int64_t qn_params_most_segments(const qn_params *params) {
    int64_t count = 0;
    for (int i = 0; i < params->count; i++)
        count += params->items[i].role == QN_QKV_W ? params->items[i].shape[0] : 1;
    return count;
}

const qn_param *qn_params_find(const qn_params *params, qn_role role, int64_t layer) {
    int item = params->index[(layer + 1) * QN_N_ROLES + role];
    return item < 0 ? NULL : &params->items[item];
}

void qn_param_init(const qn_params *params, int item, uint64_t seed, float *out) {
    const qn_param *p = &params->items[item];
    if (p->init != QN_INIT_NORMAL) {
        for (int64_t i = 0; i < p->count; i++) out[i] = p->init == QN_INIT_ONES ? 1.0f : 0.0f;
        return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->count; i += 4) {
        qn_philox r = qn_philox_at(seed, QN_RANDOM_INIT, (uint32_t)item, (uint64_t)i / 4);
        float z[4];
        qn_normal_pair(r.x[0], r.x[1], z);
        qn_normal_pair(r.x[2], r.x[3], z + 2);
        for (int64_t j = i; j < i + 4 && j < p->count; j++) out[j] = z[j - i] * p->init_std;
    }
}
