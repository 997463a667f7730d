"""Which heads these statistics can name, and which are in danger."""
import numpy as np

SINK_MASS = 0.3         # Gu et al. 2410.10781
SINK_TIMES_BASELINE = 2  # short documents have a large first position by chance
LOCAL_SHARE = 0.5       # of the way from the baseline to 1; a convention of this report
LOCAL_BASELINE = 0.9    # above it nearly every visible key is local
LOGIT_HIGH, LOGIT_DANGER = 100, 1000  # Kimi K2 clips at 100, and saw above 1,000 before
COLLAPSED = 0.05        # normalised entropy; a convention of this report

NEED_PROBES = ("previous-token", "induction", "offset")

RULES = {
    "sink": f"sink mass > {SINK_MASS} (Gu et al. 2410.10781) and > {SINK_TIMES_BASELINE} x its "
            "baseline",
    "local": f"local mass at least {LOCAL_SHARE:.0%} of the way from its baseline to 1 (a "
             f"convention of this report), where the baseline is below {LOCAL_BASELINE}",
}


def last(samples, name):
    """(value, baseline, n) of a metric at the last sample, each (layers, heads)."""
    if name not in samples.value:
        nothing = np.full((samples.n_layers, samples.n_heads), np.nan)
        return nothing, nothing, np.zeros(nothing.shape, int)
    return samples.value[name][-1], samples.baseline[name][-1], samples.n[name][-1]


def types(samples):
    """{type: (layers, heads) of bool} at the last sample; what is not a number has no type."""
    sink, sink_base, _ = last(samples, "sink")
    local, local_base, _ = last(samples, "local")
    with np.errstate(invalid="ignore"):
        return {"sink": (sink > SINK_MASS) & (sink > SINK_TIMES_BASELINE * sink_base),
                "local": (local_base < LOCAL_BASELINE)
                & (local >= local_base + LOCAL_SHARE * (1 - local_base))}


def table(samples):
    """A row for each head: its types and its figures at the last sample."""
    named, rows = types(samples), []
    figures = {name: last(samples, name) for name in ("sink", "local", "distance", "entropy")}
    for layer in range(samples.n_layers):
        for head in range(samples.n_heads):
            at = (layer, head)
            rows.append({"layer": layer, "head": head,
                         "types": [name for name in named if named[name][at]],
                         "n": int(max(n[at] for _, _, n in figures.values())),
                         **{name: (float(value[at]), float(base[at]))
                            for name, (value, base, _) in figures.items()}})
    return rows


def extreme_logit(samples):
    """The largest max logit of all samples: value, step, layer, head; None if none is recorded."""
    values = samples.value.get("max_logit")
    if values is None or not np.isfinite(values).any():
        return None
    at = np.unravel_index(np.nanargmax(values), values.shape)
    return {"value": float(values[at]), "step": int(samples.steps[at[0]]), "layer": int(at[1]),
            "head": int(at[2])}


def collapsed(samples):
    """Heads below COLLAPSED in any sample: the first such step, and whether it lasts."""
    values = samples.value.get("entropy")
    if values is None:
        return []
    with np.errstate(invalid="ignore"):
        low = values < COLLAPSED
    return [{"layer": int(layer), "head": int(head),
             "step": int(samples.steps[low[:, layer, head].argmax()]),
             "entropy": float(values[-1, layer, head]), "at_end": bool(low[-1, layer, head])}
            for layer, head in np.argwhere(low.any(axis=0))]


def above(samples, logit):
    """How many heads exceed a logit in any sample."""
    values = samples.value.get("max_logit")
    if values is None:
        return 0
    with np.errstate(invalid="ignore"):
        return int((values > logit).any(axis=0).sum())
