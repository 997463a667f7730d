"""bench/compare_attention.py: each verdict passes, fails and abstains as it should."""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "compare_attention.py"
DEVICE = "Sample GPU"
PASSES = ("forward", "backward")


def figures(seconds):
    return {"run": True, "workspace_bytes": 1, "seconds": seconds, "flops_per_s": 1.0,
            "max_error": 1e-3, "floor_seconds": 0.85 * seconds}


def quern_record(head_dim, seq_len, tokens=16384, masks=(True, False)):
    """FlashAttention-2 takes 1 ms; fused 0.95 forward and 1.1 backward, 5 % more with
    statistics; naive is at 85 % of its floor."""
    batch, heads = tokens // seq_len, 2048 // head_dim
    rows = []
    for causal, name in itertools.product(masks, PASSES):
        row = {"seq_len": seq_len, "pass": name, "causal": causal, "flops": 1.0,
               "naive": figures(3e-3),
               "fused": figures(0.95e-3 if name == "forward" else 1.1e-3)}
        if name == "forward":
            row["fused_stats"] = figures(1.05 * 0.95e-3)
        rows.append(row)
    return {"bench": "attention", "version": "0", "device": DEVICE, "dtype": "bf16",
            "batch": batch, "heads": heads, "kv_heads": heads,
            "head_dim": head_dim, "window": 0, "results": rows}


