"""Claim 5: do layers have levels?"""
import numpy as np

from report import depths, levels
from report.claims.verdict import NOT_SAMPLED, claim, untested, verdict


def trends(samples, found, before):
    return "; ".join(f"{title} over depth: rho = {found[name]['rho']:+.2f}, p = "
                     f"{found[name]['p']:.2g} (first sample: {before[name]['rho']:+.2f})"
                     for name, title in (
                         ("distance", "distance against its baseline should rise"),
                         ("local", "local mass above its baseline should fall")))


def knowledge(run):
    """(words, whether later layers know more) by the logit lens; not asked where none is
    recorded."""
    last = depths.last(run)
    if last is None:
        return ". What layers know was not probed", True
    found = depths.rise(run, last)
    return (f". Logit lens, accuracy above the commonest token's over depth: rho = "
            f"{found['rho']:+.2f}, p = {found['p']:.2g}, {found['gain']:+.3f} at the output",
            found["holds"])


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
    words, knows = knowledge(run)
    return claim(5, verdict(ordered and knows),
                 f"step {samples.steps[-1]}: {trends(samples, found, before)}{note}{words}"
                 f"{likeness(run.probes)}",
                 f"both trends with p < {levels.SIGNIFICANT}; and where the logit lens was probed, "
                 "what claim 6 asks",
                 f"orders of the layers by chance: p is at least {found['smallest_p']:.2g}",
                 f"{layers} layers of {samples.n_heads} heads")
