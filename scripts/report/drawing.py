"""Curves of a run as inline SVG, by matplotlib; words in the page's own fonts."""
import io
import re

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from report.colours import shades

matplotlib.rcParams.update({
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "lines.solid_joinstyle": "round",
    "path.simplify_threshold": 0.5})

# Okabe and Ito's colours, told apart without colour vision by their line styles.
RUN_STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#555555", ":"), ("#cc79a7", "-."),
              ("#e69f00", (0, (5, 1))), ("#000000", (0, (1, 1))))
MARK = "#777777"
MOST_POINTS = 800


def style(i):
    return RUN_STYLES[i % len(RUN_STYLES)]


def thin(x, y):
    """At most MOST_POINTS points: means of neighbours."""
    group = -(-len(x) // MOST_POINTS)
    if group <= 1:
        return x, y
    count = len(x) // group * group
    return (np.asarray(z)[-count:].reshape(-1, group).mean(axis=1) for z in (x, y))


def smooth(values, half_life):
    """Exponential moving average, without its bias towards the first value."""
    keep = 0.5 ** (1 / half_life)
    total = weight = 0.0
    result = []
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        result.append(total / weight)
    return np.array(result)


def svg_of(figure, name, label):
    """The figure's markup without what stands for files: a prologue, metadata, namespaces. Its ids
    begin with `name`; numbers have one digit after the point."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", text)
    text = re.sub(r'(?<= d=")[^"]*', lambda m: re.sub(r"(\.\d)\d+", r"\1", m[0]), text)
    text = re.sub(r"font: ([\d.]+px) 'sans-serif'", r"font: \1 sans-serif", text)
    text = re.sub(r"\n\s*", "\n", text)
    return re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>',
                  rf'<svg viewBox="\1" role="img" aria-label="{label}">', text, count=1)


# ---- loss -----------------------------------------------------------------------------------

def step_series(run, name):
    """(tokens, values) of a field of the log's steps."""
    rows = [(entry["tokens"], entry[name]) for entry in run.steps
            if isinstance(entry.get(name), (int, float)) and entry["tokens"] > 0]
    return (np.array(column, float) for column in zip(*rows)) if rows else (np.array([]),) * 2


def evaluation_series(run, name):
    rows = [(run.tokens_at(entry["step"]), entry[name]) for entry in run.evaluations
            if isinstance(entry.get(name), (int, float))]
    return zip(*rows) if rows and run.steps else ((), ())


def draw_run(axes, run, i, alone):
    colour, line = style(i)
    tokens, loss = step_series(run, "loss")
    if len(loss):
        if alone:
            axes[0].plot(*thin(tokens, loss), color=colour, alpha=0.25, linewidth=0.7)
        axes[0].plot(*thin(tokens, smooth(loss, max(1, len(loss) / 100))), color=colour,
                     linestyle=line, linewidth=1.4, label=f"{run.name}: training")
    axes[0].plot(*evaluation_series(run, "val_loss"), marker="os^Dv"[i % 5], linestyle="",
                 color=colour, markersize=5, markerfacecolor="white",
                 label=f"{run.name}: held out")
    axes[1].plot(*evaluation_series(run, "bits_per_byte"), marker="os^Dv"[i % 5], linestyle=line,
                 color=colour, markersize=5, linewidth=1)
    axes[2].plot(*thin(*step_series(run, "lr")), color=colour, linestyle=line, linewidth=1.2)


def token_axis(axes, low, high):
    """A log axis of tokens, with a tick at each decade, or also within when these are few."""
    low, high = max(low, 1), max(high, low + 1, 2)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.1, high * 1.1)
    room = 1000 if axes.figure.get_figwidth() > 6 else 50
    within = (1,) if high / low >= room else (1, 2, 5)
    decades = range(int(np.log10(low)), int(np.log10(high)) + 1)
    axes.xaxis.set_major_locator(ticker.FixedLocator([
        part * 10**decade for decade in decades for part in within]))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))


def margins(width, height):
    """Room for the words of axes, in inches, as shares; to measure the words takes longer than to
    draw."""
    return {"left": 0.75 / width, "right": 1 - 0.12 / width, "top": 1 - 0.08 / height,
            "bottom": 0.5 / height, "hspace": 0.12}


def loss_figure(runs, marks, width, height):
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(3, sharex=True, height_ratios=(5, 2, 2),
                           gridspec_kw=margins(width, height))
    for i, run in enumerate(runs):
        draw_run(axes, run, i, len(runs) == 1)
    for tokens, name in marks:
        for each in axes:
            each.axvline(tokens, color=MARK, linestyle=(0, (2, 2)), linewidth=0.9)
        axes[0].annotate(name, (tokens, 1), xycoords=("data", "axes fraction"), rotation=90,
                         xytext=(-3, -2), textcoords="offset points", ha="right", va="top",
                         fontsize=8, color="#444444")
    for each, name in zip(axes, ("loss, nats a token", "bits a byte", "rate")):
        each.set_ylabel(name)
        each.grid(alpha=0.25, linewidth=0.5)
    if not any("bits_per_byte" in entry for run in runs for entry in run.evaluations):
        axes[1].set_yticks([])
        axes[1].text(0.5, 0.5, "none recorded", transform=axes[1].transAxes, ha="center",
                     va="center", color=MARK)
    read = [entry["tokens"] for run in runs for entry in run.steps]
    token_axis(axes[2], min(read), max(read))
    axes[2].set_xlabel("tokens")
    axes[0].legend(fontsize=8, frameon=False, loc="lower left")
    return figure


# ---- stability -------------------------------------------------------------------------------

def logit_figure(samples, thresholds, width, height):
    """The largest logit of each layer's heads over training, and what is too large."""
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(gridspec_kw=margins(width, height))
    values = samples.value["max_logit"]
    some = np.isfinite(values).any(axis=(1, 2)) & (samples.tokens > 0)
    tokens = samples.tokens[some]
    strokes = shades(samples.n_layers)
    for layer in range(samples.n_layers):
        rows = np.where(np.isfinite(values[some, layer]), values[some, layer], -np.inf).max(axis=1)
        rows = np.where(np.isfinite(rows), rows, np.nan)
        axes.plot(tokens, rows, color=strokes[layer], linewidth=1.2)
        told = np.flatnonzero(np.isfinite(rows))
        if len(told) and samples.n_layers <= 16:
            axes.annotate(str(layer), (tokens[told[-1]], rows[told[-1]]), xytext=(3, 0),
                          textcoords="offset points", va="center", fontsize=8)
    top = np.nanmax(values[some]) if some.any() else 1
    for value, name in thresholds:
        if value < 3 * top:
            axes.axhline(value, color=MARK, linestyle=(0, (2, 2)), linewidth=0.9)
            axes.annotate(name, (0, value), xycoords=("axes fraction", "data"), xytext=(4, 2),
                          textcoords="offset points", fontsize=8, color="#444444")
    token_axis(axes, samples.tokens[0], samples.tokens[-1])
    if top > 50:
        axes.set_yscale("symlog", linthresh=10)
    axes.set_xlabel("tokens")
    axes.set_ylabel("max logit, a line a layer")
    axes.grid(alpha=0.25, linewidth=0.5)
    return figure
