#!/usr/bin/env python3
"""Times PyTorch's attention on the shapes of `quern bench attention`.

    bench/peers/attention_torch.py --json torch.json
    bench/peers/attention_torch.py --device cpu --head-dims 32 --seq-lens 64 --tokens 128

The paths are those of torch.nn.attention.sdpa_kernel: flash (FlashAttention-2), cudnn and
math. A path that refuses a shape is recorded with its reason. q, k, v and their gradients lie
in memory as (batch, sequence, heads, head_dim), as quern's do. Forward and backward are timed
apart: backward runs alone, over a graph that is kept. Before each timed call a buffer larger
than the last-level cache is overwritten, so that inputs come from memory. Operations are
counted as everyone does: forward 4*B*H*T*T*D, half of that if causal; backward 2.5 times that.
"""
import argparse
import itertools
import math
import statistics
import sys
import time
import warnings

try:
    import torch
except ImportError as error:
    sys.exit(f"attention_torch.py: PyTorch cannot be imported: {error}")
from peer import describe, positive, query_gpu, write
try:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    SDPA = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
            "math": SDPBackend.MATH}
except (ImportError, AttributeError):
    SDPA = {}  # before PyTorch 2.5; math is written out then

PATHS = ("flash", "cudnn", "math")


# ---- one problem ---------------------------------------------------------------------------

