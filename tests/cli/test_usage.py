"""What a user asks for wrongly: exit code 2, an error that says what is right, no run folder."""

import json

from program import MODEL, ProgramTest, main, without, write_json

COMMANDS = ["prepare", "train", "eval", "generate", "plan", "info", "bench",
            "bench attention", "bench step", "lens", "lens selftest"]
WITHOUT_DEFAULTS = ["info", "bench", "lens"]


class Help(ProgramTest):
    def test_every_command_has_help_with_defaults_and_examples(self):
        for command in COMMANDS:
            with self.subTest(command):
                text = self.succeed(*command.split(), "--help").stdout
                self.assertIn("Examples:", text)
                if command not in WITHOUT_DEFAULTS:
                    self.assertIn("default", text)

    def test_help_of_training_lists_every_default(self):
        self.train()
        options = json.loads((self.run_dir / "run.json").read_text())
        text = " ".join(self.succeed("train", "--help").stdout.split())
        for name in without(without(options, "environment"), "data"):
            self.assertIn(f"--{name}=", text)
        self.assertEqual(text.count("(default "), len(options) - 3)  # not of data, run

    def test_no_command(self):
        self.refuse(2, ["Usage: quern COMMAND", "train", "generate"])

    def test_unknown_command(self):
        self.refuse(2, ['"trian" is not a command', "train"], "trian")

    def test_general_help_and_version(self):
        self.assertIn("Commands:", self.succeed("--help").stdout)
        commit = r"[0-9a-f]{12}(-dirty)?|unknown"
        self.assertRegex(self.succeed("--version").stdout, rf"^quern \d+\.\d+\.\d+ \(({commit})\)$")

    def test_unknown_benchmark(self):
        self.refuse(2, ["attention or step"], "bench", "nothing")

    def test_unknown_work_of_the_lens(self):
        self.refuse(2, ['"nothing"', "selftest"], "lens", "nothing")

    def test_unknown_experiments(self):
        for only in ["T6", "T0", "1", "T1,", "T1T2", ""]:
            with self.subTest(only):
                self.refuse(2, ["--only", "T1,T2,T3,T4,T5"], "lens", "selftest", "--only", only)

    def test_the_selftest_keeps_nothing_in_a_folder_that_is_there(self):
        self.refuse(2, [self.dir, "exists"], "lens", "selftest", "--keep", self.dir)


