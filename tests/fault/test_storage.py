"""A full disk and damaged checkpoints: a clear error or note, and the run goes on from what is
whole, bit for bit."""

import resource
import shutil

from program import ProgramTest, checkpoints, leftovers, main, training_lines

FILES = ["config.json", "model.safetensors", "optimizer.safetensors", "state.json"]


class Storage(ProgramTest):
    """self.run_dir: a run of 12 steps that got as far as step 8."""

    def setUp(self):
        super().setUp()
        self.reference = self.dir / "reference"
        self.train("--steps", 12, "--save-every", 4, "--keep-last", 3, run=self.reference)
        self.newest = self.run_dir / "checkpoints" / "step-8"
        self.restore()

    def restore(self):
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.copytree(self.reference, self.run_dir)
        shutil.rmtree(self.run_dir / "checkpoints" / "step-12")

    def assert_as_reference(self):
        self.assertEqual(training_lines(self.run_dir), training_lines(self.reference))
        for name in FILES[:3]:
            path = f"checkpoints/step-12/{name}"
            self.assertEqual((self.run_dir / path).read_bytes(),
                             (self.reference / path).read_bytes())


class FullDisk(Storage):
    def resume_with_room_for(self, size, *more):
        """Resumes where no file can grow beyond `size` bytes, which is refused like a full disk.
        Python ignores SIGXFSZ and leaves it so for its child."""
        return self.refuse(1, ["File too large"], "train", "--run", self.run_dir, "--resume",
                           *more, restore_signals=False,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                 (size, size)))

    def test_saving_fails_in_any_file(self):
        log = self.run_dir / "log.jsonl"
        kept = "".join(log.read_text().splitlines(True)[:8])
        for name, room in [
            ("config.json", 100),
            ("log.jsonl", max(len(kept) + 60, (self.run_dir / "run.json").stat().st_size)),
            ("model.safetensors", (self.newest / "model.safetensors").stat().st_size - 1),
            ("optimizer.safetensors", (self.newest / "optimizer.safetensors").stat().st_size - 1),
        ]:
            with self.subTest(name):
                self.restore()
                before = {p: p.read_bytes() for p in self.newest.iterdir()}
                error = self.resume_with_room_for(room).stderr
                self.assertIn(name, error)
                if name.endswith("safetensors"):
                    self.assertIn("step 12 could not be saved", error)
                    self.assertIn("goes on from step 8", error)
                self.assertEqual({p: p.read_bytes() for p in self.newest.iterdir()}, before)
                self.assertEqual(checkpoints(self.run_dir), [4, 8])
                self.assertEqual(leftovers(self.run_dir), [])
                self.resume()
                self.assert_as_reference()

    def test_a_probe_fails(self):
        room = (self.newest / "model.safetensors").stat().st_size - 1
        error = self.resume_with_room_for(room, "--lens-probes", 1).stderr
        self.assertIn("the probe of step 8 could not be saved", error)
        self.assertIn("goes on from step 8", error)
        self.assertEqual(list((self.run_dir / "probes").iterdir()), [])
        self.resume("--lens-probes", 1)
        self.assert_as_reference()
        self.assertEqual({p.name for p in (self.run_dir / "probes").iterdir()},
                         {"step-8", "step-12"})


class Damage(Storage):
    def resume_past_damage(self, name):
        notes = self.resume().stderr
        self.assertIn("step-8", notes)
        self.assertIn(name, notes)
        self.assert_as_reference()
        self.assertEqual(checkpoints(self.run_dir), [4, 8, 12])
        self.assertTrue((self.run_dir / "checkpoints" / "step-8.damaged").exists())

    def damage(self, how):
        """Damages each file of the newest checkpoint in turn, by how(bytes)."""
        for name in FILES:
            with self.subTest(name):
                self.restore()
                path = self.newest / name
                path.write_bytes(how(path.read_bytes()))
                self.resume_past_damage(name)

    def test_one_bit_flipped(self):
        def flip(data, at):
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        for where in [0, 0.3, 0.7]:
            self.damage(lambda data, where=where: flip(data, int(where * len(data))))

    def test_another_digit_in_the_position(self):
        for key in ["step", "tokens", "sequences", "seconds"]:
            with self.subTest(key):
                self.restore()
                path = self.newest / "state.json"
                text = path.read_text()
                at = text.index(f'"{key}": ') + len(f'"{key}": ')
                path.write_text(text[:at] + ("2" if text[at] == "1" else "1") + text[at + 1:])
                self.resume_past_damage("state.json")

    def test_truncated(self):
        self.damage(lambda data: data[:len(data) // 2])

    def test_emptied(self):
        self.damage(lambda data: b"")

    def test_missing(self):
        for name in FILES:
            with self.subTest(name):
                self.restore()
                (self.newest / name).unlink()
                self.resume_past_damage(name)

    def test_all_damaged(self):
        for step in [4, 8]:
            path = self.run_dir / "checkpoints" / f"step-{step}" / "model.safetensors"
            path.write_bytes(path.read_bytes()[:-1])
        before = training_lines(self.run_dir)
        self.refuse(1, ["no checkpoint is whole", "step-4/model.safetensors"],
                    "train", "--run", self.run_dir, "--resume")
        self.assertEqual(checkpoints(self.run_dir), [4, 8])
        self.assertEqual(training_lines(self.run_dir), before)

    def test_a_log_that_was_cut_off(self):
        log = self.run_dir / "log.jsonl"
        for end in [b'{"step":9,"lo', b"\0\0\0\0", b"garbage\n", b""]:
            with self.subTest(end):
                self.restore()
                lines = log.read_bytes().splitlines(True)
                log.write_bytes(b"".join(lines[:8]) + end)
                self.resume()
                self.assert_as_reference()


if __name__ == "__main__":
    main()
