"""A small run with every kind of figure, what converters must make of it, and how to call one."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SECONDS = 2.5  # of training, at step 3

LOG = [{"step": 1, "tokens": 64, "loss": 4.5, "lr": 0.001, "grad_norm": 1.25,
        "tokens_per_s": 100.5, "seconds": 1.0},
       {"step": 2, "tokens": 128, "loss": 4.25, "lr": 0.002, "grad_norm": None,
        "tokens_per_s": 101.5, "seconds": 1.5},
       {"step": 3, "tokens": 192, "loss": 4.0, "lr": 0.002, "grad_norm": 1.5,
        "tokens_per_s": 102.5, "seconds": SECONDS},
       {"step": 3, "val_loss": 4.125, "bits_per_byte": 1.75}]


def figure(step, layer, head, metric, value, baseline=None, **more):
    return {"step": step, "tokens": 64 * step, "layer": layer, "head": head, "metric": metric,
            "value": value, "baseline": baseline, "n": 8, **more}


LENS = [figure(1, 0, 0, "entropy", 0.75, 1), figure(1, 1, 1, "entropy", 0.5, 1),
        figure(1, 1, 1, "max_logit", 3.5), figure(1, 1, 0, "sink", None, 0.25),
        figure(3, 0, 0, "entropy", 0.625, 1), figure(1, 0, None, "grad_norm_q", 0.125),
        figure(3, None, None, "grad_norm_embedding", 0.375),
        figure(5, 0, 0, "sink", None, 0.25)]
INSPECT = [figure(0, 0, 1, "offset", 0.5, 0.25, at=15),
           figure(2, 1, None, "lens_loss", 1.75, 2.0),
           figure(2, 2, None, "lens_loss", 1.5, 2.0), figure(2, 0, None, "cka", 0.875, 0.0, at=2),
           *(figure(2, 0, 0, "profile", at / 4, at=at) for at in range(6))]
DAMAGED = ["{", "[]", json.dumps(figure(1, -1, 0, "entropy", 9)),
           json.dumps(figure(1, None, 0, "entropy", 9)),
           json.dumps(figure("x", 0, 0, "entropy", 9))]
INFINITE = json.dumps(figure(1, 0, 1, "entropy", 9)).replace("9", "1e999", 1)

# {step: {name: value}} and, of those that have one, the baseline.
VALUES = {
    0: {"lens/offset/layer0/head1": 0.5, "lens/offset_at/layer0/head1": 15},
    1: {"train/loss": 4.5, "train/lr": 0.001, "train/grad_norm": 1.25, "train/tokens_per_s": 100.5,
        "train/tokens": 64, "train/seconds": 1, "lens/entropy/layer0/head0": 0.75,
        "lens/entropy/layer1/head1": 0.5, "lens/max_logit/layer1/head1": 3.5,
        "lens/grad_norm_q/layer0": 0.125},
    2: {"train/loss": 4.25, "train/lr": 0.002, "train/tokens_per_s": 101.5, "train/tokens": 128,
        "train/seconds": 1.5, "lens/lens_loss/layer1": 1.75, "lens/lens_loss/layer2": 1.5,
        "lens/cka/layer0/at2": 0.875,
        "lens/profile/layer0/head0/at0": 0, "lens/profile/layer0/head0/at1": 0.25,
        "lens/profile/layer0/head0/at2": 0.5, "lens/profile/layer0/head0/at4": 1},
    3: {"train/loss": 4, "train/lr": 0.002, "train/grad_norm": 1.5, "train/tokens_per_s": 102.5,
        "train/tokens": 192, "train/seconds": SECONDS, "eval/val_loss": 4.125,
        "eval/bits_per_byte": 1.75, "lens/entropy/layer0/head0": 0.625,
        "lens/grad_norm_embedding": 0.375}}
BASELINES = {0: {"lens/offset/layer0/head1": 0.25},
             1: {"lens/entropy/layer0/head0": 1, "lens/entropy/layer1/head1": 1},
             2: {"lens/lens_loss/layer1": 2, "lens/lens_loss/layer2": 2, "lens/cka/layer0/at2": 0},
             3: {"lens/entropy/layer0/head0": 1}}


def write(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        '{"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8}')
    (folder / "run.json").write_text(
        '{"lr": 0.002, "lens-every": 2, "environment": {"device": "a processor"}}')
    for name, lines in (("log", LOG), ("lens", LENS), ("inspect", INSPECT)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    with open(folder / "lens.jsonl", "a") as file:
        file.writelines(line + "\n" for line in (*DAMAGED, INFINITE))
    return folder


def start(python, script, *args):
    return subprocess.run([python, "-B", SCRIPTS / script, *map(str, args)], text=True,
                          capture_output=True, timeout=120, env={**os.environ, "TZ": "UTC"})


def start_without(module, script):
    """The script where a module is missing, which need not be here either."""
    code = (f"import runpy, sys; sys.modules[{module!r}] = None; sys.argv = [{script!r}, 'run']; "
            f"sys.path.insert(0, {str(SCRIPTS)!r}); "
            f"runpy.run_path({str(SCRIPTS / script)!r}, run_name='__main__')")
    return subprocess.run([sys.executable, "-B", "-c", code], text=True, capture_output=True,
                          timeout=120)
