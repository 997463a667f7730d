"""The verdicts of scripts/report.py on worlds whose answer is known, with many seeds: how often is a
claim supported where there is nothing, and how often where there is something?"""

import json
import os
import sys
import tempfile
import types
import unittest
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # these matrices are small

try:
    import matplotlib  # noqa: F401 (the report's modules need it, and numpy)
    import numpy as np
except ImportError:
    debian = "/usr/bin/python3"
    if sys.executable == debian or not Path(debian).exists():
        print("skipped: no python3 with matplotlib")
        sys.exit(77)
    os.execv(debian, [debian, "-B", *sys.argv])

import planted_run

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from report import changes, followers, milestones  # noqa: E402
from report.claims import (initial, layers, positions, residual, stages, synonyms,  # noqa: E402
                           training)
from report.figures import Figures, figure_of  # noqa: E402
from report.run import Run  # noqa: E402
from report.samples import Samples  # noqa: E402

LAYERS, HEADS, LAST = 4, 3, 600


def figures(lines):
    return Figures([figure_of(line, LAYERS, HEADS)[0] for line in lines])


def run_of(probes=(), lens=(), rate=0.006, **options):
    """What claims read of a run."""
    read = figures(lens)
    return types.SimpleNamespace(
        options=options, config={}, environment={}, option=lambda name, default=None: options.get(name, default),
        is_rotary=lambda: True, probes=figures(probes), lens=read,
        followers=lambda: {"accuracy": 0.1, "n": 1000}, lacks_followers=lambda: "no data",
        samples=read.heads, evaluations=[], steps=[
            {"step": step, "tokens": 512 * step, "loss": 5.0, "lr": rate, "grad_norm": 1.0}
            for step in range(1, LAST + 1)])


def probed(world, seed, change=lambda line: None):
    """A run with the probes of a world, of which `change` alters lines."""
    lines = planted_run.Probes(world, LAYERS, HEADS, LAST, seed).figures()
    for line in lines:
        change(line)
    return run_of(lines)


def shuffled_words(seed):
    """A run of the control on shuffled words."""
    run = probed("pieces", seed)
    run.followers = lambda: {"accuracy": planted_run.SHUFFLED_FOLLOWER, "n": 53706}
    return run


def supported(judge, worlds):
    """How many of the runs support a claim; none may be untestable."""
    verdicts = [judge(run)["verdict"] for run in worlds]
    assert set(verdicts) <= {"supported", "not supported"}, verdicts
    return verdicts.count("supported")


