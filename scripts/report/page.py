"""The page: template, style and script in one file, with nothing to load."""
import pathlib
import string

from report import card, claims, data, sections

HERE = pathlib.Path(__file__).parent


def build(runs):
    """HTML of a report of the first run, beside the others."""
    run = runs[0]
    judged, stages = claims.judge(run)
    found = data.measurements(run, judged, stages)
    body = [card.card(runs, found["overhead"]), sections.loss(runs), sections.heat(run),
            sections.layers(runs), sections.types(run), sections.stability(run),
            sections.claims(judged)]
    parts = {name: (HERE / f"report.{name}").read_text(encoding="utf-8") for name in ("css", "js")}
    template = string.Template((HERE / "template.html").read_text(encoding="utf-8"))
    return template.substitute(title=card.title(run), body="\n".join(body),
                               data=data.embedded(found), **parts)
