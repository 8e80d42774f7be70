"""Stage 3: text encoder and UNet together, v prediction on the cached latents.

    python diffusion.py --preset small --out OUT                # train (resumes from OUT/diffusion.pt)
    python diffusion.py --preset small --out OUT --sample       # only draw the contact sheet

The schedule is SD's scaled_linear with beta_end 0.02: at t = 999 the signal is 1.5 % of the amplitude, little enough that
background colours are drawn right from pure noise by any plain sampler with trailing spacing. 10 % of the
captions are dropped for guidance."""
import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

import bpe
import vae as autoencoder
from common import Average, Clock, Workers, autocast, device, learning_rate, pictures, save, sheet, split, to_picture
from config import PRESETS
from data import read_concepts

SCHEDULER = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.02,
             "prediction_type": "v_prediction", "timestep_spacing": "trailing", "clip_sample": False,
             "set_alpha_to_one": True, "steps_offset": 1, "thresholding": False, "rescale_betas_zero_snr": False}
STEPS, GUIDANCE, DROP = 8, 2.0, 0.1
SHEET = ("a red apple", "cat", "a dog face on a blue background", "pizza on a yellow background", "a rocket",
         "a tree on a light blue background", "red heart", "a ghost on a purple background", "an owl emoji",
         "a car on a green background", "a penguin on a pink background", "a 3d icon of a house",
         "a cupcake", "sunflower on a black background", "happy face, 3d", "a mushroom on a grey background")


def build(preset, vocabulary):
    t, u = preset["text"], preset["unet"]
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=t["hidden"], intermediate_size=4 * t["hidden"], num_hidden_layers=t["layers"],
        num_attention_heads=t["heads"], max_position_embeddings=t["positions"], hidden_act="quick_gelu",
        projection_dim=t["hidden"], bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1))
    unet = UNet2DConditionModel(
        sample_size=preset["size"] // 8, in_channels=4, out_channels=4, layers_per_block=u["layers"],
        block_out_channels=u["channels"], attention_head_dim=u["heads"], cross_attention_dim=t["hidden"],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=u["groups"], act_fn="silu")
    if device().type == "cpu":      # the fused kernel is slow on tiles this small
        unet.set_attn_processor(AttnProcessor())
        text.set_attn_implementation("eager")
    return text, unet


def alphas():
    return DDIMScheduler(**SCHEDULER).alphas_cumprod


class Set:
    """Latents and caption ids of one split, in memory."""

    def __init__(self, folder, tokens, length, name, drawn):
        _, records = pictures(folder)
        self.index = split(records, name)
        if drawn is not None:
            names = {n.lower() for n in drawn}
            self.index = np.array([i for i in self.index if names.issuperset(records[i]["names"])])
        self.latents = torch.from_numpy(np.load(folder / "latents.npy", mmap_mode="r")[self.index].astype(np.float32))
        self.scale = json.loads((folder / "latents.json").read_text())["scaling_factor"]
        self.ids, self.first, self.count = [], [], []
        for i in self.index:
            self.first.append(len(self.ids))
            self.ids += [tokens.encode(c, length) for c in records[i]["captions"]]
            self.count.append(len(self.ids) - self.first[-1])
        self.ids, self.empty = torch.tensor(self.ids), torch.tensor(tokens.encode("", length))
        self.first, self.count = torch.tensor(self.first), torch.tensor(self.count)

    def batch(self, g, n):
        """n latents [n, 4, h, w] with unit deviation and token ids [n, length]; order and captions from g."""
        k = torch.randint(len(self.index), (n,), generator=g)
        mean, logvar = self.latents[k, 0], self.latents[k, 1]
        x = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=g)
        which = self.first[k] + (torch.rand(n, generator=g) * self.count[k]).long()
        ids = torch.where(torch.rand(n, 1, generator=g) < DROP, self.empty, self.ids[which])
        return (x * self.scale).to(device(), memory_format=torch.channels_last), ids.to(device())


def loss_of(text, unet, x, ids, abar, g):
    """Mean squared error of v; the timesteps of a batch are spread evenly (stratified)."""
    n = len(x)
    t = ((torch.arange(n) + torch.rand(n, generator=g)) / n * 1000).long()
    noise = torch.randn(x.shape, generator=g).to(x)
    a = abar[t].to(x).view(-1, 1, 1, 1)
    noisy, target = a.sqrt() * x + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x
    with autocast():
        v = unet(noisy, t.to(x.device), text(ids).last_hidden_state).sample
    return F.mse_loss(v.float(), target)


@torch.no_grad()
def draw(text, unet, vae, tokens, scale, prompts, side, length, seed=1, steps=STEPS, guidance=GUIDANCE):
    """uint8 [n, h, w, 3]; DDIM, guidance with the empty prompt."""
    scheduler = DDIMScheduler(**SCHEDULER)
    scheduler.set_timesteps(steps)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(len(prompts), 4, side, side, generator=g).to(device(), memory_format=torch.channels_last)
    ids = torch.tensor([tokens.encode(p, length) for p in [*prompts, *[""] * len(prompts)]], device=device())
    with autocast():
        context = text(ids).last_hidden_state
        for t in scheduler.timesteps:
            yes, no = unet(torch.cat([x, x]), t.to(device()), context).sample.float().chunk(2)
            x = scheduler.step(no + guidance * (yes - no), t, x).prev_sample
        return to_picture(torch.cat([vae.decode(x[i:i + 16] / scale).sample for i in range(0, len(x), 16)]))


