"""The claims about how attention learns, one by one: what this run says of each."""
import numpy as np

from report import changes, levels

SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE = "supported", "not supported", "not testable"

# How far from its baseline a head may be and still have no pattern: conventions of this report.
NEAR = {"entropy": 0.1, "sink": 0.05, "local": 0.05, "distance": 0.1}
NEAR_SHARE = 0.95  # of the heads

TITLES = (
    "Rotary positions make the same two vectors score differently at different distances",
    "At initialisation attention has no pattern",
    "Gradients reach and change Wq, Wk and the embeddings",
    "Synonyms draw together",
    "Layers have levels: early ones look near, later ones far",
    "Deeper layers know more of the next token (logit lens)",
    "Heads learn in stages, with change points between them",
)
NOT_RECORDED = "no run records them yet"


def claim(number, verdict, figure, baseline="", n=""):
    return {"number": number, "title": TITLES[number - 1], "verdict": verdict, "figure": figure,
            "baseline": baseline, "n": n}


def untested(number, reason):
    return claim(number, NOT_TESTABLE, reason)


def positions(run):
    if "n_positions" in run.config or run.config.get("model_type") == "gpt2":
        return untested(1, "this model has learnt absolute positions, not rotary ones")
    return untested(1, "needs sampled q and k: the score as a function of distance, and the shares "
                       f"of position and content in it; {NOT_RECORDED}")


def given_weights(run):
    """Whether --model named a folder, whose weights the run then began from."""
    model = run.options.get("model", "")
    return isinstance(model, str) and "/" in model and not model.endswith(".json")


def far_from_baseline(samples):
    """{metric: (layers, heads) distance from its baseline} at the first sample."""
    found = {}
    for name in NEAR:
        if name in samples.value and np.isfinite(samples.baseline[name][0]).any():
            excess = samples.excess(name)[0]
            found[name] = np.abs(excess - 1 if name == "distance" else excess)
    return found


def initial(run):
    samples = run.samples
    if samples.steps[0] != 1:
        return untested(2, f"the first sample is of step {samples.steps[0]}: later than the "
                           "initial weights")
    if given_weights(run):
        return untested(2, "the run may have begun from trained weights (--model names a folder)")
    far = far_from_baseline(samples)
    absent = [name for name in NEAR if name not in far]
    if absent:
        return untested(2, f"the first sample has no {', '.join(absent)} with a baseline")
    inside = np.all([far[name] <= NEAR[name] for name in NEAR], axis=0)
    told = np.all([np.isfinite(far[name]) for name in NEAR], axis=0)
    if not told.any():
        return untested(2, "no head has all its figures in the first sample")
    worst = ", ".join(f"{name} {np.nanmax(far[name]):.3g} (may be {NEAR[name]:g})"
                      for name in NEAR)
    share = inside[told].mean()
    figure = (f"{inside.sum()} of {told.sum()} heads are near what uniform attention gives at "
              f"step 1. Farthest: {worst}. Asked: {NEAR_SHARE:.0%} of the heads")
    if share < NEAR_SHARE and all((far[name][told] <= NEAR[name]).mean() >= NEAR_SHARE
                                  for name in ("sink", "local", "distance")):
        figure += (". Where heads look is as without a pattern; they are sharper than uniform, as "
                   "random scores of some size are")
    rows = int(min(samples.n[name][0][told].min() for name in NEAR))
    return claim(2, SUPPORTED if share >= NEAR_SHARE else NOT_SUPPORTED, figure,
                 "uniform attention over the visible keys; distance as a ratio to it",
                 f"{told.sum()} heads, at least {rows} rows each")


def depth(run):
    samples = run.samples
    found, before = levels.measure(samples), levels.measure(samples, 0)
    layers = found["layers"]
    if found["smallest_p"] > levels.SIGNIFICANT:
        return untested(5, f"{layers} layer{'s' * (layers > 1)} can be put in so few orders that "
                           f"p is at least {found['smallest_p']:.2g}; it takes 4 layers to reach "
                           f"{levels.SIGNIFICANT}")
    if not all(np.isfinite(found[name]["p"]) for name in ("distance", "local")):
        return untested(5, "distance or local mass is missing in some layer of the last sample")
    parts = [f"{title} over depth: rho = {found[name]['rho']:+.2f}, p = {found[name]['p']:.2g} "
             f"(first sample: {before[name]['rho']:+.2f})"
             for name, title in (("distance", "distance against its baseline should rise"),
                                 ("local", "local mass above its baseline should fall"))]
    holds = all(found[name]["p"] < levels.SIGNIFICANT for name in ("distance", "local"))
    opposite = found["distance"]["rho"] < 0 < found["local"]["rho"]
    note = ". The layers stand the other way round" if opposite else ""
    return claim(5, SUPPORTED if holds else NOT_SUPPORTED,
                 f"step {samples.steps[-1]}: {'; '.join(parts)}{note}. Both must have p < "
                 f"{levels.SIGNIFICANT}",
                 f"orders of the layers by chance: p is at least {found['smallest_p']:.2g}",
                 f"{layers} layers of {samples.n_heads} heads")


def point_text(point):
    return (f"{point['metric']} of layer {point['layer']}, head {point['head']}: "
            f"{point['before']:.3g} to {point['after']:.3g} between steps "
            f"{point['from_step']:.0f} and {point['to_step']:.0f} (p = {point['p']:.2g})")


def stages(run):
    found = changes.measure(run.samples, run.option("warmup", 0))
    if "reason" in found:
        return untested(7, found["reason"]), found
    points = found["points"]
    figure = "; ".join(point_text(point) for point in points[:3])
    if len(points) > 3:
        figure += f"; and {len(points) - 3} more"
    if not points:
        figure = f"no sudden change; the strongest departure from a smooth course has p = " \
                 f"{found['p']:.2g}"
    if found["set_aside"]:
        figure += (f". {found['set_aside']} measures of heads depart from a smooth course without "
                   "a change that is large, sudden and followed by noise alone")
    return claim(7, SUPPORTED if points else NOT_SUPPORTED, figure,
                 f"a smooth course with its residuals permuted {changes.PERMUTATIONS} times, the "
                 "largest of all heads and measures compared",
                 f"{found['series']} measures of heads, {found['samples']} samples after "
                 "warmup"), found


def judge(run):
    """(claims in order, what claim 7 found)."""
    sampled = run.samples is not None
    absent = "attention was not sampled: train with --lens-every N"
    last, found = stages(run) if sampled else (untested(7, absent), {"reason": absent})
    return [positions(run), initial(run) if sampled else untested(2, absent),
            untested(3, "needs the norms of the gradients and the changes of Wq, Wk and the "
                        f"embeddings; {NOT_RECORDED}, and grad_norm is that of all parameters"),
            untested(4, f"needs a probe of synonyms in q, k and the embeddings; {NOT_RECORDED}"),
            depth(run) if sampled else untested(5, absent),
            untested(6, "needs a probe that reads predictions from each layer's residual; "
                        f"{NOT_RECORDED}"), last], found
