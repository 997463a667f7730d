"""Gradients that reach Wq, Wk and the embeddings, and how far these move."""
import numpy as np

from report import layers, panels, weights
from report.markup import paragraph, section
from report.samples import metric_of
from report.sections.common import not_probed
from report.units import unit_of


def norms(run, name):
    """(tokens, (layers, S)), NaN where there is no norm above 0; None where none is recorded."""
    found = weights.series(run.lens, weights.GRADIENTS[name])
    rows = None if found is None else np.where(found[2] > 0, found[2], np.nan).T
    return None if rows is None or not np.isfinite(rows).any() else (found[1], rows)


def gradient_panel(runs, name):
    found = norms(runs[0], name)
    if found is None:
        return ""
    tokens, rows = found
    lines = layers.Lines(tokens, rows, layers.numbered(len(rows)),
                         others=layers.of_others(runs, lambda run: norms(run, name)))
    every = np.concatenate([rows.ravel(), *(other.ravel() for _, _, other in lines.others)])
    return layers.panel(metric_of(weights.GRADIENTS[name]).title, panels.of_tokens, lines,
                        "norm (log axis)",
                        panels.logarithmic(0.9 * np.nanmin(every), 1.1 * np.nanmax(every)))


def changes(run, name):
    found = weights.series(run.probes, weights.CHANGES[name])
    return None if found is None else (found[0], found[2].T)


def change_panel(runs, name):
    found = changes(runs[0], name)
    if found is None:
        return ""
    steps, rows = found
    decay = np.array([weights.decay_alone(runs[0], step) for step in steps])
    metric = weights.CHANGES[name]
    return layers.panel(metric_of(metric).title, panels.of_steps, layers.Lines(
        steps, rows, layers.numbered(len(rows)), decay,
        others=layers.of_others(runs, lambda run: changes(run, name))), unit_of(metric))


def recorded(run):
    return any(of(run, name) is not None for of in (norms, changes) for name in weights.NAMES)


def render(runs):
    if not recorded(runs[0]):
        return not_probed("gradients", "Gradients and change", "norms of gradients and changes of "
                          "Wq, Wk and the embeddings are")
    drawn = [[panel(runs, name) for name in weights.NAMES]
             for panel in (gradient_panel, change_panel)]
    inside = ""
    for title, words, figures in (
            ("Gradients", "Norms before clipping, over tokens; a line is a layer."
             + layers.compared(runs, recorded), drawn[0]),
            ("Change", "|W - W0| / |W0| since step 0, over training steps on a log axis. Dotted: "
                       "what weight decay alone would do.", drawn[1])):
        inside += f"<h3>{title}</h3>" + (paragraph(words) + panels.grid(figures) if any(figures)
                                         else paragraph("Not recorded.", "warn"))
    return section("gradients", "Gradients and change", inside)
