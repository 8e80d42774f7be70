"""The judge: a small contrastive picture-text model (Radford et al., arXiv:2103.00020), trained on the same
captioned pictures only to score drawings. It is not shipped.

    python judge.py --preset medium --out OUT      # OUT/judge.pt; needs data.py's pictures and diffusion.py's merges

Pictures are seen at 64x64 with small shifts and changes of light; texts are bags of tokens. `Judge.features` of a
picture are what score.py looks for neighbours in."""
import argparse
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import bpe
from common import autocast, device, pictures, split, to_tensor
from config import PRESETS

SIDE, WIDTH, LENGTH = 64, 128, 32


class Judge(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        layers, width = [], 3
        for out in (32, 64, 128, 192):
            layers += [nn.Conv2d(width, out, 3, 2, 1), nn.GroupNorm(8, out), nn.SiLU(),
                       nn.Conv2d(out, out, 3, 1, 1), nn.GroupNorm(8, out), nn.SiLU()]
            width = out
        # The 4x4 places keep apart where things are: "left of" is in the features too.
        self.picture = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 16, 256), nn.SiLU(), nn.Linear(256, WIDTH))
        self.token = nn.Embedding(vocabulary, 128)
        self.text = nn.Sequential(nn.Linear(128, 256), nn.SiLU(), nn.Linear(256, WIDTH))
        self.temperature = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def features(self, x):
        """x [n, 3, h, w] in [-1, 1] -> unit vectors [n, WIDTH]"""
        return F.normalize(self.picture(F.interpolate(x, (SIDE, SIDE), mode="area")).float(), dim=-1)

    def words(self, ids, mask):
        """ids, mask [n, LENGTH] -> unit vectors [n, WIDTH]"""
        mean = (self.token(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return F.normalize(self.text(mean).float(), dim=-1)


def shaken(x):
    """Shifts of up to 3 of 64 pixels and a little light, alike for none of the pictures of the next step."""
    dx, dy = np.random.randint(-3, 4, 2)
    x = torch.roll(x, (int(dy), int(dx)), (2, 3))
    return x * float(np.random.uniform(0.9, 1.1)) + float(np.random.uniform(-0.05, 0.05))


def small(data, index):
    """All pictures at 64x64, uint8 [n, 64, 64, 3]."""
    out = np.empty((len(index), SIDE, SIDE, 3), np.uint8)
    for i in range(0, len(index), 256):
        block = F.interpolate(to_tensor(data[index[i:i + 256]]), (SIDE, SIDE), mode="area")
        out[i:i + 256] = block.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return out


def train(args):
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    tokens = bpe.Bpe.load(args.out)
    data, records = pictures(args.out)
    index = split(records, "train")
    block = small(data, index)
    captions = [[torch.tensor(tokens.encode(c, LENGTH)) for c in records[i]["captions"]] for i in index]
    judge = Judge(len(tokens.tokens)).to(device())
    opt = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    start = time.time()
    for step in range(args.steps):
        for group in opt.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / args.steps))
        k = np.random.choice(len(index), args.batch, replace=False)
        ids = torch.stack([captions[i][np.random.randint(len(captions[i]))] for i in k]).to(device())
        mask = ((ids != tokens.eos) & (ids != tokens.bos)).float()
        with autocast():
            a, b = judge.features(shaken(to_tensor(block[k]))), judge.words(ids, mask)
        scores = a @ b.T * judge.temperature.exp().clamp(max=100)
        target = torch.arange(len(k), device=scores.device)
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        opt.zero_grad()
        loss.backward()
        opt.step()
        if (step + 1) % 100 == 0:
            hit = (scores.argmax(1) == target).float().mean()
            print(f"step {step + 1} loss {loss.item():.3f}, right caption of {len(k)}: {100 * hit:.0f} %, "
                  f"{time.time() - start:.0f} s", flush=True)
    torch.save(judge.state_dict(), args.out / "judge.pt")


def load(folder, vocabulary):
    judge = Judge(vocabulary)
    judge.load_state_dict(torch.load(folder / "judge.pt", map_location="cpu"))
    return judge.to(device()).eval().requires_grad_(False)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--preset", choices=PRESETS, default="full")
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--steps", type=int, default=2000)
    ap.add_argument("--batch", type=int, default=192)
    ap.add_argument("--threads", type=int)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    train(args)


if __name__ == "__main__":
    main()
