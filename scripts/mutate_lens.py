#!/usr/bin/env python3
"""Breaks the lens, one mistake at a time, and lists which check of its self-test says so.

    scripts/mutate_lens.py                  every mistake
    scripts/mutate_lens.py --only ln-T      one of them; may be repeated
    scripts/mutate_lens.py --list           what they are

The sources are copied, and the copy is built with each mistake in turn; each runs the experiments
that must catch it until a check fails. Exit status 1 says that none did of one. --markdown prints a
table for docs/.
"""

import argparse
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPIED = ["CMakeLists.txt", "cmake", "host", "include", "kernels"]


class Mistake(NamedTuple):
    name: str
    what: str
    file: str
    right: str  # as the source has it, once
    wrong: str
    experiments: str  # that must catch it


MISTAKES = [
    Mistake("ln-T", "entropy over ln T, not ln n", "kernels/cpu/attention_stats.h",
            "row->entropy / log((double)n)", "row->entropy / log(64.0)", "T5"),
    Mistake("distance-kernel", "distance off by one in attention", "kernels/cpu/attention_fused.c",
            "vset_int((int32_t)(position - x->first_key - x->range.first)) + vlane()",
            "vset_int((int32_t)(position - x->first_key - x->range.first) + 1) + vlane()", "T5"),
    Mistake("distance-probe", "distance off by one in the probe of patterns",
            "host/lens/patterns.c", "weight[i - j] += row[j - first];",
            "weight[i - j + (j < i)] += row[j - first];", "T2"),
    Mistake("induction-key", "induction reads the repeated token, not the one after it",
            "host/lens/patterns.c", "key = i - period + 1;", "key = i - period;", "T2"),
    Mistake("profile", "distance off by one in the profile", "host/lens/distance.c",
            "profile_at(s, of, d)", "profile_at(s, of, d ? d - 1 : 0)", "T5"),
    Mistake("masked-zeros", "masked keys count in the baseline", "host/lens/patterns.c",
            "uniform[i - j] += 1 / (double)n;", "uniform[i - j] += 1 / (double)s->T;", "T5"),
    Mistake("uncentred", "cosines of vectors that are not centred", "host/lens/synonyms.c",
            "x[w * width + i] -= mean;", "x[w * width + i] -= 0 * mean;", "T5"),
    Mistake("shuffled", "labels of synonyms shuffled", "host/lens/synonyms.c",
            "b = p->place[pairs->items[i].b];",
            "b = p->place[pairs->items[(i + 1) % pairs->count].b];", "T3"),
    Mistake("rotated", "q and k of words after rotation, not before", "host/lens/heads.c",
            "const double *row = s->cosine_sine + position * D;",
            "const double *row = s->cosine_sine + 0 * position * D;", "T5"),
    Mistake("wrong-head", "the head beside it ablated", "host/lens/ablation.c",
            "head * c->head_dim, c->head_dim);",
            "(head + 1) % c->n_heads * c->head_dim, c->head_dim);", "T5"),
    Mistake("low-threshold", "labels for anything", "include/quern/label.h",
            "#define QN_LABEL_THRESHOLD 0.3", "#define QN_LABEL_THRESHOLD 0.03", "T4"),
    Mistake("offset-first", "offset heads called induction heads", "host/lens/label.c",
            'find(figures, layer, head, "induction")', 'find(figures, layer, head, "offset")',
            "T2"),
    Mistake("leak", "a target among the tokens", "host/data/loader.c",
            "    targets[n - 1] = last;",
            "    targets[n - 1] = last;\n    for (int64_t i = 0; i < n; i++) targets[i] = tokens[i];",
            "T4"),
]


def run(*command):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Copy:
    """A copy of the sources, and what is built of it."""

    def __init__(self, folder):
        self.sources, self.build = folder / "quern", folder / "build"
        self.sources.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.sources / name)
        self.check(run("cmake", "-S", self.sources, "-B", self.build, "-G", "Ninja",
                       "-DCMAKE_BUILD_TYPE=Release", "-DQN_CUDA=OFF", "-DQN_TESTS=OFF",
                       "-DQN_WERROR=OFF"))

    def check(self, done):
        if done.returncode:
            sys.exit(done.stdout)

    def first_failure(self, experiments):
        """The first check of the self-test that fails; None where none does."""
        self.check(run("ninja", "-C", self.build, "quern"))
        command = [self.build / "quern", "lens", "selftest", "--only", experiments]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as selftest:
            for line in selftest.stdout:
                if line.startswith("FAIL"):
                    selftest.send_signal(signal.SIGINT)  # it leaves after its step
                    selftest.stdout.read()
                    return re.split(r"\s{2,}", line.strip(), maxsplit=1)[1]
        return None if selftest.returncode == 0 else "it ends with an error"

    def judge(self, mistake):
        """What catches a mistake."""
        file = self.sources / mistake.file
        text = file.read_text()
        if text.count(mistake.right) != 1:
            sys.exit(f"{mistake.file} has \"{mistake.right}\" {text.count(mistake.right)} times")
        file.write_text(text.replace(mistake.right, mistake.wrong))
        try:
            return self.first_failure(mistake.experiments)
        finally:
            file.write_text(text)


def row(mistake, failed, markdown):
    words = re.split(r"\s{2,}", failed) if failed else ["-"]
    if markdown:
        return f"| {mistake.what} | `{mistake.file}` | {': '.join(words)} |"
    return f"{mistake.name:16} {': '.join(words)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [mistake.name for mistake in MISTAKES]
    parser.add_argument("--only", action="append", choices=names)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    chosen = [m for m in MISTAKES if not options.only or m.name in options.only]
    if options.list:
        for mistake in chosen:
            print(f"{mistake.name:16} {mistake.what}")
        return 0
    survived = 0
    with tempfile.TemporaryDirectory(prefix="quern-") as folder:
        copy = Copy(pathlib.Path(folder))
        if options.markdown:
            print("| mistake | where | first check that fails |\n| --- | --- | --- |")
        for mistake in chosen:
            failed = copy.judge(mistake)
            survived += not failed
            print(row(mistake, failed, options.markdown), flush=True)
    print(f"\n{len(chosen)} mistakes: {len(chosen) - survived} caught, {survived} not")
    return survived > 0


if __name__ == "__main__":
    sys.exit(main())
