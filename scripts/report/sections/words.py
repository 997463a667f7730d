"""Synonyms: whether their q, k, rows of scores and embeddings draw together."""
import numpy as np

from report import panels, synonyms
from report.markup import details, number, paragraph, section, table
from report.sections.common import not_probed

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


def panel_of(run, kind, measure, limits):
    of, name = source(run, kind), f"{kind}_{measure}"
    if of is None or name not in of.value:
        return ""
    means, errors, base = layer_rows(of, name)
    names = [""] if kind == "embedding" else [str(layer) for layer in range(len(means))]
    return panels.layer_lines(KINDS[kind], panels.of_steps(of.steps), of.steps, means, names,
                              base, limits, errors if measure.endswith("auc") else None)


def source(run, kind):
    return run.probes.model if kind == "embedding" else run.probes.heads


def limits_of(run, measure):
    """One scale for a measure's panels."""
    lines = []
    for kind in KINDS:
        of, name = source(run, kind), f"{kind}_{measure}"
        if of is not None and name in of.value:
            means, errors, base = layer_rows(of, name)
            lines += [means, base] + ([means - errors, means + errors] if name.endswith("auc")
                                      else [])
    return panels.linear(lines, (0.5,) if measure.endswith("auc") else ())


def histogram(run, kind):
    """How many heads have which AUC, at the first and the last step."""
    probed, name = run.probes.heads, f"{kind}_synonym_auc"
    if probed is None or name not in probed.value:
        return ""
    edges = np.linspace(0, 1, 21)
    counts = []
    for sample in (0, synonyms.last_with(probed, name) or 0):
        values = probed.value[name][sample]
        counts.append(np.histogram(values[np.isfinite(values)], edges)[0])
    x = panels.Scale(0, 1, [(0, "0"), (0.5, "0.5"), (1, "1")])
    panel = panels.Panel(x, panels.linear([[0], *counts]))
    for found, style in zip(counts, ("base", "s0")):
        panel.line(np.repeat(edges, 2), np.concatenate([[0], np.repeat(found, 2), [0]]), style)
    middle = (edges[:-1] + edges[1:]) / 2
    parts = [f"at {when}: {int(found.sum())} heads about {middle[found.argmax()]:.2f}"
             for when, found in zip(("first", "last"), counts)]
    return panels.figure(KINDS[kind], panel.svg(f"Heads by AUC of {KINDS[kind]}. "
                                                f"{'; '.join(parts)}"))


def head_table(run):
    probed = run.probes.heads
    names = [f"{kind}_synonym_auc" for kind in synonyms.KINDS]
    rows = []
    for layer, head in np.ndindex(probed.n_layers, probed.n_heads):
        cells = [f"{number(probed.last(name)[0][layer, head], '.3f')} ± "
                 f"{number(probed.errors(name)[-1][layer, head], '.3f')}"
                 if name in probed.value else "–" for name in names]
        rows.append((layer, head, *cells, int(max(probed.last(name)[2][layer, head]
                                                  for name in names))))
    return details("numbers", table(
        ("layer", "head", "AUC of q", "of k", "of rows", "pairs (n)"), rows,
        f"synonyms' AUC at step {probed.steps[-1]}, with standard errors"))


def recorded(run):
    return any(of is not None and any("synonym" in name for name in of.value)
               for of in (run.probes.heads, run.probes.model))


def render(run):
    if not recorded(run):
        return not_probed("synonyms", "Synonyms", "figures of synonyms are")
    inside = paragraph(
        "AUC: the probability that two synonyms stand closer than two words that are as frequent; "
        "0.5 is chance. A line is the mean over the heads of a layer (named at its end; light: "
        "the first, dark: the last), its band one standard error, over training steps on a log "
        "axis. Rows of scores, against fixed keys, are what no change of basis of q and k alters. "
        "Words are close where they occur in like contexts, and so are antonyms: these are the "
        "control.")
    for measure, title in GROUPS.items():
        limits = limits_of(run, measure)
        drawn = [panel_of(run, kind, measure, limits) for kind in KINDS]
        if any(drawn):
            hint = "" if measure.endswith("auc") else paragraph(
                "Dotted: the same of pairs matched by frequency.", "hint")
            inside += f"<h3>{title}</h3>{hint}{panels.grid(drawn)}"
    drawn = [histogram(run, kind) for kind in synonyms.KINDS]
    if any(drawn):
        inside += ("<h3>Heads by their AUC</h3>" + paragraph(
            f"How many heads have which AUC; dotted: at step {run.probes.heads.steps[0]}.", "hint")
            + panels.grid(drawn))
    if run.probes.heads is not None:
        inside += head_table(run)
    return section("synonyms", "Synonyms", inside)
