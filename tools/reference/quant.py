#!/usr/bin/env python3
"""Prints the reference numbers of tests/tensor/quant_test.c from the `gguf` package.

Blocks of random bytes, whose F16 fields are kept finite, are dequantised: FNV-1a 64 of the floats.
Bell-shaped values are quantised and dequantised: the root mean square error that Lar's own
quantisers must not exceed. The package quantises a few types only; for all of them, name ggml's
shared library: quant.py libggml-base.so
"""

import ctypes
import sys

import gguf
import numpy as np
from hash_weights import signed_unit

# Where a block has its F16 fields.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
    "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}
BLOCKS = 64


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def quantize(lib, x, kind):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((x.shape[0], x.shape[1] // block * size), np.uint8)
    shape = [ctypes.c_int64(n) for n in (0, *x.shape)]
    lib.ggml_quantize_chunk(int(kind), x.ctypes.data_as(ctypes.c_void_p),
                            out.ctypes.data_as(ctypes.c_void_p), *shape, None)
    return out


def main():
    for name, halves in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        size = gguf.GGML_QUANT_SIZES[kind][1]
        v = signed_unit("blocks." + name.lower(), 0, BLOCKS * size)
        raw = np.floor((v + 1) * 128).astype(np.uint8).reshape(BLOCKS, size)
        for at in halves:
            raw[:, at + 1] &= 0xBF
        print(f"{name}: {fnv(gguf.quants.dequantize(raw, kind).astype('<f4').tobytes()):#018x}")
    x = sum(signed_unit(f"bell.{i}", 0, 1 << 14) for i in range(4)).astype(np.float32)
    x = x.reshape(-1, 256)
    for name in HALVES if len(sys.argv) > 1 else []:
        kind = gguf.GGMLQuantizationType[name]
        y = gguf.quants.dequantize(quantize(ctypes.CDLL(sys.argv[1]), x, kind), kind)
        print(f"{name}: rms {np.sqrt(np.mean((x.astype(np.float64) - y) ** 2)):.6f}")


if __name__ == "__main__":
    main()
