"""Synonyms: whether their q, k, rows of scores and embeddings draw together."""
import numpy as np

from report import layers, panels, synonyms
from report.markup import details, number, paragraph, section, table
from report.sections import cosines
from report.sections.common import not_probed

INTERVAL = 1.96  # standard errors either way hold 95 %
GROUPS = {"synonym_auc": "Synonyms, AUC", "antonym_auc": "Antonyms (control), AUC",
          "shuffled_auc": "Synonyms re-paired at random (null), AUC",
          "synonym_cosine": "Synonyms, centred cosine",
          "antonym_cosine": "Antonyms (control), centred cosine"}
KINDS = {"q": "q", "k": "k", "row": "rows of scores", "embedding": "embeddings"}


def layer_rows(of, name):
    """(layers, steps): means over heads, their errors, and their mean baseline (steps)."""
    found = [synonyms.of_layers(of, name, sample) for sample in range(len(of))]
    means, errors = (np.array([[row[i] for row in rows] for rows in found]).T for i in (0, 1))
    bases = of.baseline[name].reshape(len(of), -1)
    told = np.isfinite(bases).any(axis=1)
    base = np.full(len(of), np.nan)
    base[told] = np.nanmean(bases[told], axis=1)
    return means, errors, base


def source(run, kind):
    return run.probes.model if kind == "embedding" else run.probes.heads


def series(run, kind, measure):
    """(samples, means, errors, baseline) of a kind, or None."""
    of, name = source(run, kind), f"{kind}_{measure}"
    return (of, *layer_rows(of, name)) if of is not None and name in of.value else None


def steps_and_means(run, kind, measure):
    found = series(run, kind, measure)
    return found and (found[0].steps, found[1])


def lines_of(runs, kind, measure):
    found = series(runs[0], kind, measure)
    if found is None:
        return None
    of, means, errors, base = found
    others = layers.of_others(runs, lambda run: steps_and_means(run, kind, measure))
    return layers.Lines(of.steps, means, layers.numbered(len(means)), base,
                        INTERVAL * errors if measure.endswith("auc") else None, others)


def limits_of(drawn, measure):
    """One scale for a measure's panels."""
    found = [rows for lines in drawn for rows in (
        lines.rows, lines.base if lines.base is not None else [],
        *(rows for _, _, rows in lines.others))]
    found += [lines.rows + sign * lines.errors for lines in drawn if lines.errors is not None
              for sign in (-1, 1)]
    return panels.linear(found, (0.5,) if measure.endswith("auc") else ())


def group(runs, measure, title):
    """A panel for each kind of vector."""
    lines = {kind: lines_of(runs, kind, measure) for kind in KINDS}
    lines = {kind: found for kind, found in lines.items() if found is not None}
    if not lines:
        return ""
    auc, limits = measure.endswith("auc"), limits_of(lines.values(), measure)
    hint = "Dotted: chance, 0.5." if auc else "Dotted: the same of pairs matched by frequency."
    return f"<h3>{title}</h3>{paragraph(hint, 'hint')}" + panels.grid(
        layers.panel(KINDS[kind], panels.of_steps, found, "AUC" if auc else "mean centred cosine",
                     limits) for kind, found in lines.items())


def histogram(run, kind):
    """How many heads have which AUC, at the first and the last step."""
    probed, name = run.probes.heads, f"{kind}_synonym_auc"
    if probed is None or name not in probed.value:
        return ""
    edges, counts = np.linspace(0, 1, 21), []
    for sample in (0, synonyms.last_with(probed, name) or 0):
        values = probed.value[name][sample]
        counts.append(np.histogram(values[np.isfinite(values)], edges)[0])
    x = panels.Scale(0, 1, [(0, "0"), (0.5, "0.5"), (1, "1")], name="AUC")
    panel = panels.Panel(x, panels.linear([[0], *counts]), "heads")
    panel.steps(edges, counts[1], "filled").steps(edges, counts[0], "first")
    middle = (edges[:-1] + edges[1:]) / 2
    parts = [f"at {when}: {int(found.sum())} heads about {middle[found.argmax()]:.2f}"
             for when, found in zip(("first", "last"), counts)]
    return panels.figure(KINDS[kind], panel.svg(f"Heads by AUC of {KINDS[kind]}. "
                                                f"{'; '.join(parts)}"))


def interval(auc, error, form=".3f"):
    if not np.isfinite(error):
        return number(auc, form)
    low, high = (min(max(auc + sign * INTERVAL * error, 0), 1) for sign in (-1, 1))
    return f"{number(auc, form)} ({low:{form}} to {high:{form}})"


def head_table(run):
    probed = run.probes.heads
    names = [f"{kind}_synonym_auc" for kind in synonyms.KINDS]
    rows = []
    for layer, head in np.ndindex(probed.n_layers, probed.n_heads):
        cells = [interval(probed.last(name)[0][layer, head], probed.errors(name)[-1][layer, head])
                 if name in probed.value else "–" for name in names]
        rows.append((layer, head, *cells, int(max(probed.last(name)[2][layer, head]
                                                  for name in names))))
    return details("numbers", table(
        ("layer", "head", "AUC of q", "of k", "of rows", "pairs (n)"), rows,
        f"synonyms' AUC at step {probed.steps[-1]}, with 95 % intervals"))


def recorded(run):
    return any(of is not None and any("synonym" in name for name in of.value)
               for of in (run.probes.heads, run.probes.model))


def render(runs):
    run = runs[0]
    if not recorded(run):
        return not_probed("synonyms", "Synonyms", "figures of synonyms are")
    inside = paragraph(
        "AUC: the probability that two synonyms stand closer than two words that are as frequent; "
        "0.5 is chance. A line is the mean over the heads of a layer, its band the 95 % interval "
        "(1.96 standard errors), over training steps on a log axis. Rows of scores, against fixed "
        "keys, are what no change of basis of q and k alters. Words are close where they occur in "
        "like contexts, and so are antonyms: these are the control."
        + layers.compared(runs, recorded))
    inside += "".join(group(runs, measure, title) for measure, title in GROUPS.items())
    inside += cosines.render(run)
    drawn = [histogram(run, kind) for kind in synonyms.KINDS]
    if any(drawn):
        inside += ("<h3>Heads by their AUC</h3>" + paragraph(
            f"How many heads have which AUC; dashed outline: at step {run.probes.heads.steps[0]}.",
            "hint") + panels.grid(drawn))
    if run.probes.heads is not None:
        inside += head_table(run)
    return section("synonyms", "Synonyms", inside)
