#!/usr/bin/env python3
"""Writes the manifests of whole checkpoints and how single-file (LDM) names map to diffusers names.

tests/data/manifests/<model>.txt        every tensor of the tiny model, diffusers names
tests/data/manifests/<model>.ldm.txt    one line per tensor of the single file: `name source [rule]`
    (no rule)     the same tensor
    stack         source is `a,b,c`: their rows one after another
    transpose     the 2-D source transposed
    conv1x1       the 2-D source [o, i] as [o, i, 1, 1]
    extra d0 ...  source is `-`: a tensor real single files have and diffusers has not; hash weights of
                  its own name
    arange d0 ... source is `-`: I64 0, 1, 2, ...
tests/data/manifests/full/<model>.txt   the real sizes

Each map is proved by building the single file's tensors and sending them through diffusers' own
converters: the result must equal the diffusers tensors bit for bit.
"""

import math
import re

import numpy as np
import torch
from diffusers.loaders import single_file_utils as sf

import configs
import hash_weights
import manifest
from models import DATA

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
          "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}


def unet_name(name, config):
    """LDM name of a UNet tensor: blocks are numbered in one row, each with parts 0 (resnet), 1, 2."""
    per_level = config["layers_per_block"] + 1
    stem, leaf = name.rsplit(".", 1)
    if stem in UNET:
        return f"{UNET[stem]}.{leaf}"
    m = re.fullmatch(r"(down|up|mid)_block(?:s\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)",
                     stem)
    side, level, kind, index, rest = m[1], int(m[2] or 0), m[3], int(m[4]), m[5]
    rest = RESNET[rest] if kind == "resnets" else rest
    if side == "mid":
        block = f"middle_block.{2 * index if kind == 'resnets' else 1}"
    elif side == "down":
        number = 1 + per_level * level + index
        if kind == "downsamplers":
            return f"input_blocks.{per_level * (level + 1)}.0.op.{leaf}"
        block = f"input_blocks.{number}.{0 if kind == 'resnets' else 1}"
    elif kind == "upsamplers":
        part = 2 if config["up_block_types"][level].startswith("CrossAttn") else 1
        return f"output_blocks.{per_level * (level + 1) - 1}.{part}.{rest}.{leaf}"
    else:
        block = f"output_blocks.{per_level * level + index}.{0 if kind == 'resnets' else 1}"
    return f"{block}.{rest}.{leaf}"


CONTROLNET = {"controlnet_mid_block": "middle_block_out.0", "controlnet_cond_embedding.conv_in": "input_hint_block.0",
              "controlnet_cond_embedding.conv_out": "input_hint_block.14"}


def controlnet_name(name, config):
    stem, leaf = name.rsplit(".", 1)
    if stem in CONTROLNET:
        return f"{CONTROLNET[stem]}.{leaf}"
    if m := re.fullmatch(r"controlnet_down_blocks\.(\d+)", stem):
        return f"zero_convs.{m[1]}.0.{leaf}"
    if m := re.fullmatch(r"controlnet_cond_embedding\.blocks\.(\d+)", stem):
        return f"input_hint_block.{2 * int(m[1]) + 2}.{leaf}"
    return unet_name(name, config)


def vae_name(name, config):
    last = len(config["block_out_channels"]) - 1
    name = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{last - int(m[1])}", name)
    for pattern, to in ((r"down_blocks\.(\d+)", r"down.\1"), (r"mid_block\.resnets\.(\d+)", None),
                        (r"mid_block\.attentions\.0", "mid.attn_1"), (r"\.resnets\.", ".block."),
                        (r"downsamplers\.0", "downsample"), (r"upsamplers\.0", "upsample"),
                        ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"),
                        ("group_norm", "norm"), (r"to_out\.0", "proj_out"), (r"to_([qkv])", r"\1")):
        name = re.sub(pattern, to or (lambda m: f"mid.block_{int(m[1]) + 1}"), name)
    return name


OPEN_CLIP = {"text_model.embeddings.token_embedding.weight": "token_embedding.weight",
             "text_model.embeddings.position_embedding.weight": "positional_embedding",
             "text_model.final_layer_norm.weight": "ln_final.weight",
             "text_model.final_layer_norm.bias": "ln_final.bias"}


