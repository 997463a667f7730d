"""Heads in danger: large logits, collapsed attention."""
import numpy as np

from report import heads, layers, panels
from report.markup import number, paragraph, section, table
from report.sections.attention import over_heads
from report.sections.common import not_sampled

LOG_FROM = 50  # logits beyond it are drawn on a log axis


def logits(samples):
    """The largest logit of each layer's heads over training."""
    some, values = samples.tokens > 0, samples.value["max_logit"]
    rows = [over_heads(np.nanmax, values[some, layer]) for layer in range(samples.n_layers)]
    lines, limits, name = layers.Lines(samples.tokens[some], rows, layers.numbered(len(rows))), \
        None, "score"
    top = np.nanmax(lines.rows)
    if top > LOG_FROM:
        limits, name = panels.logarithmic(max(np.nanmin(lines.rows), 1), 1.1 * top), \
            "score (log axis)"
    return layers.panel("max logit of a layer's heads", panels.of_tokens, lines, name, limits)


def render(run):
    samples = run.samples
    if samples is None:
        return not_sampled("stability", "Stability")
    inside, extreme = "", heads.extreme_logit(samples)
    if extreme:
        inside += paragraph(
            f"Largest logit: {extreme['value']:.4g}, in layer {extreme['layer']}, head "
            f"{extreme['head']} at step {extreme['step']}. Heads that exceeded "
            f"{heads.LOGIT_HIGH} in a sample (Kimi K2 clips there): "
            f"{heads.above(samples, heads.LOGIT_HIGH)}; {heads.LOGIT_DANGER:,} (seen before "
            f"divergence): {heads.above(samples, heads.LOGIT_DANGER)}. Of "
            f"{samples.n_layers * samples.n_heads} heads in {len(samples)} samples; between "
            "samples nothing is known.")
        inside += panels.grid([logits(samples)])
    else:
        inside += paragraph("No max logit is recorded.", "warn")
    found = heads.collapsed(samples)
    inside += paragraph(f"Collapsed heads, normalised entropy below {heads.COLLAPSED} (a convention "
                        f"of this report): {len(found) or 'none'}."
                        if "entropy" in samples.value else "No entropy is recorded.")
    if found:
        inside += table(("layer", "head", "first at step", "entropy at the end", "still collapsed"),
                        [(x["layer"], x["head"], x["step"], number(x["entropy"], ".3f"),
                          "yes" if x["at_end"] else "no") for x in found], "collapsed heads")
    return section("stability", "Stability", inside)
