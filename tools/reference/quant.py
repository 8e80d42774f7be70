#!/usr/bin/env python3
"""Prints the reference numbers of tests/tensor/quant_test.c from the `gguf` package.

Blocks of random bytes, whose F16 fields are kept finite, are dequantised: FNV-1a 64 of the floats.
Bell-shaped values are quantised and dequantised: the root mean square error that Lar's own
quantisers must not exceed.
"""

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
ERRORS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


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
    for name in ERRORS:
        kind = gguf.GGMLQuantizationType[name]
        y = gguf.quants.dequantize(gguf.quants.quantize(x, kind), kind)
        print(f"{name}: rms {np.sqrt(np.mean((x.astype(np.float64) - y) ** 2)):.6f}")


if __name__ == "__main__":
    main()
