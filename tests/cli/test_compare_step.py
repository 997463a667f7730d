"""bench/compare_step.py: what stands in its table, and which records it refuses."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "compare_step.py"


def quern_record(**change):
    """100,000 tokens/s of a model of 1 GFLOP a token."""
    return {"bench": "step", "version": "0", "device": "Sample GPU", "model": "gpt2-124m",
            "precision": "bf16", "batch_size": 16, "seq_len": 1024, "grad_accum": 1,
            "step_seconds": 0.16384, "tokens_per_s": 100000, "flops_per_token": 1e9,
            "gemm_flops_per_s": 2e14, "share": 0.5, "operations": [], **change}


def torch_record(**change):
    """The same at 80,000 tokens/s, on a card of 400 TFLOP/s."""
    return {**quern_record(step_seconds=0.2048, tokens_per_s=80000, share=0.4),
            "bench": "step_torch", "torch": "2.9", "scheme": "autocast", "compile": True,
            "attention": "flash", "optimizer": "fused AdamW", "peak_flops_per_s": 4e14,
            "memory_bytes": 25 * 10**9, **change}


class Compare(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-compare-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def run_script(self, records, *more):
        paths = []
        for i, record in enumerate(records):
            paths.append(self.dir / f"record-{i}.json")
            paths[-1].write_text(record if isinstance(record, str) else json.dumps(record))
        return subprocess.run([sys.executable, "-B", SCRIPT, *paths, *more], text=True,
                              capture_output=True, timeout=120)

    def table(self, records, *more, code=0):
        """The lines of the table as lists of cells."""
        out = self.dir / "table.md"
        done = self.run_script(records, "--markdown", out, *more)
        self.assertEqual(done.returncode, code, done.stderr)
        lines = [x for x in out.read_text().splitlines() if x.startswith("|")]
        return [[cell.strip() for cell in x.strip("|").split("|")] for x in lines[2:]]

    def refuse(self, records, *parts):
        done = self.run_script(records)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertNotIn("Traceback", done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_both_programs(self):
        ratios = self.dir / "ratios.json"
        rows = self.table([quern_record(), torch_record()], "--json", ratios)
        self.assertEqual(rows, [["gpt2-124m", "bf16", "16", "1024", "1", "163.84", "204.80",
                                 "100000", "80000", "25.0%", "20.0%", "0.50", "0.40", "25.00",
                                 "1.250"]])
        (ratio,) = json.loads(ratios.read_text())
        self.assertAlmostEqual(ratio["speed_over_torch"], 1.25)

    def test_one_program_alone(self):
        (row,) = self.table([quern_record()], code=3)
        self.assertEqual(row[5:], ["163.84", "-", "100000", "-", "-", "-", "0.50", "-", "-", "-"])
        (row,) = self.table([torch_record(peak_flops_per_s=None)], code=3)
        self.assertEqual(row[9:11], ["-", "-"])

    def test_other_shapes_stand_apart(self):
        for change in ({"batch_size": 8}, {"seq_len": 512}, {"grad_accum": 2},
                       {"precision": "fp32"}, {"model": "gpt2-355m"}):
            with self.subTest(change):
                self.assertEqual(len(self.table([quern_record(**change), torch_record()],
                                                code=3)), 2)

    def test_the_best_of_several(self):
        slow = torch_record(step_seconds=0.4, tokens_per_s=40960)
        for records in ([slow, torch_record()], [torch_record(), slow]):
            (row,) = self.table([quern_record(), *records])
            self.assertEqual(row[-1], "1.250")

    def test_a_peak_that_is_given(self):
        (row,) = self.table([quern_record(), torch_record()], "--peak", "200")
        self.assertEqual(row[9:11], ["50.0%", "40.0%"])

    def test_a_recorded_result(self):
        rows = self.table([{"commit": "0", "result": quern_record()}, torch_record()])
        self.assertEqual(len(rows), 1)

    def test_a_cpu_by_either_name(self):
        self.table([quern_record(device="AMD EPYC, 2 threads, AVX2"), torch_record(device="cpu")])
        self.refuse([quern_record(), torch_record(device="cpu")], "different devices")

    def test_records_that_do_not_go_together(self):
        self.refuse([quern_record(), torch_record(device="Another GPU")], "Another GPU",
                    "Sample GPU")
        self.refuse([quern_record(), torch_record(flops_per_token=1.001e9)], "not the same model")
        self.refuse([torch_record(), torch_record(seq_len=512, peak_flops_per_s=3e14)],
                    "different peaks")

    def test_files_that_are_no_records(self):
        for text in ("", "[]", "{}", '{"bench": "attention"}', '{"bench": "step"}',
                     json.dumps(quern_record(step_seconds=0)),
                     json.dumps(torch_record(tokens_per_s=float("nan")))):
            with self.subTest(text):
                self.refuse([text], "record-0.json")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
