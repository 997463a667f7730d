"""Claim 2: do q and k carry nothing before the first step: is attention what random scores give?

Scores that are independent and normal, of variance s^2 in a row of n, have the entropy
ln n - s^2/2: they are sharper than uniform without a direction."""
from statistics import NormalDist

import numpy as np

from report import synonyms
from report.claims.verdict import NOT_SAMPLED, claim, untested, verdict

# How far from its baseline a head may be and still have no pattern: conventions of this report.
NEAR = {"entropy": 0.1, "sink": 0.05, "local": 0.05, "distance": 0.1}
NEAR_RANDOM = 0.02  # of entropy, from that of random scores, where their deviation was probed
NEAR_PROBED = {"previous_token": 0.05, "induction": 0.05, "offset": 0.05}
AUC_ERRORS = 2.5    # of 0.5, the mean of a layer's heads; more where many are compared
SIGNIFICANT = 0.05
NEAR_SHARE = 0.95   # of the heads
DEVIATION = "score_deviation"


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


def of_random_scores(run):
    """(layers, heads) normalised entropy that random scores have, of the deviation of each head's
    at step 0; None where that was not probed. L is the mean of ln n over the rows of a sequence
    without document masks, which make it a little less."""
    probed, length = run.probes.heads, run.option("seq-len")
    if probed is None or probed.steps[0] != 0 or DEVIATION not in probed.value or not length:
        return None
    log_n = np.log(np.arange(2, max(int(length), 2) + 1)).mean()
    expected = 1 - probed.value[DEVIATION][0] ** 2 / (2 * log_n)
    same = expected.shape == run.samples.value["entropy"][0].shape
    return expected if same and np.isfinite(expected).all() else None


def sharpness(run, expected):
    """Words on how sharp attention is, beside uniform and random scores."""
    entropy = run.samples.value["entropy"][0]
    middle = np.nanmedian(entropy)
    words = f". Entropy {middle:.3f} in the median head, {1 - middle:.3f} from uniform"
    if expected is None:
        return words + "; the deviation of scores was not probed at step 0"
    random, deviation = (np.median(x) for x in (expected, run.probes.heads.value[DEVIATION][0]))
    near = abs(middle - random) <= NEAR_RANDOM
    return words + (f" and {abs(middle - random):.3f} from the {random:.3f} of random scores of "
                    f"the same deviation ({deviation:.3f}): "
                    f"{'sharpness without a direction' if near else 'not what random scores give'}")


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
    """(words, whether synonyms are as far apart as other words) of the probes of step 0, by the
    means of layers."""
    probed = run.probes.heads
    if probed is None or probed.steps[0] != 0:
        return "", True
    names = {kind: f"{kind}_synonym_auc" for kind in ("q", "k")}
    rows = [(kind, layer, auc, error) for kind, name in names.items() if name in probed.value
            for layer, (auc, error, n) in enumerate(synonyms.of_layers(probed, name, 0)) if n]
    if not rows:
        return "", True
    errors = max(AUC_ERRORS, NormalDist().inv_cdf(1 - SIGNIFICANT / (2 * len(rows))))
    kind, layer, auc, error = max(rows, key=lambda row: abs(row[2] - 0.5) / max(row[3], 1e-9))
    return (f". Synonyms' AUC of q and k, means of layers: farthest from 0.5 is {kind} of layer "
            f"{layer}, {auc:.2f} +- {error:.2f} (of {len(rows)}; may be {errors:.1f} standard "
            "errors)", all(abs(auc - 0.5) <= errors * error for _, _, auc, error in rows))


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
    if not shares(far, NEAR)[1]:
        return untested(2, "no head has all its figures in the first sample")
    return judge_heads(run, far)


def judge_heads(run, far):
    samples, expected, limits = run.samples, of_random_scores(run), NEAR
    if expected is not None:
        far = far | {"entropy": np.abs(samples.value["entropy"][0] - expected)}
        limits = NEAR | {"entropy": NEAR_RANDOM}
    near, told = shares(far, limits)
    known = np.all([np.isfinite(far[name]) for name in NEAR], axis=0)
    found, none = patterns(run)
    words, alike = words_alike(run)
    figure = (f"{near} of {told} heads are near their baselines at step 1. Farthest: "
              f"{farthest(far, limits)}{sharpness(run, expected)}"
              f"{found or '. Not probed at step 0'}{words}")
    criterion = f"as near as that in {NEAR_SHARE:.0%} of the heads"
    if words:
        criterion += ("; synonyms' AUC of q and k as near to 0.5 as that in every layer, corrected "
                      "for their number")
    baseline = "uniform attention over the visible keys; distance as a ratio to it"
    if expected is not None:
        baseline += ("; entropy: random scores of the same deviation, 1 - s^2 / (2 L), L the mean "
                     "of ln n over a sequence's rows, which document masks make a little less")
    rows = int(min(samples.n[name][0][known].min() for name in NEAR))
    return claim(2, verdict(near / told >= NEAR_SHARE and none and alike), figure, criterion,
                 baseline, f"{told} heads, at least {rows} rows each")
