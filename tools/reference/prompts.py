"""Writes tests/data/text/prompts.json: prompts cut into weighted parts and chunks by A1111's rules.

pipelines.py encodes its long prompts with parts_of() and chunks_of() too.

The rules are those that stable-diffusion-webui documents and its doctests show, written down here once
more and independently of the C: brackets by a table of multipliers per character, chunks by cutting a
flat list of tokens. The two deviations of src/text/prompt.h are kept: BREAK works inside brackets, a
weight that is no number is text.

Each case: the prompt, its parts [text, weight] (null for a break), and for each of two contexts the
chunks as [ids, weights] up to the end token; `context 77` with CLIP's vocabulary padded with its end,
`context 20` padded with 0.
"""

import json
import os
import pathlib
import random
import re

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import CLIPTokenizer  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("LAR_SHARED", ROOT.parent / "shared" / "data"))
BOS, EOS, COMMA = 49406, 49407, 267

WORDS = "a cat dog lighthouse masterpiece photorealistic 8k in of the sea red, blue, oil, canvas. best quality".split()
WRITTEN = [
    "", " ", "normal text", "an (important) word", "(unbalanced", "unbalanced)", "[unbalanced", "unbalanced]",
    "\\(literal\\]", "\\\\", "\\", "a\\b", "a\\", "(unnecessary)(parens)", "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
    "(word:1.3)", "(word: 1.3 )", "(word:+.5)", "(word:-1)", "(word:1.)", "(word:.)", "(word:1.2.3)", "(word:)", "(word:x)",
    "word:1.3)", "[word:1.3]", "(a:1.1)(b:1.1)", "(a)b(c)", "((a)b)", "[[a]b]", "([a])", "[(a:2)]", "a:b", ":", "::", "(:1.5)", "()", "[]",
    "(a (b:1.2) c:0.9)", "(a [b) c]", "a BREAK b", "a BREAK", "BREAK a", "BREAK", "BREAK BREAK", "a BREAKb", "aBREAK b", "a.BREAK,b",
    "a break b", "(a BREAK b:1.2)", "a\n\nBREAK\tb", "a (BREAK) b", "BREAK(a)", "_BREAK", "caf\u00e9 (\u732b:1.4) \U0001f600", "smile :) or :(",
    "a cat, " * 30, ", ".join(["one two three"] * 40), "word " * 74 + ", end", "word " * 75 + ", end", "word " * 75, "word " * 76,
    "word " * 56 + ", " + "tail " * 30, "word " * 54 + ", " + "tail " * 30, "word " * 55 + ", " + "tail " * 30,
    "word " * 55 + ", " + "(tail:1.5) " * 30, "," * 80, ", " * 75 + "a", "word " * 75 + ", " + "tail " * 90,
    "word " * 74 + ", " + "tail " * 80, "a " * 75 + "BREAK b", "(a:1.2) " * 200, "x " * 30 + "BREAK " * 2 + "y",
]


def parts_of(text):
    """[[text, weight] or None for a break], neighbours of one weight joined."""
    token = re.compile(r"\\[()\[\]\\]|\\|[(\[\])]|:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*\)|[^\\()\[\]:]+|:", re.S)
    items, opened = [], {"(": [], "[": []}  # items: [text or None, its multipliers from inside out]

    def close(kind, factor):
        start = opened[kind].pop()
        for item in items[start:]:
            item[1].append(factor)

    for match in token.finditer(text):
        s = match.group()
        number = float(s[1:-1]) if s[0] == ":" and len(s) > 1 else None
        if s[0] == "\\":
            items.append([s[1:], []])
        elif s in opened:
            opened[s].append(len(items))
        elif s == ")" and opened["("]:
            close("(", 1.1)
        elif s == "]" and opened["["]:
            close("[", 1 / 1.1)
        elif number is not None and opened["("]:
            close("(", number)
        else:
            for i, piece in enumerate(re.split(r"\s*\bBREAK\b\s*", s)):
                if i:
                    items.append([None, []])
                items.append([piece, []])
    for kind, factor in ("(", 1.1), ("[", 1 / 1.1):
        while opened[kind]:
            close(kind, factor)
    out = []
    for piece, factors in items:
        weight = 1.0
        for factor in factors:
            weight *= factor
        if piece is None:
            out.append(None)
        elif out and out[-1] is not None and out[-1][1] == weight:
            out[-1][0] += piece
        else:
            out.append([piece, weight])
    return out


def chunks_of(parts, tokenizer, room):
    """[[ids, weights]] without frame and padding; `room` tokens each, commas looked back for by 20."""
    chunks, open_, comma = [], [], None  # comma: index of the last one in the open chunk
    for part in parts:
        if part is None:
            chunks.append(open_)
            open_, comma = [], None
            continue
        for token in tokenizer(part[0], add_special_tokens=False)["input_ids"]:
            if token == COMMA:
                comma = len(open_)
            elif len(open_) == room and comma is not None and room - comma <= 20:
                chunks.append(open_[: comma + 1])
                open_, comma = open_[comma + 1 :], None
            if len(open_) == room:
                chunks.append(open_)
                open_, comma = [], None
            open_.append((token, part[1]))
    if open_ or not chunks:
        chunks.append(open_)
    return [[[t for t, _ in c], [w for _, w in c]] for c in chunks]


def random_prompt(r):
    out = []
    for _ in range(r.choice([5, 20, 60, 150])):
        word = r.choice(WORDS)
        shape = r.random()
        if shape < 0.1:
            word = f"({word}:{r.choice([0.5, 0.8, 1.2, 1.35, 2])})"
        elif shape < 0.2:
            word = r.choice(["(%s)", "[%s]", "((%s))", "(%s", "%s)", "[%s", "%s]", "\\(%s\\)"]) % word
        elif shape < 0.22:
            word = "BREAK"
        out.append(word)
    return r.choice(["", "  "]) + " ".join(out)


def main():
    tokenizer = CLIPTokenizer.from_pretrained(SHARED / "tokenizers" / "clip")
    assert tokenizer.bos_token_id == BOS and tokenizer.eos_token_id == EOS
    r = random.Random(4)
    cases = []
    for text in WRITTEN + [random_prompt(r) for _ in range(60)]:
        parts = parts_of(text)
        cases.append({"text": text, "parts": parts, "77": chunks_of(parts, tokenizer, 75), "20": chunks_of(parts, tokenizer, 18)})
    out = ROOT / "tests" / "data" / "text" / "prompts.json"
    with open(out, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(f"{out}: {len(cases)} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
