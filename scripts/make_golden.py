#!/usr/bin/env python3
"""Makes tests/golden/*.json: what Hugging Face's `transformers` computes for small models.

usage: make_golden.py [FOLDER]

Weights are not stored: like quern, this script makes them from a seed (Philox4x32-10 and
Box-Muller over the parameters in the order of quern's registry), then moves norms and
biases off their ones and zeros by 0.25·sin(1 + element + 31·parameter). A file holds the
config as transformers writes it, tokens (B,T+1), the mean loss of predicting each next
token, the logits at position T−1 of each sequence, and of each parameter's gradient its
length and its product with cos(0), cos(1), …

Computes in float64 where transformers lets it (its norms, rotary angles and softmax are
fp32). Needs `pip install torch transformers numpy`; made with torch 2.7.1 and
transformers 4.53.3.
"""

import json
import math
import os
import sys

import numpy as np
import torch
import transformers

SEED = 7
VOCAB, WIDTH, HEADS, FFN, LAYERS, POSITIONS = 61, 32, 4, 44, 2, 40
SEQUENCES, LENGTH = 2, 16
USE_INIT = 1  # quern/philox.h, QN_RANDOM_INIT

LLAMA = dict(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS,
             num_attention_heads=HEADS, num_key_value_heads=HEADS, intermediate_size=FFN,
             max_position_embeddings=POSITIONS, initializer_range=0.2, rms_norm_eps=1e-5,
             bos_token_id=None, eos_token_id=None, tie_word_embeddings=False)
GROUPED = {**LLAMA, "num_key_value_heads": HEADS // 2}
GPT2 = dict(vocab_size=VOCAB, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=FFN,
            n_positions=POSITIONS, initializer_range=0.2, bos_token_id=None, eos_token_id=None)

MODELS = {
    "llama": (transformers.LlamaConfig, LLAMA),
    "llama_tied_groups": (transformers.LlamaConfig, {**GROUPED, "tie_word_embeddings": True}),
    "mistral": (transformers.MistralConfig, {**GROUPED, "sliding_window": 5}),
    "qwen2": (transformers.Qwen2Config, {**GROUPED, "rope_theta": 1e6}),
    "qwen3": (transformers.Qwen3Config,
              {**GROUPED, "head_dim": 16, "tie_word_embeddings": True, "use_sliding_window": True,
               "sliding_window": 6, "max_window_layers": 0}),
    "gpt2": (transformers.GPT2Config, GPT2),
}


def philox(seed, use, stream, count):
    """The words of counters 0 … count−1, (4, count)."""
    mask = np.uint64(0xFFFFFFFF)
    index = np.arange(count, dtype=np.uint64)
    x = [index & mask, index >> np.uint64(32), np.full_like(index, stream),
         np.full_like(index, use)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(p1 >> np.uint64(32)) ^ x[1] ^ np.uint64(k0), p1 & mask,
             (p0 >> np.uint64(32)) ^ x[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(x)


def normal(stream, count):
    """Standard normal numbers in fp32: words 0 and 1 of a counter give two, 2 and 3 two."""
    uniform = (philox(SEED, USE_INIT, stream, (count + 3) // 4).astype(np.float64) + 0.5) * 2**-32
    radius, angle = np.sqrt(-2 * np.log(uniform[[0, 2]])), 2 * math.pi * uniform[[1, 3]]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(4, -1).T.reshape(-1)[:count].astype(np.float32)


def registry(state):
    """Names of the parameters in the order of quern's registry."""
    if "transformer.wte.weight" in state:
        block = [f"{part}.{kind}" for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2",
                                               "mlp.c_fc", "mlp.c_proj")
                 for kind in ("weight", "bias")]
        first, last = ["transformer.wte.weight", "transformer.wpe.weight"], ["weight", "bias"]
        prefix, final = "transformer.h", [f"transformer.ln_f.{kind}" for kind in last]
    else:
        block = ["input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight",
                 "self_attn.v_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.bias",
                 "self_attn.v_proj.bias", "self_attn.q_norm.weight", "self_attn.k_norm.weight",
                 "self_attn.o_proj.weight", "post_attention_layernorm.weight",
                 "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"]
        first, prefix = ["model.embed_tokens.weight"], "model.layers"
        final = ["model.norm.weight", "lm_head.weight"]
    blocks = [f"{prefix}.{layer}.{name}" for layer in range(LAYERS) for name in block]
    return [name for name in first + blocks + final if name in state]


def initial(item, name, shape):
    count = math.prod(shape)
    if len(shape) == 1:
        base = np.zeros(count) if name.endswith("bias") else np.ones(count)
        values = base + 0.25 * np.sin(1.0 + np.arange(count) + 31.0 * item)
        return values.astype(np.float32)
    into_residual = name.endswith(("o_proj.weight", "down_proj.weight", "c_proj.weight"))
    std = np.float32(0.2 / math.sqrt(2 * LAYERS) if into_residual else 0.2)
    return normal(item, count) * std


def figures(config_class, settings):
    config = config_class(**settings, attn_implementation="eager")
    torch.set_default_dtype(torch.float64)
    model = transformers.AutoModelForCausalLM.from_config(config).double().eval()
    parameters = dict(model.named_parameters())
    names = registry(parameters)
    assert sorted(names) == sorted(parameters), set(parameters) ^ set(names)
    with torch.no_grad():
        for item, name in enumerate(names):
            shape = tuple(parameters[name].shape)
            parameters[name].copy_(torch.from_numpy(initial(item, name, shape)).reshape(shape))
    tokens = np.random.default_rng(SEED).integers(0, VOCAB, (SEQUENCES, LENGTH + 1))
    ids = torch.from_numpy(tokens)
    out = model(input_ids=ids, labels=ids)
    out.loss.backward()
    gradients = {}
    for name in names:
        g = parameters[name].grad.double().reshape(-1)
        gradients[name] = [g.norm().item(), (g * torch.arange(len(g)).double().cos()).sum().item()]
    config.architectures = [type(model).__name__]
    return {"made_with": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "config": json.loads(config.to_json_string()), "seed": SEED,
            "tokens": tokens.tolist(), "loss": out.loss.item(),
            "logits": out.logits[:, LENGTH - 1].tolist(), "gradients": gradients}


def rounded(value):
    """Nine digits, more than fp32 has."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def lines(golden):
    """A line a key, so that a change is seen in a diff."""
    body = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items())
    return "{\n" + body + "\n}\n"


def main():
    default = os.path.join(os.path.dirname(__file__), "..", "tests", "golden")
    folder = sys.argv[1] if len(sys.argv) > 1 else default
    for name, (config_class, settings) in MODELS.items():
        with open(os.path.join(folder, name + ".json"), "w") as file:
            file.write(lines(rounded(figures(config_class, settings))))


if __name__ == "__main__":
    main()
