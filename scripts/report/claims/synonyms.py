"""Claim 4: do q, k and scores of synonyms draw together?"""
import math

import numpy as np

from report import frozen, synonyms
from report.claims.verdict import NOT_PROBED, claim, untested, verdict

WHAT = ("What is measured is that words which occur in like contexts are treated alike: "
        "distributional likeness, which antonyms have too")


def words_of(x, run, twin):
    without = frozen.layers(run, twin, f"{x['kind']}_synonym_auc")
    beside = f", frozen twin: {without[x['layer']]:.2f}" if without else ""
    return (f"{synonyms.KINDS[x['kind']]} of layer {x['layer']} {x['auc']:.2f} +- "
            f"{x['error']:.2f} (step 0: {x['start']:.2f}, re-paired: {x['null']:.2f}{beside})")


def embeddings(model):
    """Words on the embeddings, for comparison."""
    sample = synonyms.last_with(model, "embedding_synonym_auc")
    if sample is None:
        return ""
    values = model.value["embedding_synonym_auc"][:, 0, 0]
    return f". Embeddings: {values[sample]:.2f} (step {model.steps[0]}: {values[0]:.2f})"


def control(probed, best):
    """Words on antonyms, in the same kind and layer."""
    name = f"{best['kind']}_antonym_auc"
    sample = synonyms.last_with(probed, name)
    if sample is None:
        return ". Antonyms were not probed"
    mean, error, n = synonyms.of_layers(probed, name, sample)[best["layer"]]
    if math.isnan(mean):
        return ". Antonyms were not probed"
    return f". Antonyms there, a control: {mean:.2f} +- {error:.2f} ({n} pairs)"


def single(probed):
    """Words on the best single head."""
    best = synonyms.best_head(probed)
    if best is None:
        return ""
    passes = "passes" if best["holds"] else "does not pass"
    return (f". The best single head: {synonyms.KINDS[best['kind']]} of layer {best['layer']}, "
            f"head {best['head']}: {best['auc']:.2f} +- {best['error']:.2f}; it {passes} the same test "
            f"corrected for all {best['heads']} heads and kinds ({best['z']:.1f} standard errors)")


def judge(run, twin=None):
    probed = run.probes.heads
    if probed is None:
        return untested(4, f"needs a probe of synonyms in q, k and the embeddings: {NOT_PROBED}")
    found = synonyms.measure(probed)
    if "reason" in found:
        return untested(4, found["reason"])
    compared, z = found["comparisons"], found["z"]
    holding = [x for x in compared if x["holds"]]
    best = max(holding or compared, key=lambda x: np.nan_to_num(x["auc"], nan=-1))
    strongest = "; ".join(words_of(max((x for x in (holding or compared) if x["kind"] == kind),
                                       key=lambda x: x["auc"]), run, twin)
                          for kind in synonyms.KINDS
                          if any(x["kind"] == kind for x in (holding or compared)))
    figure = (f"AUC, mean over the heads of a layer, the strongest layers: {strongest}. "
              f"{len(holding)} of {len(compared)} layers and kinds pass{single(probed)}"
              f"{embeddings(run.probes.model)}{control(probed, best)}. {WHAT}")
    criterion = (f"of one layer and kind: at least {0.5 + synonyms.LEAST:g}, and more than 0.5, than "
                 f"the re-paired ones and than step 0, each by {z:.1f} standard errors (one-sided "
                 f"{synonyms.SIGNIFICANT}, corrected for {len(compared)} comparisons)")
    return claim(4, verdict(holding), figure, criterion,
                 "0.5; pairs matched by frequency; synonyms re-paired at random",
                 f"{best['n']} pairs of synonyms")
