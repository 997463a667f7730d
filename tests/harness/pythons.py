"""Interpreters for what not every Python here has."""

import os
import subprocess
import sys
from pathlib import Path


def python_with(*modules):
    """This interpreter, else Debian's, if it has them; or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and not subprocess.run(
                [python, "-c", f"import {', '.join(modules)}"], capture_output=True).returncode:
            return python
    return None


def go_on_with(*modules):
    """Starts this program anew in an interpreter that has them; ends it as skipped where none
    has."""
    python = python_with(*modules)
    if python is None:
        print(f"skipped: no python3 with {' and '.join(modules)}")
        sys.exit(77)
    if python != sys.executable:
        os.execv(python, [python, "-B", *sys.argv])
