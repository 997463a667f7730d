"""The frozen twin: the same run with Wq and Wk as they were at the beginning. What does it cost?"""
import math

import numpy as np

from report.run import NoRun, Run

SAME = ("model", "seed", "steps", "batch-size", "seq-len", "grad-accum", "lr", "min-lr", "warmup",
        "schedule", "decay", "weight-decay", "precision", "documents")
LAST_SHARE = 0.25  # of the common steps, over which losses are compared
BLOCKS = 8         # neighbouring steps share their noise
ERRORS = 3         # standard errors that the difference must exceed, and
LEAST = 0.02       # nats a token: runs that differ by their seed alone may differ by as much


def is_frozen(run):
    return run.options.get("freeze") == "qk"


def twin(folder):
    """The run in a folder; NoRun where its Wq and Wk are not frozen."""
    run = Run(folder)
    if not is_frozen(run):
        raise NoRun(f'{folder}: expected a run of quern train --freeze qk; its run.json does not '
                    'say "freeze": "qk"')
    return run


def differences(run, twin):
    """What besides the freezing is not the same."""
    found = [name for name in SAME if run.options.get(name) != twin.options.get(name)]
    data, other = (each.environment.get("data") for each in (run, twin))
    texts = [x.get("xxh3") for x in (data, other) if isinstance(x, dict)]
    return found + (["data"] if len(texts) == 2 and texts[0] != texts[1] else [])


def losses(run):
    return {entry["step"]: entry["loss"] for entry in run.steps}


def difference(run, twin):
    """(steps, tokens, loss of the twin less the run's), at the steps that both have."""
    ours, theirs = losses(run), losses(twin)
    tokens = {entry["step"]: entry["tokens"] for entry in run.steps}
    steps = np.array(sorted(ours.keys() & theirs.keys()), int)
    return (steps, np.array([tokens[step] for step in steps]),
            np.array([theirs[step] - ours[step] for step in steps]))


def held_out(run, twin):
    """{"step", "run", "twin"} at the last evaluation that both have, or None."""
    ours, theirs = ({x["step"]: x["val_loss"] for x in each.evaluations} for each in (run, twin))
    both = ours.keys() & theirs.keys()
    return {"step": max(both), "run": ours[max(both)],
            "twin": theirs[max(both)]} if both else None


def measure(run, twin):
    """The twin's loss less the run's, with its error by blocks; {"reason"} where there is no twin
    to compare with."""
    if twin is None:
        return {"reason": "needs the same run with Wq and Wk frozen: quern train --freeze qk, then "
                          "scripts/report.py --frozen RUN"}
    apart = differences(run, twin)
    if apart:
        return {"reason": f"{twin.name} is not this run with Wq and Wk frozen: it differs in "
                          f"{', '.join(apart)}"}
    steps, _, cost = difference(run, twin)
    count = int(len(steps) * LAST_SHARE) // BLOCKS * BLOCKS
    if count < 2 * BLOCKS:
        return {"reason": f"{len(steps)} steps in common; it takes "
                          f"{math.ceil(2 * BLOCKS / LAST_SHARE)}"}
    blocks = cost[-count:].reshape(BLOCKS, -1).mean(axis=1)
    mean, error = float(blocks.mean()), float(blocks.std(ddof=1) / math.sqrt(BLOCKS))
    return {"twin": twin.name, "cost": mean, "error": error, "from_step": int(steps[-count]),
            "to_step": int(steps[-1]), "n": count, "held_out": held_out(run, twin),
            "holds": bool(mean >= max(LEAST, ERRORS * error))}
