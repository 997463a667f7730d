"""Claim 5: are every layer's q and k meaningful, and do layers have levels?"""
import numpy as np

from report import depths, levels, meaning, positions
from report.claims import residual
from report.claims.verdict import (NOT_PROBED, NOT_SAMPLED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED,
                                   claim, untested)


def trends(samples, found, before):
    return "; ".join(f"{title} over depth: rho = {found[name]['rho']:+.2f}, p = "
                     f"{found[name]['p']:.2g} (first sample: {before[name]['rho']:+.2f})"
                     for name, title in (
                         ("distance", "distance against its baseline should rise"),
                         ("local", "local mass above its baseline should fall")))


def marked(words, holds):
    return f"{words} ✓" if holds else words


def auc_of(words, kind):
    if not words or kind not in words:
        return "–"
    found = words[kind]
    return marked(f"{found['auc']:.2f} +- {found['error']:.2f}", found["holds"])


def line(layer, row):
    """Of the table of layers."""
    share, cost = row["distances"], row["costs"]
    return (layer, "yes" if row["passes"] else "no", auc_of(row["words"], "q"),
            auc_of(row["words"], "k"),
            marked(f"{share[0]} of {share[1]}", positions.most(share)) if share else "–",
            marked(f"{cost['cost']:.3f} +- {cost['error']:.3f} (head {cost['head']})",
                   cost["holds"]) if cost else "–")


def table(rows):
    return {"head": ("layer", "passes", "synonyms' AUC of q", "of k", "heads by distance",
                     "dearest ablation, nats"),
            "rows": [line(layer, row) for layer, row in enumerate(rows)],
            "caption": "what each layer's q and k mean; ✓: what it passes by"} if rows else None


def meaningful(rows):
    """(words, verdict) on all layers' q and k."""
    if not rows:
        return f". What q and k mean was not probed: {NOT_PROBED}", NOT_TESTABLE
    failed = [str(layer) for layer, row in enumerate(rows) if not row["passes"]]
    words = f". q and k are meaningful in {len(rows) - len(failed)} of {len(rows)} layers"
    if not failed:
        return words, SUPPORTED
    words += f", not in layer{'s' * (len(failed) > 1)} {', '.join(failed)}"
    if meaning.is_told(rows):
        return words, NOT_SUPPORTED
    return f"{words}, as far as was probed", NOT_TESTABLE


def knowledge(run):
    """(words, verdict) on whether later layers know more, by claim 6."""
    last, judged = depths.last(run), residual.judge(run)["verdict"]
    if last is None:
        return ". What layers know was not probed", judged
    found = depths.rise(run, last)
    return (f". Logit lens, accuracy above the commonest token's over depth: rho = "
            f"{found['rho']:+.2f}, p = {found['p']:.2g}, {found['gain']:+.3f} at the output "
            f"(claim 6: {judged})", judged)


def together(verdicts):
    """One that fails is enough to fail, one that is not testable to be so."""
    return next((kind for kind in (NOT_SUPPORTED, NOT_TESTABLE) if kind in verdicts), SUPPORTED)


def likeness(figures):
    """Words on how alike the first and the last depth are, at the first and the last step."""
    if not figures.similarity:
        return ""
    first, last = (depths.similarity(figures, step)[0][0, -1]
                   for step in (min(figures.similarity), max(figures.similarity)))
    return (f". Similarity (CKA) of embeddings and output: {first:.2f} at step "
            f"{min(figures.similarity)}, {last:.2f} at step {max(figures.similarity)}")


def judge(run):
    samples = run.samples
    if samples is None:
        return untested(5, NOT_SAMPLED)
    found, before = levels.measure(samples), levels.measure(samples, 0)
    layers = found["layers"]
    if found["smallest_p"] > levels.SIGNIFICANT:
        return untested(5, f"{layers} layer{'s' * (layers > 1)} can be put in so few orders that "
                           f"p is at least {found['smallest_p']:.2g}; it takes 4 layers to reach "
                           f"{levels.SIGNIFICANT}")
    if not all(np.isfinite(found[name]["p"]) for name in ("distance", "local")):
        return untested(5, "distance or local mass is missing in some layer of the last sample")
    ordered = all(found[name]["p"] < levels.SIGNIFICANT for name in ("distance", "local"))
    opposite = found["distance"]["rho"] < 0 < found["local"]["rho"]
    note = ". The layers stand the other way round" if opposite else ""
    rows = meaning.measure(run.probes.heads) if run.probes.heads else []
    means, meant = meaningful(rows)
    words, known = knowledge(run)
    return claim(5, together((SUPPORTED if ordered else NOT_SUPPORTED, meant, known)),
                 f"step {samples.steps[-1]}: {trends(samples, found, before)}{note}{means}{words}"
                 f"{likeness(run.probes)}",
                 f"both trends with p < {levels.SIGNIFICANT}; what claim 6 asks; and in every "
                 "layer synonyms in q or k by the test of claim 4, or most heads' scores by "
                 "distance as in claim 1, or a head whose ablation costs at least "
                 f"{meaning.LEAST_COST:g} nats and {meaning.ERRORS} standard errors, corrected for "
                 "all heads",
                 f"orders of the layers by chance: p is at least {found['smallest_p']:.2g}",
                 f"{layers} layers of {samples.n_heads} heads", table=table(rows))
