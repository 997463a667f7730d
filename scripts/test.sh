#!/usr/bin/env bash
# test.sh: installs, builds and runs all tests.
#   scripts/test.sh                 everything
#   scripts/test.sh -L unit         arguments go to ctest: one label, here
#   PRESET=sanitize scripts/test.sh under ASan and UBSan
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${PRESET:-default}
scripts/packages.sh build test
cmake --preset "$preset"
cmake --build --preset "$preset"
ctest --preset "$preset" "$@"
