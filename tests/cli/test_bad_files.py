"""Files that are missing, malformed or do not fit: exit code 1, an error that names the file and
what is wrong with it, and no run folder."""

import json
import re
import shutil
import struct

from program import (MODEL, VOCAB, ProgramTest, checkpoints, leftovers, log_lines, main,
                     shard_bytes, text_tokens, without, write_data, write_json)


def read_safetensors(path):
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Shards(ProgramTest):
    def setUp(self):
        super().setUp()
        self.bad = write_data(self.dir / "bad")
        self.shard = self.bad / "train_000000.bin"
        self.tokens = text_tokens(6000, 1)

    def refuse_data(self, *parts, more=()):
        self.refuse_train(1, parts, *more, data=self.bad)

    def test_missing_folder(self):
        self.refuse_train(1, ["nowhere", "quern prepare"], data=self.dir / "nowhere")

    def test_missing_splits(self):
        for split in ["train", "val"]:
            (self.bad / f"{split}_000000.bin").rename(self.dir / "aside")
            self.refuse_data(self.bad, f"{split}_*.bin", "quern prepare")
            (self.dir / "aside").rename(self.bad / f"{split}_000000.bin")

    def test_malformed_shards(self):
        whole = shard_bytes(self.tokens)
        for name, content, parts in [
            ("empty", b"", ["0 bytes", "1024"]),
            ("magic", shard_bytes(self.tokens, magic=17), ["magic 17", "20240520"]),
            ("version", shard_bytes(self.tokens, version=9), ["version 9", "expected 1"]),
            ("negative count", shard_bytes(self.tokens, count=-1), ["-1 tokens"]),
            ("truncated", whole[:-2], ["13022 bytes", "expected 13024", "truncated"]),
            ("trailing", whole + b"\0", ["13025 bytes", "expected 13024", "after its end"]),
            ("count too large", shard_bytes(self.tokens, count=2**31 - 1), ["truncated"]),
        ]:
            with self.subTest(name):
                self.shard.write_bytes(content)
                self.refuse_data(self.shard, *parts)

    def test_a_shard_that_is_a_folder(self):
        self.shard.unlink()
        self.shard.mkdir()
        self.refuse_data(self.shard, "not a regular file")

    def test_text_shorter_than_a_sequence(self):
        self.refuse_data("6000 tokens", "6001", "shorten", more=["--seq-len", 6000])

    def test_malformed_manifest(self):
        manifest = self.bad / "data.json"
        manifest.write_text('{"format": 1,\n "vocab_size" 3}')
        self.refuse_data(manifest, "line 2, column")
        good = {"format": 1, "vocab_size": 256, "boundary_id": 0,
                "train": {"tokens": 6000, "bytes": 9000, "documents": 1},
                "val": {"tokens": 700, "bytes": 900, "documents": 1}}
        write_json(manifest, without(good, "val"))
        self.refuse_data(manifest, '"val" is missing')
        write_json(manifest, {**good, "vocab_size": 0})
        self.refuse_data(manifest, '"vocab_size" is 0')
        write_json(manifest, {**good, "val": {**good["val"], "tokens": 701}})
        self.refuse_data(manifest, "701", "700")

    def test_malformed_tokenizer(self):
        for content in [b"", b"not a model", bytes(range(256)) * 8]:
            (self.bad / "tokenizer.model").write_bytes(content)
            self.refuse_data(self.bad / "tokenizer.model")

    def write_manifest(self, vocab_size):
        counts = {"tokens": 6000, "bytes": 9000, "documents": 1}
        write_json(self.bad / "data.json",
                   {"format": 1, "vocab_size": vocab_size, "boundary_id": 0, "train": counts,
                    "val": {**counts, "tokens": 700}})

    def test_vocabulary_larger_than_the_models(self):
        self.write_manifest(300)
        parts = [self.bad, "256", "300", "--vocab-size"]
        self.refuse_train(2, parts, data=self.bad)
        self.train()
        self.refuse(2, parts, "eval", "--run", self.run_dir, "--data", self.bad)
        # A run that has not come to a checkpoint begins again, with the model that it had.
        shutil.rmtree(self.run_dir / "checkpoints")
        before = (self.run_dir / "run.json").read_bytes()
        self.refuse(2, parts, "train", "--run", self.run_dir, "--resume", "--data", self.bad)
        self.assertEqual((self.run_dir / "run.json").read_bytes(), before)

    def test_tokens_beyond_the_vocabulary(self):
        """Of data that do not state their vocabulary, or a wrong one: as they are read."""
        for manifest in [False, True]:
            with self.subTest(manifest=manifest):
                if manifest:
                    self.write_manifest(256)
                tokens = list(self.tokens)
                tokens[17::50] = [256] * len(tokens[17::50])
                self.shard.write_bytes(shard_bytes(tokens))
                run = self.dir / f"run-{manifest}"
                done = self.refuse(1, [self.shard, "is 256", "vocabulary", "another tokenizer"],
                                   *self.train_args(data=self.bad, run=run))
                position = int(re.search(r"at position (\d+) ", done.stderr).group(1))
                self.assertEqual(tokens[position], 256)
                self.assertEqual(leftovers(run), [])
                # The run has not begun: with the right data it does.
                self.shard.write_bytes(shard_bytes(self.tokens))
                self.resume(run=run)


