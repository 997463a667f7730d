"""What reaches Wq, Wk and the embeddings in training, and how far it moves them."""
import math

import numpy as np

GRADIENTS = {"q": "grad_norm_q", "k": "grad_norm_k", "embedding": "grad_norm_embedding"}
CHANGES = {"q": "change_q", "k": "change_k", "embedding": "change_embedding"}
NAMES = {"q": "Wq", "k": "Wk", "embedding": "the embeddings"}


def series(figures, name):
    """(steps, tokens, (S, layers) values) of a metric of layers or of the model; None if there is
    none."""
    for of in (figures.layers, figures.model):
        if of is not None and name in of.value:
            rows = of.value[name][:, :, 0]
            told = np.isfinite(rows)
            if not told.any():
                return None
            return (of.steps[told.any(axis=1)], of.tokens[told.any(axis=1)],
                    rows[told.any(axis=1)][:, told.any(axis=0)])
    return None


def decay_alone(run, last):
    """|W - W0| / |W0| at step `last` of a matrix that only weight decay moves."""
    decay, left = run.option("weight-decay", 0.0), 0.0
    for entry in run.steps:
        rate = entry.get("lr")
        if entry["step"] <= last and isinstance(rate, (int, float)):
            left += math.log1p(-min(max(rate * decay, 0.0), 0.999))
    return abs(math.expm1(left))


def global_norms(run, steps):
    """The log's norm of all gradients at these steps; NaN where it has none."""
    of = {entry["step"]: entry["grad_norm"] for entry in run.steps
          if isinstance(entry.get("grad_norm"), (int, float))}
    return np.array([of.get(int(step), np.nan) for step in steps], float)
