"""Claim 3: do gradients reach and change Wq, Wk and the embeddings, and does it matter?"""
import numpy as np

from report import frozen, weights
from report.claims.verdict import (NOT_PROBED, NOT_TESTABLE, claim, judgement, untested,
                                   verdict)

LEAST_SHARE = 1e-4   # of the norm of all gradients, in the median sample
LEAST_CHANGE = 0.1   # of the norm of the initial weights, that weight decay does not explain
PART = "What frozen Wq and Wk cost"


def reached(run, name):
    """(words, whether, samples) of the gradients of one kind of matrix; None where none is
    recorded."""
    found = weights.series(run.lens, weights.GRADIENTS[name])
    if found is None:
        return None
    steps, _, norms = found
    with np.errstate(invalid="ignore"):
        least = np.nanmin(np.nanmedian(norms, axis=0))
        shares = norms / weights.global_norms(run, steps)[:, None]
    told = np.isfinite(shares).any(axis=0).all()
    share = np.nanmin(np.nanmedian(shares, axis=0)) if told else np.nan
    words = f"{weights.NAMES[name]} {least:.2g}" + (
        f" ({share:.2g} of the norm of all gradients)" if told else "")
    return words, bool(least > 0 and (not told or share >= LEAST_SHARE)), len(steps)


def changed(run, name):
    """(words, whether) of how far the matrices of one kind moved; None where it is not known. By
    the triangle inequality what is not decay moved them by the change less that of decay alone."""
    found = weights.series(run.probes, weights.CHANGES[name])
    if found is None:
        return None
    steps, _, changes = found
    least, decay = np.nanmin(changes[-1]), weights.decay_alone(run, steps[-1])
    return f"{weights.NAMES[name]} {least:.2g}", bool(least - decay >= LEAST_CHANGE)


def judge_twin(run, twin):
    found = frozen.measure(run, twin)
    if "reason" in found:
        return judgement(PART, NOT_TESTABLE, found["reason"])
    held, words = found["held_out"], ""
    if held:
        words = (f"; held out {held['twin']:.4g} against {held['run']:.4g} at step "
                 f"{held['step']}")
    figure = (f"loss of {found['twin']} less that of this run, steps {found['from_step']} to "
              f"{found['to_step']}: {found['cost']:+.4f} +- {found['error']:.4f} nats a token"
              f"{words}. One run of each: how much two seeds differ is not known")
    return judgement(PART, verdict(found["holds"]), figure,
                     f"at least {frozen.LEAST} nats, an allowance, and {frozen.ERRORS} standard "
                     "errors", "0 nats",
                     f"{found['n']} steps that both have")


def judge(run, twin):
    part = judge_twin(run, twin)
    if frozen.is_frozen(run):
        return untested(3, "this run's Wq and Wk are frozen", part)
    gradients = {name: reached(run, name) for name in weights.NAMES}
    changes = {name: changed(run, name) for name in weights.NAMES}
    absent = [f"{what} of {weights.NAMES[name]}" for what, found in (
        ("gradients", gradients), ("change", changes)) for name in found if found[name] is None]
    if absent:
        return untested(3, f"not recorded: {', '.join(absent)}. Gradients: train with "
                           f"--lens-every N. Changes: {NOT_PROBED}", part)
    last = weights.series(run.probes, weights.CHANGES["q"])[0][-1]
    decay = weights.decay_alone(run, last)
    figure = ("Norms of gradients in the median sample, of the layer with the least: "
              f"{', '.join(words for words, _, _ in gradients.values())}. Changes by step {last}, "
              f"of the layer with the least: {', '.join(words for words, _ in changes.values())}")
    criterion = (f"gradients at least {LEAST_SHARE:g} of the norm of all; changes, less what "
                 f"weight decay alone does, at least {LEAST_CHANGE:g} of the initial weights' norm")
    holds = all(found[1] for found in (*gradients.values(), *changes.values()))
    return claim(3, verdict(holds), figure, criterion,
                 f"no gradient; weight decay alone changes a matrix by {decay:.2g}",
                 f"{gradients['q'][2]} samples of gradients", part=part)
