"""Run folders whose answers are known, for the tests of scripts/report.py: log.jsonl, lens.jsonl,
inspect.jsonl and pictures.jsonl as quern writes them (docs/lens.md).

Three worlds of probes: in "structure" synonyms draw together and depths know more and more; in
"unigram" the model learns how frequent tokens are and nothing else; "pieces" has the figures of a
model of 4 layers that was trained on text whose words were shuffled, SHUFFLED: it learns which
piece of a word follows which, and its words drift together a little. Gradients are alike in all."""

import json
import math
import random
import struct

METRICS = ("entropy", "max_logit", "p_max", "distance", "sink", "local")
UNIFORM = {"entropy": 1, "max_logit": None, "p_max": 0.04, "distance": 30, "sink": 0.04,
           "local": 0.4}
TOKENS = 512          # a step
VOCABULARY = 4096
UNIGRAM_ENTROPY, COMMONEST = 6.0, 0.06
PAIRS, AUC_ERROR = 80, 0.04
# At the end, by layer and by depth, of 4,096 tokens of which 2,504 begin a word, and of 47 pairs of
# synonyms.
SHUFFLED = {
    "q": (0.534, 0.631, 0.614, 0.647), "k": (0.551, 0.608, 0.611, 0.608),
    "row": (0.533, 0.602, 0.519, 0.550), "embedding": (0.634,),
    "q_initial": (0.565, 0.525, 0.574, 0.501), "k_initial": (0.560, 0.552, 0.500, 0.511),
    "row_initial": (0.543, 0.522, 0.565, 0.493), "embedding_initial": (0.577,),
    "q_shuffled": (0.529, 0.482, 0.511, 0.511), "k_shuffled": (0.519, 0.445, 0.516, 0.493),
    "row_shuffled": (0.519, 0.491, 0.476, 0.489), "embedding_shuffled": (0.520,),
    "position_share": (0.0022, 0.0721, 0.3955, 0.5760),
    "previous_token": (0.0313, 0.0681, 0.0948, 0.2088), "induction": (0.030, 0.026, 0.021, 0.010),
    "ablation": (0.0, 0.0209, 0.0352, 0.0628), "ablation_error": (0.0001, 0.0024, 0.008, 0.0063),
    "accuracy": (0.004, 0.075, 0.118, 0.125, 0.157),
    "word_accuracy": (0.0, 0.0, 0.0, 0.0192, 0.0164),
    "loss": (9.367, 7.061, 5.715, 5.479, 5.183), "entropy": (6.768, 5.058, 4.263, 4.934, 5.158),
    "kl": (4.169, 1.760, 0.472, 0.259, 0.0)}
SHUFFLED_COMMONEST, SHUFFLED_COMMONEST_WORD, SHUFFLED_FOLLOWER = 0.068, 0.038, 0.135
SHUFFLED_AUC_ERROR, SHUFFLED_NOISE = 0.047, 0.02  # the figures have the noise of one run already
SENTENCES = (("The", "▁cat", "▁sat", "▁on", "▁the", "▁mat", ".", "▁The", "▁cat"),
             ("▁A", "▁<b>", "▁of", "▁A"))


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


# ---- what training leaves ----------------------------------------------------------------------

def sample_line(step, layer, head, name, planted, noise):
    base = UNIFORM[name]
    if planted is not None:
        value = planted + noise.gauss(0, 0.002)
    else:
        value = noise.gauss(3, 0.05) if base is None else base * (1 + noise.gauss(0, 0.005))
    return {"step": step, "tokens": TOKENS * step, "layer": layer, "head": head, "metric": name,
            "value": value, "baseline": base, "n": 512}


def gradient_lines(step, layers, noise):
    for layer, name in [(layer, name) for layer in range(layers) for name in "qk"] + [
            (None, "embedding")]:
        yield {"step": step, "tokens": TOKENS * step, "layer": layer, "head": None,
               "metric": f"grad_norm_{name}", "value": 0.1 * math.exp(noise.gauss(0, 0.2)),
               "baseline": None, "n": 9216}