class Flags(ProgramTest):
    def test_unknown_flag(self):
        self.refuse_train(2, ["unrecognized option", "--stepps"], "--stepps", 3)

    def test_stray_argument(self):
        self.refuse_train(2, ["Too many arguments"], "stray")

    def test_values_out_of_range(self):
        for flag, value, expected in [
            ("--steps", "0", "a whole number from 1 to"),
            ("--steps", "1.5", "a whole number"),
            ("--steps", "ten", "a whole number"),
            ("--steps", "99999999999999999999", "a whole number"),
            ("--batch-size", "-1", "from 1 to"),
            ("--seq-len", "0", "from 1 to"),
            ("--lr", "fast", "a number from 0 to 1000"),
            ("--lr", "nan", "a number from 0 to 1000"),
            ("--lr", "", "a number from 0 to 1000"),
            ("--beta1", "1", "from 0 to 0.999999"),
            ("--decay", "1.1", "from 0 to 1"),
            ("--schedule", "linear", "one of cosine, wsd, constant"),
            ("--precision", "fp16", "one of auto, fp32, bf16"),
            ("--weight-rounding", "up", "one of nearest, stochastic"),
            ("--freeze", "v", "one of none, qk"),
            ("--attention", "flash", "one of auto, naive, fused"),
            ("--recompute", "all", "one of none, norms, block"),
            ("--documents", "maybe", "one of off, on"),
            ("--backend", "gpu", "cpu"),
            ("--threads", "100000", "from 0 to 4096"),
            ("--data", "x" * 2000, "at most 1023"),
        ]:
            with self.subTest(flag=flag, value=value[:20]):
                shown = [value] if len(value) < 30 else []
                self.refuse_train(2, [*shown, expected], flag, value)

    def test_stochastic_rounding_where_nothing_is_rounded(self):
        for precision in ["fp32", "bf16"]:  # of products, on the CPU
            self.refuse_train(2, ["--weight-rounding is stochastic", "fp32", "--weight-rounding nearest"],
                              "--weight-rounding", "stochastic", "--precision", precision,
                              "--backend", "cpu")
            self.assertFalse((self.run_dir / "run.json").exists())

    def test_a_run_stays_frozen(self):
        self.train("--freeze", "qk", "--steps", 2)
        self.refuse(2, ["--freeze is none", "has qk"], "train", "--run", self.run_dir, "--resume",
                    "--freeze", "none")

    def test_required_flags(self):
        self.refuse(2, ["--run DIR is missing"], "train", "--data", self.data)
        self.refuse(2, ["--data DIR is missing"], "train", "--run", self.run_dir)
        self.refuse(2, ["--run DIR is missing"], "train", "--resume")
        self.refuse(2, ["--data DIR is missing"], "eval", "--model", self.dir)
        self.refuse(2, ["--run DIR or --model DIR"], "generate")
        self.refuse(2, ["--run DIR or --model DIR"],
                    "generate", "--run", self.dir, "--model", self.dir)

    def test_impossible_batches(self):
        self.refuse(2, ["2^63 bytes", "smaller"],
                    "plan", "--batch-size", 2**30, "--seq-len", 2**30)

    def test_values_of_other_commands(self):
        self.refuse(2, ["--top-p", "1.5"], "generate", "--run", self.dir, "--top-p", "1.5")
        self.refuse(2, ["--max-tokens"],
                    "generate", "--run", self.dir, "--max-tokens", 2**62)
        self.refuse(2, ["--split", "val or train"], "eval", "--split", "test")
        self.refuse(2, ["--precision", "auto, fp32 or bf16"], "eval", "--precision", "fp8")
        self.refuse(2, ["1023"], "eval", "--model", self.dir, "--data", "x" * 2000)
        self.refuse(2, ["--overlap", "0.99"], "eval", "--overlap", 1)
        for command in ["eval", "generate"]:
            self.refuse(2, ["--threads", "from 0 to 4096"], command, "--threads", -1)
            self.refuse(2, ["--checkpoint", "last"], command, "--checkpoint", "last")
        self.refuse(2, ["--memory"], "plan", "--memory", "much")


class Models(ProgramTest):
    def test_unknown_preset_lists_them(self):
        self.refuse_train(2, ["gpt5", "presets are: default", "gpt2-124m"], model="gpt5")
        self.refuse(2, ["gpt5", "presets are: default"], "plan", "--model", "gpt5")
        self.refuse(2, ["gpt5", "presets are: default"], "info", "gpt5")

    def test_config_of_no_model_or_of_two(self):
        for models in ([], ["default", "gpt2-12m"]):
            with self.subTest(models):
                self.refuse(2, ["--save-config", f"{len(models)} are named"], "info",
                            "--save-config", self.dir / "config.json", *models)

    def test_missing_path(self):
        self.refuse_train(2, ["no/config.json", "No such file", "a preset"],
                          model="no/config.json")

    def test_a_preset_is_not_shadowed(self):
        """By a folder or file of its name in the working folder; ./NAME is that folder."""
        for name in ["default", "mine"]:
            (self.dir / name).mkdir()
            write_json(self.dir / name / "config.json", MODEL)
        (self.dir / "gpt2-12m").write_text("not a config")
        plan = ["plan", "--vocab-size", 300, "--model"]
        self.assertIn("LlamaForCausalLM", self.succeed(*plan, "./default", cwd=self.dir).stdout)
        for name, parts in [("default", "default (Qwen3ForCausalLM)"),
                            ("gpt2-12m", "gpt2-12m (GPT2LMHeadModel)")]:
            self.assertIn(parts, self.succeed(*plan, name, cwd=self.dir).stdout)
            self.assertIn(f"{name}: {parts.split('(')[1][:-1]}",
                          self.succeed("info", name, cwd=self.dir).stdout)
        self.assertIn("LlamaForCausalLM", self.succeed("info", "./default", cwd=self.dir).stdout)
        self.refuse(2, ["mine", "no preset", "./mine"], *plan, "mine", cwd=self.dir)
        self.succeed(*plan, "mine/", cwd=self.dir)
        self.succeed(*plan, "config.json", cwd=self.dir / "mine")

    def test_sequences_beyond_learned_positions(self):
        gpt2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 256,
                "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16}
        path = write_json(self.dir / "gpt2.json", gpt2)
        self.refuse_train(2, ["32", "16 learned positions"], model=path)