class Words(unittest.TestCase):
    """Claim 4."""

    def test_structure(self):
        runs = [probed("structure", seed) for seed in range(100, 110)]
        self.assertEqual(supported(synonyms.judge, runs), 10)

    def test_chance(self):
        """Twelve comparisons a run, corrected for: one run in twenty would be too many still."""
        runs = [probed("unigram", seed) for seed in range(100, 140)]
        self.assertLessEqual(supported(synonyms.judge, runs), 1)

    def test_pairs_that_were_close_from_the_beginning(self):
        def close(line):
            if line["metric"].endswith("synonym_auc"):
                line["value"] = 0.8
        self.assertEqual(supported(synonyms.judge, [probed("unigram", 1, close)]), 0)

    def test_a_set_of_words_that_is_close_in_any_pairing(self):
        def close(line):
            if line["metric"].endswith(("synonym_auc", "shuffled_auc")) and line["step"]:
                line["value"] = 0.8
        self.assertEqual(supported(synonyms.judge, [probed("unigram", 1, close)]), 0)

    def test_a_trace_with_small_errors(self):
        def trace(line):
            if line["metric"].endswith("auc"):
                line["value"] = 0.53 if "synonym" in line["metric"] and line["step"] else 0.5
                line["error"] = 0.001
        self.assertEqual(supported(synonyms.judge, [probed("unigram", 1, trace)]), 0)

    def test_a_high_mean_of_few_pairs(self):
        def unsure(line):
            if line["metric"].endswith("auc"):
                line["value"] = 0.62 if "synonym" in line["metric"] and line["step"] else 0.2
                line["error"] = 0.08
        self.assertEqual(supported(synonyms.judge, [probed("unigram", 1, unsure)]), 0)

    def test_the_best_single_head(self):
        """Of 36 heads and kinds: one that passes is named before one that is higher by chance."""
        def only(value, error):
            def change(line):
                if line["metric"].endswith("auc"):
                    line["value"], line["error"] = 0.5, error
                    if (line["metric"], line["layer"], line["head"], line["step"]) \
                            == ("k_synonym_auc", 3, 1, LAST):
                        line["value"] = value
                    if line["metric"] == "row_synonym_auc" and line["layer"] == 2:
                        line["value"] = 0.85  # from the beginning
            return change
        for value, error, passes in ((0.8, 0.04, True), (0.62, 0.025, True), (0.8, 0.08, False),
                                     (0.54, 0.001, False)):
            figure = synonyms.judge(probed("unigram", 1, only(value, error)))["figure"]
            name = f"best single head: k of layer 3, head 1: {value:.2f} +- {error:.2f}; it passes"
            self.assertEqual(name in figure, passes, figure)
            self.assertIn("corrected for all 36 heads and kinds (3.0 standard errors)", figure)
            if not passes:
                self.assertRegex(figure, "best single head: rows of scores of layer 2.*0.85.*it "
                                         "does not pass the same")

    def test_what_frozen_wq_and_wk_have(self):
        def all_of_them(line):
            if line["metric"] == "q_synonym_auc":
                line["value"] = 0.63
        run, twin = probed("structure", 1), probed("structure", 1, all_of_them)
        self.assertNotIn("frozen", synonyms.judge(run)["figure"])
        twin.options["freeze"] = "qk"
        self.assertRegex(synonyms.judge(run, twin)["figure"], r"q of layer \d 0\.\d\d \+- [^(]*"
                         r"\(step 0: 0\.\d\d, re-paired: 0\.\d\d, frozen twin: 0\.63\); k of")
        twin.options["seed"] = 2
        self.assertNotIn("frozen", synonyms.judge(run, twin)["figure"])

    def test_what_it_takes(self):
        def late(line):
            line["step"] += 1
        def few(line):
            line["n"] = 5
        def no_null(line):
            line["metric"] = line["metric"].replace("shuffled", "unknown")
        for change in (late, few, no_null):
            self.assertEqual(synonyms.judge(probed("structure", 1, change))["verdict"],
                             "not testable")


