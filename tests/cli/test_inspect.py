"""quern inspect: what it writes, what it says, and what it refuses."""

import json

from program import MODEL, ProgramTest, main, write_data, write_json

LINE = {"step", "tokens", "layer", "head", "metric", "value", "baseline", "n"}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Inspection(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.shared / "text.txt"
        cls.text.write_text("the miller ground the wheat and the mill ground the grain\n" * 400)
        cls.prepared = cls.shared / "prepared"

    def setUp(self):
        super().setUp()
        self.succeed("prepare", "--text", self.text, "--vocab-size", 280, "--out", self.prepared)
        model = write_json(self.dir / "config.json", {**MODEL, "vocab_size": 280})
        self.train("--lens-probes", 4, data=self.prepared, model=model)

    def inspect(self, *more):
        return self.succeed("inspect", "--run", self.run_dir, "--tokens", 256, "--word-tokens", 512,
                            "--threads", 1, *more)

    def test_a_run(self):
        done = self.inspect()
        figures = lines(self.run_dir / "inspect.jsonl")
        for figure in figures:
            self.assertEqual(set(figure) - {"at", "error"}, LINE)
        self.assertEqual(sorted({f["step"] for f in figures}), [0, 1, 2, 4, 6])
        at_end = {f["metric"] for f in figures if f["step"] == 6}
        for metric in ("previous_token", "induction", "offset", "q_norm", "k_rank", "profile",
                       "position_share", "ablation", "lens_accuracy", "cka", "change_q",
                       "change_embedding"):
            self.assertIn(metric, at_end)
        changes = [f["value"] for f in figures if f["metric"] == "change_q" and f["layer"] == 0]
        self.assertEqual(changes[0], 0)
        self.assertGreater(changes[-1], 0)
        self.assertIn("accuracy", done.stdout)
        self.assertIn("inspect.jsonl", done.stdout)

    def test_pictures_are_lower_triangles_of_weights(self):
        out = self.dir / "found"
        self.inspect("--parts", "pictures", "--sentence", "the mill ground the grain", "--out", out)
        pictures = lines(out / "pictures.jsonl")
        self.assertEqual({(p["layer"], p["head"]) for p in pictures},
                         {(layer, head) for layer in range(2) for head in range(4)})
        for picture in pictures:
            length = len(picture["tokens"])
            self.assertEqual(len(picture["weights"]), length * (length + 1) // 2)
            at = 0
            for row in range(length):
                self.assertAlmostEqual(sum(picture["weights"][at:at + row + 1]), 100,
                                       delta=(row + 1) / 2)
                at += row + 1

    def test_the_same_figures_twice(self):
        self.inspect()
        first = (self.run_dir / "inspect.jsonl").read_bytes()
        self.inspect()
        self.assertEqual(first, (self.run_dir / "inspect.jsonl").read_bytes())

    def test_one_checkpoint_writes_nothing(self):
        done = self.inspect("--checkpoint", 2, "--parts", "patterns")
        self.assertIn("(step 2)", done.stdout)
        self.assertFalse((self.run_dir / "inspect.jsonl").exists())

    def test_some_parts_leave_the_runs_files_as_they_are(self):
        self.inspect()
        files = [self.run_dir / name for name in ("inspect.jsonl", "pictures.jsonl")]
        before = [path.read_bytes() for path in files]
        for parts in (("--parts", "geometry"), ("--parts", "ablation,patterns", "--ablate", "1.3"),
                      ("--ablate", "0.2")):
            self.assertIn("step 6", self.inspect(*parts).stdout)
            self.assertEqual([path.read_bytes() for path in files], before)

    def test_a_resume_cuts_what_was_found_beyond_its_step(self):
        run = self.dir / "longer"
        self.train("--lens-probes", 4, "--save-every", 3, data=self.prepared, run=run,
                   model=self.dir / "config.json")
        self.succeed("inspect", "--run", run, "--tokens", 256, "--word-tokens", 512)
        newest = run / "checkpoints" / "step-6" / "model.safetensors"
        newest.write_bytes(newest.read_bytes()[:-1])
        self.succeed("train", "--run", run, "--resume")
        for name in ("inspect.jsonl", "pictures.jsonl"):
            self.assertEqual({line["step"] for line in lines(run / name)}, {0, 1, 2})

    def test_a_model_of_no_run_has_not_changed_from_itself(self):
        out = self.dir / "found"
        self.succeed("inspect", "--model", self.run_dir / "probes" / "step-4", "--out", out,
                     "--data", self.prepared, "--tokens", 256, "--word-tokens", 512)
        metrics = {f["metric"] for f in lines(out / "inspect.jsonl")}
        self.assertIn("position_share", metrics)
        self.assertFalse([m for m in metrics if m.startswith("change")])

    def test_damaged_checkpoints_leave_the_probes(self):
        for weights in self.run_dir.glob("checkpoints/step-*/model.safetensors"):
            weights.write_bytes(weights.read_bytes()[:-1])
        done = self.inspect()
        self.assertIn("checkpoints", done.stderr)
        self.assertEqual({f["step"] for f in lines(self.run_dir / "inspect.jsonl")}, {0, 1, 2, 4, 6})

    def test_short_sequences_have_no_patterns(self):
        done = self.inspect("--seq-len", 16)
        self.assertIn("18 tokens", done.stderr)
        metrics = {f["metric"] for f in lines(self.run_dir / "inspect.jsonl")}
        self.assertIn("position_share", metrics)
        self.assertNotIn("induction", metrics)

    def test_a_named_head(self):
        out = self.dir / "found"
        self.inspect("--parts", "ablation", "--ablate", "1.3", "--checkpoint", 6, "--out", out)
        found = [(f["layer"], f["head"]) for f in lines(out / "inspect.jsonl")
                 if f["metric"] == "ablation"]
        self.assertEqual(found, [(1, 3)])

    def test_what_the_data_do_not_allow_is_left_out_with_a_note(self):
        run = self.dir / "tokens-only"
        self.train(run=run)
        done = self.succeed("inspect", "--run", run, "--tokens", 256)
        self.assertIn("tokenizer.model", done.stderr)
        metrics = {f["metric"] for f in lines(run / "inspect.jsonl")}
        self.assertIn("ablation", metrics)
        self.assertFalse([m for m in metrics if "synonym" in m])

    def test_refusals(self):
        inspect = ("inspect", "--run", self.run_dir)
        self.refuse(2, ["--run", "--model"], "inspect")
        self.refuse(2, ["nowhere"], "inspect", "--run", self.dir / "nowhere")
        self.refuse(2, ["--parts", "patern"], *inspect, "--parts", "patern")
        self.refuse(2, ["--ablate", "13"], *inspect, "--ablate", "13")
        self.refuse(2, ["head", "9"], *inspect, "--parts", "ablation", "--ablate", "1.9")
        self.refuse(2, ["head", "9"], *inspect, "--ablate", "9.0")
        self.refuse(2, ["--parts", "no ablation"], *inspect, "--parts", "patterns", "--ablate", "1.0")
        self.refuse(2, ["--parts", "no pictures"], *inspect, "--parts", "patterns", "--sentence", "a")
        self.refuse(2, ["--out"], *inspect, "--parts", "pictures,similarity")
        self.refuse(2, ["--checkpoint 4", "--model"], "inspect", "--checkpoint", 4, "--model",
                    self.run_dir / "probes" / "step-4")
        self.refuse(2, ["5"], *inspect, "--checkpoint", 5)
        other = write_data(self.dir / "large", vocab=4096)
        train, val = ({"tokens": n, "bytes": n, "documents": 1} for n in (6000, 700))
        write_json(other / "data.json", {"format": 1, "quern": "0.1.0", "vocab_size": 4096,
                                         "boundary_id": 0, "train": train, "val": val})
        self.refuse(2, ["4096", "280"], *inspect, "--data", other)


if __name__ == "__main__":
    main()
