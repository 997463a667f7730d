"""Whether synonyms stand closer than pairs of words that are as frequent, layer by layer."""
import math
from statistics import NormalDist

import numpy as np

KINDS = {"q": "q", "k": "k", "row": "rows of scores"}
SIGNIFICANT = 0.05
LEAST = 0.05     # of AUC above 0.5; a convention of this report
FEWEST_PAIRS = 10


def unknown_error(n):
    """Of an AUC of n pairs against n others, where all are alike (Hanley and McNeil 1982)."""
    return math.sqrt((2 * n + 1) / 12) / n if n else math.nan


def of_layers(probed, name, sample):
    """[(mean over heads, its error, pairs)] of each layer. Heads share their pairs, so a mean is
    taken to be no surer than one of them."""
    found = []
    for layer in range(probed.n_layers):
        value, n = probed.value[name][sample, layer], probed.n[name][sample, layer]
        error = probed.errors(name)[sample, layer]
        told = np.isfinite(value) & (n > 0)
        if not told.any():
            found.append((math.nan, math.nan, 0))
            continue
        error = [e if math.isfinite(e) else unknown_error(int(pairs))
                 for e, pairs in zip(error[told], n[told])]
        found.append((float(value[told].mean()), float(np.mean(error)), int(n[told].min())))
    return found


def last_with(probed, name):
    """The last sample that has any value of a metric, or None."""
    if probed is None or name not in probed.value:
        return None
    some = np.flatnonzero(np.isfinite(probed.value[name]).any(axis=(1, 2)))
    return int(some[-1]) if len(some) else None


def critical(count):
    """Errors that one of `count` comparisons must exceed (Bonferroni, one-sided)."""
    return NormalDist().inv_cdf(1 - SIGNIFICANT / count)


def of_heads(probed, name, sample):
    """{(layer, head): (value, its error, pairs)} of each head that has a value."""
    value, n, error = (field[sample] for field in (
        probed.value[name], probed.n[name], probed.errors(name)))
    return {(layer, head): (float(value[layer, head]),
                            float(error[layer, head]) if np.isfinite(error[layer, head])
                            else unknown_error(int(n[layer, head])), int(n[layer, head]))
            for layer, head in np.argwhere(np.isfinite(value) & (n > 0)).tolist()}


def best_head(probed):
    """The comparison of the head and kind with the highest AUC, of those that pass where any does,
    and {"heads": how many were compared, "z"}: each corrected for all. None where there is none."""
    rows = []
    for kind in KINDS:
        names = [f"{kind}_{what}_auc" for what in ("synonym", "shuffled")]
        samples = [last_with(probed, name) for name in names]
        if None not in samples and probed.steps[0] == 0:
            end, start, null = (of_heads(probed, name, sample) for name, sample in (
                (names[0], samples[0]), (names[0], 0), (names[1], samples[0])))
            rows += [(kind, at, end[at], start[at], null[at]) for at in end
                     if at in start and at in null and end[at][2] >= FEWEST_PAIRS]
    if not rows:
        return None
    z = critical(len(rows))
    found = [comparison(kind, at[0], end, start, null, z) | {"head": at[1]}
             for kind, at, end, start, null in rows]
    best = max(found, key=lambda x: (x["holds"], x["auc"]))
    return best | {"heads": len(rows), "z": z}


def measure(probed):
    """[a comparison of each kind and layer] of the last sample, the first one and the null, and how
    many errors each must exceed; {"reason"} where they cannot be made."""
    names = {kind: f"{kind}_synonym_auc" for kind in KINDS}
    kinds = [kind for kind in KINDS if last_with(probed, names[kind]) is not None]
    if not kinds:
        return {"reason": "no figure of synonyms: not probed, or too few pairs in the text"}
    if probed.steps[0] != 0:
        return {"reason": f"the first inspected step is {probed.steps[0]}; it takes the initial "
                          "weights to compare with"}
    lacking = [kind for kind in kinds if last_with(probed, f"{kind}_shuffled_auc") is None]
    if lacking:
        return {"reason": f"no null of synonyms re-paired at random for {', '.join(lacking)}"}
    z, found = critical(len(kinds) * probed.n_layers), []
    for kind in kinds:
        sample = last_with(probed, names[kind])
        rows = (of_layers(probed, names[kind], sample), of_layers(probed, names[kind], 0),
                of_layers(probed, f"{kind}_shuffled_auc", sample))
        found += [comparison(kind, layer, *three, z) for layer, three in enumerate(zip(*rows))]
    found = [x for x in found if x["n"] >= FEWEST_PAIRS]
    if not found:
        return {"reason": f"fewer than {FEWEST_PAIRS} pairs of synonyms"}
    return {"comparisons": found, "z": z}


def comparison(kind, layer, end, start, null, z):
    """Of one kind and layer: whether the AUC at the end is above 0.5, above its null and above
    that of the initial weights, each by z errors and the first by LEAST."""
    (auc, error, n), (auc_0, error_0, _), (auc_null, error_null, _) = end, start, null
    holds = (auc - 0.5 >= max(LEAST, z * error)
             and auc - auc_null >= z * math.hypot(error, error_null)
             and auc - auc_0 >= z * math.hypot(error, error_0))
    return {"kind": kind, "layer": layer, "auc": auc, "error": error, "n": n, "start": auc_0,
            "null": auc_null, "holds": bool(holds)}
