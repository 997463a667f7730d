#!/usr/bin/env python3
"""Writes the curves of training runs for Weights & Biases.

    scripts/to_wandb.py runs/first && wandb sync runs/first/wandb/offline-run-*
    scripts/to_wandb.py runs/first runs/second --project attention --mode online

Offline, which needs no account, a run goes into RUN/wandb; wandb sync uploads it. Loss, rate,
gradient norm, speed, tokens and seconds are under train/, held-out loss under eval/, the figures of
attention and of probes under lens/METRIC/layerL/headH and their baselines under baseline/ in place
of lens/. Of profiles over distances there are those of powers of two. Steps are the run's. The
run's options and config.json are its config. Each call makes a new run of wandb's.
"""
import argparse
import os
import sys

try:
    import numpy  # noqa: F401 (runs.scalars reads with it)
    import wandb
except ImportError as error:
    sys.exit(f"to_wandb.py: {error.name} is missing; in a virtual environment: "
             "pip install wandb numpy")

from report.run import NoRun
from runs.scalars import Curves


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument("--project", default="quern", metavar="NAME",
                        help="project of wandb's (default: %(default)s)")
    parser.add_argument("--mode", choices=("offline", "online"), default="offline",
                        help="write into the run's folder, or upload (default: %(default)s)")
    return parser.parse_args()


def start(run, options):
    """A run of wandb's that records nothing of this machine and this folder: it is not of them."""
    settings = wandb.Settings(console="off", silent=options.mode == "offline", disable_git=True,
                              disable_code=True, x_disable_meta=True, x_disable_stats=True,
                              x_disable_machine_info=True, x_save_requirements=False)
    return wandb.init(project=options.project, name=run.name, mode=options.mode,
                      dir=str(run.folder), settings=settings,
                      config={**run.options, "environment": run.environment,
                              "config": run.config})


def row_of(scalars):
    row = {name: scalar.value for name, scalar in scalars.items()}
    return row | {name.replace("lens/", "baseline/", 1): scalar.baseline
                  for name, scalar in scalars.items() if scalar.baseline is not None}


def convert(curves, options):
    """Where the run is: a folder or an address."""
    # wandb takes another folder, without a word, where it cannot write into this one.
    if not os.access(curves.run.folder, os.W_OK):
        sys.exit(f"to_wandb.py: {curves.run.folder} cannot be written to")
    with start(curves.run, options) as out:
        for step, scalars in curves.at.items():
            out.log(row_of(scalars), step=step)
        return out.url if options.mode == "online" else os.path.dirname(out.dir)


def main():
    options = parse_arguments()
    for run in options.runs:
        try:
            curves = Curves(run)
            for note in curves.run.notes:
                print(f"to_wandb.py: {run}: {note}", file=sys.stderr)
            print(convert(curves, options))
        except NoRun as error:
            sys.exit(f"to_wandb.py: {error}")
        except wandb.Error as error:
            sys.exit(f"to_wandb.py: {run}: {error}")


if __name__ == "__main__":
    main()
