"""scripts/gpu_check.sh with stand-ins for the GPU's tools: what fails, hangs or is missing there
must not pass here."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_check.sh"

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")

# Each stands for the program of its name; FAULT names the one fault of the test.
STANDINS = {
    "nvidia-smi": r"""
case "$FAULT $*" in
no-gpu*) echo "No devices were found"; exit 6 ;;
*compute_cap\ *) echo 9.0 ;;
*) echo "Sample GPU" ;;
esac""",
    "nvcc": "printf 'nvcc\\nCuda compilation tools, release 13.0\\nbuild\\n'",
    "cmake": r"""
[ "$1" = --build ] || exit 0
[ "$FAULT" != build ] || { echo "error: no such kernel"; exit 1; }
mkdir -p "$2"
cp "$STANDINS/quern-of-test" "$2/quern" """,
    "ctest": r"""
case "$FAULT $*" in
no-sanitize*show-only*) echo '{"tests": []}' ;;
*show-only*) echo '{"tests": [{"command": ["prim", "--gtest_filter=A.b"]},
    {"command": ["prim", "--gtest_filter=A.c"]}]}' ;;
primitives*prim*) echo "1 test failed"; exit 8 ;;
skipped*prim*) echo "The following tests did not run:" ;;
hang*prim*) sleep 60 ;;
esac""",
    "compute-sanitizer": r"""
[ "$4" = 99 ] && [ "$5" = prim ] && [ "$6" = --gtest_filter=A.b:A.c ] || exit 1
[ "$FAULT" != sanitizers ] || { echo "ERROR SUMMARY: 1 error"; exit 99; }""",
    "quern-of-test": 'exec "$PYTHON_OF_TEST" -B "$STANDINS/quern.py" "$@"',
    "python": r"""
