"""Writes tests/data/text/clip_tokens.json: token ids of transformers' CLIPTokenizer.

    python tools/reference/clip_tokens.py TOKENIZER_FOLDER SHARED_DATA_FOLDER

TOKENIZER_FOLDER holds vocab.json and merges.txt of any Stable Diffusion checkpoint. Of the shared
data only hashes of the ids are stored (FNV-1a 64 over little-endian int32).
"""

import json
import os
import random
import struct
import sys
import tempfile
import unicodedata

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizers import normalizers  # noqa: E402
from transformers import AddedToken, CLIPTokenizer  # noqa: E402

OUT = os.path.join(os.path.dirname(__file__), "../../tests/data/text/clip_tokens.json")

WRITTEN = [
    "", " ", " \t\n ", "a", "A", "a photo of a cat", "A Photo of a CAT", "  two   spaces\tand\n\nlines ",
    "masterpiece, best quality, (ultra-detailed:1.3), [out of focus], 8k uhd, dslr, f/1.8 --ar 16:9",
    "an astronaut riding a horse on mars, artstation, hd, dramatic lighting, detailed",
    "a lighthouse at dusk, oil on canvas, in the style of no-one in particular",
    "it's they're we've I'm she'll he'd don't 'tis rock'n'roll 'S 'RE ''s '' 's' o'clock y'all'd've",
    "It\u2019s \u201cquoted\u201d \u2013 and \u2014 dashed\u2026", "\u2018single\u2019s", "'\u017f", "x'", "'", "'l", "'r e",
    "0123456789 3.14159 1,000,000 v2.1 2nd 4K 16x9 \u0663\u0664\u0665 \u4e09 \u2167 \u2460\u00bd \u00b2 \u0be7\u0be8",
    "!!! ??? ... --- *** ((())) {[<>]} #@$%^&*()_+-=|\\/~`\";:", "!?!?", "wow!", "! ! !", "wow!!wow! !",
    "<|startoftext|>a cat<|endoftext|> a dog", "<|STARTOFTEXT|>x<|EndOfText|>y", "<|endoftext|><|endoftext|>",
    "x<|startoftext|", "<|endoftext", "!<|endoftext|>!", "!<|ENDOFTEXT|>!!", "<|ENDOFTEXT|>!!", "<<|startoftext|>>",
    "<|startoftext|>\u0338", "<|endoftext|>\u0338 \u0301", "a<|endoftext|>'s", "<|startoftext|>'s",
    "caf\u00e9 cafe\u0301 \u212b A\u030a \u1e69 s\u0323\u0307 s\u0307\u0323 \u0344 \u2126 \u1e9b\u0323 \ufb01 \uff21\uff42",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f\u031e\u0320\u034dA\u036b\u0357\u0334\u0362",
    "\u0130stanbul DI\u015eARI I\u0307 \u0131 \u039f\u0394\u039f\u03a3 \u03a3 \u1e9e \u01c5 \u2c6f \ua64a \U00010400",
    "\U0001f600\U0001f602\U0001f970 \U0001f44d\U0001f3fd \u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
    "\U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea\U0001f1e7\U0001f1f7 1\ufe0f\u20e3 \U0001f9d1\U0001f3ff\u200d\U0001f680",
    "Alle Menschen sind frei und gleich an W\u00fcrde und Rechten geboren. Stra\u00dfe, \u00c4PFEL, \u00d6L",
    "Tous les \u00eatres humains naissent libres et \u00e9gaux en dignit\u00e9 et en droits. L'\u0153uvre d'\u00c9mile",
    "Todos los seres humanos nacen libres e iguales \u00bfverdad? \u00a1S\u00ed! ma\u00f1ana",
    "Todos os seres humanos nascem livres e iguais em dignidade e em direitos; cora\u00e7\u00e3o",
    "Tutti gli esseri umani nascono liberi ed eguali: perch\u00e9 no, citt\u00e0",
    "Wszyscy ludzie rodz\u0105 si\u0119 wolni i r\u00f3wni. Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144",
    "V\u0161ichni lid\u00e9 rod\u00ed se svobodn\u00ed. P\u0159\u00edli\u0161 \u017elu\u0165ou\u010dk\u00fd k\u016f\u0148",
    "Minden emberi l\u00e9ny szabadon sz\u00fcletik: \u00e1rv\u00edzt\u0171r\u0151 t\u00fck\u00f6rf\u00far\u00f3g\u00e9p",
    "B\u00fct\u00fcn insanlar h\u00fcr do\u011far. PIJAMALI HASTA YA\u011eIZ \u015eOF\u00d6RE",
    "\u0412\u0441\u0435 \u043b\u044e\u0434\u0438 \u0440\u043e\u0436\u0434\u0430\u044e\u0442\u0441\u044f \u0441\u0432\u043e\u0431\u043e\u0434\u043d\u044b\u043c\u0438. \u0401\u0416\u0418\u041a, \u0439\u043e\u0434 \u0438\u0306",
    "\u0423\u0441\u0456 \u043b\u044e\u0434\u0438 \u043d\u0430\u0440\u043e\u0434\u0436\u0443\u044e\u0442\u044c\u0441\u044f \u0432\u0456\u043b\u044c\u043d\u0438\u043c\u0438; \u0491\u0430\u043d\u043e\u043a, \u0457\u0436\u0430\u043a",
    "\u038c\u03bb\u03bf\u03b9 \u03bf\u03b9 \u03ac\u03bd\u03b8\u03c1\u03c9\u03c0\u03bf\u03b9 \u03b3\u03b5\u03bd\u03bd\u03b9\u03bf\u03cd\u03bd\u03c4\u03b1\u03b9 \u1f10\u03bb\u03b5\u03cd\u03b8\u03b5\u03c1\u03bf\u03b9, \u1f82\u0345",
    "\u05db\u05dc \u05d1\u05e0\u05d9 \u05d4\u05d0\u05d3\u05dd \u05e0\u05d5\u05dc\u05d3\u05d5 \u05d1\u05b0\u05bc\u05e0\u05b5\u05d9 \u05d7\u05d5\u05e8\u05d9\u05df",
    "\u064a\u0648\u0644\u062f \u062c\u0645\u064a\u0639 \u0627\u0644\u0646\u0627\u0633 \u0623\u062d\u0631\u0627\u0631\u064b\u0627\u060c \u0645\u064f\u062a\u064e\u0633\u064e\u0627\u0648\u0650\u064a\u0646\u061f \ufefb",
    "\u062a\u0645\u0627\u0645 \u0627\u0641\u0631\u0627\u062f \u0622\u0632\u0627\u062f \u0628\u0647 \u062f\u0646\u06cc\u0627 \u0645\u06cc\u200c\u0622\u06cc\u0646\u062f",
    "\u0938\u092d\u0940 \u092e\u0928\u0941\u0937\u094d\u092f\u094b\u0902 \u0915\u094b \u0917\u094c\u0930\u0935 \u0914\u0930 \u0905\u0927\u093f\u0915\u093e\u0930\u094b\u0902 \u0958 \u0929",
    "\u09b8\u09ae\u09b8\u09cd\u09a4 \u09ae\u09be\u09a8\u09c1\u09b7 \u09b8\u09cd\u09ac\u09be\u09a7\u09c0\u09a8\u09ad\u09be\u09ac\u09c7 \u09cb", "\u0bae\u0ba9\u0bbf\u0ba4\u0b9a\u0bcd \u0b9a\u0bbf\u0bb1\u0bbe\u0bb0\u0bcd \u0bcb",
    "\u0e21\u0e19\u0e38\u0e29\u0e22\u0e4c\u0e17\u0e31\u0e49\u0e07\u0e2b\u0e25\u0e32\u0e22\u0e40\u0e01\u0e34\u0e14\u0e21\u0e32\u0e21\u0e35\u0e2d\u0e34\u0e2a\u0e23\u0e30",
    "\u4eba\u4eba\u751f\u800c\u81ea\u7531\uff0c\u5728\u5c0a\u56b4\u548c\u6b0a\u5229\u4e0a\u4e00\u5f8b\u5e73\u7b49\u3002\u4e00\u53ea\u732b\uff0c\u6cb9\u753b", "\U00020000\U0002a6d6 \uf900 \U0002f800",
    "\u3059\u3079\u3066\u306e\u4eba\u9593\u306f\u3001\u751f\u307e\u308c\u306a\u304c\u3089\u306b\u3057\u3066\u81ea\u7531\u3067\u3042\u308b\u3002\u30ab\u3099\u304b\u3099 \uff76\uff9e \u3000\u732b",
    "\ubaa8\ub4e0 \uc778\uac04\uc740 \ud0dc\uc5b4\ub0a0 \ub54c\ubd80\ud130 \u1100\u1161\u11a8 \u1112\u1161\u11ab\u1100\u116e\u11a8",
    "T\u1ea5t c\u1ea3 m\u1ecdi ng\u01b0\u1eddi sinh ra \u0111\u1ec1u \u0111\u01b0\u1ee3c t\u1ef1 do, T\u00e2\u0301t ca\u0309",
    "\u10e7\u10d5\u10d4\u10da\u10d0 \u10d0\u10d3\u10d0\u10db\u10d8\u10d0\u10dc\u10d8 \u1c90\u1ca5 \u0540\u0561\u0575\u0565\u0580\u0565\u0576 \u1275\u130d\u122d\u129b \u13a0\u13d3 \U0001e900",
    "\x00\x01\x1b[31m\x7f\x80\x85\u200b\u200e\u2028\u2029\ufeff\u00ad\ufffc\ufffd\uffff\U0010ffff", "a\x1cb\x1fc\x0bd\x0ce",
    "\u00a0\u1680\u2000\u2003\u2007\u202f\u205f\u3000x\u180e\u2060y", "http://example.com/a?b=c&d=%20#e", "&amp; &lt;b&gt; sch\u00c3\u00b6n",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis", "a" * 300, "ab" * 200, "ha" * 99 + "!" * 99,
    "\u0301" * 60 + "\u0323" * 60, "\U0001f600" * 80, "\uac00" * 50, "word " * 90, "<|" * 40, "'" * 50 + "s",
]
BROKEN = [
    "80", "ff61", "61c3", "c328", "e282", "e28261", "f09f98", "f09f9820f09f", "eda080edb080", "c080", "f4908080", "e0809f",
    "f8888080", "61f1808080ff62", "e2808020e2", "3c7c656e646f66746578747c3ee23c7c656e646f66746578747c3e", "cc", "65cc8165cc",
]
FILES = ["text/gutenberg/alice.txt", "text/gutenberg/andersen.txt", "text/gutenberg/aesop-fables.xhtml",
         "text/gutenberg/war-and-peace.txt", "text/tinyshakespeare.txt", "text/self-instruct/data/seed_tasks.jsonl",
         "text/gsm8k/grade_school_math/data/test.jsonl"]  # fmt: skip


