"""Reads what ptxas says of each kernel: fails on a spill, and where docs/ptxas.md does not list the
kernels of these architectures as they are.

ptxas_report.py --nvcc NVCC --reports OBJECT...   of a build: OBJECT.ptxas, which it kept
ptxas_report.py --nvcc NVCC [--write] [ARCH...]   compiles all kernels for these architectures
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "ptxas.md"
HEADER = """# What ptxas makes of the kernels

Registers a thread, static shared memory a block (dynamic shared memory comes on top: launch code
says how much) and bytes spilled, for each kernel and architecture, by nvcc {nvcc}.
`tests/ptxas_report.py --write` makes this table.

| kernel | architecture | registers | static shared bytes | spilled bytes |
| --- | --- | ---: | ---: | ---: |
"""
REPORT = re.compile(
    r"Compiling entry function '(\S+)' for '(\w+)'"
    r".*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.S,
)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def readable(symbol):
    """fused_sm80_forward<64, 128, 128, 4, 2, true> from the kernel's symbol."""
    name = run("c++filt", symbol).strip()
    name = re.sub(r"^void ", "", name)
    name = re.sub(r"\w+_shape<([^>]*)>", r"\1", name)
    depth, end = 1, len(name) - 1
    while depth and name.endswith(")"):  # back to where the parameters begin
        end -= 1
        depth += {")": 1, "(": -1}.get(name[end], 0)
    return name[:end]


def compiled(nvcc, source, arch):
    with tempfile.TemporaryDirectory() as folder:
        text = run(nvcc, "-std=c++17", "-O3", "-lineinfo", "-Werror=all-warnings", f"-arch=sm_{arch}", "-cubin",
                   "-Xptxas", "-v", f"-I{ROOT / 'include'}", f"-I{ROOT / 'kernels'}",
                   f"-I{ROOT / 'kernels' / 'cuda'}",
                   str(source), "-o", f"{folder}/kernel.cubin")
    return parse(text)


def kept(report):
    try:
        return list(parse(pathlib.Path(report).read_text()))
    except OSError as error:
        sys.exit(f"{report}: {error.strerror}; compile its source again")


def parse(text):
    for symbol, sm, stores, loads, registers, rest in REPORT.findall(text):
        shared = re.search(r"(\d+) bytes smem", rest)
        yield (readable(symbol), sm, int(registers), int(shared.group(1)) if shared else 0,
               max(int(stores), int(loads)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--reports", nargs="+", metavar="OBJECT")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("arch", nargs="*", default=["80", "86", "89", "90", "100", "120"])
    options = parser.parse_args()

    if options.reports:
        rows = [row for name in options.reports for row in kept(f"{name}.ptxas")]
    else:
        jobs = [(source, arch) for source in sorted((ROOT / "kernels" / "cuda").rglob("*.cu"))
                for arch in options.arch]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda job: list(compiled(options.nvcc, *job)), jobs)
            rows = [row for group in found for row in group]
    if not rows:
        sys.exit("no kernel found in ptxas's reports")
    failed = False
    for name, sm, registers, _, spilled in rows:
        if spilled:
            print(f"{name}, {sm}: {spilled} bytes spilled, {registers} registers")
            failed = True

    lines = [f"| `{name}` | {sm} | {registers} | {shared} | {spilled} |"
             for name, sm, registers, shared, spilled in rows]
    version = re.search(r"V([\d.]+)", run(options.nvcc, "--version")).group(1)
    if options.write:
        TABLE.write_text(HEADER.format(nvcc=version) + "\n".join(lines) + "\n")
    elif f"nvcc {version}." in TABLE.read_text():
        known = TABLE.read_text().splitlines()
        compiled_for = tuple({sm for _, sm, *_ in rows})
        for line in lines:
            if line not in known:
                print(f"not in {TABLE.name}, which --write makes: {line}")
                failed = True
        for line in known:
            if line.startswith("| `") and line.split(" | ")[1] in compiled_for and line not in lines:
                print(f"in {TABLE.name}, which --write makes, and no kernel: {line}")
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
