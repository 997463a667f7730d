"""bench/compare_step.py: what stands in its tables, which records it refuses, and how each verdict
passes, fails and abstains."""

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


H100 = "NVIDIA H100 80GB HBM3"
MODELS = {"gpt2-124m": (32, 0.8e9, 400000), "qwen2.5-0.5b": (16, 3.1e9, 150000),
          "qwen2.5-1.5b": (8, 9.5e9, 58000)}


def operation(op, seconds, flops=0.0, bytes=0.0, floor_seconds=0.0):
    return {"op": op, "calls": 1, "seconds": seconds, "flops": flops, "bytes": bytes,
            "floor_seconds": floor_seconds}


def shape_of(model, speed=1.0):
    """32 sequences of 1024 tokens a step on one H100."""
    batch, flops, rate = MODELS[model]
    return {"device": H100, "model": model, "batch_size": batch, "grad_accum": 32 // batch,
            "step_seconds": 32 * 1024 / (speed * rate), "tokens_per_s": speed * rate,
            "flops_per_token": flops, "peak_flops_per_s": 989.5e12}


def quern_on_h100(model):
    """Every goal met: the bandwidth by what takes a tenth of the step, but not by what takes
    less than a hundredth."""
    shape = shape_of(model)
    t = shape["step_seconds"]
    return quern_record(**shape, idle=0.01, idle_source="traced", operations=[
        operation("gemm", 0.8 * t, flops=1e12, bytes=1e9, floor_seconds=0.5 * t),
        operation("adamw", 0.1 * t, bytes=1e9, floor_seconds=0.09 * t),
        operation("copy", 0.009 * t, bytes=1e6, floor_seconds=0.001 * t),
        operation("sum", 0.0)])


class CompareTest(unittest.TestCase):
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


class Tables(CompareTest):
    """Of records of one model, which leave most goals open."""

    def table(self, records, *more, code=3):
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
        (ratio,) = json.loads(ratios.read_text())["ratios"]
        self.assertAlmostEqual(ratio["speed_over_torch"], 1.25)

    def test_one_program_alone(self):
        (row,) = self.table([quern_record()])
        self.assertEqual(row[5:], ["163.84", "-", "100000", "-", "-", "-", "0.50", "-", "-", "-"])
        (row,) = self.table([torch_record(peak_flops_per_s=None)])
        self.assertEqual(row[9:11], ["-", "-"])

    def test_other_shapes_stand_apart(self):
        for change in ({"batch_size": 8}, {"seq_len": 512}, {"grad_accum": 2},
                       {"precision": "fp32"}, {"model": "gpt2-355m"}):
            with self.subTest(change):
                self.assertEqual(len(self.table([quern_record(**change), torch_record()])), 2)

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

    def test_the_peak_that_quern_names_comes_first(self):
        (row,) = self.table([quern_record(peak_flops_per_s=2e14), torch_record()])
        self.assertEqual(row[9:11], ["50.0%", "40.0%"])

    def test_breakdown(self):
        record = quern_record(idle=0.015, operations=[
            operation("gemm", 0.1, flops=2e13, bytes=1e9, floor_seconds=0.08),
            operation("adamw", 0.016384, bytes=3.2768e10, floor_seconds=0.014)])
        rows = self.table([record])
        self.assertEqual(rows[1][:2], ["operation", "calls"])
        self.assertEqual(rows[3:], [
            ["gemm", "1", "100.000", "61.0%", "80.000", "0.80", "10", "200"],
            ["adamw", "1", "16.384", "10.0%", "14.000", "0.85", "2000", "-"]])
        text = self.dir / "table.txt"
        done = self.run_script([record], "--text", text)
        self.assertEqual(done.stdout, text.read_text())
        self.assertIn("163.8 ms a step, GPU idle 1.5% (estimated)", done.stdout)

    def test_kernels_below_their_operation(self):
        kernel = {"kernel": "adamw_kernel", "launches": 2, "seconds": 0.016}
        record = quern_record(idle=0.015, idle_source="traced", operations=[
            {**operation("gemm", 0.1, flops=2e13), "kernels": [
                {"kernel": "nvjet_a", "launches": 12, "seconds": 0.06},
                {"kernel": "nvjet_b", "launches": 1, "seconds": 0.03}]},
            {**operation("adamw", 0.016384), "kernels": [kernel]}],
            other_kernels=[{"kernel": "memcpy", "launches": 1, "seconds": 0.0016384}])
        rows = self.table([record])[3:]
        self.assertEqual([row[:4] for row in rows], [
            ["gemm", "1", "100.000", "61.0%"], ["- nvjet_a", "12", "60.000", "36.6%"],
            ["- nvjet_b", "1", "30.000", "18.3%"], ["adamw", "1", "16.384", "10.0%"],
            ["- adamw_kernel", "2", "16.000", "9.8%"], ["outside of operations", "", "", ""],
            ["- memcpy", "1", "1.638", "1.0%"]])
        self.assertIn("GPU idle 1.5% (traced)", self.run_script([record]).stdout)

    def test_files_that_are_no_records(self):
        for text in ("", "[]", "{}", '{"bench": "attention"}', '{"bench": "step"}',
                     json.dumps(quern_record(step_seconds=0)),
                     json.dumps(quern_record(idle="none")),
                     json.dumps(quern_record(operations=[{"op": "gemm"}])),
                     json.dumps(quern_record(operations=[operation("gemm", float("nan"))])),
                     json.dumps(quern_record(operations=[operation("gemm", 1, bytes=-1)])),
                     json.dumps(quern_record(operations=[{**operation("gemm", 1),
                                                          "kernels": [{"kernel": "k"}]}])),
                     json.dumps(quern_record(other_kernels=[{"kernel": 1, "launches": 1,
                                                             "seconds": 1}])),
                     json.dumps(quern_record(other_kernels=[{"kernel": "k", "launches": 1,
                                                             "seconds": -1}])),
                     json.dumps(torch_record(tokens_per_s=float("nan")))):
            with self.subTest(text):
                self.refuse([text], "record-0.json")


