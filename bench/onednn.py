"""The products of bench/ops.c through oneDNN as PyTorch calls it, for comparison in one run.

    build/release/bench/ops -a bf16 -r 7 > lar.csv
    python bench/onednn.py lar.csv            # torch; ONEDNN_VERBOSE=1 tells which kernels run

Reads the rows of convolutions, linear layers and attention from bench/ops' CSV, repeats them in the
same type with one thread, and prints processor time of both and their ratio. Weights are reordered
for oneDNN beforehand, which Lar does while it computes.
"""
import csv
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F


def shapes(text):
    return [[int(n) for n in s.split(",")] for s in re.findall(r"\[([0-9, ]+)\]", text)]


def conv(x, w, stride, dtype):
    n, h, width, c = x
    layer = torch.nn.Conv2d(c, w[0], w[2:], stride, padding=w[2] // 2)
    layer = layer.to(dtype).to(memory_format=torch.channels_last)
    data = torch.randn(n, c, h, width).to(dtype).to(memory_format=torch.channels_last)
    return lambda: layer(data)


def linear(x, w, dtype):
    layer = torch.nn.Linear(w[1], w[0]).to(dtype)
    data = torch.randn(x).to(dtype)
    return lambda: layer(data)


def attention(q, k, heads, causal, dtype):
    def split(s):
        return torch.randn(s[0], s[1], heads, s[2] // heads).to(dtype).transpose(1, 2)

    a, b, c = split(q), split(k), split(k)
    return lambda: F.scaled_dot_product_attention(a, b, c, is_causal=causal)


def case(text, dtype):
    s = shapes(text)
    number = int(text.rsplit("/", 1)[1].split()[0]) if "/" in text else 1
    if text.startswith("conv2d"):
        return conv(s[0], s[1], number, dtype)
    if text.startswith("linear"):
        return linear(s[0], s[1], dtype)
    if text.startswith("attention"):
        return attention(s[0], s[1], number, "causal" in text, dtype)
    return None


def measure(run, repetitions=7):
    times = []
    with torch.no_grad():
        run()
        for _ in range(repetitions):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
    return statistics.median(times) * 1e3


def main():
    torch.set_num_threads(1)
    print("op,type,lar_ms,onednn_ms,onednn_over_lar")
    with open(sys.argv[1], newline="") as f:
        for row in csv.DictReader(f):
            dtype = torch.bfloat16 if row["type"] == "bf16" else torch.float32
            run = case(row["op"], dtype)
            if run:
                ms, lar = measure(run), float(row["ms"])
                print(f'"{row["op"]}",{row["type"]},{lar:.3f},{ms:.3f},{ms / lar:.2f}', flush=True)


if __name__ == "__main__":
    main()