def write_run(folder, layers=4, heads=3, samples=60, every=10, value=lambda *_: None, extra=0.004,
              loss=lambda step: 8 / step**0.1, **options):
    """A run whose heads are uniform but for noise, except where `value` (metric, step, layer, head)
    says otherwise; a sampled step takes `extra` seconds more than 0.1."""
    noise, last = random.Random(1), samples * every
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(
        {"architectures": ["Qwen3ForCausalLM"], "num_hidden_layers": layers,
         "num_attention_heads": heads, "hidden_size": 96, "vocab_size": VOCABULARY}))
    (folder / "run.json").write_text(json.dumps(
        {"data": "data", "model": "default", "seed": 7, "steps": last, "warmup": 10,
         "schedule": "wsd", "decay": 0.5, "lr": 0.006, "weight-decay": 0.01, "batch-size": 4, "seq-len": 128,
         "lens-every": every, **options,
         "environment": {"version": "0.1.0", "device": "a <b>processor</b>"}}))
    seconds, log, lens = 0, [], []
    for step in range(1, last + 1):
        sampled = step == 1 or step % every == 0
        seconds += 0.1 + (extra if sampled else 0) + noise.uniform(0, 0.001)
        log.append({"step": step, "tokens": TOKENS * step, "loss": loss(step), "lr": 0.006,
                    "grad_norm": 1, "tokens_per_s": 5000, "seconds": round(seconds, 4)})
        if step % (last // 3) == 0:
            log.append({"step": step, "val_loss": loss(step) + 0.1, "bits_per_byte": 1.5})
        if sampled:
            lens += [sample_line(step, layer, head, name, value(name, step, layer, head), noise)
                     for layer in range(layers) for head in range(heads) for name in METRICS]
            lens += gradient_lines(step, layers, noise)
    write_lines(folder / "log.jsonl", log)
    write_lines(folder / "lens.jsonl", lens)
    return folder


def write_shard(path, tokens, noise, follower, words=50):
    """Tokens drawn at random, but for a share `follower` of which the one before tells them."""
    text = [0]
    while len(text) < tokens:
        told = noise.random() < (follower - 1 / words) / (1 - 1 / words)
        text.append((text[-1] + 1) % words if told else noise.randrange(words))
    path.write_bytes(struct.pack("<256i", 20240520, 1, tokens, *[0] * 253)
                     + struct.pack(f"<{tokens}H", *text))
    return path.stat().st_size


def write_data(folder, tokens=40000, follower=1 / 50):
    """A data folder; what run.json records of it."""
    folder.mkdir(parents=True)
    noise = random.Random(1)
    size = write_shard(folder / "train_000000.bin", tokens, noise, follower)
    write_shard(folder / "val_000000.bin", 8000, noise, follower)
    return {"shards": 1, "bytes": size, "tokens": tokens}


# ---- what probes say ---------------------------------------------------------------------------

def inspected_steps(last, every=None):
    """0, 1, 2, 4, … 512, then every so many, and the last."""
    powers = [2**i for i in range(10) if 2**i <= last]
    return sorted({0, *powers, *range(every or last, last + 1, every or last), last})


def shuffled(name, place, count=4):
    """SHUFFLED of a layer, or depth, of a model of `count` layers."""
    values = SHUFFLED[name]
    return values[round((place or 0) * (len(values) - 1) / max(count - (len(values) == 4), 1))]


def learnt(step, last):
    """From 0 at the beginning to 1."""
    return (1 - math.exp(-6 * step / last)) / (1 - math.exp(-6))


class Probes:
    """Figures of one world; `noise` is drawn anew with each seed."""

    def __init__(self, world, layers=4, heads=3, last=600, seed=1, every=None,
                 distances=(1, 2, 3, 4, 8, 16, 32)):
        self.world, self.layers, self.heads, self.last = world, layers, heads, last
        self.steps = inspected_steps(last, every)
        self.distances, self.noise, self.lines = distances, random.Random(seed), []
        # Heads share their pairs, so they err together.
        self.shared = {kind: self.noise.gauss(0, AUC_ERROR) for kind in
                       ("q", "k", "row", "embedding")}

    def add(self, step, layer, head, metric, value, baseline, n, at=None, error=None):
        line = {"step": step, "tokens": TOKENS * step, "layer": layer, "head": head,
                "metric": metric, "value": value, "baseline": baseline, "n": n}
        extra = {name: x for name, x in (("at", at), ("error", error)) if x is not None}
        self.lines.append(line | extra)

    def figures(self):
        for step in self.steps:
            pieces = self.world == "pieces"
            for layer in range(self.layers):
                for head in range(self.heads):
                    (self.pieces_patterns if pieces else self.patterns)(step, layer, head)
                    self.vectors(step, layer, head)
                    (self.pieces_words if pieces else self.words)(step, layer, head)
                for name in "qk":
                    self.add(step, layer, None, f"change_{name}", 0.8 * learnt(step, self.last), 0,
                             9216)
            (self.pieces_words if pieces else self.words)(step, None, None)
            self.add(step, None, None, "change_embedding", 0.6 * learnt(step, self.last), 0, 393216)
            (self.pieces_depths if pieces else self.depths)(step)
            self.similarity(step)
        return self.lines

    def patterns(self, step, layer, head):
        on, gauss = self.world == "structure" and step > self.last // 8, self.noise.gauss
        for name, where in (("previous_token", (0, 1)), ("induction", (1, 0))):
            planted = 0.7 if on and (layer, head) == where else 0.02
            self.add(step, layer, head, name, planted + gauss(0, 0.002), 0.02, 2048)
        offset, at = {(2, 0): (0.65, 5), (0, 1): (0.7, 1)}.get((layer, head), (0.03, 2)) \
            if on else (0.03, 2)
        self.add(step, layer, head, "offset", offset + gauss(0, 0.002), 0.02, 2048, at=at)
        cost = 0.3 if on and (layer, head) == (1, 0) else 0.001
        self.add(step, layer, head, "ablation", cost * learnt(step, self.last) + gauss(0, 0.0002), 0,
                 8192, error=0.0004)

    def vectors(self, step, layer, head):
        done, gauss = learnt(step, self.last), self.noise.gauss
        for name in "qk":
            self.add(step, layer, head, f"{name}_norm", 5 + 4 * done + gauss(0, 0.1), None, 8192)
            self.add(step, layer, head, f"{name}_participation", 25 - 12 * done, None, 8192)
            self.add(step, layer, head, f"{name}_rank", 30 - 10 * done, None, 8192)
            self.add(step, layer, head, f"{name}_anisotropy", 0.5 * done, 0, 8192)
        share = 0.01 + 0.3 * self.noise.random() * done
        if self.world == "pieces":
            share = 0.001 + shuffled("position_share", layer, self.layers) * done
        self.add(step, layer, head, "position_share", 0.002 + share, 0.002, 100000)
        for d in self.distances:
            score = done * (1.5 - layer / 4) * math.cos(d / (4 + head)) + 0.02 * gauss(0, 1)
            self.add(step, layer, head, "profile", score, None, 8192, at=d)

    def words(self, step, layer, head):
        done = learnt(step, self.last) if self.world == "structure" else 0
        for kind in ("embedding",) if layer is None else ("q", "k", "row"):
            strength = {"embedding": 0.25, "q": 0.35, "k": 0.3, "row": 0.2}[kind]
            strength *= done * (1 if layer is None else 0.4 + 0.6 * (layer == 1))
            # The initial weights know nothing of what training makes of these pairs.
            with_shared = self.shared[kind] if step else 0
            for what, center, error in (("synonym", strength, AUC_ERROR),
                                        ("antonym", 0.6 * strength, 0.08),
                                        ("shuffled", 0, AUC_ERROR)):
                shared = with_shared if what == "synonym" else 0
                auc = 0.5 + center + shared + self.noise.gauss(0, error / 3 if shared else error)
                name = f"{kind}_{what}"
                self.add(step, layer, head, f"{name}_auc", min(max(auc, 0), 1), 0.5,
                         PAIRS if what != "antonym" else 20, error=error)
                if what != "shuffled":
                    self.add(step, layer, head, f"{name}_cosine", 0.1 + center, 0.1,
                             PAIRS if what != "antonym" else 20)

    def depths(self, step):
        done, count = learnt(step, self.last), self.layers
        for depth in range(count + 1):
            share = depth / count
            n, entropy = 8192, math.log(VOCABULARY)
            if self.world == "structure":
                accuracy = COMMONEST + 0.3 * done * (share - 0.2)
                loss = entropy - done * (2 + 3 * share)
            else:
                accuracy, loss = COMMONEST * min(1, 2 * share), \
                    entropy + 1 - (entropy + 1 - UNIGRAM_ENTROPY) * share * done
            accuracy = max(accuracy if step else COMMONEST / 20, 0)
            error = math.sqrt(max(accuracy, 1 / n) * (1 - accuracy) / n)
            self.add(step, depth, None, "lens_accuracy",
                     max(0, accuracy + self.noise.gauss(0, error)), COMMONEST, n, error=error)
            self.add(step, depth, None, "lens_loss", loss + self.noise.gauss(0, 0.01), entropy, n)
            self.add(step, depth, None, "lens_entropy", loss + 0.2, entropy, n)
            self.add(step, depth, None, "lens_kl", (1 - share) * (1 + done), None, n)

    def pieces_patterns(self, step, layer, head):
        """One head of three costs what SHUFFLED says, and looks as it says."""
        done, gauss, first = learnt(step, self.last), self.noise.gauss, head == 0
        for name in ("previous_token", "induction"):
            end = shuffled(name, layer, self.layers)
            self.add(step, layer, head, name, 0.03 + (end - 0.03) * done + gauss(0, 0.002), 0.03,
                     4032)
        self.add(step, layer, head, "offset", 0.03 + gauss(0, 0.002), 0.03, 4032, at=2)
        error = shuffled("ablation_error", layer, self.layers)
        cost = first * done * shuffled("ablation", layer, self.layers)
        self.add(step, layer, head, "ablation", cost + gauss(0, error / 4), 0, 4096, error=error)

    def pieces_words(self, step, layer, head):
        for kind in ("embedding",) if layer is None else ("q", "k", "row"):
            start, end, null = (shuffled(f"{kind}{which}", layer, self.layers)
                                for which in ("_initial", "", "_shuffled"))
            auc = start + (end - start) * learnt(step, self.last)
            for what, center, pairs in (("synonym", auc, 47), ("antonym", auc, 46),
                                        ("shuffled", null, 40)):
                self.add(step, layer, head, f"{kind}_{what}_auc",
                         center + self.noise.gauss(0, SHUFFLED_NOISE), 0.5, pairs,
                         error=SHUFFLED_AUC_ERROR)
                if what != "shuffled":
                    self.add(step, layer, head, f"{kind}_{what}_cosine", 0.1, 0.05, pairs)

    def pieces_depths(self, step):
        done, uniform = learnt(step, self.last), math.log(VOCABULARY)
        for depth in range(self.layers + 1):
            at = {name: shuffled(name, depth, self.layers) for name in
                  ("accuracy", "word_accuracy", "loss", "entropy", "kl")}
            for name, base, n in (("accuracy", SHUFFLED_COMMONEST, 4096),
                                  ("word_accuracy", SHUFFLED_COMMONEST_WORD, 2504)):
                share = at[name] * done
                error = math.sqrt(max(share, 1 / n) * (1 - share) / n)
                self.add(step, depth, None, f"lens_{name}",
                         max(0, share + self.noise.gauss(0, error / 2)), base, n)
            loss = 8.8 + (at["loss"] - 8.8) * done + self.noise.gauss(0, 0.01)
            self.add(step, depth, None, "lens_loss", loss, uniform, 4096)
            self.add(step, depth, None, "lens_entropy", at["entropy"], uniform, 4096)
            self.add(step, depth, None, "lens_kl", at["kl"], None, 4096)

    def similarity(self, step):
        done = learnt(step, self.last)
        for a in range(self.layers + 1):
            for b in range(a + 1, self.layers + 1):
                self.add(step, a, None, "cka", 1 - (0.02 + 0.15 * done) * (b - a), 0.02, 8192, at=b)


def picture_lines(layers, heads, last, sentences=SENTENCES, seed=1):
    """Uniform at first; at the end layer 0, head 1 looks at the token before."""
    noise = random.Random(seed)
    for step in inspected_steps(last):
        for number, tokens in enumerate(sentences):
            for layer in range(layers):
                for head in range(heads):
                    weights = []
                    for row in range(len(tokens)):
                        sharp = 8 * learnt(step, last) if (layer, head) == (0, 1) else 0.5
                        scores = [math.exp(sharp * (column == row - 1) + noise.gauss(0, 0.3))
                                  for column in range(row + 1)]
                        weights += [round(100 * x / sum(scores)) for x in scores]
                    yield {"step": step, "layer": layer, "head": head, "sentence": number,
                           "tokens": list(tokens), "weights": weights}


def write_probes(folder, world, layers=4, heads=3, last=600, seed=1):
    write_lines(folder / "inspect.jsonl", Probes(world, layers, heads, last, seed).figures())
    write_lines(folder / "pictures.jsonl", picture_lines(layers, heads, last, seed=seed))
