"""Deterministic weights that need no file: every value follows from the tensor's name and shape.

The same rule is written in C in tests/support/hash_weights.c; both are checked against each other.

    seed = FNV-1a 64 of the name (diffusers form with component, `unet.conv_in.weight`)
    u(i) = top 24 bits of splitmix64(seed, i) * 2^-24, v = 2u - 1, i in row-major order
    >= 2 dimensions: v * sqrt(3 / fan_in), fan_in = product(shape[1:]);   *embedding.weight: v * 0.5
    (of *.experts.* with 3 dimensions, [n_expert, in, out], fan_in = in)
    1-D *.weight: 1 + 0.2 v;   other 1-D: 0.1 v
"""

import math

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX1 = np.uint64(0xBF58476D1CE4E5B9)
MIX2 = np.uint64(0x94D049BB133111EB)
CHUNK = 1 << 22


def seed(name):
    """FNV-1a 64 of the UTF-8 bytes of name."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def signed_unit(name, start, count):
    """float64 values in [-1, 1): elements start .. start + count of the stream of this name."""
    z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z *= GOLDEN
    z += np.uint64(seed(name))
    z = (z ^ (z >> np.uint64(30))) * MIX1
    z = (z ^ (z >> np.uint64(27))) * MIX2
    z ^= z >> np.uint64(31)
    return 2.0 * ((z >> np.uint64(40)).astype(np.float64) * 2.0**-24) - 1.0


def _values(name, shape, start, count):
    v = signed_unit(name, start, count)
    if len(shape) < 2:
        return 1.0 + 0.2 * v if name.endswith(".weight") else 0.1 * v
    if name.endswith("embedding.weight"):
        return v * 0.5
    experts = len(shape) == 3 and ".experts." in name  # [n_expert, in, out]
    return v * math.sqrt(3.0 / (shape[1] if experts else math.prod(shape[1:])))


def weight(name, shape, dtype="f16"):
    """The weight as the checkpoint stores it: float16, float32 or (as raw uint16) bfloat16."""
    total = math.prod(shape)
    out = np.empty(total, {"f16": np.float16, "f32": np.float32, "bf16": np.uint16}[dtype])
    for start in range(0, total, CHUNK):
        count = min(CHUNK, total - start)
        x = _values(name, shape, start, count)
        out[start : start + count] = bf16_bits(x) if dtype == "bf16" else x
    return out.reshape(shape)


def bf16_bits(x):
    """float64 rounded once to bfloat16 (nearest even), as uint16 bits; finite normal values only."""
    bits = np.ascontiguousarray(x, np.float64).view(np.uint64)
    magnitude = bits & np.uint64(0x7FFFFFFFFFFFFFFF)
    low = np.uint64(45)
    odd = (magnitude >> low) & np.uint64(1)
    rounded = (magnitude + odd + np.uint64((1 << 44) - 1)) >> low
    exponent_shift = np.uint64((1023 - 127) << 7)
    result = np.where(rounded > exponent_shift, rounded - exponent_shift, np.uint64(0))
    return (result | ((bits >> np.uint64(63)) << np.uint64(15))).astype(np.uint16)


def tensor_input(name, shape, scale=1.0):
    """A fixed model input: v * scale in row-major order of the stored (NHWC) shape, float32."""
    v = signed_unit("input." + name, 0, math.prod(shape)) * scale
    return v.astype(np.float32).reshape(shape)


def fill(module, component, rename=lambda name: name):
    """Fills every parameter of a torch module with its hash weight, rounded to F16, kept float32."""
    import torch

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            full = component + "." + rename(name)
            parameter.copy_(torch.from_numpy(weight(full, tuple(parameter.shape)).astype(np.float32)))
    return module.float().eval()