def known():
    """Code points that the reference's old Unicode tables and Python's agree on."""
    nfc = normalizers.NFC()
    marks, rest = [], []
    for cp in range(0x30000):
        c = chr(cp)
        if unicodedata.category(c) in ("Cn", "Cs"):
            continue
        if not unicodedata.combining(c):
            rest.append(c)
        elif all(nfc.normalize_str(s) == unicodedata.normalize("NFC", s)
                 for m in "\u0334\u0323\u0301\u0345\u05b0\u094d\u0315" for s in ("x" + c + m, "x" + m + c)):  # fmt: skip
            marks.append(c)
    return marks, rest


def mixed(n):
    """Random mixtures of everything that has a rule."""
    rng = random.Random(2024)
    marks, rest = known()
    composed = [c for c in rest if unicodedata.decomposition(c)]
    parts = WRITTEN[20:30] + ["'s", "'LL", " ", "  ", "\n", "\u3000", "!", "...", "the", "Photo", "1", "'", "\u0130", "\u03a3",
                              "\u200d", "\ufffd", "\u1100", "\u1161", "\u11a8", "\uac00", "\u0345", "\u0301", "e"]  # fmt: skip
    for _ in range(n):
        out = b""
        for _ in range(rng.randrange(1, 24)):
            kind = rng.random()
            if kind < 0.5:
                out += rng.choice(parts).encode()
            elif kind < 0.95:
                out += rng.choice(marks if kind < 0.65 else composed if kind < 0.8 else rest).encode()
            else:
                out += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 5)))
        yield out


