"""scripts/shuffle_words.py: the same words as often, in lines as long, in another order."""

import collections
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "harness"))
from program import shard_bytes  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "scripts" / "shuffle_words.py"
PIECES = ["<unk>", "<s>", "<0x0A>", "▁the", "▁mill", "▁grin", "ds", ".", "<0xC3>", "<0xA9>"]
LINES = [[3, 4, 5, 6, 7, 2], [3, 5, 6, 3, 4, 2], [2], [4, 4, 4, 8, 9, 7, 2]]
TEXT = ["the mill grinds.", "the grinds the mill", "", "mill mill millé."]


class ShuffleWords(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="quern-")
        self.addCleanup(temporary.cleanup)
        self.data, self.out = Path(temporary.name), Path(temporary.name, "out.txt")
        vocabulary = {"model": {"vocab": {piece: i for i, piece in enumerate(PIECES)}},
                      "added_tokens": [{"id": 0}, {"id": 1}]}
        (self.data / "tokenizer.json").write_text(json.dumps(vocabulary))
        (self.data / "train_000000.bin").write_bytes(shard_bytes(sum(LINES[:3] * 9, [])))
        (self.data / "val_000000.bin").write_bytes(shard_bytes(LINES[3]))

    def shuffle(self, *more):
        return subprocess.run([sys.executable, SCRIPT, self.data, self.out, *more], text=True,
                              capture_output=True)

    def test_words_and_lines_stay_their_order_does_not(self):
        self.assertEqual(self.shuffle().returncode, 0)
        lines, before = self.out.read_text().split("\n"), TEXT[:3] * 9 + TEXT[3:]
        count = [len(line.split()) for line in lines]
        self.assertEqual(count[:len(before)], [len(line.split()) for line in before])
        self.assertEqual(sum(count[len(before):]), 0)
        words = collections.Counter(" ".join(lines).split())
        self.assertEqual(words, collections.Counter(" ".join(before).split()))
        self.assertEqual(words["millé."], 1)
        self.assertNotEqual(lines[:len(before)], before)

    def test_a_seed_is_an_order(self):
        found = []
        for seed in ("1", "1", "2"):
            self.assertEqual(self.shuffle("--seed", seed).returncode, 0)
            found.append(self.out.read_text())
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])

    def test_refuses_what_is_no_data_folder(self):
        (self.data / "train_000000.bin").write_bytes(shard_bytes([3], magic=17))
        self.assertIn("magic 17", self.shuffle().stderr)
        (self.data / "train_000000.bin").write_bytes(shard_bytes([3], count=5))
        self.assertIn("for 5 tokens", self.shuffle().stderr)
        (self.data / "tokenizer.json").unlink()
        done = self.shuffle()
        self.assertEqual(done.returncode, 1)
        self.assertIn("tokenizer.json", done.stderr)
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
