"""scripts/to_tensorboard.py, read back with TensorBoard's own reader. Skipped (exit status 77)
where no Python here can import tensorboard; what it says there is tested all the same."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import converted_run
from pythons import python_with

SCRIPT = "to_tensorboard.py"
PYTHON = python_with("tensorboard", "numpy")
READ = """
import json, sys
from tensorboard.backend.event_processing import event_accumulator
events = event_accumulator.EventAccumulator(sys.argv[1], {event_accumulator.SCALARS: 0})
events.Reload()
print(json.dumps({tag: [(x.wall_time, x.step, x.value) for x in events.Scalars(tag)]
                  for tag in events.Tags()["scalars"]}))
"""


def missing_library():
    done = converted_run.start_without("tensorboard", SCRIPT)
    assert done.returncode == 1 and "pip install tensorboard" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


class ToTensorboard(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-tensorboard-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.run_dir = converted_run.write(self.dir / "first")

    def convert(self, *args):
        done = converted_run.start(PYTHON, SCRIPT, *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def read(self, folder):
        """({step: {name: value}}, {step: wall time})."""
        done = subprocess.run([PYTHON, "-c", READ, folder], text=True, capture_output=True,
                              timeout=120, check=True)
        values, times = {}, {}
        for name, events in json.loads(done.stdout).items():
            for wall_time, step, value in events:
                self.assertNotIn(name, values.setdefault(step, {}))
                values[step][name] = value
                times[step] = wall_time
        return values, times

    def assert_same(self, found, expected):
        self.assertEqual({step: set(names) for step, names in found.items()},
                         {step: set(names) for step, names in expected.items()})
        for step, names in expected.items():
            for name, value in names.items():
                self.assertAlmostEqual(found[step][name], value, delta=1e-6 * abs(value), msg=name)

    def refuse(self, part, *args):
        done = converted_run.start(PYTHON, SCRIPT, *args)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_values_baselines_and_times(self):
        os.utime(self.run_dir / "log.jsonl", (1000, 1000))
        done = self.convert(self.run_dir)
        self.assertIn("lens.jsonl: 5 of 14 lines left out", done.stderr)
        folder = self.run_dir / "tensorboard"
        self.assertEqual(done.stdout, f"{folder}\n")
        values, times = self.read(folder)
        self.assert_same(values, converted_run.VALUES)
        for step, seconds in ((0, 0), (1, 1), (2, 1.5), (3, 2.5)):
            self.assertAlmostEqual(times[step], 1000 - converted_run.SECONDS + seconds, places=3)
        self.assert_same(self.read(folder / "baseline")[0], converted_run.BASELINES)

    def test_another_call_replaces_what_was_written(self):
        self.convert(self.run_dir)
        other = self.run_dir / "tensorboard" / "events.out.tfevents.1.another"
        other.touch()
        with open(self.run_dir / "log.jsonl", "a") as file:
            file.write('{"step":4,"tokens":256,"loss":3.5}\n')
        self.convert(self.run_dir)
        values, _ = self.read(self.run_dir / "tensorboard")
        self.assert_same(values, {**converted_run.VALUES,
                                  4: {"train/loss": 3.5, "train/tokens": 256}})
        self.assertTrue(other.exists())

    def test_several_runs(self):
        second = converted_run.write(self.dir / "second")
        self.convert(self.run_dir, second, "--logdir", self.dir / "curves")
        for name in ("first", "second"):
            self.assert_same(self.read(self.dir / "curves" / name)[0], converted_run.VALUES)
        self.assertFalse((self.run_dir / "tensorboard").exists())
        same = converted_run.write(self.dir / "elsewhere" / "first")
        self.refuse("would both go into", self.run_dir, same, "--logdir", self.dir / "both")

    def test_a_log_alone(self):
        for name in ("lens.jsonl", "inspect.jsonl"):
            (self.run_dir / name).unlink()
        self.convert(self.run_dir)
        values, _ = self.read(self.run_dir / "tensorboard")
        self.assertEqual(values[3]["eval/val_loss"], 4.125)
        self.assertFalse((self.run_dir / "tensorboard" / "baseline").exists())

    def test_nothing_to_convert(self):
        self.refuse("no such folder", self.dir / "absent")
        self.refuse("is no run", self.dir)
        for name in ("log.jsonl", "lens.jsonl", "inspect.jsonl"):
            (self.run_dir / name).write_text("")
        self.refuse("no figures yet", self.run_dir)
        shutil.rmtree(self.run_dir)
        converted_run.write(self.run_dir)
        self.refuse("occupied", self.run_dir, "--logdir", self.run_dir / "config.json/occupied")


if __name__ == "__main__":
    missing_library()
    if not PYTHON:
        print("skipped: no python3 with tensorboard")
        raise SystemExit(77)
    unittest.main(argv=["test_to_tensorboard.py", "-v"])