class Depths(unittest.TestCase):
    """Claim 6, and with it 5."""

    def test_structure(self):
        runs = [probed("structure", seed) for seed in range(100, 110)]
        self.assertEqual(supported(residual.judge, runs), 10)

    def test_frequencies(self):
        runs = [probed("unigram", seed) for seed in range(100, 130)]
        self.assertEqual(supported(residual.judge, runs), 0)

    def test_depths_that_know_less_and_less(self):
        def turn(line):
            if line["metric"].startswith("lens_"):
                line["layer"] = LAYERS - line["layer"]
        self.assertEqual(supported(residual.judge, [probed("structure", 1, turn)]), 0)

    def test_the_last_layer_alone(self):
        """The way up to the commonest token is no knowledge of what comes next."""
        def alone(line):
            if line["metric"] == "lens_accuracy":
                line["value"] = (0, 0.02, 0.04, 0.05, 0.2)[line["layer"]]
        self.assertEqual(supported(residual.judge, [probed("structure", 1, alone)]), 0)

    def test_a_loss_that_does_not_fall(self):
        def flat(line):
            if line["metric"] == "lens_loss":
                line["value"] = (5, 4.8, 5.2, 4.9, 5.1)[line["layer"]]
        self.assertEqual(supported(residual.judge, [probed("structure", 1, flat)]), 0)

    def test_pieces_of_words_without_an_order_of_words(self):
        """The output knows more than the current token tells, but not which word comes next."""
        for words, count in ((0.15, 1), (0.045, 0), (0.02, 0)):
            run = probed("structure", 1)
            layers = run.probes.layers
            layers.value["lens_word_accuracy"] = np.full_like(layers.value["lens_accuracy"], words)
            layers.baseline["lens_word_accuracy"] = np.full_like(layers.value["lens_accuracy"], 0.04)
            layers.n["lens_word_accuracy"] = layers.n["lens_accuracy"]
            self.assertEqual(supported(residual.judge, [run]), count, words)

    def test_no_more_than_the_current_token_tells(self):
        """The output's accuracy is 0.3."""
        for alone, count in ((0.2, 1), (0.295, 0), (0.35, 0)):
            run = probed("structure", 1)
            run.followers = lambda alone=alone: {"accuracy": alone, "n": 1000}
            self.assertEqual(supported(residual.judge, [run]), count, alone)

    def test_without_the_data(self):
        """What the current token tells is asked all the same: what holds else is not testable."""
        for world, kind in (("structure", "not testable"), ("unigram", "not supported")):
            run = probed(world, 1)
            run.followers, run.samples = lambda: None, ordered_layers()
            self.assertEqual(residual.judge(run)["verdict"], kind)
            self.assertEqual(layers.judge(run)["verdict"], kind)
            run.samples = Stages().world(9000, jump=0.4)
            self.assertEqual(stages.judge(run)[0]["verdict"], kind)

    def test_followers_of_tokens(self):
        """Of text in which even tokens follow at random, and each has a follower in four cases of
        five."""
        random = np.random.default_rng(1)
        with tempfile.TemporaryDirectory() as folder:
            for split, count in (("train", 20000), ("val", 4000)):
                text = 2 * random.integers(0, 50, 2 * count)
                text[1::2] = np.where(random.random(count) < 0.8, text[::2] + 1, 1)
                header = np.zeros(256, "<i4")
                header[:3] = 20240520, 1, len(text)
                Path(folder, f"{split}_000000.bin").write_bytes(
                    header.tobytes() + text.astype("<u2").tobytes())
            self.assertAlmostEqual(followers.accuracy(folder)["accuracy"], 0.41, delta=0.02)
            Path(folder, "val_000000.bin").write_bytes(b"short")
            self.assertIsNone(followers.tokens_of(folder, "val", 9))
        self.assertIsNone(followers.accuracy(folder + "/absent"))

    def test_the_data_of_a_run(self):
        """Found beside the run, from whatever folder; believed where they are what was recorded."""
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            (folder / "runs").mkdir()
            planted_run.write_run(folder / "runs" / "first", samples=6)
            record = folder / "runs" / "first" / "run.json"
            kept = json.loads(record.read_text())
            kept["data"] = "texts/first"
            kept["environment"]["data"] = planted_run.write_data(folder / "texts" / "first")

            def run_with(data=None, **recorded):
                kept["environment"]["data"] |= recorded
                record.write_text(json.dumps(kept))
                return Run(folder / "runs" / "first", data)

            self.assertEqual(run_with().data, (folder.resolve() / "texts" / "first", ""))
            self.assertAlmostEqual(run_with().followers()["accuracy"], 1 / 50, delta=0.02)
            other = planted_run.write_data(folder / "other", tokens=3000)
            self.assertRegex(run_with(folder / "other").data[1], f"{other['bytes']:,} bytes, of")
            for name in ("shards", "bytes", "tokens"):
                right = kept["environment"]["data"][name]
                run = run_with(**{name: right + 1})
                self.assertIsNone(run.followers())
                self.assertIn(f"{right:,} {name}, of which run.json says {right + 1:,}",
                              run.lacks_followers())
                run_with(**{name: right})
            self.assertIn("is not there", run_with(folder / "absent").lacks_followers())

    def test_levels_need_knowledge(self):
        for world, count in (("structure", 1), ("unigram", 0)):
            run = probed(world, 1)
            run.samples = ordered_layers()
            self.assertEqual(supported(layers.judge, [run]), count, world)


