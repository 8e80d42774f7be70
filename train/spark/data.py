"""Stage 1: sprites -> captioned pictures.

    python data.py --preset small --out OUT --local IMAGES   # from a folder with the two sets
    python data.py --preset full  --out OUT                  # fetches the sets by package name

Writes OUT/pictures.npy (uint8 [n, size, size, 3]) and OUT/pictures.jsonl (one line per picture: split, captions,
and the composition they describe). Splits: `train`; `heldout` (5 % of the (object, background) and
(object, object) combinations, chosen by hash, never trained on); `vae` (any sprite, no captions needed);
`vae_heldout` (sprites that no stage sees)."""
import argparse
import csv
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from config import COLOURS, PRESETS

HERE = pathlib.Path(__file__).parent
NPM = {"fluent": "@lobehub/fluent-emoji-3d@1.1.0", "names": "emojibase-data@17.0.0"}     # both MIT
NOTO_DEB = "fonts-noto-color-emoji"                                                      # OFL 1.1
PEOPLE = ("People & Body", "people-body", "component", "flags", "Flags")    # not drawn well at these sizes


# -- sources: each yields {"name", "words", "style", "file"} ---------------------------------------------

def local_sets(root, sets):
    """The folder layout fluent-emoji-3d/{*.png,captions.tsv}, noto-emoji/{png128/*.png,captions.tsv}."""
    folders = {"fluent": ("fluent-emoji-3d", "", "3d"), "noto": ("noto-emoji", "png128", "flat")}
    for key in sets:
        folder, pngs, style = folders[key]
        with open(root / folder / "captions.tsv", encoding="utf-8") as f:
            for row in csv.DictReader(f, delimiter="\t"):
                if not row["name"] or row["group"] in PEOPLE or row.get("kind", "base") != "base":
                    continue
                words = [w.strip() for w in row["keywords"].split(",")]
                yield {"name": row["name"], "words": words, "style": style,
                       "file": str(root / folder / pngs / row["file"])}


def npm_fetch(spec, cache):
    """Unpacks an npm package under cache and returns its folder."""
    folder = cache / spec.replace("/", "+")
    if not folder.exists():
        folder.mkdir(parents=True)
        name = subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True,
                              capture_output=True, text=True).stdout.split()[-1]
        subprocess.run(["tar", "xzf", name], cwd=folder, check=True)
    return folder / "package"


