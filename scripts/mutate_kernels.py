#!/usr/bin/env python3
"""Removes each barrier, wait and arrival from the attention kernels, one at a time, and lists
which test catches it: in the optimised build, and under the race detector.

    scripts/mutate_kernels.py                                every kernel
    scripts/mutate_kernels.py --kernel fused_sm80_forward.cu one file of them; may be repeated
    scripts/mutate_kernels.py --list                         what would be removed

The build folder (--build) holds a Ninja build with tests; the script brings the tests in it up to
date and leaves it otherwise as it is: mutants are compiled and linked elsewhere, by the same
commands. A mutation survives where every test passes in every build; exit status 1 says that one
did. Mutants that do not compile are counted apart. --markdown prints a table for docs/.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ROOT / "kernels"
ATTENTION = KERNELS / "cuda" / "attention"
TESTS = ROOT / "tests" / "simt" / "kernels"
BUILDS = ("opt", "race")

SYNCHRONISATION = re.compile(
    r"\b(?:__syncthreads|__syncwarp|__threadfence\w*"
    r"|cp_async_(?:wait|commit)\w*|barrier_\w+|semaphore_\w+|mbarrier_\w+"
    r"|(?:\w+_)?fence\w*|wgmma_(?:commit|wait)\w*|(?:tma|bulk)_\w*(?:commit|wait)\w*)"
    r"\s*(?:<[^;()]*>)?\s*\(")


class Mutation(NamedTuple):
    file: pathlib.Path
    line: int
    call: str  # as the source has it
    begin: int  # offsets of the call
    end: int


# ---- what to remove ---------------------------------------------------------------------


def without_comments(text):
    """The same offsets, with blanks for comments and strings."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def closing_parenthesis(text, opening):
    depth = 0
    for i in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise ValueError(f"unbalanced parenthesis at offset {opening}")


def mutations_of(file):
    text = file.read_text()
    code = without_comments(text)
    for match in SYNCHRONISATION.finditer(code):
        end = closing_parenthesis(code, match.end() - 1) + 1
        call = " ".join(text[match.start():end].split())
        yield Mutation(file, text.count("\n", 0, match.start()) + 1, call, match.start(), end)


def attention_files():
    return sorted([*ATTENTION.glob("*.cu"), *ATTENTION.glob("*.h")])


def sources_with(file):
    """The kernels that change with a file: itself, or all that include it."""
    if file.suffix == ".cu":
        return [file]
    including = [other for other in attention_files() if f'"{file.name}"' in other.read_text()]
    return sorted({source for other in including for source in sources_with(other)})


def mutate(text, mutation):
    lines = text.count("\n", mutation.begin, mutation.end)
    return text[:mutation.begin] + "(void)0" + "\n" * lines + text[mutation.end:]


# ---- how the build folder does it --------------------------------------------------------


class Build:
    """A build folder's commands."""

    def __init__(self, folder):
        self.folder = folder
        self.compilations = json.loads((folder / "compile_commands.json").read_text())

    def test_names(self, file):
        """Tests that share a word with the name of a kernel that has the file, or all of them."""
        names = sorted(test.stem for test in TESTS.glob("test_*.cc"))
        related = set()
        for source in sources_with(file):
            words = set(source.stem.split("_")) - {"fused", "sm80", "sm90"}
            found = {name for name in names if words & set(name.split("_"))}
            if not found:
                return names
            related |= found
        return sorted(related)

    def update(self, names):
        targets = [f"{name}_{build}" for name in names for build in BUILDS]
        subprocess.run(["ninja", "-C", self.folder, *targets], check=True,
                       stdout=subprocess.DEVNULL)

    def compilation(self, source, build):
        for entry in self.compilations:
            if pathlib.Path(entry["file"]) == source and f"_{build}.dir/" in entry["command"]:
                return shlex.split(entry["command"])
        raise LookupError(f"{self.folder}: no command compiles {source} in the build {build}")

    def link(self, test):
        commands = subprocess.run(["ninja", "-C", self.folder, "-t", "commands", test], check=True,
                                  capture_output=True, text=True).stdout.splitlines()
        words = shlex.split(commands[-1])
        return [word for word in words if word not in (":", "&&")]


def with_output(command, output):
    at = command.index("-o") + 1
    return command[:at] + [str(output)] + command[at + 1:]


# ---- one mutant ---------------------------------------------------------------------------


