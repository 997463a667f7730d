"""A line for each layer over training. Few layers share one pair of axes, told apart by dashes and
widths as well as by shade; each of many, or of several runs, has a strip of its own."""
import numpy as np

from report.colours import shades
from report.markup import text
from report.panels import LEFT, TOP, WIDTH, Panel, Plot, figure, linear, short, wrapped

MOST_LINES = 6   # as many styles of lines as report.css has under l0, l1, …
MOST_BANDS = 2   # which may lie upon each other
STRIPS, LOWEST, HIGHEST = 400, 18, 56  # height of all strips, and of one
GAP, RIGHT, BELOW = 3, 54, 36          # room about them
# s1, s2, … of report.css; dots are a baseline's.
OTHERS = ("dashed", "short dashes", "dash and two dots", "sparse dashes", "dash and three dots")


def in_words(names, rows):
    """From which value to which each line goes."""
    parts = []
    for name, row in zip(names, rows):
        known = np.flatnonzero(np.isfinite(row))
        if len(known):
            parts.append(f"{name}: {row[known[0]]:.3g} to {row[known[-1]]:.3g}")
    return "; ".join(parts)


def numbered(count):
    """Names of lines; one alone needs none."""
    return [str(i) for i in range(count)] if count > 1 else [""]


def of_others(runs, series):
    """[(class, xs, rows)] of the runs but for the first, of which `series` gives (xs, rows) or
    None."""
    found = [(i, series(run)) for i, run in enumerate(runs) if i]
    return [(f"other s{(i - 1) % len(OTHERS) + 1}", *each) for i, each in found if each is not None]


def compared(runs, recorded):
    """Words on which runs are beside the first; `recorded`: whether one has what is drawn."""
    having = [(i, run) for i, run in enumerate(runs) if i and recorded(run)]
    names = ", ".join(f"{run.name} ({OTHERS[(i - 1) % len(OTHERS)]})" for i, run in having)
    lacking = ", ".join(run.name for run in runs[1:] if not recorded(run))
    return ((f" Thinner lines: {names}; the unbroken one is {runs[0].name}." if names else "")
            + (f" Not recorded: {lacking}." if lacking else ""))


class Lines:
    """xs: (points); rows: (layers, points) and their names; base: (points) or None, a baseline;
    errors: of the rows, or None; others: [(class, xs, rows)] of other runs."""

    def __init__(self, xs, rows, names, base=None, errors=None, others=()):
        self.xs, self.rows, self.names = xs, np.asarray(rows, float), names
        self.base = base if base is not None and np.isfinite(base).any() else None
        self.errors, self.others = errors, others

    def all_xs(self):
        return np.concatenate([self.xs, *(xs for _, xs, _ in self.others)])

    def limits(self):
        return linear([self.rows, *(rows for _, _, rows in self.others)]
                      + ([self.base] if self.base is not None else []))


def draw(plot, lines, layer, kind, **how):
    row = lines.rows[layer]
    if lines.errors is not None:
        plot.band(lines.xs, row - lines.errors[layer], row + lines.errors[layer])
    plot.line(lines.xs, row, kind, **how)
    for other, xs, rows in lines.others:
        if layer < len(rows):
            plot.line(xs, rows[layer], other)


def together(x, y, lines, name):
    """The panel of few lines, each named at its end."""
    count = len(lines.rows)
    panel, colours = Panel(x, y, name, ends=count > 1), shades(count)
    if lines.base is not None:
        panel.line(lines.xs, lines.base, "base")
    for layer in range(count):
        if count == 1:
            draw(panel, lines, layer, "s0")
        else:
            draw(panel, lines, layer, f"l{layer}", stroke=colours[layer], end=lines.names[layer])
    return panel.svg


def last_of(row):
    known = row[np.isfinite(row)]
    return short(known[-1]) if len(known) else ""


def in_strips(x, y, lines, name):
    """A strip a layer, the last on top as in the heat map, all of one scale; beside it the value at
    the end."""
    height, inside, top = min(max(STRIPS / len(lines.rows), LOWEST), HIGHEST), [], TOP
    for layer in reversed(range(len(lines.rows))):
        strip = Plot(x, y, (LEFT - 14, WIDTH - RIGHT, top, top + height - GAP))
        if lines.base is not None:
            strip.line(lines.xs, lines.base, "base")
        draw(strip, lines, layer, "s0")
        middle = (strip.top + strip.bottom) / 2 + 4
        inside += [f'<path class="floor" d="M{strip.left} {strip.bottom:.1f}H{strip.right}"/>',
                   f'<text x="{strip.left - 4}" y="{middle:.1f}" class="y">'
                   f"{text(lines.names[layer])}</text>",
                   f'<text x="{strip.right + 4}" y="{middle:.1f}">{last_of(lines.rows[layer])}'
                   "</text>", *strip.inside]
        top += height
    low, high = (short(float(f"{end:.2g}")) for end in y.ends)
    scale = f"{text(name)}, each strip {low} to {high}"
    inside += [*strip.x_axis(), f'<text x="2" y="11" class="name">{scale}</text>']
    return lambda label: wrapped(WIDTH, round(top + BELOW), label, inside)


def panel(title, x_of, lines, name="", limits=None):
    """The figure of `lines`; x_of: makes the scale of all their xs; `name`: what y is, and its
    unit."""
    most = 1 if lines.others else MOST_LINES if lines.errors is None else MOST_BANDS
    svg = (together if len(lines.rows) <= most else in_strips)(
        x_of(lines.all_xs()), limits or lines.limits(), lines, name)
    return figure(title, svg(f"{title}. {in_words(lines.names, lines.rows)}"))
