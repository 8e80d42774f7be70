#!/bin/sh
# Builds one preset and runs its tests: sanitized.sh PRESET [ctest options]. Address space
# randomisation is off where the system allows it, because ThreadSanitizer of GCC 12 cannot live with
# the amount newer kernels use.
set -e
preset=$1
shift
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -- --quiet
if command -v setarch >/dev/null && setarch "$(uname -m)" -R true 2>/dev/null; then
    exec setarch "$(uname -m)" -R ctest --preset "$preset" "$@"
fi
exec ctest --preset "$preset" "$@"
