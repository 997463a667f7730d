"""Names of runs in matplotlib's pictures. A folder may have any name, and matplotlib takes some
characters for orders: `$` begins a formula, and a leading `_` hides a curve."""


def literal(text):
    return text.replace("$", r"\$")


def add(axes, curves, **style):
    """A legend of [(name, handle)], of any names."""
    legend = axes.legend([handle for _, handle in curves], ["curve"] * len(curves), **style)
    for shown, (name, _) in zip(legend.get_texts(), curves):
        shown.set_text(literal(name))
