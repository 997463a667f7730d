"""Claim 1: does the score of q and k depend on their distance, and how much of it is that?"""
import numpy as np

from report.claims.verdict import NOT_PROBED, claim, untested, verdict

TIMES_BASELINE = 2  # chance alone stays below: its spread is a fraction of its mean
ERRORS = 2
MORE_THAN = 0.5     # of the heads


def beyond(probed, sample):
    """((heads) shares, baselines, whether each is beyond its baseline, pairs) of known heads."""
    value, base = (field["position_share"][sample] for field in (probed.value, probed.baseline))
    error, n = probed.errors("position_share")[sample], probed.n["position_share"][sample]
    told = np.isfinite(value) & np.isfinite(base) & (n > 0)
    value, base, error = value[told], base[told], np.nan_to_num(error[told])
    return (value, base, (value > TIMES_BASELINE * base) & (value - base > ERRORS * error),
            n[told])


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


def judge(run):
    if not run.is_rotary():
        return untested(1, "this model has learnt absolute positions, not rotary ones")
    probed = run.probes.heads
    if probed is None or "position_share" not in probed.value:
        return untested(1, "needs the share of position in the scores, and the score as a function "
                           f"of distance: {NOT_PROBED}")
    value, base, far, n = beyond(probed, -1)
    if not len(value):
        return untested(1, f"step {probed.steps[-1]} has no share of position with a baseline")
    low, middle, high = np.quantile(value, (0, 0.5, 1))
    begin = beyond(probed, 0)[0] if len(probed) > 1 else []
    first = (f" (median at step {probed.steps[0]}: {np.median(begin):.2g})" if len(begin) else "")
    figure = (f"step {probed.steps[-1]}: distance alone explains {middle:.2g} of the variance of "
              f"scores in the median head{first}, from {low:.2g} to {high:.2g}; the other "
              f"{1 - middle:.2g} is content. Beyond its baseline in {far.sum()} of {len(far)} heads"
              f"{profile_words(run.probes)}")
    criterion = (f"a share more than {TIMES_BASELINE} x its baseline, and by {ERRORS} standard "
                 f"errors where they are known, in more than {MORE_THAN:.0%} of the heads")
    return claim(1, verdict(far.mean() > MORE_THAN), figure, criterion,
                 f"scores dealt out anew to the distances: {np.median(base):.2g} in the median head",
                 f"{len(value)} heads, at least {n.min():,} pairs each")
