"""scripts/gpu_check.sh with stand-ins for the GPU's tools: what fails, hangs or is missing there
must not pass here."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import gpu_standins

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_check.sh"

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
PEERS = ("fused forward >= 1.0 x FlashAttention-2", "fused backward >= 0.9 x FlashAttention-2")
FASTER = {model: f"{model} T=1024: faster than PyTorch's compiled step"
          for model in ("gpt2-124m", "qwen2.5-1.5b")}
UTILISATION = "qwen2.5-1.5b T=1024: utilisation >= 55%"
TOKENS = "qwen2.5-1.5b T=1024: >= 55,000 tokens/s (LLM.Q: 58,900)"
BANDWIDTH = ("operations that only move memory >= 85% of a copy's bandwidth "
             "(from 1% of a step)")
IDLE = "GPU idle < 2% of a step"
LENS = "gpt2-124m T=1024: attention sampled every 16 steps costs < 1% of their time"
STEPS = "environment,build,step,step_peers"  # those of training steps' figures


def not_asked_for(figure):
    return figure["note"] in ("not run: not asked for", "there is no comparison")


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-gpu-check-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.environment = gpu_standins.install(self.dir / "bin")
        self.out = self.dir / "out"

    def run_script(self, fault="none", *more):
        environment = {**os.environ, **self.environment, "FAULT": fault}
        return subprocess.run([SCRIPT, "--out", self.out, "--build", self.dir / "build", *more],
                              env=environment, text=True, capture_output=True, timeout=120)

    def check(self, code, fault, states={}, verdicts={}, steps=None):
        """Exit status; states of the steps that did not pass; figures that did not pass."""
        done = self.run_script(fault, *(["--steps", steps] if steps else []))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        record = json.loads((self.out / "gpu-check.json").read_text())
        self.assertEqual({s["name"]: s["state"] for s in record["steps"]
                          if s["state"] != "passed"}, states, done.stdout)
        self.assertEqual({f["goal"]: f["verdict"] for f in record["figures"]
                          if f["verdict"] != "PASS" and not not_asked_for(f)},
                         verdicts, done.stdout)
        self.assertFalse((self.out / "unfinished").exists())
        self.stdout = done.stdout
        return record

    def test_everything_passes(self):
        record = self.check(0, "none")
        self.assertEqual(len(record["figures"]), 8 + 6 + 5 + 1)
        self.assertEqual(len(record["steps"]), 17)
        self.assertEqual(record["environment"]["gpu"], "Sample GPU")
        self.assertIn("release 13.0", record["environment"]["nvcc"])
        self.assertEqual(len(record["records"]), 10 + 1 + 1 + 4 + 3 + 1)
        for name in ("attention.txt", "attention.md", "training.txt", "training.md",
                     "logs.tar.gz"):
            self.assertTrue((self.out / name).exists(), name)
        self.assertRegex(self.stdout, r"qwen2.5-1.5b +bf16 +8 +1024 +4 ")
        self.assertIn("gpt2-124m, bf16, batch 32 x 1024 x 1 micro-steps", self.stdout)
        for figure in record["figures"]:
            self.assertEqual(self.stdout.count(figure["goal"]), 1, figure["goal"])

    def test_failing_tests(self):
        for step, goal in (("primitives", "device primitives conform"),
                           ("conformance", "every operation of the CUDA backend conforms"),
                           ("models", "models and training on the CUDA backend follow the CPU's")):
            with self.subTest(step):
                self.check(1, step, {step: "failed", "comparison": "not run"}, {goal: "FAIL"},
                           "build,primitives,conformance,models")

    def test_skipped_tests_prove_nothing(self):
        self.check(1, "skipped", {"primitives": "failed", "comparison": "not run"},
                   {"device primitives conform": "FAIL"}, "build,primitives")

    def test_each_sanitizer(self):
        self.check(1, "sanitizers",
                   {**{tool: "failed" for tool in TOOLS}, "comparison": "not run"},
                   {f"{tool} is clean": "FAIL" for tool in TOOLS}, "build," + ",".join(TOOLS))
        self.assertIn("prim: status 99: ERROR SUMMARY",
                      subprocess.run(["tar", "-xOf", self.out / "logs.tar.gz",
                                      "logs/memcheck.log"], capture_output=True,
                                     text=True).stdout)

    def test_no_tests_for_a_sanitizer_is_no_clean_bill(self):
        self.check(1, "no-sanitize", {"memcheck": "failed", "comparison": "not run"},
                   {"memcheck is clean": "FAIL"}, "build,memcheck")

    def test_a_slower_kernel(self):
        self.check(1, "slow", {}, {goal: "FAIL" for goal in PEERS},
                   "build,bench,peers,long")

    def test_no_pytorch(self):
        self.check(3, "no-torch",
                   {"peers": "failed", "step_peers": "failed", "peers_math": "failed"},
                   {goal: "NOT MEASURED" for goal in (*PEERS, *FASTER.values())})

    def test_each_goal_of_training_steps(self):
        for fault, goals in (("slow-step", FASTER.values()), ("bandwidth", [BANDWIDTH]),
                             ("idle", [IDLE])):
            with self.subTest(fault):
                self.check(1, fault, {}, {goal: "FAIL" for goal in goals}, STEPS)

    def test_the_cost_of_the_lens(self):
        steps = "environment,build,lens"
        record = self.check(3, "none", {}, {}, steps)["records"]["lens"]
        self.assertAlmostEqual(record["cost"], 0.003 / 1.6, delta=0.001)
        self.assertEqual((record["batch_size"], record["pairs"]), (16, 24))
        self.check(1, "slow-lens", {}, {LENS: "FAIL"}, steps)
        self.check(3, "noisy-lens", {}, {LENS: "NOT MEASURED"}, steps)
        self.check(3, "no-lens", {"lens": "failed", "comparison": "not run"}, {}, steps)
        self.check(3, "tiny", {"lens": "not run", "comparison": "not run"}, {}, steps)

    def test_one_model_that_cannot_be_measured(self):
        record = self.check(3, "one-model", {"step": "failed"},
                            {goal: "NOT MEASURED"
                             for goal in (FASTER["gpt2-124m"], BANDWIDTH, IDLE)}, STEPS)
        self.assertIn("step-qwen2.5-0.5b", record["records"])

    def test_both_programs_at_the_batch_that_fits(self):
        records = self.check(3, "none", {}, {}, STEPS)["records"]
        self.assertEqual(records["step-gpt2-1.5b"]["batch_size"], 1)  # the largest that fits
        shapes = {"gpt2-124m": (32, 1), "qwen2.5-0.5b": (16, 2), "qwen2.5-1.5b": (8, 4)}
        for model, shape in shapes.items():
            for name in (f"step-{model}", f"step-{model}-torch"):
                self.assertEqual((records[name]["batch_size"], records[name]["grad_accum"]), shape)

    def test_records_that_do_not_go_together(self):
        record = self.check(3, "another", {"comparison": "failed"}, {}, STEPS)
        figures = {figure["goal"]: figure["verdict"] for figure in record["figures"]}
        self.assertEqual(figures["training steps beside PyTorch's"], "NOT MEASURED")

    def test_a_small_card(self):
        left_out = [FASTER["qwen2.5-1.5b"], UTILISATION, TOKENS, BANDWIDTH, IDLE]
        records = self.check(3, "tight", {}, {goal: "NOT MEASURED" for goal in left_out},
                             STEPS)["records"]
        self.assertEqual({name: record["batch_size"] for name, record in records.items()},
                         {"step-gpt2-124m": 32, "step-gpt2-124m-torch": 32,
                          "step-qwen2.5-0.5b": 8, "step-qwen2.5-0.5b-torch": 8})

    def test_no_model_fits(self):
        self.check(3, "tiny", {"step": "failed", "comparison": "not run"}, {}, STEPS)

    def test_a_plan_that_says_nothing(self):
        self.check(3, "plan", {"step": "failed", "step_peers": "failed", "comparison": "not run"},
                   {}, STEPS)

    def test_without_a_build_nothing_that_needs_it_runs(self):
        done = self.run_script("build")
        self.assertEqual(done.returncode, 1, done.stdout)
        record = json.loads((self.out / "gpu-check.json").read_text())
        states = {step["name"]: step["state"] for step in record["steps"]}
        self.assertEqual(states["build"], "failed")
        for name in ("primitives", "conformance", "models", "bench", "step", "step_peers",
                     "lens", "long", "memcheck"):
            self.assertEqual(states[name], "not run")
        self.assertEqual(states["peers"], "passed")

    def test_a_step_that_hangs_leaves_time_for_none_after_it(self):
        self.assertEqual(self.run_script("hang", "--minutes", "0.7", "--steps",
                                         "build,primitives,bench,step").returncode, 3)
        record = json.loads((self.out / "gpu-check.json").read_text())
        states = {step["name"]: step["state"] for step in record["steps"]}
        self.assertEqual(states["primitives"], "timed out")
        self.assertEqual((states["bench"], states["step"]), ("not run", "not run"))
        verdicts = {f["goal"]: f["verdict"] for f in record["figures"]}
        self.assertEqual(verdicts["device primitives conform"], "NOT MEASURED")
        self.assertNotIn("FAIL", verdicts.values())

    def test_chosen_steps(self):
        done = self.run_script("none", "--steps", "environment,peers")
        self.assertEqual(done.returncode, 3, done.stdout)
        record = json.loads((self.out / "gpu-check.json").read_text())
        self.assertEqual([step["name"] for step in record["steps"]],
                         ["environment", "peers", "comparison"])

    def steps_of(self, *args):
        done = self.run_script("no-gpu", "--dry-run", *args)
        self.assertEqual(done.returncode, 0)
        return [line.split()[0] for line in done.stdout.splitlines()]

    def test_groups_of_steps(self):
        steps = self.steps_of()
        training, attention = (self.steps_of("--steps", x) for x in ("training", "attention"))
        self.assertEqual({*training, *attention}, {*steps})
        self.assertEqual([x for x in steps if x in training], training)
        self.assertTrue({"models", "step", "step_peers", "lens"} <= {*training} - {*attention})
        self.assertTrue({"bench", "peers", "long"} <= {*attention} - {*training})
        self.assertEqual(self.steps_of("--steps", "attention,training"), steps)
        self.assertEqual(self.steps_of("--steps", "training,long"),
                         [x for x in steps if x in (*training, "long")])

    def test_no_gpu(self):
        done = self.run_script("no-gpu")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no GPU here", done.stderr)
        self.assertFalse(self.out.exists())

    def test_dry_run_needs_no_gpu(self):
        self.assertEqual(len(self.steps_of()), 17)
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
