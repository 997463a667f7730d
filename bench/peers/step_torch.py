#!/usr/bin/env python3
"""Times PyTorch's training step on the models of `quern bench step`.

    bench/peers/step_torch.py --model gpt2-124m --batch-size 16 --seq-len 1024 --json torch.json
    bench/peers/step_torch.py --device cpu --model my/config.json --batch-size 1 --seq-len 32

A model is a preset of quern's, whose config.json `quern info --save-config` writes, or the path of
a config.json. A step is what quern's is: gradients zeroed, forward and backward of each
micro-batch of random tokens, the norm of the gradient clipped, AdamW, the loss read. The model is
compiled as a whole, attention is FlashAttention, AdamW is fused. With --precision bf16 parameters,
gradients and moments are fp32, products and the residual stream bf16 by autocast, the logits cast
to fp32 for the loss. Operations a token are 6N + 6LTd, as `quern bench step` counts them;
utilisation is their share of --peak; bench/compare_step.py takes the peak from quern's record.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import torch
except ImportError as error:
    sys.exit(f"step_torch.py: PyTorch cannot be imported: {error}")
from models_torch import Transformer, flops_per_token, shape_of
from peer import describe, positive, query_gpu, write

LEARNING_RATE, BETAS, DECAY, CLIP = 1e-4, (0.9, 0.99), 0.02, 1.0


def fail(message):
    sys.exit(f"step_torch.py: {message}")


# ---- the model -----------------------------------------------------------------------------------

def save_preset(options, path):
    command = [options.quern, "info", options.model, "--save-config", path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError as error:
        fail(f"{options.quern}: {error.strerror}; --quern says where the program is, whose preset "
             f"\"{options.model}\" is")
    if done.returncode:
        fail(done.stderr.strip())


def read_config(options):
    if "/" in options.model or options.model.endswith(".json"):
        return json.loads(pathlib.Path(options.model).read_text())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "config.json")
        save_preset(options, path)
        return json.loads(pathlib.Path(path).read_text())


def make_shape(options):
    try:
        config = read_config(options)
        if options.vocab_size:
            config["vocab_size"] = options.vocab_size
        shape = shape_of(config)
    except OSError as error:
        fail(f"{options.model}: {error.strerror}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fail(f"{options.model}: {type(error).__name__} {error}")
    if options.seq_len > shape.positions:
        fail(f"--seq-len is {options.seq_len}, but {options.model} has {shape.positions} positions")
    return shape


# ---- one step ------------------------------------------------------------------------------------

def make_optimizer(model, device):
    """Matrices decay, as quern has it; fused where PyTorch can."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    fused = {"fused": True} if device.type == "cuda" else {}
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, **fused)


def flash_only(device):
    """So that no other path of scaled_dot_product_attention is timed by accident."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel(SDPBackend.FLASH_ATTENTION)


class Training:
    def __init__(self, options, shape, device):
        torch.manual_seed(1)
        self.options, self.device = options, device
        stream = torch.bfloat16 if options.precision == "bf16" else torch.float32
        self.model = Transformer(shape, options.seq_len, stream).to(device)
        self.loss_of = torch.compile(self.model) if options.compile else self.model
        self.optimizer = make_optimizer(self.model, device)
        tokens = torch.randint(shape.vocab, (options.batch_size * options.seq_len + 1,))
        tokens = tokens.to(device)
        self.tokens, self.targets = (x.view(options.batch_size, options.seq_len)
                                     for x in (tokens[:-1], tokens[1:]))

    def step(self):
        """Seconds of a step, up to the loss in the host's hands."""
        start = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        total = 0
        for _ in range(self.options.grad_accum):
            with torch.autocast(self.device.type, torch.bfloat16,
                                enabled=self.options.precision == "bf16"):
                loss = self.loss_of(self.tokens, self.targets) / self.options.grad_accum
            loss.backward()
            total = total + loss.detach()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        value = total.item()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        if not value < float("inf"):
            fail(f"the loss of a step is {value}")
        return time.perf_counter() - start


def product_rate(m, n, k, dtype, device):
    """Operations a second of a product (m,k)·(k,n): the ceiling that quern measures too."""
    a, b = torch.randn(m, k, dtype=dtype, device=device), torch.randn(k, n, dtype=dtype,
                                                                      device=device)
    for _ in range(3):
        a @ b
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.05 or calls < 3:
        for _ in range(10 if device.type == "cuda" else 1):
            a @ b
            calls += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return 2.0 * m * n * k * calls / (time.perf_counter() - start)


# ---- measuring -----------------------------------------------------------------------------------

