#!/usr/bin/env bash
# cpu.sh: the CPU benchmarks of the README, recorded under bench/results/DEVICE.
#   bench/cpu.sh [DEVICE]     DEVICE names the machine (default: its CPU and cores)
set -euo pipefail
cd "$(dirname "$0")/.."
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS # they change what OpenBLAS reaches

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -cs 'A-Za-z0-9\n' '-')
device=${1:-cpu-${cpu%-}-$(nproc)-cores}
out=bench/results/$device
mkdir -p "$out"
commit=$(git describe --always --dirty)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# record NAME COMMAND...: runs it with --json, and keeps the figures with what made them.
record() {
    local name=$1
    shift
    echo "== $*"
    "$@" --json "$scratch/$name.json"
    {
        printf '{"commit": "%s", "date": "%s", "compiler": "%s",\n "command": "%s",\n "result": ' \
            "$commit" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(cc --version | head -1)" "$*"
        cat "$scratch/$name.json"
        echo '}'
    } >"$out/$name.json"
}

record step-gpt2-12m-fp32 build/quern bench step --model gpt2-12m --batch-size 8 --seq-len 256
record step-gpt2-12m-bf16 build/quern bench step --model gpt2-12m --batch-size 8 --seq-len 256 \
    --precision bf16
record step-default build/quern bench step --steps 30
record attention-2k build/quern bench attention --head-dim 64 --heads 4 --batch 1 \
    --seq-lens 256,512,1024,2048 --repeats 9
record attention-long build/quern bench attention --head-dim 64 --heads 1 --batch 1 \
    --seq-lens 4096,8192,16384,32768 --causal --repeats 1
record attention-stats build/quern bench attention --head-dim 64 --heads 4 --batch 1 \
    --seq-lens 1024 --causal --forward --stats --repeats 9
echo "records: $out"
