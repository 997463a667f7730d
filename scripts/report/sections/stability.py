"""Heads in danger: large logits, collapsed attention."""
from report import drawing, heads
from report.markup import number, paragraph, section, table
from report.sections.common import both, not_sampled


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
        thresholds = ((heads.LOGIT_HIGH, "100: Kimi K2 clips"), (heads.LOGIT_DANGER, "1,000"))
        inside += both(lambda width, height: drawing.logit_figure(samples, thresholds, width,
                                                                  0.6 * height),
                       "logit", "largest logit of each layer over tokens")
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
