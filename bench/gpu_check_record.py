#!/usr/bin/env python3
"""Turns what scripts/gpu_check.sh left in its working folder into one record, and prints the
verdict on each figure.

    bench/gpu_check_record.py WORK OUT.json

Exit status: 0 when every figure passes, 1 when one fails, 3 when none fails but some could not
be measured.
"""
import json
import pathlib
import sys

from verdicts import EXIT, FAIL, NOT_MEASURED, PASS, summary, verdict, verdict_lines

STATES = {"passed": PASS, "failed": FAIL}  # of a step; any other leaves its figure open
FIGURES = {"build": "builds for this GPU", "primitives": "device primitives conform",
           "conformance": "every operation of the CUDA backend conforms",
           "models": "models and training on the CUDA backend follow the CPU's",
           "memcheck": "memcheck is clean", "racecheck": "racecheck is clean",
           "synccheck": "synccheck is clean", "initcheck": "initcheck is clean"}
COMPARISONS = {"step": "training steps beside PyTorch's",
               "attention": "attention beside PyTorch's",
               "lens": "training steps with attention sampled, beside those without"}


def text(path):
    return path.read_text().strip() if path.exists() else None


def read_steps(path):
    fields = ("name", "state", "seconds", "note")
    return [dict(zip(fields, line.split("\t"))) for line in path.read_text().splitlines()]


def figures_of(steps, comparisons):
    """Of the steps that stand for a figure, whether they ran or not, and of the comparisons."""
    by_name = {step["name"]: step for step in steps}
    figures = []
    for name, goal in FIGURES.items():
        step = by_name.get(name, {"state": "not run", "note": "not asked for"})
        note = step["note"] if step["state"] == "passed" else f"{step['state']}: {step['note']}"
        figures.append(verdict(goal, STATES.get(step["state"], NOT_MEASURED), note=note))
    for name, goal in COMPARISONS.items():
        figures += (comparisons[name]["figures"] if comparisons[name] else
                    [verdict(goal, NOT_MEASURED, note="there is no comparison")])
    return figures


def show(figures):
    print("", *verdict_lines(figures), "", summary(figures), sep="\n")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bench/gpu_check_record.py WORK OUT.json")
    work, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    steps = read_steps(work / "steps.tsv")
    comparisons = {name: json.loads(text(work / f"verdicts-{name}.json") or "null")
                   for name in COMPARISONS}
    figures = figures_of(steps, comparisons)
    record = {"environment": {name: text(work / name)
                              for name in ("date", "commit", "gpu", "nvcc", "compiler")},
              "verdict": summary(figures), "figures": figures, "steps": steps,
              "records": {path.stem: json.loads(path.read_text())
                          for path in sorted((work / "records").glob("*.json"))}}
    out.write_text(json.dumps(record, indent=1) + "\n")
    show(figures)
    sys.exit(EXIT[record["verdict"]])


if __name__ == "__main__":
    main()
