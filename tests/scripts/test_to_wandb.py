"""scripts/to_wandb.py offline, its file read back with wandb's own messages. Skipped (exit status
77) where no Python here can import wandb; what it says there is tested all the same."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import converted_run
from pythons import python_with

SCRIPT = "to_wandb.py"
PYTHON = python_with("wandb", "numpy")

# The file is a log of LevelDB's: after 7 bytes, blocks of 32 KiB of records with checksum, length
# and kind (whole, first, middle, last), each a wandb_internal_pb2.Record.
READ = """
import json, struct, sys
from wandb.proto.wandb_internal_pb2 import Record
BLOCK, HEADER, WHOLE, FIRST, LAST = 32768, 7, 1, 2, 4
content, place, part = open(sys.argv[1], "rb").read(), 7, b""
found = {"rows": [], "config": {}}
while place + HEADER <= len(content):
    if BLOCK - place % BLOCK < HEADER:
        place += BLOCK - place % BLOCK
        continue
    _, length, kind = struct.unpack_from("<IHB", content, place)
    piece = content[place + HEADER:place + HEADER + length]
    place += HEADER + length
    part = piece if kind in (WHOLE, FIRST) else part + piece
    if kind in (WHOLE, LAST):
        record = Record.FromString(part)
        if record.WhichOneof("record_type") == "history":
            found["rows"].append({"/".join(item.nested_key) or item.key:
                                  json.loads(item.value_json) for item in record.history.item})
        elif record.WhichOneof("record_type") == "run":
            found["name"], found["project"] = record.run.display_name, record.run.project
            found["config"] |= {item.key: json.loads(item.value_json)
                                for item in record.run.config.update}
print(json.dumps(found))
"""


def missing_library():
    done = converted_run.start_without("wandb", SCRIPT)
    assert done.returncode == 1 and "pip install wandb" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def expected_rows():
    rows = {step: dict(names) for step, names in converted_run.VALUES.items()}
    for step, names in converted_run.BASELINES.items():
        rows[step] |= {name.replace("lens/", "baseline/"): value for name, value in names.items()}
    return rows


class ToWandb(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-wandb-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.run_dir = converted_run.write(self.dir / "first")

    def read(self, folder):
        file, = Path(folder).glob("*.wandb")
        done = subprocess.run([PYTHON, "-c", READ, file], text=True, capture_output=True,
                              timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refuse(self, part, *args):
        done = converted_run.start(PYTHON, SCRIPT, *args)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_rows_and_config(self):
        done = converted_run.start(PYTHON, SCRIPT, self.run_dir, "--project", "attention")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("lens.jsonl: 5 of 14 lines left out", done.stderr)
        folder = Path(done.stdout.strip())
        self.assertEqual(folder.parent, self.run_dir / "wandb")
        found = self.read(folder)
        self.assertEqual((found["name"], found["project"]), ("first", "attention"))
        rows = {row["_step"]: {name: value for name, value in row.items() if name[0] != "_"}
                for row in found["rows"]}
        self.assertEqual(rows, expected_rows())
        self.assertEqual(found["config"]["lr"], 0.002)
        self.assertEqual(found["config"]["environment"]["device"], "a processor")
        self.assertEqual(found["config"]["config"]["num_hidden_layers"], 2)

    def test_several_runs(self):
        second = converted_run.write(self.dir / "second")
        done = converted_run.start(PYTHON, SCRIPT, self.run_dir, second)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = [self.read(folder) for folder in done.stdout.split()]
        self.assertEqual([x["name"] for x in found], ["first", "second"])
        self.assertEqual([len(x["rows"]) for x in found], [4, 4])

    def test_refusals(self):
        self.refuse("no such folder", self.dir / "absent")
        self.refuse("is no run", self.dir)
        self.refuse("a/b", self.run_dir, "--project", "a/b")
        for name in ("log.jsonl", "lens.jsonl", "inspect.jsonl"):
            (self.run_dir / name).write_text("")
        self.refuse("no figures yet", self.run_dir)


if __name__ == "__main__":
    missing_library()
    if not PYTHON:
        print("skipped: no python3 with wandb")
        sys.exit(77)
    unittest.main(argv=["test_to_wandb.py", "-v"])
