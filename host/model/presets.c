#include <string.h>

#include "model/family.h"
#include "quern/config.h"

typedef struct preset {
    const char *name, *architecture, *description;
    int64_t vocab, layers, hidden, heads, kv_heads, head_dim, ffn, seq_len;
    double theta, eps;
    double init_std, embed_std; /* 0: the usual 0.02; as all other weights */
    bool tied;
    int64_t bos, eos; /* ids in its own vocabulary */
} preset;

#define LLAMA "LlamaForCausalLM"
#define QWEN2 "Qwen2ForCausalLM"
#define QWEN3 "Qwen3ForCausalLM"
#define GPT2 "GPT2LMHeadModel"

/* clang-format off */
static const preset presets[] = {
    /* name, class, description,
     * vocab, layers, hidden, heads, kv, head_dim, ffn, seq_len, theta, eps, init_std, embed_std, tied, bos, eos */
    {"default", QWEN3, "a small Qwen3-like model that trains in minutes on a CPU",
     4096, 4, 128, 4, 4, 32, 352, 256, 1e4, 1e-6, 0.088, 0.2, false, -1, -1},
    {"gpt2-12m", GPT2, "a small GPT-2 for short runs on a CPU",
     4096, 6, 384, 6, 6, 64, 1536, 256, 0, 1e-5, 0, 0, true, -1, -1},
    {"qwen3-26m", QWEN3, "a small Qwen3-like model for minutes on a GPU",
     4096, 8, 512, 8, 4, 64, 1408, 1024, 1e4, 1e-6, 0, 0, true, -1, -1},
    {"gpt2-124m", GPT2, "GPT-2 small, as OpenAI published it",
     50257, 12, 768, 12, 12, 64, 3072, 1024, 0, 1e-5, 0, 0, true, 50256, 50256},
    {"gpt2-355m", GPT2, "GPT-2 medium",
     50257, 24, 1024, 16, 16, 64, 4096, 1024, 0, 1e-5, 0, 0, true, 50256, 50256},
    {"gpt2-774m", GPT2, "GPT-2 large",
     50257, 36, 1280, 20, 20, 64, 5120, 1024, 0, 1e-5, 0, 0, true, 50256, 50256},
    {"gpt2-1.5b", GPT2, "GPT-2 XL",
     50257, 48, 1600, 25, 25, 64, 6400, 1024, 0, 1e-5, 0, 0, true, 50256, 50256},
    {"qwen2.5-0.5b", QWEN2, "Qwen2.5-0.5B",
     151936, 24, 896, 14, 2, 64, 4864, 32768, 1e6, 1e-6, 0, 0, true, 151643, 151643},
    {"qwen2.5-1.5b", QWEN2, "Qwen2.5-1.5B",
     151936, 28, 1536, 12, 2, 128, 8960, 131072, 1e6, 1e-6, 0, 0, true, 151643, 151643},
    {"qwen2.5-7b", QWEN2, "Qwen2.5-7B",
     152064, 28, 3584, 28, 4, 128, 18944, 131072, 1e6, 1e-6, 0, 0, false, 151643, 151643},
    {"llama3.2-1b", LLAMA, "Llama-3.2-1B, without its scaling of rotary positions",
     128256, 16, 2048, 32, 8, 64, 8192, 131072, 5e5, 1e-5, 0, 0, true, 128000, 128001},
    {"llama2-7b", LLAMA, "Llama-2-7B",
     32000, 32, 4096, 32, 32, 128, 11008, 4096, 1e4, 1e-5, 0, 0, false, 1, 2},
};
/* clang-format on */

enum { N_PRESETS = sizeof presets / sizeof *presets };

static const preset *find(const char *name) {
    for (int i = 0; i < N_PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) return &presets[i];
    }
    return NULL;
}

static const char *const names[] = {
    "default",     "gpt2-12m",  "qwen3-26m",    "gpt2-124m",    "gpt2-355m",
    "gpt2-774m",   "gpt2-1.5b", "qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b",
    "llama3.2-1b", "llama2-7b", NULL,
};
_Static_assert(sizeof names / sizeof *names == N_PRESETS + 1, "a name for each preset");

const char *const *qn_config_preset_names(void) { return names; }

const char *qn_config_preset_description(const char *name) {
    const preset *p = find(name);
    return p ? p->description : NULL;
}

static qn_status unknown(const char *name) {
    qn_status status = qn_error(QN_CODE_USAGE, "%s", names[N_PRESETS - 1]);
    for (int i = N_PRESETS - 2; i >= 0; i--) {
        qn_status longer = qn_error(QN_CODE_USAGE, "%s, %s", names[i], qn_message(status));
        qn_status_free(status);
        status = longer;
    }
    return qn_context(status, "no preset \"%s\"; the presets are", name);
}

qn_status qn_config_preset(const char *name, int64_t vocab_size, qn_config *out) {
    const preset *p = find(name);
    if (!p) return unknown(name);
    const bool own_vocab = vocab_size == 0 || vocab_size == p->vocab;
    const qn_family *family = qn_family_find(p->architecture);
    *out = (qn_config){
        .arch = family->arch,
        .vocab_size = vocab_size ? vocab_size : p->vocab,
        .n_layers = p->layers,
        .hidden_size = p->hidden,
        .n_heads = p->heads,
        .n_kv_heads = p->kv_heads,
        .head_dim = p->head_dim,
        .ffn_size = p->ffn,
        .max_seq_len = p->seq_len,
        .rope_theta = p->theta,
        .norm_eps = p->eps,
        .init_std = p->init_std > 0 ? p->init_std : 0.02,
        .embed_std = p->embed_std,
        .tie_embeddings = p->tied,
        .qkv_bias = family->qkv_bias,
        .qk_norm = family->qk_norm,
        .bos_id = own_vocab ? p->bos : -1,
        .eos_id = own_vocab ? p->eos : -1,
    };
    strcpy(out->architecture, p->architecture);
    return qn_config_check(out, name);
}
