"""Norms, ranks and anisotropy of q and k over training."""
import numpy as np

from report import layers, panels
from report.markup import paragraph, section
from report.samples import metric_of
from report.sections.attention import over_heads
from report.sections.common import not_probed
from report.units import unit_of

METRICS = tuple(f"{name}_{what}" for what in ("norm", "participation", "rank", "anisotropy")
                for name in ("q", "k"))


def means(run, name):
    """(steps, (layers, S) means over heads), or None."""
    probed = run.probes.heads
    if probed is None or name not in probed.value:
        return None
    return probed.steps, np.array([over_heads(np.nanmean, probed.value[name][:, layer])
                                   for layer in range(probed.n_layers)])


def over_training(runs, name):
    probed = runs[0].probes.heads
    steps, rows = means(runs[0], name)
    base = over_heads(np.nanmean, probed.baseline[name].reshape(len(probed), -1))
    others = layers.of_others(runs, lambda run: means(run, name))
    return layers.panel(metric_of(name).title, panels.of_steps,
                        layers.Lines(steps, rows, layers.numbered(len(rows)), base, others=others),
                        unit_of(name))


def recorded(run):
    return any(means(run, name) is not None for name in METRICS)


def render(runs):
    if not recorded(runs[0]):
        return not_probed("vectors", "q and k as vectors", "norms and ranks of q and k are")
    names = [name for name in METRICS if means(runs[0], name) is not None]
    meanings = "; ".join(f"{metric_of(name).title}: {metric_of(name).meaning}"
                         for name in names if name.startswith("q_"))
    return section("vectors", "q and k as vectors", paragraph(
        f"Means over the heads of a layer, over training steps on a log axis; dotted: the baseline, "
        f"where there is one. {meanings}. Each head is in the heat map above."
        + layers.compared(runs, recorded))
        + panels.grid(over_training(runs, name) for name in names))
