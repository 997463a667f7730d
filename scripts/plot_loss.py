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
    sys.exit(f"plot_loss.py: {sys.executable} has no matplotlib; install python3-matplotlib and "
             "run it with /usr/bin/python3")
matplotlib.use("Agg")
import matplotlib.pyplot as plt

from runs import legend, series

MOST_POINTS = 2000


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


def draw(axes, run, colour):
    """Returns what the legend has of the run: [(name, handle)]."""
    steps, evaluations = read_log(pathlib.Path(run) / "log.jsonl")
    x, loss, counts = series.thin([entry["step"] for entry in steps],
                                  [entry["loss"] for entry in steps], MOST_POINTS)
    axes.plot(x, loss, color=colour, alpha=0.2, linewidth=0.7)
    line, = axes.plot(x, series.smooth(x, loss, counts), color=colour)
    if not evaluations:
        return [(f"{run}: training", line)]
    last = evaluations[-1]
    name = f"{run}: held out"
    if last.get("bits_per_byte"):
        name += f", {last['bits_per_byte']:.3f} bits per byte"
    points, = axes.plot([entry["step"] for entry in evaluations],
                        [entry["val_loss"] for entry in evaluations],
                        "o--", color=colour, markersize=4)
    return [(f"{run}: training", line), (name, points)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument("--out", help="picture to write (default: loss.png in the first run)")
    arguments = parser.parse_args()
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    named = [each for i, run in enumerate(arguments.runs) for each in draw(axes, run, f"C{i}")]
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats per token")
    axes.grid(alpha=0.3)
    legend.add(axes, named)
    out = arguments.out or str(pathlib.Path(arguments.runs[0]) / "loss.png")
    figure.savefig(out, dpi=120)
    print(out)


if __name__ == "__main__":
    main()
