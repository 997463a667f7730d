#!/usr/bin/env bash
# test.sh: installs, builds and runs all tests.
#   scripts/test.sh                 everything
#   scripts/test.sh -L unit         arguments go to ctest: one label, here
#   PRESET=sanitize scripts/test.sh under ASan and UBSan
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${PRESET:-default} options=()
scripts/packages.sh build test
# A first build for tests: one CUDA architecture, and PTX for all others.
[ -e build/CMakeCache.txt ] || options=(-DCMAKE_CUDA_ARCHITECTURES=80)
cmake --preset "$preset" "${options[@]}"
cmake --build --preset "$preset"
ctest --preset "$preset" "$@"
