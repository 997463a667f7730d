/* params.h: the parameter registry. One table lists every parameter of a model;
 * initialising, optimising, saving, importing and exporting are loops over it. */
#ifndef QUERN_PARAMS_H
#define QUERN_PARAMS_H

#include "quern/config.h"
#include "quern/status.h"
#include "quern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a parameter is to the transformer. */
typedef enum qn_role {
    QN_WTE, /* token embeddings (V,C) */
    QN_WPE, /* learned positions (P,C) */
    QN_ATTN_NORM_W,
    QN_ATTN_NORM_B,
    QN_QKV_W, /* GPT-2: (C,3C), x·W */
    QN_QKV_B,
    QN_Q_W, /* Llama: (Hq·D,C), x·Wᵀ; K and V follow it without a gap */
    QN_K_W,
    QN_V_W,
    QN_Q_B,
    QN_K_B,
    QN_V_B,
    QN_Q_NORM_W, /* (D) */
    QN_K_NORM_W,
    QN_O_W,
    QN_O_B,
    QN_MLP_NORM_W,
    QN_MLP_NORM_B,
    QN_GATE_W, /* Llama: (F,C); UP follows it without a gap */
    QN_UP_W,
    QN_FC_W, /* GPT-2: (C,F) */
    QN_FC_B,
    QN_DOWN_W,
    QN_DOWN_B,
    QN_FINAL_NORM_W,
    QN_FINAL_NORM_B,
    QN_LM_HEAD_W, /* (V,C), absent when tied to QN_WTE */
    QN_N_ROLES,
} qn_role;

typedef enum qn_init { QN_INIT_NORMAL, QN_INIT_ZEROS, QN_INIT_ONES } qn_init;

/* Which axis tensor parallelism may cut; data parallelism cuts the flat array. */
typedef enum qn_sharding { QN_SHARD_NONE, QN_SHARD_ROWS, QN_SHARD_COLUMNS } qn_sharding;

typedef struct qn_param {
    char name[96]; /* Hugging Face's, e.g. "model.layers.3.self_attn.q_proj.weight" */
    qn_role role;
    int64_t layer; /* -1 outside the blocks */
    int rank;
    int64_t shape[2];
    int64_t offset, count; /* elements in the flat parameter array */
    qn_init init;
    float init_std;
    bool decay; /* weight decay: matrices only */
    qn_sharding sharding;
} qn_param;

typedef struct qn_params {
    int count;
    qn_param *items;    /* ascending offsets */
    int64_t n_elements; /* of the flat array, padding included */
    int64_t n_params;   /* parameters proper */
    int64_t n_layers;
    int *index; /* (n_layers + 1, QN_N_ROLES): item or -1; row 0 is layer -1 */
} qn_params;

/* Rows that the flat arrays have for a table of `vocab_size` words: the next multiple of 64, so
 * that rows of logits are multiples of 128 bytes in bf16, which NVIDIA's guide to matrix
 * multiplication asks of every length for full speed on an A100 (16 bytes on others). Rows that are
 * no words stay zero, in parameters, gradients and moments, and are no parameters: no file has
 * them, no count. */
int64_t qn_table_rows(int64_t vocab_size);

/* Lays out the parameters of a checked config; each group that is used as one matrix
 * begins on 64 bytes (fp32). Released by qn_params_free. */
qn_status qn_params_make(const qn_config *config, qn_params *out);
void qn_params_free(qn_params *params);

/* The most runs of elements that an optimizer updates: one a parameter, but the rows of a matrix of
 * q, k and v one by one, as v alone may train. */
int64_t qn_params_most_segments(const qn_params *params);

/* NULL when the model has no such parameter. layer is -1 outside the blocks. */
const qn_param *qn_params_find(const qn_params *params, qn_role role, int64_t layer);

/* Writes the initial values of one parameter into host memory (count fp32): normal
 * numbers are a function of (seed, position of the parameter, element) alone. */
void qn_param_init(const qn_params *params, int item, uint64_t seed, float *out);

#ifdef __cplusplus
}
#endif
#endif
