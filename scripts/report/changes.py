"""Change points of heads, found from the measurements: is there a moment at which a head changes
faster than a smooth course would, after a time in which it did not?

The null hypothesis is a smooth course, a + b sqrt(t) + c t + d log t in steps t, with noise that
remembers: each sample keeps a part of the noise of the one before, and this part is estimated of
each series beside its best ramp and taken out of course, ramps and values alike (Cochrane and
Orcutt 1949). The alternative adds a ramp from one level to another, which begins at any sample and
takes any of RAMPS samples. What is left of the smooth course is then permuted (Freedman and Lane
1983), all heads and metrics alike, so that what they share stays shared, and the largest F of all
of them is compared (Westfall and Young 1993), so that many heads make no chance find more likely.

That a smooth course of this form does not fit is not yet a change point. One is counted where,
besides, the ramp is a large part of all that the head did, it is much steeper than what comes
before and after (learning that only slows down has no such place), and what is new in neighbours
beside the ramp is no more alike than noise is (else it could not be permuted).
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
MEMORIES = np.arange(0, 0.96, 0.05)  # parts of the noise of the sample before that may be kept
MARGIN = 1         # standard errors of it, of noise without memory
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


def without_memory(rows, memory):
    """What is new in each sample but the first."""
    return rows[:, 1:] - memory * rows[:, :-1]


def likeness(rows):
    """Correlation of neighbours, of rows whose mean is 0."""
    square = (rows**2).sum(axis=-1)
    return (rows[..., 1:] * rows[..., :-1]).sum(axis=-1) / np.where(square > 0, square, 1)


def expected_likeness(basis):
    """Of each of MEMORIES: the likeness of what `basis` leaves of noise that remembers as much. A
    smooth course takes up the slow part of the noise, which is what neighbours share."""
    count = len(basis)
    left, at = np.eye(count) - basis @ basis.T, np.arange(count)
    apart, found = np.abs(at[:, None] - at), []
    for memory in MEMORIES:
        covariance = left @ memory**apart @ left
        found.append(np.trace(covariance, 1) / np.trace(covariance))
    return np.maximum.accumulate(found)


def memories(rows, basis, shapes):
    """(series) the memory of each series' noise, of MEMORIES: that under which what the smooth
    course and the series' best ramp leave is expected to be as alike as it is, but no less than in
    the median series, and MARGIN more: the largest F of many is one whose memory is
    underestimated."""
    candidates, residuals = unit(without(basis, shapes)), without(basis, rows)
    best = candidates[explained(candidates, residuals).argmax(axis=0)]
    rest = residuals - (residuals * best).sum(axis=1, keepdims=True) * best
    typical = candidates[len(candidates) // 2][:, None]
    expected = expected_likeness(np.hstack([basis, typical]))
    found = np.interp(likeness(rest), expected, MEMORIES)
    found = np.maximum(found, np.median(found)) + MARGIN / np.sqrt(rows.shape[1])
    return MEMORIES[np.minimum(np.searchsorted(MEMORIES, found), len(MEMORIES) - 1)]


class Memory:
    """Series whose noise remembers alike, the memory taken out: their numbers, candidates (ramps,
    samples - 1), residuals (series, samples - 1), and the shares that ramps explain of them."""

    def __init__(self, memory, numbers, rows, basis, shapes):
        self.numbers = numbers
        self.basis = np.linalg.qr(without_memory(basis.T, memory).T)[0]
        self.candidates = unit(without(self.basis, without_memory(shapes, memory)))
        self.residuals = without(self.basis, without_memory(rows[numbers], memory))
        self.shares = explained(self.candidates, self.residuals)

    def by_chance(self, orders):
        """(orders): the largest share where the residuals come in these orders."""
        return np.max([explained(self.candidates, without(self.basis, row[orders])).max(axis=0)
                       for row in self.residuals], axis=0)

    def rest(self, series, ramp):
        residuals, shape = self.residuals[series], self.candidates[ramp]
        return residuals - (residuals @ shape) * shape


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


def largest_by_chance(groups):
    """The largest share of all ramps and series, of each permutation."""
    random = np.random.default_rng(SEED)
    samples = groups[0].residuals.shape[1]
    orders = np.array([random.permutation(samples) for _ in range(PERMUTATIONS)])
    return np.max([group.by_chance(orders) for group in groups], axis=0)


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
    basis, (places, shapes) = smooth_basis(steps), ramps(len(steps))
    kept = memories(rows, basis, shapes)
    groups = [Memory(memory, np.flatnonzero(kept == memory), rows, basis, shapes)
              for memory in np.unique(kept)]
    chance = largest_by_chance(groups)
    strongest = sorted(((group.shares[:, i].max(), group, i) for group in groups
                        for i in range(len(group.numbers))), key=lambda found: -found[0])
    points, aside = [], 0
    for share, group, i in strongest:
        ramp, number = group.shares[:, i].argmax(), group.numbers[i]
        p = (1 + (chance >= share).sum()) / (1 + PERMUTATIONS)
        if p >= SIGNIFICANT:
            break
        if alike(group.rest(i, ramp)) or not sudden(rows[number], *places[ramp]):
            aside += 1
        else:
            points.append(describe(labels[number], steps, rows[number], places[ramp], share, p))
    return {"p": float((1 + (chance >= strongest[0][0]).sum()) / (1 + PERMUTATIONS)),
            "points": points, "set_aside": aside, "series": len(labels), "samples": len(steps),
            "memory": float(np.median(kept))}
