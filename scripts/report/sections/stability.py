"""Heads in danger: large logits, collapsed attention."""
import numpy as np

from report import heads, layers, panels
from report.markup import number, paragraph, section, table
from report.sections.attention import over_heads
from report.sections.common import not_sampled

LOG_FROM = 50  # logits beyond it are drawn on a log axis


def logits(samples):
    """The largest logit of each layer's heads over training."""
    values, title = samples.value["max_logit"], "max logit of a layer's heads"
    rows = [over_heads(np.nanmax, values[:, layer]) for layer in range(samples.n_layers)]
    lines = layers.Lines(samples.tokens, rows, layers.numbered(len(rows)))
    least, most = np.nanmin(lines.rows), np.nanmax(lines.rows)
    if most <= LOG_FROM:
        return layers.panel(title, panels.of_tokens, lines, "score")
    return layers.panel(title, panels.of_tokens, lines, "score (log axis)",
                        panels.logarithmic(max(least, 1), 1.1 * most))


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