def noto_font(cache):
    """NotoColorEmoji.ttf out of Debian's package, without installing it."""
    folder = cache / NOTO_DEB
    font = folder / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
    if not font.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", NOTO_DEB], cwd=folder, check=True)
        deb = next(folder.glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", deb.name, "."], cwd=folder, check=True)
    return font


def fetched_sets(cache, sets):
    """The same from the registries: names and keywords are Unicode CLDR's, through emojibase."""
    data = json.loads((npm_fetch(NPM["names"], cache) / "en/data.json").read_text())
    skip = {1, 2, 9}        # emojibase's groups: people and body, components, flags
    data = [d for d in data if d.get("group", 2) not in skip]
    if "fluent" in sets:
        assets = npm_fetch(NPM["fluent"], cache) / "assets"
        by_code = {p.stem.replace("-fe0f", ""): p for p in assets.iterdir()}
        for d in data:
            path = by_code.get(d["hexcode"].lower().replace("-fe0f", ""))
            if path:
                yield {"name": d["label"], "words": d.get("tags", []), "style": "3d", "file": str(path)}
    if "noto" in sets:
        font = ImageFont.truetype(str(noto_font(cache)), 109)       # the size of its bitmaps
        folder = cache / "noto-png"
        folder.mkdir(exist_ok=True)
        for d in data:
            path = folder / (d["hexcode"].lower() + ".png")
            if not path.exists():
                image = Image.new("RGBA", (136, 136))
                ImageDraw.Draw(image).text((0, 4), d["emoji"], font=font, embedded_color=True)
                image.save(path)
            yield {"name": d["label"], "words": d.get("tags", []), "style": "flat", "file": str(path)}


def read_concepts(name, drawn_only=False):
    """concepts.txt -> {name: [other words]}, or None for everything; drawn_only leaves out those marked ~."""
    if name is None:
        return None
    concepts = {}
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#") and not (drawn_only and line.startswith("~")):
            head, _, rest = line.lstrip("~ ").partition("|")
            concepts[head.strip()] = [w.strip() for w in rest.split(",") if w.strip()]
    return concepts


# -- composition -----------------------------------------------------------------------------------------

PLACES = {"left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73)}
PLACE_WORDS = {"left": ("on the left", "at the left"), "right": ("on the right", "at the right"),
               "top": ("at the top", "in the upper half"), "bottom": ("at the bottom", "in the lower half")}
NUMBERS = {2: "two", 3: "three", 4: "four"}
SPOTS = {2: [(0.28, 0.5), (0.72, 0.5)], 3: [(0.28, 0.3), (0.72, 0.3), (0.5, 0.72)],
         4: [(0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72)]}
HUES = {"red": 0, "orange": 18, "yellow": 36, "green": 85, "blue": 155, "purple": 190, "pink": 225}


def held_out(*words):
    """True for a fixed 5 % of the combinations."""
    return hashlib.sha256("|".join(sorted(words)).encode()).digest()[0] < 13


def compose(rng, concepts, preset):
    """One composition: {"kind", "objects": [(concept index, x, y, scale, hue or None, mirrored, degrees)], "background", ...}."""
    kind = rng.choices(list(preset["kinds"]), list(preset["kinds"].values()))[0]
    palette = preset["backgrounds"] or list(COLOURS)
    background = "white" if rng.random() < 0.3 else rng.choice(palette)
    a = rng.randrange(len(concepts))
    scene = {"kind": kind, "background": background,
             "style": rng.choices(list(preset["styles"]), list(preset["styles"].values()))[0]}
    wobble, size, turn = preset["wobble"], preset["scale"], preset.get("turn", 0)
    pose = lambda: (rng.random() < preset.get("flip", 0), rng.uniform(-turn, turn))     # noqa: E731
    jitter = lambda v: v + rng.uniform(-wobble, wobble)     # noqa: E731
    if kind == "one" or kind == "coloured":
        hue = rng.choice(list(HUES)) if kind == "coloured" else None
        scene["objects"] = [(a, jitter(0.5), jitter(0.5), rng.uniform(*size), hue, *pose())]
    elif kind == "placed":
        scene["place"] = rng.choice(list(PLACES))
        x, y = PLACES[scene["place"]]
        scene["objects"] = [(a, jitter(x), jitter(y), rng.uniform(0.44, 0.5), None, *pose())]
    elif kind == "count":
        scene["count"] = rng.choices([2, 3, 4], [3, 2, 1])[0]
        scene["objects"] = [(a, jitter(x), jitter(y), rng.uniform(0.36, 0.42), None, *pose())
                            for x, y in SPOTS[scene["count"]]]
    else:
        b = rng.randrange(len(concepts))
        scene["relation"] = rng.choice(["left", "above"])
        (ax, ay), (bx, by) = ((0.27, 0.5), (0.73, 0.5)) if scene["relation"] == "left" else \
            ((0.5, 0.27), (0.5, 0.73))
        scene["objects"] = [(a, jitter(ax), jitter(ay), 0.44, None, *pose()),
                            (b, jitter(bx), jitter(by), 0.44, None, *pose())]
    names = [concepts[o[0]]["name"] for o in scene["objects"]]
    scene["names"] = names
    scene["heldout"] = held_out(names[0], background) or (kind == "pair" and held_out(*names))
    return scene


def article(noun):
    first = noun.split()[0]
    if first in ("glasses", "scissors", "books", "french", "fries", "chips", "grapes", "cherries", "fire", "rain"):
        return noun
    return ("an " if first[0].lower() in "aeiou" and not first.startswith("uni") else "a ") + noun


def plural(noun):
    head, last = noun.rpartition(" ")[::2]
    if last.endswith("s"):
        return noun
    if last.endswith(("ch", "sh", "x")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def caption(rng, scene, concepts, names):
    """One caption of the scene, in one of the forms in which people write prompts. names: how often things go
    by their name rather than by another word."""
    nouns = []
    for o in scene["objects"]:
        c = concepts[o[0]]
        noun = c["name"] if rng.random() < names or not c["also"] else rng.choice(c["also"])
        nouns.append(f"{o[4]} {noun}" if o[4] else noun)
    kind, bare = scene["kind"], rng.random() < 0.4
    if kind == "count":
        subject = f"{NUMBERS[scene['count']]} {plural(nouns[0])}"
    elif kind == "pair":
        a, b = (nouns if rng.random() < 0.5 else nouns[::-1])
        flipped = a is not nouns[0]
        word = {("left", False): ["left of", "to the left of"], ("left", True): ["right of", "to the right of"],
                ("above", False): ["above", "over"], ("above", True): ["below", "under"]}
        subject = f"{article(a)} {rng.choice(word[scene['relation'], flipped])} {article(b)}"
    else:
        subject = nouns[0] if bare else article(nouns[0])
    if kind == "placed":
        subject += " " + rng.choice(PLACE_WORDS[scene["place"]])
    style = concepts[scene["objects"][0][0]]["style"] if scene["style"] == "plain" else scene["style"]
    r = rng.random()
    if r < 0.12:
        subject = f"{style} icon of {subject}" if bare else f"a {style} icon of {subject}"
    elif r < 0.2:
        subject = f"{rng.choice(['an emoji', 'a sticker', 'a picture', 'an icon', 'a drawing'])} of {subject}"
    elif r < 0.26:
        subject = f"{subject} {rng.choice(['emoji', 'icon', 'sticker'])}"
    elif r < 0.34 or scene["style"] != "plain":
        subject = f"{subject}, {style}"
    elif r < 0.38:
        subject = "cute " + subject if bare else subject
    colour = scene["background"]
    if colour == "white" and rng.random() < 0.7:
        return subject
    if rng.random() < 0.25:
        return f"{subject}, {colour} background"
    return f"{subject} {rng.choice(['on', 'on', 'with', 'in front of'])} {article(colour + ' background')}"


# -- drawing ---------------------------------------------------------------------------------------------

def load_sprite(path):
    image = Image.open(path).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox() or (0, 0) + image.size
    image = image.crop(box)
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def recolour(sprite, hue):
    h, s, v = sprite.convert("RGB").convert("HSV").split()
    h = h.point(lambda _: HUES[hue])
    s = s.point(lambda x: min(255, max(x, 110)))
    out = Image.merge("HSV", (h, s, v)).convert("RGB")
    out.putalpha(sprite.getchannel("A"))
    return out


def draw(scene, concepts, size, cache={}):
    ground = COLOURS[scene["background"]]
    canvas = Image.new("RGB", (size, size), ground)
    for index, x, y, scale, hue, mirrored, degrees in scene["objects"]:
        path = concepts[index]["file"]
        if path not in cache:
            cache[path] = load_sprite(path)
        sprite = recolour(cache[path], hue) if hue else cache[path]
        side = max(8, round(size * scale))
        sprite = sprite.convert("RGBa").resize((side, side), Image.Resampling.LANCZOS)
        if mirrored:
            sprite = ImageOps.mirror(sprite)
        if degrees:
            sprite = sprite.rotate(degrees, Image.Resampling.BICUBIC)
        sprite = sprite.convert("RGBA")
        canvas.paste(sprite, (round(size * x - side / 2), round(size * y - side / 2)), sprite)
    if scene["style"] == "pixel art":
        small = canvas.resize((32, 32), Image.Resampling.BOX).quantize(24).convert("RGB")
        canvas = small.resize((size, size), Image.Resampling.NEAREST)
    elif scene["style"] == "line art":
        edge = canvas.convert("L").filter(ImageFilter.FIND_EDGES).point(lambda v: min(255, v * 4))
        edge = ImageOps.expand(edge.crop((2, 2, size - 2, size - 2)), 2, 0)     # the filter marks the frame
        edge = edge.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.GaussianBlur(0.7))
        ink = 255 if sum(ground) < 300 else 20
        canvas = Image.composite(Image.new("RGB", (size, size), (ink,) * 3),
                                 Image.new("RGB", (size, size), ground), edge)
    return np.asarray(canvas)


def draw_some(job):
    scenes, concepts, size = job
    return np.stack([draw(s, concepts, size) for s in scenes])


# -- main ------------------------------------------------------------------------------------------------

def gather(args, preset, out):
    """The concepts to draw and, for the VAE, all sprites."""
    if args.local:
        sprites = list(local_sets(pathlib.Path(args.local), preset["sets"]))
    else:
        sprites = list(fetched_sets(out / "packages", preset["sets"]))
    for s in sprites:
        s["also"] = [w for w in dict.fromkeys(s["words"]) if len(w) > 2 and w != s["name"]][:6]
        s["name"] = s["name"].lower()
    wanted = read_concepts(preset["concepts"])
    if wanted is None:
        return [s for s in sprites if not held_out("sprite", s["name"])], sprites
    wanted = {k.lower(): v for k, v in wanted.items()}
    chosen = [dict(s, also=wanted[s["name"]]) for s in sprites if s["name"] in wanted]
    missing = set(wanted) - {s["name"] for s in chosen}
    if missing:
        print(f"data.py: not in the picture sets: {', '.join(sorted(missing))}", file=sys.stderr)
    return chosen, sprites


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--preset", choices=PRESETS, default="full")
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--local", help="folder with fluent-emoji-3d/ and noto-emoji/")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    args = ap.parse_args()
    preset, rng = PRESETS[args.preset], random.Random(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    concepts, sprites = gather(args, preset, args.out)
    trained = {c["name"] for c in concepts}

    scenes, records = [], []
    for _ in range(preset["pictures"]):
        scene = compose(rng, concepts, preset)
        texts = list(dict.fromkeys(caption(rng, scene, concepts, preset["names"]) for _ in range(12)))
        scenes.append(scene)
        records.append({"split": "heldout" if scene["heldout"] else "train", "captions": texts,
                        **{k: v for k, v in scene.items() if k not in ("heldout", "objects")}})
    jobs = [(scenes[i:i + 200], concepts, preset["size"]) for i in range(0, len(scenes), 200)]
    extra = []
    for _ in range(preset["extra"]):
        scene = compose(rng, sprites, dict(preset, kinds={"one": 1.0}, backgrounds=None))
        name = scene["names"][0]
        hidden = name not in trained and held_out("sprite", name)
        extra.append(scene)
        records.append({"split": "vae_heldout" if hidden else "vae", "captions": [], "kind": "one",
                        "names": [name], "background": scene["background"]})
    jobs += [(extra[i:i + 200], sprites, preset["size"]) for i in range(0, len(extra), 200)]

    size = preset["size"]
    pictures = np.lib.format.open_memmap(args.out / "pictures.npy", "w+", np.uint8,
                                         (len(records), size, size, 3))
    at = 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for block in pool.map(draw_some, jobs):
            pictures[at:at + len(block)] = block
            at += len(block)
    pictures.flush()
    (args.out / "concepts.json").write_text(json.dumps(concepts, ensure_ascii=False, indent=0), encoding="utf-8")
    with open(args.out / "pictures.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    counts = {s: sum(r["split"] == s for r in records) for s in ("train", "heldout", "vae", "vae_heldout")}
    print(f"{len(concepts)} concepts, {len(sprites)} sprites, pictures: {counts}")


if __name__ == "__main__":
    main()
