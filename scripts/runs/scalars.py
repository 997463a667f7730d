"""The curves of a run for programs that draw curves: what log.jsonl, lens.jsonl and inspect.jsonl
say, as numbers under a name at a step."""
from collections import defaultdict, namedtuple

import numpy as np

from report.run import NoRun, Run, is_count, number_or_none, read_lines

LOGGED = {"train": ("loss", "lr", "grad_norm", "tokens_per_s", "tokens", "seconds"),
          "eval": ("val_loss", "bits_per_byte")}

# Where a figure's `at` is a finding beside its value, and not one of several places of a curve.
PLACE_IS_FOUND = ("offset",)

# Of a curve over distances there is a number a distance; those of powers of two show its course.
OVER_DISTANCES = ("profile",)

Scalar = namedtuple("Scalar", "value baseline")  # baseline: None where there is none


def name_of(figure, metric):
    """lens/METRIC[/layerL[/headH]]: of one head, one layer or the model."""
    places = [f"{kind}{figure[kind]}" for kind in ("layer", "head") if figure.get(kind) is not None]
    return "/".join(("lens", metric, *places))


def is_power_of_two(place):
    return place > 0 and place & (place - 1) == 0


def wrong_of(figure):
    """What is wrong with a figure, or None."""
    if not is_count(figure.get("step")):
        return "no step"
    if not isinstance(figure.get("metric"), str) or not figure["metric"]:
        return "no metric"
    wrong = [name for name in ("layer", "head", "at")
             if figure.get(name) is not None and not is_count(figure[name])]
    return f"no count under {', '.join(wrong)}" if wrong else None


def scalars_of(figure):
    """[(name, Scalar)] of one figure; none where it has no value."""
    metric, place = figure["metric"], figure.get("at")
    value = number_or_none(figure.get("value"))
    if value is None or (metric in OVER_DISTANCES and place and not is_power_of_two(place)):
        return []
    found, name = Scalar(value, number_or_none(figure.get("baseline"))), name_of(figure, metric)
    if place is None:
        return [(name, found)]
    if metric in PLACE_IS_FOUND:
        return [(name, found), (name_of(figure, f"{metric}_at"), Scalar(float(place), None))]
    return [(f"{name}/at{place}", found)]


class Curves:
    """Of a run folder; NoRun where there is none to draw. run: config, options and environment;
    at: {step: {name: Scalar}}, steps in order; notes: what was left out and why."""

    def __init__(self, folder):
        self.run = Run(folder)
        self.notes = [note for note in self.run.notes if not note.startswith("lens.jsonl")]
        self._at = defaultdict(dict)
        for kind, entries in (("train", self.run.steps), ("eval", self.run.evaluations)):
            for entry in entries:
                self._take_entry(kind, entry)
        for name in ("lens.jsonl", "inspect.jsonl"):
            read_lines(self.run.folder / name, self._take_figure, self.notes)
        self.at = {step: self._at[step] for step in sorted(self._at) if self._at[step]}
        if not self.at:
            raise NoRun(f"{folder} has no figures yet")

    def _take_entry(self, kind, entry):
        for name in LOGGED[kind]:
            value = number_or_none(entry.get(name))
            if value is not None:
                self._at[entry["step"]][f"{kind}/{name}"] = Scalar(value, None)

    def _take_figure(self, figure):
        wrong = wrong_of(figure)
        if wrong is None:
            self._at[figure["step"]].update(scalars_of(figure))
        return wrong

    def seconds_at(self, step):
        """Since training began; between steps of log.jsonl in proportion, 0 where it has none."""
        timed = [entry for entry in self.run.steps
                 if number_or_none(entry.get("seconds")) is not None]
        return float(np.interp(step, [0] + [entry["step"] for entry in timed],
                               [0] + [entry["seconds"] for entry in timed]))
