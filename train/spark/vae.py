"""Stage 2: the autoencoder, then the latents of every captioned picture.

    python vae.py --preset small --out OUT            # train (resumes from OUT/vae.pt)
    python vae.py --preset small --out OUT --decoder  # later: only the decoder, latents left as they are
    python vae.py --preset small --out OUT --encode   # OUT/latents.npy (f16 [n, 2, 4, h/8, w/8]: mean, log variance) + latents.json

The loss is L1 on pixels, on differences of neighbours (edges) and on a 4x smaller picture, plus a small KL
term that keeps the latents smooth enough to be diffused."""
import argparse
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from common import (Average, Clock, Workers, autocast, device, learning_rate, pictures, save, sheet, split,
                    to_picture, to_tensor)
from config import PRESETS

KL_WEIGHT = 1e-3


def build(preset):
    v = preset["vae"]
    n = len(v["channels"])
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, act_fn="silu", layers_per_block=1,
        block_out_channels=v["channels"], norm_num_groups=v["groups"], sample_size=preset["size"],
        down_block_types=("DownEncoderBlock2D",) * n, up_block_types=("UpDecoderBlock2D",) * n,
        scaling_factor=1.0)


def difference(y, x):
    edge = F.l1_loss(y.diff(dim=2), x.diff(dim=2)) + F.l1_loss(y.diff(dim=3), x.diff(dim=3))
    coarse = F.l1_loss(F.avg_pool2d(y, 4), F.avg_pool2d(x, 4))
    return F.l1_loss(y, x) + 0.5 * F.mse_loss(y, x) + edge + coarse


def loss_of(vae, x):
    q = vae.encode(x).latent_dist
    y = vae.decode(q.sample()).sample.float()
    mean, logvar = q.mean.float(), q.logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return difference(y, x) + KL_WEIGHT * kl


def decoder_loss(vae, data, latents, index, rng, batch):
    """Whole pictures from their cached latents, a little off, as those of a diffusion model are."""
    k = np.sort(rng.choice(index, batch, replace=False))
    x, q = to_tensor(data[k]), torch.from_numpy(latents[k].astype(np.float32)).to(device())
    off = 0.2 * torch.rand(batch, 1, 1, 1, device=x.device)
    z = q[:, 0] + (torch.exp(0.5 * q[:, 1]) + off) * torch.randn_like(q[:, 0])
    return difference(vae.decode(z.contiguous(memory_format=torch.channels_last)).sample.float(), x)


def crops(data, index, rng, batch, size):
    full, out = data.shape[1], np.empty((batch, size, size, 3), np.uint8)
    for i, k in enumerate(rng.choice(index, batch)):
        y, x = rng.integers(0, full - size + 1, 2)
        crop = data[k, y:y + size, x:x + size]
        out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return to_tensor(out).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def psnr(vae, data, index):
    """Mean over pictures of the PSNR in dB of decode(mean of encode), 8-bit."""
    total, shown = [], []
    for i in range(0, len(index), 16):
        block = np.stack([data[k] for k in index[i:i + 16]])
        with autocast():
            y = vae.decode(vae.encode(to_tensor(block)).latent_dist.mode()).sample
        y = to_picture(y)
        error = ((y.astype(np.float32) - block) ** 2).mean(axis=(1, 2, 3))
        total += list(10 * np.log10(255 ** 2 / np.maximum(error, 1e-3)))
        shown.append(np.stack([block, y], 1).reshape(-1, *block.shape[1:]))
    return float(np.mean(total)), np.concatenate(shown)


