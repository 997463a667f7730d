"""Stand-ins for what scripts/gpu_check.sh calls on a machine with a GPU. FAULT in the environment
names the one fault of a run."""
import itertools
import json
import os
import sys
from pathlib import Path

# Each stands for the program of its name.
STANDINS = {
    "nvidia-smi": r"""
case "$FAULT $*" in
no-gpu*) echo "No devices were found"; exit 6 ;;
*compute_cap\ *) echo 9.0 ;;
*memory.total\ *nounits) echo 81559 ;;
*) echo "Sample GPU" ;;
esac""",
    "nvcc": "printf 'nvcc\\nCuda compilation tools, release 13.0\\nbuild\\n'",
    "cmake": r"""
[ "$1" = --build ] || exit 0
[ "$FAULT" != build ] || { echo "error: no such kernel"; exit 1; }
mkdir -p "$2"
cp "$(dirname "$0")/quern-of-test" "$2/quern" """,
    "ctest": r"""
case "$FAULT $*" in
no-sanitize*show-only*) echo '{"tests": []}' ;;
*show-only*) echo '{"tests": [{"command": ["prim", "--gtest_filter=A.b"]},
    {"command": ["prim", "--gtest_filter=A.c"]}, {"command": ["a b/norm"]}]}' ;;
"conformance "*" -R ^cuda\\. "* | "models "*" -R ^(model|train)\\. "*) echo "1 failed"; exit 8 ;;
"primitives "*" -R ^prim\\. "*) echo "1 failed"; exit 8 ;;
skipped*prim*) echo "The following tests did not run:" ;;
hang*prim*) sleep 60 ;;
esac""",
    "compute-sanitizer": r"""
[ "$4" = 99 ] || exit 1
case "$FAULT $5 $6" in
"sanitizers prim "*) echo "ERROR SUMMARY: 1 error"; exit 99 ;;
*" prim --gtest_filter=A.b:A.c" | *" a b/norm --gtest_filter=*") echo "$2 $5" ;;
*) exit 1 ;;
esac""",
    "quern-of-test": 'exec "$PYTHON_OF_TEST" -BS "$STANDINS" quern "$@"',
    "python": r"""
case "$FAULT $*" in
no-torch*_torch.py*) echo "no module named torch"; exit 1 ;;
*attention_torch*--paths\ math*) exit 0 ;;
*_torch.py*) exec "$PYTHON_OF_TEST" -BS "$STANDINS" torch "$@" ;;
*) exec "$PYTHON_OF_TEST" -B "$@" ;;
esac""",
}


def figures(seconds):
    return {"run": True, "seconds": seconds, "max_error": 1e-3, "floor_seconds": 0.9 * seconds}


# Parameters in millions, GB of a plan besides its sequences and for each of them.
PRESETS = {"default": (2, 0.1, 0.01), "gpt2-12m": (12, 1, 0.1),
           "gpt2-124m": (124, 2, 0.5), "gpt2-1.5b": (1558, 28, 2.7),
           "qwen2.5-0.5b": (494, 9, 1.2), "qwen2.5-1.5b": (1544, 28, 2.7),
           "qwen2.5-7b": (7616, 122, 5)}
CARD = "NVIDIA H100 80GB HBM3"


def word(args, name, default=None):
    return args[args.index(name) + 1] if name in args else default


def shape_of(args):
    if word(args, "--precision", "bf16") != "bf16":
        sys.exit("the goals are of bf16")
    return {"model": word(args, "--model"), "batch_size": int(word(args, "--batch-size")),
            "seq_len": int(word(args, "--seq-len")), "grad_accum": int(word(args, "--grad-accum"))}


def plan(args, fault):
    """Prints what quern plan prints first and last."""
    if fault == "plan":
        sys.exit("quern: no such device")
    if word(args, "--model") == "gpt2-12m":
        sys.exit("quern plan: sequence length 1024 is beyond the model's 256 positions")
    parameters, fixed, each = PRESETS[word(args, "--model")]
    free = {"tight": 20, "tiny": 0.01}.get(fault, 79)
    given = float(word(args, "--memory", free))
    fits = fixed + each * int(word(args, "--batch-size")) <= min(given, free)
    print(f"{word(args, '--model')} (GPT2LMHeadModel): {parameters:.2f} M parameters, 1 GFLOP\n\n"
          f"given: {given:.1f} GB; the plan {'fits' if fits else 'does not fit: try less'}")


