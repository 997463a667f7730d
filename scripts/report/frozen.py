"""The frozen twin: the same run with Wq and Wk as they were at the beginning. What does it cost?"""
import math

import numpy as np

from report import synonyms
from report.run import NoRun, Run

# Options that may differ: where things lie, how fast they are made, what is kept and measured.
FREE = {"run", "data", "freeze", "threads", "backend"}
FREE_FAMILIES = ("lens-", "save-", "keep-", "eval-", "backend-")
LAST_SHARE = 0.25  # of the common steps, over which losses are compared
BLOCKS = 8         # neighbouring steps share their noise
ERRORS = 3         # standard errors that the difference must exceed, and
LEAST = 0.02       # nats a token: an allowance, for how much two seeds differ is not measured


def is_frozen(run):
    return run.options.get("freeze") == "qk"


def twin(folder):
    """The run in a folder; NoRun where its Wq and Wk are not frozen."""
    run = Run(folder)
    if not is_frozen(run):
        raise NoRun(f'{folder}: expected a run of quern train --freeze qk; its run.json does not '
                    'say "freeze": "qk"')
    return run


def is_free(name):
    return name in FREE or name.startswith(FREE_FAMILIES)


def unlike(ours, theirs):
    """Names of what is not the same in two objects."""
    return [name for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)]


def differences(run, twin):
    """What besides the freezing is not the same. Data are the same by their checksum, wherever they
    lie; by their path where none was recorded."""
    found = [name for name in unlike(run.options, twin.options) if not is_free(name)]
    found += [f"{name} of config.json" for name in unlike(run.config, twin.config)]
    data, other = (each.environment.get("data") for each in (run, twin))
    texts = [x.get("xxh3") for x in (data, other) if isinstance(x, dict) and x.get("xxh3")]
    apart = (texts[0] != texts[1] if len(texts) == 2
             else run.options.get("data") != twin.options.get("data"))
    return found + (["data"] if apart else [])


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


def layers(run, twin, metric):
    """What a probe found of each layer of the twin in the end, means over heads that are known: what
    q and k have of it though Wq and Wk learnt nothing. None without such a twin or probe."""
    if twin is None or differences(run, twin):
        return None
    probed = twin.probes.heads
    sample = synonyms.last_with(probed, metric)
    if sample is None:
        return None
    return [mean for mean, _, _ in synonyms.of_layers(probed, metric, sample)]


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
