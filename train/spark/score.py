"""Stage 5: the figures on the model card, and the contact sheet.

    python score.py --preset medium --out OUT --folder OUT/spark --sheet sheet.png

Draws with the exported F16 weights, in f32, with default steps and guidance. Measured:
  psnr         the autoencoder's mean PSNR on held-out combinations and on sprites no stage has seen
  name         of the 1 and 5 nearest training pictures in the judge's features (judge.py), does one show the prompted thing?
  background   the colour of the palette that is nearest to the median of the drawing's border is the prompted one
  count        as many separate things as the prompt says, one to three
  place        each half of "a left of b" (right of, above, below), alone on its background, passes for its thing by name, top 5
  diversity    mean distance (RMS, 0-255) between two seeds' drawings of one prompt
Count and place are also measured on real training pictures: what the measure itself gets wrong. Prompts use combinations
held out of training where there are any, in phrasings chosen at random."""
import argparse
import json
import pathlib
import random

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from scipy import ndimage

import bpe
import diffusion
import judge as judges
import vae as autoencoder
from common import pictures, sheet, split, to_tensor
from config import COLOURS, PRESETS
from data import NUMBERS, article, held_out, plural, read_concepts

RELATIONS = {"left of": (0, 1), "right of": (1, 0), "above": (0, 1), "below": (1, 0)}


def drawer(folder, preset):
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)

    def run(prompts, seed):
        out = []
        for i in range(0, len(prompts), 10):
            g = [torch.Generator().manual_seed(seed + i + k) for k in range(len(prompts[i:i + 10]))]
            block = pipe(prompts[i:i + 10], generator=g, num_inference_steps=diffusion.STEPS, output_type="np",
                         height=preset["size"], width=preset["size"], guidance_scale=diffusion.GUIDANCE).images
            out.append(np.rint(block * 255).astype(np.uint8))
        return np.concatenate(out)
    return run, pipe.vae


def border(picture):
    """The median colour of the frame: the background."""
    edge = np.concatenate([picture[:3].reshape(-1, 3), picture[-3:].reshape(-1, 3),
                           picture[:, :3].reshape(-1, 3), picture[:, -3:].reshape(-1, 3)])
    return np.median(edge, axis=0)


def things(picture):
    """Where the picture is not background, and the separate parts of at least 2 % of it: (mask, [slices])."""
    mask = ndimage.binary_opening(np.abs(picture.astype(int) - border(picture)).max(-1) > 36, iterations=2)
    closed = ndimage.binary_closing(np.pad(mask, 8), iterations=4)[8:-8, 8:-8]
    labels, n = ndimage.label(closed)
    sizes = ndimage.sum_labels(closed, labels, range(1, n + 1))
    return mask, [s for s, size in zip(ndimage.find_objects(labels), sizes) if size > 0.02 * mask.size]


