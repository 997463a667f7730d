#!/usr/bin/env bash
# gpu_check.sh: everything that needs a GPU, in one run: build, tests, sanitizers, benchmarks.
set -uo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
Usage: scripts/gpu_check.sh [OPTION...]

Builds quern for this machine's GPU, runs the tests that need one, compute-sanitizer and the
benchmarks, compares with PyTorch, and says of each goal whether it is met. Needs no network;
libraries that the machine lacks are taken from offline/ (scripts/offline_bundle.sh). Steps come
in order of importance and go on after a failure; what does not fit the time is "not run".

  --minutes N    for all of it (default 9)
  --out DIR      where the record goes (default bench/results/DEVICE)
  --build DIR    build folder (default build-gpu), used again by the next run
  --arch ARCH    CUDA architecture, e.g. 80 or 90a (default: that of the first GPU)
  --steps A,B    only these steps, and the comparison
  --dry-run      print the steps, and do nothing
  --help         this

Writes gpu-check.json (environment, steps, figures, raw records), attention.txt, attention.md,
logs.tar.gz, and attention.png where matplotlib is installed.
PYTHON names the Python that has PyTorch (default python3).

Exit status: 0 when every figure passes, 1 when one fails or there is no GPU, 2 for a wrong
option, 3 when none fails but some could not be measured.
END
}

# ---- the steps, most important first: name, most seconds, needs the build, what it does -------
steps="environment:20:no:driver, toolkit, compiler, commit
build:240:no:quern and its GPU tests, for this card's architecture
primitives:60:yes:conformance of the device primitives
conformance:120:yes:conformance of attention on the CUDA backend
bench:150:yes:naive, fused and fused with statistics, D 64 and 128, T 1k to 16k
peers:70:no:PyTorch's FlashAttention-2 and cuDNN on the same shapes
long:60:yes:T=131072 forward and backward
memcheck:60:yes:compute-sanitizer on tests labelled sanitize
racecheck:60:yes:the same
synccheck:40:yes:the same
initcheck:40:yes:the same
peers_math:60:no:PyTorch's math path on the same shapes"

step_environment() {
    nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,power.limit \
        --format=csv,noheader | head -1 >"$work/gpu"
    nvcc --version | tail -2 | head -1 >"$work/nvcc"
    c++ --version | head -1 >"$work/compiler"
    nvidia-smi
}

step_build() {
    local options=(-G Ninja)
    command -v ninja >/dev/null || options=()
    if [ -f offline/MACHINE ] && [ "$(cat offline/MACHINE)" = "$(uname -m)" ]; then
        options+=("-DCMAKE_PREFIX_PATH=$PWD/offline" -DQN_ONEDNN=OFF)
    fi
    # Warnings are the business of the machines that every change is built on.
    cmake -S . -B "$build" "${options[@]}" -DQN_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$arch" \
        -DQN_WERROR=OFF -DQN_TESTS=ON -DQN_GPU_TESTS=ON
    cmake --build "$build" --parallel "$(nproc)" --target quern gpu_tests
}

# Tests with label gpu whose names match; one that was skipped has proved nothing.
gpu_tests() {
    ctest --test-dir "$build" -L '^gpu$' -R "$1" --no-tests=error --output-on-failure |
        tee "$work/$2"
    ! grep -q 'did not run' "$work/$2"
}

step_primitives() { gpu_tests '^prim\.' primitives.ctest; }
step_conformance() { gpu_tests '^cuda\..*[Aa]ttention' conformance.ctest; }

# B·T = 16k and H·D = 2048, as in the papers.
step_bench() {
    local dim len
    for len in 4096 1024 16384 2048 8192; do
        for dim in 128 64; do
            "$build/quern" bench attention --backend cuda --head-dim $dim --heads $((2048 / dim)) \
                --batch $((16384 / len)) --seq-lens $len --stats \
                --json "$work/records/quern-d$dim-t$len.json"
        done
    done
}

