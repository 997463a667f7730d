#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/family.h"
#include "quern/config.h"

/* The file under way. */
typedef struct source {
    const char *path;
    const json_t *root;
    const qn_family *family;
} source;

static qn_status unsupported(const source *s, const char *key, const char *expected) {
    return qn_json_misfit(s->root, s->path, key, QN_CODE_UNSUPPORTED, expected);
}

static bool given(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

static qn_status get_size(const source *s, const char *key, int64_t *out) {
    return qn_json_int(s->root, s->path, key, 1, QN_MAX_SIZE, out);
}

static qn_status get_size_or(const source *s, const char *key, int64_t fallback, int64_t *out) {
    return qn_json_int_or(s->root, s->path, key, 1, QN_MAX_SIZE, fallback, out);
}

static qn_status get_number_or(const source *s, const char *key, double fallback, double *out) {
    return qn_json_number_or(s->root, s->path, key, 0, 1e30, fallback, out);
}

/* A switch that quern has in one position only. */
static qn_status want_bool(const source *s, const char *key, bool wanted) {
    bool value;
    QN_TRY(qn_json_bool_or(s->root, s->path, key, wanted, &value));
    return value == wanted ? QN_OK : unsupported(s, key, wanted ? "true" : "false");
}

static qn_status want_string(const source *s, const char *key, const char *wanted) {
    const char *value;
    QN_TRY(qn_json_string_or(s->root, s->path, key, wanted, &value));
    if (strcmp(value, wanted) == 0) return QN_OK;
    char expected[64];
    snprintf(expected, sizeof expected, "\"%s\", the only one that quern has", wanted);
    return unsupported(s, key, expected);
}

/* ---- which model ---- */

static qn_status find_family(source *s) {
    const char *known = "one of LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, "
                        "Qwen3ForCausalLM, GPT2LMHeadModel";
    const json_t *names = json_object_get(s->root, "architectures");
    const char *type;
    QN_TRY(qn_json_string_or(s->root, s->path, "model_type", NULL, &type));
    if (given(s->root, "architectures")) {
        const char *name = json_string_value(json_array_get(names, 0));
        s->family = json_array_size(names) == 1 && name ? qn_family_find(name) : NULL;
        if (!s->family) return unsupported(s, "architectures", known);
        if (type && strcmp(type, s->family->model_type) != 0) {
            return qn_error(QN_CODE_INVALID, "%s: model_type is \"%s\"; %s expects \"%s\"", s->path,
                            type, name, s->family->model_type);
        }
        return QN_OK;
    }
    if (!type) return unsupported(s, "architectures", known);
    for (s->family = qn_families; s->family->architecture; s->family++) {
        if (strcmp(s->family->model_type, type) == 0) return QN_OK;
    }
    return unsupported(s, "model_type", "one of llama, mistral, qwen2, qwen3, gpt2");
}

/* ---- rotary positions ---- */

/* Checks rope_scaling or its successor rope_parameters, which must not scale; *theta is
 * its rope_theta, 0 when it has none. */
static qn_status load_rope_object(const source *s, const char *key, double *theta) {
    *theta = 0;
    if (!given(s->root, key)) return QN_OK;
    const json_t *rope = json_object_get(s->root, key), *value;
    if (!json_is_object(rope)) {
        return qn_json_misfit(s->root, s->path, key, QN_CODE_INVALID, "an object or null");
    }
    const char *name, *type, *old_type;
    QN_TRY(qn_json_string_or(rope, s->path, "type", "default", &old_type));
    QN_TRY(qn_json_string_or(rope, s->path, "rope_type", old_type, &type));
    if (strcmp(type, "default") != 0) {
        return unsupported(s, key, "rope_type \"default\": quern does not scale rotary positions");
    }
    json_object_foreach((json_t *)rope, name, value) {
        if (json_is_object(value)) return unsupported(s, key, "the same for all layers");
    }
    double rotated;
    QN_TRY(qn_json_number_or(rope, s->path, "partial_rotary_factor", 0, 1, 1, &rotated));
    if (rotated != 1) return unsupported(s, key, "partial_rotary_factor 1");
    return qn_json_number_or(rope, s->path, "rope_theta", 1e-6, 1e30, 0, theta);
}

static qn_status load_rope(const source *s, double *theta) {
    double plain, in_scaling, in_parameters, rotated;
    QN_TRY(qn_json_number_or(s->root, s->path, "partial_rotary_factor", 0, 1, 1, &rotated));
    if (rotated != 1) return unsupported(s, "partial_rotary_factor", "1");
    QN_TRY(load_rope_object(s, "rope_scaling", &in_scaling));
    QN_TRY(load_rope_object(s, "rope_parameters", &in_parameters));
    QN_TRY(qn_json_number_or(s->root, s->path, "rope_theta", 1e-6, 1e30, 0, &plain));
    const double candidates[] = {plain, in_scaling, in_parameters};
    *theta = 0;
    for (int i = 0; i < 3; i++) {
        if (*theta != 0 && candidates[i] != 0 && candidates[i] != *theta) {
            return qn_error(QN_CODE_INVALID,
                            "%s: \"rope_theta\" is both %.9g and %.9g; expected one value", s->path,
                            *theta, candidates[i]);
        }
        if (candidates[i] != 0) *theta = candidates[i];
    }
    if (*theta == 0) *theta = 10000;
    return QN_OK;
}

/* ---- sliding window ---- */

/* sliding_window itself: absent means 4096, as in transformers, and null none. */
static qn_status load_window_size(const source *s, int64_t *window) {
    int64_t fallback = json_object_get(s->root, "sliding_window") ? 0 : 4096;
    return get_size_or(s, "sliding_window", fallback, window);
}

/* Qwen's layers from max_window_layers on have the window; quern wants all or none. */
static qn_status load_switched_window(const source *s, int64_t n_layers, int64_t *window) {
    bool on;
    QN_TRY(qn_json_bool_or(s->root, s->path, "use_sliding_window", false, &on));
    *window = 0;
    if (!on) return QN_OK;
    QN_TRY(load_window_size(s, window));
    if (given(s->root, "layer_types")) return QN_OK;
    int64_t without;
    QN_TRY(qn_json_int_or(s->root, s->path, "max_window_layers", 0, QN_MAX_SIZE, 28, &without));
    if (without >= n_layers) *window = 0;
    if (*window && without > 0) {
        return unsupported(s, "max_window_layers",
                           "0, or no sliding window: quern has it in all layers or in none");
    }
    return QN_OK;
}

/* layer_types must name one kind of attention for all layers, and agree with the window. */
static qn_status apply_layer_types(const source *s, int64_t n_layers, int64_t *window) {
    if (!given(s->root, "layer_types")) return QN_OK;
    const json_t *types = json_object_get(s->root, "layer_types");
    const char *first = json_string_value(json_array_get(types, 0));
    if (!first || json_array_size(types) != (size_t)n_layers) {
        return qn_json_misfit(s->root, s->path, "layer_types", QN_CODE_INVALID,
                              "a name for each layer");
    }
    for (size_t i = 1; i < (size_t)n_layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, first) != 0) {
            return unsupported(s, "layer_types", "the same for all layers");
        }
    }
    const bool full = strcmp(first, "full_attention") == 0;
    if (!full && strcmp(first, "sliding_attention") != 0) {
        return unsupported(s, "layer_types", "full_attention or sliding_attention");
    }
    if (full && s->family->window == QN_WINDOW_SWITCHED) *window = 0;
    if (full == (*window != 0)) {
        return qn_json_misfit(s->root, s->path, "layer_types", QN_CODE_INVALID,
                              *window ? "sliding_attention, as sliding_window is set"
                                      : "full_attention, as there is no sliding_window");
    }
    return QN_OK;
}

