#!/bin/sh
# Breaks every rule of tools/check/rules.awk once, in a small tree of its own.
check=$PWD/tools/check
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree" || exit 1

# fresh: a tree that keeps every rule.
fresh() {
    rm -rf src tests
    mkdir -p src/base src/tensor src/cpu tests/base
    : >src/base/buf.h
    : >src/tensor/tape.h
    printf '/* strcpy(a, b); */\n#include "base/buf.h"\n\nint f(int a)\n{\n    return a ? 1 : 2;\n}\n' \
        >src/base/buf.c
    printf '#include "support/test.h"\n#include "tensor/tape.h"\n' >tests/base/buf_test.c
}

# breaks FILE MESSAGE: what stands on standard input, added to the file, must give the message.
breaks() {
    cat >>"$1"
    if "$check/rules.sh" >out; then
        echo "accepted: $2"
        : >failed
    elif ! grep -q "^$1:[0-9]*: .*$2" out; then
        echo "wanted: $2, got:"
        cat out
        : >failed
    fi
    fresh
}

body() {
    printf 'void long_one(void)\n{\n'
    awk -v n="$1" -v line="$2" 'BEGIN { while (n-- > 0) print "    " line }'
    printf '}\n'
}

fresh
if ! "$check/rules.sh"; then
    echo "a clean tree was refused"
    : >failed
fi
echo '#include "tensor/tape.h"' | breaks src/base/buf.c 'src/base (2) may not use src/tensor (3)'
echo '#include "vulkan/x.h"' | breaks src/cpu/simd.h 'src/cpu (4) may not use src/vulkan (4)'
mkdir -p src/attic && echo 'int x;' | breaks src/attic/old.c 'lies in no room'
: >src/cpu/k.h && printf '#include "base/buf.h"\n#include "cpu/k.h"\n' | breaks src/cpu/k.c 'before its own header'
echo '#include <immintrin.h>' | breaks src/cpu/k_gemm.c 'only src/cpu/simd.h uses intrinsics'
echo 'int g(char *a) { return atoi(a); }' | breaks src/base/buf.c 'banned function: atoi'
echo 'void g(char *a) { strcpy(a, "x"); }' | breaks tests/base/buf_test.c 'banned function: strcpy'
echo 'void g(void) { printf("x"); }' | breaks src/base/buf.c 'only cli/ may print'
echo 'void g(void) { exit(1); }' | breaks src/base/buf.c 'only cli/ may print'
echo 'typedef struct x y;' | breaks src/base/buf.h 'typedef of a struct'
printf '/* %s: later */\n' "TO""DO" | breaks src/base/buf.h 'an open end'
printf 'int g(int a, int b, int c, int d, int e, int f, int g)\n{\n}\n' |
    breaks src/base/buf.c 'g takes 7 parameters'
body 119 'work();' | breaks src/base/buf.c 'long_one has 121 lines'
body 25 'if (a) b();' | breaks src/base/buf.c 'long_one has a cyclomatic complexity of 26'
awk 'BEGIN { while (n++ < 1500) print "" }' | breaks src/base/buf.c 'lines (at most 1500)'
[ ! -e failed ]
