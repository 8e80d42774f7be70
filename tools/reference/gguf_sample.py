#!/usr/bin/env python3
"""Writes tests/data/gguf/sample.gguf with the `gguf` package: every metadata type, several tensors."""

import sys
from pathlib import Path

import gguf
import numpy as np

OUT = Path(__file__).resolve().parents[2] / "tests/data/gguf/sample.gguf"


def main():
    w = gguf.GGUFWriter(OUT, "sample")
    w.add_custom_alignment(64)
    w.add_uint8("t.u8", 250)
    w.add_int8("t.i8", -7)
    w.add_uint16("t.u16", 65000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_uint64("t.u64", 2**63 + 1)
    w.add_int64("t.i64", -(2**62))
    w.add_float32("t.f32", 0.5)
    w.add_float64("t.f64", -0.1)
    w.add_bool("t.bool", True)
    w.add_string("t.string", "grüße")
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.25, 1.5])
    w.add_array("t.strings", ["a", "", "ccc"])
    x = (np.arange(2 * 3 * 32, dtype=np.float32) - 90) / 8
    w.add_tensor("a.f32", x.reshape(2, 3, 32))
    w.add_tensor("b.f16", x[:10].astype(np.float16).reshape(5, 2))
    for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.BF16,
                 gguf.GGMLQuantizationType.Q4_0):
        w.add_tensor("c." + kind.name.lower(), gguf.quants.quantize(x.reshape(6, 32), kind),
                     raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    sys.exit(main())
