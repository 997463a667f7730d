"""Norms, ranks and anisotropy of q and k over training."""
import numpy as np

from report import panels
from report.markup import paragraph, section
from report.samples import metric_of
from report.sections.attention import over_heads
from report.sections.common import not_probed

METRICS = tuple(f"{name}_{what}" for what in ("norm", "participation", "rank", "anisotropy")
                for name in ("q", "k"))


def over_training(probed, name):
    rows = [over_heads(np.nanmean, probed.value[name][:, layer])
            for layer in range(probed.n_layers)]
    base = over_heads(np.nanmean, probed.baseline[name].reshape(len(probed), -1))
    known = metric_of(name)
    return panels.layer_lines(known.title, panels.of_steps(probed.steps), probed.steps, rows,
                              [str(layer) for layer in range(probed.n_layers)], base)


def render(run):
    probed = run.probes.heads
    names = [name for name in METRICS if probed is not None and name in probed.value]
    if not names:
        return not_probed("vectors", "q and k as vectors", "norms and ranks of q and k are")
    meanings = "; ".join(f"{metric_of(name).title}: {metric_of(name).meaning}"
                         for name in names if name.startswith("q_"))
    return section("vectors", "q and k as vectors", paragraph(
        f"Means over the heads of a layer (named at the end of its line), over training steps on a "
        f"log axis. {meanings}. Each head is in the heat map above.")
        + panels.grid(over_training(probed, name) for name in names))
