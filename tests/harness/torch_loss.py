"""The losses of bench/peers/models_torch.py with the weights of Hugging Face folders, in fp32:

    python torch_loss.py SHARD B T FOLDER...

prints, for each folder, the mean over the first B sequences of T tokens of a token shard."""

import json
import re
import struct
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "peers"))
from models_torch import Transformer, shape_of  # noqa: E402

LLAMA = {"input_layernorm": "norm_1", "post_attention_layernorm": "norm_2",
         "self_attn.o_proj": "attention.out", "self_attn.q_norm": "attention.q_norm",
         "self_attn.k_norm": "attention.k_norm", "mlp.down_proj": "feed_forward.down"}
JOINED = {"attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
          "feed_forward.gate_up": ["mlp.gate_proj", "mlp.up_proj"]}
GPT2 = {"ln_1": "norm_1", "ln_2": "norm_2", "attn.c_attn": "attention.qkv",
        "attn.c_proj": "attention.out", "mlp.c_fc": "feed_forward.up",
        "mlp.c_proj": "feed_forward.down"}
TOP = {"embed_tokens": "wte", "wte": "wte", "wpe": "wpe", "norm": "norm", "ln_f": "norm",
       "lm_head": "head"}


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", entry
        begin, end = (8 + length + at for at in entry["data_offsets"])
        values = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
        tensors[re.sub(r"^(model|transformer)\.", "", name)] = values.view(entry["shape"])
    return tensors


def take_block(tensors, prefix, names, transposed):
    """The parameters of one block under this project's names."""
    block = {}
    for theirs, ours in names.items():
        for kind in ("weight", "bias"):
            value = tensors.pop(f"{prefix}{theirs}.{kind}", None)
            if value is not None:
                flip = transposed and value.dim() == 2
                block[f"{ours}.{kind}"] = value.T if flip else value
    for ours, parts in JOINED.items():
        for kind in ("weight", "bias"):
            values = [tensors.pop(f"{prefix}{part}.{kind}", None) for part in parts]
            if values[0] is not None:
                block[f"{ours}.{kind}"] = torch.cat(values)
    return block


def load(folder, seq_len):
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    tensors, state = read_safetensors(folder / "model.safetensors"), {}
    for i in range(shape.layers):
        prefix = f"h.{i}." if shape.gpt2 else f"layers.{i}."
        block = take_block(tensors, prefix, GPT2 if shape.gpt2 else LLAMA, shape.gpt2)
        state.update({f"blocks.{i}.{name}": value for name, value in block.items()})
    for name in list(tensors):
        module, kind = name.rsplit(".", 1)
        state[f"{TOP[module]}.{kind}"] = tensors.pop(name)
    state.setdefault("head.weight", state["wte.weight"])
    model = Transformer(shape, seq_len)
    if model.table is not None:
        state["table"] = model.table
    model.load_state_dict(state)
    return model


def main():
    shard, batch, seq_len = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    n = batch * seq_len
    tokens = torch.frombuffer(bytearray(shard.read_bytes()[1024:]), dtype=torch.int16).long()
    inputs, targets = (x.view(batch, seq_len) for x in (tokens[:n], tokens[1:n + 1]))
    for folder in sys.argv[4:]:
        with torch.no_grad():
            print(f"{load(Path(folder), seq_len)(inputs, targets).item():.9g}")


if __name__ == "__main__":
    main()