static qn_status load_window(const source *s, int64_t n_layers, int64_t *window) {
    *window = 0;
    if (s->family->window == QN_WINDOW_PLAIN) QN_TRY(load_window_size(s, window));
    if (s->family->window == QN_WINDOW_SWITCHED) {
        QN_TRY(load_switched_window(s, n_layers, window));
    }
    return apply_layer_types(s, n_layers, window);
}

/* ---- the two architectures ---- */

static qn_status load_llama(const source *s, qn_config *c) {
    QN_TRY(get_size(s, "hidden_size", &c->hidden_size));
    QN_TRY(get_size(s, "num_hidden_layers", &c->n_layers));
    QN_TRY(get_size(s, "num_attention_heads", &c->n_heads));
    QN_TRY(get_size(s, "intermediate_size", &c->ffn_size));
    QN_TRY(get_size_or(s, "max_position_embeddings", s->family->max_seq_len, &c->max_seq_len));

    const bool has_kv = json_object_get(s->root, "num_key_value_heads") != NULL;
    const int64_t kv = !has_kv && s->family->n_kv_heads ? s->family->n_kv_heads : c->n_heads;
    QN_TRY(get_size_or(s, "num_key_value_heads", kv, &c->n_kv_heads));
    if (!given(s->root, "head_dim") && !s->family->head_dim && c->hidden_size % c->n_heads) {
        return qn_error(QN_CODE_INVALID,
                        "%s: num_attention_heads is %" PRId64 "; without a head_dim it must "
                        "divide hidden_size, %" PRId64,
                        s->path, c->n_heads, c->hidden_size);
    }
    const int64_t dim = s->family->head_dim ? s->family->head_dim : c->hidden_size / c->n_heads;
    QN_TRY(get_size_or(s, "head_dim", dim, &c->head_dim));

    QN_TRY(get_number_or(s, "rms_norm_eps", 1e-6, &c->norm_eps));
    QN_TRY(load_rope(s, &c->rope_theta));
    QN_TRY(load_window(s, c->n_layers, &c->sliding_window));
    QN_TRY(want_string(s, "hidden_act", "silu"));
    QN_TRY(want_bool(s, "mlp_bias", false));
    /* Qwen2's biases are a matter of course; elsewhere the key adds one to o_proj too. */
    if (!s->family->qkv_bias) QN_TRY(want_bool(s, "attention_bias", false));
    return qn_json_bool_or(s->root, s->path, "tie_word_embeddings", false, &c->tie_embeddings);
}

