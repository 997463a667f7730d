"""Loss over tokens, and what the frozen twin loses."""
import math
import re

import numpy as np

from report import drawing, frozen, heads, panels
from report.markup import details, number, paragraph, section, table
from report.sections.common import both
from runs import series

MOST_COLLAPSES = 6
APART = 0.04  # of the axis, between two marks

def scheduled(run):
    """[(step, name)] of what the options say happened on the way."""
    warmup, steps = run.option("warmup", 0), run.option("steps", 0)
    found = [(warmup, "end of warmup")] if warmup else []
    if run.options.get("schedule") == "wsd" and steps:
        fall = steps * (1 - run.option("decay", 0))
        found += [(fall, "rate falls")] if warmup < fall < steps else []
    return found


def resumed(run):
    """The same of resumes after which something was not as before; run.json keeps no others."""
    changes = run.environment.get("changes")
    found = [re.match(r"from step (\d{1,15}) on (--[\w-]+)?", change)
             for change in (changes if isinstance(changes, list) else [])
             if isinstance(change, str)]
    return [(int(each[1]), f"resumed, {each[2] or 'environment'} changed") for each in found if each]


def collapses(run):
    """The same of heads whose attention collapsed, the first few."""
    if run.samples is None:
        return []
    at = {}
    for head in heads.collapsed(run.samples):
        at.setdefault(head["step"], []).append(f"layer {head['layer']}, head {head['head']}")
    return [(step, f"{at[step][0] if len(at[step]) == 1 else f'{len(at[step])} heads'} collapsed")
            for step in sorted(at)[:MOST_COLLAPSES]]


def marks_of(run):
    """[(tokens, name)] of events; names of those that are too near to be read share a mark."""
    last = run.steps[-1]["step"]
    events = sorted((step, name) for step, name in scheduled(run) + resumed(run) + collapses(run)
                    if 0 < step < last)
    marks = []
    for tokens, name in ((run.tokens_at(step), name) for step, name in events):
        apart = math.log(max(run.steps[-1]["tokens"] / max(run.steps[0]["tokens"], 1), 2)) * APART
        if marks and math.log(tokens / marks[-1][0]) < apart:
            marks[-1] = (marks[-1][0], f"{marks[-1][1]}; {name}")
        else:
            marks.append((tokens, name))
    return marks


def render(runs, twin):
    run = runs[0]
    drawn = [each for each in runs if each.steps]
    if not run.steps:
        return section("loss", "Loss", paragraph(
            "Not in this report: log.jsonl has no step.", "warn"))
    marks = marks_of(run)
    words = ("Training loss is smoothed (pale: as it is, or means of neighbours where steps are "
             "too many to be told apart); held-out loss and bits a byte are of text that was not "
             "trained on. Tokens, and losses above 0, are on log axes.")
    rows = [(entry["step"], f"{run.tokens_at(entry['step']):,.0f}", number(entry["val_loss"]),
             number(entry.get("bits_per_byte"))) for entry in run.evaluations]
    numbers = details("numbers", table(("step", "tokens", "held-out loss", "bits a byte"), rows,
                                       f"evaluations of {run.name}")) if rows else ""
    figures = both(lambda *size: drawing.loss_figure(drawn, marks, *size), "loss",
                   "loss, bits a byte and rate over tokens")
    return section("loss", "Loss", paragraph(words) + figures + numbers + frozen_twin(run, twin))


def frozen_twin(run, twin):
    found = frozen.measure(run, twin)
    inside = "<h3>The frozen twin</h3>"
    if "reason" in found:
        return inside + paragraph(f"Not in this report: {found['reason']}.", "warn")
    inside += paragraph(
        f"{found['twin']} is the same run with Wq and Wk as they were at the beginning. Its loss "
        f"less that of this run, steps {found['from_step']} to {found['to_step']}: "
        f"{found['cost']:+.4f} ± {found['error']:.4f} nats a token ({found['n']} steps).")
    _, tokens, cost = frozen.difference(run, twin)
    told = tokens > 0
    tokens, cost, counts = series.thin(tokens[told], cost[told], drawing.MOST_POINTS)
    cost = series.smooth(tokens, cost, counts)
    panel = panels.Panel(panels.of_tokens(tokens), panels.linear([cost], (0,)),
                         "nats a token")
    panel.rule(0).line(tokens, cost, "s0")
    label = (f"Loss of the frozen twin less this run's over tokens: "
             f"{np.mean(cost[:10]):.3g} at first, {cost[-1]:.3g} at the end.")
    return inside + panels.grid([panels.figure("loss of the frozen twin less this run's, smoothed",
                                               panel.svg(label))])