def load(folder, pad):
    """A tokenizer as SD 1.5 ("<|endoftext|>") or SDXL's second one ("!") configures it."""
    def added(text, normalized):
        return {"content": text, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False, "special": True}

    with tempfile.TemporaryDirectory() as temp:
        for name in ("vocab.json", "merges.txt"):
            os.symlink(os.path.abspath(os.path.join(folder, name)), os.path.join(temp, name))
        decoder = {"49406": added("<|startoftext|>", True), "49407": added("<|endoftext|>", False)}
        if pad == "!":
            decoder["0"] = added("!", False)
        config = {"added_tokens_decoder": decoder, "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
                  "unk_token": "<|endoftext|>", "pad_token": pad, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}  # fmt: skip
        with open(os.path.join(temp, "tokenizer_config.json"), "w") as f:
            json.dump(config, f)
        return CLIPTokenizer.from_pretrained(temp)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return "%016x" % h


def encode(tokenizer, raw):
    return tokenizer(raw.decode(errors="replace"), add_special_tokens=False)["input_ids"]


def custom():
    """A vocabulary as small as the bundled model's, merges that overlap included."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    tokens = [chr(b) for b in printable] + [chr(256 + i) for i in range(68)]
    tokens += [t + "</w>" for t in tokens]
    merges = ["l o", "h e", "a a", "lo w</w>", "he l", "aa a</w>", "e r</w>", "lo w", "low er</w>", "aa aa", "w er</w>", "\u00c3 \u00a9</w>"]
    tokens += [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={t: i for i, t in enumerate(tokens)},
        merges=[tuple(m.split()) for m in merges],
        bos_token=AddedToken("<|startoftext|>", normalized=True, special=True),
    )
    texts = ["low lower LOWER lowered", "hello", "a aa aaa aaaa aaaaa aaaaaa aaaaaaaaa", "\u00e9 e\u0301 caf\u00e9", "<|StartOfText|>low<|endoftext|>er",
             "\u732b\U0001f600 x1 2's", ""]  # fmt: skip
    return {"merges": merges, "cases": [{"text": t, "ids": encode(tokenizer, t.encode())} for t in texts]}


def main():
    folder, shared = sys.argv[1:]
    plain, bang = load(folder, "<|endoftext|>"), load(folder, "!")
    raws = [t.encode() for t in WRITTEN] + [bytes.fromhex(h) for h in BROKEN] + list(mixed(400))
    cases, prompts, files = [], [], []
    for raw in raws:
        case = {"hex": raw.hex()} if b"\0" in raw or raw.decode(errors="replace").encode() != raw else {"text": raw.decode()}
        case["ids"] = encode(plain, raw)
        if encode(bang, raw) != case["ids"]:
            case["bang"] = encode(bang, raw)
        cases.append(case)
    for text in ["", "a cat! dog!!", "word " * 74, "word " * 75, "word " * 76, "word! " * 90, "<|endoftext|>x"]:
        row = {"text": text}
        for key, tokenizer in (("eos", plain), ("bang", bang)):
            row[key] = tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"]
            row[key + "_cut"] = max(0, len(encode(tokenizer, text.encode())) - 75)
        prompts.append(row)
    for name in FILES:
        ids = encode(plain, open(os.path.join(shared, name), "rb").read())
        files.append({"file": name, "n": len(ids), "fnv1a": fnv1a(struct.pack("<%di" % len(ids), *ids))})
    out = {"cases": cases, "prompts": prompts, "files": files, "custom": custom()}
    with open(OUT, "w", encoding="ascii") as f:
        f.write("{\n")
        for i, (key, value) in enumerate(out.items()):
            rows = value if isinstance(value, list) else [value]
            body = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
            f.write('"%s": ' % key + ("[\n%s\n]" % body if isinstance(value, list) else body) + (",\n" if i < 3 else "\n}\n"))
    print(len(cases), "texts,", sum(len(c["ids"]) for c in cases), "ids,", sum(f["n"] for f in files), "hashed")


main()
