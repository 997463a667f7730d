"""What the axis of a metric is, and its unit."""

UNITS = {
    "entropy": "H / ln n", "max_logit": "score", "p_max": "probability", "distance": "positions",
    "sink": "share of weight", "local": "share of weight", "position_share": "share of variance",
    "lens_accuracy": "share of tokens", "lens_word_accuracy": "share of tokens",
    "lens_loss": "nats a token", "lens_entropy": "nats", "lens_kl": "nats",
}
ENDINGS = {"_norm": "norm", "_participation": "dimensions", "_rank": "dimensions",
           "_anisotropy": "cosine"}


def unit_of(name):
    """Empty where it is not known."""
    if name in UNITS:
        return UNITS[name]
    return next((unit for ending, unit in ENDINGS.items() if name.endswith(ending)),
                "norm" if name.startswith("grad_norm")
                else "|W - W0| / |W0|" if name.startswith("change") else "")