NAMES = ("GPT2", "QWEN", "UTILISATION", "TOKENS", "FLOORS", "IDLE")


class Verdicts(CompareTest):
    def setUp(self):
        super().setUp()
        self.quern = {model: quern_on_h100(model) for model in MODELS}
        self.torch = {model: torch_record(**shape_of(model, speed=0.9)) for model in MODELS}

    def check(self, code, *more, **expected):
        """The exit status, and the verdicts that differ from PASS."""
        out = self.dir / "verdicts.json"
        done = self.run_script([*self.quern.values(), *self.torch.values()], "--json", out, *more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        found = [figure["verdict"] for figure in json.loads(out.read_text())["figures"]]
        self.assertEqual(found, [expected.get(name, "PASS") for name in NAMES], done.stdout)
        for state in found:
            self.assertIn(state, done.stdout)
        return done.stdout

    def test_all_goals_met(self):
        self.assertIn("worst 0.900 at", self.check(0))

    def test_as_fast_as_pytorch_is_not_faster(self):
        self.torch["gpt2-124m"].update(shape_of("gpt2-124m"))
        self.check(1, GPT2="FAIL")
        self.torch["qwen2.5-1.5b"].update(shape_of("qwen2.5-1.5b", speed=1.01))
        self.check(1, GPT2="FAIL", QWEN="FAIL")

    def test_slower_than_pytorch_with_the_model_that_has_no_goal(self):
        self.torch["qwen2.5-0.5b"].update(shape_of("qwen2.5-0.5b", speed=2))
        self.check(0)

    def test_what_pytorch_was_not_measured_on(self):
        del self.torch["gpt2-124m"]
        self.assertIn("no step of PyTorch", self.check(3, GPT2="NOT MEASURED"))

    def test_what_quern_was_not_measured_on(self):
        del self.quern["gpt2-124m"]
        out = self.check(3, GPT2="NOT MEASURED", FLOORS="NOT MEASURED", IDLE="NOT MEASURED")
        self.assertIn("no step of quern", out)
        self.assertIn("no profile on a GPU of gpt2-124m", out)

    def test_another_batch_of_pytorch(self):
        self.torch["gpt2-124m"]["batch_size"] = 16
        self.assertIn("different batches", self.check(3, GPT2="NOT MEASURED"))

    def test_pytorch_at_less_than_its_best(self):
        self.torch["gpt2-124m"]["compile"] = False
        self.torch["qwen2.5-1.5b"]["attention"] = "math"
        self.check(3, GPT2="NOT MEASURED", QWEN="NOT MEASURED")

    def test_other_lengths_and_precisions_are_not_judged(self):
        for change in ({"seq_len": 512}, {"precision": "fp32"}):
            with self.subTest(change):
                self.setUp()
                for records in (self.quern, self.torch):
                    records["gpt2-124m"].update(change)
                self.check(3, GPT2="NOT MEASURED", FLOORS="NOT MEASURED", IDLE="NOT MEASURED")

    def test_goals_of_one_h100(self):
        self.quern["qwen2.5-1.5b"].update(tokens_per_s=56500)  # 54.2 % of the peak
        self.check(1, UTILISATION="FAIL")
        self.quern["qwen2.5-1.5b"].update(tokens_per_s=54900)
        self.check(1, UTILISATION="FAIL", TOKENS="FAIL")

    def test_goals_of_one_h100_on_another_card(self):
        for device in ("NVIDIA H200", "NVIDIA H100 PCIe", "NVIDIA H100 NVL", "Sample GPU"):
            with self.subTest(device):
                for record in (*self.quern.values(), *self.torch.values()):
                    record["device"] = device
                out = self.check(3, UTILISATION="NOT MEASURED", TOKENS="NOT MEASURED")
                self.assertIn(f"this is {device}", out)

    def test_the_best_batch_counts_for_them(self):
        slow = shape_of("qwen2.5-1.5b", speed=0.5)
        self.quern["small"] = {**quern_on_h100("qwen2.5-1.5b"), **slow, "batch_size": 1}
        self.check(0)

    def test_without_a_peak(self):
        for record in (*self.quern.values(), *self.torch.values()):
            record["peak_flops_per_s"] = 0
        self.check(3, UTILISATION="NOT MEASURED")
        self.check(0, "--peak", "989.5")
        self.check(1, "--peak", "1200", UTILISATION="FAIL")

    def test_an_operation_far_from_its_floor(self):
        for model in MODELS:
            with self.subTest(model):
                self.setUp()
                adamw = self.quern[model]["operations"][1]
                adamw["floor_seconds"] = 0.84 * adamw["seconds"]
                self.assertIn(f"worst 0.840 at {model} adamw", self.check(1, FLOORS="FAIL"))

    def test_a_hundredth_of_the_step_is_judged(self):
        copy = self.quern["gpt2-124m"]["operations"][2]
        copy["seconds"] = 0.011 * self.quern["gpt2-124m"]["step_seconds"]
        self.check(1, FLOORS="FAIL")

    def test_an_idle_gpu(self):
        self.quern["qwen2.5-0.5b"]["idle"] = 0.02
        self.assertIn("worst 0.020 at qwen2.5-0.5b", self.check(1, IDLE="FAIL"))

    def test_an_idle_share_that_is_estimated(self):
        for source in ({"idle_source": "estimated"}, {}):
            with self.subTest(source):
                self.setUp()
                del self.quern["qwen2.5-0.5b"]["idle_source"]
                self.quern["qwen2.5-0.5b"].update(source)
                out = self.check(3, IDLE="NOT MEASURED")
                self.assertIn("no trace on a GPU of qwen2.5-0.5b", out)
        # Estimates are too small: what is measured decides beside them.
        self.quern["qwen2.5-0.5b"]["idle"] = 0.5
        self.check(3, IDLE="NOT MEASURED")
        self.quern["gpt2-124m"]["idle"] = 0.5
        self.check(1, IDLE="FAIL")

    def test_a_miss_outweighs_what_is_missing(self):
        del self.quern["gpt2-124m"]
        self.quern["qwen2.5-0.5b"]["idle"] = 0.5
        self.check(1, GPT2="NOT MEASURED", FLOORS="NOT MEASURED", IDLE="FAIL")

    def test_on_a_cpu_nothing_is_judged(self):
        for record in self.quern.values():
            record.update(idle=None, device="AMD EPYC, 2 threads, AVX2")
        for record in self.torch.values():
            record.update(device="cpu", attention="the CPU's")
        self.check(3, **{name: "NOT MEASURED" for name in NAMES})


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
