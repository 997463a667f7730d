"""Attention weights of fixed sentences (pictures.jsonl), packed for the page's own script."""
import base64
import zlib

import numpy as np

from report.figures import gapless, is_count

MOST_TOKENS = 256
MOST_BYTES = 1_500_000  # of all packed pictures in a page
MISSING = 255           # instead of hundredths


def wrong_with(entry, layers, heads):
    if not all(is_count(entry.get(name)) for name in ("step", "layer", "head")):
        return "no count under step, layer or head"
    if entry["layer"] >= layers or entry["head"] >= heads:
        return (f"layer {entry['layer']}, head {entry['head']} of a model of {layers} layers x "
                f"{heads} heads")
    if not isinstance(entry.get("sentence"), (int, str)):
        return "no sentence"
    tokens, weights = entry.get("tokens"), entry.get("weights")
    if not isinstance(tokens, list) or not all(isinstance(x, str) for x in tokens):
        return "no tokens"
    if not 0 < len(tokens) <= MOST_TOKENS:
        return f"{len(tokens)} tokens; expected 1 to {MOST_TOKENS}"
    count = len(tokens) * (len(tokens) + 1) // 2
    if not isinstance(weights, list) or len(weights) != count:
        return f"expected {count} weights for {len(tokens)} tokens"
    if not all(is_count(x, 101) for x in weights):
        return "a weight is not in hundredths, 0 to 100"
    return None


class Pictures:
    """of: {sentence: (tokens, {(step, layer, head): bytes of weights})}."""

    def __init__(self):
        self.of = {}

    def take(self, entry, layers, heads):
        """What is wrong with a line, or None."""
        wrong = wrong_with(entry, layers, heads)
        if wrong:
            return wrong
        tokens, weights = self.of.setdefault(entry["sentence"], (entry["tokens"], {}))
        if tokens != entry["tokens"]:
            return f"sentence {entry['sentence']} has other tokens in an earlier line"
        weights[entry["step"], entry["layer"], entry["head"]] = bytes(entry["weights"])
        return None

    def drop_beyond_gaps(self):
        """As without_gaps; returns how many pictures that were."""
        places = [key[1:] for _, weights in self.of.values() for key in weights]
        layers, heads = (gapless(set(numbers)) for numbers in zip(*places)) if places else (0, 0)
        beyond = 0
        for _, weights in self.of.values():
            wrong = [key for key in weights if key[1] >= layers or key[2] >= heads]
            beyond += len(wrong)
            for key in wrong:
                del weights[key]
        self.of = {sentence: found for sentence, found in self.of.items() if found[1]}
        return beyond

    def steps(self):
        return sorted({step for _, weights in self.of.values() for step, _, _ in weights})

    def packed(self):
        """{"steps", "left_out", "layers", "heads", "sentences": [{"tokens", "steps": [weights of
        all heads of a step, deflated, in base64]}]}; None where there is no picture. Every second
        step is left out until they take no more than MOST_BYTES."""
        if not self.of:
            return None
        layers = 1 + max(layer for _, weights in self.of.values() for _, layer, _ in weights)
        heads = 1 + max(head for _, weights in self.of.values() for _, _, head in weights)
        blobs = {(sentence, step): pack(tokens, weights, step, layers, heads)
                 for sentence, (tokens, weights) in self.of.items() for step in self.steps()}
        every, steps = self.steps(), self.steps()
        while len(steps) > 2 and sum(len(blobs[sentence, step]) for sentence in self.of
                                     for step in steps) > MOST_BYTES:
            steps = sorted({*steps[::-2], steps[0]})
        return {"steps": steps, "left_out": len(every) - len(steps), "layers": layers,
                "heads": heads, "missing": MISSING,
                "sentences": [{"tokens": tokens, "steps": [blobs[sentence, step]
                                                           for step in steps]}
                              for sentence, (tokens, _) in self.of.items()]}


def pack(tokens, weights, step, layers, heads):
    nothing = bytes([MISSING]) * (len(tokens) * (len(tokens) + 1) // 2)
    all_heads = b"".join(weights.get((step, layer, head), nothing)
                         for layer, head in np.ndindex(layers, heads))
    return base64.b64encode(zlib.compress(all_heads, 9)).decode("ascii")
