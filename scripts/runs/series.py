"""Curves over a logarithmic axis: fewer points, and without their noise."""
import numpy as np

WIDTH = 0.05  # of the window, as a logarithm: it reaches over some 12 % of what came before


def thin(x, y, most, place=np.log1p):
    """(x, y, points in each) of at most `most` points: means over equal parts of the axis, which
    places x by `place`, so that a curve keeps its beginning on a logarithmic one. x ascends; what is
    not finite in y counts not."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) <= most:
        return x, y, np.ones(len(x))
    at = place(x)
    part = np.minimum((at - at[0]) / (at[-1] - at[0] or 1) * most, most - 1).astype(int)
    first = np.flatnonzero(np.diff(part, prepend=-1))
    known = np.isfinite(y)
    told = np.add.reduceat(known.astype(float), first)
    sizes = np.diff([*first, len(x)])
    with np.errstate(invalid="ignore"):
        means = np.add.reduceat(np.where(known, y, 0), first) / told
    return np.add.reduceat(x, first) / sizes, means, sizes.astype(float)


def smooth(x, y, weights=None):
    """y as a line fitted about each point says (local regression, Cleveland 1979), about it in
    log(1 + x) with a bell of WIDTH: it neither lags behind y nor bends at its ends."""
    place, y = np.log1p(np.asarray(x, float)), np.asarray(y, float)
    away = place - place[:, None]
    near = np.exp(-0.5 * (away / WIDTH)**2) * (1 if weights is None else weights)
    near /= near.sum(axis=1, keepdims=True)
    offset, mean = (near * away).sum(axis=1), near @ y
    spread = (near * away**2).sum(axis=1) - offset**2
    slope = (near * away * y).sum(axis=1) - offset * mean
    return mean - offset * slope / np.maximum(spread, 1e-12)
