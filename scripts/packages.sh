#!/usr/bin/env bash
# packages.sh: installs what quern needs from Debian, each for a reason.
#   scripts/packages.sh build        to build and train
#   scripts/packages.sh build test   to run the tests too
#   scripts/packages.sh browser      and that of the report in a browser (300 MB)
# Asks before it uses sudo; says what to install when it may not.
set -euo pipefail

build=(
    g++                     # C17 and C++17 compilers
    cmake ninja-build       # the build
    pkg-config              # finds the libraries below
    libopenblas-openmp-dev  # fp32 matrix products, on OpenMP's threads like our own kernels
    libdnnl-dev             # bf16 matrix products where the CPU has instructions for them
    libsentencepiece-dev    # the tokenizer
    libjansson-dev          # JSON with line and column in its errors
    libxxhash-dev           # checksums of checkpoints
    zlib1g-dev              # inflates the default corpus
    wordnet-base            # synonyms and antonyms, for the probe of words
    python3-matplotlib      # draws the training curve
)
test=(
    libgtest-dev            # the tests
    clang-format            # the style check
    python3                 # faults: kills, full disks
)
browser=(
    chromium                # shows the report
    chromium-driver         # lets a test look at it and press its keys
    python3-selenium        # speaks to the driver
)

wanted=()
for set in "$@"; do
    case $set in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    browser) wanted+=("${browser[@]}") ;;
    *)
        echo "packages.sh: \"$set\" is not a set of packages; expected build, test or browser" >&2
        exit 2
        ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    [[ $state == ii* ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
echo "missing Debian packages: ${missing[*]}"
if ((EUID == 0)); then
    as_root=
elif ! command -v sudo >/dev/null; then
    echo "packages.sh: neither root nor sudo here; as root, run: $install" >&2
    exit 1
elif [[ -t 0 ]]; then
    read -r -p "install them with sudo? [y/N] " answer
    [[ $answer == [yY]* ]] || { echo "packages.sh: as root, run: $install" >&2; exit 1; }
    as_root=sudo
else
    echo "packages.sh: there is no terminal to ask on before using sudo;" \
         "as root, run: $install" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
$as_root $install
