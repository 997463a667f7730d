"""bench/peers/attention_torch.py on the CPU, with shapes of a few milliseconds. Skipped (exit
status 77) where no Python here can import torch."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "peers" / "attention_torch.py"
SHAPES = ["--head-dims", "32", "--seq-lens", "32,64", "--tokens", "128", "--width", "64",
          "--warmup", "1", "--repeats", "3"]


def python_with_torch():
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run([python, "-c", "import torch"], capture_output=True, timeout=120)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


PYTHON = python_with_torch()


def run_script(*args):
    return subprocess.run([PYTHON, "-B", SCRIPT, *args], text=True, capture_output=True,
                          timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})


class AttentionTorch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quern-torch-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.shared = cls.measure("--paths", "cudnn,math")

    @classmethod
    def measure(cls, *more):
        path = cls.dir / "torch.json"
        done = run_script("--device", "cpu", *SHAPES, "--json", path, *more)
        if done.returncode:
            raise AssertionError(done.stderr)
        return json.loads(path.read_text())

    def rows(self, path):
        return [row for row in self.shared["results"] if row["path"] == path]

    def test_record_of_the_math_path(self):
        self.assertEqual(self.shared["bench"], "attention_torch")
        self.assertEqual((self.shared["device"], self.shared["dtype"]), ("cpu", "bfloat16"))
        self.assertTrue(self.shared["torch"])
        self.assertEqual(len(self.rows("math")), 2 * 2 * 2)  # lengths, masks, passes
        for row in self.rows("math"):
            self.assertEqual((row["heads"], row["kv_heads"]), (2, 2))
            self.assertEqual(row["batch"] * row["seq_len"], 128)
            self.assertLess(0, row["fastest"])
            self.assertLessEqual(row["fastest"], row["seconds"])
            self.assertLessEqual(row["seconds"], row["slowest"])

    def test_operations_are_counted_as_everyone_does(self):
        for row in self.rows("math"):
            flops = row["seconds"] * row["flops_per_s"]
            expected = 4 * row["batch"] * 2 * row["seq_len"] ** 2 * 32
            if row["causal"]:
                expected /= 2
            if row["pass"] == "backward":
                expected *= 2.5
            self.assertAlmostEqual(flops / expected, 1, places=9)

    def test_a_path_that_refuses_is_recorded_with_its_reason(self):
        self.assertEqual(len(self.rows("cudnn")), 8)
        for row in self.rows("cudnn"):
            self.assertNotIn("seconds", row)
            self.assertGreater(len(row["refused"]), 10)

    def test_shared_key_heads(self):
        rows = self.measure("--kv-heads", "1", "--masks", "causal")["results"]
        self.assertEqual({row["kv_heads"] for row in rows}, {1})
        self.assertFalse([row for row in rows if "refused" in row])

    def test_every_path_refused(self):
        done = run_script("--device", "cpu", *SHAPES, "--paths", "cudnn")
        self.assertEqual(done.returncode, 1)
        self.assertIn("every path refused every shape", done.stderr)

    def test_wrong_options(self):
        for args, expected in [(["--paths", "fast"], "flash, cudnn, math"),
                               (["--device", "cpu", "--heads", "3", "--kv-heads", "2"],
                                "multiple of")]:
            with self.subTest(args):
                done = run_script(*args)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(expected, done.stderr)
                self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    if not PYTHON:
        print("no Python here can import torch")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v"])