def train(args, preset):
    d, length, workers = preset["diffusion"], preset["text"]["positions"], Workers(args.threads)
    merges = args.out / "merges.json"
    if not merges.exists():
        _, records = pictures(args.out)
        mine = merges.with_suffix(f".{workers.rank}")
        mine.write_text(json.dumps(bpe.train((c for r in records for c in r["captions"]), preset["merges"])))
        mine.replace(merges)
    tokens = bpe.Bpe.load(args.out)
    data = Set(args.out, tokens, length, "train", read_concepts(preset["concepts"], not preset.get("learn_all")))
    torch.manual_seed(args.seed)
    text, unet = (m.to(device()) for m in build(preset, len(tokens.tokens)))
    unet.to(memory_format=torch.channels_last)
    params = [*text.parameters(), *unet.parameters()]
    opt = torch.optim.AdamW(params, lr=d["lr"], betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    ema = Average(params, 0.999)
    workers.bind(params)
    step, spent, path = 0, 0.0, args.out / "diffusion.pt"
    if path.exists():
        s = torch.load(path, map_location=device(), weights_only=False)
        text.load_state_dict(s["text"])
        unet.load_state_dict(s["unet"])
        ema.load(s["ema"])
        opt.load_state_dict(s["opt"])
        step, spent = s["step"], s["spent"]
    g = torch.Generator().manual_seed(args.seed + 1000 * step + workers.rank)
    vae, abar = autoencoder.load(args.out, preset), alphas()
    run = torch.compile(unet) if args.compile else unet
    batch, clock, last, mean = args.batch or d["batch"], Clock(d["steps"], args.minutes or d["minutes"], spent), \
        time.time(), None
    if workers.rank == 0:
        print(f"text {sum(p.numel() for p in text.parameters()) / 1e6:.2f} M, unet "
              f"{sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M parameters, {len(tokens.tokens)} tokens, "
              f"{len(data.index)} pictures, from step {step}", flush=True)

    def checkpoint():
        save(path, text=text.state_dict(), unet=unet.state_dict(), ema=ema.state(), opt=opt.state_dict(), step=step,
             spent=clock.elapsed())
        ema.swap()
        sheet(draw(text, unet, vae, tokens, data.scale, SHEET, preset["size"] // 8, length), 8,
              args.out / f"sheet-{step:06d}.png")
        ema.swap()

    done = False
    while not done:
        progress = clock.progress(step)
        for group in opt.param_groups:
            group["lr"] = learning_rate(d["lr"], step, progress)
        loss = loss_of(text, run, *data.batch(g, batch // workers.count), abar, g)
        workers.flat.zero_()
        loss.backward()
        workers.average()
        opt.step()
        ema.update()
        step += 1
        mean = loss.item() if mean is None else 0.99 * mean + 0.01 * loss.item()
        if step % 50 == 0 and workers.rank == 0:
            print(f"step {step} {100 * progress:.1f} % loss {mean:.4f} {clock.elapsed():.0f} s", flush=True)
        done = workers.agree(progress >= 1 or (args.out / "stop-diffusion").exists())
        if workers.rank == 0 and (done or time.time() - last > args.every):
            checkpoint()
            last = time.time()


def load(folder, preset):
    """(text encoder, unet, tokens) with the averaged weights of a checkpoint folder."""
    tokens = bpe.Bpe.load(folder)
    text, unet = build(preset, len(tokens.tokens))
    s = torch.load(folder / "diffusion.pt", map_location="cpu", weights_only=False)
    ema = Average([*text.parameters(), *unet.parameters()], 0)
    ema.load(s["ema"])
    ema.swap()
    return (*(m.to(device()).eval().requires_grad_(False) for m in (text, unet)), tokens)


def sample(args, preset):
    text, unet, tokens = load(args.out, preset)
    vae = autoencoder.load(args.out, preset)
    scale = json.loads((args.out / "latents.json").read_text())["scaling_factor"]
    prompts = args.prompts or SHEET
    images = draw(text, unet, vae, tokens, scale, prompts, preset["size"] // 8, preset["text"]["positions"],
                  seed=args.seed, steps=args.steps, guidance=args.guidance)
    sheet(images, math.ceil(math.sqrt(len(prompts))), args.out / "sample.png")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--preset", choices=PRESETS, default="full")
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--minutes", type=float)
    ap.add_argument("--batch", type=int)
    ap.add_argument("--every", type=float, default=300, help="seconds between checkpoints")
    ap.add_argument("--threads", type=int)
    ap.add_argument("--compile", action="store_true", help="torch.compile the UNet (needs a C++ compiler)")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--sample", action="store_true")
    ap.add_argument("--prompts", nargs="+")
    ap.add_argument("--steps", type=int, default=STEPS)
    ap.add_argument("--guidance", type=float, default=GUIDANCE)
    args = ap.parse_args()
    (sample if args.sample else train)(args, PRESETS[args.preset])


if __name__ == "__main__":
    main()
