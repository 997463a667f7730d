"""bench/peers/step_torch.py on the CPU: its models are quern's, its operations are counted as
quern's, and bench/compare_step.py puts both programs side by side. Skipped (exit status 77) where
no Python here can import torch."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from program import MODEL, QUERN, VOCAB, ProgramTest, write_data, write_json

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bench" / "peers" / "step_torch.py"
COMPARE = ROOT / "bench" / "compare_step.py"
LOSS = ROOT / "tests" / "harness" / "torch_loss.py"

# Weights large enough that each operation tells in the loss.
MODEL = {**MODEL, "initializer_range": 0.3}
GPT2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": VOCAB,
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
        "initializer_range": 0.3}
MODELS = {"llama": MODEL,
          "untied": {**MODEL, "tie_word_embeddings": False},
          "qwen2": {**MODEL, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"},
          "qwen3": {**MODEL, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
                    "head_dim": 16},
          "gpt2": GPT2}
SHAPE = ["--batch-size", 2, "--seq-len", 32, "--precision", "fp32", "--steps", 3]


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


def run_python(*args):
    return subprocess.run([PYTHON, "-B", *map(str, args)], text=True, capture_output=True,
                          timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"})


class StepTorch(ProgramTest):
    def step(self, *more):
        """The record of a few steps of a small model."""
        path = self.dir / "torch.json"
        done = run_python(SCRIPT, "--device", "cpu", "--no-compile", "--quern", QUERN,
                          "--warmup", 1, "--json", path, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tokens/s", done.stdout)
        return json.loads(path.read_text())

    def model(self, name):
        return write_json(self.dir / f"{name}.json", MODELS[name])

    def refuse_step(self, parts, *args):
        done = run_python(SCRIPT, "--no-compile", "--quern", QUERN, *args)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("Traceback", done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_its_models_are_querns(self):
        # Held out: what two sequences of 32 read.
        data, figures = write_data(self.dir / "data", val_tokens=65), self.dir / "figures.json"
        theirs = []
        for name in MODELS:
            run = self.dir / name
            self.train("--lr", "0.01", run=run, data=data, model=self.model(name))
            self.succeed("eval", "--run", run, "--overlap", 0, "--json", figures)
            theirs.append(json.loads(figures.read_text()))
        done = run_python(LOSS, data / "val_000000.bin", 2, 32,
                          *(self.dir / name / "checkpoints" / "step-6" for name in MODELS))
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, figure, loss in zip(MODELS, theirs, done.stdout.split(), strict=True):
            with self.subTest(name):
                self.assertEqual(figure["tokens"], 64)
                self.assertAlmostEqual(float(loss) / figure["loss"], 1, delta=1e-6)

    def test_operations_are_counted_as_quern_does(self):
        for name in ("untied", "gpt2"):
            with self.subTest(name):
                model, path = self.model(name), self.dir / "quern.json"
                self.succeed("bench", "step", "--model", model, *SHAPE, "--json", path)
                ours = self.step("--model", model, *SHAPE)
                theirs = json.loads(path.read_text())
                self.assertAlmostEqual(ours["flops_per_token"] / theirs["flops_per_token"], 1,
                                       delta=1e-8)
                table = self.dir / "table.md"
                done = run_python(COMPARE, path, self.dir / "torch.json", "--markdown", table)
                self.assertEqual(done.returncode, 3, done.stderr + done.stdout)  # no goal of a CPU
                rows = [x for x in table.read_text().splitlines() if x.startswith(f"| {model} ")]
                self.assertEqual(len(rows), 1)
                self.assertRegex(rows[0], r"\d\.\d+ \|$")  # the ratio: both are in one row

    def test_record(self):
        record = self.step("--model", self.model("qwen2"), *SHAPE, "--grad-accum", 2,
                           "--peak", "0.5")
        self.assertEqual((record["bench"], record["device"]), ("step_torch", "cpu"))
        self.assertEqual((record["batch_size"], record["seq_len"], record["grad_accum"]),
                         (2, 32, 2))
        self.assertLessEqual(record["best_seconds"], record["step_seconds"])
        self.assertLessEqual(record["step_seconds"], record["worst_seconds"])
        tokens_per_s = 2 * 32 * 2 / record["step_seconds"]
        self.assertAlmostEqual(record["tokens_per_s"] / tokens_per_s, 1, places=9)
        rate = tokens_per_s * record["flops_per_token"]
        self.assertAlmostEqual(record["utilisation"] / (rate / 0.5e12), 1, places=9)
        self.assertAlmostEqual(record["share"] / (rate / record["gemm_flops_per_s"]), 1, places=9)

    def test_preset_with_another_vocabulary_in_bf16(self):
        path = self.dir / "quern.json"
        preset = ["--model", "default", "--vocab-size", 256, "--batch-size", 1, "--seq-len", 16,
                  "--precision", "bf16", "--steps", 1]
        record = self.step(*preset)
        self.succeed("bench", "step", *preset, "--json", path)
        self.assertEqual((record["model"], record["precision"]), ("default", "bf16"))
        self.assertIn("autocast", record["scheme"])
        self.assertAlmostEqual(record["flops_per_token"] /
                               json.loads(path.read_text())["flops_per_token"], 1, delta=1e-8)

    def test_wrong_options(self):
        on_cpu, broken = ["--device", "cpu"], self.dir / "broken.json"
        write_json(broken, {**MODEL, "rope_scaling": {"type": "linear"}})
        self.refuse_step(["broken.json", "rope_scaling"], *on_cpu, "--model", broken)
        self.refuse_step(["gpt5", "presets are"], *on_cpu, "--model", "gpt5")
        self.refuse_step(["--seq-len is 65", "64 positions"], *on_cpu, "--seq-len", 65, "--model",
                         self.model("gpt2"))


if __name__ == "__main__":
    if not PYTHON:
        print("no Python here can import torch")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v"])
