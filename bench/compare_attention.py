#!/usr/bin/env python3
"""Compares quern's attention with PyTorch's: a table, a plot and a verdict on each goal.

    bench/compare_attention.py quern-*.json torch.json --markdown table.md --plot attention.png

Takes the records of `quern bench attention --json` and of bench/peers/attention_torch.py, from
one machine and one run. Exit status: 0 when every goal is met, 1 when one is missed, 3 when
none is missed but some could not be judged, 2 when the records cannot be read.
"""
import argparse
import itertools
import json
import math
import pathlib
import sys

from tables import fail, is_time, markdown_table, number, read_record, text_table
from verdicts import EXIT, FAIL, NOT_MEASURED, PASS, judge, summary, verdict, verdict_lines

HEAD_DIMS = (64, 128)
SEQ_LENS = (1024, 2048, 4096, 8192, 16384)
TOKENS, WIDTH = 16384, 2048  # of a shape to judge: batch times sequence, heads times head_dim
LONG = 131072

FORWARD_GOAL = 1.0   # of FlashAttention-2's speed
BACKWARD_GOAL = 0.9
NAIVE_GOAL = 0.8     # of its floor
STATISTICS_GOAL = 0.08  # slower than without

TORCH_DTYPES = {"bfloat16": "bf16", "float32": "f32", "float16": "f16"}
PATHS = ("flash", "cudnn", "math")


# ---- records --------------------------------------------------------------------------------

def key_of(batch, heads, kv_heads, head_dim, window, seq_len, causal, name):
    return (head_dim, not causal, name, seq_len, batch, heads, kv_heads, window)


class Records:
    """Rows of both programs, by shape and pass."""

    def __init__(self, paths):
        self.quern, self.torch = {}, {}
        self.devices, self.dtypes = set(), set()
        for path in paths:
            self.read(path)

    def read(self, path):
        takers = {"attention": self.add_quern, "attention_torch": self.add_torch}
        read_record(path, takers, "a record of quern bench attention or of attention_torch.py")

    def add_quern(self, record):
        self.devices.add(("quern", record["device"]))
        self.dtypes.add(record.get("dtype", "f32"))
        for row in record["results"]:
            key = key_of(record["batch"], record["heads"], record["kv_heads"],
                         record["head_dim"], record["window"], row["seq_len"], row["causal"],
                         row["pass"])
            if "fused_stats" in row or key not in self.quern:
                self.quern[key] = row

    def add_torch(self, record):
        self.devices.add(("torch", record["device"]))
        self.dtypes.add(TORCH_DTYPES[record["dtype"]])
        for row in record["results"]:
            key = key_of(row["batch"], row["heads"], row["kv_heads"], row["head_dim"], 0,
                         row["seq_len"], row["causal"], row["pass"])
            self.torch.setdefault(key, {})[row["path"]] = row

    def mismatch(self):
        """Why the two programs' times may not be compared; None when they may."""
        programs = {program for program, _ in self.devices}
        names = {name for _, name in self.devices}
        if len(programs) < 2:
            return f"no record of {'PyTorch' if 'quern' in programs else 'quern'}"
        if len(names) > 1:
            return f"different devices: {'; '.join(sorted(names))}"
        if len(self.dtypes) > 1:
            return f"different dtypes: {', '.join(sorted(self.dtypes))}"
        return None

    def seconds(self, key, variant):
        """Of quern's naive, fused or fused_stats, or of a path of PyTorch; None if not run."""
        if variant in PATHS:
            value = self.torch.get(key, {}).get(variant, {}).get("seconds")
        else:
            value = self.quern.get(key, {}).get(variant, {}).get("seconds")
        return value if is_time(value) else None

    def floor_share(self, key):
        """How much of the speed of its floor naive reaches; None where that is not known."""
        seconds = self.seconds(key, "naive")
        floor = self.quern.get(key, {}).get("naive", {}).get("floor_seconds")
        return floor / seconds if seconds and is_time(floor) else None


def flops_of(key):
    head_dim, full, name, seq_len, batch, heads, _, window = key
    pairs = seq_len ** 2 if full else seq_len ** 2 / 2
    if window:
        w = min(window, seq_len)
        pairs = seq_len * w - w * (w - 1) / 2
    return 4.0 * batch * heads * head_dim * pairs * (2.5 if name == "backward" else 1)


