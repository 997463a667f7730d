"""Small charts as inline SVG, of which a page may have hundreds: lines, bands, rules and labels
over one pair of axes. The styles of what they draw are classes of report.css; one means the same in
all: "base" is a baseline, "first" the first of two steps."""
import math

import numpy as np

from report.markup import text
from runs import series

WIDTH, HEIGHT = 300, 192
SMALL = (150, 104)
LEFT, RIGHT, TOP, BOTTOM = 42, 13, 22, 36
LABELS = 34      # room on the right for the names of lines
APART = 11       # least distance of two such names
MOST_POINTS = 100
MINUS = "\u2212"


# ---- scales ---------------------------------------------------------------------------------

class Scale:
    """Places values of an axis between 0 and 1; ticks: [(value, label)]; name: what the axis is."""

    def __init__(self, low, high, ticks, place=lambda x: x, name=""):
        self._place, self.ticks, self.name, self.ends = place, ticks, name, (low, high)
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


def logarithmic(low, high, name=""):
    """Of positive values; with a tick at each decade, or also within when these are few."""
    high = max(high, 1.5 * low)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = (1,) if high / low >= 100 else (1, 2, 5)
    ticks = [(part * 10.0**d, short(part * 10.0**d)) for d in decades for part in within
             if low <= part * 10.0**d <= high]
    return Scale(low, high, ticks, lambda x: np.log10(np.maximum(x, low)), name)


def of_tokens(tokens):
    return logarithmic(max(float(np.min(tokens)), 1.0), float(np.max(tokens)),
                       "tokens (log axis)")


def of_steps(steps):
    """Of steps 0, 1, 2, 4, …: the logarithm of the step and one."""
    last = max(int(np.max(steps)), 1)
    ticks = [(0, "0")] + [(10**d, short(10**d)) for d in range(len(str(last)))]
    return Scale(0, last, ticks, np.log1p, "training step (log axis)")


def of_depths(count):
    every = -(-count // 8)
    return Scale(0, max(count - 1, 1), [(i, str(i)) for i in range(0, count, every)],
                 name="depth, in layers")


# ---- a panel --------------------------------------------------------------------------------

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


class Plot:
    """Draws into a frame (left, right, top, bottom) over the scales x and y."""

    def __init__(self, x, y, frame):
        self.x, self.y, self.inside, self.ends = x, y, [], []
        self.left, self.right, self.top, self.bottom = frame

    def across(self, values):
        return self.left + self.x(values) * (self.right - self.left)

    def up(self, values):
        return self.bottom - np.clip(self.y(values), -0.05, 1.05) * (self.bottom - self.top)

    def line(self, xs, ys, kind="", stroke=None, end=None):
        """A line of a class; `end` is its name at its last known point."""
        xs, ys, _ = series.thin(xs, ys, MOST_POINTS, self.x)
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

    def steps(self, edges, heights, kind):
        """A histogram's outline, from 0 to 0; its class may fill it."""
        return self.line(np.repeat(edges, 2), [0, *np.repeat(heights, 2), 0], kind)

    def rule(self, value, kind="base"):
        at = float(self.up(value))
        self.inside.append(f'<path class="line {kind}" d="M{self.left} {at:.1f}H{self.right}"/>')
        return self

    def x_axis(self, below=True):
        """Ticks and the name of x: below them, or between them where there is no room."""
        middle, parts = (self.left + self.right) / 2, []
        for value, label in self.x.ticks:
            at = self.across(value)
            parts.append(f'<path class="tick" d="M{at:.1f} {self.bottom}v3"/>'
                         f'<text x="{at:.1f}" y="{self.bottom + 14}" class="x">{label}</text>')
        return [*parts, f'<text x="{middle}" y="{self.bottom + (28 if below else 14)}" '
                f'class="x name">{text(self.x.name)}</text>']


class Panel(Plot):
    """One pair of axes; `name`: what y is, and its unit; `ends` keeps room for the names of lines
    at their ends."""

    def __init__(self, x, y, name="", ends=False, size=(WIDTH, HEIGHT)):
        self.width, self.height = size
        roomy = size != SMALL
        super().__init__(x, y, (LEFT, self.width - (LABELS if ends else RIGHT),
                                TOP if roomy else 16, self.height - (BOTTOM if roomy else 20)))
        self.inside = [*self._y_axis(name), *self.x_axis(roomy)]

    def _y_axis(self, name):
        parts = [f'<text x="2" y="11" class="name">{text(name)}</text>']
        for value, label in self.y.ticks:
            at = self.up(value)
            parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{self.right}"/>'
                         f'<text x="{LEFT - 4}" y="{at + 3.5:.1f}" class="y">{label}</text>')
        return [*parts, f'<path class="tick" d="M{LEFT} {self.top}V{self.bottom}H{self.right}"/>']

    def svg(self, label):
        """`label` says in words what the panel shows."""
        names = ""
        if self.ends:
            places = spread([up for up, _, _ in self.ends], self.top + 3, self.bottom)
            names = "".join(
                f'<path class="leader" d="M{across + 1:.1f} {up:.1f}L{self.right + 10} {at:.1f}"/>'
                f'<text x="{self.right + 12}" y="{at + 3.5:.1f}">{text(name)}</text>'
                for at, (up, across, name) in zip(places, self.ends))
        return wrapped(self.width, self.height, label, self.inside, names)


def wrapped(width, height, label, *parts):
    inside = "".join("".join(part) for part in parts)
    return (f'<svg class="panel" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{text(label)}">{inside}</svg>')


def figure(title, svg, hint=""):
    """A panel with its title above it."""
    below = f'<span class="hint"> {text(hint)}</span>' if hint else ""
    return f"<figure><figcaption>{text(title)}{below}</figcaption>{svg}</figure>"


def grid(figures):
    return f'<div class="panels">{"".join(figures)}</div>'
