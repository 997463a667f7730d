"""The curves of a run for programs that draw curves: what log.jsonl, lens.jsonl and inspect.jsonl
say, as numbers under a name at a step."""
from collections import defaultdict, namedtuple

import numpy as np

from report.figures import number_or_none
from report.run import NoRun, Run

LOGGED = {"train": ("loss", "lr", "grad_norm", "tokens_per_s", "tokens", "seconds"),
          "eval": ("val_loss", "bits_per_byte")}

# Where a figure's `at` is a finding beside its value, and not one of several places of a curve.
PLACE_IS_FOUND = ("offset",)

# Of a curve over distances there is a number a distance; those of powers of two show its course.
OVER_DISTANCES = ("profile",)

Scalar = namedtuple("Scalar", "value baseline")  # baseline: None where there is none


def name_of(figure, metric):
    """lens/METRIC[/layerL[/headH]]: of one head, one layer or the model."""
    places = [f"{kind}{number}" for kind, number in (("layer", figure.layer), ("head", figure.head))
              if number is not None]
    return "/".join(("lens", metric, *places))


def is_power_of_two(place):
    return place > 0 and place & (place - 1) == 0


def scalars_of(figure):
    """{name: Scalar} of one figure; none where it has no value."""
    metric, place = figure.metric, figure.at
    if figure.value is None or (metric in OVER_DISTANCES and place and not is_power_of_two(place)):
        return {}
    found, name = Scalar(figure.value, figure.baseline), name_of(figure, metric)
    if place is None:
        return {name: found}
    if metric in PLACE_IS_FOUND:
        return {name: found, name_of(figure, f"{metric}_at"): Scalar(float(place), None)}
    return {f"{name}/at{place}": found}


def scalars_of_entry(kind, entry):
    """The same of one line of log.jsonl."""
    values = {name: number_or_none(entry.get(name)) for name in LOGGED[kind]}
    return {f"{kind}/{name}": Scalar(value, None) for name, value in values.items()
            if value is not None}


class Curves:
    """Of a run folder; NoRun where there is none to draw. run: config, options and environment;
    at: {step: {name: Scalar}}, steps in order."""

    def __init__(self, folder):
        self.run = Run(folder)
        found = defaultdict(dict)
        for kind, entries in (("train", self.run.steps), ("eval", self.run.evaluations)):
            for entry in entries:
                found[entry["step"]].update(scalars_of_entry(kind, entry))
        for figure in self.run.lens.all + self.run.probes.all:
            found[figure.step].update(scalars_of(figure))
        self.at = {step: found[step] for step in sorted(found) if found[step]}
        if not self.at:
            raise NoRun(f"{folder} has no figures yet")

    def times(self):
        """{step: seconds since training began}; between steps of log.jsonl in proportion, 0 where
        it has none."""
        timed = [(entry["step"], entry["seconds"]) for entry in self.run.steps
                 if number_or_none(entry.get("seconds")) is not None]
        steps, seconds = zip((0, 0), *timed)
        return dict(zip(self.at, np.interp(list(self.at), steps, seconds).tolist()))
