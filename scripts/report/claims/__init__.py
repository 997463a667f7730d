"""The claims about how attention learns, one by one: what a run says of each. A file a claim."""
from report.claims import initial, layers, positions, residual, stages, synonyms, training


def judge(run, twin):
    """(claims in order, what claim 7 found); `twin` is a run with Wq and Wk frozen, or None."""
    last, found = stages.judge(run)
    return [positions.judge(run, twin), initial.judge(run), training.judge(run, twin),
            synonyms.judge(run, twin), layers.judge(run), residual.judge(run), last], found
