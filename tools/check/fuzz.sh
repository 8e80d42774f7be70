#!/bin/sh
# `make fuzz`: each fuzzer for FUZZ_SECONDS (20), starting from its committed corpus and from what
# earlier runs found (build/fuzz/corpus). A crash leaves its input in build/fuzz/.
cd "$(dirname "$0")/../.." || exit 1
cmake --preset fuzz && cmake --build --preset fuzz || exit 1
# A picture may have 64 megapixels, and AddressSanitizer keeps freed memory for a while: without these
# the memory limit would stop the picture fuzzer although nothing is leaked.
export ASAN_OPTIONS="quarantine_size_mb=16:allocator_release_to_os_interval_ms=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
rc=0
for source in fuzz/*_fuzz.c; do
    name=$(basename "$source" _fuzz.c)
    mkdir -p "build/fuzz/corpus/$name"
    if "build/fuzz/fuzz_$name" -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=4096 \
        -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" "fuzz/corpus/$name" \
        >"build/fuzz/$name.log" 2>&1; then
        echo "$name: $(tail -n 1 "build/fuzz/$name.log")"
    else
        rc=1
        echo "$name: FAILED, see build/fuzz/$name.log"
        tail -n 30 "build/fuzz/$name.log"
    fi
done
exit $rc