class Mutant:
    def __init__(self, build, mutation, folder, timeout):
        self.build, self.mutation, self.timeout = build, mutation, timeout
        self.folder = pathlib.Path(folder)
        shutil.copytree(KERNELS / "cuda", self.folder / "kernels" / "cuda")
        copy = self.copied(mutation.file)
        copy.write_text(mutate(copy.read_text(), mutation))

    def copied(self, file):
        return self.folder / "kernels" / file.relative_to(KERNELS)

    def compile(self, name):
        """Objects of the build `name`; None where the mutant does not compile."""
        objects = []
        for source in sources_with(self.mutation.file):
            command = self.build.compilation(source, name)
            command = [word.replace(str(KERNELS), str(self.folder / "kernels"))
                       for word in command]
            objects.append(self.folder / f"{source.stem}_{name}.o")
            command = with_output(command, objects[-1]) + ["-w"]
            if subprocess.run(command, cwd=self.build.folder, capture_output=True).returncode:
                return None
        return objects

    def link(self, test, objects):
        """Mutated objects come before the libraries that hold the originals."""
        executable = self.folder / test
        command = with_output(self.build.link(test), executable)
        command[1:1] = map(str, objects)
        subprocess.run(command, cwd=self.build.folder, check=True, capture_output=True)
        return executable

    def failure(self, executable, name):
        """The first test that fails; None if none does."""
        filters = [] if name == "opt" else ["--gtest_filter=-*Exhaustive"]
        try:
            done = subprocess.run([executable, "--gtest_fail_fast", *filters], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  errors="replace", timeout=self.timeout)
            output, how = done.stdout, ""
            if done.returncode == 0:
                return None
        except subprocess.TimeoutExpired as expired:
            output, how = (expired.stdout or b"").decode(errors="replace"), " (timeout)"
        failed = re.search(r"\[  FAILED  \] (\w+\.\w+)", output)
        started = re.findall(r"\[ RUN      \] (\w+\.\w+)", output)
        test = failed.group(1) if failed else started[-1] if started else executable.name
        return test + how

    def caught(self, name):
        objects = self.compile(name)
        if objects is None:
            return "not compiled"
        for test in self.build.test_names(self.mutation.file):
            failure = self.failure(self.link(f"{test}_{name}", objects), name)
            if failure:
                return failure
        return None


def judge(build, mutation, timeout):
    """What caught the mutation, by build."""
    with tempfile.TemporaryDirectory() as folder:
        mutant = Mutant(build, mutation, folder, timeout)
        return mutation, {name: mutant.caught(name) for name in BUILDS}


# ---- reporting ------------------------------------------------------------------------------


def place(mutation):
    return f"{mutation.file.name}:{mutation.line}"


def print_row(mutation, caught, markdown):
    results = [caught[name] or "-" for name in BUILDS]
    if markdown:
        cells = [f"`{place(mutation)}`", f"`{mutation.call}`", *results]
        print("| " + " | ".join(cells) + " |", flush=True)
    else:
        print(f"{place(mutation):32} {mutation.call:24} "
              + "; ".join(f"{name}: {result}" for name, result in zip(BUILDS, results)), flush=True)


def report(results, markdown):
    """Prints each result as it comes; returns the mutations that survived."""
    if markdown:
        print(f"| place | removed | {' | '.join(BUILDS)} |\n| --- | --- |" + " --- |" * len(BUILDS))
    survivors, not_compiled, n = [], 0, 0
    for mutation, caught in results:
        print_row(mutation, caught, markdown)
        n += 1
        not_compiled += "not compiled" in caught.values()
        if not any(caught.values()):
            survivors.append(mutation)
    print(f"\n{n} mutations: {n - not_compiled - len(survivors)} caught, {not_compiled} not "
          f"compiled, {len(survivors)} survived")
    return survivors


def kernel_file(name):
    file = ATTENTION / pathlib.Path(name).name
    if not file.is_file():
        raise argparse.ArgumentTypeError(f"{name}: no such file in {ATTENTION}")
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", metavar="FILE", action="append", type=kernel_file)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120, help="seconds a test executable")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()

    files = options.kernel or attention_files()
    mutations = [mutation for file in files for mutation in mutations_of(file)]
    if options.list:
        for mutation in mutations:
            print(f"{place(mutation):32} {mutation.call}")
        return
    if not mutations:
        sys.exit("nothing to remove")

    build = Build(options.build.resolve())
    build.update(sorted({name for m in mutations for name in build.test_names(m.file)}))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        survivors = report(pool.map(lambda m: judge(build, m, options.timeout), mutations),
                           options.markdown)
    for mutation in survivors:
        print(f"survived: {mutation.file.relative_to(ROOT)}:{mutation.line}: {mutation.call}")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
