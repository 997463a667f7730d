#!/usr/bin/env python3
"""Writes a report of a training run: one HTML file that opens without a network.

    scripts/report.py runs/first
    scripts/report.py runs/first -o first.html
    scripts/report.py runs/first --compare runs/second runs/third
    scripts/report.py runs/first --frozen runs/first-frozen
    scripts/report.py runs/first --data data/first

Heads and layers are in it when attention was sampled: quern train --lens-every N. Probes and
pictures are in it when checkpoints were kept and inspected: quern train --lens-probes N, then quern
inspect --run DIR. What the run has not recorded is left out, and the report says why. --compare
draws other runs beside the first: losses, layers, synonyms, depths, vectors and gradients. --frozen
takes the same run with Wq and Wk frozen (quern train --freeze qk) and says what that costs. --data
says where the run's data are, where they are not in the folder that its run.json names: what the
current token alone tells of the next is measured on them.
"""
import argparse
import os
import pathlib
import sys

try:
    import matplotlib  # noqa: F401 (the report is drawn with it)
except ImportError:
    sys.exit(f"report.py: {sys.executable} has no matplotlib; install python3-matplotlib and run "
             "it with /usr/bin/python3")

from report import frozen, page
from report.run import NoRun, Run


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("-o", "--out", metavar="FILE",
                        help="page to write (default: report.html in the run)")
    parser.add_argument("--compare", nargs="+", default=[], metavar="RUN",
                        help="runs to draw beside it")
    parser.add_argument("--frozen", metavar="RUN", help="the same run with Wq and Wk frozen")
    parser.add_argument("--data", metavar="DIR", help="the run's data (default: as in run.json)")
    return parser.parse_args()


def write(path, content):
    """Whole or not at all."""
    part = path.with_name(path.name + ".tmp")
    try:
        part.write_text(content, encoding="utf-8", errors="replace")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        sys.exit(f"report.py: {path}: {error.strerror}")


def main():
    options = parse_arguments()
    try:
        runs = [Run(options.run, options.data), *map(Run, options.compare)]
        if options.data and runs[0].followers() is None:
            raise NoRun(f"--data {options.data}: {runs[0].lacks_followers()}")
        if options.frozen:
            runs.insert(1, frozen.twin(options.frozen))
    except NoRun as error:
        sys.exit(f"report.py: {error}")
    path = pathlib.Path(options.out) if options.out else runs[0].folder / "report.html"
    write(path, page.build(runs))
    print(path)


if __name__ == "__main__":
    main()
