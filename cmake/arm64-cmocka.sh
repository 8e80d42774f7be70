#!/bin/sh
# Unpacks Debian's arm64 cmocka below build/arm64, for the cross-compiled op tests. It uses package
# lists of its own, so neither root nor a second architecture on this system is needed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/build/arm64
[ -e "$dir/usr/include/cmocka.h" ] && exit 0
command -v apt-get >/dev/null || { echo "no apt-get to fetch cmocka for arm64 with" >&2; exit 1; }

mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial"
: >"$dir/apt/status"
apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" \
        -o Dir::Cache="$dir/apt" "$@"
}
cd "$dir/apt"
apt update
apt download libcmocka-dev libcmocka0
for deb in ./*.deb; do
    dpkg-deb -x "$deb" "$dir"
done
cd "$dir"
rm -rf apt
