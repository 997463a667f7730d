"""scripts/report.py on run folders whose answers are known."""

import base64
import json
import math
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib
from pathlib import Path

import planted_run

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "report.py"
def python_with_matplotlib():
    """This interpreter, else Debian's, which python3-matplotlib is for."""
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and not subprocess.run(
                [python, "-c", "import matplotlib"], stderr=subprocess.DEVNULL).returncode:
            return python
    return None


PYTHON = python_with_matplotlib()


class Report(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-report-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.run_dir = self.dir / "run"
        planted_run.write_data(self.dir / "data")

    def write_run(self, folder=None, **planted):
        return planted_run.write_run(folder or self.run_dir, **planted)

    def start(self, *args):
        return subprocess.run([PYTHON, "-B", SCRIPT, *map(str, args)], text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def report(self, *args):
        """(page, its data)."""
        done = self.start(self.run_dir, *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.page = Path(done.stdout.strip()).read_text()
        found = re.search(r'id="report-data">(.*?)</script>', self.page, re.S)
        return self.page, json.loads(found[1])

    def verdicts(self, data):
        return [claim["verdict"] for claim in data["claims"]]

    def refuse(self, part, *args):
        done = self.start(*args)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(part, done.stderr)
        self.assertNotIn("Traceback", done.stderr)


class Thresholds(unittest.TestCase):
    def test_labels_are_those_of_the_program(self):
        header = SCRIPT.parents[1] / "include" / "quern" / "label.h"
        weight = re.search(r"^PROBE_WEIGHT = ([0-9.]+)", (SCRIPT.parent / "report" / "heads.py")
                           .read_text(), re.M)[1]
        self.assertIn(f"#define QN_LABEL_THRESHOLD {weight}\n", header.read_text())


class Planted(Report):
    def test_heads_depth_and_change_point(self):
        def value(name, step, layer, head):
            if (name, layer, head) == ("sink", 1, 2):
                return 0.45
            if (name, layer, head) == ("sink", 1, 1):
                return 0.28  # below Gu's threshold
            if name == "entropy" and (layer, head) == (2, 0):
                return 0.02 if step > 300 else 1.0  # a head that collapses
            if step > 1 and name == "distance":
                return 10 + 10 * layer
            if step > 1 and name == "local":
                return 0.85 - 0.1 * layer  # half of the way from 0.4 is 0.7
            return 150 if (name, step, layer, head) == ("max_logit", 400, 3, 1) else None

        self.write_run(value=value)
        page, data = self.report()
        types = {(x["layer"], x["head"]): x["types"] for x in data["heads"]}
        self.assertEqual((types[1, 2], types[1, 1]), (["sink", "local"], ["local"]))
        self.assertTrue(all(types[0, head] == ["local"] for head in range(3)))
        self.assertFalse(any("local" in types[layer, h] for layer in (2, 3) for h in range(3)))
        self.assertEqual([data["max_logit"][k] for k in ("step", "layer", "head")], [400, 3, 1])
        self.assertEqual([(x["layer"], x["head"], x["step"], x["at_end"])
                          for x in data["collapsed"]], [(2, 0, 310, True)])
        self.assertEqual(self.verdicts(data)[6], "supported")
        points = data["stages"]["points"]
        self.assertEqual([(x["metric"], x["layer"], x["head"]) for x in points],
                         [("entropy", 2, 0)])
        self.assertTrue(300 <= points[0]["from_step"] < points[0]["to_step"] <= 310, points)
        for i in (0, 2, 3, 4, 5):
            self.assertEqual(self.verdicts(data)[i], "not testable")
        for part in ("the share of position", "change of Wq", "probe of synonyms",
                     "each layer's residual"):
            self.assertTrue(any(part in claim["figure"] for claim in data["claims"]), part)
        self.assertIn("previous-token, induction, offset: needs probes, none recorded", page)
        self.assertIn("&lt;b&gt;processor", page)

    def test_layers_the_other_way_round(self):
        self.write_run(value=lambda name, step, layer, head: {
            "distance": 40 - 10 * layer, "local": 0.5 + 0.1 * layer}.get(name))
        claim = self.report()[1]["claims"][4]
        self.assertEqual(claim["verdict"], "not supported")
        self.assertIn("the other way round", claim["figure"])

    def test_overhead(self):
        self.write_run(extra=0.004)
        cost = self.report()[1]["overhead"]
        self.assertAlmostEqual(cost["extra_seconds"], 0.004, delta=0.0005)
        self.assertTrue(cost["extra_low"] <= 0.004 <= cost["extra_high"] + 0.0005)
        self.assertAlmostEqual(cost["plain_step_seconds"], 0.1005, delta=0.0005)

    def test_values_of_the_heat_map(self):
        self.write_run(value=lambda name, step, layer, head:
                       layer + head / 10 if name == "p_max" else None)
        heat = self.report()[1]["heat"]
        self.assertEqual((heat["steps"][0], heat["steps"][-1]), (1, 600))
        last = heat["metrics"]["p_max"]["value"][-12:]
        for i, found in enumerate(last):
            self.assertAlmostEqual(found, i // 3 + i % 3 / 10, delta=0.02)
        self.assertEqual(heat["metrics"]["distance"]["baseline"], [30] * 61)


class Probed(Report):
    """Runs whose checkpoints were inspected."""

    def write_probed(self, world, **planted):
        self.write_run(**planted)
        planted_run.write_probes(self.run_dir, world)

    def test_structure(self):
        self.write_probed("structure", value=lambda name, step, layer, head: {
            "distance": 10 + 10 * layer, "local": 0.85 - 0.1 * layer}.get(name) if step > 1 else None)
        twin = self.write_run(self.dir / "twin", freeze="qk",
                              loss=lambda step: 8 / step**0.1 + 0.2 * (1 - math.exp(-step / 100)))
        page, data = self.report("--frozen", twin)
        self.assertEqual(self.verdicts(data), ["supported"] * 6 + ["not supported"])
        part = data["claims"][2]["part"]
        self.assertEqual(part["verdict"], "supported")
        self.assertRegex(part["figure"], r"\+0\.1[89]\d\d \+- 0\.0\d")
        self.assertTrue(all(claim["criterion"] for claim in data["claims"]))
        types = {(x["layer"], x["head"]): x["types"] for x in data["heads"]}
        self.assertEqual([types[at][0] for at in ((0, 1), (1, 0), (2, 0))],
                         ["previous-token", "induction", "offset"])
        self.assertEqual(sum(len(set(x) - {"local"}) for x in types.values()), 3)
        self.assertEqual(data["heads"][6]["distance_of_offset"], 5)
        self.assertIn("layer 1, head 0 (+0.2", page)
        self.assertNotIn("Not in this report", page)
        self.assertEqual(data["probes"]["steps"], planted_run.inspected_steps(600))
        self.assertEqual(data["notes"], [])

    def test_words_that_say_nothing(self):
        """What only knows how frequent tokens are, and which piece of a word follows which."""
        for world in ("unigram", "pieces"):
            with self.subTest(world):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                shutil.rmtree(self.dir / "data")
                planted_run.write_data(self.dir / "data", follower=planted_run.SHUFFLED_FOLLOWER)
                self.write_probed(world)
                data = self.report()[1]
                self.assertEqual(self.verdicts(data), ["supported"] * 3 + ["not supported"] * 4)
                self.assertEqual(data["claims"][2]["part"]["verdict"], "not testable")

    def test_without_its_data(self):
        self.write_probed("structure")
        (self.dir / "data").rename(self.dir / "moved")
        claim = self.report()[1]["claims"][5]
        self.assertEqual(claim["verdict"], "not testable")
        self.assertIn("data is not there; name the run's data by --data DIR", claim["figure"])
        found = self.report("--data", self.dir / "moved")[1]
        self.assertEqual(self.verdicts(found)[5], "supported")
        self.refuse("absent is not there", self.run_dir, "--data", self.dir / "absent")

    def test_pictures_are_what_was_recorded(self):
        self.write_probed("structure")
        data = self.report()[1]["pictures"]
        steps = planted_run.inspected_steps(600)
        self.assertEqual((data["steps"], data["left_out"]), (steps, 0))
        for line in planted_run.picture_lines(4, 3, 600):
            found = data["sentences"][line["sentence"]]
            self.assertEqual(found["tokens"], line["tokens"])
            packed = zlib.decompress(base64.b64decode(found["steps"][steps.index(line["step"])]))
            size, at = len(line["weights"]), line["layer"] * data["heads"] + line["head"]
            self.assertEqual(list(packed[at * size:(at + 1) * size]), line["weights"])

    def test_without_samples_of_training(self):
        self.write_probed("structure")
        (self.run_dir / "lens.jsonl").unlink()
        page, data = self.report()
        self.assertEqual([self.verdicts(data)[i] for i in (0, 3, 5)], ["supported"] * 3)
        self.assertIn("sink, local: needs samples, none recorded", page)
        self.assertIn(["previous-token"], [x["types"] for x in data["heads"]])

    def test_lines_that_say_nothing(self):
        self.write_probed("structure")
        good = {"step": 600, "tokens": 307200, "layer": 0, "head": 0, "metric": "induction",
                "value": 0.9, "baseline": 0.02, "n": 64}
        picture = {"step": 600, "layer": 0, "head": 0, "sentence": 5, "tokens": ["a", "b"],
                   "weights": [100, 50, 50]}
        bad = [{**good, "layer": None}, {**good, "head": 99}, {**good, "at": -1},
               {**good, "head": None, "layer": 5}, {**good, "at": 1e9}, []]
        worse = [{**picture, "weights": [100, 50]}, {**picture, "weights": [100, 50, 101]},
                 {**picture, "tokens": "ab"}, {**picture, "layer": 4}, {**picture, "tokens": []},
                 {**picture, "sentence": 0}, {**picture, "sentence": None}]
        for name, lines in (("inspect", bad), ("pictures", worse)):
            with open(self.run_dir / f"{name}.jsonl", "a") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines) + '{"st')
        page, data = self.report()
        self.assertRegex(" ".join(data["notes"]), r"inspect.jsonl: 7 of .* pictures.jsonl: 8 of ")
        self.assertEqual(len(data["pictures"]["sentences"]), 2)
        for name in ("inspect", "pictures"):
            (self.run_dir / f"{name}.jsonl").write_bytes(b"\xff{}\n" + b"[" * 100000)
        self.assertIn("quern inspect --run DIR probes them", self.report()[0])

    def test_a_twin_that_is_none(self):
        self.write_probed("unigram", samples=12)
        self.refuse("expected a run of quern train --freeze qk", self.run_dir, "--frozen",
                    self.run_dir)
        other = self.write_run(self.dir / "twin", samples=12, freeze="qk", seed=8)
        part = self.report("--compare", other)[1]["claims"][2]["part"]
        self.assertEqual(part["verdict"], "not testable")
        self.assertIn("it differs in seed", part["figure"])

    def test_a_twin_that_learnt_something_else(self):
        """Any option that changes what is learnt, the model's config, or the text."""
        self.write_probed("unigram", beta2=0.99)
        same = {"freeze": "qk", "beta2": 0.99, "threads": 2, "lens-every": 50, "save-every": 7,
                "run": "elsewhere", "keep-last": 1, "eval-tokens": 8, "backend": "cpu"}

        def part(number, text="aa", change=lambda path: None, **options):
            folder = self.dir / f"twin{number}"
            self.write_run(folder, **{**same, **options})
            change(folder / "config.json")
            for each, checksum in ((self.run_dir, "aa"), (folder, text)):
                path = each / "run.json"
                found = json.loads(path.read_text())
                found["environment"]["data"] = {"xxh3": checksum}
                path.write_text(json.dumps(found))
            return self.report("--frozen", folder)[1]["claims"][2]["part"]

        def widen(path):
            path.write_text(path.read_text().replace('"hidden_size": 96', '"hidden_size": 128'))

        self.assertNotEqual(part(1)["verdict"], "not testable")
        for number, (name, options) in enumerate((
                ("beta2", {"beta2": 0.95}), ("clip", {"clip": 2}), ("data", {"text": "bb"}),
                ("hidden_size of config.json", {"change": widen})), 2):
            found = part(number, **options)
            self.assertEqual(found["verdict"], "not testable")
            self.assertTrue(found["figure"].endswith(f"it differs in {name}"), found["figure"])


class Nothing(Report):
    """Where nothing is planted, nothing is found."""

    def test_uniform_heads(self):
        self.write_run(layers=5)
        data = self.report()[1]
        self.assertEqual(self.verdicts(data),
                         ["not testable", "supported", "not testable", "not testable",
                          "not supported", "not testable", "not supported"])
        self.assertFalse(any(x["types"] for x in data["heads"]))
        self.assertEqual((data["collapsed"], data["stages"]["points"]), ([], []))

    def test_learning_that_only_slows_down_has_no_stages(self):
        self.write_run(value=lambda name, step, layer, head: {
            "entropy": 0.5 + 0.5 * math.exp(-step / (30 + 40 * head)),
            "sink": 0.2 - 0.16 / (1 + step / 40)}.get(name))
        data = self.report()[1]
        self.assertEqual(self.verdicts(data)[6], "not supported")
        self.assertGreater(data["stages"]["set_aside"], 0)

    def test_a_pattern_at_initialisation(self):
        self.write_run(value=lambda name, step, layer, head: 0.6 if name == "local" else None)
        self.assertEqual(self.verdicts(self.report()[1])[1], "not supported")

    def test_three_layers_are_too_few_for_levels(self):
        self.write_run(layers=3, value=lambda name, step, layer, head:
                       {"distance": 10 + 10 * layer, "local": 0.9 - 0.2 * layer}.get(name))
        claim = self.report()[1]["claims"][4]
        self.assertEqual(claim["verdict"], "not testable")
        self.assertIn("0.17", claim["figure"])

    def test_few_samples(self):
        self.write_run(samples=6)
        data = self.report()[1]
        self.assertEqual(self.verdicts(data)[6], "not testable")
        self.assertIn("it takes", data["overhead"]["reason"])


class Page(Report):
    def test_is_one_small_file(self):
        """Of 25 inspected steps, with pictures that cannot be packed."""
        self.write_run(layers=12, heads=12, samples=199, every=2)
        probes = planted_run.Probes("structure", 12, 12, 398, every=26, distances=range(1, 33))
        self.assertGreaterEqual(len(probes.steps), 25)
        planted_run.write_lines(self.run_dir / "inspect.jsonl", probes.figures())
        noise, tokens = random.Random(1), [str(i) for i in range(24)]
        planted_run.write_lines(self.run_dir / "pictures.jsonl", (
            {"step": step, "layer": layer, "head": head, "sentence": 0, "tokens": tokens,
             "weights": [x % 101 for x in noise.randbytes(300)]}
            for step in probes.steps for layer in range(12) for head in range(12)))
        page, data = self.report()
        self.assertEqual((data["pictures"]["steps"][0], data["pictures"]["steps"][-1]), (0, 398))
        self.assertLess(len(page.encode()), 5e6)
        self.assertNotRegex(page, r"https?://|@import|<link rel=.stylesheet|src=")
        ids = re.findall(r'\sid="([^"]*)"', page)
        for used in re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page):
            self.assertIn("".join(used), ids)

    def test_compares(self):
        self.write_run()
        other = self.write_run(layers=2, folder=self.dir / "other")
        page, _ = self.report("--compare", other, "-o", self.dir / "both.html")
        for part in ("other: training", "Also the means of other", "runs that are compared"):
            self.assertIn(part, page)
        self.assertEqual(sorted(self.dir.glob("*.tmp")), [])


class Damaged(Report):
    def test_no_run(self):
        self.refuse("no such folder", self.dir / "absent")
        self.refuse("is no run", self.dir)
        self.write_run(samples=6)
        self.refuse("no/report.html", self.run_dir, "-o", self.dir / "no/report.html")
        self.refuse("absent", self.run_dir, "--compare", self.dir / "absent")

    def test_help_has_examples(self):
        self.assertIn("--compare runs/second", self.start("--help").stdout)

    def test_no_samples(self):
        self.write_run(samples=6)
        (self.run_dir / "lens.jsonl").unlink()
        page, data = self.report()
        self.assertIn("quern train --lens-every N samples it", page)
        self.assertEqual(set(self.verdicts(data)), {"not testable"})

    def test_lines_that_say_nothing(self):
        self.write_run(samples=6)
        good = {"step": 60, "tokens": 30720, "layer": 0, "head": 0, "metric": "sink",
                "value": 0.5, "baseline": 0.04, "n": 512}
        bad = [{**good, "layer": 10**9}, {**good, "head": -1}, {**good, "step": "x"},
               {**good, "n": None}, {**good, "metric": 3}, [], "{"]
        with open(self.run_dir / "lens.jsonl", "a") as file:
            for line in bad:
                file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
            for value in ("NaN", "null", "1e999", "-1e308"):
                file.write(json.dumps({**good, "head": 1}).replace("0.5", value) + "\n")
            file.write(json.dumps(good)[:40])
        with open(self.run_dir / "log.jsonl", "a") as file:
            file.write('{"step":61,"tokens":31232,"loss":NaN}\n\xff')
        page, data = self.report()
        self.assertIn("lens.jsonl: 8 of ", data["notes"][0] + data["notes"][1])
        self.assertIn("log.jsonl: 2 of ", data["notes"][0] + data["notes"][1])
        self.assertIsNone(data["heads"][1]["sink"][0])

    def test_half_of_the_last_sample(self):
        """A run in progress: the sample before it is the last."""
        self.write_run(value=lambda name, step, layer, head: {
            "distance": 10 + 10 * layer, "local": 0.85 - 0.1 * layer}.get(name) if step > 1 else None)
        planted_run.write_probes(self.run_dir, "structure")
        whole = self.report()[1]
        path = self.run_dir / "lens.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        sample = sum('"step": 600,' in line for line in lines)
        for kept in (1, sample // 2, sample - 1):
            with self.subTest(kept):
                path.write_text("".join(lines[:kept - sample]))
                found = self.report()[1]
                self.assertEqual(self.verdicts(found), self.verdicts(whole))
                self.assertEqual(found["notes"], ["lens.jsonl: the sample of step 600 is left out: "
                                                  "it is not complete"])
                self.assertEqual(found["stages"]["series"], whole["stages"]["series"])

    def test_every_file_may_be_damaged(self):
        self.write_run(samples=6)
        for name, content in (("config.json", b"[" * 100000), ("run.json", b"[1]"),
                              ("log.jsonl", b"{}\n\xff\x00"), ("lens.jsonl", b"")):
            (self.run_dir / name).write_bytes(content)
            self.report()

    def test_one_damaged_number_makes_no_grid(self):
        self.write_run(layers=2, heads=2, samples=6)
        (self.run_dir / "config.json").unlink()
        with open(self.run_dir / "lens.jsonl", "a") as file:
            for place in ({"layer": 255, "head": 0}, {"layer": 0, "head": 255}):
                file.write(json.dumps({"step": 60, "tokens": 30720, **place, "metric": "sink",
                                       "value": 0.5, "baseline": 0.04, "n": 512}) + "\n")
        for place in ((0, 0), (255, 0), (0, 255)):
            with open(self.run_dir / "pictures.jsonl", "a") as file:
                file.write(json.dumps({"step": 60, "layer": place[0], "head": place[1],
                                       "sentence": 0, "tokens": ["a"], "weights": [100]}) + "\n")
        page, data = self.report()
        self.assertEqual((data["heat"]["layers"], data["heat"]["heads"]), (2, 2))
        self.assertEqual((data["pictures"]["layers"], data["pictures"]["heads"]), (1, 1))
        self.assertIn("lens.jsonl: 2 figures left out", data["notes"][-2])
        self.assertIn("pictures.jsonl: 2 pictures left out", data["notes"][-1])

    def test_numbers_that_no_run_has(self):
        self.write_run(samples=6)
        with open(self.run_dir / "log.jsonl", "a") as file:
            file.write('{"step":61,"tokens":31232,"loss":1e308,"lr":0.1}\n')
            file.write('{"step":62,"tokens":31744,"loss":4,"lr":1e308,"grad_norm":%d}\n' % 10**400)
        for name in ("change_q", "change_k", "change_embedding"):
            lost = {"step": 60, "tokens": 30720, "layer": None if "emb" in name else 0,
                    "head": None, "metric": name, "value": None, "baseline": 0, "n": 1}
            with open(self.run_dir / "inspect.jsonl", "a") as file:
                file.write(json.dumps(lost) + "\n")
        run = json.loads((self.run_dir / "run.json").read_text())
        run["environment"]["device"] = "half of a \ud800 pair"
        (self.run_dir / "run.json").write_text(json.dumps(run))
        page, data = self.report()
        self.assertIn("log.jsonl: 1 of ", data["notes"][0])
        self.assertIn("half of a ? pair", page)


if __name__ == "__main__":
    if not PYTHON:
        print("skipped: no python3 with matplotlib")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
