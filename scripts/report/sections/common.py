"""What sections share: figures in two sizes, and the words where there is nothing to show."""
from report import drawing
from report.markup import paragraph, section

WIDE, NARROW = (10.5, 5.6), (4.2, 5.2)  # inches: the second for screens of a telephone


def both(draw, name, label):
    """A figure for wide screens and one for narrow ones."""
    return "".join(f'<figure class="{kind}">{drawing.svg_of(draw(*size), f"{name}-{kind}", label)}'
                   "</figure>" for kind, size in (("wide", WIDE), ("narrow", NARROW)))


def not_sampled(name, title):
    return section(name, title, paragraph(
        "Not in this report: attention was not sampled. quern train --lens-every N samples it in "
        "every N-th step, into lens.jsonl.", "warn"))


def not_probed(name, title, what, file="inspect.jsonl"):
    return section(name, title, paragraph(
        f"Not in this report: {what} not recorded. quern train --lens-probes N keeps checkpoints to "
        f"probe, and quern inspect --run DIR probes them, into {file}.", "warn"))