step_long() {
    "$build/quern" bench attention --backend cuda --head-dim 128 --heads 16 --batch 1 \
        --seq-lens 131072 --causal --repeats 3 --json "$work/records/quern-long.json"
}

step_peers() {
    $python bench/peers/attention_torch.py --paths flash,cudnn --json "$work/records/torch.json"
}

step_peers_math() {
    $python bench/peers/attention_torch.py --paths math --warmup 1 --repeats 5 \
        --json "$work/records/torch-math.json"
}

# Prints each test program once, with the filter of its tests that are labelled sanitize.
sanitize_selection() {
    ctest --test-dir "$build" -L '^gpu$' -L '^sanitize$' --show-only=json-v1 | $python -c '
import json, sys
programs = {}
for test in json.load(sys.stdin)["tests"]:
    program, *options = test["command"]
    names = [o.split("=", 1)[1] for o in options if o.startswith("--gtest_filter=")]
    programs.setdefault(program, []).extend(names)
for program, names in programs.items():
    print(program, ":".join(names) or "*")'
}

sanitize() {
    local program filter count=0
    command -v compute-sanitizer || { echo "compute-sanitizer is not installed"; return 77; }
    sanitize_selection >"$work/selection"
    while read -r program filter; do
        compute-sanitizer --tool "$1" --error-exitcode 99 "$program" --gtest_filter="$filter" \
            </dev/null
        count=$((count + 1))
    done <"$work/selection"
    ((count > 0)) || { echo "no test is labelled sanitize"; return 77; }
}

step_memcheck() { sanitize memcheck; }
step_racecheck() { sanitize racecheck; }
step_synccheck() { sanitize synccheck; }
step_initcheck() { sanitize initcheck; }

