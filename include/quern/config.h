/* config.h: the shape of a model, as Hugging Face's config.json writes it. */
#ifndef QUERN_CONFIG_H
#define QUERN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_arch {
    QN_ARCH_LLAMA, /* RMSNorm, RoPE, SwiGLU: Llama, Mistral, Qwen2, Qwen3 */
    QN_ARCH_GPT2,  /* LayerNorm, learned positions, GELU (tanh), biases everywhere */
} qn_arch;

typedef struct qn_config {
    qn_arch arch;
    char architecture[64];  /* Hugging Face's class name, e.g. "LlamaForCausalLM" */
    int64_t vocab_size;     /* rows of the embedding table */
    int64_t n_layers;       /* blocks */
    int64_t hidden_size;    /* width of the residual stream */
    int64_t n_heads;        /* query heads */
    int64_t n_kv_heads;     /* key and value heads; divides n_heads */
    int64_t head_dim;       /* elements of a head; n_heads·head_dim need not be hidden_size */
    int64_t ffn_size;       /* width between the feed-forward's projections */
    int64_t max_seq_len;    /* longest sequence; for GPT-2 the rows of the position table */
    double rope_theta;      /* base of the rotary angles; 0 for GPT-2 */
    double norm_eps;        /* added to the mean square or the variance */
    double init_std;        /* standard deviation of initial weights */
    double embed_std;       /* of initial token embeddings; 0: init_std */
    int64_t sliding_window; /* a query sees this many last positions, itself included; 0: off */
    bool tie_embeddings;    /* the classifier is the embedding table */
    bool qkv_bias;          /* q, k, v projections have a bias (Qwen2, GPT-2) */
    bool qk_norm;           /* RMSNorm over each head of q and k (Qwen3) */
    int64_t bos_id, eos_id; /* token ids; -1: none */
} qn_config;

/* Reads a config.json of LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM,
 * Qwen3ForCausalLM or GPT2LMHeadModel. Widths, layers, heads and the vocabulary must be
 * there; other absent keys take Hugging Face's defaults. Unknown keys are skipped, dropout
 * among them, which quern does not apply. A setting that quern cannot run (a rope_scaling,
 * another activation, quantization, …) is QN_CODE_UNSUPPORTED. Of several eos ids the
 * first is taken. What is returned has passed qn_config_check. */
qn_status qn_config_load(const char *path, qn_config *out);

/* Writes a config.json that `transformers` opens; whole or not at all. Checks first. */
qn_status qn_config_save(const qn_config *config, const char *path);

/* Checks that the sizes are possible together: positive, heads that divide, a head_dim
 * that attention has, no more than 2^40 parameters; and that the architecture has what
 * is set (biases Qwen2, qk_norm Qwen3, a window all but Llama and GPT-2). `name` (a file,
 * a preset) begins the message of an error. */
qn_status qn_config_check(const qn_config *config, const char *name);

/* A named shape, with its own vocabulary or, when vocab_size is not 0, with that one; then
 * it has no bos and eos, which the caller sets as their tokenizer has them.
 * An unknown name is QN_CODE_USAGE and lists them. */
qn_status qn_config_preset(const char *name, int64_t vocab_size, qn_config *out);

/* Names of the presets, ended by NULL. */
const char *const *qn_config_preset_names(void);
/* One line about a preset; NULL for an unknown name. */
const char *qn_config_preset_description(const char *name);

#ifdef __cplusplus
}
#endif
#endif
