#include "quern/config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "model/family.h"

static qn_status check_size(const char *name, const char *field, int64_t value, int64_t min,
                            int64_t max) {
    if (value >= min && value <= max) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s: %s is %" PRId64 "; expected %" PRId64 " to %" PRId64,
                    name, field, value, min, max);
}

static qn_status check_sizes(const qn_config *c, const char *name) {
    QN_TRY(check_size(name, "vocab_size", c->vocab_size, 1, QN_MAX_SIZE));
    QN_TRY(check_size(name, "n_layers", c->n_layers, 1, QN_MAX_LAYERS));
    QN_TRY(check_size(name, "hidden_size", c->hidden_size, 1, QN_MAX_SIZE));
    QN_TRY(check_size(name, "n_heads", c->n_heads, 1, QN_MAX_SIZE));
    QN_TRY(check_size(name, "n_kv_heads", c->n_kv_heads, 1, c->n_heads));
    QN_TRY(check_size(name, "head_dim", c->head_dim, 8, QN_MAX_HEAD_DIM));
    QN_TRY(check_size(name, "ffn_size", c->ffn_size, 1, QN_MAX_SIZE));
    QN_TRY(check_size(name, "max_seq_len", c->max_seq_len, 1, QN_MAX_SIZE));
    QN_TRY(check_size(name, "sliding_window", c->sliding_window, 0, QN_MAX_SIZE));
    QN_TRY(check_size(name, "bos_id", c->bos_id, -1, c->vocab_size - 1));
    return check_size(name, "eos_id", c->eos_id, -1, c->vocab_size - 1);
}

static qn_status check_heads(const qn_config *c, const char *name) {
    if (c->head_dim % 8) {
        return qn_error(QN_CODE_INVALID, "%s: head_dim is %" PRId64 "; expected a multiple of 8",
                        name, c->head_dim);
    }
    if (c->n_heads % c->n_kv_heads) {
        return qn_error(QN_CODE_INVALID,
                        "%s: n_kv_heads is %" PRId64 "; expected a divisor of n_heads, %" PRId64,
                        name, c->n_kv_heads, c->n_heads);
    }
    if (c->arch != QN_ARCH_GPT2) return QN_OK;
    if (c->n_kv_heads != c->n_heads || c->n_heads * c->head_dim != c->hidden_size) {
        return qn_error(QN_CODE_INVALID,
                        "%s: %" PRId64 " heads, %" PRId64 " of them for keys, of %" PRId64
                        " elements; GPT-2 has keys for each head, and heads that fill its "
                        "hidden_size, %" PRId64,
                        name, c->n_heads, c->n_kv_heads, c->head_dim, c->hidden_size);
    }
    return QN_OK;
}

static qn_status check_numbers(const qn_config *c, const char *name) {
    if (!(c->norm_eps > 0 && c->norm_eps <= 1)) {
        return qn_error(QN_CODE_INVALID, "%s: norm_eps is %g; expected more than 0, at most 1",
                        name, c->norm_eps);
    }
    if (!(c->init_std >= 0 && c->init_std <= 10)) {
        return qn_error(QN_CODE_INVALID, "%s: init_std is %g; expected 0 to 10", name, c->init_std);
    }
    if (!(c->embed_std >= 0 && c->embed_std <= 10)) {
        return qn_error(QN_CODE_INVALID, "%s: embed_std is %g; expected 0 to 10", name,
                        c->embed_std);
    }
    if (c->arch == QN_ARCH_LLAMA && !(c->rope_theta > 0 && isfinite(c->rope_theta))) {
        return qn_error(QN_CODE_INVALID, "%s: rope_theta is %g; expected more than 0", name,
                        c->rope_theta);
    }
    return QN_OK;
}

/* A config must be what its class is, or transformers would compute something else. */
static qn_status check_family(const qn_config *c, const char *name) {
    if (!memchr(c->architecture, 0, sizeof c->architecture)) {
        return qn_error(QN_CODE_INVALID, "%s: architecture has no end", name);
    }
    const qn_family *f = qn_family_find(c->architecture);
    if (!f || f->arch != c->arch) {
        return qn_error(
            QN_CODE_INVALID, "%s: architecture is \"%s\"; expected %s", name, c->architecture,
            c->arch == QN_ARCH_GPT2 ? "GPT2LMHeadModel"
                                    : "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM or "
                                      "Qwen3ForCausalLM");
    }
    if (f->qkv_bias != c->qkv_bias || f->qk_norm != c->qk_norm) {
        return qn_error(QN_CODE_INVALID, "%s: qkv_bias %d, qk_norm %d; %s has %d and %d", name,
                        c->qkv_bias, c->qk_norm, f->architecture, f->qkv_bias, f->qk_norm);
    }
    if (c->sliding_window && f->window == QN_WINDOW_NONE) {
        return qn_error(QN_CODE_INVALID, "%s: sliding_window is %" PRId64 "; %s has none", name,
                        c->sliding_window, f->architecture);
    }
    return QN_OK;
}

/* In floating point, which cannot overflow here; biases and norms are left out. */
static qn_status check_total(const qn_config *c, const char *name) {
    const double C = (double)c->hidden_size, F = (double)c->ffn_size, V = (double)c->vocab_size;
    const double q = (double)c->n_heads * (double)c->head_dim;
    const double kv = (double)c->n_kv_heads * (double)c->head_dim;
    const bool gpt2 = c->arch == QN_ARCH_GPT2;
    const double block = 2 * C * (q + kv) + (gpt2 ? 2 : 3) * C * F;
    const double tables = V * C * (c->tie_embeddings ? 1 : 2);
    const double positions = gpt2 ? (double)c->max_seq_len * C : 0;
    const double total = (double)c->n_layers * block + tables + positions;
    if (total <= 0x1p40) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s: about %.3g parameters; expected at most 2^40", name,
                    total);
}

qn_status qn_config_check(const qn_config *config, const char *name) {
    QN_TRY(check_family(config, name));
    QN_TRY(check_sizes(config, name));
    QN_TRY(check_heads(config, name));
    QN_TRY(check_numbers(config, name));
    return check_total(config, name);
}
