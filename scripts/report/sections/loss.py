"""Loss over tokens, and what the frozen twin loses."""
import numpy as np

from report import drawing, frozen, panels
from report.markup import details, number, paragraph, section, table
from report.sections.common import both


def marks_of(run):
    """[(tokens, name)] of what the options say happened on the way."""
    warmup, steps = run.option("warmup", 0), run.option("steps", 0)
    found = [(warmup, "end of warmup")] if warmup else []
    if run.options.get("schedule") == "wsd" and steps:
        fall = steps * (1 - run.option("decay", 0))
        found += [(fall, "rate falls")] if warmup < fall < steps else []
    last = run.steps[-1]["step"]
    return [(run.tokens_at(step), name) for step, name in found if 0 < step < last]


def render(runs, twin):
    run = runs[0]
    drawn = [each for each in runs if each.steps]
    if not run.steps:
        return section("loss", "Loss", paragraph(
            "Not in this report: log.jsonl has no step.", "warn"))
    marks = marks_of(run)
    words = ("Training loss is smoothed" + (" (pale: every step)" if len(drawn) == 1 else "")
             + "; held-out loss and bits a byte are of text that was not trained on. Tokens are on "
             "a log axis.")
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
    tokens, cost = tokens[told], drawing.smooth(cost[told], max(1, len(cost) / 100))
    panel = panels.Panel(panels.of_tokens(tokens), panels.linear([cost[len(cost) // 50:]], (0,)))
    panel.rule(0).line(tokens, cost, "s0")
    label = (f"Loss of the frozen twin less this run's over tokens: "
             f"{np.mean(cost[:10]):.3g} at first, {cost[-1]:.3g} at the end.")
    return inside + panels.grid([panels.figure("loss of the frozen twin less this run's, smoothed",
                                               panel.svg(label))])
