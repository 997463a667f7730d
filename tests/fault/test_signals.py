"""SIGINT and SIGTERM finish the step, save and leave; a second SIGINT leaves at once."""

import signal
import subprocess
import time

from program import (QUERN, ProgramTest, checkpoints, leftovers, log_lines, main, training_lines)


def take_interrupts():
    """Also where a shell started the tests in the background, which ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Signals(ProgramTest):
    def start(self, *more, lines):
        """A run of which the log has at least so many lines."""
        child = subprocess.Popen([QUERN, *map(str, self.train_args(*more))], text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.environment(),
                                 preexec_fn=take_interrupts)
        self.addCleanup(child.kill)
        log, deadline = self.run_dir / "log.jsonl", time.monotonic() + 30
        while not log.exists() or log.read_text().count("\n") < lines:
            self.assertIsNone(child.poll(), "the run ended before the signal")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)
        return child

    def test_one_process_a_run(self):
        steps = ["--steps", 400, "--batch-size", 8]
        child = self.start(*steps, lines=5)
        second = subprocess.run([QUERN, *map(str, self.train_args(*steps, "--resume"))],
                                capture_output=True, text=True, env=self.environment())
        self.assertEqual(second.returncode, 2, second.stderr)
        self.assertIn("another process is training there", second.stderr)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0)

    def stop_and_resume(self, which):
        steps = ["--steps", 400, "--batch-size", 8]
        reference = self.dir / "reference"
        self.train(*steps, run=reference)
        child = self.start(*steps, lines=20)
        child.send_signal(which)
        said, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, errors)
        self.assertEqual(errors, "")
        step = log_lines(self.run_dir)[-1]["step"]
        self.assertLess(step, 400)
        self.assertIn(f"stopped at step {step} of 400 and saved", said)
        self.assertIn(f"quern train --run {self.run_dir} --resume", said)
        self.assertEqual(checkpoints(self.run_dir), [step])
        self.resume()
        self.assertEqual(training_lines(self.run_dir), training_lines(reference))

    def test_interrupt(self):
        self.stop_and_resume(signal.SIGINT)

    def test_terminate(self):
        self.stop_and_resume(signal.SIGTERM)

    def test_second_interrupt_leaves_at_once(self):
        long_step = ["--batch-size", 64, "--grad-accum", 1024]
        child = self.start(*long_step, lines=0)
        for _ in range(2):  # another SIGTERM changes nothing
            child.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            self.assertIsNone(child.poll(), "the step should be under way")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(timeout=2), -signal.SIGINT)
        child.communicate()
        self.assertEqual(checkpoints(self.run_dir), [])
        self.assertEqual(leftovers(self.run_dir), [])


if __name__ == "__main__":
    main()