# A missed goal is a figure of the record, not a failure of the comparison.
step_comparison() {
    local records=("$work"/records/*.json) plot=() status=0
    [ -e "${records[0]}" ] || { echo "nothing was measured"; return 77; }
    ! $python -c "import matplotlib" || plot=(--plot "$out/attention.png")
    $python bench/compare_attention.py "${records[@]}" --json "$work/verdicts.json" \
        --text "$out/attention.txt" --markdown "$out/attention.md" "${plot[@]}" || status=$?
    [ "$status" != 2 ] && [ -e "$work/verdicts.json" ]
}

# ---- running them ---------------------------------------------------------------------------

fail() {
    echo "gpu_check.sh: $2" >&2
    exit "$1"
}

# note NAME STATE SECONDS [WHY]: a line of the record, and of the terminal.
note() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-}" >>"$work/steps.tsv"
    printf '%-12s %-10s %4s s  %s\n' "$1" "$2" "$3" "${4:-}"
}

# run NAME LIMIT: the step in a shell of its own that stops at its first failing command.
run() {
    local log=$work/logs/$1.log start=$SECONDS status=0
    timeout --kill-after=5 "$2" bash -euo pipefail -c "step_$1" >"$log" 2>&1 || status=$?
    local took=$((SECONDS - start)) last
    last=$(grep -v '^ *$' "$log" | tail -1 | cut -c1-120)
    case $status in
    0) note "$1" passed $took ;;
    77) note "$1" "not run" $took "$last" ;;
    124 | 137) note "$1" "timed out" $took "stopped after $2 s" ;;
    *) note "$1" failed $took "status $status: $last" ;;
    esac
    return $status
}

run_steps() {
    local name limit needs_build what left is_built=no
    while IFS=: read -r name limit needs_build what; do
        [[ -z $only || ,$only, == *",$name,"* ]] || continue
        left=$((budget - reserve - SECONDS))
        if [[ $needs_build == yes && $is_built == no ]]; then
            note "$name" "not run" 0 "there is no build of this run"
        elif ((left < 10)); then
            note "$name" "not run" 0 "no time left"
        elif run "$name" $((limit < left ? limit : left)) </dev/null; then
            [[ $name != build ]] || is_built=yes
        fi
    done <<<"$steps"
    run comparison $reserve
}

print_steps() {
    local name limit needs_build what
    while IFS=: read -r name limit needs_build what; do
        [[ -z $only || ,$only, == *",$name,"* ]] || continue
        printf '%-12s at most %3d s  %s\n' "$name" "$limit" "$what"
    done <<<"$steps"
    printf '%-12s at most %3d s  %s\n' comparison $reserve "tables, plot and verdicts"
}

check_names() {
    local name
    for name in ${only//,/ }; do
        grep -q "^$name:" <<<"$steps" || fail 2 "\"$name\" is not a step; --dry-run lists them"
    done
}

find_gpu() {
    command -v nvidia-smi >/dev/null ||
        fail 1 "there is no GPU here: nvidia-smi is missing; --dry-run lists the steps"
    device=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>&1 | head -1) &&
        [[ -n $device ]] || fail 1 "there is no GPU here: nvidia-smi says: ${device:-nothing}"
    local capability
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d '. ')
    [[ $capability == 90 ]] && capability=90a # wgmma and TMA
    arch=${arch:-$capability}
    [[ $arch =~ ^[0-9]+[af]?$ ]] || fail 1 "the GPU's architecture is \"$arch\"; give --arch"
}

minutes=9 out='' build=build-gpu arch='' only='' dry_run=no reserve=20
need() { (($# > 1)) || fail 2 "$1 needs a value"; }
while (($#)); do
    case $1 in
    --minutes) need "$@"; minutes=$2; shift ;;
    --out) need "$@"; out=$2; shift ;;
    --build) need "$@"; build=$2; shift ;;
    --arch) need "$@"; arch=$2; shift ;;
    --steps) need "$@"; only=$2; shift ;;
    --dry-run) dry_run=yes ;;
    --help) usage; exit 0 ;;
    *) fail 2 "\"$1\" is not an option; --help lists them" ;;
    esac
    shift
done
[[ $minutes =~ ^[0-9]{1,3}(\.[0-9])?$ ]] ||
    fail 2 "--minutes is \"$minutes\", expected e.g. 9 or 4.5"
budget=$((10#${minutes%.*} * 60))
[[ $minutes != *.* ]] || budget=$((budget + ${minutes#*.} * 6))
((budget > reserve)) || fail 2 "--minutes is $minutes, expected more than $reserve seconds"
check_names
if [[ $dry_run == yes ]]; then
    print_steps
    exit 0
fi
python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail 1 "$python is missing"
find_gpu

out=${out:-bench/results/$(tr -cs 'A-Za-z0-9\n' '-' <<<"$device" | tr '[:upper:]' '[:lower:]')}
mkdir -p "$out" || exit 1
out=$(realpath "$out")
rm -f "$out"/{gpu-check.json,attention.txt,attention.md,attention.png,logs.tar.gz}
work=$out/unfinished # stays where the run is killed
rm -rf "$work"
mkdir -p "$work/logs" "$work/records"
[ ! -d offline/lib ] || export LD_LIBRARY_PATH=$PWD/offline/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export work out build arch python
export PATH=$PATH:/usr/local/cuda/bin # nvcc and compute-sanitizer
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS
# The steps run in shells of their own, which get their functions from the environment.
while read -r _ _ name; do export -f "${name?}"; done < <(declare -F)

date -u +%Y-%m-%dT%H:%M:%SZ >"$work/date"
git describe --always --dirty >"$work/commit" 2>/dev/null || echo unknown >"$work/commit"
echo "$device: architecture $arch, $minutes minutes"
run_steps
"$python" bench/gpu_check_record.py "$work" "$out/gpu-check.json"
status=$?
tar -czf "$out/logs.tar.gz" -C "$work" logs && rm -rf "$work"
echo "record: $out/gpu-check.json"
exit $status
