#!/usr/bin/env python3
"""Compares quern's training steps with PyTorch's: tables and a verdict on each goal.

    bench/compare_step.py quern-*.json torch-*.json --markdown table.md

Takes the records of `quern bench step --json` and of bench/peers/step_torch.py, from one machine.
Utilisation is the share of the card's dense bf16 peak, which the records name (--peak where they
do not); the share is that of a matrix product that each program measured between its own steps.
A table for each of quern's records tells the time of each operation beside its floor, and of the
kernels below it. Exit status:
0 when every goal is met, 1 when one is missed, 3 when none is missed but some could not be judged,
2 when the records cannot be read or do not go together.
"""
import argparse
import json
import pathlib
import sys

from tables import fail, is_amount, is_time, markdown_table, number, read_record, text_table
from verdicts import EXIT, NOT_MEASURED, judge, summary, verdict, verdict_lines

SEQ_LEN, PRECISION = 1024, "bf16"  # of the steps to judge
MODELS = ("gpt2-124m", "qwen2.5-0.5b", "qwen2.5-1.5b")
FASTER = ("gpt2-124m", "qwen2.5-1.5b")  # than PyTorch

# LLM.Q (github.com/IST-DASLab/llmq, benchmarks/H100x1.md) trains Qwen2.5-1.5B in bf16 at T=1024 at
# 58,800 to 58,900 tokens/s, 57 % of the peak of one H100 with 989 TFLOP/s, which are the SXM cards:
# batch 32, and 16 micro-steps share an update of parameters and moments in bf16.
LLMQ_MODEL, LLMQ_TOKENS_PER_S = "qwen2.5-1.5b", 58900
TOKENS_PER_S_GOAL, UTILISATION_GOAL = 55000, 0.55

FLOOR_GOAL = 0.85  # of the bandwidth of a copy, for operations that only move memory
SMALL_SHARE = 0.01  # of a step: an operation below it is not judged
IDLE_GOAL = 0.02  # by a trace: events around operations miss what passes between their kernels

PROGRAMS = ("quern", "torch")
HEAD = ("model", "precision", "batch", "T", "accum", "quern ms", "torch ms", "quern tokens/s",
        "torch tokens/s", "quern MFU", "torch MFU", "quern share", "torch share", "torch GB",
        "quern/torch")
LEGEND = ("MFU: share of the card's dense bf16 peak; share: of a matrix product in the same run; "
          "quern/torch: speed of quern over speed of PyTorch")
SAME_MODEL = 1e-6  # operations a token are printed with nine digits


# ---- records --------------------------------------------------------------------------------

def key_of(record):
    return (record["model"], record["precision"], record["batch_size"], record["seq_len"],
            record["grad_accum"])


def kernels_of(record):
    """Those of all operations, and those of none."""
    lists = [x.get("kernels", []) for x in record.get("operations", [])]
    return [x for kernels in (*lists, record.get("other_kernels", [])) for x in kernels]


class Records:
    """A record of each program, by model and shape; the best of several."""

    def __init__(self, paths):
        self.rows = {program: {} for program in PROGRAMS}
        takers = {"step": lambda record: self.add("quern", record),
                  "step_torch": lambda record: self.add("torch", record)}
        for path in paths:
            read_record(path, takers, "a record of quern bench step or of step_torch.py")

    def add(self, program, record):
        if not all(is_time(record[name]) for name in ("step_seconds", "tokens_per_s",
                                                      "flops_per_token", "gemm_flops_per_s")):
            raise ValueError("a figure is no positive number")
        amounts = [x[name] for x in record.get("operations", [])
                   for name in ("calls", "seconds", "flops", "bytes", "floor_seconds")]
        amounts += [x[name] for x in kernels_of(record) for name in ("launches", "seconds")]
        if record.get("idle") is not None:
            amounts.append(record["idle"])
        if not all(map(is_amount, amounts)):
            raise ValueError("a figure of an operation, a kernel, or idle, is no number from 0 on")
        if not all(isinstance(x["kernel"], str) for x in kernels_of(record)):
            raise ValueError("a kernel has no name")
        best = self.rows[program].setdefault(key_of(record), record)
        if record["step_seconds"] < best["step_seconds"]:
            self.rows[program][key_of(record)] = record

    def all(self):
        return [row for rows in self.rows.values() for row in rows.values()]

    def pairs(self):
        """(key, quern's record or None, PyTorch's or None), in order."""
        keys = sorted({*self.rows["quern"], *self.rows["torch"]})
        return [(key, self.rows["quern"].get(key), self.rows["torch"].get(key)) for key in keys]