class ShuffledWords(unittest.TestCase):
    """Claims 4 to 7 on the figures of the control, with all else in their favour."""

    SEEDS = range(100, 120)

    def test_words(self):
        self.assertEqual(supported(synonyms.judge, map(shuffled_words, self.SEEDS)), 0)

    def test_layers(self):
        for seed in self.SEEDS:
            run = shuffled_words(seed)
            run.samples = ordered_layers()
            found = layers.judge(run)
            self.assertEqual((found["verdict"], [row[1] for row in found["table"]["rows"]]),
                             ("not supported", ["no", "yes", "yes", "yes"]))

    def test_depths(self):
        """The output beats the commonest follower: only words' first tokens tell."""
        self.assertEqual(supported(residual.judge, map(shuffled_words, self.SEEDS)), 0)
        runs = list(map(shuffled_words, self.SEEDS))
        for run in runs:
            del run.probes.layers.value["lens_word_accuracy"]
        self.assertGreater(supported(residual.judge, runs), len(runs) / 2)

    def test_stages(self):
        run = shuffled_words(100)
        run.samples = Stages().world(9000, jump=0.4)
        judged, found = stages.judge(run)
        self.assertEqual((judged["verdict"], len(found["points"]) > 0), ("not supported", True))


class Layers(unittest.TestCase):
    """Claim 5: each layer's q and k must be meaningful, by any of three kinds of figures."""

    @staticmethod
    def run_with(change=lambda line: None):
        """Of the "structure" world, with layer 0 meaningless but for what `change` makes of it."""
        def only(line):
            if line["layer"] == 0 and line["head"] is not None:
                flat = {"position_share": 0.003, "ablation": 0.0}
                line["value"] = flat.get(line["metric"], line["value"])
                if line["metric"].endswith("_auc"):
                    line["value"] = 0.5
            change(line)
        run = probed("structure", 1, only)
        run.samples = ordered_layers()
        return run

    @staticmethod
    def planted(metric, value, heads):
        def change(line):
            if (line["metric"], line["layer"], line["step"]) == (metric, 0, LAST) \
                    and line["head"] in heads:
                line["value"] = value
        return change

    def test_one_meaningless_layer_is_enough(self):
        found = layers.judge(self.run_with())
        self.assertEqual(found["verdict"], "not supported")
        self.assertIn("meaningful in 3 of 4 layers, not in layer 0", found["figure"])
        self.assertEqual([row[1] for row in found["table"]["rows"]], ["no", "yes", "yes", "yes"])

    def test_what_a_layer_passes_by(self):
        for change, passes in (
                (self.planted("q_synonym_auc", 0.7, (0, 1, 2)), True),
                (self.planted("row_synonym_auc", 0.7, (0, 1, 2)), False),
                (self.planted("k_synonym_auc", 0.58, (0, 1, 2)), False),
                (self.planted("position_share", 0.05, (0, 2)), True),
                (self.planted("position_share", 0.05, (0,)), False),
                (self.planted("ablation", 0.02, (1,)), True),
                (self.planted("ablation", 0.009, (1,)), False)):
            found = layers.judge(self.run_with(change))
            self.assertEqual(found["table"]["rows"][0][1], "yes" if passes else "no")
            self.assertEqual(found["verdict"], "supported" if passes else "not supported")

    def test_an_unsure_cost(self):
        """0.02 nats, by 2.5 errors: too few of the dearest of 12 heads."""
        def change(line):
            self.planted("ablation", 0.02, (1,))(line)
            if line["metric"] == "ablation":
                line["error"] = 0.008
        self.assertEqual(layers.judge(self.run_with(change))["verdict"], "not supported")

    def test_what_was_not_probed(self):
        """A layer may pass by what is not there."""
        def absent(line):
            if line["metric"] == "ablation":
                line["metric"] = "unknown"
        self.assertEqual(layers.judge(self.run_with(absent))["verdict"], "not testable")
        run = run_of()
        run.samples = ordered_layers()
        self.assertEqual(layers.judge(run)["verdict"], "not testable")