# ---- verdicts -------------------------------------------------------------------------------

def keys_to_judge(name):
    return [key_of(TOKENS // seq_len, WIDTH // head_dim, WIDTH // head_dim, head_dim, 0, seq_len,
                   causal, name)
            for head_dim, seq_len, causal in itertools.product(HEAD_DIMS, SEQ_LENS, (True, False))]


def name_of(key):
    head_dim, full, name, seq_len, *_ = key
    return f"{name} D={head_dim} T={seq_len} {'full' if full else 'causal'}"


def judge_speed(records, name, limit):
    goal = f"fused {name} >= {limit} x FlashAttention-2"
    if records.mismatch():
        return verdict(goal, NOT_MEASURED, note=records.mismatch())
    keys = keys_to_judge(name)
    values = {}
    for key in keys:
        ours, theirs = records.seconds(key, "fused"), records.seconds(key, "flash")
        if ours and theirs:
            values[name_of(key)] = theirs / ours
    absent = [key for key in keys if name_of(key) not in values]
    missing = (f"{len(absent)} of {len(keys)} shapes missing, e.g. {name_of(absent[0])}"
               if absent else "")
    return judge(goal, values, lambda speed: speed >= limit, missing)


def judge_naive(records):
    """Of the shapes whose scores fit in memory; both passes and head dimensions must be there."""
    goal = f"naive >= {NAIVE_GOAL:.0%} of its own floor"
    keys = keys_to_judge("forward") + keys_to_judge("backward")
    values = {key: records.floor_share(key) for key in keys}
    values = {key: share for key, share in values.items() if share}
    seen = {(key[0], key[2]) for key in values}
    absent = [f"{name} D={head_dim}" for head_dim, name in
              itertools.product(HEAD_DIMS, ("forward", "backward"))
              if (head_dim, name) not in seen]
    return judge(goal, {name_of(key): share for key, share in values.items()},
                 lambda share: share >= NAIVE_GOAL,
                 f"missing: {', '.join(absent)}" if absent else "")


def judge_statistics(records):
    goal = f"statistics at most {STATISTICS_GOAL:.0%} slower"
    values = {}
    for key in keys_to_judge("forward"):
        plain, stats = records.seconds(key, "fused"), records.seconds(key, "fused_stats")
        if plain and stats:
            values[key] = stats / plain - 1
    absent = [f"D={d}" for d in HEAD_DIMS if d not in {key[0] for key in values}]
    return judge(goal, {name_of(key): slower for key, slower in values.items()},
                 lambda slower: slower <= STATISTICS_GOAL,
                 f"missing: {', '.join(absent)}" if absent else "", worst=max)


def judge_long(records):
    goal = f"T={LONG} forward and backward ran"
    ran, wrong = set(), []
    for key, row in records.quern.items():
        if key[3] < LONG or not records.seconds(key, "fused"):
            continue
        ran.add(key[2])
        error = row["fused"].get("max_error")
        if not isinstance(error, (int, float)) or not math.isfinite(error):
            wrong.append(f"{name_of(key)}: error against float64 is {error}")
    if wrong:
        return verdict(goal, FAIL, note="; ".join(wrong))
    absent = [name for name in ("forward", "backward") if name not in ran]
    if absent:
        return verdict(goal, NOT_MEASURED, note=f"missing: {', '.join(absent)}")
    return verdict(goal, PASS, note="finite results")


def judge_all(records):
    return [judge_speed(records, "forward", FORWARD_GOAL),
            judge_speed(records, "backward", BACKWARD_GOAL),
            judge_naive(records), judge_statistics(records), judge_long(records)]


# ---- tables ---------------------------------------------------------------------------------

HEAD = ("D", "mask", "pass", "T", "naive", "of floor", "fused", "stats", "flash", "cudnn", "math",
        "fused/flash", "fused/cudnn", "fused/naive")


def ratio(ours, theirs):
    return theirs / ours if ours and theirs else None


