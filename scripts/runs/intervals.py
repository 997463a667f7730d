"""Intervals that assume nothing of a distribution."""
import math

CONFIDENCE = 0.95


def median_interval(values):
    """(low, high) of the median by order statistics: at least 95 % for any distribution; None for
    fewer than 6 values."""
    n = len(values)
    tail, rank = 0.5**n, 0
    while 2 * (tail + math.comb(n, rank + 1) * 0.5**n) <= 1 - CONFIDENCE:
        rank += 1
        tail += math.comb(n, rank) * 0.5**n
    if 2 * 0.5**n > 1 - CONFIDENCE:
        return None
    ordered = sorted(values)
    return ordered[rank], ordered[n - 1 - rank]
