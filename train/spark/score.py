"""Stage 5: the figures on the model card, and the contact sheet.

    python score.py --preset small --out OUT --folder OUT/spark --sheet sheet.png

Draws with the exported F16 weights, in f32, with default steps and guidance. Measured:
  psnr         the autoencoder's mean PSNR on held-out combinations and on sprites no stage has seen
  name         the drawing's nearest neighbours among one picture of every thing on the same background (distance of
               the pictures shrunk to 24x24 pixels, the best of small shifts) bear the prompted name: top 1, top 5
  background   the colour of the palette that is nearest to the median of the drawing's border is the prompted one
  diversity    mean distance (RMS, 0-255) between two seeds' drawings of one prompt
Prompts use (thing, background) combinations held out of training where there are any, in phrasings chosen at random."""
import argparse
import json
import pathlib
import random

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

import diffusion
import vae as autoencoder
from common import pictures, sheet, split
from config import COLOURS, PRESETS
from data import article, draw, held_out, read_concepts


def drawer(folder, preset):
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)

    def run(prompts, seed):
        out = []
        for i in range(0, len(prompts), 10):
            g = [torch.Generator().manual_seed(seed + i + k) for k in range(len(prompts[i:i + 10]))]
            out += pipe(prompts[i:i + 10], generator=g, num_inference_steps=diffusion.STEPS, output_type="np",
                        height=preset["size"], width=preset["size"],
                        guidance_scale=diffusion.GUIDANCE).images.tolist()
        return np.rint(np.array(out) * 255).astype(np.uint8)
    return run, pipe.vae


def shrink(picture):
    return np.asarray(Image.fromarray(picture).resize((24, 24), Image.Resampling.BOX), np.float32)


def distance(a, b):
    """RMS of two small pictures, the best of shifts by up to one small pixel."""
    return min(float(np.sqrt(((np.roll(a, (y, x), (0, 1)) - b)[1:-1, 1:-1] ** 2).mean()))
               for y in (-1, 0, 1) for x in (-1, 0, 1))


def border(picture):
    edge = np.concatenate([picture[:3].reshape(-1, 3), picture[-3:].reshape(-1, 3),
                           picture[:, :3].reshape(-1, 3), picture[:, -3:].reshape(-1, 3)])
    return np.median(edge, axis=0)


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
        print(f"psnr {value:.2f} dB on {name}")

    palette = list(preset["backgrounds"] or COLOURS)
    learnt = read_concepts(preset["concepts"], drawn_only=True)
    learnt = [i for i, c in enumerate(concepts) if learnt is None or c["name"] in {n.lower() for n in learnt}]
    pairs = [(i, c) for i in learnt for c in palette if held_out(concepts[i]["name"], c)]
    rng.shuffle(pairs)
    while len(pairs) < args.prompts:
        pairs.append((rng.choice(learnt), rng.choice(palette)))
    pairs = pairs[:args.prompts]
    prompts = []
    for i, colour in pairs:
        noun = rng.choice([concepts[i]["name"], *concepts[i]["also"]])
        prompts.append(rng.choice(["{a} on a {c} background", "{n}, {c} background", "{n} emoji on a {c} background",
                                   "a 3d icon of {a} with a {c} background"])
                       .format(a=article(noun), n=noun, c=colour))
    drawn = run(prompts, args.seed)
    first, five, ground, known = 0, 0, 0, {}
    scale = sum(preset["scale"]) / 2
    for (i, colour), picture in zip(pairs, drawn):
        if colour not in known:
            known[colour] = [shrink(draw({"objects": [(k, 0.5, 0.5, scale, None)], "background": colour,
                                          "style": "plain"}, concepts, preset["size"])) for k in range(len(concepts))]
        small = shrink(picture)
        order = np.argsort([distance(small, other) for other in known[colour]])
        names = list(dict.fromkeys(concepts[k]["name"] for k in order))
        first += names[0] == concepts[i]["name"]
        five += concepts[i]["name"] in names[:5]
        nearest = min(palette, key=lambda c: np.square(border(picture) - COLOURS[c]).sum())
        ground += nearest == colour
    n = len(pairs) / 100
    print(f"{len(pairs)} prompts, {sum(held_out(concepts[i]['name'], c) for i, c in pairs)} of held-out combinations")
    print(f"name: {first / n:.1f} % top 1, {five / n:.1f} % top 5 of {len(concepts)}; background {ground / n:.1f} %")
    again = run(prompts[:32], args.seed + 5000)
    rms = np.sqrt(((drawn[:32].astype(float) - again) ** 2).mean(axis=(1, 2, 3)))
    print(f"diversity: RMS {rms.mean():.1f} of 255 between seeds")
    if args.sheet:
        sheet(drawn[:64], 8, args.sheet)
        print("\n".join(prompts[:64]))


if __name__ == "__main__":
    main()