class OptionFiles(ProgramTest):
    def refuse_file(self, code, parts, text):
        path = self.dir / "options.json"
        path.write_text(text)
        self.refuse_train(code, [path, *parts], "--config", path)

    def test_wrong_files(self):
        self.refuse_file(2, ['"stepps"', "--help"], '{"stepps": 3}')
        self.refuse_file(2, ["steps", "1.5", "whole number"], '{"steps": 1.5}')
        self.refuse_file(2, ["schedule", "linear", "cosine"], '{"schedule": "linear"}')
        self.refuse_file(2, ["lr", "neither a number nor a string"], '{"lr": [1]}')
        self.refuse_file(1, ["line 2, column"], '{"steps": 3,\n "lr": }')
        self.refuse_file(1, ["object"], "[1]")

    def test_missing_file(self):
        self.refuse_train(1, ["none.json", "No such file"], "--config", self.dir / "none.json")

    def test_flags_win(self):
        path = write_json(self.dir / "options.json", {"steps": 3, "lr": 0.001, "documents": False})
        self.train("--config", path)
        options = json.loads((self.run_dir / "run.json").read_text())
        self.assertEqual(options["steps"], 6)
        self.assertEqual(options["lr"], 0.001)
        self.assertEqual(options["documents"], "off")


class RunFolders(ProgramTest):
    def test_existing_run(self):
        self.train()
        before = {p: p.read_bytes() for p in self.run_dir.rglob("*") if p.is_file()}
        self.refuse(2, [self.run_dir, "--resume"], *self.train_args())
        after = {p: p.read_bytes() for p in self.run_dir.rglob("*") if p.is_file()}
        self.assertEqual(before, after)

    def test_a_folder_with_other_things(self):
        (self.run_dir / "mine").mkdir(parents=True)
        self.refuse(2, [self.run_dir, "--resume"], *self.train_args())
        self.assertEqual([p.name for p in self.run_dir.iterdir()], ["mine"])

    def test_an_empty_folder_is_fine(self):
        self.run_dir.mkdir()
        self.train()

    def test_resume_with_other_options(self):
        self.train()
        for flag, value, before in [("--lr", "0.5", "0.006"), ("--seed", "2", "1"),
                                    ("--seq-len", "16", "32")]:
            self.refuse(2, [flag, value, before, "run.json"],
                        "train", "--run", self.run_dir, "--resume", flag, value)

    def test_launchers(self):
        self.refuse(1, ["WORLD_SIZE=2", "without a launcher"], *self.train_args(),
                    env={**self.environment(), "WORLD_SIZE": "2"})
        self.assertFalse(self.run_dir.exists())

    def test_folders_that_cannot_be_written(self):
        (self.dir / "file").write_text("")
        for run in [self.dir / "file", self.dir / "file" / "run", "/proc/quern-run"]:
            self.refuse(1, [run, "cannot"], *self.train_args(run=run))

    def test_nothing_to_do(self):
        self.train()
        self.assertIn("nothing to do", self.resume().stdout)


if __name__ == "__main__":
    main()