class Configs(ProgramTest):
    def refuse_config(self, config, *parts, code=1):
        path = write_json(self.dir / "config.json", config)
        self.refuse_train(code, [path, *parts], model=path)
        self.refuse(code, [path, *parts], "plan", "--model", path)

    def test_syntax_error(self):
        path = self.dir / "config.json"
        path.write_text('{"architectures": ["LlamaForCausalLM"],\n  "hidden_size": 32,\n}')
        self.refuse_train(1, [path, "line 3, column 1"], model=path)

    def test_missing_keys(self):
        for key in ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                    "intermediate_size"]:
            self.refuse_config(without(MODEL, key), f'"{key}" is missing')

    def test_what_quern_cannot_run(self):
        for change, part in [
            ({"architectures": ["MambaForCausalLM"], "model_type": "mamba"}, "LlamaForCausalLM"),
            ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling"),
            ({"hidden_act": "relu"}, "silu"),
            ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ]:
            self.refuse_config({**MODEL, **change}, part)

    def test_impossible_sizes(self):
        for change, parts in [
            ({"num_attention_heads": 5}, ["num_attention_heads is 5", "32"]),
            ({"num_key_value_heads": 3}, ["n_kv_heads is 3", "divisor"]),
            ({"num_key_value_heads": 8}, ["n_kv_heads is 8", "1 to 4"]),
            ({"head_dim": 12}, ["head_dim is 12", "multiple of 8"]),
            ({"head_dim": 4096}, ["head_dim is 4096"]),
            ({"num_attention_heads": 0}, ['"num_attention_heads" is 0']),
            ({"hidden_size": -32}, ['"hidden_size" is -32']),
            ({"hidden_size": "wide"}, ['"hidden_size" is "wide"']),
            ({"hidden_size": 2**62}, ['"hidden_size" is 4611686018427387904']),
            ({"vocab_size": 2**31 - 1, "num_hidden_layers": 10**6}, ["config.json"]),
        ]:
            self.refuse_config({**MODEL, **change}, *parts)


