"""tests/ptxas_report.py over a small tree, with a stand-in for nvcc: what it passes, what it fails
on, and what it says then."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "ptxas_report.py"
REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5scalePfi' for 'sm_{arch}'
ptxas info    : Function properties for _Z5scalePfi
    0 bytes stack frame, {spilled} bytes spill stores, {spilled} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 24 bytes smem, 380 bytes cmem[0]
"""
ROW = "| `scale` | sm_80 | 32 | 24 | 0 |"


class PtxasReport(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-ptxas-"))
        self.addCleanup(shutil.rmtree, self.dir)
        for folder in ["tests", "docs", "kernels/cuda/ops", "include", "build/ops"]:
            (self.dir / folder).mkdir(parents=True)
        self.script = Path(shutil.copy(SCRIPT, self.dir / "tests"))
        (self.dir / "kernels/cuda/ops/scale.cu").touch()
        self.table = self.dir / "docs/ptxas.md"
        self.keep("scale")
        self.compiler()

    def keep(self, source, arch=80, registers=32, spilled=0):
        """What a build keeps of a source."""
        report = self.dir / f"build/ops/{source}.cu.o.ptxas"
        report.write_text(REPORT.format(arch=arch, registers=registers, spilled=spilled))

    def compiler(self, registers=32, spilled=0, version="13.0.1"):
        """A compiler that finds that of every kernel; its ptxas speaks on stderr."""
        text = REPORT.format(arch="${arch#-arch=sm_}", registers=registers, spilled=spilled)
        self.nvcc = self.dir / "nvcc"
        self.nvcc.write_text("#!/bin/bash\n"
                             f'[ "$1" != --version ] || {{ echo "release, V{version}"; exit; }}\n'
                             'for a; do case $a in -arch=*) arch=$a ;; esac; done\n'
                             f"cat >&2 <<END\n{text}END\n")
        self.nvcc.chmod(0o755)

    def run_script(self, *args):
        return subprocess.run([sys.executable, "-B", self.script, "--nvcc", self.nvcc, *args],
                              text=True, capture_output=True, timeout=60)

    def check(self):
        return self.run_script("--reports", self.dir / "build")

    def write(self):
        done = self.run_script("--write", "80", "90")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_what_was_written_passes(self):
        self.write()
        text = self.table.read_text()
        self.assertIn(ROW, text)
        self.assertIn(ROW.replace("80", "90"), text)
        self.assertIn("nvcc 13.0.1.", text)
        self.assertEqual(self.check().returncode, 0)

    def test_a_kernel_that_the_table_has_otherwise(self):
        self.write()
        self.keep("scale", registers=33)
        done = self.check()
        self.assertEqual(done.returncode, 1)
        self.assertIn("not in ptxas.md", done.stdout)
        self.assertIn(ROW.replace("32", "33"), done.stdout)

    def test_another_compiler_may_differ_but_not_spill(self):
        self.write()
        self.compiler(version="12.9.0")
        self.keep("scale", registers=33)
        self.assertEqual(self.check().returncode, 0)
        self.keep("scale", spilled=8)
        done = self.check()
        self.assertEqual(done.returncode, 1)
        self.assertIn("scale, sm_80: 8 bytes spilled, 32 registers", done.stdout)

    def test_a_spill_is_written_and_fails(self):
        self.compiler(spilled=16)
        done = self.run_script("--write", "80")
        self.assertEqual(done.returncode, 1)
        self.assertIn("16 bytes spilled", done.stdout)

    def test_reports_of_sources_that_are_gone(self):
        self.write()
        self.keep("gone", registers=99, spilled=4)
        self.assertEqual(self.check().returncode, 0)

    def test_no_report_at_all(self):
        self.write()
        (self.dir / "build/ops/scale.cu.o.ptxas").unlink()
        done = self.check()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no kernel found", done.stderr)

    def test_a_compiler_that_fails(self):
        self.nvcc.write_text("#!/bin/sh\necho 'scale.cu: no such header' >&2\nexit 2\n")
        done = self.run_script("--write", "80")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no such header", done.stderr)


if __name__ == "__main__":
    unittest.main()
