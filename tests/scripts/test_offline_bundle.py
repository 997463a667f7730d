"""scripts/offline_bundle.sh with stand-ins for apt-get and dpkg, whose packages hold what the real
ones do: what lands in the folder, and what stays as it is when something is wrong."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "offline_bundle.sh"

LIB = "usr/lib/x86_64-linux-gnu"
PC = "prefix=/usr\nlibdir=${prefix}/lib/x86_64-linux-gnu\nincludedir=/usr/include\n\nLibs: -L${libdir} -l"

# Files of each package; contents are the paths where none is given.
PACKAGES = {
    "libopenblas0-openmp": [f"{LIB}/openblas-openmp/libopenblas.so.0"],
    "libopenblas-openmp-dev": ["usr/include/x86_64-linux-gnu/openblas-openmp/cblas.h",
                               "usr/include/x86_64-linux-gnu/openblas-openmp/openblas_config.h"],
    "libgfortran5": [f"{LIB}/libgfortran.so.5"],
    "libquadmath0": [f"{LIB}/libquadmath.so.0"],
    "libsentencepiece0": [f"{LIB}/libsentencepiece.so.0", f"{LIB}/libsentencepiece_train.so.0"],
    "libsentencepiece-dev": ["usr/include/sentencepiece_processor.h",
                             f"{LIB}/pkgconfig/sentencepiece.pc"],
    "libjansson-dev": [f"{LIB}/libjansson.a", "usr/include/jansson.h",
                       "usr/include/jansson_config.h", f"{LIB}/pkgconfig/jansson.pc"],
    "libxxhash-dev": [f"{LIB}/libxxhash.a", "usr/include/xxhash.h", "usr/include/xxh3.h",
                      f"{LIB}/pkgconfig/libxxhash.pc"],
    "zlib1g-dev": [f"{LIB}/libz.a", "usr/include/zlib.h", "usr/include/zconf.h"],
    "libgtest-dev": [f"{LIB}/libgtest.a", f"{LIB}/libgtest_main.a", "usr/include/gtest/gtest.h",
                     "usr/include/gtest/internal/gtest-port.h"],
    "pkgconf-bin": ["usr/bin/pkgconf"],
    "libpkgconf3": [f"{LIB}/libpkgconf.so.3"],
}

# Names in the bundle, and the file of a package that is there; links name what they lead to.
FILES = {
    "bin/pkg-config": "usr/bin/pkgconf",
    **{f"lib/{name}": f"{LIB}/{name}" for name in [
        "libgfortran.so.5", "libquadmath.so.0", "libsentencepiece.so.0",
        "libsentencepiece_train.so.0", "libpkgconf.so.3", "libjansson.a", "libxxhash.a", "libz.a",
        "libgtest.a", "libgtest_main.a"]},
    "lib/libopenblas.so.0": f"{LIB}/openblas-openmp/libopenblas.so.0",
    **{f"include/{name}": f"usr/include/{name}" for name in [
        "jansson.h", "jansson_config.h", "xxhash.h", "xxh3.h", "zlib.h", "zconf.h",
        "sentencepiece_processor.h", "gtest/gtest.h", "gtest/internal/gtest-port.h"]},
    **{f"include/{name}": f"usr/include/x86_64-linux-gnu/openblas-openmp/{name}" for name in [
        "cblas.h", "openblas_config.h"]},
}
LINKS = {"lib/libopenblas.so": "libopenblas.so.0",
         "lib/libsentencepiece.so": "libsentencepiece.so.0",
         "lib/libsentencepiece_train.so": "libsentencepiece_train.so.0"}
WRITTEN = {"PACKAGES", "MACHINE", *(f"lib/pkgconfig/{name}.pc" for name in [
    "jansson", "libxxhash", "sentencepiece"])}

STAND_INS = {
    "apt-get": r"""
while [ "$1" != download ]; do shift; done
shift
for package; do
    [ -d "$REGISTRY/$package" ] || { echo "E: Unable to locate package $package" >&2; exit 100; }
    : >"${package}_1.0_amd64.deb"
done""",
    "dpkg": r"""
[ "$1" = -x ] || exit 2
package=$(basename "$2")
cp -a "$REGISTRY/${package%%_*}/." "$3" """,
    "dpkg-deb": r"""