def device_of(record):
    """quern's name of a CPU tells its threads; PyTorch has none."""
    return "cpu" if " thread" in record["device"] else record["device"]


def check(records):
    """That what stands side by side is one model on one device."""
    devices = sorted({device_of(row) for row in records.all()})
    if len(devices) > 1:
        fail(f"different devices: {'; '.join(devices)}")
    for key, quern, torch in records.pairs():
        if not quern or not torch:
            continue
        ratio = quern["flops_per_token"] / torch["flops_per_token"]
        if abs(ratio - 1) > SAME_MODEL:
            fail(f"{key[0]} is not the same model: {quern['flops_per_token']:.9g} operations a "
                 f"token in quern, {torch['flops_per_token']:.9g} in PyTorch")


# ---- figures --------------------------------------------------------------------------------

def peak_of(records, given):
    if given:
        return 1e12 * given
    for rows in records.rows.values():
        peaks = {row.get("peak_flops_per_s") for row in rows.values()} - {None, 0}
        if len(peaks) > 1:
            fail("the records name different peaks: "
                 f"{', '.join(f'{p:.4g}' for p in sorted(peaks))}")
        if peaks:
            return peaks.pop()
    return None


def utilisation(record, peak):
    return record and peak and record["tokens_per_s"] * record["flops_per_token"] / peak


def name_of(key):
    model, precision, batch, seq_len, accum = key
    return f"{model}, {precision}, batch {batch} x {seq_len} x {accum} micro-steps"


# ---- verdicts -------------------------------------------------------------------------------

def steps_of(records, program, model):
    """{name: record} of the model's steps that are to be judged."""
    return {name_of(key): row for key, row in sorted(records.rows[program].items())
            if (row["model"], row["precision"], row["seq_len"]) == (model, PRECISION, SEQ_LEN)}


def judge_speed(records, model):
    goal = f"{model} T={SEQ_LEN}: faster than PyTorch's compiled step"
    ours, theirs = (steps_of(records, program, model) for program in PROGRAMS)
    if not ours or not theirs:
        return verdict(goal, NOT_MEASURED, note=f"no step of {'PyTorch' if ours else 'quern'}")
    theirs = {name: row for name, row in theirs.items()
              if row["compile"] and row["attention"] == "flash"}
    if not theirs:
        return verdict(goal, NOT_MEASURED, note="PyTorch's is not compiled with FlashAttention")
    values = {name: theirs[name]["step_seconds"] / row["step_seconds"]
              for name, row in ours.items() if name in theirs}
    return judge(goal, values, lambda speed: speed > 1, "" if values else "different batches")


def is_llmqs_card(device):
    return "H100" in device and "PCIe" not in device and "NVL" not in device


def judge_llmqs(records, goal, limit, figure_of):
    """The best of the model's steps: a goal for the card, not for a batch size."""
    goal = f"{LLMQ_MODEL} T={SEQ_LEN}: {goal}"
    steps = steps_of(records, "quern", LLMQ_MODEL)
    if not steps:
        return verdict(goal, NOT_MEASURED, note="no step of quern")
    device = next(iter(steps.values()))["device"]
    if not is_llmqs_card(device):
        return verdict(goal, NOT_MEASURED, note=f"a goal of one H100 SXM; this is {device}")
    values = {name: figure_of(row) for name, row in steps.items() if figure_of(row)}
    if not values:
        return verdict(goal, NOT_MEASURED, note="the card's peak is not known")
    best = max(values, key=values.get)
    return judge(goal, {best: values[best]}, lambda figure: figure >= limit)


