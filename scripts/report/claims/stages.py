"""Claim 7: do heads learn in stages?"""
from report import changes, depths, milestones
from report.claims.verdict import (NOT_SAMPLED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED, claim,
                                   untested)


def point_text(point):
    return (f"{point['metric']} of layer {point['layer']}, head {point['head']}: "
            f"{point['before']:.3g} to {point['after']:.3g} between steps "
            f"{point['from_step']:.0f} and {point['to_step']:.0f} (p = {point['p']:.2g})")


def learnt(run):
    """(words, verdict) on whether the model learnt more than it takes no context for."""
    last = depths.last(run)
    if last is None:
        return ". What the output predicts was not probed, nor asked", SUPPORTED
    found = depths.rise(run, last)
    if not found["context"]:
        return (". But the output is not shown to predict better than without context (claim 6): "
                "what changed is no stage of learning from it", NOT_SUPPORTED)
    if found["alone"] is None:
        return (". Whether the output predicts more than the current token alone tells is not "
                f"known: {run.lacks_followers()}; name the run's data by --data DIR", NOT_TESTABLE)
    return "", SUPPORTED


def step_text(step):
    return f"{step:.0f}" if step >= 10 else f"{step:.1f}"


def as_found(run):
    """(words, table) on the stages by what came about when."""
    found = milestones.measure(run)
    if "reason" in found:
        return f". When measures came about is not known: {found['reason']}", None
    first, early, middle = map(step_text, found["bounds"])
    begins = min(found["courses"], key=lambda each: each[1][0])[0].title
    words = (f". Stages by when measures came about: initialisation to step {first}, when the "
             f"first had gone a tenth of its way ({begins}); first steps to {early}, the middle to "
             f"{middle}, late from there: terciles of the steps below. These are found of any run, "
             "and not tested")
    rows = [(course.title, f"{course.values[0]:.3g} to {course.values[-1]:.3g}",
             *map(step_text, passed)) for course, passed in found["courses"]]
    caption = ("the step at which a tenth, a half and nine tenths of the way from the first value "
               f"to the last were passed for good; {found['left_out']} measures that changed by no "
               "more than their error are left out")
    return words, {"head": ("measure", "from, to", "a tenth", "a half", "nine tenths"),
                   "rows": rows, "caption": caption}


def judge(run):
    """(the claim, what was found)."""
    judged, found = sudden(run)
    words, table = as_found(run)
    return judged | {"figure": judged["figure"] + words, "table": table}, found


def sudden(run):
    """(the claim, what was found) by the changes that are sudden."""
    if run.samples is None:
        return untested(7, NOT_SAMPLED), {"reason": NOT_SAMPLED}
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
    words, kind = learnt(run) if points else ("", NOT_SUPPORTED)
    return claim(7, kind, figure + words,
                 f"one change with p < {changes.SIGNIFICANT}, of at least {changes.LARGE:.0%} of "
                 f"the head's range, {changes.STEEPER} x as steep as what is beside it",
                 "a smooth course, what noise keeps of the sample before taken out, with its "
                 f"residuals permuted {changes.PERMUTATIONS} times, the largest of all heads and "
                 "measures compared",
                 f"{found['series']} measures of heads, {found['samples']} samples after "
                 "warmup"), found
