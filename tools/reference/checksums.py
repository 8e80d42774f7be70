#!/usr/bin/env python3
"""Writes tests/data/manifests/checksums.txt, which holds tests/support/hash_weights.c to this rule.

Each line: manifest, what is written (a component of the folder, or `ldm`: the single file), type,
and the SHA-256 of the weights one after another, in the manifest's or the map's order.
"""

import hashlib

import numpy as np

import hash_weights
from models import DATA

CASES = [("taesd", "vae", "f16"), ("taesd", "vae", "bf16"), ("taesd", "vae", "f32"), ("clip-l", "text_encoder", "f16"),
         ("vae-kl", "vae", "f32"), ("unet-sd15", "unet", "f16"), ("unet-sdxl", "unet", "bf16"),
         ("sd15", "ldm", "f16"), ("sd21", "ldm", "bf16"), ("sdxl", "ldm", "f32")]


def lines(name):
    text = (DATA / "manifests" / name).read_text().splitlines()
    return [line.split(" ") for line in text if not line.startswith("#")]


def tensors(manifest, what, dtype):
    shapes = {name: tuple(map(int, dims)) for name, *dims in lines(manifest + ".txt")}
    if what != "ldm":
        for name, shape in shapes.items():
            yield hash_weights.weight(name, shape, dtype)
        return
    for name, source, *rule in lines(manifest + ".ldm.txt"):
        kind, dims = (rule[0], tuple(map(int, rule[1:]))) if rule else ("", ())
        if kind == "arange":
            yield np.arange(np.prod(dims), dtype=np.int64)
        elif kind == "extra":
            yield hash_weights.weight(name, dims, dtype)
        elif kind == "transpose":
            yield hash_weights.weight(source, shapes[source], dtype).T
        else:
            for part in source.split(","):
                yield hash_weights.weight(part, shapes[part], dtype)


def main():
    out = ["# manifest, component or `ldm`, type, SHA-256 of the weights; see tools/reference/checksums.py"]
    for case in CASES:
        digest = hashlib.sha256()
        for x in tensors(*case):
            digest.update(np.ascontiguousarray(x).tobytes())
        out.append(" ".join([*case, digest.hexdigest()]))
        print(out[-1])
    (DATA / "manifests" / "checksums.txt").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
