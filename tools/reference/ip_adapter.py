#!/usr/bin/env python3
"""Writes tests/data/{models,manifests}/ip-<variant>: IP-Adapters with a tiny image encoder.

Each reference file holds what one picture becomes, the adapter loaded by diffusers' load_ip_adapter():

    input.picture     [1, h, w, 3] in [0, 1], 8 bits
    input.pixels      [1, 56, 56, 3] what CLIPImageProcessor makes of it
    output.encoded    the image encoder's embedding (plain) or hidden_states[-2]
    output.tokens     what the UNet attends to
    input.sample, input.timestep, input.context, output.sample
                      the UNet with these tokens, weight 0.6 (plain and plus)

Like models.py it samples every stage. pipelines.py draws whole pictures with them.
"""

import math
import sys

import diffusers
import numpy as np
import torch
import transformers

import configs
import hash_weights
import manifest
from models import DATA, STAGES, Recorder, make, nchw

SIDE = 56
ENCODER = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 128,
    "image_size": SIDE,
    "intermediate_size": 256,
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
    "num_attention_heads": 2,
    "num_channels": 3,
    "num_hidden_layers": 3,
    "patch_size": 14,
    "projection_dim": 96,
}
VARIANTS = {"plain-sd15": "sd15", "plus-sd15": "sd15", "full-sd15": "sd15", "plus-sdxl": "sdxl"}
WEIGHT = 0.6
STAGES["CLIPVisionModelWithProjection"] = STAGES["CLIP"] = STAGES["CLIP"] + ("CLIPVisionEmbeddings",)


def image_encoder():
    config = transformers.CLIPVisionConfig(**{k: v for k, v in ENCODER.items() if k != "architectures"})
    return hash_weights.fill(transformers.CLIPVisionModelWithProjection(config), "image_encoder")


def processor():
    return transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE)


def projection_shapes(kind, context):
    width, embedding = ENCODER["hidden_size"], ENCODER["projection_dim"]
    if kind == "plain":
        return {"proj.weight": (4 * context, embedding), "proj.bias": (4 * context,),
                "norm.weight": (context,), "norm.bias": (context,)}
    if kind == "full":
        return {"proj.0.weight": (width, width), "proj.0.bias": (width,), "proj.2.weight": (context, width),
                "proj.2.bias": (context,), "proj.3.weight": (context,), "proj.3.bias": (context,)}
    inner, dim = 192, 160  # three heads of 64
    shapes = {"latents": (1, 6, dim), "proj_in.weight": (dim, width), "proj_in.bias": (dim,),
              "proj_out.weight": (context, dim), "proj_out.bias": (context,),
              "norm_out.weight": (context,), "norm_out.bias": (context,)}
    for i in range(4):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            shapes |= {f"layers.{i}.{norm}.weight": (dim,), f"layers.{i}.{norm}.bias": (dim,)}
        shapes |= {f"layers.{i}.0.to_q.weight": (inner, dim), f"layers.{i}.0.to_kv.weight": (2 * inner, dim),
                   f"layers.{i}.0.to_out.weight": (dim, inner), f"layers.{i}.1.1.weight": (4 * dim, dim),
                   f"layers.{i}.1.3.weight": (dim, 4 * dim)}
    return shapes


def shapes(variant):
    """{name in the file: shape}"""
    kind, family = variant.split("-")
    config = configs.get(configs.TINY, family)["unet"]
    with torch.device("meta"):
        unet = manifest.build("unet", config)
    result = {"image_proj." + k: v for k, v in projection_shapes(kind, config["cross_attention_dim"]).items()}
    cross = [n for n in unet.attn_processors if n.endswith("attn2.processor")]
    for i, name in enumerate(cross):
        shape = tuple(unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape)
        result[f"ip_adapter.{2 * i + 1}.to_k_ip.weight"] = shape
        result[f"ip_adapter.{2 * i + 1}.to_v_ip.weight"] = shape
    return result


def state_dict(variant):
    """As load_ip_adapter() takes it: {"image_proj": {...}, "ip_adapter": {...}}."""
    parts = {"image_proj": {}, "ip_adapter": {}}
    for name, shape in shapes(variant).items():
        part, rest = name.split(".", 1)
        values = hash_weights.weight("ip_adapter." + name, shape).astype(np.float32)
        parts[part][rest] = torch.from_numpy(values)
    return parts


def write_manifest(variant):
    encoder = image_encoder()
    lines = [f"# The tiny {variant} IP-Adapter of tools/reference/ip_adapter.py and its image encoder.",
             "#config image_encoder " + manifest.json.dumps(ENCODER, separators=(",", ":")), "#config ip_adapter {}"]
    named = {"image_encoder." + n: tuple(p.shape) for n, p in encoder.named_parameters()}
    named |= {"ip_adapter." + n: s for n, s in shapes(variant).items()}
    lines += [" ".join([n, *map(str, s)]) for n, s in named.items()]
    (DATA / "manifests" / f"ip-{variant}.txt").write_text("\n".join(lines) + "\n")


def picture(name, height, width):
    """8 bits, as [1, h, w, 3] in [0, 1] and as Pillow's picture."""
    import PIL.Image

    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    noise = hash_weights.tensor_input(name, (height, width, 3))
    base = np.stack([x, y, np.hypot(x - 0.4, y - 0.5)], -1)
    bytes_ = np.rint(np.clip(base + 0.2 * noise, 0, 1) * 255).astype(np.uint8)
    return bytes_.astype(np.float32)[None] / np.float32(255), PIL.Image.fromarray(bytes_)


def reference(variant):
    kind, family = variant.split("-")
    config = configs.get(configs.TINY, family)["unet"]
    record = Recorder("image_encoder")
    encoder = image_encoder()
    values, pil = picture("ip." + variant, 90, 71)
    record.add("input.picture", values)
    pixels = processor()(pil, return_tensors="pt").pixel_values
    record.add("input.pixels", pixels)
    record.watch(encoder)
    out = encoder(pixels, output_hidden_states=True)
    encoded = out.image_embeds if kind == "plain" else out.hidden_states[-2]
    record.add("output.encoded", encoded)
    unet = make("unet", config)
    unet._load_ip_adapter_weights([state_dict(variant)], low_cpu_mem_usage=False)
    for processor_ in unet.attn_processors.values():
        if hasattr(processor_, "scale"):
            processor_.scale = [WEIGHT]
    tokens = unet.encoder_hid_proj([encoded[None]])[0]
    record.add("output.tokens", tokens[0])
    if family == "sd15":
        sample = nchw(record.input("sample", (1, 8, 4, 4), 1.7))
        t = torch.from_numpy(record.add("input.timestep", np.array([501], np.float32)))
        context = torch.from_numpy(record.input("context", (1, 12, config["cross_attention_dim"]), 1.7))
        record.add("output.sample", unet(sample, t, context, added_cond_kwargs={"image_embeds": [encoded[None]]}).sample)
    record.rerun_in_bf16(encoder, pixels, output_hidden_states=True)
    record.save("ip-" + variant, ENCODER)


def main():
    torch.set_grad_enabled(False)
    diffusers.utils.logging.set_verbosity_error()
    for variant in sys.argv[1:] or VARIANTS:
        write_manifest(variant)
        reference(variant)


if __name__ == "__main__":
    main()