def train(args, preset):
    v, workers = preset["vae"], Workers(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng([args.seed, workers.rank])
    data, records = pictures(args.out)
    index = split(records, "train", "vae")
    checks = {"held-out combinations": split(records, "heldout")[:32],
              "unseen sprites": split(records, "vae_heldout")[:64]}
    vae = build(preset).to(device(), memory_format=torch.channels_last)
    if args.decoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        latents, index = np.load(args.out / "latents.npy", mmap_mode="r"), split(records, "train")
    params = [p for p in vae.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=v["lr"], betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    ema = Average(vae.parameters(), 0.998)
    workers.bind(params)
    step, spent, path = 0, 0.0, args.out / "vae.pt"
    if path.exists():
        s = torch.load(path, map_location=device(), weights_only=False)
        vae.load_state_dict(s["live"])
        ema.load(s["ema"])
        if args.decoder:
            ema.swap()      # start from the mean, and let the unchanged encoder be the mean
            ema = Average(vae.parameters(), 0.998)
        else:
            step, spent = s["step"], s["spent"]
            opt.load_state_dict(s["opt"])
            rng = np.random.default_rng([args.seed, workers.rank, step])
            torch.manual_seed(args.seed + 1000 * step + workers.rank)      # noise of the latents
    minutes = args.minutes or v["minutes"]
    peak = v["lr"] * (0.4 if args.decoder else 1)
    clock, last, mean = Clock(v["steps"], minutes, spent), time.time(), None
    if workers.rank == 0:
        print(f"vae: {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters, from step {step}", flush=True)

    def checkpoint():
        if args.decoder:    # the first training may still be resumed
            save(path, live=vae.state_dict(), ema=ema.state(), **{k: s[k] for k in ("opt", "step", "spent")})
        else:
            save(path, live=vae.state_dict(), ema=ema.state(), opt=opt.state_dict(), step=step, spent=clock.elapsed())
        ema.swap()
        for name, some in checks.items():
            value, shown = psnr(vae, data, some)
            print(f"  PSNR {value:.2f} dB on {name}", flush=True)
            sheet(shown[:48], 12, args.out / f"vae-{name.split()[0]}.png")
        ema.swap()

    done = False
    while not done:
        progress = clock.progress(step)
        for g in opt.param_groups:
            g["lr"] = learning_rate(peak, step, progress)
        with autocast():
            if args.decoder:
                loss = decoder_loss(vae, data, latents, index, rng,
                                    v["batch"] * v["crop"] ** 2 // preset["size"] ** 2 // workers.count)
            else:
                loss = loss_of(vae, crops(data, index, rng, v["batch"] // workers.count, v["crop"]))
        workers.flat.zero_()
        loss.backward()
        workers.average()
        opt.step()
        ema.update()
        step += 1
        mean = loss.item() if mean is None else 0.99 * mean + 0.01 * loss.item()
        if step % 100 == 0 and workers.rank == 0:
            print(f"step {step} {100 * progress:.0f} % loss {mean:.4f} "
                  f"{clock.elapsed():.0f} s", flush=True)
        done = workers.agree(progress >= 1 or (args.out / "stop-vae").exists())
        if workers.rank == 0 and (done or time.time() - last > args.every):
            checkpoint()
            last = time.time()


def load(folder, preset):
    """The averaged autoencoder of a checkpoint folder."""
    vae = build(preset)
    s = torch.load(folder / "vae.pt", map_location="cpu", weights_only=False)
    vae.load_state_dict(s["live"])
    ema = Average(vae.parameters(), 0)
    ema.load(s["ema"])
    ema.swap()
    return vae.to(device(), memory_format=torch.channels_last).eval().requires_grad_(False)


@torch.no_grad()
def encode(args, preset):
    data, records = pictures(args.out)
    vae, index = load(args.out, preset), split(records, "train", "heldout")
    assert (index == np.arange(len(index))).all()       # data.py puts the captioned pictures first
    side = preset["size"] // 8
    out = np.lib.format.open_memmap(args.out / "latents.npy", "w+", np.float16, (len(index), 2, 4, side, side))
    for i in range(0, len(index), 32):
        with autocast():
            q = vae.encode(to_tensor(data[i:min(i + 32, len(index))])).latent_dist
        out[i:i + 32] = torch.stack([q.mean, q.logvar], 1).float().cpu().numpy()
    out.flush()
    mean, var = out[:, 0].astype(np.float32), np.exp(out[:, 1].astype(np.float32))
    std = float(np.sqrt(mean.var() + var.mean()))
    (args.out / "latents.json").write_text(json.dumps({"scaling_factor": round(1 / std, 5)}))
    print(f"{len(index)} latents, deviation {std:.4f}, mean {mean.mean():.4f}, by channel "
          f"{mean.mean(axis=(0, 2, 3)).round(2)} +- {mean.std(axis=(0, 2, 3)).round(2)}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--preset", choices=PRESETS, default="full")
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--encode", action="store_true")
    ap.add_argument("--decoder", action="store_true")
    ap.add_argument("--minutes", type=float)
    ap.add_argument("--every", type=float, default=240, help="seconds between checkpoints")
    ap.add_argument("--threads", type=int)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    (encode if args.encode else train)(args, PRESETS[args.preset])


if __name__ == "__main__":
    main()
