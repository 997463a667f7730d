"""The lens's self-test, one seed: every experiment holds, and the verdicts are on record."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from program import QUERN, SANITIZED, main

# Under sanitizers, which make it many times slower, the one that trains least.
EXPERIMENTS = ["T4"] if SANITIZED else ["T1", "T2", "T3", "T4", "T5"]


class SelfTest(unittest.TestCase):
    def test_every_check_holds(self):
        with tempfile.TemporaryDirectory(prefix="quern-") as folder:
            verdicts, kept = Path(folder, "verdicts.json"), Path(folder, "planted")
            done = subprocess.run(
                [QUERN, "lens", "selftest", "--seed", "1", "--only", ",".join(EXPERIMENTS),
                 "--json", verdicts, "--keep", kept], text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "OMP_WAIT_POLICY": "passive"})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            found = json.loads(verdicts.read_text())
            self.assertTrue((kept / "t4" / "run" / "log.jsonl").exists())
        self.assertEqual(found["failed"], 0)
        self.assertEqual(found["passed"], len(found["checks"]))
        self.assertEqual(sorted({check["experiment"] for check in found["checks"]}), EXPERIMENTS)
        for check in found["checks"]:
            with self.subTest(check["what"]):
                self.assertTrue(check["passed"])
                self.assertIsInstance(check["measured"], (int, float))
                if check["least"] is not None:
                    self.assertGreaterEqual(check["measured"], check["least"])
                if check["most"] is not None:
                    self.assertLessEqual(check["measured"], check["most"])


if __name__ == "__main__":
    main()