def judge_utilisation(records, peak):
    return judge_llmqs(records, f"utilisation >= {UTILISATION_GOAL:.0%}", UTILISATION_GOAL,
                       lambda row: utilisation(row, peak))


def judge_tokens(records):
    goal = f">= {TOKENS_PER_S_GOAL:,} tokens/s (LLM.Q: {LLMQ_TOKENS_PER_S:,})"
    return judge_llmqs(records, goal, TOKENS_PER_S_GOAL, lambda row: row["tokens_per_s"])


def moves_memory(operation, step_seconds):
    return (operation["bytes"] > 0 and operation["flops"] == 0
            and operation["seconds"] >= SMALL_SHARE * step_seconds)


def floor_shares(row):
    """{operation: share of its floor's speed} of those that take long enough to be judged."""
    return {f"{row['model']} {x['op']}": x["floor_seconds"] / x["seconds"]
            for x in row["operations"] if moves_memory(x, row["step_seconds"])}


def profiled_on_gpu(row):
    """Only records of a GPU tell an idle share."""
    return row.get("idle") is not None and row.get("operations")


def is_traced(row):
    return row.get("idle") is not None and row.get("idle_source") == "traced"


def judge_on_gpu(records, goal, figures_of, is_met, worst, counts=profiled_on_gpu, what="profile"):
    """On the figures of all models' steps that count."""
    values, absent = {}, []
    for model in MODELS:
        rows = [row for row in steps_of(records, "quern", model).values() if counts(row)]
        for row in rows:
            for name, figure in figures_of(row).items():
                values[name] = worst(figure, values.get(name, figure))
        absent += [] if rows else [model]
    missing = f"no {what} on a GPU of {', '.join(absent)}" if absent else ""
    return judge(goal, values, is_met, missing, worst)


def judge_floors(records):
    goal = (f"operations that only move memory >= {FLOOR_GOAL:.0%} of a copy's bandwidth "
            f"(from {SMALL_SHARE:.0%} of a step)")
    return judge_on_gpu(records, goal, floor_shares, lambda share: share >= FLOOR_GOAL, min)


def judge_idle(records):
    return judge_on_gpu(records, f"GPU idle < {IDLE_GOAL:.0%} of a step",
                        lambda row: {row["model"]: row["idle"]}, lambda idle: idle < IDLE_GOAL,
                        max, is_traced, "trace")


def judge_all(records, peak):
    return [*(judge_speed(records, model) for model in FASTER), judge_utilisation(records, peak),
            judge_tokens(records), judge_floors(records), judge_idle(records)]


# ---- tables ---------------------------------------------------------------------------------

def field(record, name):
    return record and record.get(name)


def in_units(value, unit):
    return number(value and value / unit, ".0f")


def cells(key, quern, torch, peak):
    both, memory = (quern, torch), field(torch, "memory_bytes")
    milliseconds = [r and 1e3 * r["step_seconds"] for r in both]
    speed = quern and torch and torch["step_seconds"] / quern["step_seconds"]
    return (*map(str, key), *(number(x, ".2f") for x in milliseconds),
            *(number(field(r, "tokens_per_s"), ".0f") for r in both),
            *(number(utilisation(r, peak), ".1%") for r in both),
            *(number(field(r, "share"), ".2f") for r in both),
            number(memory and 1e-9 * memory, ".2f"), number(speed, ".3f"))


BREAKDOWN = ("operation", "calls", "ms a step", "share", "floor ms", "of floor", "GB/s", "TFLOP/s")


def kernel_rows(kernels, step_seconds):
    """Rows below that of their operation, which has their floor."""
    return [(f"- {x['kernel']}", f"{x['launches']:.0f}", f"{1e3 * x['seconds']:.3f}",
             f"{x['seconds'] / step_seconds:.1%}", "", "", "", "") for x in kernels]


