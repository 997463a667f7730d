#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/family.h"
#include "quern/config.h"
#include "quern/files.h"

static json_t *token_id(int64_t id) { return id < 0 ? json_null() : json_integer(id); }

/* The keys that all families share. */
static json_t *pack_common(const qn_config *c, const qn_family *family) {
    return json_pack("{s:[s], s:s, s:s, s:o, s:o, s:o, s:b, s:f, s:b}", "architectures",
                     family->architecture, "model_type", family->model_type, "torch_dtype",
                     "float32", "vocab_size", json_integer(c->vocab_size), "bos_token_id",
                     token_id(c->bos_id), "eos_token_id", token_id(c->eos_id),
                     "tie_word_embeddings", (int)c->tie_embeddings, "initializer_range",
                     c->init_std, "use_cache", 1);
}

static json_t *pack_llama(const qn_config *c) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:n, s:s, s:f}", "hidden_size",
                     json_integer(c->hidden_size), "num_hidden_layers", json_integer(c->n_layers),
                     "num_attention_heads", json_integer(c->n_heads), "num_key_value_heads",
                     json_integer(c->n_kv_heads), "head_dim", json_integer(c->head_dim),
                     "intermediate_size", json_integer(c->ffn_size), "max_position_embeddings",
                     json_integer(c->max_seq_len), "rope_theta", c->rope_theta, "rms_norm_eps",
                     c->norm_eps, "rope_scaling", "hidden_act", "silu", "attention_dropout", 0.0);
}

static json_t *pack_gpt2(const qn_config *c) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:f, s:s, s:f, s:f, s:f}", "n_embd",
                     json_integer(c->hidden_size), "n_layer", json_integer(c->n_layers), "n_head",
                     json_integer(c->n_heads), "n_inner", json_integer(c->ffn_size), "n_positions",
                     json_integer(c->max_seq_len), "layer_norm_epsilon", c->norm_eps,
                     "activation_function", "gelu_new", "attn_pdrop", 0.0, "embd_pdrop", 0.0,
                     "resid_pdrop", 0.0);
}

static json_t *pack_window(const qn_config *c, const qn_family *family) {
    json_t *window = c->sliding_window ? json_integer(c->sliding_window) : json_null();
    if (family->window == QN_WINDOW_PLAIN) return json_pack("{s:o}", "sliding_window", window);
    return json_pack("{s:o, s:b, s:o}", "sliding_window", window, "use_sliding_window",
                     c->sliding_window != 0, "max_window_layers",
                     json_integer(c->sliding_window ? 0 : c->n_layers));
}

/* Moves the members of `more` into `object`; false when memory ran out. */
static bool merge(json_t *object, json_t *more) {
    bool merged = object && more && json_object_update(object, more) == 0;
    json_decref(more);
    return merged;
}

static bool pack(const qn_config *c, const qn_family *family, json_t *object) {
    /* A key of ours, which transformers passes over. */
    if (c->embed_std > 0 &&
        !merge(object, json_pack("{s:f}", "embedding_initializer_range", c->embed_std))) {
        return false;
    }
    if (!merge(object, c->arch == QN_ARCH_GPT2 ? pack_gpt2(c) : pack_llama(c))) return false;
    return family->window == QN_WINDOW_NONE || merge(object, pack_window(c, family));
}

/* The fewest digits, 15 to 17, that give every number of the config back exactly. */
static int real_digits(const qn_config *c) {
    const double values[] = {c->rope_theta, c->norm_eps, c->init_std, c->embed_std};
    int digits = 15;
    for (int i = 0; i < 4; i++) {
        for (char text[32]; digits < 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, values[i]);
            if (strtod(text, NULL) == values[i]) break;
        }
    }
    return digits;
}

qn_status qn_config_save(const qn_config *config, const char *path) {
    QN_TRY(qn_config_check(config, path));
    const qn_family *family = qn_family_find(config->architecture);
    json_t *object = pack_common(config, family);
    char *text = NULL;
    if (pack(config, family, object)) {
        text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(real_digits(config)));
    }
    json_decref(object);
    if (!text) return qn_error(QN_CODE_MEMORY, "%s: not enough memory to write it", path);
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the ending zero: files end with a line */
    qn_status status = qn_file_write(path, text, length + 1);
    free(text);
    return status;
}