class Problem:
    """Inputs of one shape, as (B, H, T, D) views of (B, T, H, D) memory."""

    def __init__(self, options, head_dim, seq_len, causal):
        self.causal = causal
        self.seq_len = seq_len
        self.head_dim = head_dim
        self.batch = max(1, options.tokens // seq_len)
        self.heads = options.heads or max(1, options.width // head_dim)
        self.kv_heads = options.kv_heads or self.heads
        if self.heads % self.kv_heads:
            sys.exit(f"attention_torch.py: {self.heads} heads, expected a multiple of "
                     f"--kv-heads {self.kv_heads}")
        self.flops = 4.0 * self.batch * self.heads * seq_len ** 2 * head_dim / (2 if causal else 1)

    def draw(self, device, dtype):
        generator = torch.Generator(device).manual_seed(1)

        def normal(heads):
            shape = (self.batch, self.seq_len, heads, self.head_dim)
            x = torch.randn(shape, device=device, generator=generator, dtype=torch.float32)
            return x.to(dtype).transpose(1, 2)

        self.q = normal(self.heads).requires_grad_()
        self.k = normal(self.kv_heads).requires_grad_()
        self.v = normal(self.kv_heads).requires_grad_()
        self.dout = normal(self.heads)

    def shape(self):
        return {"batch": self.batch, "heads": self.heads, "kv_heads": self.kv_heads,
                "head_dim": self.head_dim, "seq_len": self.seq_len, "causal": self.causal}


def written_out(p):
    """The math path of a PyTorch that has no sdpa_kernel."""
    group = p.heads // p.kv_heads
    k, v = (x.repeat_interleave(group, 1) for x in (p.k, p.v))
    scores = p.q @ k.transpose(-2, -1) / math.sqrt(p.head_dim)
    if p.causal:
        hidden = torch.ones(p.seq_len, p.seq_len, dtype=torch.bool, device=p.q.device).triu(1)
        scores = scores.masked_fill(hidden, -math.inf)
    return scores.softmax(-1) @ v


def forward(path, p):
    if path not in SDPA:
        if path == "math":
            return written_out(p)
        raise RuntimeError(f"PyTorch {torch.__version__} has no sdpa_kernel with {path}")
    grouped = {"enable_gqa": True} if p.kv_heads != p.heads else {}
    with sdpa_kernel(SDPA[path]):
        return torch.nn.functional.scaled_dot_product_attention(p.q, p.k, p.v, is_causal=p.causal,
                                                                **grouped)


# ---- time ------------------------------------------------------------------------------------

class Clock:
    """Seconds of calls, each alone and after the cache has been overwritten."""

    def __init__(self, device):
        self.on_gpu = device.type == "cuda"
        cache = 16 << 20
        if self.on_gpu:
            cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 128 << 20)
        # Large enough that the host has queued the call before the device is through with it.
        self.spoiler_bytes = max(4 * cache, 512 << 20) if self.on_gpu else 2 * cache
        self.spoiler = torch.empty(self.spoiler_bytes, dtype=torch.uint8, device=device)

    def once(self, call):
        self.spoiler.zero_()
        if not self.on_gpu:
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        last.synchronize()
        return 1e-3 * first.elapsed_time(last)

    def median(self, call, warmup, repeats):
        for _ in range(warmup):
            call()
        times = [self.once(call) for _ in range(repeats)]
        return statistics.median(times), min(times), max(times)


def figures(timing, flops):
    seconds, fastest, slowest = timing
    return {"seconds": seconds, "fastest": fastest, "slowest": slowest,
            "flops_per_s": flops / seconds}


def reason(error, warned):
    """What PyTorch said: the error, and the warnings in which it explains a refusal."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return "out of memory"
    said = [str(error)] + [str(w.message) for w in warned]
    return " ".join(" ".join(said).split())[:600] or type(error).__name__


def time_pass(name, path, p, flops, measure):
    """The figures of one pass, or why it did not run."""
    row = {"path": path, "pass": name, **p.shape()}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            row.update(figures(measure(), flops))
        except (RuntimeError, MemoryError) as error:
            row["refused"] = reason(error, warned)
    return row


def time_passes(path, p, clock, options):
    def time_forward():
        with torch.no_grad():
            return clock.median(lambda: forward(path, p), options.warmup, options.repeats)

    def time_backward():
        out = forward(path, p)
        return clock.median(
            lambda: torch.autograd.grad(out, (p.q, p.k, p.v), p.dout, retain_graph=True),
            options.warmup, options.repeats)

    return [time_pass("forward", path, p, p.flops, time_forward),
            time_pass("backward", path, p, 2.5 * p.flops, time_backward)]


# ---- the record ----------------------------------------------------------------------------------

def describe_run(device, clock, options):
    return {"bench": "attention_torch", **describe(device), "dtype": options.dtype,
            "math": "sdpa_kernel" if "math" in SDPA else "written out: matmul, softmax, matmul",
            "clock": "CUDA events" if clock.on_gpu else "host", "warmup": options.warmup,
            "repeats": options.repeats, "statistic": "median",
            "cache": f"{clock.spoiler_bytes} bytes overwritten before each timed call"}


def show(row):
    mask = "causal" if row["causal"] else "full"
    what = (f"{row['path']:6} D={row['head_dim']:<4} T={row['seq_len']:<6} {mask:7}"
            f"{row['pass']:9}")
    if "refused" in row:
        print(f"{what} refused: {row['refused']}", flush=True)
    else:
        print(f"{what}{1e3 * row['seconds']:10.3f} ms {1e-12 * row['flops_per_s']:9.3f} TFLOP/s",
              flush=True)


def measure(options, device):
    clock = Clock(device)
    dtype = getattr(torch, options.dtype)
    record = describe_run(device, clock, options)
    record["results"] = []
    shapes = [(d, t, mask == "causal") for d, t, mask in
              itertools.product(options.head_dims, options.seq_lens, options.masks)]
    for path, (head_dim, seq_len, causal) in itertools.product(options.paths, shapes):
        p = Problem(options, head_dim, seq_len, causal)
        p.draw(device, dtype)
        for row in time_passes(path, p, clock, options):
            record["results"].append(row)
            show(row)
        del p
        if clock.on_gpu:
            torch.cuda.empty_cache()
        if options.json:
            write(options.json, record)
    if clock.on_gpu:
        record["gpu_after"] = query_gpu(device)
    return record


# ---- the command -----------------------------------------------------------------------------

def list_of(kind):
    def parse(text):
        return [kind(word) for word in text.split(",")]
    return parse


def one_of(*names):
    def parse(text):
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text}: expected some of {', '.join(names)}")
        return text
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default cuda)")
    parser.add_argument("--dtype", default="bfloat16",
                        choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--paths", type=list_of(one_of(*PATHS)),
                        help="default flash,cudnn,math; on the CPU math")
    parser.add_argument("--head-dims", type=list_of(positive), default=[64, 128],
                        help="default 64,128")
    parser.add_argument("--seq-lens", type=list_of(positive),
                        default=[1024, 2048, 4096, 8192, 16384],
                        help="default 1024 to 16384, doubling")
    parser.add_argument("--masks", type=list_of(one_of("causal", "full")),
                        default=["causal", "full"], help="default causal,full")
    parser.add_argument("--tokens", type=positive, default=16384,
                        help="batch times sequence (default 16384)")
    parser.add_argument("--width", type=positive, default=2048,
                        help="heads times head_dim (default 2048)")
    parser.add_argument("--heads", type=positive, help="default: width over head_dim")
    parser.add_argument("--kv-heads", type=positive, help="default: as many as heads")
    parser.add_argument("--warmup", type=positive, default=3, help="default 3")
    parser.add_argument("--repeats", type=positive, default=20, help="timed calls (default 20)")
    parser.add_argument("--json", help="write the figures there too")
    return parser.parse_args()


def main():
    options = parse_arguments()
    device = torch.device(options.device)
    if device.type not in ("cuda", "cpu"):
        sys.exit(f'attention_torch.py: --device is "{options.device}", expected cuda or cpu')
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("attention_torch.py: PyTorch sees no GPU; --device cpu runs the math path there")
    options.paths = options.paths or (["math"] if device.type == "cpu" else list(PATHS))
    record = measure(options, device)
    if options.json:
        write(options.json, record)
    if all("refused" in row for row in record["results"]):
        sys.exit("attention_torch.py: every path refused every shape")


if __name__ == "__main__":
    main()
