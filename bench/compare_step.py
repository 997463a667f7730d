#!/usr/bin/env python3
"""Compares quern's training steps with PyTorch's: a table.

    bench/compare_step.py quern-*.json torch-*.json --markdown table.md

Takes the records of `quern bench step --json` and of bench/peers/step_torch.py, from one machine.
Utilisation is the share of the card's dense bf16 peak, which the records of PyTorch name (--peak
where they do not); the share is that of a matrix product that each program measured between its
own steps. Exit status: 0 when some step was measured with both programs, 3 when none was, 2 when
the records cannot be read or do not go together.
"""
import argparse
import json
import pathlib
import sys

from tables import fail, is_time, markdown_table, number, read_record, text_table

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


# ---- the table ------------------------------------------------------------------------------

def utilisation(record, peak):
    return record and peak and record["tokens_per_s"] * record["flops_per_token"] / peak


def field(record, name):
    return record and record.get(name)


def cells(key, quern, torch, peak):
    both, memory = (quern, torch), field(torch, "memory_bytes")
    milliseconds = [r and 1e3 * r["step_seconds"] for r in both]
    speed = quern and torch and torch["step_seconds"] / quern["step_seconds"]
    return (*map(str, key), *(number(x, ".2f") for x in milliseconds),
            *(number(field(r, "tokens_per_s"), ".0f") for r in both),
            *(number(utilisation(r, peak), ".1%") for r in both),
            *(number(field(r, "share"), ".2f") for r in both),
            number(memory and 1e-9 * memory, ".2f"), number(speed, ".3f"))


def peak_of(records, given):
    if given:
        return 1e12 * given
    peaks = {row.get("peak_flops_per_s") for row in records.rows["torch"].values()} - {None}
    if len(peaks) > 1:
        fail(f"the records name different peaks: {', '.join(f'{p:.4g}' for p in sorted(peaks))}")
    return next(iter(peaks), None)


def notes(records):
    """What PyTorch's figures were measured with."""
    told = {f"PyTorch {r['torch']}, {r['scheme']}, attention: {r['attention']}, {r['optimizer']}, "
            f"{'compiled' if r['compile'] else 'not compiled'}"
            for r in records.rows["torch"].values()}
    return sorted(told)


# ---- the command ----------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+", metavar="RECORD", help="JSON of either program")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the card, dense bf16")
    parser.add_argument("--markdown", help="write the table there as Markdown")
    parser.add_argument("--json", help="write the ratios there")
    options = parser.parse_args()

    records = Records(options.records)
    check(records)
    peak = peak_of(records, options.peak)
    rows = [cells(*pair, peak) for pair in records.pairs()]
    print("\n".join([text_table(HEAD, rows), "", LEGEND, *notes(records)]))
    compared = [(key, torch["step_seconds"] / quern["step_seconds"])
                for key, quern, torch in records.pairs() if quern and torch]
    if options.markdown:
        lines = [markdown_table(HEAD, rows), "", LEGEND, "", *(f"- {x}" for x in notes(records))]
        pathlib.Path(options.markdown).write_text("\n".join(lines) + "\n")
    if options.json:
        names = ("model", "precision", "batch_size", "seq_len", "grad_accum")
        ratios = [{**dict(zip(names, key)), "speed_over_torch": speed} for key, speed in compared]
        pathlib.Path(options.json).write_text(json.dumps(ratios, indent=1) + "\n")
    sys.exit(0 if compared else 3)


if __name__ == "__main__":
    main()
