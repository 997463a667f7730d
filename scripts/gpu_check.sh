#!/usr/bin/env bash
# gpu_check.sh: everything that needs a GPU, in one run: build, tests, sanitizers, benchmarks.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

usage() {
    cat <<'END'
Usage: scripts/gpu_check.sh [OPTION...]

Builds quern for this machine's GPU, runs the tests that need one, compute-sanitizer and the
benchmarks of attention and of training steps, compares with PyTorch, and says of each goal
whether it is met. Needs no network; libraries that the machine lacks are taken from offline/
(scripts/offline_bundle.sh). Steps come in order of importance and go on after a failure; what
does not fit the time is "not run". Two calls have time for every figure; the second finds the
build of the first:

  scripts/gpu_check.sh --steps training --out bench/results/DEVICE/training
  scripts/gpu_check.sh --steps attention --out bench/results/DEVICE/attention

  --minutes N    for all of it (default 9)
  --out DIR      where the record goes (default bench/results/DEVICE)
  --build DIR    build folder (default build-gpu), used again by the next run
  --arch ARCH    CUDA architecture, e.g. 80 or 90a (default: that of the first GPU)
  --steps A,B    only these steps, and the comparison; the groups attention and training stand
                 for theirs (default: all steps)
  --dry-run      print the steps, and do nothing
  --help         this

Writes gpu-check.json (environment, steps, figures, raw records), tables and verdicts as text and
Markdown (attention.txt, attention.md, training.txt, training.md), logs.tar.gz, and attention.png
where matplotlib is installed.
PYTHON names the Python that has PyTorch (default python3).

Exit status: 0 when every figure passes, 1 when one fails or there is no GPU, 2 for a wrong
option, 3 when none fails but some could not be measured, or were not asked for.
END
}

# ---- the steps, most important first: name, most seconds, needs the build, what it does -------
# The build: 222 commands, 450 s on a busy core, the longest 50 s; about 75 s on 16 cores.
steps="environment:20:no:driver, toolkit, compiler, commit
build:180:no:quern and its GPU tests, for this card's architecture
primitives:30:yes:conformance of the device primitives
conformance:60:yes:conformance of every operation of the CUDA backend
memcheck:75:yes:compute-sanitizer on tests labelled gpu-sanitize
models:40:yes:whole models and training runs beside the CPU backend's
bench:100:yes:attention: naive, fused and with statistics, D 64 and 128, T 1k to 16k
step:80:yes:training steps of GPT-2 124M, Qwen2.5 0.5B and 1.5B, and the largest that fits
peers:60:no:PyTorch's FlashAttention-2 and cuDNN on the same shapes
step_peers:150:yes:PyTorch's compiled training step on the same models
lens:110:yes:training steps of GPT-2 124M with attention sampled every 16th, and without
long:45:yes:attention at T=131072 forward and backward
racecheck:60:yes:as memcheck
synccheck:40:yes:the same
initcheck:40:yes:the same
peers_math:60:no:PyTorch's math path on the shapes of attention"

attention=environment,build,primitives,conformance,memcheck,bench,peers,long,racecheck,synccheck
attention+=,initcheck,peers_math
training=environment,build,primitives,conformance,memcheck,models,step,step_peers,lens

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
        -DQN_WERROR=OFF -DQN_SIMT=OFF -DQN_GPU_TESTS=ON
    cmake --build "$build" --parallel "$(nproc)" --target quern gpu_tests
}

# Tests for a GPU whose names match; one that was skipped has proved nothing.
gpu_tests() {
    ctest --test-dir "$build" -L '^gpu' -R "$1" --no-tests=error --output-on-failure \
        --parallel 8 | tee "$work/$2"
    ! grep -q 'did not run' "$work/$2"
}

step_primitives() { gpu_tests '^prim\.' primitives.ctest; }
step_conformance() { gpu_tests '^cuda\.' conformance.ctest; }
step_models() { gpu_tests '^(model|train)\.' models.ctest; }

# B·T = 16k and H·D = 2048, as in the papers.
step_bench() {
    local dim len
    for len in 4096 1024 16384 2048 8192; do
        for dim in 128 64; do
            "$build/quern" bench attention --backend cuda --head-dim $dim --heads $((2048 / dim)) \
                --batch $((16384 / len)) --seq-lens $len --stats \
                --json "$work/records/attention-d$dim-t$len.json"
        done
    done
}

