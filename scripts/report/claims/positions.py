"""Claim 1: does the score of q and k depend on their distance, and how much of it is that?"""
import numpy as np

from report import frozen, positions, synonyms
from report.claims.verdict import NOT_PROBED, claim, untested, verdict


def profile_words(figures):
    """Of the head whose mean q and k depend most on their distance, at the last step."""
    steps = {step for step, _, _ in figures.profile}
    of = {key: scores for key, scores in figures.profile.items() if steps and key[0] == max(steps)}
    if not of:
        return ""
    key = max(of, key=lambda each: np.ptp(of[each][1]))
    distances, scores = of[key]
    return (f". The mean q and k of layer {key[1]}, head {key[2]} score from {scores.min():.3g} (at "
            f"distance {distances[scores.argmin()]}) to {scores.max():.3g} (at "
            f"{distances[scores.argmax()]})")


def shares_words(step, found):
    value = found["value"][np.isfinite(found["value"])]
    low, middle, high = np.quantile(value, (0, 0.5, 1))
    initial = found["initial"][np.isfinite(found["initial"])]
    first = f" (median at step 0: {np.median(initial):.2g})" if len(initial) else ""
    heads = ", ".join(f"{count} of {told} of layer {layer}"
                      for layer, (count, told) in enumerate(positions.in_layers(found)))
    return (f"step {step}: distance alone explains {middle:.2g} of the variance of scores in the "
            f"median head{first}, from {low:.2g} to {high:.2g}; the other {1 - middle:.2g} is "
            f"content. Heads that count: {heads}")


def twin_words(run, twin, sample):
    """What layers have of it whose Wq and Wk learnt nothing."""
    without = frozen.layers(run, twin, positions.SHARE)
    if without is None:
        return ""
    ours = [mean for mean, _, _ in synonyms.of_layers(run.probes.heads, positions.SHARE, sample)]
    ours, without = (" ".join(f"{x:.2g}" for x in each) for each in (ours, without))
    return f". Means of layers: {ours}; with Wq and Wk frozen: {without}"


def judge(run, twin=None):
    if not run.is_rotary():
        return untested(1, "this model has learnt absolute positions, not rotary ones")
    probed = run.probes.heads
    found = positions.counting(probed)
    if found is None:
        return untested(1, "needs the share of position in the scores, and the score as a function "
                           f"of distance: {NOT_PROBED}")
    step = probed.steps[found["sample"]]
    told = np.isfinite(found["value"])
    criterion = (f"a head counts whose share is at least {positions.LEAST:g}, at least "
                 f"{positions.TIMES} x its baseline and its share at step 0 where that was probed, "
                 f"and above its baseline by {positions.ERRORS} standard errors where they are "
                 f"known; more than {positions.MORE_THAN:.0%} of the heads of a layer")
    unrotated = found["baseline"][told & np.isfinite(found["baseline"])]
    baseline = "the same heads' untrained weights" if np.isfinite(found["initial"]).any() else \
        "untrained weights were not probed"
    if len(unrotated):
        baseline += (f"; the same q and k before rotation: {np.median(unrotated):.2g} in the median "
                     "head")
    return claim(1, verdict(any(map(positions.most, positions.in_layers(found)))),
                 shares_words(step, found) + profile_words(run.probes)
                 + twin_words(run, twin, found["sample"]), criterion, baseline,
                 f"{told.sum()} heads, at least {found['n'][told].min():,} pairs each")
