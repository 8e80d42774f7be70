#!/usr/bin/env python3
"""Which tokens Lar's sampler must choose, by transformers' warpers and plain numpy.

Writes tests/data/text/token_samplers.json: cases of parameters (named as in text/token_sampler.h),
logits, the text before, and the ids of 40 picks, each accepted before the next; then log
probabilities of a few distributions.

Temperature, top-k, top-p, min-p, typical and the repetition penalty are transformers' own; what it
lacks (XTC, DRY, mirostat, dynamic temperature, presence and frequency penalties) is written here from
its definition, without a thought for speed. Random numbers are Philox 4x32-10 as numpy has it: key =
seed, counter = number of the call; each pick takes two, the first for XTC.
"""
import json
import math
import pathlib
import random

import numpy as np
import torch
from transformers.generation.logits_process import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                                                     TemperatureLogitsWarper, TopKLogitsWarper,
                                                     TopPLogitsWarper, TypicalLogitsWarper)

ROOT = pathlib.Path(__file__).resolve().parents[2]
N = 48
PICKS = 40
# What the breaker "x" is part of, for DRY: tokens 5 and 17 contain it; 8 and 9 make "yz" together.
PIECES = {5: "ax", 8: "y", 9: "z", 17: "x"}

M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85


def philox(counter, seed):
    c, k = [counter, 0, 0, 0], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = c[0] * M0, c[2] * M1
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + W0) & 0xFFFFFFFF, (k[1] + W1) & 0xFFFFFFFF]
    return c


class Chance:
    def __init__(self, seed):
        self.seed, self.calls = seed, 0

    def __call__(self):
        w = philox(self.calls, self.seed)
        self.calls += 1
        return ((w[1] << 32 | w[0]) >> 11) * 2.0**-53


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def warp(warper, x):
    return warper(None, torch.tensor(x)[None])[0].numpy()


def penalties(x, p, text):
    n = p.get("repeat_last_n", 64)
    window = text if n < 0 else text[len(text) - min(n, len(text)):]
    if not window:
        return x
    repeat = p.get("repeat_penalty", 1)
    if repeat != 1:
        x = RepetitionPenaltyLogitsProcessor(repeat)(torch.tensor([window]), torch.tensor(x)[None])[0].numpy()
    for i in set(window):
        x[i] -= window.count(i) * p.get("frequency_penalty", 0) + p.get("presence_penalty", 0)
    return x


def dry(x, p, text):
    multiplier = p.get("dry_multiplier", 0)
    n = p.get("dry_last_n", -1)
    text = text if n < 0 else text[len(text) - min(n, len(text)):]
    if not multiplier:
        return x
    spelt, after = "", 0
    for k, i in enumerate(text):
        spelt += PIECES.get(i, "#")
        if p.get("breakers") and ("x" in PIECES.get(i, "") or spelt.endswith("yz")):
            after = k + 1
    limit, allowed, longest = len(text) - after, p.get("dry_allowed_length", 2), {}
    for end in range(1, len(text)):  # text[:end] ends like the whole, and text[end] came then
        same = 0
        while same < min(end, limit) and text[end - 1 - same] == text[-1 - same]:
            same += 1
        longest[text[end]] = max(longest.get(text[end], 0), same)
    for i, same in longest.items():
        breaks = p.get("breakers") and "x" in PIECES.get(i, "")
        if same >= allowed and not breaks:
            x[i] -= multiplier * p.get("dry_base", 1.75) ** (same - allowed)
    return x


def xtc(x, p):
    q = softmax(x)
    above = [i for i in range(N) if q[i] >= p["xtc_threshold"]]
    if len(above) > 1:
        keep = min(above, key=lambda i: q[i])
        x[[i for i in above if i != keep]] = -np.inf
    return x


def temperature(x, p):
    t, r = p.get("temperature", 1), p.get("temperature_range", 0)
    if r > 0:
        q = softmax(x[x > -np.inf])
        if len(q) > 1:
            share = -(q * np.log(q)).sum() / math.log(len(q))
            low, high = max(0, t - r), t + r
            t = low + (high - low) * share ** p.get("temperature_exponent", 1)
    return warp(TemperatureLogitsWarper(float(t)), x)


def draw(x, u):
    q = softmax(x)
    return int(min(np.searchsorted(np.cumsum(q), u, side="right"), np.flatnonzero(q)[-1])), q


