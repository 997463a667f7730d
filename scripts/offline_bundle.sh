#!/usr/bin/env bash
# offline_bundle.sh: what a machine without a package registry lacks to build and test quern.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
Usage: scripts/offline_bundle.sh [DIR]

Gathers libraries and headers out of Debian packages into DIR (default offline), without
installing anything and without root, for a machine of the same architecture. A build there
takes them with

  scripts/gpu_check.sh                          by itself, from offline/
  LD_LIBRARY_PATH=$PWD/offline/lib cmake -B build -G Ninja -DQN_ONEDNN=OFF \
      -DCMAKE_PREFIX_PATH=$PWD/offline          by hand; the build's programs need the same
                                                LD_LIBRARY_PATH

oneDNN (40 MB) stays out: without it bf16 products on the CPU are emulated, and the GPU
does not need it. The machine brings a C++ compiler, CMake 3.22 and Ninja or make, and for its GPU
the CUDA toolkit, whose CUPTI (cupti.h, libcupti) `quern bench step` traces kernels with.
END
}

packages=(
    libopenblas0-openmp libopenblas-openmp-dev # fp32 matrix products
    libgfortran5 libquadmath0                  # what OpenBLAS links with
    libsentencepiece0 libsentencepiece-dev     # the tokenizer
    libjansson-dev                             # JSON
    libxxhash-dev                              # checksums
    zlib1g-dev                                 # inflates the default corpus
    libgtest-dev                               # the tests
    pkgconf-bin libpkgconf3                    # finds three of them
)
limit=$((64 << 20)) # bytes of the finished folder

fail() {
    echo "offline_bundle.sh: $*" >&2
    exit 1
}

# Downloads the packages and unpacks them into $work/root.
unpack() {
    mkdir -p "$work/debs" "$work/root"
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download "${packages[@]}") ||
        fail "cannot download ${packages[*]}; run 'apt-get update' as root first, and look at" \
            "the network"
    local deb
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$work/root"
        dpkg-deb -W --showformat='${Package} ${Version} ${Architecture}\n' "$deb"
    done >"$bundle/PACKAGES"
}

# shared LIBRARY NAME...: its file under each of the names that linker and loader ask for.
shared() {
    local file=$1 name
    shift
    [ -e "$file" ] || fail "$file is not in the packages"
    cp -L "$file" "$bundle/lib/$1"
    for name in "${@:2}"; do ln -s "$1" "$bundle/lib/$name"; done
}

copy_libraries() {
    local lib=$1
    shared "$lib/openblas-openmp/libopenblas.so.0" libopenblas.so.0 libopenblas.so
    shared "$lib/libgfortran.so.5" libgfortran.so.5
    shared "$lib/libquadmath.so.0" libquadmath.so.0
    shared "$lib/libsentencepiece.so.0" libsentencepiece.so.0 libsentencepiece.so
    shared "$lib/libsentencepiece_train.so.0" libsentencepiece_train.so.0 libsentencepiece_train.so
    shared "$lib/libpkgconf.so.3" libpkgconf.so.3
    cp "$lib"/lib{jansson,xxhash,z,gtest,gtest_main}.a "$bundle/lib/"
}

copy_headers() {
    local include=$1 triple=$2
    cp "$include"/{jansson,jansson_config,xxhash,xxh3,zlib}.h "$bundle/include/"
    cp "$include"/sentencepiece*.h "$bundle/include/"
    cp "$include/zconf.h" "$include/$triple"/openblas-openmp/*.h "$bundle/include/"
    cp -r "$include/gtest" "$bundle/include/"
}

# The .pc files name their own folder's parent instead of /usr.
copy_pkg_config() {
    local lib=$1 name
    cp "$work/root/usr/bin/pkgconf" "$bundle/bin/pkg-config"
    for name in jansson libxxhash sentencepiece; do
        sed -e 's|^prefix=.*|prefix=${pcfiledir}/../..|' -e 's|^libdir=.*|libdir=${prefix}/lib|' \
            -e 's|^includedir=.*|includedir=${prefix}/include|' \
            "$lib/pkgconfig/$name.pc" >"$bundle/lib/pkgconfig/$name.pc"
    done
}

case ${1:-} in
--help) usage; exit 0 ;;
-*) fail "\"$1\" is not an option; --help lists them" ;;
esac
(($# <= 1)) || fail "\"$2\" is not expected here"
for program in apt-get dpkg; do
    command -v "$program" >/dev/null || fail "$program is missing: the bundle is made on Debian"
done
dir=$(realpath -ms "${1:-offline}") # "offline/" would have the new bundle made inside the old one
mkdir -p "$(dirname "$dir")"
work=$(mktemp -d "$dir.XXXXXX")
work=$(realpath "$work")
trap 'rm -rf "$work"' EXIT
bundle=$work/bundle
mkdir -p "$bundle"/{bin,include,lib/pkgconfig}

unpack
libraries=("$work"/root/usr/lib/*-linux-gnu)
triple=$(basename "${libraries[0]}")
copy_libraries "${libraries[0]}"
copy_headers "$work/root/usr/include" "$triple"
copy_pkg_config "${libraries[0]}"
uname -m >"$bundle/MACHINE"

bytes=$(du -sb "$bundle" | cut -f1)
((bytes <= limit)) || fail "the bundle has $bytes bytes, expected at most $limit"
[ ! -e "$dir" ] || [ -f "$dir/MACHINE" ] || fail "$dir is no bundle: it stays as it is"
rm -rf "$dir"
mv -T "$bundle" "$dir"
echo "$dir: $((bytes >> 20)) MiB for $(cat "$dir/MACHINE")"