def ordered_layers():
    """Samples in which deeper layers look further."""
    samples = Samples([1, 600], [512, 307200], LAYERS, HEADS)
    for name, base, slope in (("distance", 30, 10), ("local", 0.4, -0.1)):
        samples.add_metric(name)
        samples.baseline[name][:] = base
        samples.value[name][:] = base + slope * np.arange(LAYERS)[None, :, None]
    return samples


# Shares of position of 16 untrained heads.
UNTRAINED = (0.00236, 0.00101, 0.00068, 0.00077, 0.00117, 0.00099, 0.00124, 0.00140,
             0.00104, 0.00105, 0.00116, 0.00100, 0.00100, 0.00138, 0.00077, 0.00064)
UNROTATED = 0.0009


class Positions(unittest.TestCase):
    """Claim 1."""

    def shares(self, seed, beyond, share=0.03, initial=None, error=None, unrotated=UNROTATED):
        """Untrained heads, but for the first `beyond` at the end."""
        random = np.random.default_rng(seed)
        def change(line):
            if line["metric"] == "position_share":
                planted = line["layer"] * HEADS + line["head"] < beyond
                line["value"], line["baseline"] = random.choice(UNTRAINED), unrotated
                if planted and line["step"]:
                    line["value"] = share
                elif planted and initial is not None:
                    line["value"] = initial
                if error is not None:
                    line["error"] = error
        return probed("unigram", seed, change)

    def test_most_heads_of_a_layer(self):
        for beyond, count in ((0, 0), (1, 0), (2, 10), (12, 10)):
            runs = [self.shares(seed, beyond) for seed in range(10)]
            self.assertEqual(supported(positions.judge, runs), count, beyond)
        self.assertIn("3 of 3 of layer 0, 2 of 3 of layer 1, 0 of 3 of layer 2",
                      positions.judge(self.shares(1, 5))["figure"])

    def test_untrained_weights(self):
        """Some have more than what q and k give that are not rotated."""
        lines = [{"step": 0, "tokens": 0, "layer": i // HEADS, "head": i % HEADS,
                  "metric": "position_share", "value": share, "baseline": UNROTATED, "n": 264192}
                 for i, share in enumerate(UNTRAINED[:LAYERS * HEADS])]
        self.assertEqual(supported(positions.judge, [run_of(lines)]), 0)

    def test_what_a_share_must_exceed(self):
        for options in ({"share": 0.019}, {"share": 0.03, "initial": 0.016}, {"error": 0.016},
                        {"share": 0.03, "unrotated": 0.016}):
            run = self.shares(1, 12, **options)
            self.assertEqual(supported(positions.judge, [run]), 0, options)
        for options in ({"share": 0.03, "initial": 0.014}, {"error": 0.014},
                        {"share": 0.03, "unrotated": 0.014}):
            run = self.shares(1, 12, **options)
            self.assertEqual(supported(positions.judge, [run]), 1, options)


    def test_what_frozen_wq_and_wk_have(self):
        run, twin = self.shares(1, 12, share=0.5), self.shares(1, 12, share=0.25)
        self.assertNotIn("frozen", positions.judge(run)["figure"])
        twin.options["freeze"] = "qk"
        self.assertIn("Means of layers: 0.5 0.5 0.5 0.5; with Wq and Wk frozen: "
                      "0.25 0.25 0.25 0.25", positions.judge(run, twin)["figure"])
        twin.options["seed"] = 2
        self.assertNotIn("frozen", positions.judge(run, twin)["figure"])


