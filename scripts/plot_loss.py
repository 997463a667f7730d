#!/usr/bin/env python3
"""Draws the training curve of one or more runs: RUN/log.jsonl to RUN/loss.png.

    scripts/plot_loss.py runs/first
    scripts/plot_loss.py runs/first runs/second --out compare.svg
"""
import argparse
import json
import pathlib
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("plot_loss.py: matplotlib is missing; install python3-matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt


def read_log(path):
    """The step entries and the evaluation entries of a log.jsonl."""
    steps, evaluations = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            sys.exit(f"plot_loss.py: {path}:{number}: {error}")
        (evaluations if "val_loss" in entry else steps).append(entry)
    if not steps:
        sys.exit(f"plot_loss.py: {path} has no steps yet")
    return steps, evaluations


def smooth(values, half_life):
    """Exponential moving average, without its bias towards the first value."""
    keep = 0.5 ** (1 / half_life)
    total = weight = 0.0
    result = []
    for value in values:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result.append(total / weight)
    return result


def draw(axes, run, colour):
    steps, evaluations = read_log(pathlib.Path(run) / "log.jsonl")
    x = [entry["step"] for entry in steps]
    loss = [entry["loss"] for entry in steps]
    axes.plot(x, loss, color=colour, alpha=0.2, linewidth=0.7)
    axes.plot(x, smooth(loss, max(1, len(loss) / 100)), color=colour,
              label=f"{run}: training")
    if not evaluations:
        return
    last = evaluations[-1]
    label = f"{run}: held out"
    if last.get("bits_per_byte"):
        label += f", {last['bits_per_byte']:.3f} bits per byte"
    axes.plot([entry["step"] for entry in evaluations],
              [entry["val_loss"] for entry in evaluations],
              "o--", color=colour, markersize=4, label=label)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument("--out", help="picture to write (default: loss.png in the first run)")
    arguments = parser.parse_args()
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for i, run in enumerate(arguments.runs):
        draw(axes, run, f"C{i}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats per token")
    axes.grid(alpha=0.3)
    axes.legend()
    out = arguments.out or str(pathlib.Path(arguments.runs[0]) / "loss.png")
    figure.savefig(out, dpi=120)
    print(out)


if __name__ == "__main__":
    main()
