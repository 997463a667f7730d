#!/usr/bin/env python3
"""Measures what sampling attention costs a training run: the same run with and without it.

    bench/lens_cost.py --quern build/quern --model gpt2-12m --batch-size 4 --seq-len 128
    bench/lens_cost.py --quern build-gpu/quern --backend cuda --model gpt2-124m --batch-size 16 \\
        --seq-len 1024 --json lens.json --verdicts verdicts.json

Trains on random tokens, without samples and with one every N steps, in turns that begin with one
kind and the other, so that a machine that grows faster or slower favours neither. Times are those
of log.jsonl, of blocks of N steps, each with one sample in it or none: computing it, reading it and
writing it. A block is compared with that of the other run which came as long after its beginning;
the cost is the median of all pairs, with a 95 % interval by order statistics. The goal is met where
the interval lies below it, missed where it lies above.

Exit status: 0 when the goal is met, 1 when it is missed, 3 when the interval has both, 2 when
quern fails.
"""
import argparse
import array
import json
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile

from tables import fail, is_time
from verdicts import EXIT, FAIL, NOT_MEASURED, PASS, summary, verdict, verdict_lines

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))
from runs.intervals import median_interval

GOAL = 0.01
WARM_BLOCKS = 1
SHORTEST_BLOCK = 0.05  # seconds; log.jsonl has milliseconds
SMALLEST_VOCABULARY = 256  # tokens that every model has
TRAIN_SEQUENCES, VAL_SEQUENCES = 64, 2


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quern", required=True, metavar="FILE", help="the program")
    parser.add_argument("--backend", default="auto", help="as of quern train (default: auto)")
    parser.add_argument("--precision", default="auto", help="as of quern train (default: auto)")
    parser.add_argument("--model", default="default", help="as of quern train (default: default)")
    parser.add_argument("--batch-size", type=int, default=4, metavar="B")
    parser.add_argument("--seq-len", type=int, default=128, metavar="T")
    parser.add_argument("--every", type=int, default=16, metavar="N",
                        help="steps between samples (default: 16)")
    parser.add_argument("--blocks", type=int, default=12, metavar="N",
                        help="of N steps that a run is timed for, after the first (default: 12)")
    parser.add_argument("--turns", type=int, default=2, metavar="N",
                        help="runs of each kind (default: 2)")
    parser.add_argument("--folder", metavar="DIR",
                        help="where the runs lie while they last (default: a temporary folder)")
    parser.add_argument("--json", metavar="FILE", help="write the record there")
    parser.add_argument("--verdicts", metavar="FILE", help="write the verdict there")
    options = parser.parse_args()
    for name in ("batch_size", "seq_len", "every", "blocks", "turns"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}, expected 1 or "
                         "more")
    if options.blocks * options.turns < 6:
        parser.error(f"--blocks {options.blocks} in --turns {options.turns} are too few for an "
                     "interval; expected 6 or more together")
    return options


# ---- runs -----------------------------------------------------------------------------------

def write_shard(path, tokens):
    """In llm.c's layout."""
    path.write_bytes(struct.pack("<256i", 20240520, 1, len(tokens), *[0] * 253)
                     + array.array("H", tokens).tobytes())


def write_data(folder, seq_len):
    """Without a tokenizer, so that a preset keeps its own vocabulary."""
    draw = random.Random(1)
    for name, sequences in (("train", TRAIN_SEQUENCES), ("val", VAL_SEQUENCES)):
        tokens = draw.choices(range(SMALLEST_VOCABULARY), k=sequences * seq_len + 1)
        write_shard(folder / f"{name}_000000.bin", tokens)


def train(options, folder, every):
    """(seconds at the end of each step, device) of a run, whose folder is gone afterwards."""
    run, steps = folder / "run", options.every * (options.blocks + WARM_BLOCKS)
    done = subprocess.run(
        [options.quern, "train", "--data", folder, "--run", run, "--model", options.model,
         "--backend", options.backend, "--precision", options.precision, "--documents", "off",
         "--batch-size", str(options.batch_size), "--seq-len", str(options.seq_len), "--lr", "1e-4",
         "--steps", str(steps), "--lens-every", str(every), "--eval-every", "0",
         "--save-every", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        fail(f"quern train ended with status {done.returncode}: {done.stderr.strip()}")
    try:
        return times_of(run, steps), device_of(run)
    finally:
        shutil.rmtree(run)


def times_of(run, steps):
    entries = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    times = [entry["seconds"] for entry in entries if "loss" in entry]
    if len(times) != steps or not all(map(is_time, times)):
        fail(f"log.jsonl has {len(times)} steps, expected {steps} with their seconds")
    return times


def device_of(run):
    return json.loads((run / "run.json").read_text())["environment"]["device"]


def blocks_of(times, every):
    """Seconds of each block, from the end of a step at a multiple of N to the next such end."""
    ends = times[every - 1::every][WARM_BLOCKS - 1:]
    blocks = [end - begin for begin, end in zip(ends, ends[1:])]
    if min(blocks) < SHORTEST_BLOCK:
        fail(f"{every} steps took {min(blocks):.3f} s, expected {SHORTEST_BLOCK} or more; give a "
             "larger --model, --batch-size or --seq-len")
    return blocks


def measure(options, folder):
    """The record: seconds a step without and with samples, and their cost as a share."""
    write_data(folder, options.seq_len)
    kinds, seconds, device = (0, options.every), {0: [], options.every: []}, None
    for turn in range(options.turns):
        for every in kinds if turn % 2 == 0 else kinds[::-1]:
            times, device = train(options, folder, every)
            seconds[every].append(blocks_of(times, options.every))
    costs = [[on / off - 1 for off, on in zip(*pair)] for pair in zip(*seconds.values())]
    pairs = [cost for turn in costs for cost in turn]
    low, high = median_interval(pairs)
    plain, sampled = (statistics.median(x for turn in seconds[every] for x in turn) / options.every
                      for every in kinds)
    return {"bench": "lens", "device": device, "model": options.model,
            "precision": options.precision, "batch_size": options.batch_size,
            "seq_len": options.seq_len, "every": options.every, "pairs": len(pairs),
            "step_seconds": plain, "sampled_step_seconds": sampled,
            "cost": statistics.median(pairs), "cost_low": low, "cost_high": high,
            "cost_of_turns": [statistics.median(turn) for turn in costs]}


# ---- the verdict ----------------------------------------------------------------------------

def judge(record):
    goal = (f"{record['model']} T={record['seq_len']}: attention sampled every {record['every']} "
            f"steps costs < {GOAL:.0%} of their time")
    state = (PASS if record["cost_high"] < GOAL else
             FAIL if record["cost_low"] >= GOAL else NOT_MEASURED)
    turns = ", ".join(f"{cost:+.2%}" for cost in record["cost_of_turns"])
    note = (f"{record['cost']:+.2%}, 95 % interval {record['cost_low']:+.2%} to "
            f"{record['cost_high']:+.2%}, turns {turns}; {record['pairs']} pairs of "
            f"{record['every']} steps of {1e3 * record['step_seconds']:.1f} ms")
    return verdict(goal, state, note=note)


def write_json(path, value):
    if path:
        pathlib.Path(path).write_text(json.dumps(value, indent=1) + "\n")


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="quern-lens-", dir=options.folder) as folder:
        record = measure(options, pathlib.Path(folder))
    figures = [judge(record)]
    write_json(options.json, record)
    write_json(options.verdicts, {"verdict": summary(figures), "figures": figures})
    print(*verdict_lines(figures), sep="\n")
    sys.exit(EXIT[summary(figures)])


if __name__ == "__main__":
    main()
