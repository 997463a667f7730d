#!/usr/bin/env bash
# test.sh: installs, builds and runs all tests.
#   scripts/test.sh                 everything
#   scripts/test.sh -L unit         arguments go to ctest: one label, here
#   PRESET=sanitize scripts/test.sh under ASan and UBSan
#   QUERN_NO_BROWSER=1 scripts/test.sh without Chromium (300 MB) and the test that needs it
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${PRESET:-default} options=() browser=(browser)
[ -z "${QUERN_NO_BROWSER:-}" ] || browser=()
scripts/packages.sh build test "${browser[@]}"
# A first build for tests: one CUDA architecture, and PTX for all others.
[ -e build/CMakeCache.txt ] || options=(-DCMAKE_CUDA_ARCHITECTURES=80)
cmake --preset "$preset" "${options[@]}"
cmake --build --preset "$preset"
ctest --preset "$preset" "$@"
