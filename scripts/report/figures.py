"""Figures of lens.jsonl and inspect.jsonl (docs/lens.md): one line, and what lines make together."""
from collections import namedtuple

import numpy as np

from report.samples import samples_of

MAX_COUNT = 2**53
MAX_LAYERS = MAX_HEADS = 256  # more than models have; a damaged number must not cost all memory
MAX_PLACE = 2**20             # and of distances
MAX_NUMBER = 1e30             # beyond it drawing overflows

# Metrics of which several figures, each at its place, make one curve.
BINNED = ("embedding_synonym_bin", "q_synonym_bin", "k_synonym_bin")
PLACED = ("profile", "cka", *BINNED)

Figure = namedtuple("Figure", "step tokens layer head metric value baseline n at error")


def is_number(value):
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and abs(value) < MAX_NUMBER)


def is_count(value, most=MAX_COUNT):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < most


def number_or_none(value):
    return float(value) if is_number(value) else None


def figure_of(entry, layers, heads):
    """(Figure, None) or (None, what is wrong). A figure of a layer may be of depth `layers`, the
    output."""
    layer, head, place = entry.get("layer"), entry.get("head"), entry.get("at")
    absent = [name for name in ("step", "tokens", "n") if not is_count(entry.get(name))]
    absent += [name for name, value in (("layer", layer), ("head", head))
               if not (value is None or is_count(value))]
    if absent:
        return None, f"no count under {', '.join(absent)}"
    if layer is None and head is not None:
        return None, f"head {head} of no layer"
    if layer is not None and layer >= layers + (head is None) or (head or 0) >= heads:
        return None, f"layer {layer}, head {head} of a model of {layers} layers x {heads} heads"
    if not isinstance(entry.get("metric"), str):
        return None, "no metric"
    if not (place is None or is_count(place, MAX_PLACE)):
        return None, "no count under at"
    error = number_or_none(entry.get("error"))
    return Figure(entry["step"], entry["tokens"], layer, head, entry["metric"],
                  number_or_none(entry.get("value")), number_or_none(entry.get("baseline")),
                  entry["n"], place, error if error is None or error >= 0 else None), None


def gapless(numbers):
    """How many of 0, 1, 2, … are there before the first that is not."""
    return next(n for n in range(len(numbers) + 1) if n not in numbers)


def without_gaps(found):
    """Figures of the layers and heads that a model may have: one damaged number makes no grid of
    heads that are not there, which would cost all memory."""
    layers = gapless({x.layer for x in found if x.layer is not None})
    heads = gapless({x.head for x in found if x.head is not None})
    return [x for x in found if (x.layer is None or x.layer < layers)
            and (x.head is None or x.head < heads)]


def without_part_of_last(found):
    """Less those of the last step, where it lacks a figure that the sampled step before it has: of
    a run in progress, or one that was stopped while it wrote."""
    steps = sorted({x.step for x in found})[-2:]
    before, last = ({(x.metric, x.layer, x.head, x.at) for x in found if x.step == step}
                    for step in (steps[0], steps[-1])) if steps else (set(), set())
    return found if before <= last else [x for x in found if x.step != steps[-1]]


class Figures:
    """Of one file. all: as they came; heads, layers, model: Samples, or None where there is none of that kind;
    profile: {(step, layer, head): (distances, scores)}; similarity: {step: {(depth, depth):
    (value, baseline)}}; cosines: {(step, metric, layer): {bin: (value, baseline, n)}}."""

    def __init__(self, found):
        self.all = found
        placed = [x for x in found if x.metric in PLACED]
        single = [x for x in found if x.metric not in PLACED]
        self.heads = samples_of([x for x in single if x.head is not None])
        self.layers = samples_of([x._replace(head=0) for x in single
                                  if x.head is None and x.layer is not None])
        self.model = samples_of([x._replace(layer=0, head=0) for x in single if x.layer is None])
        self.profile = profiles_of(placed)
        self.similarity = similarity_of(placed)
        self.cosines = cosines_of(placed)
        self.steps = sorted({x.step for x in found})


def profiles_of(placed):
    scores = {}
    for x in placed:
        if x.metric == "profile" and None not in (x.head, x.at, x.value):
            scores.setdefault((x.step, x.layer, x.head), {})[x.at] = x.value
    return {key: (np.array(sorted(of)), np.array([of[at] for at in sorted(of)]))
            for key, of in scores.items()}


def similarity_of(placed):
    found = {}
    for x in placed:
        if x.metric == "cka" and None not in (x.layer, x.at, x.value) and x.at <= MAX_LAYERS:
            found.setdefault(x.step, {})[x.layer, x.at] = (x.value, x.baseline)
    return found


def cosines_of(placed):
    found = {}
    for x in placed:
        if x.metric in BINNED and x.head is None and None not in (x.at, x.value):
            found.setdefault((x.step, x.metric, x.layer), {})[x.at] = (x.value, x.baseline, x.n)
    return found
