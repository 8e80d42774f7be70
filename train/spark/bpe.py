"""Spark's own vocabulary in CLIP's scheme: byte-level BPE with `</w>` at word ends.

Ids: 0-255 bytes, 256-511 bytes ending a word (both in CLIP's byte order), then one per merge, then
<|startoftext|> and <|endoftext|>. `train` learns the merges from captions; `Bpe` encodes."""
import collections
import json
import re

PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+")


def byte_letters():
    """CLIP's and GPT-2's byte -> printable character, in id order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in keep]
    return {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(rest)}


LETTERS = byte_letters()


def words(text):
    text = " ".join(text.split()).lower()
    return ["".join(LETTERS[b] for b in w.encode()) for w in PATTERN.findall(text)]


def pieces(word):
    return [*word[:-1], word[-1] + "</w>"]


def join(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def train(texts, merges):
    """The merge list [(a, b)] by frequency, ties by the pair's text."""
    counts = collections.Counter(w for t in texts for w in words(t))
    split = {w: pieces(w) for w in counts}
    learnt = []
    while len(learnt) < merges:
        pairs = collections.Counter()
        for w, n in counts.items():
            for pair in zip(split[w], split[w][1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        learnt.append(best)
        split = {w: join(s, best) for w, s in split.items()}
    return learnt


class Bpe:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        singles = list(LETTERS.values())
        self.tokens = [*singles, *(s + "</w>" for s in singles), *(a + b for a, b in self.merges),
                       "<|startoftext|>", "<|endoftext|>"]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.bos, self.eos = len(self.tokens) - 2, len(self.tokens) - 1
        self.known = {}

    @classmethod
    def load(cls, folder):
        return cls(json.loads((folder / "merges.json").read_text(encoding="utf-8")))

    def word(self, w):
        if w not in self.known:
            parts = pieces(w)
            while len(parts) > 1:
                best = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if best not in self.rank:
                    break
                parts = join(parts, best)
            self.known[w] = [self.ids[p] for p in parts]
        return self.known[w]

    def encode(self, text, length):
        """[length] ids: start, text (cut where too long), end, padded with the end token as SD1.x does."""
        ids = [i for w in words(text) for i in self.word(w)][:length - 2]
        return [self.bos, *ids] + [self.eos] * (length - 1 - len(ids))
