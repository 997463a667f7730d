"""scripts/offline_bundle.sh with stand-ins for apt-get and dpkg: what lands in the folder, and what
stays as it is when something is wrong."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "offline_bundle.sh"
LIB = "usr/lib/x86_64-linux-gnu"
FILES = [
    f"{LIB}/openblas-openmp/libopenblas.so.0", f"{LIB}/libgfortran.so.5",
    f"{LIB}/libquadmath.so.0", f"{LIB}/libsentencepiece.so.0",
    f"{LIB}/libsentencepiece_train.so.0", f"{LIB}/libpkgconf.so.3",
    *(f"{LIB}/lib{name}.a" for name in ["jansson", "xxhash", "z", "gtest", "gtest_main"]),
    *(f"usr/include/{name}.h" for name in ["jansson", "jansson_config", "xxhash", "xxh3", "zlib",
                                           "zconf", "sentencepiece_processor"]),
    "usr/include/x86_64-linux-gnu/openblas-openmp/cblas.h", "usr/include/gtest/gtest.h",
    "usr/bin/pkgconf",
]
PC = "prefix=/usr\nlibdir=${{prefix}}/lib/x86\nincludedir=/usr/include\nName: {}\n"


class OfflineBundle(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-bundle-"))
        self.addCleanup(shutil.rmtree, self.dir)
        for name in ["bin", "scripts", "root"]:
            (self.dir / name).mkdir()
        self.script = Path(shutil.copy(SCRIPT, self.dir / "scripts"))
        self.root = self.dir / "root"
        for name in FILES:
            self.put(name, name)
        for name in ["jansson", "libxxhash", "sentencepiece"]:
            self.put(f"{LIB}/pkgconfig/{name}.pc", PC.format(name))
        self.stand_in("apt-get", 'echo "$*" > "$TREE/../asked"; touch one.deb')
        self.stand_in("dpkg", 'cp -r "$TREE"/. "$3"')
        self.stand_in("dpkg-deb", 'echo "one 1.0 amd64"')

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def stand_in(self, name, body):
        path = self.dir / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run_script(self, *args, path=None):
        environment = {**os.environ, "TREE": str(self.root),
                       "PATH": path or f"{self.dir / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run([self.script, *args], cwd=self.dir, env=environment, text=True,
                              capture_output=True, timeout=60)

    def refuse(self, words, *args, **how):
        done = self.run_script(*args, **how)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("offline_bundle.sh: ", done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        left = [p.name for p in self.dir.iterdir() if p.name.startswith("offline.")]
        self.assertEqual(left, [])

    def make(self, *args):
        done = self.run_script(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_what_lands_in_the_folder(self):
        said = self.make()
        bundle = self.dir / "offline"
        self.assertIn("offline: 0 MiB for " + os.uname().machine, said)
        self.assertEqual((bundle / "MACHINE").read_text().strip(), os.uname().machine)
        self.assertEqual((bundle / "PACKAGES").read_text(), "one 1.0 amd64\n")
        for name in ["libopenblas.so", "libopenblas.so.0", "libsentencepiece.so", "libpkgconf.so.3",
                     "libgtest.a", "libz.a"]:
            self.assertTrue((bundle / "lib" / name).is_file(), name)
        for name in ["cblas.h", "zconf.h", "gtest/gtest.h", "sentencepiece_processor.h"]:
            self.assertTrue((bundle / "include" / name).is_file(), name)
        self.assertTrue((bundle / "bin/pkg-config").is_file())
        self.assertIn("libgtest-dev", (self.dir / "asked").read_text())

    def test_pkg_config_finds_it_wherever_it_is_moved(self):
        self.make()
        for name in ["jansson", "libxxhash", "sentencepiece"]:
            lines = (self.dir / f"offline/lib/pkgconfig/{name}.pc").read_text().splitlines()
            self.assertEqual(lines[:3], ["prefix=${pcfiledir}/../..", "libdir=${prefix}/lib",
                                         "includedir=${prefix}/include"])

    def test_a_bundle_is_made_anew(self):
        self.make("there/bundle")
        (self.dir / "there/bundle/stale").touch()
        self.make("there/bundle")
        self.assertFalse((self.dir / "there/bundle/stale").exists())

    def test_another_folder_stays_as_it_is(self):
        (self.dir / "mine").mkdir()
        (self.dir / "mine/thesis").write_text("all of it")
        self.refuse(["mine is no bundle"], "mine")
        self.assertEqual((self.dir / "mine/thesis").read_text(), "all of it")

    def test_a_bundle_survives_a_failed_download(self):
        self.make()
        self.stand_in("apt-get", "exit 100")
        self.refuse(["cannot download", "apt-get update", "network"])
        self.assertTrue((self.dir / "offline/MACHINE").exists())

    def test_a_package_without_its_library(self):
        (self.root / LIB / "libquadmath.so.0").unlink()
        self.refuse(["libquadmath.so.0 is not in the packages"])
        self.assertFalse((self.dir / "offline").exists())

    def test_a_bundle_that_is_too_large(self):
        with open(self.root / LIB / "libz.a", "wb") as file:
            file.truncate(65 << 20)
        self.refuse(["expected at most 67108864"])

    def test_a_machine_without_apt(self):
        (self.dir / "bin/apt-get").unlink()
        tools = self.dir / "tools"
        tools.mkdir()
        for name in ["bash", "env", "dirname", "cat"]:
            (tools / name).symlink_to(shutil.which(name))
        self.refuse(["apt-get is missing", "Debian"], path=str(tools))

    def test_wrong_arguments(self):
        self.refuse(['"--fast" is not an option'], "--fast")
        self.refuse(['"b" is not expected'], "a", "b")
        self.assertIn("Usage", self.make("--help"))
        self.assertFalse((self.dir / "asked").exists())


if __name__ == "__main__":
    unittest.main()