def measure(training, options, shape, device):
    """Steps and the ceiling in turn, so that both see the same machine."""
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    product = (options.batch_size * options.seq_len, 4 * shape.width, shape.width)
    for _ in range(options.warmup):
        training.step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times, rates, memory = [], [], None
    for _ in range(options.steps):
        times.append(training.step())
        if device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(device)
        rates.append(product_rate(*product, dtype, device))
    return times, statistics.median(rates), memory


def describe_run(options, device):
    return {"bench": "step_torch", **describe(device), "model": options.model,
            "precision": options.precision,
            "scheme": "fp32 parameters, gradients and moments; bf16 autocast and residual stream"
                      if options.precision == "bf16" else "fp32",
            "compile": options.compile,
            "attention": "flash" if device.type == "cuda" else "the CPU's",
            "optimizer": "fused AdamW" if device.type == "cuda" else "AdamW",
            "batch_size": options.batch_size, "seq_len": options.seq_len,
            "grad_accum": options.grad_accum, "warmup": options.warmup, "steps": options.steps}


def figures(options, times, rate, memory, per_token, peak):
    seconds = statistics.median(times)
    tokens_per_s = options.batch_size * options.seq_len * options.grad_accum / seconds
    return {"step_seconds": seconds, "best_seconds": min(times), "worst_seconds": max(times),
            "tokens_per_s": tokens_per_s, "flops_per_token": per_token,
            "gemm_flops_per_s": rate, "share": tokens_per_s * per_token / rate,
            "peak_flops_per_s": peak,
            "utilisation": tokens_per_s * per_token / peak if peak else None,
            "memory_bytes": memory}


def show(record):
    print(f"{record['model']}, {record['precision']}, batch {record['batch_size']} × "
          f"{record['seq_len']} × {record['grad_accum']} micro-steps, on {record['device']}, "
          f"PyTorch {record['torch']}{'' if record['compile'] else ', not compiled'}")
    print(f"  step        {1e3 * record['step_seconds']:10.1f} ms (median of {record['steps']}; "
          f"best {1e3 * record['best_seconds']:.1f})")
    print(f"  tokens/s    {record['tokens_per_s']:10.0f}")
    print(f"  operations  {1e-9 * record['tokens_per_s'] * record['flops_per_token']:10.1f} GFLOP/s "
          f"({1e-6 * record['flops_per_token']:.1f} MFLOP a token)")
    print(f"  share       {record['share']:10.2f} of a matrix product's "
          f"{1e-9 * record['gemm_flops_per_s']:.1f} GFLOP/s")
    if record["utilisation"] is not None:
        print(f"  utilisation {record['utilisation']:10.1%} of "
              f"{1e-12 * record['peak_flops_per_s']:.0f} TFLOP/s")
    if record["memory_bytes"] is not None:
        print(f"  memory      {1e-9 * record['memory_bytes']:10.2f} GB at most")


# ---- the command ---------------------------------------------------------------------------------

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2-124m",
                        help="preset or config.json (default gpt2-124m)")
    parser.add_argument("--quern", default="build/quern",
                        help="the program that has the presets (default build/quern)")
    parser.add_argument("--vocab-size", type=positive, help="default: the model's own")
    parser.add_argument("--batch-size", type=positive, default=16, help="sequences (default 16)")
    parser.add_argument("--seq-len", type=positive, default=1024, help="default 1024")
    parser.add_argument("--grad-accum", type=positive, default=1, help="default 1")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16",
                        help="default bf16")
    parser.add_argument("--steps", type=positive, default=10, help="timed steps (default 10)")
    parser.add_argument("--warmup", type=positive, default=5,
                        help="steps before them, which compile (default 5)")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default cuda)")
    parser.add_argument("--peak", type=float, help="dense bf16 TFLOP/s of the card, for its "
                        "utilisation (`quern info --device` knows many)")
    parser.add_argument("--json", help="write the figures there too")
    return parser.parse_args()


def main():
    options = parse_arguments()
    device = torch.device(options.device)
    if device.type not in ("cuda", "cpu"):
        fail(f'--device is "{options.device}", expected cuda or cpu')
    if device.type == "cuda" and not torch.cuda.is_available():
        fail("PyTorch sees no GPU; --device cpu runs there")
    if options.compile and not hasattr(torch, "compile"):
        fail(f"PyTorch {torch.__version__} has no torch.compile; --no-compile goes without")
    shape = make_shape(options)
    with flash_only(device):
        training = Training(options, shape, device)
        times, rate, memory = measure(training, options, shape, device)
    record = describe_run(options, device)
    record.update(figures(options, times, rate, memory,
                          flops_per_token(training.model, options.seq_len),
                          1e12 * options.peak if options.peak else None))
    if device.type == "cuda":
        record["gpu_after"] = query_gpu(device)
    show(record)
    if options.json:
        write(options.json, record)


if __name__ == "__main__":
    main()
