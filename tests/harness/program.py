"""program.py: runs the program that was built, on small inputs that the tests make."""

import array
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

QUERN = os.environ.get("QUERN", "build/quern")
# Sanitizers reserve terabytes of addresses and run slowly.
SANITIZED = bool(os.environ.get("QUERN_SANITIZED"))

VOCAB = 256
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def without(config, key):
    return {k: v for k, v in config.items() if k != key}


def shard_bytes(tokens, magic=20240520, version=1, count=None):
    """A token shard in llm.c's layout; `count` is what its header says."""
    header = [magic, version, len(tokens) if count is None else count] + [0] * 253
    return struct.pack("<256i", *header) + array.array("H", tokens).tobytes()


def text_tokens(count, seed, vocab=VOCAB):
    """Tokens with something to learn: each follows from the one before, but for some noise."""
    noise = random.Random(seed)
    tokens = [0]
    while len(tokens) < count:
        tokens.append(noise.randrange(vocab) if noise.random() < 0.1 else
                      (5 * tokens[-1] + 3) % vocab)
    return tokens


def write_data(folder, train_tokens=6000, val_tokens=700, vocab=VOCAB):
    folder.mkdir(parents=True)
    (folder / "train_000000.bin").write_bytes(shard_bytes(text_tokens(train_tokens, 1, vocab)))
    (folder / "val_000000.bin").write_bytes(shard_bytes(text_tokens(val_tokens, 2, vocab)))
    return folder


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1))
    return path


def log_lines(run):
    return [json.loads(line) for line in (Path(run) / "log.jsonl").read_text().splitlines()]


def training_lines(run):
    """What must be the same bit for bit: every training line, less its times."""
    return [{k: v for k, v in line.items() if k not in ("tokens_per_s", "seconds")}
            for line in log_lines(run) if "loss" in line]


def checkpoints(run):
    """Steps of the checkpoints, ascending."""
    found = (Path(run) / "checkpoints").glob("step-*")
    return sorted(int(p.name[5:]) for p in found if p.name[5:].isdigit())


def leftovers(folder):
    """Names of what an interrupted write leaves behind."""
    return [str(p) for p in Path(folder).rglob("*")
            if p.name.startswith("tmp-") or p.name.endswith(".tmp")]


class ProgramTest(unittest.TestCase):
    """A folder with data and a model config, and the program to run on them."""

    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="quern-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.data = write_data(cls.shared / "data")
        cls.config = write_json(cls.shared / "config.json", MODEL)

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="case-", dir=self.shared))
        self.run_dir = self.dir / "run"

    def environment(self):
        kept = {k: v for k, v in os.environ.items()
                if k not in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")}
        return {**kept, "OMP_WAIT_POLICY": "passive"}

    def quern(self, *args, **options):
        options.setdefault("env", self.environment())
        return subprocess.run([QUERN, *map(str, args)], text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, **options)

    def train_args(self, *more, run=None, data=None, model=None):
        return ["train", "--data", data or self.data, "--run", run or self.run_dir,
                "--model", model or self.config, "--batch-size", 2, "--seq-len", 32,
                "--steps", 6, "--warmup", 2, "--eval-tokens", 64, "--threads", 1, *more]

    def succeed(self, *args, **options):
        done = self.quern(*args, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def train(self, *more, **where):
        return self.succeed(*self.train_args(*more, **where))

    def resume(self, *more, run=None, **options):
        return self.succeed("train", "--run", run or self.run_dir, "--resume", *more, **options)

    def refuse(self, code, parts, *args, **options):
        """The program ends with `code`, and one line of its error names all `parts`."""
        done = self.quern(*args, **options)
        self.assertEqual(done.returncode, code, f"{args}\n{done.stderr}{done.stdout}")
        self.assertNotIn("Sanitizer", done.stderr)
        for part in parts:
            self.assertIn(str(part), done.stderr, f"{args}")
        return done

    def refuse_train(self, code, parts, *more, **where):
        """As refuse(); and no run folder came to be."""
        self.refuse(code, parts, *self.train_args(*more, **where))
        run = Path(where.get("run", self.run_dir))
        self.assertFalse(run.exists(), f"{run} was left behind")


def main():
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