def open_clip(name, prefix, component):
    """Map line of one OpenCLIP tensor, or None where a fused tensor already covers it."""
    full = f"{component}.{name}"
    if name in OPEN_CLIP:
        return (prefix + OPEN_CLIP[name], full)
    if name == "text_projection.weight":
        return (prefix + "text_projection", full, "transpose")
    stem = name.replace("text_model.encoder.layers.", prefix + "transformer.resblocks.")
    if ".self_attn.q_proj." in name:
        fused = stem.replace("self_attn.q_proj.", "attn.in_proj_")
        return (fused, ",".join(full.replace("q_proj", p) for p in ("q_proj", "k_proj", "v_proj")), "stack")
    if ".k_proj." in name or ".v_proj." in name:
        return None
    for old, new in (("layer_norm", "ln_"), ("self_attn", "attn"), ("fc1", "c_fc"), ("fc2", "c_proj")):
        stem = stem.replace(old, new)
    return (stem, full)


def extra(name, *shape):
    return (name, "-", "extra", *map(str, shape))


def position_ids(prefix):
    return (prefix + "text_model.embeddings.position_ids", "-", "arange", "1", "77")


def last_open_clip_layer(config, prefix):
    """SD 2.x single files hold one layer more than diffusers keeps: its output is never used."""
    width, n = config["hidden_size"], config["num_hidden_layers"]
    block = f"{prefix}transformer.resblocks.{n}."
    parts = {"ln_1": (width,), "ln_2": (width,), "attn.out_proj": (width, width),
             "mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}
    yield extra(block + "attn.in_proj_weight", 3 * width, width)
    yield extra(block + "attn.in_proj_bias", 3 * width)
    for part, shape in parts.items():
        yield extra(f"{block}{part}.weight", *shape)
        yield extra(f"{block}{part}.bias", shape[0])
    yield extra(prefix + "text_projection", width, width)


def ldm_map(model, config):
    """The lines of <model>.ldm.txt as tuples."""
    xl = "text_encoder_2" in config
    clip = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
    openclip = "conditioner.embedders.1.model." if xl else "cond_stage_model.model."
    lines = []
    for full, shape in manifest.shapes(config).items():
        component, name = full.split(".", 1)
        if component == "unet":
            lines.append(("model.diffusion_model." + unet_name(name, config["unet"]), full))
        elif component == "vae":
            rule = ("conv1x1",) if len(shape) == 2 else ()
            lines.append(("first_stage_model." + vae_name(name, config["vae"]), full, *rule))
        elif config[component]["hidden_act"] == "quick_gelu":
            lines.append((clip + name, full))
        else:
            lines.append(open_clip(name, openclip, component))
    if model == "sd15" or xl:
        lines.insert(0, position_ids(clip))  # the widest type first keeps every tensor aligned
    if model == "sd15":
        lines += [extra(n, 1000) for n in ("alphas_cumprod", "betas", "sqrt_alphas_cumprod")]
        lines.append(extra("model_ema.decay"))
    else:
        lines.append(extra(openclip + "logit_scale"))
    if model == "sd21":
        lines += last_open_clip_layer(config["text_encoder"], openclip)
    return [line for line in lines if line]


def taesd_maps():
    """The original TAESD files: the decoder's layer 0 is a clamp, which diffusers does not count."""
    maps = {"taesd-encoder": [], "taesd-decoder": []}
    for full in manifest.shapes(configs.TINY["taesd"]):
        _, half, _, index, leaf = full.split(".", 4)
        maps["taesd-" + half].append((f"{int(index) + (half == 'decoder')}.{leaf}", full))
    return maps


def single_file(lines, shapes):
    """The tensors a map describes, float16."""
    result = {}
    for name, source, *rule in lines:
        kind, dims = (rule[0], tuple(map(int, rule[1:]))) if rule else ("", ())
        if kind == "arange":
            result[name] = np.arange(math.prod(dims), dtype=np.int64).reshape(dims)
        elif kind == "extra":
            result[name] = hash_weights.weight(name, dims)
        else:
            parts = [hash_weights.weight(s, shapes[s]) for s in source.split(",")]
            x = np.concatenate(parts) if kind == "stack" else parts[0]
            result[name] = x.T if kind == "transpose" else x[:, :, None, None] if kind == "conv1x1" else x
    return result


def prove(model, config, lines):
    shapes = manifest.shapes(config)
    ldm = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in single_file(lines, shapes).items()}
    found = {"unet": sf.convert_ldm_unet_checkpoint(ldm, config["unet"]),
             "vae": sf.convert_ldm_vae_checkpoint(ldm, config["vae"])}
    for component in ("text_encoder", "text_encoder_2"):
        if component not in config:
            continue
        if config[component]["hidden_act"] == "quick_gelu":
            found[component] = sf.convert_ldm_clip_checkpoint(ldm)
        else:
            prefix = "conditioner.embedders.1.model." if component[-1] == "2" else "cond_stage_model.model."
            network = manifest.build(component, config[component])
            found[component] = sf.convert_open_clip_checkpoint(network, ldm, prefix)
    found = {f"{c}.{k}": v for c, part in found.items() for k, v in part.items()}
    last = config["text_encoder"]["num_hidden_layers"]
    for name in [n for n in found if "position_ids" in n or f"text_encoder.text_model.encoder.layers.{last}." in n]:
        del found[name]
    assert found.keys() == shapes.keys(), sorted(found.keys() ^ shapes.keys())[:10]
    for name, shape in shapes.items():
        want = hash_weights.weight(name, shape)
        got = found[name].numpy()
        assert got.shape == want.shape and np.array_equal(got.view(np.uint16), want.view(np.uint16)), name
    print(f"{model}: {len(lines)} single-file tensors give the {len(shapes)} diffusers tensors bit for bit")


