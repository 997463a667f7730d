"""What is kept of ptxas's reports by cmake/keep_ptxas_report.sh, and what tests/ptxas_report.py
finds in them. nvcc is a stand-in that says what ptxas once said."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Symbols and names of two kernels.
ADD = ("_Z10add_kernelP9qn_tensor", "add_kernel")
SCALE = ("_Z10scale_rowsIfEvPT_l", "scale_rows<float>")

NVCC = r"""
[ "$1" != --version ] || { printf 'nvcc\nrelease 13.0, V%s\n' "$(cat "$SAID/version")"; exit; }
for argument; do
    case $argument in
    -arch=sm_*) arch=${argument#-arch=sm_} ;;
    *.cu) source=$(basename "$argument" .cu) ;;
    esac
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
cat "$SAID/$source.$arch" >&2
[ ! -e "$SAID/fails" ] || { echo "error: no such type" >&2; exit 2; }
[ -z "$object" ] || echo "$arch" >"$object"
"""


def said(kernel, arch, registers, shared=0, stores=0, loads=0):
    smem = f", {shared} bytes smem" if shared else ""
    return (f"ptxas info    : 0 bytes gmem\n"
            f"ptxas info    : Compiling entry function '{kernel[0]}' for 'sm_{arch}'\n"
            f"ptxas info    : Function properties for {kernel[0]}\n"
            f"    {stores} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads\n"
            f"ptxas info    : Used {registers} registers, used 1 barriers{smem}, "
            f"400 bytes cmem[0]\n")


def row(kernel, arch, registers, shared=0):
    return f"| `{kernel[1]}` | sm_{arch} | {registers} | {shared} | 0 |"


class WithNvcc(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-ptxas-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.root, self.said, self.build = (self.dir / name for name in ("quern", "said", "build"))
        for folder in (self.root / "tests", self.root / "docs", self.root / "kernels" / "cuda",
                       self.said, self.build):
            folder.mkdir(parents=True)
        self.script = shutil.copy(ROOT / "tests" / "ptxas_report.py", self.root / "tests")
        self.keep = ROOT / "cmake" / "keep_ptxas_report.sh"
        self.nvcc = self.stand_in("nvcc", NVCC)
        self.table = self.root / "docs" / "ptxas.md"
        self.environment = {**os.environ, "SAID": str(self.said)}
        self.says("add", 80, said(ADD, 80, 32))
        self.says("add", 90, said(ADD, 90, 30))
        self.says("scale", 80, said(SCALE, 80, 40, shared=1024))
        self.says("scale", 90, said(SCALE, 90, 44, shared=1024))
        (self.said / "version").write_text("13.0.88")

    def stand_in(self, name, body):
        path = self.dir / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def says(self, source, arch, text):
        (self.root / "kernels" / "cuda" / f"{source}.cu").touch()
        (self.said / f"{source}.{arch}").write_text(text)

    def run_it(self, *command):
        return subprocess.run([str(c) for c in command], env=self.environment, cwd=self.dir,
                              text=True, capture_output=True, timeout=60)

    def object(self, source):
        return self.build / f"{source}.cu.o"

    def compile(self, source, *launcher, arch=80):
        return self.run_it(self.keep, *launcher, self.nvcc, f"-arch=sm_{arch}", "-c",
                           f"{source}.cu", "-o", self.object(source))


class Report(WithNvcc):
    def report(self, *args):
        done = self.run_it(sys.executable, "-B", self.script, "--nvcc", self.nvcc, *args)
        return done.returncode, done.stdout + done.stderr

    def passes(self, *args):
        self.assertEqual(self.report(*args), (0, ""))

    def fails(self, *args, words):
        code, text = self.report(*args)
        self.assertEqual(code, 1, text)
        for word in words:
            self.assertIn(word, text)
        return text

    def both(self):
        return ["--reports", self.object("add"), self.object("scale")]

    def compile_both(self):
        for source in ("add", "scale"):
            self.assertEqual(self.compile(source).returncode, 0)

    def test_what_is_written_passes(self):
        self.passes("--write", "80", "90")
        text = self.table.read_text()
        self.assertIn("by nvcc 13.0.88.", text)
        self.assertEqual([line for line in text.splitlines() if line.startswith("| `")],
                         [row(ADD, 80, 32), row(ADD, 90, 30), row(SCALE, 80, 40, 1024),
                          row(SCALE, 90, 44, 1024)])
        self.passes("80", "90")
        self.passes("90")
        self.compile_both()
        self.passes(*self.both())

    def test_a_stale_table_fails(self):
        self.passes("--write", "80", "90")
        self.says("add", 90, said(ADD, 90, 31))
        text = self.fails("80", "90", words=["not in ptxas.md", row(ADD, 90, 31),
                                             "no kernel: " + row(ADD, 90, 30)])
        self.assertEqual(len(text.splitlines()), 2, text)
        self.passes("80")
        self.passes("--write", "80", "90")
        self.passes("80", "90")

    def test_a_kernel_that_is_gone_fails(self):
        self.passes("--write", "80", "90")
        self.compile_both()
        text = self.fails("--reports", self.object("add"),
                          words=["no kernel: " + row(SCALE, 80, 40, 1024)])
        self.assertEqual(len(text.splitlines()), 1, text)

    def test_another_nvcc_compiles_otherwise(self):
        self.passes("--write", "80", "90")
        (self.said / "version").write_text("13.0.8")
        self.says("add", 90, said(ADD, 90, 31))
        self.passes("80", "90")
        self.says("add", 90, said(ADD, 90, 31, stores=8))
        self.fails("80", "90", words=["8 bytes spilled"])

    def test_a_spill_fails(self):
        for stores, loads in [(4, 0), (0, 4), (16, 20)]:
            self.says("scale", 80, said(SCALE, 80, 255, 1024, stores, loads))
            words = [f"scale_rows<float>, sm_80: {max(stores, loads)} bytes spilled, 255 registers"]
            self.fails("--write", "80", words=words)
            self.fails("80", words=words)
            self.compile_both()
            self.fails(*self.both(), words=words)

    def test_a_missing_report_fails(self):
        self.passes("--write", "80")
        self.compile_both()
        Path(f"{self.object('scale')}.ptxas").unlink()
        self.fails(*self.both(), words=["scale.cu.o.ptxas", "No such file", "compile"])

    def test_reports_without_kernels_fail(self):
        self.passes("--write", "80")
        self.says("add", 80, "")
        self.compile("add")
        self.fails("--reports", self.object("add"), words=["no kernel found"])

    def test_a_report_of_a_source_that_is_gone_is_not_read(self):
        self.passes("--write", "80")
        self.compile_both()
        Path(f"{self.object('gone')}.ptxas").write_text(said(ADD, 80, 255, stores=99))
        self.passes(*self.both())

    def test_what_does_not_compile_fails(self):
        (self.said / "fails").touch()
        self.fails("80", words=["error: no such type"])


class Kept(WithNvcc):
    def kept(self, source):
        return Path(f"{self.object(source)}.ptxas")

    def test_reports_are_kept_and_warnings_shown(self):
        warning = 'add.cu(3): warning #177-D: variable "x" was declared but never referenced\n'
        self.says("add", 80, said(ADD, 80, 32) + warning)
        done = self.compile("add")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", warning))
        self.assertEqual(self.kept("add").read_text(), said(ADD, 80, 32) + warning)
        self.assertEqual(self.object("add").read_text(), "80\n")

    def test_a_launcher_below_is_called(self):
        launcher = self.stand_in("launcher", 'echo "$*" >"$SAID/launched"; exec "$@"')
        self.assertEqual(self.compile("add", launcher).returncode, 0)
        self.assertEqual((self.said / "launched").read_text(),
                         f"{self.nvcc} -arch=sm_80 -c add.cu -o {self.object('add')}\n")
        self.assertEqual(self.kept("add").read_text(), said(ADD, 80, 32))

    def test_without_an_object_there_is_no_report(self):
        self.compile("add")
        (self.said / "fails").touch()
        done = self.compile("add")
        self.assertEqual((done.returncode, done.stderr), (2, "error: no such type\n"))
        self.assertFalse(self.kept("add").exists())
        done = self.run_it(self.keep, self.nvcc, "--version")
        self.assertIn("release 13.0", done.stdout)
        self.assertFalse((self.dir / ".ptxas").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
