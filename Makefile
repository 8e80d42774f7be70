# A thin front of CMakePresets.json: every target is one or two cmake commands.
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20

help:           ## list the targets
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' Makefile | expand -t 10

build:          ## build/release/lar, what people run
	@cmake --preset release && cmake --build --preset release

test:           ## the unit tests
	@cmake --preset dev && cmake --build --preset dev && ctest --preset dev

check:          ## format, layers, banned functions, sizes; GCC and Clang with clang-tidy, no warnings
	@tools/check/check.sh

bench:          ## micro-benchmarks, as CSV
	@cmake --preset release && cmake --build --preset release
	@for b in build/release/bench/*; do if [ -x "$$b" ]; then "$$b" || exit 1; fi; done

asan:           ## the tests under AddressSanitizer with leak detection
	@tools/check/sanitized.sh asan

ubsan:          ## the tests under UndefinedBehaviorSanitizer
	@tools/check/sanitized.sh ubsan

tsan:           ## the tests under ThreadSanitizer
	@tools/check/sanitized.sh tsan

fuzz:           ## each fuzzer for FUZZ_SECONDS (20)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/check/fuzz.sh

clean:          ## remove build/
	@rm -rf build

install: build  ## install below PREFIX (/usr/local)
	@cmake --install build/release --prefix $(PREFIX)

.PHONY: help build test check bench asan ubsan tsan fuzz clean install
