"""What the residual at each depth says of the next token (logit lens), over what a model knows
that reads no context: how frequent tokens are, and which follows which."""
import math

import numpy as np

from report import levels

LEAST_GAIN = 0.01  # of accuracy; a convention of this report
ERRORS = 3         # standard errors that a gain must exceed


def row(layers, name, sample):
    """(depths,) values of a metric at a sample, less depths that it is never recorded of."""
    if layers is None or name not in layers.value:
        return np.array([])
    told = np.isfinite(layers.value[name][:, :, 0]).any(axis=0)
    return layers.value[name][sample, :, 0][told]


def accuracy(layers, sample, name="lens_accuracy"):
    """{"value", "baseline", "error", "n"}, each (depths,); the error is that of independent tokens
    where none is recorded."""
    if layers is None or name not in layers.value:
        return None
    told = np.isfinite(layers.value[name][:, :, 0]).any(axis=0)
    value, baseline, n, error = (field[sample, :, 0][told] for field in (
        layers.value[name], layers.baseline[name], layers.n[name], layers.errors(name)))
    if not np.isfinite(value).all() or not np.isfinite(baseline).all() or (n == 0).any():
        return None
    share = np.clip(value, 1 / (n + 2), 1 - 1 / (n + 2))
    error = np.where(np.isfinite(error), error, np.sqrt(share * (1 - share) / n))
    return {"value": value, "baseline": baseline, "error": error, "n": n}


def knows_words(words):
    """Whether the output predicts which word comes next better than by the commonest: pieces of a
    word follow each other even where its words are in no order. True where it is not recorded."""
    if words is None:
        return True
    gain, error = words["value"][-1] - words["baseline"][-1], words["error"][-1]
    return bool(gain >= max(LEAST_GAIN, ERRORS * error))


def rise(run, sample):
    """What accuracy and loss do over the depths of a sample of probes; None where they are not
    recorded. Only accuracy above the commonest token's counts, for a residual climbs to that
    without context; and the output must know more than the current token alone tells, where the
    run's data are there to say how much that is, and more of what word begins than its frequency.
    """
    layers, alone = run.probes.layers, run.followers()
    told, loss = accuracy(layers, sample), row(layers, "lens_loss", sample)
    if told is None or len(loss) != len(told["value"]) or not np.isfinite(loss).all():
        return None
    over = told["value"] - told["baseline"]
    gain = np.maximum(over, 0)
    first, last, error = gain[min(1, len(gain) - 1)], gain[-1], told["error"]
    rho, p = levels.trend(gain, 1)
    loss_rho, loss_p = levels.trend(loss, -1)
    found = {"depths": len(gain), "accuracy": told["value"].tolist(),
             "baseline": float(told["baseline"][-1]), "error": float(error[-1]),
             "n": int(told["n"].min()), "loss": loss.tolist(), "rho": rho, "p": p,
             "loss_rho": loss_rho, "loss_p": loss_p,
             "gain": float(over[-1]), "after_first": float(last - first),
             "after_first_error": math.hypot(error[-1], error[min(1, len(error) - 1)]),
             "smallest_p": levels.smallest_p(len(gain))}
    words = accuracy(layers, sample, "lens_word_accuracy")
    found["words"] = words and {side: float(words[side][-1]) for side in ("value", "baseline")}
    floor = max(found["baseline"], alone["accuracy"] if alone else 0)
    found["alone"] = alone["accuracy"] if alone else None
    found["context"] = knows_words(words) and bool(
        told["value"][-1] - floor >= max(LEAST_GAIN, ERRORS * error[-1]))
    found["holds"] = bool(
        found["context"] and p < levels.SIGNIFICANT and loss_p < levels.SIGNIFICANT
        and found["after_first"] >= max(LEAST_GAIN, ERRORS * found["after_first_error"]))
    return found


def count(run):
    """Samples of probes of layers."""
    return 0 if run.probes.layers is None else len(run.probes.layers)


def since(run):
    """The first sample from which on the rise holds in all; None where it does not at the end."""
    first = None
    for sample in reversed(range(count(run))):
        found = rise(run, sample)
        if found is None:
            continue
        if not found["holds"]:
            break
        first = sample
    return first


def last(run):
    """The last sample that has the logit lens, or None."""
    return next((sample for sample in reversed(range(count(run))) if rise(run, sample)), None)


def similarity(figures, step):
    """(matrix of CKA (depths, depths), that with the tokens shuffled), NaN where nothing is."""
    pairs = figures.similarity[step]
    depths = 1 + max(depth for pair in pairs for depth in pair)
    value, base = np.full((depths, depths), np.nan), np.full((depths, depths), np.nan)
    np.fill_diagonal(value, 1)
    for (a, b), (found, by_chance) in pairs.items():
        value[a, b] = value[b, a] = found
        base[a, b] = base[b, a] = np.nan if by_chance is None else by_chance
    return value, base
