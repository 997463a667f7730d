"""bench/lens_cost.py on runs whose times are known, and once on quern itself."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

from program import MODEL, QUERN, ProgramTest, write_json

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "lens_cost.py"

# Stands for quern: a step takes STEP seconds, a sample COST seconds more, and the machine slows down
# by DRIFT of a step in each run.
STANDIN = """#!{python}
import json, pathlib, sys
args = sys.argv[2:]
run, here = pathlib.Path(args[args.index("--run") + 1]), pathlib.Path(__file__).parent
every, steps = (int(args[args.index(name) + 1]) for name in ("--lens-every", "--steps"))
order = here / "order"
runs = order.read_text().split() if order.exists() else []
order.write_text(" ".join([*runs, str(every)]))
run.mkdir()
(run / "run.json").write_text('{{"environment": {{"device": "a processor"}}}}')
seconds, log = 0, open(run / "log.jsonl", "w")
for step in range(1, steps + 1):
    seconds += {step} * (1 + {drift} * len(runs)) + ({cost} if every and step % every == 0 else 0)
    print(json.dumps({{"step": step, "loss": 5, "seconds": seconds}}), file=log)
sys.exit({status})
"""


class LensCost(ProgramTest):
    def stand_in(self, step=0.05, cost=0, drift=0, status=0):
        path = self.dir / "quern"
        path.write_text(STANDIN.format(python=sys.executable, step=step, cost=cost, drift=drift,
                                       status=status))
        path.chmod(0o755)
        return path

    def measure(self, code, *args):
        record = self.dir / "record.json"
        done = subprocess.run([sys.executable, "-B", SCRIPT, "--json", record, *map(str, args)],
                              text=True, capture_output=True, timeout=240)
        self.assertIn(done.returncode, code if isinstance(code, tuple) else (code,), done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.stdout, self.stderr = done.stdout, done.stderr
        return json.loads(record.read_text()) if record.exists() else None

    def test_the_cost_is_of_all_steps(self):
        record = self.measure(0, "--quern", self.stand_in(cost=0.004))
        self.assertAlmostEqual(record["cost"], 0.004 / 0.8)
        self.assertAlmostEqual(record["step_seconds"], 0.05)
        self.assertEqual(record["pairs"], 24)
        self.assertRegex(self.stdout, r"PASS .*every 16 steps costs < 1% of their time: \+0.50%")

    def test_above_the_goal(self):
        record = self.measure(1, "--quern", self.stand_in(cost=0.012))
        self.assertAlmostEqual(record["cost"], 0.015)

    def test_drift_of_the_machine_is_no_cost(self):
        record = self.measure(3, "--quern", self.stand_in(cost=0.004, drift=0.02))
        self.assertEqual((self.dir / "order").read_text(), "0 16 16 0")
        self.assertTrue(record["cost_low"] < 0 < 0.01 < record["cost_high"])
        self.assertIn("NOT MEASURED", self.stdout)

    def test_a_run_that_fails(self):
        self.measure(2, "--quern", self.stand_in(status=1))
        self.assertIn("status 1", self.stderr)

    def test_steps_too_short_for_the_log(self):
        self.measure(2, "--quern", self.stand_in(step=0.003))
        self.assertIn("16 steps took 0.048 s", self.stderr)

    def test_wrong_options(self):
        self.measure(2, "--quern", self.stand_in(), "--blocks", 2)
        self.assertIn("6 or more", self.stderr)
        self.measure(2, "--quern", self.stand_in(), "--every", 0)
        self.assertIn("--every is 0", self.stderr)

    def test_quern_itself(self):
        model = write_json(self.dir / "model.json", MODEL)
        folder = self.dir / "work"
        folder.mkdir()
        record = self.measure((0, 1, 3), "--quern", QUERN, "--model", model, "--backend", "cpu",
                              "--batch-size", 128, "--seq-len", 64, "--blocks", 3, "--every", 8,
                              "--folder", folder)
        self.assertEqual((record["bench"], record["pairs"], record["every"]), ("lens", 6, 8))
        self.assertGreater(record["sampled_step_seconds"], 0)
        self.assertEqual(list(folder.iterdir()), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