def cells(records, key):
    head_dim, full, name, seq_len, *_, window = key
    times = {v: records.seconds(key, v) for v in ("naive", "fused", "fused_stats") + PATHS}
    rates = {v: number(t and 1e-12 * flops_of(key) / t, ".4g") for v, t in times.items()}
    mask = ("full" if full else "causal") + (f" {window}" if window else "")
    for path in PATHS:
        if "refused" in records.torch.get(key, {}).get(path, {}):
            rates[path] = "refused"
    stats = ratio(times["fused"], times["fused_stats"])
    return (str(head_dim), mask, name, str(seq_len), rates["naive"],
            number(records.floor_share(key), ".0%"), rates["fused"],
            number(stats and stats - 1, "+.1%"), *(rates[path] for path in PATHS),
            *(number(ratio(times["fused"], times[v]), ".2f") for v in ("flash", "cudnn", "naive")))


def rows_of(records):
    return [cells(records, key) for key in sorted({*records.quern, *records.torch})]


LEGEND = ("TFLOP/s; stats: how much slower fused is with statistics; fused/x: speed of fused over "
          "speed of x")


# ---- plot -----------------------------------------------------------------------------------

# Told apart by line and marker, not by colour alone.
STYLES = {"fused": ("quern fused", "black", "-", "o"),
          "flash": ("FlashAttention-2", "#0072b2", "--", "s"),
          "cudnn": ("cuDNN", "#d55e00", ":", "^"),
          "naive": ("quern naive", "#009e73", "-.", "x"),
          "math": ("PyTorch math", "#999999", (0, (1, 3)), "d")}


def draw_panel(axes, records, keys):
    for variant, (label, colour, line, marker) in STYLES.items():
        points = [(key[3], 1e-12 * flops_of(key) / records.seconds(key, variant))
                  for key in keys if records.seconds(key, variant)]
        if points:
            axes.plot(*zip(*points), label=label, color=colour, linestyle=line, marker=marker,
                      linewidth=2 if variant == "fused" else 1.2, markersize=5)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def draw(records, path):
    try:
        import matplotlib
    except ImportError:
        fail("--plot needs matplotlib; install python3-matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    keys = sorted({*records.quern, *records.torch})
    columns = sorted({key[:2] for key in keys})
    figure, panels = plt.subplots(2, len(columns), figsize=(3.6 * len(columns), 6.4),
                                  layout="constrained", squeeze=False)
    for i, name in enumerate(("forward", "backward")):
        for j, column in enumerate(columns):
            axes = panels[i][j]
            draw_panel(axes, records, [k for k in keys if k[:2] == column and k[2] == name])
            axes.set_title(f"{name}, D={column[0]}, {'full' if column[1] else 'causal'}")
    for axes in panels[-1]:
        axes.set_xlabel("sequence length")
    for row in panels:
        row[0].set_ylabel("TFLOP/s")
    handles = {}
    for axes in panels.flat:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    panels[0][0].legend(handles.values(), handles.keys(), fontsize="small")
    figure.suptitle(", ".join(sorted({name for _, name in records.devices})))
    figure.savefig(path, dpi=120)


# ---- the command ----------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+", metavar="RECORD", help="JSON of either program")
    parser.add_argument("--text", help="write the table and the verdicts there too")
    parser.add_argument("--markdown", help="write them there as Markdown")
    parser.add_argument("--json", help="write the verdicts there")
    parser.add_argument("--plot", help="picture to write")
    options = parser.parse_args()

    records = Records(options.records)
    verdicts, rows = judge_all(records), rows_of(records)
    lines = verdict_lines(verdicts)
    text = "\n".join([text_table(HEAD, rows), "", LEGEND, "", *lines]) + "\n"
    print(text, end="")
    if options.text:
        pathlib.Path(options.text).write_text(text)
    if options.markdown:
        pathlib.Path(options.markdown).write_text(
            "\n".join([markdown_table(HEAD, rows), "", LEGEND, "", *(f"- {x}" for x in lines)])
            + "\n")
    if options.json:
        pathlib.Path(options.json).write_text(
            json.dumps({"verdict": summary(verdicts), "figures": verdicts}, indent=1) + "\n")
    if options.plot:
        draw(records, options.plot)
    sys.exit(EXIT[summary(verdicts)])


if __name__ == "__main__":
    main()
