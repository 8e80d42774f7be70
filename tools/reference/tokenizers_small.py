#!/usr/bin/env python3
"""Writes tests/data/tokenizers/: small tokenizer.json files of every kind, trained here on the tree's own
documentation and some languages, and vectors.json: texts, their ids and what these decode to, by Hugging
Face's tokenizers.

    {"texts": [...], "<name>": {"ids": [[...], ...], "plain": [[...], ...], "decoded": [...]}}

`ids` has the post-processor's tokens, `plain` neither those nor special tokens in the text
(encode_special_tokens), `decoded` is ids without special tokens.
"""

import json
import pathlib
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/tokenizers"
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
LANGUAGES = """Alle Menschen sind frei und gleich an Würde und Rechten geboren. Straße, Äpfel.
Tous les êtres humains naissent libres et égaux en dignité et en droits. L'été, déjà vu.
Все люди рождаются свободными и равными в своём достоинстве и правах.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。
人人生而自由，在尊严和权利上一律平等。 모든 인간은 태어날 때부터 자유로우며 존엄과 권리에 있어 동등하다.
يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. सभी मनुष्यों को गौरव और अधिकारों के मामले में
คนทั้งปวงเกิดมามีอิสระและเสมอภาคกันในศักดิ์ศรี 🦙🎉👩‍👩‍👧 café naïve ﬁne ①②③ ½ ² x² 1234567 3.14
"""


def corpus():
    lines = []
    for name in ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "LICENSE"]:
        lines += (ROOT / name).read_text().splitlines()
    return lines + LANGUAGES.splitlines() * 20


def byte_level_bpe():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIAL[1:], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])])
    return t


def gpt2_nfc():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    t.add_tokens([AddedToken("model", single_word=True), AddedToken("\u03a9mega", normalized=True),
                  AddedToken("    ", normalized=False)])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    return t


def falcon():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def llama():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training; removed below
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    bytes_ = ["<0x%02X>" % b for b in range(256)]
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=800, special_tokens=SPECIAL[:3] + bytes_,
                                                        limit_alphabet=60))
    saved = json.loads(t.to_str())
    saved["pre_tokenizer"] = None
    saved["added_tokens"] = saved["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(saved))
    t.add_special_tokens([AddedToken("<|user|>", rstrip=True, normalized=False)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def metaspace_unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                         normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.decoder = decoders.Metaspace(prepend_scheme="first")
    t.train_from_iterator(corpus(), trainers.UnigramTrainer(
        vocab_size=600, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return t


def bert():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=700, special_tokens=special,
                                                              limit_alphabet=150))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def words_with_suffix():
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Replace(Regex(r"\s+"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    t.decoder = decoders.BPEDecoder()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL[:3],
                                                        limit_alphabet=80, end_of_word_suffix="</w>"))
    return t


def words():
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"),
        pre_tokenizers.CharDelimiterSplit("x"), pre_tokenizers.Split("the", "contiguous")])
    t.decoder = decoders.WordPiece(cleanup=False)
    t.train_from_iterator(corpus(), trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>"]))
    return t


def han_apart():
    """Classes with &&, negated splits, several patterns one after the other."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"),
        pre_tokenizers.Split(Regex(r"[\p{L}&&[^\p{Han}]]+|[^\s[\p{Han}]\p{L}]+\S?"), "removed", invert=False),
        pre_tokenizers.Split(Regex(r"\s+|\w+"), "merged_with_next"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


KINDS = [byte_level_bpe, gpt2_nfc, falcon, llama, metaspace_unigram, bert, words_with_suffix, words, han_apart]

RANGES = [(32, 127), (0xa0, 0x250), (0x300, 0x340), (0x370, 0x530), (0x590, 0x700), (0x900, 0xd80), (0xe00, 0xe60),
          (0x2000, 0x2070), (0x2460, 0x2500), (0x3040, 0x3100), (0x4e00, 0x4f00), (0xac00, 0xad00), (0xfb00, 0xfb50),
          (0xff00, 0xffef), (0x10300, 0x10500), (0x1f300, 0x1f700)]
BLANKS = " \t\n\r\u00a0\u2003\u200d\u200b\u3000\ufeff\u180e\u2028\x0b\x0c\x85"


def texts():
    r = random.Random(5)
    words_ = "\n".join(corpus()).split(" ")
    special = SPECIAL + ["<mask>", " <mask> ", "<|user|> ", "[MASK]", "model", " model ", "\u03a9mega", "\u2126mega", "    ", "▁",
                         "supermodels", "<|endoftext|>"]
    out = ["", " ", "  ", "a", "\n", "Hello, world!", "I'M you'Re it'S ſ'ſ", "x\u00b2 \u00bd 1234567", "🦙",
           "e\u0301 \u0301 Fu\u0308\u00dfe", "9" * 40, "ab" * 40, "\u4e2d\u6587abc\u4e2d", "don't .. stop . it 's"]
    while len(out) < 160:
        s = ""
        for _ in range(r.randrange(1, 10)):
            kind = r.randrange(8)
            low, high = r.choice(RANGES)
            if kind < 2:
                s += "".join(chr(r.randrange(low, high)) for _ in range(r.randrange(1, 7)))
            elif kind < 5:
                s += r.choice(words_) + r.choice([" ", "  ", "\n", "\n\n", "'s ", "", "\t"])
            elif kind < 6:
                s += "".join(r.choice(BLANKS) for _ in range(r.randrange(1, 4)))
            elif kind < 7:
                s += str(r.randrange(10 ** r.randrange(1, 9)))
            else:
                s += r.choice(special)
        out.append(s)
    return out


def main():
    OUT.mkdir(exist_ok=True)
    vectors = {"texts": texts()}
    for kind in KINDS:
        t = kind()
        path = OUT / (kind.__name__ + ".json")
        path.write_text(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")))
        t = Tokenizer.from_file(str(path))
        ids = [t.encode(x).ids for x in vectors["texts"]]
        decoded = [t.decode(i) for i in ids]
        t.encode_special_tokens = True
        # Unigram's search finds special tokens even where they are to be text, which Lar does not.
        found = ["<pad>", "</s>", "<unk>"] if kind is metaspace_unigram else []
        plain = [None if any(s in x for s in found) else t.encode(x, add_special_tokens=False).ids
                 for x in vectors["texts"]]
        vectors[kind.__name__] = {"ids": ids, "plain": plain, "decoded": decoded}
    (OUT / "vectors.json").write_text(json.dumps(vectors, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