def step_record(args, fault):
    """60,000 tokens/s of 9.5 GFLOP; each operation at nine tenths of its floor's speed."""
    shape = shape_of(args)
    seconds = shape["batch_size"] * shape["seq_len"] * shape["grad_accum"] / 60000
    floor = 0.5 if fault == "bandwidth" else 0.9
    return {"bench": "step", "device": CARD, "precision": "bf16", **shape, "step_seconds": seconds,
            "tokens_per_s": 60000, "flops_per_token": 9.5e9, "gemm_flops_per_s": 7e14,
            "share": 0.8, "peak_flops_per_s": 989.5e12, "idle": 0.5 if fault == "idle" else 0.01,
            "idle_source": "traced",
            "operations": [{"op": "adamw", "calls": 1, "seconds": 0.1 * seconds, "flops": 0,
                            "bytes": 1e9, "floor_seconds": floor * 0.1 * seconds}]}


def train(args, fault):
    """Steps of 100 ms; a sample takes 3 ms more, so 0.19 % of 16 steps."""
    if fault == "no-lens":
        sys.exit("quern: out of memory")
    run, every = Path(word(args, "--run")), int(word(args, "--lens-every"))
    sample = {"slow-lens": 0.03}.get(fault, 0.003)
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"environment": {"device": CARD}}))
    seconds, lines = 0, []
    for step in range(1, int(word(args, "--steps")) + 1):
        hot = fault == "noisy-lens" and every and step % 32 < 16
        seconds += 0.1 * (1.02 if hot else 1) + (sample if every and step % every == 0 else 0)
        lines.append(json.dumps({"step": step, "loss": 5, "seconds": round(seconds, 3)}) + "\n")
    lines.append('{"step": 1, "val_loss": 5}\n')
    (run / "log.jsonl").write_text("".join(lines))


def step_torch_record(args, fault):
    speed = 2.0 if fault == "slow-step" else 0.9
    record = step_record(args, fault)
    return {**record, "bench": "step_torch", "step_seconds": record["step_seconds"] / speed,
            "tokens_per_s": speed * record["tokens_per_s"], "torch": "2.9", "scheme": "autocast",
            "compile": True, "attention": "flash", "optimizer": "fused AdamW",
            **({"device": "Another GPU"} if fault == "another" else {})}


def write_record(args, record):
    Path(word(args, "--json")).write_text(json.dumps(record))


def quern(args, fault):
    """Stands for the program."""
    if args[0] != "info" and word(args, "--backend") != "cuda":
        sys.exit("quern: that would be the CPU's")
    if args[0] == "info":
        print("quern\nSample GPU\n\npresets:")
        print(*(f"  {name}   a model of its size" for name in PRESETS), sep="\n")
    elif args[0] == "plan":
        plan(args, fault)
    elif args[0] == "train":
        train(args, fault)
    elif args[1] == "step":
        if fault == "one-model" and word(args, "--model") == "gpt2-124m":
            sys.exit("quern: out of memory")
        write_record(args, step_record(args, fault))
    else:
        write_record(args, quern_record(args))


def torch(args, fault):
    """Stands for bench/peers/*_torch.py."""
    if "step_torch" in args[0]:
        if not Path(word(args, "--quern")).exists():
            sys.exit("step_torch.py: there is no program that has the presets")
        write_record(args, step_torch_record(args, fault))
    else:
        write_record(args, torch_record(fault == "slow"))


def quern_record(args):
    def option(name):
        return int(word(args, name))

    rows = []
    for causal, name in itertools.product((True, False), ("forward", "backward")):
        row = {"seq_len": option("--seq-lens"), "pass": name, "causal": causal,
               "naive": figures(5e-3), "fused": figures(1e-3)}
        if name == "forward" and "--stats" in args:
            row["fused_stats"] = figures(1.02e-3)
        rows.append(row)
    return {"bench": "attention", "device": "Sample GPU", "dtype": "bf16",
            "batch": option("--batch"), "heads": option("--heads"), "kv_heads": option("--heads"),
            "head_dim": option("--head-dim"), "window": 0, "results": rows}


def torch_record(slow):
    return {"bench": "attention_torch", "device": "Sample GPU", "dtype": "bfloat16", "results": [
        {"path": "flash", "pass": name, "batch": 16384 // t, "heads": 2048 // d,
         "kv_heads": 2048 // d, "head_dim": d, "seq_len": t, "causal": causal,
         "seconds": 0.5e-3 if slow else 1.01e-3}
        for d, t, causal, name in itertools.product((64, 128), (1024, 2048, 4096, 8192, 16384),
                                                    (True, False), ("forward", "backward"))]}


def install(folder):
    """Puts the stand-ins there, and says with what environment they run."""
    folder.mkdir()
    for name, body in STANDINS.items():
        path = folder / name
        path.write_text("#!/bin/bash\n" + body + "\n")
        path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "STANDINS": __file__,
            "PYTHON": str(folder / "python"), "PYTHON_OF_TEST": sys.executable}


if __name__ == "__main__":
    {"quern": quern, "torch": torch}[sys.argv[1]](sys.argv[2:], os.environ["FAULT"])