static qn_status load_gpt2(const source *s, qn_config *c) {
    QN_TRY(get_size(s, "n_embd", &c->hidden_size));
    QN_TRY(get_size(s, "n_layer", &c->n_layers));
    QN_TRY(get_size(s, "n_head", &c->n_heads));
    QN_TRY(get_size_or(s, "n_inner", 4 * c->hidden_size, &c->ffn_size));
    QN_TRY(get_size_or(s, "n_positions", s->family->max_seq_len, &c->max_seq_len));
    if (c->hidden_size % c->n_heads) {
        return qn_error(QN_CODE_INVALID,
                        "%s: n_head is %" PRId64 "; expected a divisor of n_embd, %" PRId64,
                        s->path, c->n_heads, c->hidden_size);
    }
    c->n_kv_heads = c->n_heads;
    c->head_dim = c->hidden_size / c->n_heads;
    QN_TRY(get_number_or(s, "layer_norm_epsilon", 1e-5, &c->norm_eps));
    QN_TRY(want_string(s, "activation_function", "gelu_new"));
    QN_TRY(want_bool(s, "scale_attn_weights", true));
    QN_TRY(want_bool(s, "scale_attn_by_inverse_layer_idx", false));
    QN_TRY(want_bool(s, "add_cross_attention", false));
    return qn_json_bool_or(s->root, s->path, "tie_word_embeddings", true, &c->tie_embeddings);
}

/* A token id, or the first of a list of them. Null is none; an absent one is the
 * family's, where the vocabulary has that. */
static qn_status load_token_id(const source *s, const char *key, int64_t fallback,
                               int64_t vocab_size, int64_t *out) {
    const json_t *value = json_object_get(s->root, key);
    const json_t *id = json_is_array(value) ? json_array_get(value, 0) : value;
    *out = -1;
    if (!value) {
        if (fallback < vocab_size) *out = fallback;
        return QN_OK;
    }
    if (json_is_null(value)) return QN_OK;
    *out = json_integer_value(id);
    if (!json_is_integer(id) || *out < 0 || *out >= vocab_size) {
        char expected[64];
        snprintf(expected, sizeof expected, "null or an id from 0 to %" PRId64, vocab_size - 1);
        return qn_json_misfit(s->root, s->path, key, QN_CODE_INVALID, expected);
    }
    return QN_OK;
}

static qn_status load(source *s, qn_config *c) {
    QN_TRY(find_family(s));
    *c = (qn_config){
        .arch = s->family->arch, .qkv_bias = s->family->qkv_bias, .qk_norm = s->family->qk_norm};
    snprintf(c->architecture, sizeof c->architecture, "%s", s->family->architecture);
    if (given(s->root, "quantization_config")) {
        return unsupported(s, "quantization_config", "none: quern has no quantized weights");
    }
    QN_TRY(get_size(s, "vocab_size", &c->vocab_size));
    QN_TRY(get_number_or(s, "initializer_range", 0.02, &c->init_std));
    QN_TRY(get_number_or(s, "embedding_initializer_range", 0, &c->embed_std));
    QN_TRY(c->arch == QN_ARCH_GPT2 ? load_gpt2(s, c) : load_llama(s, c));
    QN_TRY(load_token_id(s, "bos_token_id", s->family->bos_id, c->vocab_size, &c->bos_id));
    QN_TRY(load_token_id(s, "eos_token_id", s->family->eos_id, c->vocab_size, &c->eos_id));
    return qn_config_check(c, s->path);
}

qn_status qn_config_load(const char *path, qn_config *out) {
    json_t *root;
    QN_TRY(qn_json_load(path, &root));
    source s = {.path = path, .root = root};
    qn_status status = load(&s, out);
    json_decref(root);
    return status;
}