class Initial(unittest.TestCase):
    """Claim 2, on attention by scores that are drawn at random, of a deviation."""

    LENGTH = 64

    def scores(self, deviation):
        random = np.random.default_rng(1)
        return [deviation * random.normal(size=n) for n in range(1, self.LENGTH + 1)]

    def entropy(self, scores):
        def of(row):
            weights = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            return -(weights * np.log(weights)).sum() / np.log(len(row))
        return float(np.mean([of(row) for row in scores[1:]]))

    def run_with(self, deviation, entropy=None, told=True, change=lambda line: None):
        scores = self.scores(deviation)
        entropy = self.entropy(scores) if entropy is None else entropy
        probes = planted_run.Probes("unigram", LAYERS, HEADS, LAST).figures()
        for line in probes:
            change(line)
        places = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
        if told:
            probes += [{"step": 0, "tokens": 0, "layer": layer, "head": head,
                        "metric": "score_deviation", "baseline": None, "n": self.LENGTH,
                        "value": float(np.sqrt(np.mean([row.var() for row in scores])))}
                       for layer, head in places]
        lens = [{"step": 1, "tokens": 512, "layer": layer, "head": head, "metric": name,
                 "value": entropy if name == "entropy" else base, "baseline": base, "n": 512}
                for layer, head in places for name, base in planted_run.UNIFORM.items()]
        return run_of(probes, lens, **{"seq-len": self.LENGTH})

    def test_random_scores_of_any_size(self):
        """They are far from uniform, and carry nothing."""
        for deviation in (0.1, 0.7, 1.0, 1.2):
            run = self.run_with(deviation)
            self.assertEqual(supported(initial.judge, [run]), 1, deviation)
        self.assertRegex(initial.judge(self.run_with(1.0))["figure"],
                         r"Entropy 0\.8\d\d in the median head, 0\.1\d\d from uniform and "
                         r"0\.0\d\d from the 0\.8\d\d of random scores .* without a direction")

    def test_sharper_and_flatter_than_random_scores(self):
        for deviation, entropy in ((1.0, 0.82), (0.1, 0.96), (1.0, 0.98)):
            run = self.run_with(deviation, entropy)
            self.assertEqual(supported(initial.judge, [run]), 0, (deviation, entropy))
            self.assertIn("not what random scores give", initial.judge(run)["figure"])

    def test_without_the_deviation_it_is_held_against_uniform(self):
        for entropy, count in ((0.91, 1), (0.88, 0)):
            run = self.run_with(1.0, entropy, told=False)
            self.assertEqual(supported(initial.judge, [run]), count, entropy)
            self.assertIn("the deviation of scores was not probed", initial.judge(run)["figure"])

    def test_q_and_k_that_know_words(self):
        """One layer of one kind is enough; chance is not."""
        def close(line):
            if (line["metric"], line["layer"], line["step"]) == ("k_synonym_auc", 2, 0):
                line["value"] = 0.65
        self.assertEqual(supported(initial.judge, [self.run_with(0.7, change=close)]), 0)

    def test_patterns(self):
        def previous(line):
            if line["metric"] == "previous_token" and line["layer"] == 1:
                line["value"] = 0.2
        self.assertEqual(supported(initial.judge, [self.run_with(0.7, change=previous)]), 0)


class Gradients(unittest.TestCase):
    """Claim 3."""

    def run_with(self, change=None, norm=None, others=None, **options):
        """Of the k of layer 3 the change and the norm of the gradient, of all else the change."""
        lines = planted_run.Probes("unigram", LAYERS, HEADS, LAST).figures()
        lens = [line for step in (1, 300, 600)
                for line in planted_run.gradient_lines(step, LAYERS, planted_run.random.Random(1))]
        for line in lines:
            if line["metric"].startswith("change_") and others is not None:
                line["value"] = others
            if line["metric"] == "change_k" and line["layer"] == 3 and change is not None:
                line["value"] = change
        for line in lens:
            if line["metric"] == "grad_norm_k" and line["layer"] == 3 and norm is not None:
                line["value"] = norm
        return run_of(lines, lens, **options)

    def judge(self, run):
        return training.judge(run, None)

    def test_all_layers_must_move(self):
        self.assertEqual(supported(self.judge, [self.run_with()]), 1)
        # 600 steps of 0.006 x 0.1 take 30 % of a matrix away.
        decayed = self.run_with(change=0.31, **{"weight-decay": 0.1})
        self.assertIn("changes a matrix by 0.3", self.judge(decayed)["baseline"])
        alone = self.run_with(norm=0)
        for entry in alone.steps:
            del entry["grad_norm"]
        for run in (self.run_with(change=0.09), self.run_with(norm=0), alone, decayed):
            self.assertEqual(supported(self.judge, [run]), 0)

    def test_what_is_not_decay(self):
        """600 steps of 0.006 x 0.25 take 59 % away; a matrix of the same norm that has nothing of
        the first is a change of 1.41, and one of 0.7 is 0.11 more than decay."""
        for change, count in ((1.41, 1), (0.72, 1), (0.68, 0)):
            run = self.run_with(change=change, others=1.5, **{"weight-decay": 0.25})
            self.assertEqual(supported(self.judge, [run]), count, change)

    def test_no_decay_is_no_change(self):
        self.assertIn("changes a matrix by 0", self.judge(self.run_with())["baseline"])
        self.assertNotIn("-0", self.judge(self.run_with())["baseline"])

    def test_a_frozen_run_has_no_answer(self):
        found = self.judge(self.run_with(change=0, freeze="qk"))
        self.assertEqual(found["verdict"], "not testable")


