"""Curves of a run as inline SVG, by matplotlib; words in the page's own fonts."""
import io
import re

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from runs import legend, series

matplotlib.rcParams.update({
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "lines.solid_joinstyle": "round",
    "path.simplify_threshold": 0.5})

# Okabe and Ito's colours, told apart without colour vision by line styles: those of report.css.
RUN_STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#555555", (0, (2, 1))),
              ("#cc79a7", (0, (5, 1, 1, 1, 1, 1))), ("#e69f00", (0, (4, 4))),
              ("#000000", (0, (5, 1, 1, 1, 1, 1, 1, 1))))
MARK = "#777777"
MOST_POINTS = 800
FEW_DECADES = 20    # between the ends of a log axis whose ticks are evenly apart
MOST_LETTERS = 30   # of a run's name in a legend
LEFT, RIGHT = 0.95, 0.12  # inches beside the axes: ticks such as 0.00025, and the axes' names


def style(i):
    return RUN_STYLES[i % len(RUN_STYLES)]


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


def short(name):
    return name if len(name) <= MOST_LETTERS else name[:MOST_LETTERS - 1] + "\u2026"


def draw_run(axes, run, i):
    """Returns what the legend has of the run: [(name, handle)]."""
    colour, line = style(i)
    marker, named = "os^Dv"[i % 5], []
    tokens, loss = step_series(run, "loss")
    if len(loss):
        tokens, loss, counts = series.thin(tokens, loss, MOST_POINTS)
        axes[0].plot(tokens, loss, color=colour, alpha=0.3, linewidth=0.7)
        named += [(f"{short(run.name)}: training", handle) for handle in axes[0].plot(
            tokens, series.smooth(tokens, loss, counts), color=colour, linestyle=line,
            linewidth=1.4)]
    named += [(f"{short(run.name)}: held out", handle) for handle in axes[0].plot(
        *evaluation_series(run, "val_loss"), marker=marker, linestyle="", color=colour,
        markersize=5, markerfacecolor="white")]
    axes[1].plot(*evaluation_series(run, "bits_per_byte"), marker=marker, linestyle=line,
                 color=colour, markersize=5, linewidth=1)
    axes[2].plot(*series.thin(*step_series(run, "lr"), MOST_POINTS)[:2], color=colour,
                 linestyle=line, linewidth=1.2)
    return named


def plain_ticks(axis, most):
    """Few round numbers as they are, on a log axis too, where this spans little."""
    low, high = axis.get_view_interval()
    decades = axis.get_scale() == "log" and high > FEW_DECADES * low
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)) if decades
                           else ticker.MaxNLocator(most, steps=(1, 2, 5, 10)))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))


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
    return {"left": LEFT / width, "right": 1 - RIGHT / width, "top": 1 - 0.08 / height,
            "bottom": 0.5 / height, "hspace": 0.12}


def draw_mark(axes, tokens, name):
    for each in axes:
        each.axvline(tokens, color=MARK, linestyle=(0, (2, 2)), linewidth=0.9)
    axes[0].annotate(legend.literal(name), (tokens, 1), xycoords=("data", "axes fraction"),
                     rotation=90, xytext=(-3, -2), textcoords="offset points", ha="right", va="top",
                     fontsize=8, color="#444444")


def loss_figure(runs, marks, width, height):
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(3, sharex=True, height_ratios=(5, 2, 2),
                           gridspec_kw=margins(width, height))
    named = [each for i, run in enumerate(runs) for each in draw_run(axes, run, i)]
    for tokens, name in marks:
        draw_mark(axes, tokens, name)
    loss = "loss, nats a token"
    if axes[0].dataLim.y0 > 0:
        axes[0].set_yscale("log")
        loss += " (log axis)"
    for each, name, most in zip(axes, (loss, "bits a byte", "rate"), (8, 4, 4)):
        each.set_ylabel(name)
        each.yaxis.set_label_coords((0.2 - LEFT) / (width - LEFT - RIGHT), 0.5)
        plain_ticks(each.yaxis, most)
        each.grid(alpha=0.25, linewidth=0.5)
    if not any("bits_per_byte" in entry for run in runs for entry in run.evaluations):
        axes[1].set_yticks([])
        axes[1].text(0.5, 0.5, "none recorded", transform=axes[1].transAxes, ha="center",
                     va="center", color=MARK)
    read = [entry["tokens"] for run in runs for entry in run.steps]
    token_axis(axes[2], min(read), max(read))
    axes[2].set_xlabel("tokens (log axis)")
    legend.add(axes[0], named, fontsize=8, frameon=False, loc="lower left")
    return figure
