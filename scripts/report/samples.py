"""The samples of lens.jsonl as arrays over (sample, layer, head), and what their metrics are."""
from collections import namedtuple

import numpy as np

Sample = namedtuple("Sample", "step tokens layer head metric value baseline n")

# How a metric stands beside its baseline: a difference, a ratio, or alone.
Metric = namedtuple("Metric", "title against meaning")
METRICS = {
    "entropy": Metric("normalised entropy", "difference",
                      "H / ln n over n visible keys; 1 is uniform, 0 is one key"),
    "max_logit": Metric("max logit", "none", "the largest scaled score of the sample"),
    "p_max": Metric("max probability", "difference", "mean of the largest weight of a row"),
    "distance": Metric("mean distance", "ratio", "mean of the sum of p (i - j), in positions"),
    "sink": Metric("sink mass", "difference",
                   "mean weight of the first position of the document"),
    "local": Metric("local mass", "difference", "mean weight of the 16 nearest keys"),
}


def metric_of(name):
    return METRICS.get(name, Metric(name, "difference", "not known to this version of the report"))


class Samples:
    """steps, tokens: (S); value, baseline, n: {metric: (S, layers, heads)}, NaN and 0 where
    nothing was recorded."""

    def __init__(self, steps, tokens, n_layers, n_heads):
        self.steps, self.tokens = np.array(steps), np.array(tokens)
        self.n_layers, self.n_heads = n_layers, n_heads
        self.value, self.baseline, self.n = {}, {}, {}

    def __len__(self):
        return len(self.steps)

    def add_metric(self, name):
        shape = (len(self), self.n_layers, self.n_heads)
        self.value[name], self.baseline[name] = np.full(shape, np.nan), np.full(shape, np.nan)
        self.n[name] = np.zeros(shape, np.int64)

    def metrics(self):
        """Names, the known ones first."""
        return sorted(self.value, key=lambda name: (
            list(METRICS).index(name) if name in METRICS else len(METRICS), name))

    def excess(self, name):
        """Value against baseline as the metric's kind says: difference, or ratio."""
        value, baseline = self.value[name], self.baseline[name]
        against = metric_of(name).against
        if against == "none" or not np.isfinite(baseline).any():
            return value
        if against == "difference":
            return value - baseline
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(baseline > 0, value / baseline, np.nan)


def samples_of(found):
    """Of the lines of a log; the last of several lines for the same figure counts."""
    tokens = {x.step: x.tokens for x in found}
    steps = sorted(tokens)
    row = {step: i for i, step in enumerate(steps)}
    samples = Samples(steps, [tokens[step] for step in steps],
                      1 + max(x.layer for x in found), 1 + max(x.head for x in found))
    for x in found:
        if x.metric not in samples.value:
            samples.add_metric(x.metric)
        at = (row[x.step], x.layer, x.head)
        samples.value[x.metric][at] = np.nan if x.value is None else x.value
        samples.baseline[x.metric][at] = np.nan if x.baseline is None else x.baseline
        samples.n[x.metric][at] = x.n
    return samples
