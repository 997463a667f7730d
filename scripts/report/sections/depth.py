"""What each depth of the residual stream knows of the next token, and how alike depths are."""
import numpy as np

from report import depths, panels
from report.colours import ink
from report.markup import details, number, paragraph, section, table, text
from report.samples import metric_of
from report.sections.common import not_probed

METRICS = ("lens_accuracy", "lens_word_accuracy", "lens_loss", "lens_entropy", "lens_kl")
CELL, EDGE = 30, 26


def over_training(layers, name):
    """A line for each depth."""
    told = np.isfinite(layers.value[name][:, :, 0]).any(axis=0)
    rows, base = layers.value[name][:, told, 0].T, layers.baseline[name][:, told, 0]
    base = base[:, 0] if np.isfinite(base[:, 0]).any() else None
    return panels.layer_lines(metric_of(name).title, panels.of_steps(layers.steps), layers.steps,
                              rows, [str(depth) for depth in np.flatnonzero(told)], base)


def over_depth(layers, name):
    """From the embeddings to the output, at the first and at the last step."""
    rows = [depths.row(layers, name, sample) for sample in (0, -1)]
    at = np.arange(len(rows[1]))
    panel = panels.Panel(panels.of_depths(len(at)), panels.linear(rows))
    panel.line(at, rows[0], "base").line(at, rows[1], "s0")
    words = panels.in_words((f"step {layers.steps[0]}", f"step {layers.steps[-1]}"), at, rows)
    return panels.figure(metric_of(name).title, panel.svg(f"{metric_of(name).title} over depth. "
                                                          f"{words}"))


def numbers(layers):
    names = [name for name in METRICS if name in layers.value]
    told = np.isfinite(layers.value[names[0]][-1, :, 0])
    rows = [(depth, *(f"{number(layers.value[name][-1, depth, 0])} "
                      f"({number(layers.baseline[name][-1, depth, 0])})" for name in names),
             f"{layers.n[names[0]][-1, depth, 0]:,}") for depth in np.flatnonzero(told)]
    return details("numbers", table(
        ("depth", *(metric_of(name).title for name in names), "tokens (n)"), rows,
        f"logit lens at step {layers.steps[-1]}, baselines in brackets"))


def logit_lens(run):
    layers = run.probes.layers
    names = [name for name in METRICS if layers is not None and name in layers.value]
    if not names:
        return not_probed("depth", "Depth (logit lens)", "predictions from each depth are")
    inside = paragraph(
        "The next token, as the residual at each depth would predict it: depth 0 is the embeddings, "
        "the last the output. Accuracy is beside that of the commonest token, loss and entropy "
        "beside ln V, which is off the scale where training has left it behind. Over training, a "
        "line is a depth, named at its end.")
    inside += panels.grid(over_training(layers, name) for name in names)
    inside += "<h3>Over depth</h3>" + paragraph(
        f"At step {layers.steps[-1]}; dotted: at step {layers.steps[0]}.", "hint")
    inside += panels.grid(over_depth(layers, name) for name in names) + numbers(layers)
    return section("depth", "Depth (logit lens)", inside)


# ---- similarity -----------------------------------------------------------------------------

def words_on(colour):
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return "#000" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "#fff"


def matrix(figures, step):
    """CKA of all pairs of depths as a picture, its numbers in the cells where there is room."""
    values, base = depths.similarity(figures, step)
    scale, count, parts = ink(), len(values), []
    side = EDGE + CELL * count
    for i in range(count):
        middle = EDGE + CELL * i + CELL / 2
        parts.append(f'<text x="{EDGE - 5}" y="{middle + 4}" class="y">{i}</text>'
                     f'<text x="{middle}" y="{EDGE - 8}" class="x">{i}</text>')
        for j in range(count):
            if not np.isfinite(values[i, j]):
                continue
            colour = scale[round(min(max(values[i, j], 0), 1) * (len(scale) - 1))]
            parts.append(f'<rect x="{EDGE + CELL * j}" y="{EDGE + CELL * i}" width="{CELL - 1}" '
                         f'height="{CELL - 1}" fill="{colour}"/><text class="cell" '
                         f'x="{EDGE + CELL * j + CELL / 2}" y="{middle + 4}" '
                         f'style="fill:{words_on(colour)}">{values[i, j]:.2f}</text>')
    label = (f"Similarity of depths at step {step}: the first and the last depth "
             f"{values[0, -1]:.2f}")
    chance = np.nanmean(base) if np.isfinite(base).any() else None
    hint = f"shuffled tokens: {chance:.2f}" if chance is not None else ""
    return panels.figure(f"step {step}", f'<svg class="panel" viewBox="0 0 {side} {side}" role="img" '
                         f'aria-label="{text(label)}">{"".join(parts)}</svg>', hint)


def similarity(run):
    steps = sorted(run.probes.similarity)
    if not steps:
        return not_probed("similarity", "Similarity of depths", "similarities of depths are")
    chosen = dict.fromkeys((steps[0], steps[len(steps) // 2], steps[-1]))
    return section("similarity", "Similarity of depths", paragraph(
        "Linear centred kernel alignment of the residuals at two depths: 1 is alike but for a "
        "rotation and a scale. Depth 0 is the embeddings.")
        + f'<div class="panels wide">{"".join(matrix(run.probes, step) for step in chosen)}</div>')
