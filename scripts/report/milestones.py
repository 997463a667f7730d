"""When did what is measured of q, k and the loss come about? The steps at which each measure had
gone a tenth, a half and nine tenths of its way, and the stages into which these fall. Nothing is
tested here: the stages are those that are found, of whatever run."""
import math
from collections import namedtuple

import numpy as np

MEASURES = {"position_share": "share of position", "q_synonym_auc": "synonyms' AUC of q",
            "k_synonym_auc": "synonyms' AUC of k", "q_rank": "effective rank of q",
            "previous_token": "previous-token score"}
LEVELS = (0.1, 0.5, 0.9)  # of the way from a measure's first value to its last
ERRORS = 3                # of its own that a whole change must exceed, or
LEAST = 0.1               # of its range, where its error is not known
FEWEST_PROBES = 4

Course = namedtuple("Course", "title steps values error")  # error: of the whole change, or NaN


def of_loss(run, steps):
    """Training loss at each of `steps`: the mean of the logged steps that are nearest to it by
    log(step + 1). A logged loss is that of the weights before its step."""
    if not run.steps:
        return None
    before = np.log([entry["step"] for entry in run.steps])
    losses = np.array([entry["loss"] for entry in run.steps])
    nearest = np.abs(before[:, None] - np.log1p(steps)).argmin(axis=1)
    told = np.unique(nearest)
    values = np.array([losses[nearest == i].mean() for i in told])
    return Course("training loss", np.asarray(steps)[told], values, math.nan)


def of_layer(probed, name, layer):
    """Mean over heads. They share tokens and pairs, so it is taken to be no surer than one."""
    rows, errors = probed.value[name][:, layer], probed.errors(name)[:, layer]
    told = np.isfinite(rows).any(axis=1)
    values = np.array([row[np.isfinite(row)].mean() for row in rows[told]])
    ends = errors[told][[0, -1]] if told.any() else np.full((2, 1), np.nan)
    error = math.nan if np.isnan(ends).all(axis=1).any() else math.hypot(*np.nanmean(ends, axis=1))
    return Course(f"{MEASURES[name]}, layer {layer}", probed.steps[told], values, error)


def moves(course, first, last):
    """Whether a course spans all probes and its whole change is more than its error."""
    if course is None or not len(course.steps) or course.steps[0] != first \
            or course.steps[-1] != last:
        return False
    change = abs(course.values[-1] - course.values[0])
    least = LEAST * np.ptp(course.values) if math.isnan(course.error) else ERRORS * course.error
    return bool(change > least)


def crossings(course):
    """The step at which each of LEVELS was passed for good, by interpolation on log(step + 1)."""
    way = (course.values - course.values[0]) / (course.values[-1] - course.values[0])
    at, found = np.log1p(course.steps), []
    for level in LEVELS:
        i = np.flatnonzero(way < level)[-1]
        found.append(float(np.expm1(at[i] + (level - way[i]) / (way[i + 1] - way[i])
                                    * (at[i + 1] - at[i]))))
    return found


def measure(run):
    """{"reason"}, or {"courses": [(Course, crossings)], those that were half done first, and
    "bounds": the steps at which initialisation, first steps and the middle end}."""
    probed = run.probes.heads
    if probed is None or probed.steps[0] != 0 or len(probed) < FEWEST_PROBES:
        return {"reason": f"it takes {FEWEST_PROBES} probed steps, the first of them 0"}
    all_courses = [of_loss(run, probed.steps), *(
        of_layer(probed, name, layer) for name in MEASURES if name in probed.value
        for layer in range(probed.n_layers))]
    found = [(course, crossings(course)) for course in all_courses
             if moves(course, 0, probed.steps[-1])]
    if not found:
        return {"reason": "no measure changed by more than its error"}
    found.sort(key=lambda each: each[1][1])
    every = np.log1p([step for _, passed in found for step in passed])
    bounds = np.expm1([every.min(), *np.quantile(every, (1 / 3, 2 / 3))])
    return {"courses": found, "left_out": len(all_courses) - len(found), "bounds": bounds.tolist()}
