#!/bin/sh
# install_test.sh - installs the build into an empty folder and draws with what lies there.
set -eu
build=${LAR_BUILD_DIR:?the build to install}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}

DESTDIR=$dir/stage cmake --install "$build" --prefix /opt/lar >/dev/null
root=$dir/stage/opt/lar
for file in bin/lar share/man/man1/lar.1 share/bash-completion/completions/lar \
    share/zsh/site-functions/_lar share/fish/vendor_completions.d/lar.fish include/lar.h; do
    [ -s "$root/$file" ] || fail "$file is not installed"
done
outside=$(find "$dir" -type f ! -path "$root/*")
[ -z "$outside" ] || fail "installed outside of the prefix: $outside"
grep -q -- --clip-skip "$root/share/bash-completion/completions/lar" || fail "an empty completion"

[ -e models/spark/spark.gguf ] || {
    echo "skip: no models/spark/spark.gguf to install"
    exit 0
}
unset LAR_MODEL LAR_MODELS
export HOME="$dir" XDG_CONFIG_HOME="$dir" XDG_CACHE_HOME="$dir"
# A package may be moved: not where the prefix said, the model is found beside the program.
mv "$root" "$dir/moved"
example=$PWD/examples/draw.c
model=$PWD/models/spark/spark.gguf
cd "$dir"
# Another program finds the library by pkg-config and draws.
pc=$(dirname "$(find moved -name lar.pc)")
# shellcheck disable=SC2046
cc "$example" -o example $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs lar)
LD_LIBRARY_PATH=$(dirname "$pc") ./example "$model" "a ghost" ghost.png 2>/dev/null
[ -s ghost.png ] || fail "the example drew nothing"
moved/bin/lar draw -q --size 64x64 --steps 1 -s 1 -o boat.png a boat >/dev/null
[ -s boat.png ] || fail "nothing was drawn"
# It was that model, and not the one in the source tree.
printf broken >moved/share/lar/models/spark.gguf
if moved/bin/lar draw -q --size 64x64 --steps 1 a boat 2>error; then
    fail "drew with another model than the installed one"
fi
grep -q moved/ error || fail "the error does not name the installed model: $(cat error)"
