"""Small pieces of HTML. All text passes through `text`."""
import html
import math


def text(value):
    return html.escape(str(value))


def number(value, form=".4g"):
    if value is None or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "–"
    return format(value, form)


def paragraph(words, kind=""):
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def facts(pairs):
    """A list of names with values; those that are not known are left out."""
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
                   for name, value in pairs if value not in (None, ""))
    return f'<dl class="facts">{rows}</dl>'


def table(head, rows, caption, kind=""):
    """Rows of plain values, in a box that scrolls by itself; one of the kind "fit" is narrow."""
    cells = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>"
                   for row in rows)
    return (f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
            f'<table class="{kind}">'
            f"<caption>{text(caption)}</caption><thead><tr>{cells}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>")


def details(summary, inside):
    return f"<details><summary>{text(summary)}</summary>{inside}</details>"


def bullets(lines):
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def section(name, title, inside):
    return f'<section id="{name}"><h2>{text(title)}</h2>{inside}</section>'
