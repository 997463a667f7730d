"""scripts/packages.sh as a user without root: it asks before it uses sudo, and says what to
install when it may not. dpkg-query, sudo and apt-get are stand-ins: nothing is installed."""

import os
import pty
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "packages.sh"
NOBODY = 65534
INSTALL = "apt-get install -y --no-install-recommends "


class Packages(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.bin, self.calls = self.dir / "bin", self.dir / "calls"
        self.bin.mkdir()
        self.script = Path(shutil.copy(SCRIPT, self.dir))
        self.calls.touch()
        self.missing("g++", "libgtest-dev")
        self.stand_in("apt-get", f'echo "as root: apt-get $*" >> {self.calls}')
        self.stand_in("sudo", f'echo "sudo $*" >> {self.calls}')
        for path in [self.dir, self.bin, self.script]:
            path.chmod(0o755)
        self.calls.chmod(0o666)

    def stand_in(self, name, body):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def missing(self, *packages):
        """dpkg-query knows all packages but these."""
        self.stand_in("dpkg-query", f'for package; do :; done\ncase "$package" in\n'
                      f'{"|".join(packages) or "none"}) exit 1 ;;\n*) echo "ii " ;;\nesac')

    def start(self, *sets, root=False, path=None, **streams):
        """The script as nobody, or as whoever runs the tests if that is not root."""
        user = {} if root or os.geteuid() else {"user": NOBODY, "group": NOBODY,
                                                "extra_groups": []}
        return subprocess.Popen(["bash", self.script, *sets], cwd=self.dir, text=True,
                                env={"PATH": path or f"{self.bin}:/usr/bin:/bin"},
                                **streams, **user)

    def run_without_terminal(self, *sets, **how):
        child = self.start(*sets, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, **how)
        said, errors = child.communicate(timeout=60)
        return child.returncode, said, errors

    def run_on_terminal(self, answer, *sets):
        """Exit code and what the terminal shows after `answer` is typed."""
        ours, its = pty.openpty()
        child = self.start(*sets, stdin=its, stdout=its, stderr=its)
        os.close(its)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        self.assertEqual(self.calls.read_text(), "", "before an answer")
        os.write(ours, answer.encode() + b"\n")
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        return child.wait(timeout=60), shown.decode()

    def test_nothing_is_missing(self):
        self.missing()
        self.assertEqual(self.run_without_terminal("build", "test"), (0, "", ""))
        self.assertEqual(self.calls.read_text(), "")

    def test_uses_sudo_after_a_yes(self):
        code, shown = self.run_on_terminal("y", "build", "test")
        self.assertEqual(code, 0, shown)
        self.assertIn("missing Debian packages: g++ libgtest-dev", shown)
        self.assertEqual(self.calls.read_text().splitlines(),
                         ["sudo apt-get update -q", f"sudo {INSTALL}g++ libgtest-dev"])

    def test_uses_no_sudo_otherwise(self):
        for answer in ["n", "", "maybe"]:
            code, shown = self.run_on_terminal(answer, "build")
            self.assertEqual(code, 1, shown)
            self.assertIn(f"as root, run: {INSTALL}g++", shown)
        self.assertEqual(self.calls.read_text(), "")

    def test_without_a_terminal_it_asks_nobody(self):
        code, _, errors = self.run_without_terminal("build")
        self.assertEqual(code, 1)
        self.assertIn("no terminal to ask on", errors)
        self.assertIn(f"as root, run: {INSTALL}g++", errors)
        self.assertEqual(self.calls.read_text(), "")

    def test_without_sudo_it_says_what_to_install(self):
        (self.bin / "sudo").unlink()
        (self.bin / "bash").symlink_to(shutil.which("bash"))  # and the machine's own is not on PATH
        code, _, errors = self.run_without_terminal("test", path=str(self.bin))
        self.assertEqual(code, 1)
        self.assertIn("neither root nor sudo", errors)
        self.assertIn(f"as root, run: {INSTALL}libgtest-dev", errors)

    @unittest.skipIf(os.geteuid(), "only root can be root")
    def test_root_needs_no_sudo(self):
        code, _, errors = self.run_without_terminal("build", root=True)
        self.assertEqual(code, 0, errors)
        self.assertEqual(self.calls.read_text().splitlines(),
                         ["as root: apt-get update -q", f"as root: {INSTALL}g++"])

    def test_the_browser_is_a_set_of_its_own(self):
        self.missing("chromium", "python3-selenium")
        self.assertEqual(self.run_without_terminal("build", "test"), (0, "", ""))
        code, _, errors = self.run_without_terminal("browser")
        self.assertEqual(code, 1)
        self.assertIn(f"as root, run: {INSTALL}chromium python3-selenium", errors)

    def test_unknown_set(self):
        code, _, errors = self.run_without_terminal("docs")
        self.assertEqual(code, 2)
        self.assertIn('"docs" is not a set of packages', errors)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