class Weights(ProgramTest):
    def setUp(self):
        super().setUp()
        self.trained, self.model = self.dir / "trained", self.dir / "model"
        self.train(run=self.trained)
        shutil.copytree(self.trained / "checkpoints" / "step-6", self.model)
        self.weights = self.model / "model.safetensors"

    def refuse_weights(self, *parts):
        self.refuse_train(1, [self.weights, *parts], model=self.model)
        self.refuse(1, [self.weights, *parts],
                    "eval", "--model", self.model, "--data", self.data, "--seq-len", 32)

    def test_missing_file(self):
        self.weights.unlink()
        self.refuse_weights("No such file")

    def test_malformed_files(self):
        whole = self.weights.read_bytes()
        for name, content in [("empty", b""), ("short", whole[:7]), ("cut", whole[:-4]),
                              ("trailing", whole + b"\0" * 4), ("length", b"\xff" * 8 + whole[8:]),
                              ("header", whole[:8] + b"[" + whole[9:])]:
            with self.subTest(name):
                self.weights.write_bytes(content)
                self.refuse_weights()

    def test_missing_tensor(self):
        header, data = read_safetensors(self.weights)
        header["other.weight"] = header.pop("model.norm.weight")
        write_safetensors(self.weights, header, data)
        self.refuse_weights("model.norm.weight")

    def test_wrong_shape(self):
        header, data = read_safetensors(self.weights)
        header["model.layers.0.self_attn.q_proj.weight"]["shape"] = [16, 64]
        write_safetensors(self.weights, header, data)
        self.refuse_weights("model.layers.0.self_attn.q_proj.weight", "16", "64", "expected", "32")

    def test_wrong_dtype(self):
        header, data = read_safetensors(self.weights)
        header["model.norm.weight"]["dtype"] = "I32"
        write_safetensors(self.weights, header, data)
        self.refuse_weights("model.norm.weight", "fp32")

    def test_generating_without_a_tokenizer(self):
        self.refuse(1, ["tokenizer.model", "No such file"], "generate", "--model", self.model)

    def test_generating_with_a_malformed_tokenizer(self):
        (self.model / "tokenizer.model").write_bytes(b"\x0a\xff\xff")
        self.refuse(1, [self.model / "tokenizer.model"], "generate", "--model", self.model)

    def test_a_run_without_checkpoint(self):
        run = self.trained
        self.refuse(2, ["no checkpoint of step 3"], "eval", "--run", run, "--checkpoint", 3)
        shutil.rmtree(run / "checkpoints" / "step-6")
        self.refuse(2, [run, "no checkpoint yet", "--resume"], "eval", "--run", run)

    def test_a_run_with_a_malformed_run_json(self):
        run = self.trained
        (run / "run.json").write_text('{"steps": 6')
        self.refuse(1, [run / "run.json", "line 1"], "train", "--run", run, "--resume")
        self.refuse(1, [run / "run.json", "line 1"], "eval", "--run", run)

    def test_figures_that_cannot_be_written(self):
        self.refuse(1, ["no/figures.json", "No such file"],
                    "eval", "--run", self.trained, "--json", "no/figures.json")


class Divergence(ProgramTest):
    def test_a_held_out_loss_that_is_not_finite(self):
        """The weights of a token that only the held-out text has are NaN."""
        data = write_data(self.dir / "data")
        (data / "train_000000.bin").write_bytes(shard_bytes(text_tokens(6000, 1, VOCAB - 1)))
        (data / "val_000000.bin").write_bytes(shard_bytes([VOCAB - 1] * 700))
        untied = write_json(self.dir / "untied.json", {**MODEL, "tie_word_embeddings": False})
        self.train(run=self.dir / "first", data=data, model=untied)
        folder = self.dir / "first" / "checkpoints" / "step-6"
        header, weights = read_safetensors(folder / "model.safetensors")
        end = header["model.embed_tokens.weight"]["data_offsets"][1]
        write_safetensors(folder / "model.safetensors", header,
                          weights[:end - 4] + struct.pack("<f", float("nan")) + weights[end:])
        self.refuse(1, ["step 3: the held-out loss", "nan", "nothing was saved yet"],
                    *self.train_args("--eval-every", 3, "--save-every", 3, data=data,
                                     model=folder))
        self.assertEqual(checkpoints(self.run_dir), [])
        self.assertEqual([line["step"] for line in log_lines(self.run_dir)], [1, 2, 3])

    def test_a_loss_that_is_not_finite(self):
        done = self.refuse(1, ["step ", "expected a finite number", "--lr", "--clip"],
                           *self.train_args("--steps", 50, "--lr", 1000, "--clip", 0,
                                            "--warmup", 0, "--save-every", 1,
                                            "--eval-every", 1))
        run = self.run_dir
        text = (run / "log.jsonl").read_text()
        self.assertNotIn("nan", text)
        self.assertNotIn("inf", text)
        self.assertEqual(leftovers(run), [])
        saved = checkpoints(run)
        self.assertIn(f"step {saved[-1]} stays" if saved else "nothing was saved", done.stderr)


if __name__ == "__main__":
    main()
