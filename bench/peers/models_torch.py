"""GPT-2 and the Llama family in plain PyTorch, from a Hugging Face config.json: the models that
quern trains (host/model/transformer.c), made for speed under torch.compile.

Projections of one input are one product (q, k and v; gate and up). Parameters are fp32; the
residual stream has the dtype that is asked for, and norms, rotary positions and the loss are
computed in fp32.
"""
import dataclasses

import torch
from torch import nn
from torch.nn import functional as F

FAMILIES = ("GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
            "Qwen3ForCausalLM")


@dataclasses.dataclass
class Shape:
    gpt2: bool  # LayerNorm, learned positions, GELU; else RMSNorm, RoPE, SwiGLU
    vocab: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    positions: int
    eps: float
    theta: float
    tied: bool
    qkv_bias: bool
    qk_norm: bool


def shape_of(config):
    """Of a config.json; a ValueError says what of it is not here."""
    family = (config.get("architectures") or ["nothing"])[0]
    if family not in FAMILIES:
        raise ValueError(f"architecture {family}, expected one of {', '.join(FAMILIES)}")
    if config.get("rope_scaling"):
        raise ValueError("rope_scaling is not supported")
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        raise ValueError("sliding_window is not supported")
    if family == "GPT2LMHeadModel":
        width, heads = config["n_embd"], config["n_head"]
        return Shape(True, config["vocab_size"], config["n_layer"], width, heads, heads,
                     width // heads, config.get("n_inner") or 4 * width, config["n_positions"],
                     config.get("layer_norm_epsilon", 1e-5), 0.0,
                     config.get("tie_word_embeddings", True), True, False)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    return Shape(False, config["vocab_size"], config["num_hidden_layers"], width, heads,
                 config.get("num_key_value_heads") or heads,
                 config.get("head_dim") or width // heads, config["intermediate_size"],
                 config["max_position_embeddings"], config.get("rms_norm_eps", 1e-6),
                 config.get("rope_theta", 1e4), config.get("tie_word_embeddings", False),
                 family == "Qwen2ForCausalLM", family == "Qwen3ForCausalLM")


# ---- layers ----------------------------------------------------------------------------------

class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)


class LayerNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x):
        return F.layer_norm(x.float(), self.weight.shape, self.weight, self.bias,
                            self.eps).to(x.dtype)


def norm_of(shape):
    return (LayerNorm if shape.gpt2 else RMSNorm)(shape.width, shape.eps)


def rotary_table(shape, seq_len):
    """cos and sin (2, T, D/2) of rotate_half's angles."""
    powers = torch.arange(0, shape.head_dim, 2).double() / shape.head_dim
    angles = torch.arange(seq_len).double()[:, None] * shape.theta ** -powers
    return torch.stack((angles.cos(), angles.sin())).float()


def rotate(x, table):
    cos, sin = table[0], table[1]
    low, high = x.float().chunk(2, -1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), -1).to(x.dtype)


def attend_written_out(q, k, v):
    """Causal attention for a PyTorch before 2.0."""
    seq_len = q.shape[2]
    hidden = torch.ones(seq_len, seq_len, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-2, -1)).float() * q.shape[-1] ** -0.5
    return scores.masked_fill(hidden, -torch.inf).softmax(-1).to(v.dtype) @ v


# Which query head reads which key head: since PyTorch 2.5 its attention knows.
VERSION = tuple(int(part) for part in torch.__version__.split(".")[:2])


def attend(q, k, v):
    group = q.shape[1] // k.shape[1]
    if group > 1 and VERSION >= (2, 5):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    if group > 1:
        k, v = (x.repeat_interleave(group, 1) for x in (k, v))
    if VERSION < (2, 0):
        return attend_written_out(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        rows = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        self.qkv = nn.Linear(shape.width, rows, bias=shape.qkv_bias)
        self.out = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=shape.gpt2)
        if shape.qk_norm:
            self.q_norm = RMSNorm(shape.head_dim, shape.eps)
            self.k_norm = RMSNorm(shape.head_dim, shape.eps)

    def forward(self, x, table):
        s = self.shape
        batch, seq_len, _ = x.shape
        qkv = self.qkv(x).view(batch, seq_len, -1, s.head_dim).transpose(1, 2)
        q, k, v = qkv.split((s.heads, s.kv_heads, s.kv_heads), 1)
        if s.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if table is not None:
            q, k = rotate(q, table), rotate(k, table)
        return self.out(attend(q, k, v).transpose(1, 2).reshape(batch, seq_len, -1))


class Gelu(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.up = nn.Linear(shape.width, shape.ffn)
        self.down = nn.Linear(shape.ffn, shape.width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class SwiGlu(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_up = nn.Linear(shape.width, 2 * shape.ffn, bias=False)
        self.down = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.norm_1, self.norm_2 = norm_of(shape), norm_of(shape)
        self.attention = Attention(shape)
        self.feed_forward = (Gelu if shape.gpt2 else SwiGlu)(shape)

    def forward(self, x, table):
        x = x + self.attention(self.norm_1(x), table)
        return x + self.feed_forward(self.norm_2(x))


# ---- the model -------------------------------------------------------------------------------

class Transformer(nn.Module):
    def __init__(self, shape, seq_len, stream=torch.float32):
        """`stream`: the dtype of the residual stream."""
        super().__init__()
        self.shape, self.stream = shape, stream
        self.wte = nn.Embedding(shape.vocab, shape.width)
        self.wpe = nn.Embedding(shape.positions, shape.width) if shape.gpt2 else None
        self.register_buffer("table", None if shape.gpt2 else rotary_table(shape, seq_len))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = norm_of(shape)
        self.head = nn.Linear(shape.width, shape.vocab, bias=False)
        if shape.tied:
            self.head.weight = self.wte.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        """The mean loss in nats; tokens and targets (B, T)."""
        x = self.wte(tokens)
        if self.shape.gpt2:
            x = x + self.wpe.weight[:tokens.shape[1]]
        x = x.to(self.stream)
        for block in self.blocks:
            x = block(x, self.table)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def flops_per_token(model, seq_len):
    """As quern counts (host/model/plan.c): 6 for each parameter that is multiplied with, and
    6·T·Hq·D a layer for causal attention."""
    s = model.shape
    n = sum(p.numel() for p in model.parameters())
    n -= 0 if s.tied else s.vocab * s.width
    n -= s.positions * s.width if s.gpt2 else 0
    return 6.0 * n + 6.0 * s.layers * s.heads * s.head_dim * seq_len
