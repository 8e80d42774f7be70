#!/usr/bin/env python3
"""The upscalers: tests/data/models/esrgan*.safetensors, srvgg*.safetensors, their manifests, and what
the trained realesr-animevideov3 makes of a photograph (tests/data/models/esrgan_real.safetensors).

The networks are written here after the papers and BasicSR's checkpoints; their parameters have the
names of those files. The weights and the photograph of the last file are those of the shared test
data (LAR_SHARED, by default ../shared/data beside the source tree).
"""

import json

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

import hash_weights
import models
from models import DATA, Recorder, nchw, nhwc
from taesd_real import shared

PHOTO, CROP = "images/photos/pineapple.jpg", (300, 400, 40, 32)  # left, top, width, height


class Dense(nn.Module):
    def __init__(self, width, growth):
        super().__init__()
        for i in range(5):
            out = width if i == 4 else growth
            setattr(self, f"conv{i + 1}", nn.Conv2d(width + i * growth, out, 3, 1, 1))

    def forward(self, x):
        seen = x
        for i in range(4):
            seen = torch.cat((seen, F.leaky_relu(getattr(self, f"conv{i + 1}")(seen), 0.2)), 1)
        return x + 0.2 * self.conv5(seen)


class Block(nn.Module):
    def __init__(self, width, growth):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(width, growth) for _ in range(3))

    def forward(self, x):
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    def __init__(self, scale, num_feat, num_block, num_grow_ch):
        super().__init__()
        self.shrink = 4 // scale
        self.conv_first = nn.Conv2d(3 * self.shrink**2, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(Block(num_feat, num_grow_ch) for _ in range(num_block)))
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            setattr(self, name, nn.Conv2d(num_feat, num_feat, 3, 1, 1))
        self.conv_last = nn.Conv2d(num_feat, 3, 3, 1, 1)

    def forward(self, x):
        f = self.conv_first(F.pixel_unshuffle(x, self.shrink))
        f = f + self.conv_body(self.body(f))
        for up in (self.conv_up1, self.conv_up2):
            f = F.leaky_relu(up(F.interpolate(f, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(f), 0.2))


class SRVGGNetCompact(nn.Module):
    def __init__(self, upscale, num_feat, num_conv):
        super().__init__()
        self.upscale = upscale
        layers = [nn.Conv2d(3, num_feat, 3, 1, 1), nn.PReLU(num_feat)]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, 1, 1), nn.PReLU(num_feat)]
        self.body = nn.Sequential(*layers, nn.Conv2d(num_feat, 3 * upscale**2, 3, 1, 1))

    def forward(self, x):
        return F.pixel_shuffle(self.body(x), self.upscale) + F.interpolate(x, scale_factor=self.upscale)


MODELS = {
    "esrgan-x4": (RRDBNet, {"scale": 4, "num_feat": 16, "num_block": 2, "num_grow_ch": 8}),
    "esrgan-x2": (RRDBNet, {"scale": 2, "num_feat": 16, "num_block": 1, "num_grow_ch": 8}),
    "srvgg-x4": (SRVGGNetCompact, {"upscale": 4, "num_feat": 16, "num_conv": 3}),
    "srvgg-x3": (SRVGGNetCompact, {"upscale": 3, "num_feat": 8, "num_conv": 2}),
}


def write_manifest(variant, model, config):
    lines = [f"# The tiny {variant} model of tools/reference/esrgan.py.",
             f"#config upscaler {json.dumps(config, separators=(',', ':'))}"]
    lines += [" ".join(["upscaler." + n, *map(str, p.shape)]) for n, p in model.named_parameters()]
    (DATA / "manifests" / f"{variant}.txt").write_text("\n".join(lines) + "\n")


def old_names(variant, model):
    """The file of 2018: one row of layers, counted with those that have no weights."""
    lines = []
    count = len(model.body)
    for name, _ in model.named_parameters():
        part, rest = name.rsplit(".", 1)
        layers = {"conv_first": "0", "conv_body": f"1.sub.{count}", "conv_up1": "3", "conv_up2": "6",
                  "conv_hr": "8", "conv_last": "10"}
        if part in layers:
            new = f"model.{layers[part]}.{rest}"
        else:
            _, block, dense, conv = part.split(".")
            new = f"model.1.sub.{block}.{dense.upper()}.{conv}.0.{rest}"
        lines.append(f"{new} upscaler.{name}")
    (DATA / "manifests" / f"{variant}-2018.ldm.txt").write_text("\n".join(lines) + "\n")
    renames = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    lines = []
    for name, _ in model.named_parameters():
        new = name.replace("body.", "RRDB_trunk.", 1).replace("rdb", "RDB") if name.startswith("body.") else name
        for a, b in renames.items():
            new = b + new[len(a):] if new.startswith(a + ".") else new
        lines.append(f"{new} upscaler.{name}")
    (DATA / "manifests" / f"{variant}-2019.ldm.txt").write_text("\n".join(lines) + "\n")


def tiny(variant, kind, config):
    models.STAGES[kind.__name__] = ("Dense", "Block", "Conv2d")
    record = Recorder("upscaler")
    model = hash_weights.fill(kind(**config), "upscaler")
    model.__class__.__name__ = kind.__name__
    for name, module in model.named_modules():
        # Within dense blocks only the results are named.
        if type(module).__name__ in ("Dense", "Block", "Conv2d") and ".conv" not in name and name != "conv_body":
            module.register_forward_hook(record._hook(name))
    x = nchw(np.abs(record.input("picture", (1, 12, 20, 3))))
    record.tensors["input.picture"] = nhwc(x)
    record.add("output.picture", model(x))
    record.rerun_in_bf16(model, x)
    record.save(variant, config)
    model.float()
    write_manifest(variant, model, config)
    if variant == "esrgan-x4":
        old_names(variant, model)


def real():
    left, top, width, height = CROP
    photo = np.asarray(Image.open(shared() / PHOTO).convert("RGB"))[top : top + height, left : left + width].copy()
    model = SRVGGNetCompact(4, 64, 16).eval()
    state = torch.load(shared() / "weights/realesrgan/realesr-animevideov3.pth", map_location="cpu", weights_only=True)
    model.load_state_dict(state.get("params", state))
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    y = (model(x).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    save_file({"photo": photo, "picture": np.ascontiguousarray(y)}, DATA / "models" / "esrgan_real.safetensors")


def main():
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for variant, (kind, config) in MODELS.items():
        tiny(variant, kind, config)
    real()


if __name__ == "__main__":
    main()
