#!/bin/sh
# From a fresh clone to a picture: installs what is missing (Debian), builds Lar, draws with the
# bundled model. ./demo.sh "a rocket" draws something else.
cd "$(dirname "$0")" || exit 1
. tools/setup.sh
setup build || exit 1

echo "Building Lar (the log is build/demo.log)."
mkdir -p build
if ! { cmake --preset release && cmake --build --preset release; } >build/demo.log 2>&1 </dev/null; then
    tail -n 40 build/demo.log
    echo "The build failed." >&2
    exit 1
fi
[ $# -gt 0 ] || set -- "a penguin on a light blue background"
build/release/lar draw "$*" -o demo.png || exit 1
echo "The picture: $PWD/demo.png"
