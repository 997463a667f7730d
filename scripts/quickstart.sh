#!/usr/bin/env bash
# quickstart.sh: from a fresh machine to a trained model that writes.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
Usage: scripts/quickstart.sh [OPTION...]

Installs what is missing, builds, prepares a corpus, trains a small model on it, lets it
write, and reports how its attention learnt. Steps that are done already are skipped, an
interrupted training goes on.

Where quern can use a GPU it trains a larger model (recipes/quickstart-gpu.json) on more text,
with fewer steps on slower cards: five minutes by estimate; it has not run on a GPU yet.

  --run DIR        run folder (default runs/quickstart-CORPUS, on a GPU quickstart-gpu-CORPUS)
  --corpus NAME    austen or classic (default austen, on a GPU classic where it can be had)
  --data DIR       data folder (default data/CORPUS)
  --steps N        steps of training (default: about five minutes, on a CPU with two cores)
  --prompt TEXT    what the sample continues (default "It is a truth")
  --skip-install   do not look for missing Debian packages
  --dry-run        only print the commands; build/quern must be there, to say what it runs on
  --help           this

Examples:
  scripts/quickstart.sh
  scripts/quickstart.sh --steps 200 --run runs/short
END
}

run= corpus= data= steps= prompt="It is a truth" install=yes dry_run=no
need() { (($# > 1)) || { echo "quickstart.sh: $1 needs a value" >&2; exit 2; }; }
while (($#)); do
    case $1 in
    --run) need "$@"; run=$2; shift ;;
    --corpus) need "$@"; corpus=$2; shift ;;
    --data) need "$@"; data=$2; shift ;;
    --steps) need "$@"; steps=$2; shift ;;
    --prompt) need "$@"; prompt=$2; shift ;;
    --skip-install) install=no ;;
    --dry-run) dry_run=yes ;;
    --help) usage; exit 0 ;;
    *) echo "quickstart.sh: \"$1\" is not an option; --help lists them" >&2; exit 2 ;;
    esac
    shift
done

if [[ $dry_run == yes && ! -x build/quern ]]; then
    echo "quickstart.sh: --dry-run asks build/quern about this machine; it is not built yet" >&2
    exit 1
fi

say() { printf '\n== %s\n' "$*"; }

# Runs a command, or prints it on the script's own output.
exec 3>&1
perform() {
    [[ $dry_run == yes ]] || { "$@"; return; }
    printf '%q ' "$@" >&3
    echo >&3
}

# ---- the build: sets build_options ----------------------------------------------------------

# nvcc, where CMake finds it.
find_nvcc() {
    local nvcc
    for nvcc in "${CUDACXX:-}" "$(command -v nvcc)" "${CUDA_PATH:-}/bin/nvcc" \
        "${CUDA_HOME:-}/bin/nvcc" /usr/local/cuda/bin/nvcc; do
        [[ ! -x $nvcc ]] || { echo "$nvcc"; return; }
    done
}

# Kernels for the cards of this machine alone, in place of six generations' (CMake's "native" would
# need 3.24, and would take cards that quern does not run on). What the build has already stays, and
# so does what is usual where a card is too old for quern or too new for nvcc.
find_architectures() {
    local nvcc capability known architectures=
    build_options=()
    ! grep -qs '^CMAKE_CUDA_ARCHITECTURES:' build/CMakeCache.txt || return 0
    nvcc=$(find_nvcc)
    [[ $nvcc ]] && known=$("$nvcc" --list-gpu-arch 2>/dev/null) || return 0
    for capability in $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
        tr -d . | sort -un); do
        [[ $capability =~ ^[0-9]+$ ]] && ((capability >= 80)) &&
            grep -qx "compute_$capability" <<<"$known" || return 0
        architectures+=${architectures:+;}$capability-real
    done
    [[ -z $architectures ]] || build_options=("-DCMAKE_CUDA_ARCHITECTURES=$architectures")
}

# ---- the device: sets gpu to yes or no, and on_cpu to flags that keep quern off a GPU ---------

recipe=recipes/quickstart-gpu.json

# About the device, as the program says it: backend, backends, name, memory_free, peak_tflops.
device() { sed -n "s/^$1 //p" <<<"$device"; }

