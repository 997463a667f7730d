"""Histograms: how alike synonyms are, and pairs of words that are as frequent."""
import numpy as np

from report import panels
from report.figures import BINNED
from report.markup import paragraph

BINS = 20  # of the centred cosine, from -1 to 1
EDGES = np.linspace(-1, 1, BINS + 1)
NAMES = dict(zip(BINNED, ("embeddings", "q", "k")))


def shares(bins, side):
    """(BINS) of one histogram; 0 where a bin is not recorded."""
    found = np.zeros(BINS)
    for place, figure in bins.items():
        if place < BINS and figure[side] is not None:
            found[place] = figure[side]
    return found


def histogram(title, bins, limits):
    synonyms, matched = (shares(bins, side) for side in (0, 1))
    x = panels.Scale(-1, 1, [(at, panels.short(at)) for at in (-1, -0.5, 0, 0.5, 1)],
                     name="centred cosine")
    panel = panels.Panel(x, limits, "share of pairs")
    panel.steps(EDGES, synonyms, "filled").steps(EDGES, matched, "outline")
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    means = [np.average(middle, weights=of) if of.any() else np.nan for of in (synonyms, matched)]
    pairs = max(n for _, _, n in bins.values())
    return panels.figure(title, panel.svg(
        f"Cosines of {title}: synonyms {means[0]:.2f} in the mean, matched pairs {means[1]:.2f}"),
        f"{pairs:,} pairs")


def render(run):
    """At the last step of each metric; nothing where none is recorded."""
    recorded, chosen = run.probes.cosines, []
    for metric in BINNED:
        steps = [step for step, name, _ in recorded if name == metric]
        chosen += [(step, name, layer) for step, name, layer in sorted(
            recorded, key=lambda key: -1 if key[2] is None else key[2])
            if name == metric and step == max(steps)]
    if not chosen:
        return ""
    limits = panels.linear([shares(recorded[key], side) for key in chosen for side in (0, 1)], (0,))
    drawn = []
    for key in chosen:
        layer = "" if key[2] is None or key[1] == BINNED[0] else f", layer {key[2]}"
        drawn.append(histogram(NAMES[key[1]] + layer, recorded[key], limits))
    return "<h3>Histograms of cosines</h3>" + paragraph(
        f"Synonyms (filled) against pairs matched by frequency (outlined), over all heads of a "
        f"layer, at step {max(step for step, _, _ in chosen)}.", "hint") + panels.grid(drawn)