def breakdown(record):
    """Rows of a table of operations, most time first, each with its kernels."""
    rows, step_seconds = [], record["step_seconds"]
    for x in record["operations"]:
        per_second = {name: x[name] / x["seconds"] if x["seconds"] and x[name] else None
                      for name in ("floor_seconds", "bytes", "flops")}
        rows.append((x["op"], f"{x['calls']:.0f}", f"{1e3 * x['seconds']:.3f}",
                     f"{x['seconds'] / step_seconds:.1%}",
                     f"{1e3 * x['floor_seconds']:.3f}", number(per_second["floor_seconds"], ".2f"),
                     in_units(per_second["bytes"], 1e9), in_units(per_second["flops"], 1e12)))
        rows += kernel_rows(x.get("kernels", []), step_seconds)
    others = record.get("other_kernels", [])
    if others:
        rows.append(("outside of operations", *[""] * (len(BREAKDOWN) - 1)))
    return rows + kernel_rows(others, step_seconds)


def breakdowns(records):
    """(title, rows) of each of quern's records that has a profile."""
    found = []
    for key, row in sorted(records.rows["quern"].items()):
        if row.get("operations"):
            idle = "" if row.get("idle") is None else (
                f", GPU idle {row['idle']:.1%} ({row.get('idle_source', 'estimated')})")
            found.append((f"{name_of(key)}: {1e3 * row['step_seconds']:.1f} ms a step{idle}",
                          breakdown(row)))
    return found


def notes(records):
    """What PyTorch's figures were measured with."""
    told = {f"PyTorch {r['torch']}, {r['scheme']}, attention: {r['attention']}, {r['optimizer']}, "
            f"{'compiled' if r['compile'] else 'not compiled'}"
            for r in records.rows["torch"].values()}
    return sorted(told)


def as_text(records, rows, verdicts):
    lines = [text_table(HEAD, rows), "", LEGEND, *notes(records)]
    for title, operations in breakdowns(records):
        lines += ["", title, "", text_table(BREAKDOWN, operations)]
    return "\n".join([*lines, "", *verdict_lines(verdicts)]) + "\n"


def as_markdown(records, rows, verdicts):
    lines = [markdown_table(HEAD, rows), "", LEGEND, "", *(f"- {x}" for x in notes(records))]
    for title, operations in breakdowns(records):
        lines += ["", f"### {title}", "", markdown_table(BREAKDOWN, operations)]
    return "\n".join([*lines, "", *(f"- {x}" for x in verdict_lines(verdicts))]) + "\n"


def ratios(records):
    names = ("model", "precision", "batch_size", "seq_len", "grad_accum")
    return [{**dict(zip(names, key)),
             "speed_over_torch": torch["step_seconds"] / quern["step_seconds"]}
            for key, quern, torch in records.pairs() if quern and torch]


# ---- the command ----------------------------------------------------------------------------

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+", metavar="RECORD", help="JSON of either program")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the card, dense bf16")
    parser.add_argument("--text", help="write the tables and the verdicts there too")
    parser.add_argument("--markdown", help="write them there as Markdown")
    parser.add_argument("--json", help="write verdicts and ratios there")
    return parser.parse_args()


def main():
    options = parse_arguments()
    records = Records(options.records)
    check(records)
    peak = peak_of(records, options.peak)
    verdicts = judge_all(records, peak)
    rows = [cells(*pair, peak) for pair in records.pairs()]
    text = as_text(records, rows, verdicts)
    print(text, end="")
    if options.text:
        pathlib.Path(options.text).write_text(text)
    if options.markdown:
        pathlib.Path(options.markdown).write_text(as_markdown(records, rows, verdicts))
    if options.json:
        judged = {"verdict": summary(verdicts), "figures": verdicts, "ratios": ratios(records)}
        pathlib.Path(options.json).write_text(json.dumps(judged, indent=1) + "\n")
    sys.exit(EXIT[summary(verdicts)])


if __name__ == "__main__":
    main()
