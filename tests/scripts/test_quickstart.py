"""scripts/quickstart.sh with stand-ins for what it calls: which device, corpus, options and steps
it chooses on machines of several kinds."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Every stand-in first notes its command line. MACHINE says what there is.
NOTE = 'echo "$(basename "$0") $*" >> "$CALLS"\n'
CPU = "backend cpu\nbackends {}\nname AMD EPYC, 2 threads, AVX2\nmemory_free 8000000000\npeak_tflops 0"
GPU = "backend cuda\nbackends cpu cuda\nname {}\nmemory_free 80000000000\npeak_tflops {}"
QUERN = r"""
case $1 in
info) cat "$MACHINE/device" ;;
plan) while [ "$1" != --json ]; do shift; done; cat "$MACHINE/plan" > "$2" ;;
train) while [ "$1" != --run ]; do shift; done; mkdir -p "$2/checkpoints/step-7" ;;
generate) echo "It is a truth that was written." ;;
esac"""
SMI = {"gpu": """case $* in
-L) echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)" ;;
*compute_cap*) cat "$MACHINE/capabilities" ;;
esac""", "none": 'echo "No devices were found"; exit 6'}
NVCC = "printf 'compute_%s\\n' 75 80 86 89 90 100"
WOULD = "if the CUDA toolkit (nvcc) were installed"


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-quickstart-"))
        self.addCleanup(shutil.rmtree, self.dir)
        for name in ["bin", "build", "scripts", "recipes", "machine"]:
            (self.dir / name).mkdir()
        shutil.copy(ROOT / "scripts" / "quickstart.sh", self.dir / "scripts")
        shutil.copy(ROOT / "recipes" / "quickstart-gpu.json", self.dir / "recipes")
        self.calls = self.dir / "calls"
        self.stand_in("bin/cmake")
        self.stand_in("scripts/packages.sh")
        self.stand_in("scripts/corpus.sh", 'grep -qx "$1" "$MACHINE/corpora"')
        self.stand_in("build/quern", QUERN)
        (self.dir / "scripts" / "report.py").write_text("print('report of', __import__('sys').argv[1])")
        self.machine(CPU.format("cpu"))

    def stand_in(self, name, body=""):
        path = self.dir / name
        path.write_text("#!/bin/bash\n" + NOTE + body + "\n")
        path.chmod(0o755)

    def machine(self, device, fits=True, corpora=("austen", "classic"), smi=None, nvcc="exit 127",
                capabilities=("9.0",)):
        """What `quern info --device` says, whether the recipe fits, what nvidia-smi says, and
        nvcc."""
        files = {"device": device, "plan": json.dumps({"fits": fits}, indent=1),
                 "corpora": "\n".join(corpora), "capabilities": "\n".join(capabilities)}
        for name, text in files.items():
            (self.dir / "machine" / name).write_text(text + "\n")
        # Without ones of its own, the test's stand in for a machine that has none.
        self.stand_in("bin/nvidia-smi", SMI[smi] if smi else "exit 127")
        self.stand_in("bin/nvcc", nvcc)

    def start(self, *args):
        self.calls.write_text("")
        environment = {**os.environ, "CALLS": str(self.calls), "CUDACXX": "",
                       "PATH": f"{self.dir / 'bin'}:{os.environ['PATH']}",
                       "MACHINE": str(self.dir / "machine")}
        return subprocess.run([self.dir / "scripts" / "quickstart.sh", *args], env=environment,
                              text=True, capture_output=True, timeout=60)

    def run_script(self, *args):
        """What it says, and the commands that it ran, but for questions to the program."""
        done = self.start(*args)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        calls = [line for line in self.calls.read_text().splitlines()
                 if not line.startswith(("nvidia-smi", "nvcc", "quern info", "quern plan"))]
        return done.stdout, calls

    def commands(self, corpus, run, train=(), lens="--lens-every 32 --lens-probes 500"):
        flags = " ".join(["", lens, *train])
        return ["packages.sh build", "cmake --preset default -DQN_TESTS=OFF",
                "cmake --build --preset default --target quern", f"corpus.sh {corpus}",
                f"quern prepare --corpus {corpus} --out data/{corpus}",
                f"quern train --run {run} --data data/{corpus}{flags}",
                f"quern generate --run {run} --prompt It is a truth --max-tokens 200",
                f"quern inspect --run {run}"]

    def gpu_commands(self, steps, corpus="classic"):
        return self.commands(corpus, f"runs/quickstart-gpu-{corpus}",
                             ["--config recipes/quickstart-gpu.json", f"--steps {steps}"],
                             "--lens-every 32")

    # ---- without a GPU ---------------------------------------------------------------------

    def test_without_a_gpu(self):
        """As ever, whether there is a toolkit or not."""
        for backends in ["cpu", "cpu cuda"]:
            for smi in [None, "none"]:
                shutil.rmtree(self.dir / "runs", ignore_errors=True)
                self.machine(CPU.format(backends), smi=smi)
                said, calls = self.run_script()
                self.assertEqual(calls, self.commands("austen", "runs/quickstart-austen"))
                self.assertNotIn("GPU", said)
                self.assertIn("runs/quickstart-austen/checkpoints/step-7", said)
                self.assertIn("report of runs/quickstart-austen", said)

    def test_a_report_that_fails(self):
        """It says why; the run is there all the same."""
        (self.dir / "scripts" / "report.py").write_text("raise SystemExit('report.py: no figures')")
        done = self.start()
        self.assertEqual((done.returncode, done.stderr), (0, "report.py: no figures\n"))
        self.assertIn("scripts/report.py failed with the message above", done.stdout)
        self.assertIn("checkpoints/step-7", done.stdout)

    def test_a_gpu_without_a_toolkit(self):
        self.machine(CPU.format("cpu"), smi="gpu")
        said, calls = self.run_script()
        self.assertEqual(said.count(WOULD), 1)
        self.assertEqual(calls, self.commands("austen", "runs/quickstart-austen"))

    def test_a_gpu_that_this_build_cannot_use(self):
        """The program has said why."""
        self.machine(CPU.format("cpu cuda"), smi="gpu")
        said, calls = self.run_script()
        self.assertNotIn(WOULD, said)
        self.assertEqual(calls, self.commands("austen", "runs/quickstart-austen"))

    def test_resumes(self):
        (self.dir / "runs/quickstart-austen").mkdir(parents=True)
        _, calls = self.run_script("--steps", "9")
        self.assertEqual(calls, self.commands("austen", "runs/quickstart-austen",
                                              ["--steps 9", "--resume"]))

    # ---- with one ----------------------------------------------------------------------------

    def test_steps_follow_the_card(self):
        for name, tflops, steps in [("NVIDIA H100 80GB HBM3", 990, 4500),
                                    ("NVIDIA B200", 2250, 4500),
                                    ("NVIDIA A100-SXM4-80GB", 312, 3432),
                                    ("NVIDIA GeForce RTX 4090", 165, 1815),
                                    ("NVIDIA GeForce RTX 3090", 71, 781),
                                    ("a card without a data sheet", 0, 880)]:
            with self.subTest(name):
                shutil.rmtree(self.dir / "runs", ignore_errors=True)
                self.machine(GPU.format(name, tflops), smi="gpu")
                said, calls = self.run_script()
                self.assertEqual(calls, self.gpu_commands(steps))
                self.assertIn(f"{name}: {steps} steps", said)
                self.assertIn("estimate (never timed on a GPU)", said)
                self.assertNotIn(WOULD, said)

    def test_what_the_user_gives_wins(self):
        self.machine(GPU.format("NVIDIA H100 80GB HBM3", 990))
        said, calls = self.run_script("--steps", "12", "--corpus", "austen")
        self.assertEqual(calls, self.gpu_commands(12, "austen"))
        self.assertNotIn("estimate", said)

    def test_without_the_large_corpus(self):
        self.machine(GPU.format("NVIDIA H100 80GB HBM3", 990), corpora=["austen"])
        said, calls = self.run_script()
        self.assertIn("classic cannot be had here", said)
        expected = self.gpu_commands(500, "austen")
        expected.insert(3, "corpus.sh classic")
        self.assertEqual(calls, expected)

    def test_a_corpus_that_was_asked_for_is_not_replaced(self):
        self.machine(GPU.format("NVIDIA H100 80GB HBM3", 990), corpora=["austen"])
        done = self.start("--corpus", "classic")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("quern train", self.calls.read_text())

    def test_a_gpu_in_use(self):
        self.machine(GPU.format("NVIDIA H100 80GB HBM3", 990), fits=False)
        said, calls = self.run_script()
        self.assertIn("too little memory free", said)
        expected = self.commands("austen", "runs/quickstart-austen", ["--backend cpu"])
        expected[-2:] = [f"{line} --backend cpu" for line in expected[-2:]]
        self.assertEqual(calls, expected)

    def test_a_run_that_has_begun_knows_its_options(self):
        run = self.dir / "runs/quickstart-gpu-classic"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        self.machine(GPU.format("NVIDIA H100 80GB HBM3", 990))
        _, calls = self.run_script()
        self.assertEqual(calls, self.commands("classic", "runs/quickstart-gpu-classic",
                                              ["--resume"], "--lens-every 32"))

    # ---- only printed ------------------------------------------------------------------------

    def test_dry_run(self):
        self.machine(GPU.format("NVIDIA A100-SXM4-80GB", 312))
        said, calls = self.run_script("--dry-run")
        self.assertEqual(calls, [])
        self.assertFalse((self.dir / "runs").exists())
        for command in ["scripts/packages.sh build", "cmake --preset default -DQN_TESTS=OFF",
                        "scripts/corpus.sh classic",
                        "build/quern train --run runs/quickstart-gpu-classic --data data/classic "
                        "--lens-every 32 --config recipes/quickstart-gpu.json --steps 3432",
                        "build/quern generate --run runs/quickstart-gpu-classic",
                        "build/quern inspect --run runs/quickstart-gpu-classic"]:
            self.assertIn(command, said)

    # ---- what is built ---------------------------------------------------------------------

    def architectures(self, *capabilities, smi="gpu", nvcc=NVCC):
        """What CMake is told of them."""
        self.machine(CPU.format("cpu"), smi=smi, nvcc=nvcc, capabilities=capabilities)
        said, _ = self.run_script("--dry-run")
        line, = [line for line in said.splitlines() if line.startswith("cmake --preset default")]
        return line.replace("\\", "").split()[3:]

    def test_kernels_for_the_cards_of_this_machine(self):
        flag = "-DCMAKE_CUDA_ARCHITECTURES="
        for capabilities, wanted in [(["9.0"], "90-real"), (["8.6", "8.6"], "86-real"),
                                     (["10.0", "8.9"], "89-real;100-real")]:
            self.assertEqual(self.architectures(*capabilities), ["-DQN_TESTS=OFF", flag + wanted])
        self.machine(GPU.format("NVIDIA H100 80GB HBM3", 990), smi="gpu", nvcc=NVCC)
        _, calls = self.run_script()
        self.assertIn(f"cmake --preset default -DQN_TESTS=OFF {flag}90-real", calls)

    def test_kernels_for_every_card(self):
        """No toolkit, no card, cards that quern does not run on, cards that nvcc does not know, a
        driver that cannot tell."""
        usual = ["-DQN_TESTS=OFF"]
        self.assertEqual(self.architectures("9.0", nvcc="exit 127"), usual)
        self.assertEqual(self.architectures("9.0", smi="none"), usual)
        self.assertEqual(self.architectures("9.0", smi=None), usual)
        for capabilities in [["7.5"], ["9.0", "7.5"], ["12.0"], ["[N/A]"], []]:
            self.assertEqual(self.architectures(*capabilities), usual, capabilities)

    def test_a_choice_of_architectures_stays(self):
        (self.dir / "build/CMakeCache.txt").write_text("CMAKE_CUDA_ARCHITECTURES:STRING=80\n")
        self.assertEqual(self.architectures("9.0"), ["-DQN_TESTS=OFF"])
        (self.dir / "build/CMakeCache.txt").write_text("QN_TESTS:BOOL=OFF\n")
        self.assertEqual(len(self.architectures("9.0")), 2)

    def test_dry_run_needs_the_program(self):
        (self.dir / "build/quern").unlink()
        done = self.start("--dry-run")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not built yet", done.stderr)

    def test_wrong_options(self):
        for args in (["--fast"], ["--steps"], ["--corpus"]):
            done = self.start(*args)
            self.assertEqual(done.returncode, 2)
            self.assertIn(args[-1], done.stderr)
            self.assertEqual(self.calls.read_text(), "")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
