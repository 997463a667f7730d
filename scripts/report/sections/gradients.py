"""Gradients that reach Wq, Wk and the embeddings, and how far these move."""
import numpy as np

from report import panels, weights
from report.markup import paragraph, section
from report.samples import metric_of
from report.sections.common import not_probed


def gradient_panel(run, name):
    """Logarithms of norms, over tokens."""
    found = weights.series(run.lens, weights.GRADIENTS[name])
    if found is None:
        return ""
    _, tokens, norms = found
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(norms > 0, np.log10(norms), np.nan).T
    limits = panels.linear([rows])
    low, high = limits.low, limits.low + limits.range
    whole = [d for d in range(int(np.floor(low)), int(np.ceil(high)) + 1) if low <= d <= high]
    limits.ticks = ([(d, panels.short(10.0**d)) for d in whole] if len(whole) > 1 else
                    [(value, panels.short(10.0**value)) for value, _ in limits.ticks])
    return panels.layer_lines(f"{metric_of(weights.GRADIENTS[name]).title}, log axis",
                              panels.of_tokens(tokens), tokens, rows, names_of(rows),
                              limits=limits)


def names_of(rows):
    return [str(layer) for layer in range(len(rows))] if len(rows) > 1 else [""]


def change_panel(run, name):
    found = weights.series(run.probes, weights.CHANGES[name])
    if found is None:
        return ""
    steps, _, changes = found
    decay = np.array([weights.decay_alone(run, step) for step in steps])
    return panels.layer_lines(metric_of(weights.CHANGES[name]).title, panels.of_steps(steps), steps,
                              changes.T, names_of(changes.T), decay)


def render(run):
    drawn = [[panel(run, name) for name in weights.NAMES]
             for panel in (gradient_panel, change_panel)]
    if not any(drawn[0] + drawn[1]):
        return not_probed("gradients", "Gradients and change", "norms of gradients and changes of "
                          "Wq, Wk and the embeddings are")
    inside = ""
    for title, words, figures in (
            ("Gradients", "Norms before clipping, over tokens; a line is a layer.", drawn[0]),
            ("Change", "|W - W0| / |W0| since step 0, over training steps on a log axis. Dotted: "
                       "what weight decay alone would do.", drawn[1])):
        inside += f"<h3>{title}</h3>" + (paragraph(words) + panels.grid(figures) if any(figures)
                                         else paragraph("Not recorded.", "warn"))
    return section("gradients", "Gradients and change", inside)