class Stages(unittest.TestCase):
    """Claim 7's thresholds on courses, seeds and jumps that they were not chosen on."""

    @staticmethod
    def course(random, steps):
        """From 0 to 1, at a pace that only slows down or quickens."""
        t, scale = steps / steps[-1], random.uniform(0.02, 0.5)
        found = (1 - np.exp(-t / scale), 1 - (1 + t / scale)**-random.uniform(0.5, 2),
                 t**random.uniform(0.3, 1.5),
                 np.log1p(steps / random.uniform(5, 100)))[random.integers(4)]
        return found / np.ptp(found)

    @staticmethod
    def noise(random, count, memory):
        """Of variance 1; neighbours correlate by `memory`."""
        drawn = random.normal(size=count + 50)
        for i in range(1, len(drawn)):
            drawn[i] = memory * drawn[i - 1] + np.sqrt(1 - memory**2) * drawn[i]
        return drawn[50:]

    def world(self, seed, memory=0.0, jump=0.0, loud=1, count=80):
        random, steps = np.random.default_rng(seed), 10.0 * np.arange(1, count + 1)
        samples = Samples([int(x) for x in steps], [int(512 * x) for x in steps], LAYERS, HEADS)
        for name in changes.METRICS:
            samples.add_metric(name)
            for at in np.ndindex(LAYERS, HEADS):
                samples.value[name][(slice(None), *at)] = (
                    random.choice((-1, 1)) * self.course(random, steps)
                    + loud * random.uniform(0.01, 0.2) * self.noise(random, count, memory))
        begin, width = random.integers(15, count - 15), random.integers(1, 9)
        ramp = np.clip((np.arange(count) - begin + 1) / width, 0, 1)
        if jump:
            samples.value["entropy"][:, 1, 2] = (1 - 0.1 * self.course(random, steps) - jump * ramp
                                                 + 0.03 * self.noise(random, count, memory))
        return samples

    def found(self, runs=14, **options):
        return [[(x["metric"], x["layer"], x["head"])
                 for x in changes.measure(self.world(seed, **options), 0)["points"]]
                for seed in range(9000, 9000 + runs)]

    def test_smooth_courses(self):
        for memory in (0.0, 0.85):
            self.assertLessEqual(sum(map(bool, self.found(memory=memory))), 1, memory)

    def test_noise_that_remembers(self):
        """What neighbours share is no jump: of 40 runs of nothing but noise two may be found by
        chance, and two standard errors more."""
        for memory in (0.0, 0.5, 0.8):
            found = sum(map(bool, self.found(runs=40, memory=memory, loud=10)))
            self.assertLessEqual(found, int(2 + 2 * (40 * 0.05 * 0.95)**0.5), memory)

    def test_jumps_in_noise_that_remembers(self):
        for memory in (0.5, 0.8):
            found = self.found(memory=memory, jump=0.4)
            self.assertGreaterEqual(sum(("entropy", 1, 2) in points for points in found), 12)

    def test_jumps_of_what_learns_nothing_from_context(self):
        for world, count in (("structure", 1), ("unigram", 0)):
            run = probed(world, 1)
            run.samples = self.world(9000, jump=0.4)
            self.assertEqual(supported(lambda each: stages.judge(each)[0], [run]), count, world)

    def test_jumps(self):
        found = self.found(jump=0.4)
        self.assertGreaterEqual(sum(("entropy", 1, 2) in points for points in found), 13)
        self.assertLessEqual(sum(len(points) > 1 for points in found), 1)


