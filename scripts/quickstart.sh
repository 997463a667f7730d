#!/usr/bin/env bash
# quickstart.sh: from a fresh machine to a trained model that writes.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
Usage: scripts/quickstart.sh [OPTION...]

Installs what is missing, builds, prepares a corpus, trains a small model on it, lets it
write, and draws its training curve. Steps that are done already are skipped, an interrupted
training goes on.

  --run DIR        run folder (default runs/quickstart-CORPUS)
  --corpus NAME    austen or classic (default austen)
  --data DIR       data folder (default data/CORPUS)
  --steps N        steps of training (default: as the preset, about five minutes on two cores)
  --prompt TEXT    what the sample continues (default "It is a truth")
  --skip-install   do not look for missing Debian packages
  --help           this

Examples:
  scripts/quickstart.sh
  scripts/quickstart.sh --steps 200 --run runs/short
END
}

run= corpus=austen data= steps= prompt="It is a truth" install=yes
need() { (($# > 1)) || { echo "quickstart.sh: $1 needs a value" >&2; exit 2; }; }
while (($#)); do
    case $1 in
    --run) need "$@"; run=$2; shift ;;
    --corpus) need "$@"; corpus=$2; shift ;;
    --data) need "$@"; data=$2; shift ;;
    --steps) need "$@"; steps=$2; shift ;;
    --prompt) need "$@"; prompt=$2; shift ;;
    --skip-install) install=no ;;
    --help) usage; exit 0 ;;
    *) echo "quickstart.sh: \"$1\" is not an option; --help lists them" >&2; exit 2 ;;
    esac
    shift
done
data=${data:-data/$corpus}
run=${run:-runs/quickstart-$corpus}

say() { printf '\n== %s\n' "$*"; }

if [[ $install == yes ]]; then
    say "packages"
    scripts/packages.sh build
fi

say "build"
cmake --preset default -DQN_TESTS=OFF >/dev/null
cmake --build --preset default --target quern

say "corpus: $corpus"
scripts/corpus.sh "$corpus"
build/quern prepare --corpus "$corpus" --out "$data"

say "training: $run"
options=(--run "$run" --data "$data")
[[ -z $steps ]] || options+=(--steps "$steps")
[[ ! -d $run ]] || options+=(--resume)
build/quern train "${options[@]}"

say "a sample"
build/quern generate --run "$run" --prompt "$prompt" --max-tokens 200 | tee "$run/sample.txt"

say "training curve"
if /usr/bin/python3 scripts/plot_loss.py "$run"; then
    curve="  curve        $run/loss.png"
else
    curve="  curve        not drawn: python3-matplotlib is missing"
fi

say "where everything lies"
cat <<END
  program      build/quern
  data         $data
  run          $run (run.json, log.jsonl)
  checkpoint   $(ls -d "$run"/checkpoints/step-* | sort -V | tail -1)
  sample       $run/sample.txt
$curve
more of it:    build/quern generate --run $run --prompt "..."
train longer:  build/quern train --run $run --resume --steps N
END