def prove_controlnet(model, config, lines):
    shapes = manifest.shapes(config)
    ldm = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in single_file(lines, shapes).items()}
    found = {"controlnet." + k: v for k, v in sf.convert_controlnet_checkpoint(ldm, config["controlnet"]).items()}
    shapes = {k: v for k, v in shapes.items() if ".add_embedding." not in k}  # that converter forgets SDXL's
    assert found.keys() == shapes.keys(), sorted(found.keys() ^ shapes.keys())[:10]
    for name, shape in shapes.items():
        assert np.array_equal(found[name].numpy(), hash_weights.weight(name, shape)), name
    print(f"{model}: {len(lines)} single-file tensors give the {len(shapes)} diffusers tensors bit for bit")


def write_map(model, lines, of):
    text = [f"# Single-file names of {of}, see tools/reference/ldm_names.py.", *(" ".join(line) for line in lines)]
    (DATA / "manifests" / f"{model}.ldm.txt").write_text("\n".join(text) + "\n")


def main():
    for model in ("sd15", "sd21", "sd-turbo", "sdxl"):
        config = configs.get(configs.TINY, model)
        manifest.write(DATA / "manifests" / f"{model}.txt", config, f"A whole tiny {model} checkpoint.")
        if model != "sd-turbo":  # the same tensors as sd21
            lines = ldm_map(model, config)
            prove(model, config, lines)
            write_map(model, lines, f"manifests/{model}.txt")
    for model in ("sd15-inpaint", "sdxl-inpaint"):
        config = configs.get(configs.TINY, model)
        manifest.write(DATA / "manifests" / f"{model}.txt", config, f"A whole tiny {model} checkpoint.")
    for model in ("controlnet-sd15", "controlnet-sdxl"):
        config = configs.get(configs.TINY, model)
        lines = [("control_model." + controlnet_name(full.split(".", 1)[1], config["controlnet"]), full)
                 for full in manifest.shapes(config)]
        prove_controlnet(model, config, lines)
        write_map(model, lines, f"manifests/{model}.txt")
    for half, lines in taesd_maps().items():
        write_map(half, lines, "manifests/taesd.txt")
    for model, config in configs.FULL.items():
        manifest.write(DATA / "manifests" / "full" / f"{model}.txt", config, f"{model} at its real size.")


if __name__ == "__main__":
    main()
