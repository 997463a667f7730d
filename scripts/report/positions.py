"""How much of a head's scores is distance, and in which layers that counts."""
import numpy as np

from report import synonyms

SHARE = "position_share"
LEAST = 0.02  # of the variance of a head's scores; a convention of this report
TIMES = 2     # as much as untrained weights have, and q and k that are not rotated
ERRORS = 2
MORE_THAN = 0.5    # of the heads of a layer


def counting(probed):
    """None where nothing is known, else {"sample"; and, each (layers, heads): "value", NaN where
    unknown; "initial", that at step 0, NaN where it was not probed; "baseline"; "n"; "counts"}."""
    sample = synonyms.last_with(probed, SHARE)
    if sample is None:
        return None
    value, baseline, n = (field[SHARE][sample] for field in
                          (probed.value, probed.baseline, probed.n))
    initial = probed.value[SHARE][0] if probed.steps[0] == 0 else np.full_like(value, np.nan)
    error = np.nan_to_num(probed.errors(SHARE)[sample])
    with np.errstate(invalid="ignore"):
        counts = ((value >= LEAST) & (value - np.nan_to_num(baseline) > ERRORS * error)
                  & ~(value < TIMES * baseline) & ~(value < TIMES * initial))
    return {"sample": sample, "value": value, "initial": initial, "baseline": baseline, "n": n,
            "counts": counts}


def in_layers(found):
    """[(heads that count, heads known)] of the layers."""
    return [(int(counts.sum()), int(told.sum()))
            for counts, told in zip(found["counts"], np.isfinite(found["value"]))]


def most(counted):
    """Whether most heads of a layer count."""
    count, told = counted
    return told > 0 and count / told > MORE_THAN
