"""Figures as arrays over (sample, layer, head), and what their metrics are."""
from collections import namedtuple

import numpy as np

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
    "previous_token": Metric("previous token", "difference",
                             "mean weight of the token before, on random tokens"),
    "induction": Metric("induction", "difference",
                        "mean weight of the token that followed this one's last occurrence, on "
                        "random tokens repeated at a random period"),
    "offset": Metric("best offset", "difference",
                     "the largest mean weight at one distance, on random tokens"),
    "ablation": Metric("cost of ablation", "difference",
                       "loss without the head less loss with it, nats a token"),
    "position_share": Metric("share of position", "difference",
                             "part of the variance of scores that distance alone explains"),
    "score_deviation": Metric("deviation of scores", "none",
                              "root of the mean variance of a row's visible scores"),
    "lens_accuracy": Metric("accuracy", "difference",
                            "share of next tokens that the residual at a depth predicts; baseline: "
                            "the commonest token"),
    "lens_word_accuracy": Metric("accuracy of words' first tokens", "difference",
                                 "share of those next tokens that begin a word; baseline: the "
                                 "commonest of these"),
    "lens_loss": Metric("loss", "difference", "loss of the same prediction, nats; baseline: ln V"),
    "lens_entropy": Metric("entropy", "difference",
                           "entropy of the same prediction, nats; baseline: ln V"),
    "lens_kl": Metric("KL", "none", "divergence from the output's prediction to it, nats"),
    "grad_norm_q": Metric("gradient of Wq", "none", "norm, before clipping"),
    "grad_norm_k": Metric("gradient of Wk", "none", "norm, before clipping"),
    "grad_norm_embedding": Metric("gradient of the embeddings", "none", "norm, before clipping"),
    "change_q": Metric("change of Wq", "difference", "|W - W0| / |W0| since step 0"),
    "change_k": Metric("change of Wk", "difference", "|W - W0| / |W0| since step 0"),
    "change_embedding": Metric("change of the embeddings", "difference",
                               "|W - W0| / |W0| since step 0"),
}
for _name in ("q", "k"):
    METRICS |= {
        f"{_name}_norm": Metric(f"norm of {_name}", "none", "mean over tokens"),
        f"{_name}_participation": Metric(f"participation ratio of {_name}", "none",
                                         "tr(C)^2 / |C|^2 of the covariance, 1 to head_dim"),
        f"{_name}_rank": Metric(f"effective rank of {_name}", "none",
                                "exp of the entropy of the covariance's eigenvalues"),
        f"{_name}_anisotropy": Metric(f"anisotropy of {_name}", "difference",
                                      "mean cosine of two tokens' vectors"),
    }
_OF = {"q": "q", "k": "k", "row": "rows of scores", "embedding": "embeddings"}
for _name, _title in _OF.items():
    METRICS |= {
        f"{_name}_synonym_cosine": Metric(f"synonyms' cosine, {_title}", "difference",
                                          "mean centred cosine; baseline: pairs matched by "
                                          "frequency"),
        f"{_name}_synonym_auc": Metric(f"synonyms' AUC, {_title}", "difference",
                                       "probability that a synonym pair is closer than one "
                                       "matched by frequency"),
        f"{_name}_antonym_cosine": Metric(f"antonyms' cosine, {_title}", "difference",
                                          "the same of antonyms, a control"),
        f"{_name}_antonym_auc": Metric(f"antonyms' AUC, {_title}", "difference",
                                       "the same of antonyms, a control"),
        f"{_name}_shuffled_auc": Metric(f"re-paired synonyms' AUC, {_title}", "difference",
                                        "the same of synonyms re-paired at random, a null"),
    }


def metric_of(name):
    return METRICS.get(name, Metric(name, "difference", "not known to this version of the report"))


class Samples:
    """steps, tokens: (S); value, baseline, n, at, error: {metric: (S, layers, heads)}, NaN and 0
    where nothing was recorded; a metric is in `at` and `error` only where some figure has one."""

    def __init__(self, steps, tokens, n_layers, n_heads):
        self.steps, self.tokens = np.array(steps), np.array(tokens)
        self.n_layers, self.n_heads = n_layers, n_heads
        self.value, self.baseline, self.n, self.at, self.error = {}, {}, {}, {}, {}

    def __len__(self):
        return len(self.steps)

    def nothing(self):
        return np.full((len(self), self.n_layers, self.n_heads), np.nan)

    def add_metric(self, name):
        self.value[name], self.baseline[name] = self.nothing(), self.nothing()
        self.n[name] = np.zeros(self.value[name].shape, np.int64)

    def metrics(self):
        """Names, the known ones first."""
        return sorted(self.value, key=lambda name: (
            list(METRICS).index(name) if name in METRICS else len(METRICS), name))

    def last(self, name):
        """(value, baseline, n) at the last sample, each (layers, heads)."""
        if name not in self.value:
            nothing = np.full((self.n_layers, self.n_heads), np.nan)
            return nothing, nothing, np.zeros(nothing.shape, int)
        return self.value[name][-1], self.baseline[name][-1], self.n[name][-1]

    def errors(self, name):
        """(S, layers, heads), NaN where no standard error is known."""
        return self.error[name] if name in self.error else self.nothing()

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
    """Of figures that all have a layer and a head; the last of several of the same counts. None
    of none."""
    if not found:
        return None
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
        for field, given in ((samples.at, x.at), (samples.error, x.error)):
            if given is not None:
                field.setdefault(x.metric, samples.nothing())[at] = given
    return samples