case "$FAULT $*" in
no-torch*attention_torch*) echo "no module named torch"; exit 1 ;;
*attention_torch*--paths\ math*) exit 0 ;;
*attention_torch*) exec "$PYTHON_OF_TEST" -B "$STANDINS/torch.py" "$@" ;;
*) exec "$PYTHON_OF_TEST" -B "$@" ;;
esac""",
}


def figures(seconds):
    return {"run": True, "seconds": seconds, "max_error": 1e-3, "floor_seconds": 0.9 * seconds}


def quern_record(args):
    def option(name):
        return int(args[args.index(name) + 1])

    rows = []
    for causal, name in itertools.product((True, False), ("forward", "backward")):
        row = {"seq_len": option("--seq-lens"), "pass": name, "causal": causal,
               "naive": figures(5e-3), "fused": figures(1e-3)}
        if name == "forward" and "--stats" in args:
            row["fused_stats"] = figures(1.02e-3)
        rows.append(row)
    return {"bench": "attention", "device": "Sample GPU", "dtype": "bf16",
            "batch": option("--batch"), "heads": option("--heads"), "kv_heads": option("--heads"),
            "head_dim": option("--head-dim"), "window": 0, "results": rows}


def torch_record(slow):
    return {"bench": "attention_torch", "device": "Sample GPU", "dtype": "bfloat16", "results": [
        {"path": "flash", "pass": name, "batch": 16384 // t, "heads": 2048 // d,
         "kv_heads": 2048 // d, "head_dim": d, "seq_len": t, "causal": causal,
         "seconds": 0.5e-3 if slow else 1.01e-3}
        for d, t, causal, name in itertools.product((64, 128), (1024, 2048, 4096, 8192, 16384),
                                                    (True, False), ("forward", "backward"))]}


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-gpu-check-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for name, body in STANDINS.items():
            path = self.bin / name
            path.write_text("#!/bin/bash\n" + body + "\n")
            path.chmod(0o755)
        for name, call in [("quern", "quern_record(sys.argv)"),
                           ("torch", "torch_record(os.environ['FAULT'] == 'slow')")]:
            (self.bin / f"{name}.py").write_text(
                f"import json, os, sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
                "from test_gpu_check import *\n"
                f"open(sys.argv[sys.argv.index('--json') + 1], 'w').write(json.dumps({call}))\n")
        self.out = self.dir / "out"

    def run_script(self, fault="none", *more):
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "FAULT": fault,
                       "STANDINS": str(self.bin), "PYTHON": str(self.bin / "python"),
                       "PYTHON_OF_TEST": sys.executable}
        return subprocess.run([SCRIPT, "--out", self.out, "--build", self.dir / "build", *more],
                              env=environment, text=True, capture_output=True, timeout=120)

    def check(self, code, fault, states={}, verdicts={}):
        """Exit status; states of the steps that did not pass; figures that did not pass."""
        done = self.run_script(fault)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        record = json.loads((self.out / "gpu-check.json").read_text())
        self.assertEqual({s["name"]: s["state"] for s in record["steps"]
                          if s["state"] != "passed"}, states, done.stdout)
        self.assertEqual({f["goal"]: f["verdict"] for f in record["figures"]
                          if f["verdict"] != "PASS"}, verdicts, done.stdout)
        self.assertFalse((self.out / "unfinished").exists())
        return record

    def test_everything_passes(self):
        record = self.check(0, "none")
        self.assertEqual(len(record["figures"]), 7 + 5)
        self.assertEqual(len(record["steps"]), 13)
        self.assertEqual(record["environment"]["gpu"], "Sample GPU")
        self.assertIn("release 13.0", record["environment"]["nvcc"])
        self.assertEqual(len(record["records"]), 10 + 1 + 1)
        for name in ("attention.txt", "attention.md", "logs.tar.gz"):
            self.assertTrue((self.out / name).exists(), name)

    def test_a_failing_primitive(self):
        self.check(1, "primitives", {"primitives": "failed"},
                   {"device primitives conform": "FAIL"})

    def test_skipped_tests_prove_nothing(self):
        self.check(1, "skipped", {"primitives": "failed"}, {"device primitives conform": "FAIL"})

    def test_each_sanitizer(self):
        self.check(1, "sanitizers", {tool: "failed" for tool in TOOLS},
                   {f"{tool} is clean": "FAIL" for tool in TOOLS})

    def test_no_tests_for_the_sanitizers(self):
        self.check(3, "no-sanitize", {tool: "not run" for tool in TOOLS},
                   {f"{tool} is clean": "NOT MEASURED" for tool in TOOLS})

    def test_a_slower_kernel(self):
        self.check(1, "slow", {}, {"fused forward >= 1.0 x FlashAttention-2": "FAIL",
                                   "fused backward >= 0.9 x FlashAttention-2": "FAIL"})

    def test_no_pytorch(self):
        self.check(3, "no-torch", {"peers": "failed", "peers_math": "failed"},
                   {"fused forward >= 1.0 x FlashAttention-2": "NOT MEASURED",
                    "fused backward >= 0.9 x FlashAttention-2": "NOT MEASURED"})

    def test_without_a_build_nothing_that_needs_it_runs(self):
        done = self.run_script("build")
        self.assertEqual(done.returncode, 1, done.stdout)
        record = json.loads((self.out / "gpu-check.json").read_text())
        states = {step["name"]: step["state"] for step in record["steps"]}
        self.assertEqual(states["build"], "failed")
        for name in ("primitives", "conformance", "bench", "long", "memcheck"):
            self.assertEqual(states[name], "not run")
        self.assertEqual(states["peers"], "passed")

    def test_a_step_that_hangs_leaves_time_for_none_after_it(self):
        self.assertEqual(self.run_script("hang", "--minutes", "0.6").returncode, 3)
        record = json.loads((self.out / "gpu-check.json").read_text())
        states = {step["name"]: step["state"] for step in record["steps"]}
        self.assertEqual(states["primitives"], "timed out")
        self.assertEqual(states["bench"], "not run")
        verdicts = {f["goal"]: f["verdict"] for f in record["figures"]}
        self.assertEqual(verdicts["device primitives conform"], "NOT MEASURED")
        self.assertNotIn("FAIL", verdicts.values())

    def test_chosen_steps(self):
        done = self.run_script("none", "--steps", "environment,peers")
        self.assertEqual(done.returncode, 3, done.stdout)
        record = json.loads((self.out / "gpu-check.json").read_text())
        self.assertEqual([step["name"] for step in record["steps"]],
                         ["environment", "peers", "comparison"])

    def test_no_gpu(self):
        done = self.run_script("no-gpu")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no GPU here", done.stderr)
        self.assertFalse(self.out.exists())

    def test_dry_run_needs_no_gpu(self):
        done = self.run_script("no-gpu", "--dry-run")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(done.stdout.splitlines()), 13)
        self.assertFalse(self.out.exists())

    def test_wrong_options(self):
        for args in (["--minutes", "0"], ["--minutes", "x"], ["--minutes"],
                     ["--steps", "nothing"], ["--fast"]):
            with self.subTest(args):
                done = self.run_script("none", *args)
                self.assertEqual(done.returncode, 2)
                self.assertIn(args[-1], done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
