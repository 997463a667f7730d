"""kill -9 at any moment loses nothing that was saved and leaves no part of a save, and a resumed run
goes on bit for bit."""

import os
import random
import subprocess
import time
from functools import partial

from program import (MODEL, QUERN, ProgramTest, checkpoints, leftovers, main, training_lines,
                     write_json)

# Large enough that a save takes as long as several steps.
WIDE = {**MODEL, "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 128}
FILES = ["config.json", "model.safetensors", "optimizer.safetensors", "state.json"]


class Kill(ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = write_json(self.dir / "wide.json", WIDE)
        seed = int(os.environ.get("QUERN_TEST_SEED", time.time()))
        print(f"QUERN_TEST_SEED={seed} repeats these moments")
        self.random = random.Random(seed)

    def args(self, run, *more):
        return self.train_args("--steps", 60, "--save-every", 1, "--eval-every", 7, *more,
                               run=run, model=self.model)

    def kill_once(self, moment, *more):
        """Starts the run and kills it at `moment`; whether the run came to its end before."""
        child = subprocess.Popen([QUERN, *map(str, self.args(self.run_dir, "--resume", *more))],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, env=self.environment())
        moment(child)
        child.kill()
        _, errors = child.communicate(timeout=60)
        self.assertIn(child.returncode, (0, -9), errors)
        return child.returncode == 0

    def at_random(self, child):
        time.sleep(self.random.uniform(0.01, 0.12))

    def while_saving(self, child):
        """When a save is under way, or a removal."""
        self.when_there("checkpoints/tmp-*", child)

    def when_there(self, pattern, child):
        """Soon after the run's folder has a match of the pattern."""
        before = time.monotonic()
        while child.poll() is None and time.monotonic() < before + 20:
            if any(self.run_dir.glob(pattern)):
                time.sleep(self.random.choice([0, 0.001, 0.003]))
                return

    def assert_checkpoints_are_whole(self):
        for step in checkpoints(self.run_dir):
            folder = self.run_dir / "checkpoints" / f"step-{step}"
            for name in FILES:
                self.assertTrue((folder / name).exists(), f"{folder}/{name}")

    def test_any_moment(self):
        reference = self.dir / "reference"
        self.succeed(*self.args(reference))
        kills = cut_saves = newest = 0
        finished = False
        while not finished and kills < 80:
            finished = self.kill_once(self.while_saving if kills % 2 else self.at_random)
            kills += not finished
            cut_saves += bool(leftovers(self.run_dir / "checkpoints"))
            self.assert_checkpoints_are_whole()
            saved = checkpoints(self.run_dir)
            self.assertGreaterEqual(saved[-1] if saved else 0, newest, "a saved step was lost")
            newest = saved[-1] if saved else 0
        self.resume()
        print(f"{kills} kills, {cut_saves} of them in a save", end=" ", flush=True)
        self.assertGreaterEqual(kills, 5)
        self.assertGreaterEqual(cut_saves, 2)
        self.assertEqual(training_lines(self.run_dir), training_lines(reference))
        self.assertEqual(checkpoints(self.run_dir), [59, 60])
        self.assertEqual(leftovers(self.run_dir), [])
        for name in FILES[:3]:
            path = f"checkpoints/step-60/{name}"
            self.assertEqual((self.run_dir / path).read_bytes(), (reference / path).read_bytes())

    def probes(self, run=None):
        return {int(p.name[5:]) for p in ((run or self.run_dir) / "probes").glob("step-*")}

    def assert_probes_are_those_of(self, reference):
        for step in self.probes():
            for path in (reference / f"probes/step-{step}").iterdir():
                ours = self.run_dir / f"probes/step-{step}" / path.name
                self.assertEqual(ours.read_bytes(), path.read_bytes(), ours)

    def test_while_probing(self):
        reference = self.dir / "reference"
        self.succeed(*self.args(reference, "--lens-probes", 1))
        expected = self.probes(reference)
        self.assertEqual(expected, {0, 1, 2, 4, 8, 16, 32, 60})
        kills = cut = 0
        finished = False
        while not finished and kills < 20:
            target = self.random.choice(sorted(expected - self.probes())[:3] or [60])
            finished = self.kill_once(partial(self.when_there, f"probes/tmp-step-{target}"),
                                      "--lens-probes", 1)
            kills += not finished
            cut += bool(leftovers(self.run_dir / "probes"))
            self.assert_probes_are_those_of(reference)
        self.resume("--lens-probes", 1)
        print(f"{kills} kills, {cut} of them in a probe", end=" ", flush=True)
        self.assertGreaterEqual(cut, 2)
        self.assertEqual(self.probes(), expected)
        self.assertEqual(leftovers(self.run_dir), [])
        self.assert_probes_are_those_of(reference)
        self.assertEqual(training_lines(self.run_dir), training_lines(reference))


if __name__ == "__main__":
    main()
