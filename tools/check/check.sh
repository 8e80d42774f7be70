#!/bin/sh
# `make check`: runs every step, says which failed. A tool that is absent skips its step.
cd "$(dirname "$0")/../.." || exit 1
failed=""

step() {
    name=$1
    shift
    if "$@"; then
        echo "ok: $name"
    else
        echo "FAILED: $name"
        failed="$failed $name"
    fi
}

format() {
    # Other versions lay out a few lines differently.
    tool=$(command -v clang-format-14 || command -v clang-format)
    case $("${tool:-false}" --version) in
    *"version 14."*) ;;
    *)
        echo "skip: clang-format 14 is not installed"
        return 0
        ;;
    esac
    find src include tests fuzz bench tools examples -name '*.[ch]' 2>/dev/null |
        xargs "$tool" --dry-run -Werror
}

build() {
    if ! command -v "$2" >/dev/null; then
        echo "skip: $2 is not installed"
        return 0
    fi
    cmake --preset "$1" >/dev/null && cmake --build --preset "$1" -- -k 0 --quiet
}

step format format
step rules tools/check/rules.sh
step gcc build dev gcc
step "clang and clang-tidy" build clang clang
[ -z "$failed" ] || { echo "make check failed:$failed"; exit 1; }
