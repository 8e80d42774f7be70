#!/bin/sh
# Proves this tree: installs what is missing (Debian), then `make check`, the tests, the tests under
# sanitizers with every fuzzer's corpus, and the op tests for ARM under qemu. The last lines say how
# many passed, failed and were skipped, and what each failure said. A test program that fails is run
# once more: if it passes then, it is named as flaky. Logs are in build/test/.
cd "$(dirname "$0")" || exit 1
. tools/setup.sh
setup test || exit 1

logs=build/test
rm -rf $logs && mkdir -p $logs
more_failed=0
more_skipped=0

skip() {
    echo "skip: $1"
    more_skipped=$((more_skipped + 1))
}

# step NAME COMMAND...: runs it quietly; a failure shows the end of its log and is counted, unless
# ctest counted it.
step() {
    name=$1
    shift
    printf '%-12s' "$name"
    from=$(date +%s)
    if "$@" >"$logs/$name.log" 2>&1 </dev/null; then
        echo "ok      $(($(date +%s) - from)) s"
        return
    fi
    echo "FAILED  $(($(date +%s) - from)) s, see $logs/$name.log"
    tail -n 60 "$logs/$name.log"
    case $(awk -f tools/check/count.awk "$logs/$name.xml" 2>/dev/null) in
    "" | *" 0 "*) more_failed=$((more_failed + 1)) ;;
    esac
}

tests() {
    step "$1" tools/check/sanitized.sh "$1" --repeat until-pass:2 \
        --output-junit "$PWD/$logs/$1.xml" --test-output-size-passed 1000000 \
        --test-output-size-failed 1000000
}

neon() {
    if [ "$(uname -m)" = aarch64 ]; then
        skip "the NEON cross build: this machine runs it natively"
    elif ! command -v apt-get >/dev/null || ! setup_install $debian_neon >$logs/packages.log 2>&1; then
        skip "the NEON op tests: cannot install $debian_neon"
    elif ! cmake/arm64-cmocka.sh >$logs/arm64-cmocka.log 2>&1; then
        skip "the NEON op tests: no cmocka for arm64"
    else
        tests neon
    fi
}

step check tools/check/check.sh
tests dev
tests asan-ubsan
tests tsan
neon

grep '^skip:' $logs/check.log && more_skipped=$((more_skipped + $(grep -c '^skip:' $logs/check.log)))
grep -h '^skip:' $logs/*.xml | sort | uniq -c | sed 's/^ *\([0-9]*\) skip:/skip (\1 x):/'
set -- $(awk -f tools/check/count.awk $logs/*.xml)
echo "$1 passed, $(($2 + more_failed)) failed, $(($3 + more_skipped)) skipped"
for log in $logs/*.log; do
    awk -f tools/check/failures.awk "$log"
done
[ $(($2 + more_failed)) -eq 0 ]