for deb; do :; done
basename "$deb" .deb | tr _ ' ' """,
}


class OfflineBundle(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quern-offline-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.root, self.bin = self.dir / "quern", self.dir / "bin"
        self.registry = self.dir / "registry"
        for folder in (self.root / "scripts", self.bin):
            folder.mkdir(parents=True)
        self.script = Path(shutil.copy(SCRIPT, self.root / "scripts"))
        for name, body in STAND_INS.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.bin / name).chmod(0o755)
        for package, files in PACKAGES.items():
            for name in files:
                path = self.registry / package / name
                path.parent.mkdir(parents=True, exist_ok=True)
                is_pc = name.endswith(".pc")
                path.write_text(PC + path.stem + "\n" if is_pc else name)
        self.bundle = self.root / "offline"

    def start(self, *args, path=None):
        environment = {**os.environ, "REGISTRY": str(self.registry),
                       "PATH": path or f"{self.bin}:{os.environ['PATH']}"}
        return subprocess.run([shutil.which("bash"), self.script, *args], env=environment,
                              cwd=self.dir, text=True, capture_output=True, timeout=60)

    def make(self, *args):
        done = self.start(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, *args, words, **how):
        done = self.start(*args, **how)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def in_root(self):
        """What lies beside the scripts: no unfinished folder may be left."""
        return sorted(p.name for p in self.root.iterdir() if p != self.root / "scripts")

    def test_what_lands_in_the_folder(self):
        self.assertIn(f"{self.bundle}: 0 MiB for {platform.machine()}", self.make())
        there = {str(p.relative_to(self.bundle)) for p in self.bundle.rglob("*") if not p.is_dir()}
        self.assertEqual(there, {*FILES, *LINKS, *WRITTEN})
        for name, origin in FILES.items():
            self.assertFalse((self.bundle / name).is_symlink(), name)
            self.assertEqual((self.bundle / name).read_text(), origin)
        for name, target in LINKS.items():
            self.assertEqual(os.readlink(self.bundle / name), target)
        self.assertEqual(sorted((self.bundle / "PACKAGES").read_text().splitlines()),
                         sorted(f"{name} 1.0 amd64" for name in PACKAGES))
        self.assertEqual((self.bundle / "MACHINE").read_text(), platform.machine() + "\n")
        self.assertEqual(self.in_root(), ["offline"])

    def test_pkg_config_files_lead_into_the_bundle(self):
        self.make()
        for name in ["jansson", "libxxhash", "sentencepiece"]:
            text = (self.bundle / "lib" / "pkgconfig" / f"{name}.pc").read_text()
            self.assertEqual(text, "prefix=${pcfiledir}/../..\nlibdir=${prefix}/lib\n"
                             "includedir=${prefix}/include\n\nLibs: -L${libdir} -l" + name + "\n")

    def test_into_another_folder(self):
        self.make(self.dir / "a b" / "c")
        self.assertTrue((self.dir / "a b" / "c" / "MACHINE").exists())
        self.assertEqual(self.in_root(), [])

    def test_links_in_packages_are_followed(self):
        library = self.registry / "libgfortran5" / LIB / "libgfortran.so.5"
        library.rename(library.with_name("libgfortran.so.5.0.0"))
        library.symlink_to("libgfortran.so.5.0.0")
        self.make()
        copy = self.bundle / "lib" / "libgfortran.so.5"
        self.assertFalse(copy.is_symlink())
        self.assertEqual(copy.read_text(), FILES["lib/libgfortran.so.5"])

    # ---- a folder that is there already -----------------------------------------------------

    def test_a_bundle_is_replaced(self):
        for again in ["offline", "offline/", "./offline//"]:
            self.make()
            (self.bundle / "old").touch()
            self.make(again)
            self.assertFalse((self.bundle / "old").exists())
            self.assertTrue((self.bundle / "lib" / "libz.a").exists(), again)
            self.assertEqual(self.in_root(), ["offline"])

    def test_what_is_no_bundle_stays(self):
        self.bundle.mkdir()
        (self.bundle / "thesis.tex").touch()
        self.refused(words=["offline is no bundle", "stays as it is"])
        self.assertEqual([p.name for p in self.bundle.iterdir()], ["thesis.tex"])
        self.assertEqual(self.in_root(), ["offline"])

    # ---- what is missing --------------------------------------------------------------------

    def test_a_missing_package(self):
        self.make()
        before = (self.bundle / "PACKAGES").read_text()
        shutil.rmtree(self.registry / "libxxhash-dev")
        self.refused(words=["package libxxhash-dev", "cannot download", "apt-get update"])
        self.assertEqual((self.bundle / "PACKAGES").read_text(), before)
        self.assertEqual(self.in_root(), ["offline"])

    def test_a_package_without_its_library(self):
        (self.registry / "libquadmath0" / LIB / "libquadmath.so.0").unlink()
        self.refused(words=["libquadmath.so.0 is not in the packages"])
        self.assertEqual(self.in_root(), [])

    def test_a_package_without_its_header(self):
        (self.registry / "zlib1g-dev" / "usr/include/zlib.h").unlink()
        self.refused(words=["zlib.h"])
        self.assertEqual(self.in_root(), [])

    def test_too_large(self):
        library = self.registry / "libopenblas0-openmp" / LIB / "openblas-openmp/libopenblas.so.0"
        os.truncate(library, 65 << 20)
        self.refused(words=["expected at most 67108864"])
        self.assertEqual(self.in_root(), [])

    def test_not_on_debian(self):
        for name in ["dirname", "bash"]:
            (self.bin / name).symlink_to(shutil.which(name))
        for name in ["apt-get", "dpkg"]:
            (self.bin / name).rename(self.dir / name)
            self.refused(words=[f"{name} is missing", "made on Debian"], path=str(self.bin))
            (self.dir / name).rename(self.bin / name)

    # ---- arguments --------------------------------------------------------------------------

    def test_arguments(self):
        self.refused("--fast", words=['"--fast" is not an option', "--help"])
        self.refused("one", "two", words=['"two" is not expected here'])
        self.assertIn("Usage: scripts/offline_bundle.sh [DIR]", self.make("--help"))
        self.assertEqual(self.in_root(), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
