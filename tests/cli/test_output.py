"""What the commands say and write when all is well."""

import json
import os
import pty
import random
import resource
import shutil
import unittest

from program import (MODEL, QUERN, SANITIZED, ProgramTest, log_lines, main, subprocess,
                     write_json)


def lines_of_text(count):
    """English-like lines for a tokenizer to learn from."""
    words = "the a mill grain stone turns slowly water wheel of and miller flour white".split()
    choice = random.Random(3).choice
    return "".join(" ".join(choice(words) for _ in range(9)) + ".\n" for _ in range(count))


class Evaluation(ProgramTest):
    def test_agrees_with_the_last_of_training(self):
        self.train("--eval-tokens", 10**6)
        logged = [line["val_loss"] for line in log_lines(self.run_dir) if "val_loss" in line][-1]
        figures = self.dir / "figures.json"
        self.succeed("eval", "--run", self.run_dir, "--batch-size", 2, "--json", figures,
                     "--threads", 1)
        measured = json.loads(figures.read_text())
        self.assertEqual(measured["loss"], logged)
        self.assertEqual(measured["tokens"], 699)
        self.assertIsNone(measured["bits_per_byte"])

    def test_of_the_training_text(self):
        self.train()
        done = self.succeed("eval", "--run", self.run_dir, "--split", "train", "--tokens", 60,
                            "--overlap", 0)
        self.assertIn("training text", done.stdout)
        self.assertIn("; 64 tokens", done.stdout)  # whole sequences of 32


