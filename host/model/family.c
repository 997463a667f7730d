#include "model/family.h"

#include <string.h>

const qn_family qn_families[] = {
    {.architecture = "LlamaForCausalLM",
     .model_type = "llama",
     .arch = QN_ARCH_LLAMA,
     .max_seq_len = 2048,
     .bos_id = 1,
     .eos_id = 2},
    {.architecture = "MistralForCausalLM",
     .model_type = "mistral",
     .arch = QN_ARCH_LLAMA,
     .window = QN_WINDOW_PLAIN,
     .n_kv_heads = 8,
     .max_seq_len = 131072,
     .bos_id = 1,
     .eos_id = 2},
    {.architecture = "Qwen2ForCausalLM",
     .model_type = "qwen2",
     .arch = QN_ARCH_LLAMA,
     .qkv_bias = true,
     .window = QN_WINDOW_SWITCHED,
     .n_kv_heads = 32,
     .max_seq_len = 32768,
     .bos_id = -1,
     .eos_id = -1},
    {.architecture = "Qwen3ForCausalLM",
     .model_type = "qwen3",
     .arch = QN_ARCH_LLAMA,
     .qk_norm = true,
     .window = QN_WINDOW_SWITCHED,
     .n_kv_heads = 32,
     .head_dim = 128,
     .max_seq_len = 32768,
     .bos_id = -1,
     .eos_id = -1},
    {.architecture = "GPT2LMHeadModel",
     .model_type = "gpt2",
     .arch = QN_ARCH_GPT2,
     .qkv_bias = true,
     .max_seq_len = 1024,
     .bos_id = 50256,
     .eos_id = 50256},
    {.architecture = NULL},
};

const qn_family *qn_family_find(const char *architecture) {
    for (const qn_family *f = qn_families; f->architecture; f++) {
        if (strcmp(f->architecture, architecture) == 0) return f;
    }
    return NULL;
}
