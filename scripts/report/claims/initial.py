"""Claim 2: is attention without a pattern before the first step?"""
import numpy as np

from report import synonyms
from report.claims.verdict import claim, untested, verdict, NOT_SAMPLED

# How far from its baseline a head may be and still have no pattern: conventions of this report.
NEAR = {"entropy": 0.1, "sink": 0.05, "local": 0.05, "distance": 0.1}
NEAR_PROBED = {"previous_token": 0.05, "induction": 0.05, "offset": 0.05}
NEAR_AUC = 0.05    # of 0.5, the mean of all heads; or
AUC_ERRORS = 2     # standard errors, if these are more
NEAR_SHARE = 0.95  # of the heads


def given_weights(run):
    """Whether --model named a folder, whose weights the run then began from."""
    model = run.options.get("model", "")
    return isinstance(model, str) and "/" in model and not model.endswith(".json")


def far_from_baseline(samples, near):
    """{metric: (layers, heads) distance from its baseline} at the first sample."""
    found = {}
    for name in near:
        if name in samples.value and np.isfinite(samples.baseline[name][0]).any():
            excess = samples.excess(name)[0]
            found[name] = np.abs(excess - 1 if name == "distance" else excess)
    return found


def shares(far, near):
    """(heads near all their baselines, heads with all figures)."""
    inside = np.all([far[name] <= near[name] for name in far], axis=0)
    told = np.all([np.isfinite(far[name]) for name in far], axis=0)
    return int((inside & told).sum()), int(told.sum())


def farthest(far, near):
    return ", ".join(f"{name} {np.nanmax(far[name]):.3g} (may be {near[name]:g})" for name in far)


def patterns(run):
    """(words, whether there is none) of the probes of step 0 on random tokens; ("", True) where
    there are no such probes."""
    probed = run.probes.heads
    if probed is None or probed.steps[0] != 0:
        return "", True
    far = far_from_baseline(probed, NEAR_PROBED)
    near, told = shares(far, NEAR_PROBED) if far else (0, 0)
    if not told:
        return "", True
    return (f". Probes of step 0: {near} of {told} heads are near uniform weights; farthest: "
            f"{farthest(far, NEAR_PROBED)}", near / told >= NEAR_SHARE)


def words_alike(run):
    """(words, whether synonyms are as far apart as other words) of the probes of step 0."""
    probed = run.probes.heads
    if probed is None or probed.steps[0] != 0:
        return "", True
    parts, alike = [], True
    for kind in ("q", "k"):
        name = f"{kind}_synonym_auc"
        rows = [x for x in synonyms.of_layers(probed, name, 0) if x[2]] \
            if name in probed.value else []
        if rows:
            mean, error = np.mean([row[:2] for row in rows], axis=0)
            parts.append(f"{mean:.2f} +- {error:.2f} of {kind}")
            alike = alike and abs(mean - 0.5) <= max(NEAR_AUC, AUC_ERRORS * error)
    return f". Synonyms' AUC, mean of all heads: {', '.join(parts)}" if parts else "", alike


def judge(run):
    samples = run.samples
    if samples is None:
        return untested(2, NOT_SAMPLED)
    if samples.steps[0] != 1:
        return untested(2, f"the first sample is of step {samples.steps[0]}: later than the "
                           "initial weights")
    if given_weights(run):
        return untested(2, "the run may have begun from trained weights (--model names a folder)")
    far = far_from_baseline(samples, NEAR)
    absent = [name for name in NEAR if name not in far]
    if absent:
        return untested(2, f"the first sample has no {', '.join(absent)} with a baseline")
    near, told = shares(far, NEAR)
    if not told:
        return untested(2, "no head has all its figures in the first sample")
    return judge_heads(run, far, near, told)


def judge_heads(run, far, near, told):
    samples, holds = run.samples, near / told >= NEAR_SHARE
    figure = (f"{near} of {told} heads are near what uniform attention gives at step 1. Farthest: "
              f"{farthest(far, NEAR)}")
    criterion = f"as near as that in {NEAR_SHARE:.0%} of the heads"
    known = np.all([np.isfinite(far[name]) for name in NEAR], axis=0)
    if not holds and all((far[name][known] <= NEAR[name]).mean() >= NEAR_SHARE
                         for name in ("sink", "local", "distance")):
        figure += (". Where heads look is as without a pattern; they are sharper than uniform, as "
                   "random scores of some size are")
    found, none = patterns(run)
    words, alike = words_alike(run)
    figure += (found or ". Not probed at step 0") + words
    if words:
        criterion += (f"; synonyms' AUC within {NEAR_AUC:g} or {AUC_ERRORS} standard errors of 0.5, "
                      "whichever is more")
    rows = int(min(samples.n[name][0][known].min() for name in NEAR))
    return claim(2, verdict(holds and none and alike), figure, criterion,
                 "uniform attention over the visible keys; distance as a ratio to it",
                 f"{told} heads, at least {rows} rows each")
