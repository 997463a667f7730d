#!/usr/bin/env python3
"""Writes the curves of training runs for TensorBoard.

    scripts/to_tensorboard.py runs/first && tensorboard --logdir runs
    scripts/to_tensorboard.py runs/first runs/second --logdir curves && tensorboard --logdir curves

Loss, rate, gradient norm and speed are under train/, held-out loss under eval/, and the figures of
attention and of probes under lens/METRIC/layerL/headH. A second TensorBoard run, RUN/baseline, has
the baselines under the same names, so that each chart shows both. Of profiles over distances there
are those of powers of two. Steps are the run's; times are those of its log, counted back from when
that was last written. Another call replaces what the last one wrote.

TensorBoard shows 1,000 points of a curve unless it is told otherwise: --samples_per_plugin
scalars=100000.
"""
import argparse
import pathlib
import sys

try:
    import numpy  # noqa: F401 (runs.scalars reads with it)
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError as error:
    sys.exit(f"to_tensorboard.py: {error.name} is missing; in a virtual environment: "
             "pip install tensorboard")

from report.run import NoRun
from runs.scalars import Curves

OURS = ".quern"  # ends the names of files that this script may replace


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument("--logdir", metavar="DIR",
                        help="writes into DIR/NAME of each run (default: RUN/tensorboard)")
    return parser.parse_args()


def write(folder, curves, times, pick):
    """One file with what `pick` takes of each Scalar; times: {step: seconds since 1970}."""
    before = list(folder.glob(f"events.out.tfevents.*{OURS}"))
    writer = EventFileWriter(str(folder), filename_suffix=OURS)
    for step, scalars in curves.at.items():
        values = [Summary.Value(tag=name, simple_value=pick(scalar))
                  for name, scalar in scalars.items() if pick(scalar) is not None]
        if values:
            writer.add_event(Event(step=step, wall_time=times[step], summary=Summary(value=values)))
    writer.flush()  # tells of a full disk; close does not
    writer.close()
    for path in before:
        path.unlink()


def convert(curves, folder):
    log = curves.run.folder / "log.jsonl"
    times = curves.times()
    began = log.stat().st_mtime - max(times.values()) if log.exists() else 0
    times = {step: began + seconds for step, seconds in times.items()}
    write(folder, curves, times, lambda scalar: scalar.value)
    if any(x.baseline is not None for scalars in curves.at.values() for x in scalars.values()):
        write(folder / "baseline", curves, times, lambda scalar: scalar.baseline)


def destinations(options):
    """{folder to write: run folder}."""
    found = {}
    for run in map(pathlib.Path, options.runs):
        folder = (pathlib.Path(options.logdir) / run.resolve().name if options.logdir
                  else run / "tensorboard")
        if folder in found:
            sys.exit(f"to_tensorboard.py: {found[folder]} and {run} would both go into {folder}; "
                     "give them in two calls with a --logdir each")
        found[folder] = run
    return found


def main():
    for folder, run in destinations(parse_arguments()).items():
        try:
            curves = Curves(run)
            for note in curves.run.notes:
                print(f"to_tensorboard.py: {run}: {note}", file=sys.stderr)
            convert(curves, folder)
        except NoRun as error:
            sys.exit(f"to_tensorboard.py: {error}")
        except OSError as error:
            sys.exit(f"to_tensorboard.py: {error.filename or folder}: {error.strerror}")
        print(folder)


if __name__ == "__main__":
    main()
