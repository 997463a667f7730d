"""What each depth of the residual stream knows of the next token, and how alike depths are."""
import numpy as np

from report import depths, layers, panels
from report.colours import ink
from report.markup import details, number, paragraph, section, table, text
from report.samples import metric_of
from report.sections.common import not_probed
from report.units import unit_of

METRICS = ("lens_accuracy", "lens_word_accuracy", "lens_loss", "lens_entropy", "lens_kl")
NEAR_BASELINE = METRICS[:4]  # those that have one
CELL, EDGE = 30, 40


def of_depths(found, name):
    """(depths that a metric is recorded of, (depths, S) values)."""
    told = np.isfinite(found.value[name][:, :, 0]).any(axis=0)
    return np.flatnonzero(told), found.value[name][:, told, 0].T


def steps_and_depths(run, name):
    found = run.probes.layers
    return (found.steps, of_depths(found, name)[1]) if recorded(run, name) else None


def over_training(runs, name):
    """A line for each depth."""
    found, known = runs[0].probes.layers, metric_of(name)
    told, rows = of_depths(found, name)
    lines = layers.Lines(found.steps, rows, [str(depth) for depth in told],
                         found.baseline[name][:, told[0], 0],
                         others=layers.of_others(runs, lambda run: steps_and_depths(run, name)))
    return layers.panel(known.title, panels.of_steps, lines, unit_of(name))


def over_depth(runs, name, follower):
    """From the embeddings to the output, at the first and at the last step; beside the baseline and
    what the current token alone tells."""
    found = runs[0].probes.layers
    first, last = (depths.row(found, name, sample) for sample in (0, -1))
    base = found.baseline[name][-1, of_depths(found, name)[0], 0]
    others = layers.of_others(runs, lambda run: depth_row(run, name))
    told = [follower] if name == "lens_accuracy" and follower is not None else []
    near = base if name in NEAR_BASELINE else []
    panel = panels.Panel(
        panels.of_depths(max(len(row) for row in (last, *(row for _, _, row in others)))),
        panels.linear([first, last, near, told, *(row for _, _, row in others)]), unit_of(name))
    at = np.arange(len(last))
    if len(near) and np.isfinite(near).any():
        panel.line(at, near, "base")
    for value in told:
        panel.rule(value, "follower")
    panel.line(at, first, "first").line(at, last, "s0")
    for kind, other_at, row in others:
        panel.line(other_at, row, kind)
    words = layers.in_words((f"step {found.steps[0]}", f"step {found.steps[-1]}"), (first, last))
    return panels.figure(metric_of(name).title, panel.svg(f"{metric_of(name).title} over depth. "
                                                          f"{words}"))


def depth_row(run, name):
    if not recorded(run, name):
        return None
    row = depths.row(run.probes.layers, name, -1)
    return np.arange(len(row)), row


def numbers(found, names):
    told = np.isfinite(found.value[names[0]][-1, :, 0])
    rows = [(depth, *(f"{number(found.value[name][-1, depth, 0])} "
                      f"({number(found.baseline[name][-1, depth, 0])})" for name in names),
             f"{found.n[names[0]][-1, depth, 0]:,}") for depth in np.flatnonzero(told)]
    return details("numbers", table(
        ("depth", *(metric_of(name).title for name in names), "tokens (n)"), rows,
        f"logit lens at step {found.steps[-1]}, baselines in brackets"))


def recorded(run, *names):
    """Whether a run has a value of any of these metrics, or of all of this section."""
    found = run.probes.layers
    return found is not None and any(name in found.value and np.isfinite(found.value[name]).any()
                                     for name in names or METRICS)


def legend(run, follower):
    found = run.probes.layers
    known = (f"; dash-dotted: what the commonest follower of the current token has "
             f"({follower:.3f})" if follower is not None else "")
    return paragraph(f"At step {found.steps[-1]}; long dashes: at step {found.steps[0]}; dotted: the "
                     f"baseline{known}.", "hint")


def logit_lens(runs):
    run = runs[0]
    names = [name for name in METRICS if recorded(run, name)]
    if not names:
        return not_probed("depth", "Depth (logit lens)", "predictions from each depth are")
    inside = paragraph(
        "The next token, as the residual at each depth would predict it: depth 0 is the embeddings, "
        "the last the output. Accuracy is beside that of the commonest token, loss and entropy "
        "beside ln V, both dotted. Over training, a line is a depth." + layers.compared(
            runs, recorded))
    inside += panels.grid(over_training(runs, name) for name in names)
    alone = run.followers()
    follower = alone["accuracy"] if alone else None
    inside += "<h3>Over depth</h3>" + legend(run, follower)
    inside += panels.grid(over_depth(runs, name, follower) for name in names)
    return section("depth", "Depth (logit lens)", inside + numbers(run.probes.layers, names))


# ---- similarity -----------------------------------------------------------------------------

def words_on(colour):
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return "#000" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "#fff"


def matrix(figures, step):
    """CKA of all pairs of depths as a picture, its numbers in the cells where there is room."""
    values, base = depths.similarity(figures, step)
    scale, count = ink(), len(values)
    parts = [f'<text x="{EDGE - 5}" y="{EDGE - 8}" class="y name">depth</text>']
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
