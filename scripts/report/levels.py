"""Do deeper layers look further? A rank correlation with depth against all orders of layers, which
serves other figures of layers too."""
import functools
import itertools
import math

import numpy as np

SIGNIFICANT = 0.05
EXACT_LAYERS = 7  # up to these all orders are tried
ORDERS = 9999     # of more layers, this many at random
SEED = 1


def ranks(values):
    """From 0; equal values share their mean rank."""
    values = np.asarray(values)
    return np.array([(values < x).sum() + ((values == x).sum() - 1) / 2 for x in values])


@functools.lru_cache
def orders(n):
    """Orders of n layers, the given one among them."""
    if n <= EXACT_LAYERS:
        return np.array(list(itertools.permutations(range(n))))
    random = np.random.default_rng(SEED)
    return np.array([np.arange(n), *(random.permutation(n) for _ in range(ORDERS))])


def smallest_p(n):
    """What the test can say at best of n layers."""
    return 1 / (math.factorial(n) if n <= EXACT_LAYERS else ORDERS + 1)


def trend(values, sign):
    """(Spearman's correlation with depth, one-sided p that it is as large as sign x it)."""
    values = np.asarray(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    depth, rank = np.arange(len(values)) - (len(values) - 1) / 2, ranks(values)
    rank = rank - rank.mean()
    spread = math.sqrt((depth**2).sum() * (rank**2).sum())
    if not spread:
        return 0.0, 1.0
    by_chance = sign * (rank[orders(len(values))] @ depth) / spread
    return float(sign * by_chance[0]), float((by_chance >= by_chance[0] - 1e-9).mean())


def by_layer(samples, name, sample):
    """Mean over heads of a metric against its baseline."""
    if name not in samples.value:
        return np.full(samples.n_layers, np.nan)
    excess = samples.excess(name)[sample]
    return np.array([np.mean(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan
                     for row in excess])


def measure(samples, sample=-1):
    """Distance against its baseline, which should rise, and local mass, which should fall."""
    found = {"layers": samples.n_layers, "smallest_p": smallest_p(samples.n_layers)}
    for name, sign in (("distance", 1), ("local", -1)):
        values = by_layer(samples, name, sample)
        rho, p = trend(values, sign)
        found[name] = {"by_layer": values.tolist(), "rho": rho, "p": p}
    return found
