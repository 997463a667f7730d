"""Are the q and k of each layer meaningful: of words, of distance, or of what they are worth?"""
import numpy as np

from report import positions, synonyms

LEAST_COST = 0.01  # nats that ablation of a head costs; a convention of this report
ERRORS = 2         # standard errors of it; more where many heads are compared


def words(probed):
    """[{kind: comparison}] of the layers, or None where synonyms cannot be compared."""
    found = synonyms.measure(probed)
    if "reason" in found:
        return None
    return [{x["kind"]: x for x in found["comparisons"] if x["layer"] == layer
             and x["kind"] in ("q", "k")} for layer in range(probed.n_layers)]


def distances(probed):
    """[(heads that count, heads known)] of the layers, or None."""
    found = positions.counting(probed)
    return positions.in_layers(found) if found else None


def costs(probed):
    """[{"head", "cost", "error", "holds"} of the dearest head] of the layers, or None."""
    sample = synonyms.last_with(probed, "ablation")
    if sample is None:
        return None
    cost, error = probed.value["ablation"][sample], probed.errors("ablation")[sample]
    least = max(ERRORS, synonyms.critical(int(np.isfinite(cost).sum())))
    with np.errstate(invalid="ignore"):
        holds = (cost >= LEAST_COST) & (cost > least * error)
    dearest = [int(np.nan_to_num(np.where(held, row, row - 1e9), nan=-1e10).argmax())
               for row, held in zip(cost, holds)]
    return [{"head": head, "cost": float(cost[layer, head]), "error": float(error[layer, head]),
             "holds": bool(holds[layer, head])} for layer, head in enumerate(dearest)]


def measure(probed):
    """[{"words", "distances", "costs", "passes"}] of the layers, the first three None where not
    recorded."""
    found = {"words": words(probed), "distances": distances(probed), "costs": costs(probed)}
    rows = []
    for layer in range(probed.n_layers):
        row = {name: of and of[layer] for name, of in found.items()}
        row["passes"] = bool(
            any(x["holds"] for x in (row["words"] or {}).values())
            or (row["distances"] and positions.most(row["distances"]))
            or (row["costs"] and row["costs"]["holds"]))
        rows.append(row)
    return rows


def is_told(rows):
    """Whether all that a layer may pass by was recorded."""
    return all(row[name] is not None for row in rows for name in ("words", "distances", "costs"))
