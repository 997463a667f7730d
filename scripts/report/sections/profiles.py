"""Position: how the score of the mean q and k depends on their distance, head by head, and how much
of all scores that is."""
import numpy as np

from report import panels
from report.markup import paragraph, section
from report.sections.common import not_probed


def of_distances(most):
    ticks = [(value, panels.short(value)) for value in (0, most)]
    return panels.Scale(0, most, ticks, name="distance")


def share_at(run, step, layer, head):
    """position_share and its baseline, NaN where there is none."""
    probed = run.probes.heads
    if probed is not None and "position_share" in probed.value and step in probed.steps \
            and layer < probed.n_layers and head < probed.n_heads:
        at = (int(np.flatnonzero(probed.steps == step)[0]), layer, head)
        return probed.value["position_share"][at], probed.baseline["position_share"][at]
    return np.nan, np.nan


def head_panel(run, head, x, y, last, first):
    """`last` and `first`: (distances, scores), the second may be None."""
    step, layer, number = head
    panel = panels.Panel(x, y, "score", size=panels.SMALL)
    if first is not None:
        panel.line(*first, "first")
    panel.line(*last, "s0")
    share, base = share_at(run, step, layer, number)
    told = f"{share:.2g} ({base:.1g})" if np.isfinite(share) else ""
    label = (f"Score over distance of layer {layer}, head {number}: from {last[1].min():.3g} to "
             f"{last[1].max():.3g}" + (f"; share of position {told}" if told else ""))
    return panels.figure(f"head {number}", panel.svg(label), told)


def render(run):
    profile = run.probes.profile
    if not run.is_rotary():
        return section("profiles", "Position", paragraph(
            "Not in this report: this model has learnt absolute positions, not rotary ones.", "warn"))
    if not profile:
        return not_probed("profiles", "Position", "scores over distance are")
    begin, end = (choose(step for step, _, _ in profile) for choose in (min, max))
    inside = paragraph(
        f"b(d): the score of the head's mean q and mean k, before rotation, at distance d, in "
        f"tokens; long dashes: at step {begin}, unbroken: at step {end}. All heads of a layer have "
        "one scale. In brackets beside the share of position (the part of the variance of all "
        "scores that distance alone explains): what chance gives.")
    heads = sorted(key for key in profile if key[0] == end)
    x = of_distances(max(profile[key][0][-1] for key in heads))
    for layer in dict.fromkeys(layer for _, layer, _ in heads):
        row = [key for key in heads if key[1] == layer]
        firsts = [profile.get((begin, layer, head)) if begin != end else None
                  for _, _, head in row]
        y = panels.linear([profile[key][1] for key in row]
                          + [first[1] for first in firsts if first is not None])
        y.ticks = [(y.ticks[0]), (y.ticks[-1])]
        drawn = [head_panel(run, key, x, y, profile[key], first)
                 for key, first in zip(row, firsts)]
        inside += f'<h3>layer {layer}</h3><div class="panels small">{"".join(drawn)}</div>'
    return section("profiles", "Position", inside)