class Milestones(unittest.TestCase):
    """The stages as found: when each measure had gone a part of its way."""

    STEPS = np.array([0, 1, 3, 7, 15, 31, 63, 127])  # log2(step + 1) = 0 … 7

    def run_with(self, rows, loss=lambda step: 5.0, error=0.01):
        """Shares of position of the layers, from lists of values."""
        lines = [{"step": int(step), "tokens": 0, "layer": layer, "head": head, "value": row[i],
                  "metric": "position_share", "baseline": 0.001, "n": 100,
                  **({} if error is None else {"error": error})}
                 for layer, row in enumerate(rows) for head in range(2)
                 for i, step in enumerate(self.STEPS)]
        run = run_of(lines)
        run.steps = [{"step": step, "tokens": step, "loss": loss(step)} for step in range(1, 129)]
        return run

    def test_steps_by_interpolation(self):
        """A measure that goes an eighth at each doubling, and one that falls back once."""
        even = [i / 7 for i in range(8)]
        back = [0, 0.2, 0.6, 0.4, 0.4, 0.6, 1, 1]
        found = milestones.measure(self.run_with([even, back]))
        passed = {course.title[-1]: crossed for course, crossed in found["courses"]}
        np.testing.assert_allclose(np.log2(np.array(passed["0"]) + 1), (0.7, 3.5, 6.3))
        np.testing.assert_allclose(np.log2(np.array(passed["1"]) + 1), (0.5, 4.5, 5.75))
        ordered = np.sort(np.log2(np.concatenate(list(passed.values())) + 1))
        np.testing.assert_allclose(np.log2(np.array(found["bounds"]) + 1),
                                   [0.5, *np.quantile(ordered, (1 / 3, 2 / 3))])

    def test_what_does_not_move_is_left_out(self):
        flat, little, moved = [0.3] * 8, [0.3] * 7 + [0.34], [0.3] * 7 + [0.35]
        titles = [course.title for course, _ in
                  milestones.measure(self.run_with([flat, little, moved]))["courses"]]
        self.assertEqual(titles, ["share of position, layer 2"])
        there_and_back = [0, 0.5, 1, 1, 1, 0.8, 0.4, 0.08]
        unsure = self.run_with([there_and_back, moved], error=None)
        self.assertEqual([course.title[-1] for course, _ in
                          milestones.measure(unsure)["courses"]], ["1"])
        self.assertIn("reason", milestones.measure(self.run_with([flat])))

    def test_loss(self):
        """The loss of a step is that of the weights before it."""
        run = self.run_with([[0.3] * 8], lambda step: 8.0 if step == 1 else 2.0)
        (course, passed), = milestones.measure(run)["courses"]
        self.assertEqual((course.title, course.values[0], course.values[1]),
                         ("training loss", 8, 2))
        np.testing.assert_allclose(np.log2(np.array(passed) + 1), (0.1, 0.5, 0.9))

    def test_they_stand_beside_the_verdict(self):
        run = self.run_with([[i / 7 for i in range(8)]])
        judged = stages.judge(run)[0]
        self.assertEqual(judged["verdict"], "not testable")
        self.assertIn("initialisation to step 0.6, when the first had gone a tenth of its way "
                      "(share of position, layer 0); first steps to", judged["figure"])
        self.assertEqual([row[0] for row in judged["table"]["rows"]],
                         ["share of position, layer 0"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