step_long() {
    "$build/quern" bench attention --backend cuda --head-dim 128 --heads 16 --batch 1 \
        --seq-lens 131072 --causal --repeats 3 --json "$work/records/attention-long.json"
}

step_peers() {
    $python bench/peers/attention_torch.py --paths flash,cudnn \
        --json "$work/records/attention-torch.json"
}

step_peers_math() {
    $python bench/peers/attention_torch.py --paths math --warmup 1 --repeats 5 \
        --json "$work/records/attention-torch-math.json"
}

# ---- training steps: 32 sequences of 1024 tokens, in as few micro-steps as memory lets ---------
# Those of goals first; the most sequences at once with which PyTorch, which holds all logits in
# fp32, stays within 80 GB.
shapes="gpt2-124m:32 qwen2.5-1.5b:8 qwen2.5-0.5b:16"

plan() {
    "$build/quern" plan --backend cuda --precision bf16 --documents off --seq-len 1024 \
        --model "$1" --batch-size "$2" "${@:3}"
}

# fits MODEL BATCH [--memory GB]: whether the plan of its steps fits there, or in what is free.
fits() {
    local verdict
    verdict=$(plan "$@" | tail -1)
    case $verdict in
    *"the plan fits") ;;
    *"the plan does not fit"*) return 1 ;;
    *) echo "quern plan says nothing of whether $1 fits: \"$verdict\"" && exit 1 ;;
    esac
}

# choose_batch MODEL MOST: sets batch, 0 where none fits; a third of the memory stays for PyTorch,
# which needs more than the plan.
choose_batch() {
    local mib
    mib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -1)
    [[ $mib =~ ^[0-9]+$ ]] || { echo "nvidia-smi tells no memory: \"$mib\"" && exit 1; }
    for ((batch = $2; batch > 0; batch /= 2)); do
        ! fits "$1" $batch --memory $((mib * 7 / 10000)) || return 0
    done
}

# Prints the presets that can have 1024 positions, largest first.
presets() {
    local name parameters
    "$build/quern" info | sed -n '/^presets:/,$s/^  \([^ ]*\) .*/\1/p' | while read -r name; do
        parameters=$(plan "$name" 1 | sed -n 's/.* \([0-9.]*\) M parameters.*/\1/p') || continue
        echo "$parameters $name"
    done | sort -rn | cut -d ' ' -f 2
}

# bench_step MODEL BATCH MICRO-STEPS
bench_step() {
    "$build/quern" bench step --backend cuda --precision bf16 --seq-len 1024 --model "$1" \
        --batch-size "$2" --grad-accum "$3" --json "$work/records/step-$1.json"
}

bench_largest() {
    local name names
    names=$(presets) || return 1
    for name in $names; do
        fits "$name" 1 || continue
        echo "$name is the largest preset that fits"
        [[ " $shapes" == *" $name:"* ]] || bench_step "$name" 1 1
        return
    done
    echo "no preset fits"
    return 1
}

# on_shapes COMMAND: calls it with each model, batch and micro-steps.
on_shapes() {
    local entry model batch status=0
    for entry in $shapes; do
        model=${entry%:*}
        choose_batch "$model" "${entry#*:}"
        if ((batch > 0)); then
            "$1" "$model" $batch $((32 / batch)) || status=1
        else
            echo "$model does not fit"
        fi
    done
    return $status
}

step_step() {
    local status=0
    on_shapes bench_step || status=1
    bench_largest || status=1
    return $status
}

bench_step_torch() {
    $python bench/peers/step_torch.py --quern "$build/quern" --seq-len 1024 --model "$1" \
        --batch-size "$2" --grad-accum "$3" --warmup 3 --json "$work/records/step-$1-torch.json"
}

step_step_peers() { on_shapes bench_step_torch; }

# Half the batch of the other steps: what a sample costs besides its attention is then a larger
# share.
step_lens() {
    local status=0
    choose_batch gpt2-124m 16
    ((batch > 0)) || { echo "gpt2-124m does not fit"; return 77; }
    $python bench/lens_cost.py --quern "$build/quern" --backend cuda --precision bf16 \
        --model gpt2-124m --batch-size $batch --seq-len 1024 --folder "$work" \
        --json "$work/records/lens.json" --verdicts "$work/verdicts-lens.json" || status=$?
    [ "$status" != 2 ] && [ -e "$work/verdicts-lens.json" ]
}

