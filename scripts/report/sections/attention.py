"""Heads and layers over training, as the lens samples them: heat maps and panels."""
import re

import numpy as np

from report import panels
from report.layers import OTHERS, in_words
from report.markup import paragraph, section, text
from report.samples import metric_of
from report.sections.common import not_sampled
from report.units import unit_of

HEAT = """
<p>Each cell is a head, beside what uniform attention over the visible keys, or chance, would give:
blue is below that baseline, white at it, brown above. The scale is the same at all steps. Measures
of probes are of the steps that were inspected.</p>
<noscript><p class="warn">This section needs JavaScript; all else but the pictures does not.</p>
</noscript>
<div id="heat-controls">
<label>measure <select id="heat-metric"></select></label>
<label>sample <input id="heat-step" type="range" min="0" step="1"></label>
<output id="heat-at" for="heat-step"></output></div>
<p id="heat-meaning"></p>
<div id="heat-legend"><span></span><i></i><span></span></div>
<div class="scroll"><table id="heat-map"></table></div>
<p class="hint">Arrow keys go from head to head, Enter keeps one.</p>
<p id="heat-cell" aria-live="polite"></p>
<div id="heat-head"></div>"""


def heat(run):
    if run.samples is None and run.probes.heads is None:
        return not_sampled("heat", "Heads over training")
    return section("heat", "Heads over training", HEAT)


# ---- layers ---------------------------------------------------------------------------------

def over_heads(reduce, rows):
    """(S, heads) reduced to (S); NaN where no head has a value."""
    told = np.isfinite(rows).any(axis=1)
    found = np.full(len(rows), np.nan)
    found[told] = reduce(rows[told], axis=1)
    return found


def draw_layer(panel, samples, name, layer, kind, spread):
    some = samples.tokens > 0
    rows, tokens = samples.value[name][some, layer], samples.tokens[some]
    if spread:
        panel.band(tokens, over_heads(np.nanmin, rows), over_heads(np.nanmax, rows), kind)
        panel.line(tokens, over_heads(np.nanmean, samples.baseline[name][some, layer]), "base")
    panel.line(tokens, over_heads(np.nanmean, rows), kind)


def layer_panels(runs, name):
    """A panel for each layer: mean over heads, their range, the baseline; other runs' means."""
    samples = runs[0].samples
    others = [(i, run.samples) for i, run in enumerate(runs)
              if i and run.samples and name in run.samples.value]
    x = panels.of_tokens(samples.tokens)
    y = panels.linear([rows for of in (samples, *(other for _, other in others))
                       for rows in (of.value[name], of.baseline[name])])
    found = []
    for layer in range(samples.n_layers):
        panel = panels.Panel(x, y, unit_of(name))
        draw_layer(panel, samples, name, layer, "s0", True)
        for i, other in others:
            if layer < other.n_layers:
                draw_layer(panel, other, name, layer, f"s{(i - 1) % len(OTHERS) + 1}", False)
        means = over_heads(np.nanmean, samples.value[name][:, layer])
        words = in_words(["mean of the heads"], [means])
        found.append(panels.figure(f"layer {layer}", panel.svg(
            f"{metric_of(name).title} of layer {layer} over tokens. {words}")))
    return found


def layers(runs):
    samples = runs[0].samples
    if samples is None:
        return not_sampled("layers", "Layers over training")
    others = [f"{run.name} ({OTHERS[(i - 1) % len(OTHERS)]})" for i, run in enumerate(runs)
              if i and run.samples]
    words = ("Line: mean over the heads of a layer, over tokens. Band: from the lowest head to the "
             "highest. Dotted black: the baseline.")
    if others:
        words += f" Also the means of {', '.join(others)}."
    left_out = [run.name for run in runs[1:] if not run.samples]
    if left_out:
        words += f" Not sampled: {', '.join(left_out)}."
    inside = ""
    for name in samples.metrics():
        known = metric_of(name)
        inside += (f'<div data-metric="{text(re.sub("[^A-Za-z0-9_]", "", name))}">'
                   f"<h3>{text(known.title)}</h3>{paragraph(known.meaning)}"
                   f"{panels.grid(layer_panels(runs, name))}</div>")
    chooser = '<label id="layers-control" hidden>measure <select id="layers-metric"></select></label>'
    return section("layers", "Layers over training", paragraph(words) + chooser + inside)
