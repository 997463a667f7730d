"""The page: template, style and scripts in one file, with nothing to load."""
import pathlib
import string

from report import card, claims, data, frozen
from report.sections import (attention, depth, gradients, loss, pictures, profiles, stability,
                             types, vectors, words)
from report.sections import claims as verdicts

HERE = pathlib.Path(__file__).parent
SCRIPTS = ("page.js", "course.js", "heat.js", "layers.js", "pictures.js")


def twin_of(runs):
    """The first of the compared runs whose Wq and Wk are frozen, or None."""
    return next((run for run in runs[1:] if frozen.is_frozen(run)), None)


def build(runs):
    """HTML of a report of the first run, beside the others."""
    run, twin = runs[0], twin_of(runs)
    judged, stages = claims.judge(run, twin)
    found = data.measurements(run, judged, stages)
    body = [card.card(runs, found["overhead"]), loss.render(runs, twin), attention.heat(run),
            attention.layers(runs), types.render(run), pictures.render(run, found["pictures"]),
            profiles.render(run), words.render(runs), depth.logit_lens(runs), depth.similarity(run),
            vectors.render(runs), gradients.render(runs), stability.render(run),
            verdicts.render(judged)]
    read = {name: (HERE / name).read_text(encoding="utf-8")
            for name in ("report.css", "template.html", *SCRIPTS)}
    return string.Template(read["template.html"]).substitute(
        title=card.title(run), body="\n".join(body), data=data.embedded(found),
        css=read["report.css"], js="\n".join(read[name] for name in SCRIPTS))