# ---- compute-sanitizer ------------------------------------------------------------------------
# Prints each test program once, and below it the filter of its tests labelled gpu-sanitize.
sanitize_selection() {
    ctest --test-dir "$build" -L '^gpu-sanitize$' --show-only=json-v1 | $python -c '
import json, sys
programs = {}
for test in json.load(sys.stdin)["tests"]:
    program, *options = test["command"]
    names = [o.split("=", 1)[1] for o in options if o.startswith("--gtest_filter=")]
    programs.setdefault(program, []).extend(names)
for program, names in programs.items():
    print(program, ":".join(names) or "*", sep="\n")'
}

# sanitize_program TOOL PROGRAM FILTER
sanitize_program() {
    local program log status=0
    program=$(basename "$2")
    log=$work/logs/$1-$program.log
    compute-sanitizer --tool "$1" --error-exitcode 99 "$2" --gtest_filter="$3" </dev/null \
        >"$log" 2>&1 || status=$?
    ((status == 0)) || echo "$program: status $status: $(tail -1 "$log")"
    return $status
}

sanitize() {
    command -v compute-sanitizer || { echo "compute-sanitizer is not installed"; return 77; }
    sanitize_selection >"$work/selection"
    [ -s "$work/selection" ] || { echo "no test is labelled gpu-sanitize"; return 1; }
    xargs -d '\n' -P 4 -n 2 bash -c 'sanitize_program "$@"' bash "$1" <"$work/selection"
}

step_memcheck() { sanitize memcheck; }
step_racecheck() { sanitize racecheck; }
step_synccheck() { sanitize synccheck; }
step_initcheck() { sanitize initcheck; }

# ---- the comparison ---------------------------------------------------------------------------
# compare NAME TABLE [OPTION...]: a missed goal is a figure of the record, not a failure here.
compare() {
    local records=("$work/records/$1"-*.json) status=0
    [ -e "${records[0]}" ] || return 0
    $python "bench/compare_$1.py" "${records[@]}" --json "$work/verdicts-$1.json" \
        --text "$out/$2.txt" --markdown "$out/$2.md" "${@:3}" || status=$?
    [ "$status" != 2 ] && [ -e "$work/verdicts-$1.json" ]
}

step_comparison() {
    local plot=() status=0
    ls "$work"/records/*.json || { echo "nothing was measured"; return 77; }
    ! $python -c "import matplotlib" || plot=(--plot "$out/attention.png")
    compare step training || status=1
    compare attention attention "${plot[@]}" || status=1
    return $status
}

# The figures follow by themselves.
show_tables() {
    [ -e "$out/training.txt" ] || return
    echo
    grep -vE '^(PASS|FAIL|NOT MEASURED) ' "$out/training.txt"
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
    run comparison $((reserve - 10))
}

print_steps() {
    local name limit needs_build what
    while IFS=: read -r name limit needs_build what; do
        [[ -z $only || ,$only, == *",$name,"* ]] || continue
        printf '%-12s at most %3d s  %s\n' "$name" "$limit" "$what"
    done <<<"$steps"
    printf '%-12s at most %3d s  %s\n' comparison $((reserve - 10)) "tables, plot and verdicts"
}

expand_groups() {
    only=,$only,
    only=${only//,attention,/,$attention,}
    only=${only//,training,/,$training,}
    only=${only#,} only=${only%,}
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

minutes=9 out='' build=build-gpu arch='' only='' dry_run=no reserve=30
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
[[ -z $only ]] || expand_groups
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
rm -f "$out"/{gpu-check.json,{attention,training}.{txt,md},attention.png,logs.tar.gz}
work=$out/unfinished # stays where the run is killed
rm -rf "$work"
mkdir -p "$work/logs" "$work/records"
[ ! -d offline/lib ] || export LD_LIBRARY_PATH=$PWD/offline/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export work out build arch python shapes
export PATH=$PATH:/usr/local/cuda/bin # nvcc and compute-sanitizer
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS
# The steps run in shells of their own, which get their functions from the environment.
while read -r _ _ name; do export -f "${name?}"; done < <(declare -F)

date -u +%Y-%m-%dT%H:%M:%SZ >"$work/date"
git describe --always --dirty >"$work/commit" 2>/dev/null || echo unknown >"$work/commit"
echo "$device: architecture $arch, $minutes minutes"
run_steps
show_tables
"$python" bench/gpu_check_record.py "$work" "$out/gpu-check.json"
status=$?
tar -czf "$out/logs.tar.gz" -C "$work" logs && rm -rf "$work"
echo "record: $out/gpu-check.json"
exit $status
