"""Which heads the figures can name, what each is worth, and which are in danger."""
import numpy as np

SINK_MASS = 0.3         # Gu et al. 2410.10781
SINK_TIMES_BASELINE = 2  # short documents have a large first position by chance
LOCAL_SHARE = 0.5       # of the way from the baseline to 1; a convention of this report
LOCAL_BASELINE = 0.9    # above it nearly every visible key is local
LOGIT_HIGH, LOGIT_DANGER = 100, 1000  # Kimi K2 clips at 100, and saw above 1,000 before
COLLAPSED = 0.05        # normalised entropy; a convention of this report

PROBE_WEIGHT = 0.3  # of probes on random tokens: QN_LABEL_THRESHOLD of include/quern/label.h
PROBE_TIMES_BASELINE = 3  # a window of few keys has much weight on each
OFFSET_FROM = 2  # distance 1 is the previous token's

FROM_SAMPLES, FROM_PROBES = ("sink", "local"), ("previous-token", "induction", "offset")

RULES = {
    "previous-token": f"mean weight of the token before > {PROBE_WEIGHT} and > "
                      f"{PROBE_TIMES_BASELINE} x that of uniform weights, on random tokens",
    "induction": "mean weight of what followed this token's last occurrence > "
                 f"{PROBE_WEIGHT} and > {PROBE_TIMES_BASELINE} x that of uniform "
                 "weights, on random tokens repeated at random periods (Olsson et al. 2209.11895)",
    "offset": f"the largest mean weight at one distance d >= {OFFSET_FROM} > "
              f"{PROBE_WEIGHT} and > {PROBE_TIMES_BASELINE} x that of uniform weights, "
              "on random tokens",
    "sink": f"sink mass > {SINK_MASS} (Gu et al. 2410.10781) and > {SINK_TIMES_BASELINE} x its "
            "baseline, in the last sample of training",
    "local": f"local mass at least {LOCAL_SHARE:.0%} of the way from its baseline to 1 (a "
             f"convention of this report), where the baseline is below {LOCAL_BASELINE}, in the "
             "last sample of training",
}
SAMPLED = ("sink", "local", "distance", "entropy")
PROBED = ("previous_token", "induction", "offset", "ablation")


def named_by_samples(samples):
    """{type: (layers, heads) of bool} at the last sample; what is not a number has no type."""
    sink, sink_base, _ = samples.last("sink")
    local, local_base, _ = samples.last("local")
    with np.errstate(invalid="ignore"):
        return {"sink": (sink > SINK_MASS) & (sink > SINK_TIMES_BASELINE * sink_base),
                "local": (local_base < LOCAL_BASELINE)
                & (local >= local_base + LOCAL_SHARE * (1 - local_base))}


def strong(probed, name):
    value, base, _ = probed.last(name)
    with np.errstate(invalid="ignore"):
        return (value > PROBE_WEIGHT) & (value > PROBE_TIMES_BASELINE * base)


def offsets(probed):
    """(layers, heads): the distance of the best offset at the last step; NaN where unknown."""
    return probed.at["offset"][-1] if "offset" in probed.at else probed.nothing()[-1]


def named_by_probes(probed):
    """The same of the newest checkpoint that was inspected."""
    with np.errstate(invalid="ignore"):
        far = offsets(probed) >= OFFSET_FROM
    return {"previous-token": strong(probed, "previous_token"),
            "induction": strong(probed, "induction"), "offset": strong(probed, "offset") & far}


def table(samples, probed):
    """A row for each head: its types, its figures at the last sample and at the last inspected
    step, as (value, baseline), and the standard error of its ablation. Either may be None."""
    sources = [(samples, SAMPLED, named_by_samples), (probed, PROBED, named_by_probes)]
    sources = [(of, names, named(of)) for of, names, named in sources if of is not None]
    if not sources:
        return []
    layers = max(of.n_layers for of, _, _ in sources)
    heads = max(of.n_heads for of, _, _ in sources)
    return [row_of(layer, head, sources) for layer in range(layers) for head in range(heads)]


def row_of(layer, head, sources):
    at, row = (layer, head), {"layer": layer, "head": head, "types": [], "n": 0}
    for of, names, named in sources:
        inside = layer < of.n_layers and head < of.n_heads
        for name in names:
            value, base, n = of.last(name)
            row[name] = (float(value[at]), float(base[at])) if inside else (np.nan, np.nan)
            row["n"] = max(row["n"], int(n[at]) if inside and name in SAMPLED else 0)
        if inside:
            row["types"] += [name for name in named if named[name][at]]
        if inside and "offset" in names:
            row["distance_of_offset"] = float(offsets(of)[at])
            row["ablation_error"] = float(of.errors("ablation")[-1][at])
    row["types"].sort(key=list(RULES).index)
    return row


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
