"""What the pictures of scripts/report.py show of runs whose answers are known. Skipped (exit status
77) where matplotlib is missing."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from pythons import go_on_with

go_on_with("matplotlib")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import numpy as np

import planted_run
from report import drawing, layers, overhead, panels
from report.run import Run
from report.sections import depth, loss, words
from runs import series

ODD_NAMES = (r"$\frac$", "_hidden", "a$b", "<b>&")


class Drawn(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-drawing-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def write(self, name="run", probes=True, layers=4, samples=12, **planted):
        folder = planted_run.write_run(self.dir / name, layers=layers, samples=samples, **planted)
        if probes:
            planted_run.write_probes(folder, "structure", layers, last=10 * samples)
        return folder

    def start(self, script, *args, **environment):
        return subprocess.run([sys.executable, "-B", SCRIPTS / script, *map(str, args)], text=True,
                              timeout=120, capture_output=True, env={**os.environ, **environment})

    def page(self, *args):
        done = self.start("report.py", *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return Path(done.stdout.strip()).read_text()

    def change(self, folder, **environment):
        path = folder / "run.json"
        options = json.loads(path.read_text())
        options["environment"].update(environment)
        path.write_text(json.dumps(options))


def svgs(page, kind):
    return re.findall(rf'<svg class="{kind}".*?</svg>', page, re.S)


# ---- curves ---------------------------------------------------------------------------------

class Series(unittest.TestCase):
    steps = np.arange(1, 6201)

    def test_thin_keeps_the_beginning(self):
        x, y, counts = series.thin(self.steps, 2.0 * self.steps, 800)
        self.assertLessEqual(len(x), 800)
        self.assertEqual(x[:20].tolist(), list(range(1, 21)))
        np.testing.assert_allclose(y, 2 * x)
        self.assertEqual(counts.sum(), len(self.steps))

    def test_thin_leaves_out_what_is_not_known(self):
        y = np.where(self.steps % 2, 5.0, np.nan)
        self.assertEqual(set(series.thin(self.steps, y, 50)[1][-40:]), {5.0})

    def test_smooth_neither_lags_nor_bends_at_the_ends(self):
        true = 9 - 0.6 * np.log(self.steps) + (self.steps > 4000) * (4000 - self.steps) / 4000
        x, y, counts = series.thin(self.steps, true, 800)
        self.assertLess(abs(series.smooth(x, y, counts) - y).max(), 0.02)

    def test_smooth_takes_noise_away(self):
        noise = np.random.default_rng(1).normal(0, 0.2, len(self.steps))
        x, y, counts = series.thin(self.steps, 5 + noise, 800)
        self.assertLess(abs(series.smooth(x, y, counts) - 5)[x > 1000].max(), 0.04)


class Loss(Drawn):
    def test_runs_of_any_name(self):
        folders = [self.write(name, probes=False) for name in ODD_NAMES]
        page = self.page(folders[0], "--compare", *folders[1:])
        for name in (r"$\frac$", "_hidden", "a$b", "&lt;b&gt;&amp;"):
            for part in ("training", "held out"):
                self.assertEqual(page.count(f"{name}: {part}</text>"), 2, name)

    def test_plot_loss_takes_them_too(self):
        folders = [self.write(name, probes=False) for name in ODD_NAMES[:3]]
        done = self.start("plot_loss.py", *folders, "--out", self.dir / "loss.svg")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        drawn = (self.dir / "loss.svg").read_text()
        for name in ODD_NAMES[:3]:
            self.assertIn(f"{name}: training", drawn)

    def test_words_of_the_axes_are_inside(self):
        folder = self.write(probes=False)
        log = (folder / "log.jsonl").read_text().replace('"lr": 0.006', '"lr": 0.0000123')
        (folder / "log.jsonl").write_text(log)
        for size in ((10.5, 5.6), (4.2, 5.2)):
            drawn = drawing.svg_of(drawing.loss_figure([Run(folder)], [], *size), "x", "y")
            for name in ("rate", "bits a byte", r"loss, nats a token \(log axis\)"):
                left = float(re.search(rf"rotate\(-90 ([\d.]+) [\d.]+\)\">{name}<", drawn)[1])
                ticks = re.findall(r'text-anchor: end" x="([\d.]+)"[^>]*>([^<]*)<', drawn)
                self.assertGreater(left, 10, name)  # the size of its letters
                self.assertGreater(min(float(x) - 6 * len(tick) for x, tick in ticks), left, name)

    def test_the_curve_begins_with_the_first_step(self):
        run = Run(self.write(probes=False, samples=100))
        figure = drawing.loss_figure([run], [], 10.5, 5.6)
        raw, smoothed, *_ = figure.axes[0].lines
        for line in (raw, smoothed):
            self.assertEqual(line.get_xdata()[0], planted_run.TOKENS)
            self.assertAlmostEqual(line.get_ydata()[0], 8, delta=0.01)
        self.assertEqual((figure.axes[0].get_xscale(), figure.axes[0].get_yscale()), ("log", "log"))
        self.assertNotIn("10^", drawing.svg_of(figure, "x", "y"))

    def test_all_runs_have_their_steps_drawn(self):
        runs = [Run(self.write(name, probes=False)) for name in "ab"]
        figure = drawing.loss_figure(runs, [], 10.5, 5.6)
        self.assertEqual(sum(len(line.get_xdata()) > 100 for line in figure.axes[0].lines), 4)

    def test_losses_that_no_logarithm_has(self):
        for value in (0, -1):
            self.page(self.write(f"loss{value}", probes=False, loss=lambda step: value))

    def test_events(self):
        folder = self.write(samples=60, probes=False, value=lambda name, step, layer, head:
                            0.02 if (name, layer, head) == ("entropy", 2, 0) and step > 200 else None)
        self.change(folder, changes=[
            "from step 100 on quern 1 (a) runs on x in fp32, before quern 1 (a) on y in fp32",
            "from step 400 on --weight-rounding is nearest, before stochastic", 7, "else"])
        marks = loss.marks_of(Run(folder))
        self.assertEqual([(round(tokens / planted_run.TOKENS), name) for tokens, name in marks], [
            (10, "end of warmup"), (100, "resumed, environment changed"),
            (210, "layer 2, head 0 collapsed"), (300, "rate falls"),
            (400, "resumed, --weight-rounding changed")])
        self.assertEqual(self.page(folder).count("layer 2, head 0 collapsed</text>"), 2)

    def test_events_that_are_near_share_a_mark(self):
        folder = self.write(samples=60, probes=False)
        self.change(folder, changes=["from step 302 on --weight-rounding is x, before y"])
        self.assertEqual(loss.marks_of(Run(folder))[-1][1],
                         "rate falls; resumed, --weight-rounding changed")


# ---- layers ---------------------------------------------------------------------------------

class Layers(Drawn):
    def lines(self, count, errors=None):
        xs = np.array([0, 1, 2, 4, 8])
        return layers.Lines(xs, [[layer + 0.01 * x for x in xs] for layer in range(count)],
                            layers.numbered(count), errors=errors)

    def test_styles_differ_besides_their_shade(self):
        css = (SCRIPTS / "report/report.css").read_text()
        styles = [re.sub(r"stroke: #\w+;", "", re.search(rf"\.line\.l{i} {{(.*?)}}", css)[1])
                  for i in range(layers.MOST_LINES)]
        self.assertEqual(len(set(styles)), layers.MOST_LINES)
        others = [re.search(rf"\.line\.s{i + 1} .*?dasharray: ([^;]*);", css)[1]
                  for i in range(len(layers.OTHERS))]
        self.assertEqual(len(set(others)), len(layers.OTHERS))

    def test_few_layers_share_a_panel(self):
        drawn = layers.panel("norm", panels.of_steps, self.lines(6))
        self.assertEqual(re.findall(r'class="line (\w+)"', drawn), [f"l{i}" for i in range(6)])
        self.assertEqual(drawn.count('class="leader"'), 6)

    def test_many_have_a_strip_each(self):
        """The last on top, none upon another, each with the value at its end."""
        for count, errors in ((12, None), (48, None), (12, np.full((12, 5), 0.1)),
                              (4, np.full((4, 5), 0.1))):
            drawn = layers.panel("norm", panels.of_steps, self.lines(count, errors))
            names = re.findall(r'y="([\d.]+)" class="y">(\d+)<', drawn)
            self.assertEqual([int(name) for _, name in names], [*reversed(range(count))])
            self.assertGreaterEqual(np.diff([float(y) for y, _ in names]).min(), 17)
            self.assertEqual(drawn.count('class="line s0"'), count)
            ends = re.findall(r'<text x="[\d.]+" y="[\d.]+">([\d.]+)</text>', drawn)
            self.assertEqual(ends, [panels.short(layer + 0.08) for layer in reversed(range(count))])
            spans = [[float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)] for path in
                     re.findall(r'class="line s0" d="([^"]*)"', drawn)]
            for above, below in zip(spans, spans[1:]):
                self.assertLess(max(above), min(below) + 18)

    def test_twelve_layers_in_the_page(self):
        page = self.page(self.write(layers=12, samples=6))
        self.assertNotIn('class="line l', page)
        strips = [x for x in svgs(page, "panel") if "each strip" in x]
        self.assertGreater(len(strips), 20)

    def test_axes_have_names(self):
        page = self.page(self.write())
        for drawn in svgs(page.partition("</main>")[0], "panel"):
            self.assertRegex(drawn, r'class="(x|y) name">[^<]+<')
            if "Similarity of depths" not in drawn:
                self.assertRegex(drawn, r'x="2" y="11" class="name">[^<]+<')

    def test_other_runs(self):
        folders = [self.write(name) for name in ("run", "one", "two")]
        page = self.page(folders[0], "--compare", *folders[1:])
        for name in ("synonyms", "depth", "vectors", "gradients"):
            inside = re.search(rf'<section id="{name}">.*?</section>', page, re.S)[0]
            self.assertIn("Thinner lines: one (dashed), two (short dashes); the unbroken one is run.",
                          inside)
            for kind in ("s1", "s2"):
                self.assertGreater(inside.count(f'class="line other {kind}"'), 10, name)

    def test_other_runs_without_probes(self):
        folders = [self.write(), self.write("one", probes=False), self.write("two", layers=2)]
        page = self.page(folders[0], "--compare", *folders[1:])
        self.assertIn("Thinner lines: two (short dashes); the unbroken one is run. Not recorded: one.",
                      page)


class Depth(Drawn):
    def test_dots_are_baselines(self):
        run = Run(self.write())
        drawn = depth.over_depth([run], "lens_accuracy", 0.2)
        self.assertEqual(re.findall(r'class="line (\w+)"', drawn),
                         ["base", "follower", "first", "s0"])
        self.assertNotIn("follower", depth.over_depth([run], "lens_loss", 0.2))
        css = (SCRIPTS / "report/report.css").read_text()
        dashes = [re.search(rf"\.line\.{kind} .*?dasharray: ([^;]*);", css)[1]
                  for kind in ("base", "first", "follower")]
        self.assertEqual(len(set(dashes)), 3)

    def test_a_metric_without_a_value(self):
        folder = self.write()
        lines = [json.loads(line) for line in (folder / "inspect.jsonl").read_text().splitlines()]
        for line in lines:
            if line["metric"] == "lens_entropy":
                line["value"] = None
        planted_run.write_lines(folder / "inspect.jsonl", lines)
        self.page(folder)


# ---- synonyms -------------------------------------------------------------------------------

class Synonyms(Drawn):
    def write_bins(self, folder, step, synonyms, matched, places=range(20)):
        def line(metric, layer, at):
            return {"step": step, "tokens": 512 * step, "layer": layer, "head": None,
                    "metric": metric, "value": synonyms(at), "baseline": matched(at), "n": 80,
                    "at": at}

        with open(folder / "inspect.jsonl", "a") as file:
            for metric, of in (("q", range(4)), ("k", range(4)), ("embedding", [None])):
                for layer in of:
                    for at in places:
                        file.write(json.dumps(line(f"{metric}_synonym_bin", layer, at)) + "\n")

    def heights(self, drawn, kind):
        """Of the 20 bins, as shares of the highest."""
        path = re.search(rf'class="line {kind}" d="([^"]*)"', drawn)[1]
        up = np.array([float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)])
        found = up[0] - up[1:-1:2]
        return found / found.max()

    def test_histograms_of_the_last_checkpoint(self):
        folder = self.write()
        self.write_bins(folder, 0, lambda at: 0.05, lambda at: 0.05)
        self.write_bins(folder, 120, lambda at: 0.1 * (at >= 10), lambda at: 0.1 * (at < 10))
        page = self.page(folder)
        drawn = [x for x in svgs(page, "panel") if 'aria-label="Cosines of' in x]
        self.assertEqual(len(drawn), 9)
        self.assertIn("Cosines of q, layer 3: synonyms 0.50 in the mean, matched pairs -0.50", page)
        self.assertIn("at step 120.", page)
        for each in drawn:
            np.testing.assert_allclose(self.heights(each, "filled"), [0] * 10 + [1] * 10, atol=0.01)
            np.testing.assert_allclose(self.heights(each, "outline"), [1] * 10 + [0] * 10, atol=0.01)
        self.assertNotIn("Histograms of cosines", self.page(self.write("without")))

    def test_bins_that_there_are_not(self):
        folder = self.write()
        self.write_bins(folder, 120, lambda at: None if at == 3 else 0.1, lambda at: None,
                        places=(3, 4, 25, 1000))
        self.assertEqual(self.page(folder).count('aria-label="Cosines of'), 9)

    def test_intervals(self):
        self.assertEqual(words.interval(0.7, 0.05), "0.700 (0.602 to 0.798)")
        self.assertEqual(words.interval(0.99, 0.05), "0.990 (0.892 to 1.000)")
        self.assertEqual(words.interval(0.7, math.nan), "0.700")
        run = Run(self.write())
        lines = words.lines_of([run], "q", "synonym_auc")
        np.testing.assert_allclose(lines.errors, 1.96 * planted_run.AUC_ERROR)
        self.assertIsNone(words.lines_of([run], "q", "synonym_cosine").errors)


# ---- what is said ---------------------------------------------------------------------------

class Said(Drawn):
    def test_interval_of_the_share_of_time(self):
        folder = self.write(samples=60, probes=False)
        cost = overhead.measure(Run(folder))
        self.assertAlmostEqual(cost["share_of_run"], 0.004 / 0.1005 / 10, delta=2e-4)
        for share, seconds in (("share_low", "extra_low"), ("share_high", "extra_high")):
            self.assertAlmostEqual(cost[share] * cost["plain_step_seconds"] * 10, cost[seconds])
        self.assertRegex(self.page(folder), r"% of all steps&#x27; time \(95 % interval \+0\.\d\d to "
                                            r"\+0\.\d\d %\)")

    def test_a_python_without_matplotlib_is_named(self):
        (self.dir / "matplotlib.py").write_text("raise ImportError")
        for script in ("report.py", "plot_loss.py"):
            done = self.start(script, self.dir, PYTHONPATH=str(self.dir))
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{script}: {sys.executable} has no matplotlib", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
