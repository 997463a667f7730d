"""Small charts as inline SVG, of which a page may have hundreds: lines, bands, rules and labels
over one pair of axes. The styles of what they draw are classes of report.css."""
import math

import numpy as np

from report.colours import shades
from report.markup import text

WIDTH, HEIGHT = 300, 165
LEFT, RIGHT, TOP, BOTTOM = 42, 8, 8, 20
LABELS = 26      # room on the right for the names of lines
APART = 11       # least distance of two such names
MOST_POINTS = 100
MINUS = "\u2212"


# ---- scales ---------------------------------------------------------------------------------

class Scale:
    """Places values of an axis between 0 and 1; ticks: [(value, label)]."""

    def __init__(self, low, high, ticks, place=lambda x: x):
        self._place, self.ticks = place, ticks
        self.low, high = place(np.float64(low)), place(np.float64(high))
        self.range = (high - self.low) or 1.0

    def __call__(self, values):
        return (self._place(np.asarray(values, float)) - self.low) / self.range


def short(value):
    """1500 as 1.5k; small numbers with as many digits as they need."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def nice_ticks(low, high, most=4):
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * part for part in (1, 2, 5, 10) if (high - low) / (step * part) <= most)
    first = math.ceil(low / step - 1e-9)
    return [(i * step, short(round(i * step, 12)))
            for i in range(first, int(high / step + 1e-9) + 1)]


def linear(values, include=()):
    """Over the finite of all values, with room above and below."""
    known = np.concatenate([np.ravel(np.asarray(x, float)) for x in (*values, include)])
    known = known[np.isfinite(known)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.5 * max(abs(high), 1e-9)
    return Scale(low - room, high + room, nice_ticks(low - room, high + room))


def logarithmic(low, high):
    """Of positive values; with a tick at each decade, or also within when these are few."""
    high = max(high, 1.5 * low)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = (1,) if high / low >= 100 else (1, 2, 5)
    ticks = [(part * 10.0**d, short(part * 10.0**d)) for d in decades for part in within
             if low <= part * 10.0**d <= high]
    return Scale(low, high, ticks, lambda x: np.log10(np.maximum(x, low)))


def of_tokens(tokens):
    return logarithmic(max(float(np.min(tokens)), 1.0), float(np.max(tokens)))


def of_steps(steps):
    """Of steps 0, 1, 2, 4, …: the logarithm of the step and one."""
    last = max(int(np.max(steps)), 1)
    ticks = [(0, "0")] + [(10**d, short(10**d)) for d in range(len(str(last)))]
    return Scale(0, last, ticks, np.log1p)


def of_depths(count):
    every = -(-count // 8)
    return Scale(0, max(count - 1, 1), [(i, str(i)) for i in range(0, count, every)])


# ---- a panel --------------------------------------------------------------------------------

def thin(xs, ys):
    """The first point and at most MOST_POINTS others, each the mean of neighbours."""
    group = -(-(len(xs) - 1) // MOST_POINTS)
    if group <= 1:
        return xs, ys
    first = np.array([0, *range(1, len(xs), group)])
    sizes = np.diff([*first, len(xs)])
    return (np.add.reduceat(np.asarray(z, float), first) / sizes for z in (xs, ys))


def path_of(xs, ys):
    """A line that is broken where y is not known."""
    parts, pen = [], "M"
    for x, y in zip(xs, ys):
        if not math.isfinite(y):
            pen = "M"
            continue
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(parts)


def spread(wanted, least, most):
    """Places near the wanted ones, at least APART from each other where there is room."""
    order = np.argsort(wanted)
    places = np.array(wanted, float)
    apart = min(APART, (most - least) / max(len(places) - 1, 1))
    for before, i in zip(order, order[1:]):
        places[i] = max(places[i], places[before] + apart)
    over = places[order[-1]] - most
    if over > 0:
        places[order[-1]] = most
        for after, i in zip(order[::-1], order[-2::-1]):
            places[i] = min(places[i], places[after] - apart)
    return places


class Panel:
    """Draws over the scales x and y; `ends` keeps room for the names of lines at their ends."""

    def __init__(self, x, y, ends=False, size=(WIDTH, HEIGHT)):
        self.x, self.y, (self.width, self.height) = x, y, size
        self.right = self.width - (LABELS if ends else RIGHT)
        self.inside, self.ends = self._axes(), []

    def across(self, values):
        return LEFT + self.x(values) * (self.right - LEFT)

    def up(self, values):
        bottom = self.height - BOTTOM
        return bottom - np.clip(self.y(values), -0.05, 1.05) * (bottom - TOP)

    def _axes(self):
        bottom, parts = self.height - BOTTOM, []
        for value, label in self.y.ticks:
            at = self.up(value)
            parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{self.right}"/>'
                         f'<text x="{LEFT - 4}" y="{at + 3.5:.1f}" class="y">{label}</text>')
        for value, label in self.x.ticks:
            at = self.across(value)
            parts.append(f'<path class="tick" d="M{at:.1f} {bottom}v3"/>'
                         f'<text x="{at:.1f}" y="{bottom + 14}" class="x">{label}</text>')
        return [*parts, f'<path class="tick" d="M{LEFT} {TOP}V{bottom}H{self.right}"/>']

    def line(self, xs, ys, kind="", stroke=None, end=None):
        """A line of a class; `end` is its name at its last known point."""
        xs, ys = thin(xs, ys)
        across, up = self.across(xs), self.up(ys)
        colour = f' style="stroke:{stroke}"' if stroke else ""
        self.inside.append(f'<path class="line {kind}"{colour} d="{path_of(across, up)}"/>')
        known = np.flatnonzero(np.isfinite(up))
        if end is not None and len(known):
            self.ends.append((float(up[known[-1]]), float(across[known[-1]]), end))
        return self

    def band(self, xs, low, high, kind=""):
        known = np.isfinite(low) & np.isfinite(high)
        xs = np.asarray(xs)[known]
        if len(xs):
            points = [*zip(self.across(xs), self.up(np.asarray(low)[known])),
                      *reversed([*zip(self.across(xs), self.up(np.asarray(high)[known]))])]
            drawn = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
            self.inside.append(f'<path class="band {kind}" d="M{drawn}Z"/>')
        return self

    def rule(self, value):
        at = float(self.up(value))
        self.inside.append(f'<path class="line base" d="M{LEFT} {at:.1f}H{self.right}"/>')
        return self

    def svg(self, label):
        """`label` says in words what the panel shows."""
        names = ""
        if self.ends:
            places = spread([up for up, _, _ in self.ends], TOP + 3, self.height - BOTTOM)
            names = "".join(f'<text x="{self.right + 4}" y="{at + 3.5:.1f}">{text(name)}</text>'
                            for at, (_, _, name) in zip(places, self.ends))
        return (f'<svg class="panel" viewBox="0 0 {self.width} {self.height}" role="img" '
                f'aria-label="{text(label)}">{"".join(self.inside)}{names}</svg>')


def figure(title, svg, hint=""):
    """A panel with its title above it."""
    below = f'<span class="hint"> {text(hint)}</span>' if hint else ""
    return f"<figure><figcaption>{text(title)}{below}</figcaption>{svg}</figure>"


def grid(figures):
    return f'<div class="panels">{"".join(figures)}</div>'


# ---- lines of layers ------------------------------------------------------------------------

def in_words(names, xs, rows):
    """From which value to which each line goes."""
    parts = []
    for name, row in zip(names, rows):
        known = np.flatnonzero(np.isfinite(row))
        if len(known):
            parts.append(f"{name}: {row[known[0]]:.3g} to {row[known[-1]]:.3g}")
    return "; ".join(parts)


def layer_lines(title, x, xs, rows, names, base=None, limits=None, errors=None):
    """A line for each of the rows (layers, points), light for the first and dark for the last,
    with its name at its end; base: a row that is a baseline; errors: of the rows, drawn as bands."""
    rows = np.asarray(rows, float)
    if base is not None and not np.isfinite(base).any():
        base = None
    y = limits or linear([rows] + ([base] if base is not None else []))
    panel, colours = Panel(x, y, ends=True), shades(len(rows))
    if errors is not None:
        for row, error in zip(rows, errors):
            panel.band(xs, row - error, row + error)
    if base is not None:
        panel.line(xs, base, "base")
    for row, colour, name in zip(rows, colours, names):
        if len(rows) == 1:
            panel.line(xs, row, "s0")
        else:
            panel.line(xs, row, stroke=colour, end=name)
    return figure(title, panel.svg(f"{title}. {in_words(names, xs, rows)}"))