def torch_record():
    rows = []
    for d, t, causal, name, path in itertools.product(
            (64, 128), (1024, 2048, 4096, 8192, 16384), (True, False), PASSES,
            ("flash", "cudnn", "math")):
        row = {"path": path, "pass": name, "batch": 16384 // t, "heads": 2048 // d,
               "kv_heads": 2048 // d, "head_dim": d, "seq_len": t, "causal": causal}
        refused = path == "math" and t == 16384
        row.update({"refused": "out of memory"} if refused else {"seconds": 1e-3})
        rows.append(row)
    return {"bench": "attention_torch", "device": DEVICE, "dtype": "bfloat16",
            "results": rows}


class Compare(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-compare-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.long = quern_record(128, 131072, tokens=131072, masks=(True,))
        del self.long["results"][0]["fused_stats"]
        for row in self.long["results"]:
            row["naive"] = {"run": False, "workspace_bytes": 1 << 40}
        self.quern = [quern_record(d, t) for d in (64, 128)
                      for t in (1024, 2048, 4096, 8192, 16384)] + [self.long]
        self.torch = torch_record()

    def rows(self, name, causal=None):
        return [row for record in self.quern for row in record["results"]
                if row["pass"] == name and causal in (None, row["causal"])]

    def run_script(self, *more):
        paths = []
        for i, record in enumerate([*self.quern, *([self.torch] if self.torch else [])]):
            paths.append(self.dir / f"record-{i}.json")
            paths[-1].write_text(json.dumps(record))
        return subprocess.run([sys.executable, "-B", SCRIPT, *paths, *more], text=True,
                              capture_output=True, timeout=120)

    def check(self, code, **expected):
        """The exit status, and the verdicts that differ from PASS."""
        out = self.dir / "verdicts.json"
        done = self.run_script("--json", out)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        names = ["FORWARD", "BACKWARD", "NAIVE", "STATISTICS", "LONG"]
        found = [figure["verdict"] for figure in json.loads(out.read_text())["figures"]]
        self.assertEqual(found, [expected.get(name, "PASS") for name in names], done.stdout)
        for state in found:
            self.assertIn(state, done.stdout)
        return done

    def test_all_goals_met(self):
        done = self.check(0)
        self.assertIn("refused", done.stdout)
        self.assertIn("worst 0.850", done.stdout)

    def test_one_slow_forward(self):
        self.rows("forward", causal=False)[3]["fused"]["seconds"] = 1.01e-3
        done = self.check(1, FORWARD="FAIL")
        self.assertIn("worst 0.990 at forward D=64 T=8192 full", done.stdout)

    def test_one_slow_backward(self):
        self.rows("backward")[0]["fused"]["seconds"] = 1.12e-3
        self.check(1, BACKWARD="FAIL")

    def test_one_slow_naive_in_each_pass(self):
        for name in PASSES:
            with self.subTest(name):
                self.setUp()
                self.rows(name)[2]["naive"]["seconds"] *= 0.85 / 0.79
                self.check(1, NAIVE="FAIL")

    def test_slow_statistics(self):
        self.rows("forward")[1]["fused_stats"]["seconds"] = 1.09 * 0.95e-3
        self.check(1, STATISTICS="FAIL")

    def test_long_sequence_with_an_error_that_is_no_number(self):
        for error in (None, float("nan")):
            with self.subTest(error):
                self.long["results"][1]["fused"]["max_error"] = error
                self.check(1, LONG="FAIL")

    def test_long_sequence_without_backward(self):
        del self.long["results"][1]
        self.check(3, LONG="NOT MEASURED")

    def test_no_long_sequence(self):
        self.quern.remove(self.long)
        self.check(3, LONG="NOT MEASURED")

    def test_a_shape_that_was_not_measured(self):
        del self.quern[4]["results"][0]
        self.check(3, FORWARD="NOT MEASURED")

    def test_a_shape_that_flash_attention_refused(self):
        row = next(r for r in self.torch["results"]
                   if r["path"] == "flash" and r["pass"] == "backward")
        del row["seconds"]
        row["refused"] = "no kernel"
        self.check(3, BACKWARD="NOT MEASURED")

    def test_a_miss_outweighs_what_is_missing(self):
        del self.quern[4]["results"][0]
        self.rows("forward")[0]["fused"]["seconds"] = 2e-3
        self.check(1, FORWARD="FAIL")

    def test_no_figures_of_pytorch(self):
        self.torch = None
        self.check(3, FORWARD="NOT MEASURED", BACKWARD="NOT MEASURED")

    def test_another_device(self):
        self.torch["device"] = "Another GPU"
        done = self.check(3, FORWARD="NOT MEASURED", BACKWARD="NOT MEASURED")
        self.assertIn("different devices", done.stdout)

    def test_another_dtype(self):
        self.quern[0]["dtype"] = "f32"
        done = self.check(3, FORWARD="NOT MEASURED", BACKWARD="NOT MEASURED")
        self.assertIn("different dtypes", done.stdout)

    def test_no_floor(self):
        for row in self.rows("backward"):
            row["naive"]["floor_seconds"] = None
        self.check(3, NAIVE="NOT MEASURED")

    def test_naive_that_fits_at_no_shape_of_one_head_dimension(self):
        for record in self.quern[:5]:
            for row in record["results"]:
                row["naive"] = {"run": False, "workspace_bytes": 1 << 40}
        self.check(3, NAIVE="NOT MEASURED")

    def test_no_statistics(self):
        for row in self.rows("forward"):
            row.pop("fused_stats", None)
        self.check(3, STATISTICS="NOT MEASURED")

    def test_times_that_are_no_times(self):
        for seconds in (0, -1e-3, float("nan"), "fast"):
            with self.subTest(seconds):
                self.setUp()
                self.rows("backward")[0]["fused"]["seconds"] = seconds
                self.check(3, BACKWARD="NOT MEASURED")

    def test_markdown_has_a_line_for_each_shape_and_pass(self):
        out = self.dir / "table.md"
        self.run_script("--markdown", out)
        lines = [x for x in out.read_text().splitlines() if x.startswith("|")]
        self.assertEqual(len(lines), 2 + 40 + 2)

    def test_files_that_are_no_records(self):
        for text in ("", "[]", "{}", '{"bench": "step"}', '{"bench": "attention"}'):
            with self.subTest(text):
                path = self.dir / "broken.json"
                path.write_text(text)
                done = self.run_script(path)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("broken.json", done.stderr)
                self.assertNotIn("Traceback", done.stderr)

    def test_plot(self):
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            self.skipTest("matplotlib is missing")
        out = self.dir / "plot.png"
        self.run_script("--plot", out)
        self.assertTrue(out.read_bytes().startswith(b"\x89PNG"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