def pick(x, p, text, chance, state):
    x = np.array(x, dtype=np.float64)
    for i, b in p.get("bias", []):
        x[i] += b
    x = dry(penalties(x, p, text), p, text)
    if p.get("temperature", 1) == 0:
        return int(x.argmax())
    u_xtc, u = chance(), chance()
    if p.get("mirostat"):
        x = temperature(x, p)
        q = softmax(x)
        bits = -np.log2(q)
        x[(bits > state["mu"]) & (q < q.max())] = -np.inf
        i, q = draw(x, u)
        state["mu"] -= p.get("mirostat_eta", 0.1) * (-math.log2(q[i]) - p.get("mirostat_tau", 5))
        return i
    if p.get("top_k"):
        x = warp(TopKLogitsWarper(p["top_k"]), x)
    if p.get("typical_p", 1) < 1:
        x = warp(TypicalLogitsWarper(p["typical_p"]), x)
    if p.get("top_p", 1) < 1:
        x = warp(TopPLogitsWarper(p["top_p"]), x)
    if p.get("min_p"):
        x = warp(MinPLogitsWarper(p["min_p"]), x)
    if u_xtc < p.get("xtc_probability", 0):
        x = xtc(x, p)
    return draw(temperature(x, p), u)[0]


CASES = [
    {}, {"temperature": 0}, {"temperature": 0.3}, {"temperature": 1.7}, {"top_k": 1}, {"top_k": 5},
    {"top_k": 12, "temperature": 2}, {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.9}, {"top_p": 0.99, "temperature": 3},
    {"min_p": 0.02}, {"min_p": 0.3}, {"typical_p": 0.2}, {"typical_p": 0.6}, {"typical_p": 0.95},
    {"top_k": 30, "typical_p": 0.9, "top_p": 0.9, "min_p": 0.05, "temperature": 0.8},
    {"top_k": 40, "top_p": 0.9, "temperature": 0.8},
    {"xtc_probability": 1, "xtc_threshold": 0.05}, {"xtc_probability": 0.5, "xtc_threshold": 0.1},
    {"xtc_probability": 0.5, "xtc_threshold": 0.02, "top_k": 10, "temperature": 1.2},
    {"repeat_penalty": 1.3}, {"repeat_penalty": 1.3, "repeat_last_n": 3}, {"repeat_penalty": 1.5, "repeat_last_n": -1},
    {"repeat_penalty": 1.3, "repeat_last_n": 0}, {"presence_penalty": 1.5}, {"frequency_penalty": 0.8, "repeat_last_n": 20},
    {"presence_penalty": -0.5, "frequency_penalty": 0.4, "repeat_penalty": 1.1, "top_k": 20},
    {"temperature": 0, "repeat_penalty": 1.4}, {"temperature": 0, "frequency_penalty": 0.3, "repeat_last_n": 6},
    {"dry_multiplier": 0.8, "temperature": 0}, {"dry_multiplier": 2, "dry_allowed_length": 1, "temperature": 0.5},
    {"dry_multiplier": 1, "dry_base": 1.2, "dry_last_n": 12, "temperature": 0.3},
    {"dry_multiplier": 1.5, "dry_allowed_length": 1, "breakers": True, "temperature": 0.6},
    {"dry_multiplier": 3, "dry_allowed_length": 2, "breakers": True, "temperature": 0},
    {"mirostat": 2}, {"mirostat": 2, "mirostat_tau": 2, "mirostat_eta": 0.3}, {"mirostat": 2, "mirostat_tau": 1, "temperature": 0.7},
    {"temperature": 1, "temperature_range": 0.8}, {"temperature": 0.9, "temperature_range": 0.6, "temperature_exponent": 2, "top_k": 15},
    {"bias": [[3, 4.5], [7, -100]]}, {"bias": [[3, 2], [4, 2]], "top_k": 3},
]


def main():
    r = random.Random(11)
    out = []
    for k, p in enumerate(CASES * 2):
        spread = r.choice([2, 4, 8])
        logits = [v / 1000 for v in r.sample(range(-1000 * spread, 1000 * spread), N)]
        text = [r.choice([1, 2, 3, 5, 8, 9, 17]) for _ in range(r.randint(0, 30))] if k % 3 else [1, 2, 3, 4] * 5
        for i in (1, 2, 3, 4, 5, 8, 9, 17):  # what stands in the text is likely to come again
            logits[i] = round(logits[i] / 3 + spread * 0.8 + i / 97, 3)
        seed = r.choice([0, 1, 42, 2**40 + 5])
        chance, state, history, ids = Chance(seed), {"mu": 2 * p.get("mirostat_tau", 5)}, list(text), []
        for _ in range(PICKS):
            i = pick(logits, p, history, chance, state)
            ids.append(i)
            history.append(i)
        out.append({"params": p, "seed": seed, "text": text, "logits": logits, "ids": ids})
    probs = []
    for _ in range(5):
        logits = [round(r.gauss(0, 3), 3) for _ in range(N)]
        q = torch.log_softmax(torch.tensor(logits, dtype=torch.float64), -1)
        top = torch.topk(q, 6)
        probs.append({"logits": logits, "ids": top.indices.tolist(), "logprobs": [round(v, 9) for v in top.values.tolist()]})
    with open(ROOT / "tests/data/text/token_samplers.json", "w") as f:
        json.dump({"cases": out, "logprobs": probs}, f, separators=(",", ":"))
        f.write("\n")


main()
