"""What a claim is when it is judged."""
SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE = "supported", "not supported", "not testable"

TITLES = (
    "Rotary positions make the same two vectors score differently at different distances",
    "At initialisation q and k carry nothing: attention has no pattern",
    "Gradients reach and change Wq, Wk and the embeddings",
    "Synonyms draw together",
    "Every layer's q and k are meaningful, and layers have levels: early ones look near, later "
    "ones far, and each knows more",
    "Deeper layers know more of the next token (logit lens)",
    "Heads learn in stages, with change points between them",
)
NOT_SAMPLED = "attention was not sampled: train with --lens-every N"
NOT_PROBED = "train with --lens-probes N, then quern inspect --run DIR"


def judgement(title, verdict, figure, criterion="", baseline="", n=""):
    return {"title": title, "verdict": verdict, "figure": figure, "criterion": criterion,
            "baseline": baseline, "n": n}


def claim(number, *judged, part=None, table=None):
    """`judged`: what follows the title in `judgement`; `part`: the judgement of a question that
    belongs to the claim; `table`: {"head", "rows", "caption"} of figures behind it."""
    return {"number": number, **judgement(TITLES[number - 1], *judged), "part": part,
            "table": table}


def untested(number, reason, part=None):
    return claim(number, NOT_TESTABLE, reason, part=part)


def verdict(holds):
    return SUPPORTED if holds else NOT_SUPPORTED