# Other programs may use most of the GPU's memory.
recipe_fits() {
    local plan fits=no
    plan=$(mktemp)
    build/quern plan --config "$recipe" --json "$plan" >/dev/null
    ! grep -q '"fits": true' "$plan" || fits=yes
    rm "$plan"
    [[ $fits == yes ]]
}

find_device() {
    gpu=no on_cpu=()
    device=$(build/quern info --device)
    if [[ $(device backend) != cuda ]]; then
        [[ " $(device backends) " == *" cuda "* || $(nvidia-smi -L 2>/dev/null) != GPU* ]] ||
            echo "there is a GPU: quern would use it if the CUDA toolkit (nvcc) were installed"
    elif recipe_fits; then
        gpu=yes
    else
        on_cpu=(--backend cpu)
        echo "$(device name) has too little memory free, $(device memory_free) bytes: the CPU it is"
    fi
}

# The recipe's steps take an H100 five minutes at 250,000 tokens/s. Other cards get those that they
# can do at a tenth of their data sheet's rate: with 16,384 tokens a step and 167 MFLOP a token, 11
# for each TFLOP/s. A card whose data sheet is not known counts as one of 80 TFLOP/s. They read
# classic eight times; more often than that, austen (a million tokens) would be learnt by heart.
estimate_steps() {
    local most tflops
    most=$(sed -n 's/.*"steps": *\([0-9]*\).*/\1/p' "$recipe")
    [[ $corpus == classic ]] || most=500
    tflops=$(device peak_tflops)
    ((tflops > 0)) || tflops=80
    steps=$((11 * tflops < most ? 11 * tflops : most))
    echo "$(device name): $steps steps, at most five minutes by estimate (never timed on a GPU)"
}

# ---- the corpus -----------------------------------------------------------------------------

fetch_corpus() {
    if [[ -z $corpus && $gpu == yes ]]; then
        corpus=classic
        perform scripts/corpus.sh classic && return
        echo "classic cannot be had here; austen is an eighth of it"
    elif [[ -n $corpus ]]; then
        perform scripts/corpus.sh "$corpus"
        return
    fi
    corpus=austen
    perform scripts/corpus.sh austen
}

# ---- the way ----------------------------------------------------------------------------------

if [[ $install == yes ]]; then
    say "packages"
    perform scripts/packages.sh build
fi

say "build"
find_architectures
perform cmake --preset default -DQN_TESTS=OFF "${build_options[@]}" >/dev/null
perform cmake --build --preset default --target quern
find_device

say "corpus"
fetch_corpus
data=${data:-data/$corpus}
perform build/quern prepare --corpus "$corpus" --out "$data"

if [[ $gpu == yes ]]; then
    run=${run:-runs/quickstart-gpu-$corpus}
else
    run=${run:-runs/quickstart-$corpus}
fi
say "training: $run"
options=(--run "$run" --data "$data" --lens-every 32)
# Probes of the larger model would take gigabytes, and an inspection of each a quarter of a minute.
[[ $gpu == yes ]] || options+=(--lens-probes 500)
# A run that has begun knows its options.
if [[ $gpu == yes && ! -e $run/run.json ]]; then
    [[ -n $steps ]] || estimate_steps
    options+=(--config "$recipe")
fi
[[ -z $steps ]] || options+=(--steps "$steps")
[[ ! -d $run ]] || options+=(--resume)
perform build/quern train "${options[@]}" "${on_cpu[@]}"

say "a sample"
sample=$run/sample.txt
[[ $dry_run == no ]] || sample=/dev/null
perform build/quern generate --run "$run" --prompt "$prompt" --max-tokens 200 "${on_cpu[@]}" |
    tee "$sample"

say "how attention learnt"
perform build/quern inspect --run "$run" "${on_cpu[@]}"
[[ $dry_run == no ]] || exit 0
if report=$(/usr/bin/python3 scripts/report.py "$run"); then
    report="  report       $report (open it in a browser)"
else
    report="  report       not written: scripts/report.py failed with the message above"
fi

say "where everything lies"
cat <<END
  program      build/quern
  data         $data
  run          $run (run.json, log.jsonl)
  checkpoint   $(ls -d "$run"/checkpoints/step-* | sort -V | tail -1)
  sample       $run/sample.txt
$report
more of it:    build/quern generate --run $run --prompt "..."
train longer:  build/quern train --run $run --resume --steps N
END
