#!/usr/bin/env python3
"""Writes tests/data/models/taesd_real.json: how well trained tiny autoencoders keep a photograph.

The weights and the photograph are those of the shared test data (LAR_SHARED, by default
../shared/data beside the source tree); only the figures are committed. Per model: the PSNR in dB of
diffusers' AutoencoderTiny after encoding and decoding the crop, with 8-bit output, in float32 and
in bfloat16, and mean and standard deviation of the latent.
"""

import json
import math
import os
import pathlib

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from models import DATA

PHOTO, CROP = "images/photos/pineapple.jpg", (100, 200, 512, 512)  # left, top, width, height
CHANNELS = {"taesd": 4, "taesdxl": 4, "taef1": 16}


def shared():
    return pathlib.Path(os.environ.get("LAR_SHARED", pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"))


def model(name, dtype):
    """TAESD counts the decoder's clamp as layer 0; diffusers applies it outside."""
    vae = diffusers.AutoencoderTiny(latent_channels=CHANNELS[name])
    state = {}
    for side, shift in (("encoder", 0), ("decoder", 1)):
        for key, value in load_file(shared() / "weights" / "taesd" / f"{name}_{side}.safetensors").items():
            layer, rest = key.split(".", 1)
            state[f"{side}.layers.{int(layer) - shift}.{rest}"] = value
    vae.load_state_dict(state)
    return vae.eval().to(dtype)


def figures(name, photo, dtype):
    vae = model(name, dtype)
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    latent = vae.encode(x.to(dtype)).latents
    y = (vae.decode(latent).sample.float() / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    error = np.mean((np.rint(y * 255) - photo.astype(np.float64)) ** 2) / 255**2
    return -10 * math.log10(error), latent.float()


def main():
    torch.set_grad_enabled(False)
    left, top, width, height = CROP
    photo = np.asarray(Image.open(shared() / PHOTO).convert("RGB"))[top : top + height, left : left + width].copy()
    out = {"photo": PHOTO, "crop": CROP, "models": {}}
    for name in CHANNELS:
        psnr, latent = figures(name, photo, torch.float32)
        out["models"][name] = {
            "psnr": round(psnr, 4), "psnr_bf16": round(figures(name, photo, torch.bfloat16)[0], 4),
            "mean": round(float(latent.mean()), 6), "std": round(float(latent.std()), 6)}
    path = DATA / "models" / "taesd_real.json"
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
