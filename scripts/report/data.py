"""What the page keeps of a run as JSON: for its own script, and for who wants the figures."""
import json

import numpy as np

from report import colours, heads, overhead
from report.samples import metric_of
from report.units import unit_of

DIGITS = 4


def rounded(value):
    """A number of DIGITS digits; None for what is none, which JSON has no word for."""
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value


def clean(value):
    """The same with all numbers rounded, for JSON."""
    if isinstance(value, dict):
        return {key: clean(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(x) for x in value]
    return rounded(value)


def compact(values):
    """(samples, layers, heads) as a flat list; one number a sample where all its heads agree."""
    flat = values.reshape(len(values), -1)
    same = (flat == flat[:, :1]) | (np.isnan(flat) & np.isnan(flat[:, :1]))
    return [rounded(x) for x in (flat[:, 0] if same.all() else flat.ravel()).tolist()]


def extent(samples, name):
    """(low, high) of the colour scale, the same in all samples: about the baseline, if any."""
    against, excess = metric_of(name).against, samples.excess(name)
    known = excess[np.isfinite(excess)]
    if against == "ratio":
        known = np.log2(known[known > 0])
    if not len(known):
        return None
    if against == "none" or not np.isfinite(samples.baseline[name]).any():
        return float(known.min()), float(known.max())
    most = float(np.abs(known).max()) or 1.0
    return (2**-most, 2**most) if against == "ratio" else (-most, most)


def heat_maps(samples):
    metrics = {}
    for name in samples.metrics():
        bounds, known = extent(samples, name), metric_of(name)
        if bounds:
            against = known.against if np.isfinite(samples.baseline[name]).any() else "none"
            metrics[name] = {"title": known.title, "meaning": known.meaning, "against": against,
                             "unit": unit_of(name),
                             "low": rounded(bounds[0]), "high": rounded(bounds[1]),
                             "value": compact(samples.value[name]),
                             "baseline": compact(samples.baseline[name]),
                             "n": compact(samples.n[name].astype(float))}
    return {"steps": samples.steps.tolist(), "tokens": samples.tokens.tolist(),
            "layers": samples.n_layers, "heads": samples.n_heads, "metrics": metrics,
            "diverging": colours.diverging(), "sequential": colours.sequential()}


def measurements(run, claims, stages):
    """All that the report says, but for the curves."""
    probed = run.probes.heads
    found = {"run": run.name, "notes": run.notes, "claims": claims, "stages": stages,
             "overhead": overhead.measure(run), "pictures": run.pictures.packed(),
             "ink": colours.ink(),
             "heads": heads.table(run.samples, probed)}
    if run.samples is not None:
        found |= {"heat": heat_maps(run.samples), "max_logit": heads.extreme_logit(run.samples),
                  "collapsed": heads.collapsed(run.samples)}
    if probed is not None:
        found["probes"] = heat_maps(probed)
    return clean(found)


def embedded(value):
    """JSON that no HTML parser can end early."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