def half(picture, relation, which):
    """One half's thing, in the middle of a picture of its background, as large as a single thing."""
    size = len(picture)
    axis = 1 if relation in ("left of", "right of") else 0
    part = np.take(picture, range(which * size // 2, (which + 1) * size // 2), axis=axis)
    ground = border(picture)
    ys, xs = np.nonzero(np.abs(part.astype(int) - ground).max(-1) > 36)
    out = Image.new("RGB", (size, size), tuple(int(v) for v in ground))
    if len(ys) == 0:
        return np.asarray(out)
    crop = Image.fromarray(part[ys.min():ys.max() + 1, xs.min():xs.max() + 1])
    scale = 0.74 * size / max(crop.size)
    crop = crop.resize([max(1, round(v * scale)) for v in crop.size], Image.Resampling.BICUBIC)
    out.paste(crop, ((size - crop.width) // 2, (size - crop.height) // 2))
    return np.asarray(out)


class Neighbours:
    """All training pictures in the judge's features."""

    def __init__(self, out, data, records):
        self.model = judges.load(out, len(bpe.Bpe.load(out).tokens))
        index = split(records, "train")
        self.names = [records[i]["names"] for i in index]
        self.single = np.array([records[i]["kind"] == "one" for i in index])
        self.known = self.features(data[k] for k in index)

    @torch.no_grad()
    def features(self, some):
        some, out = iter(some), []
        while block := [p for _, p in zip(range(128), some)]:
            out.append(self.model.features(to_tensor(np.stack(block))))
        return torch.cat(out)

    def near(self, picture, n, single=False):
        """The sets of names of the n nearest; single: among pictures of one thing."""
        scores = (self.known @ self.features([picture])[0]).numpy()
        if single:
            scores = np.where(self.single, scores, -2)
        return [self.names[i] for i in np.argsort(-scores)[:n]]


def single_prompts(rng, concepts, learnt, palette, n):
    """[(concept, colour, prompt)]"""
    pairs = [(i, c) for i in learnt for c in palette if held_out(concepts[i]["name"], c)]
    rng.shuffle(pairs)
    while len(pairs) < n:
        pairs.append((rng.choice(learnt), rng.choice(palette)))
    forms = ("{a} on a {c} background", "{n}, {c} background", "{n} emoji on a {c} background",
             "a 3d icon of {a} with a {c} background")
    out = []
    for i, c in pairs[:n]:
        noun = rng.choice([concepts[i]["name"], *concepts[i]["also"]])
        out.append((i, c, rng.choice(forms).format(a=article(noun), n=noun, c=c)))
    return out


def score_names(run, seed, neighbours, concepts, palette, prompts):
    drawn = run([p for _, _, p in prompts], seed)
    first = five = ground = 0
    for (i, colour, _), picture in zip(prompts, drawn):
        near = neighbours.near(picture, 5)
        first += concepts[i]["name"] in near[0]
        five += any(concepts[i]["name"] in names for names in near)
        ground += min(palette, key=lambda c: np.square(border(picture) - COLOURS[c]).sum()) == colour
    n = len(prompts) / 100
    print(f"{len(prompts)} prompts, {sum(held_out(concepts[i]['name'], c) for i, c, _ in prompts)} of held-out combinations")
    print(f"name: {first / n:.1f} % top 1, {five / n:.1f} % top 5; background: {ground / n:.1f} %")
    again = run([p for _, _, p in prompts[:32]], seed + 5000)
    rms = np.sqrt(((drawn[:32].astype(float) - again) ** 2).mean(axis=(1, 2, 3)))
    print(f"diversity: RMS {rms.mean():.1f} of 255 between seeds")
    return drawn


def score_counts(rng, run, seed, concepts, learnt, palette, n):
    wanted, prompts = [], []
    for k in range(n):
        noun, count = concepts[rng.choice(learnt)]["name"], 1 + k % 3
        subject = f"{NUMBERS[count]} {plural(noun)}" if count > 1 else article(noun)
        wanted.append(count)
        prompts.append(f"{subject} on {article(rng.choice(palette) + ' background')}")
    drawn = run(prompts, seed)
    right = [len(things(p)[1]) == c for p, c in zip(drawn, wanted)]
    by = ", ".join(f"{c}: {100 * np.mean([r for r, w in zip(right, wanted) if w == c]):.0f} %" for c in (1, 2, 3))
    print(f"count: {100 * np.mean(right):.1f} % of {n} ({by})")
    return drawn, prompts


def score_places(rng, run, seed, neighbours, concepts, learnt, n):
    jobs = []
    while len(jobs) < n:
        a, b = rng.sample(learnt, 2)
        a, b, word = concepts[a]["name"], concepts[b]["name"], list(RELATIONS)[len(jobs) % 4]
        if held_out(a, b) or len(jobs) >= n // 4:       # a quarter of pairs never seen together
            jobs.append((a, b, word, f"{article(a)} {word} {article(b)}"))
    drawn = run([j[3] for j in jobs], seed)
    right = [placed(neighbours, p, *j[:3]) for p, j in zip(drawn, jobs)]
    print(f"place: {100 * np.mean(right):.1f} % of {n}")
    return drawn, [j[3] for j in jobs]


def placed(neighbours, picture, a, b, word):
    return all(any(name in names for names in neighbours.near(half(picture, word, which), 5, single=True))
               for name, which in zip((a, b), RELATIONS[word]))


def check_measures(neighbours, data, records):
    """What the measures of count and place say of real pictures."""
    index = split(records, "train")
    counts = [i for i in index if records[i]["kind"] == "count" and records[i]["count"] < 4][:150]
    right = np.mean([len(things(data[i])[1]) == records[i]["count"] for i in counts])
    pairs = [i for i in index if records[i]["kind"] == "pair"][:100]
    word = {"left": "left of", "above": "above"}
    ok = np.mean([placed(neighbours, data[i], *records[i]["names"], word[records[i]["relation"]]) for i in pairs])
    print(f"on real pictures: count {100 * right:.1f} %, place {100 * ok:.1f} %")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--preset", choices=PRESETS, default="full")
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--folder", type=pathlib.Path, required=True)
    ap.add_argument("--prompts", type=int, default=200)
    ap.add_argument("--sheet", help="8x8 contact sheet (PNG)")
    ap.add_argument("--threads", type=int)
    ap.add_argument("--seed", type=int, default=1000)
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    preset, rng = PRESETS[args.preset], random.Random(args.seed)
    concepts = json.loads((args.out / "concepts.json").read_text(encoding="utf-8"))
    run, vae = drawer(args.folder, preset)
    data, records = pictures(args.out)
    for name, which in (("held-out combinations", "heldout"), ("unseen sprites", "vae_heldout")):
        value, _ = autoencoder.psnr(vae, data, split(records, which)[:100])
        print(f"psnr {value:.2f} dB on {name}", flush=True)

    palette = list(preset["backgrounds"] or COLOURS)
    learnt = read_concepts(preset["concepts"], not preset.get("learn_all"))
    learnt = [i for i, c in enumerate(concepts) if learnt is None or c["name"] in {n.lower() for n in learnt}]
    neighbours = Neighbours(args.out, data, records)
    prompts = single_prompts(rng, concepts, learnt, palette, args.prompts)
    drawn = score_names(run, args.seed, neighbours, concepts, palette, prompts)
    shown, texts = [drawn[:64]], [p for _, _, p in prompts[:64]]
    if {"count", "pair"} <= set(preset["kinds"]):
        check_measures(neighbours, data, records)
        some, words = score_counts(rng, run, args.seed + 10000, concepts, learnt, palette, args.prompts // 2)
        more, others = score_places(rng, run, args.seed + 20000, neighbours, concepts, learnt, args.prompts // 2)
        shown, texts = [drawn[:32], some[:16], more[:16]], texts[:32] + words[:16] + others[:16]
    if args.sheet:
        sheet(np.concatenate(shown), 8, args.sheet)
        print("\n".join(texts))


if __name__ == "__main__":
    main()