class Generation(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.shared / "text.txt"
        cls.text.write_text(lines_of_text(400))
        cls.prepared = cls.shared / "prepared"

    def setUp(self):
        super().setUp()
        self.succeed("prepare", "--text", self.text, "--vocab-size", 300, "--out", self.prepared)
        model = write_json(self.dir / "config.json", {**MODEL, "vocab_size": 300})
        self.train(data=self.prepared, model=model)

    def generate(self, *more):
        return self.succeed("generate", "--run", self.run_dir, "--prompt", "the mill",
                            "--max-tokens", 80, *more).stdout

    def test_is_a_function_of_the_seed(self):
        first = self.generate("--seed", 7)
        self.assertEqual(first, self.generate("--seed", 7))
        self.assertNotEqual(first, self.generate("--seed", 8))
        self.assertTrue(first.startswith("the mill"))

    def test_at_temperature_zero_the_seed_says_nothing(self):
        self.assertEqual(self.generate("--temperature", 0, "--seed", 1),
                         self.generate("--temperature", 0, "--seed", 2))

    def test_goes_on_when_the_context_is_full(self):
        self.assertGreater(len(self.generate("--context", 8)), len("the mill") + 20)

    def test_a_vocabulary_larger_than_the_tokenizers(self):
        """Ids that have no piece are not drawn, however flat the distribution."""
        model = write_json(self.dir / "padded.json", {**MODEL, "vocab_size": 512})
        run = self.dir / "padded"
        self.train(data=self.prepared, model=model, run=run)
        for seed in range(5):
            done = self.succeed("generate", "--run", run, "--max-tokens", 100, "--top-p", 1,
                                "--temperature", 100, "--seed", seed)
            for part in ["300 pieces", "512", "from 300 on are not drawn"]:
                self.assertIn(part, done.stderr)
        self.assertEqual(self.succeed("generate", "--run", self.run_dir).stderr, "")

    def test_a_vocabulary_smaller_than_the_tokenizers(self):
        self.train(run=self.dir / "small")
        folder = self.dir / "small" / "checkpoints" / "step-6"
        shutil.copy(self.prepared / "tokenizer.model", folder)
        self.refuse(1, ["tokenizer.model", "300 pieces", "256", "another model"],
                    "generate", "--model", folder)

    def test_evaluation_knows_bytes(self):
        done = self.succeed("eval", "--run", self.run_dir)
        self.assertIn("bits per byte", done.stdout)

    def test_info_of_everything(self):
        text = self.succeed("info", self.run_dir, self.prepared, "gpt2-124m").stdout
        for part in [f"{self.run_dir}: a run", "newest checkpoint", "step 6", "with tokenizer",
                     "GPT2LMHeadModel, 124."]:
            self.assertIn(part, text)

    def test_device_for_scripts(self):
        lines = self.succeed("info", "--device").stdout.splitlines()
        found = dict(line.split(" ", 1) for line in lines)
        self.assertEqual(list(found), ["backend", "backends", "name", "memory_free",
                                       "peak_tflops"])
        self.assertIn(found["backend"], found["backends"].split())
        self.assertIn("cpu", found["backends"].split())
        self.assertIn(found["name"], self.succeed("info").stdout)
        self.assertGreater(int(found["memory_free"]), 0)
        if found["backend"] == "cpu":
            self.assertEqual(found["peak_tflops"], "0")
        self.refuse(2, ["--device goes alone"], "info", "--device", "gpt2-124m")


class Plan(ProgramTest):
    @unittest.skipIf(SANITIZED, "a sanitizer reserves more addresses than the limit")
    def test_allocates_nothing(self):
        limit = 4 << 30
        done = self.succeed(
            "plan", "--model", "llama2-7b", "--batch-size", 4, "--seq-len", 4096,
            "--threads", 1, "--memory", 80,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        total = [line for line in done.stdout.splitlines() if line.startswith("total")][0]
        # 6.7 billion parameters with gradients and two moments in fp32.
        self.assertGreater(float(total.split()[-1]), 16 * 6.7)
        for part in ["parameters", "gradients", "optimizer", "activations", "does not fit",
                     "--recompute"]:
            self.assertIn(part, done.stdout)

    def test_what_fits(self):
        done = self.succeed("plan", "--model", self.config, "--memory", 1)
        self.assertIn("the plan fits", done.stdout)

    def test_what_would_fit(self):
        done = self.succeed("plan", "--model", "gpt2-124m", "--batch-size", 16, "--seq-len", 1024,
                            "--memory", 8, "--precision", "fp32", "--backend", "cpu")
        self.assertIn("does not fit; with --recompute block it needs ", done.stdout)
        self.assertIn(", with --batch-size 8 --grad-accum 2 ", done.stdout)

    def test_json(self):
        file = self.dir / "plan.json"
        for memory, fits in [(100, True), (8, False)]:
            self.succeed("plan", "--model", "gpt2-124m", "--batch-size", 16, "--seq-len", 1024,
                         "--memory", memory, "--backend", "cpu", "--json", file)
            plan = json.loads(file.read_text())
            self.assertEqual(plan["fits"], fits)
            self.assertEqual(plan["memory_bytes"], memory * 10**9)
            self.assertEqual(plan["model"], "gpt2-124m")
            self.assertEqual(plan["total_bytes"], sum(b["bytes"] for b in plan["buffers"]))
            self.assertEqual(plan["n_params"], 124439808)
            for choice in plan["alternatives"]:
                self.assertLessEqual(choice["total_bytes"], plan["memory_bytes"])
                self.assertEqual(choice["batch_size"] * choice["grad_accum"], 16)
            self.assertEqual([c["recompute"] for c in plan["alternatives"]],
                             [] if fits else ["block", "none"])
        self.refuse(1, ["no/such/plan.json"], "plan", "--model", "gpt2-124m", "--json",
                    self.dir / "no/such/plan.json")


class Progress(ProgramTest):
    def run_under_terminal(self, *args):
        """Standard error of the program when that is a terminal."""
        ours, its = pty.openpty()
        child = subprocess.Popen([QUERN, *map(str, args)], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=its, env=self.environment())
        os.close(its)
        text = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            text += piece
        os.close(ours)
        self.assertEqual(child.wait(timeout=60), 0, text)
        return text.decode()

    def test_shows_on_a_terminal(self):
        shown = self.run_under_terminal(*self.train_args("--eval-every", 3))
        for part in ["step 1/6", "step 6/6", "loss", "tokens/s", "% of peak", "|g|", "left",
                     "val "]:
            self.assertIn(part, shown)

    def test_is_silent_elsewhere(self):
        done = self.train("--eval-every", 3)
        self.assertEqual(done.stderr, "")
        self.assertNotIn("\r", done.stdout)
        self.assertEqual(len(done.stdout.splitlines()), 2)



if __name__ == "__main__":
    main()
