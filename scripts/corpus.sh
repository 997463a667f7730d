#!/usr/bin/env bash
# Fetches the texts of `quern prepare --corpus NAME` out of Debian packages, without
# installing them and without root.
#
# usage: scripts/corpus.sh NAME [DIR]
#
#   austen    DIR/austen/Rdata.rdb: six novels (r-cran-janeaustenr), 1.6 MB
#   classic   austen, and DIR/classic/*.imp: bibles and commentaries (SWORD modules),
#             460 MB as exported, 31 MB of text in the end
#
# DIR is build/corpus by default. What is there already is left as it is.
set -euo pipefail

fail() {
    echo "corpus.sh: $*" >&2
    exit 1
}

# Prints the packages and all they depend on, as far as they are not installed.
missing_packages() {
    apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" | grep '^[a-z0-9]' | sort -u |
        while read -r package; do
            dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
                grep -q '^installed$' || echo "$package"
        done
}

# Downloads packages and unpacks them into $work/root.
unpack() {
    mkdir -p "$work/debs" "$work/root"
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download "$@") ||
        fail "cannot download $*; run 'apt-get update' as root first, and look at the network"
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$work/root"
        rm "$deb"
    done
}

fetch_austen() {
    if [ -e "$dir/austen/Rdata.rdb" ]; then
        echo "$dir/austen is there"
        return
    fi
    unpack r-cran-janeaustenr
    mkdir "$work/austen"
    cp "$work/root/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb" "$work/austen/"
    publish austen
}

# name:package:module
modules="kjv:sword-text-kjv:engKJV2006eb
web:sword-text-web:engWEB2015eb
tdavid:sword-comm-tdavid:TDavid
mhcc:sword-comm-mhcc:MHCC
scofield:sword-comm-scofield:Scofield
naves:sword-dict-naves:Nave"

# Makes mod2imp usable: the one installed, or the one in the package with its libraries.
find_mod2imp() {
    mod2imp=$(command -v mod2imp) && return
    local packages
    mapfile -t packages < <(missing_packages libsword-utils)
    unpack "${packages[@]}"
    mod2imp=$work/root/usr/bin/mod2imp
    local libraries
    libraries=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# mod2imp exits with 0 whatever happens, so look at what it printed.
export_module() {
    local file=$1 module=$2
    "$mod2imp" "$module" >"$file" 2>"$work/log" || true
    [ "$(grep -c '^\$\$\$' "$file")" -ge 100 ] ||
        fail "mod2imp exported nothing for $module: $(tail -n 3 "$work/log")"
}

fetch_classic() {
    fetch_austen
    if [ -d "$dir/classic" ]; then
        echo "$dir/classic is there"
        return
    fi
    find_mod2imp
    mapfile -t packages < <(cut -d: -f2 <<<"$modules")
    unpack "${packages[@]}"
    export SWORD_PATH=$work/root/usr/share/sword
    mkdir "$work/classic"
    while IFS=: read -r name _ module; do
        export_module "$work/classic/$name.imp" "$module" </dev/null
    done <<<"$modules"
    publish classic
}

# Moves a finished folder to its place, in one step.
publish() {
    mv -T "$work/$1" "$dir/$1"
    echo "$dir/$1 is ready"
}

[ $# -ge 1 ] && [ $# -le 2 ] || fail "usage: scripts/corpus.sh austen|classic [DIR]"
case $1 in
austen | classic) ;;
*) fail "\"$1\" is unknown; expected austen or classic" ;;
esac
for program in apt-get apt-cache dpkg; do
    command -v "$program" >/dev/null ||
        fail "$program is missing: the corpora are Debian packages; elsewhere, use quern prepare --text"
done
dir=${2:-build/corpus}
mkdir -p "$dir"
dir=$(realpath "$dir")
work=$(mktemp -d "$dir/.corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"fetch_$1"
