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

PASS, FAIL, NOT_MEASURED = "PASS", "FAIL", "NOT MEASURED"
EXIT = {PASS: 0, FAIL: 1, NOT_MEASURED: 3}
STATES = {"passed": PASS, "failed": FAIL}  # of a step; any other leaves its figure open
FIGURES = {"build": "builds for this GPU", "primitives": "device primitives conform",
           "conformance": "attention on the CUDA backend conforms",
           "memcheck": "memcheck is clean", "racecheck": "racecheck is clean",
           "synccheck": "synccheck is clean", "initcheck": "initcheck is clean"}
GOALS = "the comparison with PyTorch"


def text(path):
    return path.read_text().strip() if path.exists() else None


def read_steps(path):
    fields = ("name", "state", "seconds", "note")
    return [dict(zip(fields, line.split("\t"))) for line in path.read_text().splitlines()]


def figures_of(steps, verdicts):
    """Of the steps that stand for a figure, whether they ran or not, and of the comparison."""
    by_name = {step["name"]: step for step in steps}
    figures = []
    for name, goal in FIGURES.items():
        step = by_name.get(name, {"state": "not run", "note": "not asked for"})
        note = step["note"] if step["state"] == "passed" else f"{step['state']}: {step['note']}"
        figures.append({"goal": goal, "verdict": STATES.get(step["state"], NOT_MEASURED),
                        "figure": None, "where": None, "note": note})
    if verdicts is None:
        return figures + [{"goal": GOALS, "verdict": NOT_MEASURED, "figure": None, "where": None,
                           "note": "there is none"}]
    return figures + verdicts["figures"]


def summary(figures):
    states = {figure["verdict"] for figure in figures}
    return FAIL if FAIL in states else NOT_MEASURED if NOT_MEASURED in states else PASS


def show(figures):
    print()
    for f in figures:
        worst = "" if f["figure"] is None else f"worst {f['figure']:.3f} at {f['where']}; "
        print(f"{f['verdict']:12}  {f['goal']}: {worst}{f['note']}".rstrip(": "))
    print(f"\n{summary(figures)}")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bench/gpu_check_record.py WORK OUT.json")
    work, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    steps = read_steps(work / "steps.tsv")
    verdicts = text(work / "verdicts.json")
    figures = figures_of(steps, json.loads(verdicts) if verdicts else None)
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
