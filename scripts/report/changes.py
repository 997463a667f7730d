"""Change points of heads, found from the measurements: is there a moment at which a head changes
faster than a smooth course would, after a time in which it did not?

The null hypothesis is a smooth course, a + b sqrt(t) + c t + d log t in steps t, with noise. The
alternative adds a ramp from one level to another, which begins at any sample and takes any of
RAMPS samples. Residuals of the smooth course are permuted (Freedman and Lane 1983), all heads and
metrics alike, so that what they share stays shared, and the largest F of all of them is compared
(Westfall and Young 1993), so that many heads make no chance find more likely.

That a smooth course of this form does not fit is not yet a change point. One is counted where,
besides, the ramp is a large part of all that the head did, it is much steeper than what comes
before and after (learning that only slows down has no such place), and neighbours beside the ramp
are no more alike than noise is (else residuals could not be permuted).
"""
import numpy as np

METRICS = ("entropy", "p_max", "distance", "sink", "local")
MIN_SAMPLES = 40   # after the end of warmup, which changes the pace by itself
MOST_SAMPLES = 100  # neighbours are averaged down to these
EDGE = 5           # samples that a level must last, before and after
RAMPS = (1, 2, 4, 8)
BESIDE = 10        # samples on either side that tell the pace there
STEEPER = 4        # times the pace on either side
LARGE = 0.5        # of the range of the head's values
LAGS = 4           # neighbours this far apart must not be alike
PERMUTATIONS = 199
SIGNIFICANT = 0.05
SEED = 1


def smooth_basis(steps):
    """Orthonormal (samples, 4)."""
    t = steps / steps[-1]
    return np.linalg.qr(np.stack([np.ones_like(t), np.sqrt(t), t, np.log(t)], axis=1))[0]


def ramps(count):
    """[(first sample of the new level's way, width)] and the ramps (ramps, samples), 0 to 1."""
    places = [(begin, width) for width in RAMPS for begin in range(EDGE, count - EDGE - width + 2)]
    at = np.arange(count)
    return places, np.array([np.clip((at - begin + 1) / width, 0, 1) for begin, width in places])


def without(basis, rows):
    """Rows less what the basis explains of them."""
    return rows - (rows @ basis) @ basis.T


def unit(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def explained(candidates, residuals):
    """(ramps, series): the share of the residuals' squares that a ramp explains."""
    return (candidates @ unit(residuals).T) ** 2


def series_of(samples, first):
    """[(metric, layer, head)] and their values (series, samples) from sample `first` on; heads
    that lack a value or never change are left out."""
    labels, rows = [], []
    for name in (name for name in METRICS if name in samples.value):
        values = samples.value[name][first:]
        for layer, head in np.ndindex(values.shape[1:]):
            row = values[:, layer, head]
            if np.isfinite(row).all() and np.ptp(row) > 1e-9:
                labels.append((name, layer, head))
                rows.append(row)
    return labels, np.array(rows)


def thinned(steps, rows):
    """Neighbours averaged, so that at most MOST_SAMPLES are left."""
    group = -(-len(steps) // MOST_SAMPLES)
    count = len(steps) // group
    steps = steps[len(steps) - count * group:].reshape(count, group).mean(axis=1)
    return steps, rows[:, -count * group:].reshape(len(rows), count, group).mean(axis=2)


def alike(residuals):
    """Whether near neighbours are more alike than noise would be, in two of a hundred."""
    centred = residuals - residuals.mean()
    square = (centred**2).sum()
    likeness = sum((centred[lag:] * centred[:-lag]).sum() for lag in range(1, LAGS + 1))
    return bool(square > 0 and likeness / square > 2.05 * np.sqrt(LAGS / len(centred)))


def pace(values):
    """Change a sample, by least squares."""
    at = np.arange(len(values)) - (len(values) - 1) / 2
    return (at @ values) / (at @ at)


def sudden(row, begin, width):
    """Whether the change is large, and much steeper than what is before it and after it."""
    end = begin + width - 1
    before, after = row[max(0, begin - BESIDE):begin], row[end:end + BESIDE]
    change = after[:EDGE].mean() - before[-EDGE:].mean()
    beside = max(abs(pace(before)), abs(pace(after)))
    return abs(change) >= LARGE * np.ptp(row) and abs(change) / width >= STEEPER * beside


def largest_by_chance(candidates, basis, residuals):
    """The largest share of all ramps and series, of each permutation."""
    random = np.random.default_rng(SEED)
    return np.array([explained(candidates, without(basis, residuals[:, random.permutation(
        residuals.shape[1])])).max() for _ in range(PERMUTATIONS)])


def describe(label, steps, row, place, share, p):
    (begin, width), (name, layer, head) = place, label
    end = begin + width - 1
    return {"metric": name, "layer": layer, "head": head, "from_step": float(steps[begin - 1]),
            "to_step": float(steps[end]), "explained": float(share), "p": float(p),
            "before": float(row[begin - EDGE:begin].mean()),
            "after": float(row[end:end + EDGE].mean())}


def measure(samples, warmup):
    """{"reason"} where there is too little to tell, else p of the strongest change, the points
    that are sudden too, and how many heads' measures were significant and set aside."""
    first = int(np.searchsorted(samples.steps, max(warmup, 1)))
    if len(samples) - first < MIN_SAMPLES:
        return {"reason": f"{len(samples) - first} samples after warmup; it takes {MIN_SAMPLES}",
                "samples": len(samples) - first}
    labels, rows = series_of(samples, first)
    if not labels:
        return {"reason": "no head has a value in every sample after warmup",
                "samples": len(samples) - first}
    steps, rows = thinned(samples.steps[first:].astype(float), rows)
    basis = smooth_basis(steps)
    places, shapes = ramps(len(steps))
    candidates = unit(without(basis, shapes))
    residuals = without(basis, rows)
    shares = explained(candidates, residuals)
    chance = largest_by_chance(candidates, basis, residuals)
    points, aside = [], 0
    for i in np.argsort(-shares.max(axis=0)):
        best = shares[:, i].argmax()
        p = (1 + (chance >= shares[best, i]).sum()) / (1 + PERMUTATIONS)
        if p >= SIGNIFICANT:
            break
        rest = residuals[i] - (residuals[i] @ candidates[best]) * candidates[best]
        if alike(rest) or not sudden(rows[i], *places[best]):
            aside += 1
        else:
            points.append(describe(labels[i], steps, rows[i], places[best], shares[best, i], p))
    return {"p": float((1 + (chance >= shares.max()).sum()) / (1 + PERMUTATIONS)),
            "points": points, "set_aside": aside, "series": len(labels), "samples": len(steps)}
