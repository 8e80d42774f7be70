#!/usr/bin/env python3
"""Writes tests/data/models/lora-<variant>.safetensors: tiny models of hash weights with several LoRAs
laid over them at once, by diffusers and peft where these know the kind, by a merge in float64 else.

The LoRA files themselves are not committed: their values are hash weights too. The metadata key
`loras` lists them: [{"type", "weight", "tensors": {name: [dims] or number}}].
"""

import argparse
import json

import numpy as np
import torch
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin as Mixin

import configs
import hash_weights
import manifest
import models
from models import DATA, Recorder, nchw

models.SAMPLE = 64
LINEAR, CONV = torch.nn.Linear, torch.nn.Conv2d


class Lora:
    """The tensors of one file, for modules of one component."""

    def __init__(self, weight, dtype="f16"):
        self.weight, self.dtype, self.shapes = weight, dtype, {}

    def add(self, name, *shape):
        self.shapes[name] = list(shape)

    def set(self, name, value):
        self.shapes[name] = float(value)

    def value(self, name):
        shape = self.shapes[name]
        if isinstance(shape, float):
            return torch.tensor(shape)
        return torch.from_numpy(hash_weights.weight(name, shape, self.dtype).astype(np.float32))

    def state(self):
        return {name: self.value(name) for name in self.shapes}

    def get(self, name):
        return self.value(name).double() if name in self.shapes else None

    def listing(self):
        return {"type": self.dtype, "weight": self.weight, "tensors": self.shapes}


def shape_of(module):
    return tuple(module.weight.shape) + ((1, 1) if isinstance(module, LINEAR) else ())


def add_pair(lora, stem, module, rank, down, up, alpha=None):
    """A product whose window, if any, is in down."""
    out, inner, kh, kw = shape_of(module)
    tail = [] if isinstance(module, LINEAR) else [kh, kw]
    lora.add(stem + down, rank, inner, *tail)
    lora.add(stem + up, out, rank, *[1 for _ in tail])
    if alpha is not None:
        lora.set(stem + ".alpha", alpha)


def merge(lora, model, stems):
    """Adds what the file holds to the weights, in float64, module by module."""
    for name, stem in stems.items():
        module = model.get_submodule(name)
        get = lambda part: lora.get(stem + part)
        down, up, mid, alpha = get(".lora_down.weight"), get(".lora_up.weight"), get(".lora_mid.weight"), get(".alpha")
        rank = None
        if down is not None and mid is not None:
            rank = down.shape[0]
            delta = torch.einsum("om,mrhw,ri->oihw", up.flatten(1), mid, down.flatten(1))
        elif down is not None:
            rank = down.shape[0]
            delta = up.flatten(1) @ down.flatten(1)
        elif get(".hada_w1_a") is not None:
            rank = get(".hada_w1_b").shape[0]
            delta = (get(".hada_w1_a") @ get(".hada_w1_b")) * (get(".hada_w2_a") @ get(".hada_w2_b"))
        scale = lora.weight * (1.0 if alpha is None else float(alpha) / rank)
        merged = module.weight.double() + scale * delta.reshape(module.weight.shape)
        module.weight.copy_(merged.float())


def load_by_diffusers(lora, unet, adapter):
    """As load_lora_weights() would: names are translated there, peft computes."""
    state, alphas = Mixin.lora_state_dict(lora.state(), unet_config=unet.config)[:2]
    Mixin.load_lora_into_unet(state, network_alphas=alphas, unet=unet, adapter_name=adapter)


def modules_of(model, kinds, *words):
    for name, module in model.named_modules():
        if isinstance(module, kinds) and (not words or any(w in name for w in words)):
            yield name, module


def flat(name):
    return name.replace(".", "_")


def record_unet(variant, base, config, size, loras, model):
    record = Recorder("unet")
    record.watch(model)
    sample = nchw(record.input("sample", (2, *size, 4), 1.7))
    t = record.add("input.timestep", np.array([441], np.float32))
    context = torch.from_numpy(record.input("context", (2, 11, config["cross_attention_dim"]), 1.7))
    added = None
    if config.get("addition_embed_type"):
        adm = config["projection_class_embeddings_input_dim"]
        pooled = record.input("text_embeds", (2, adm - 6 * config["addition_time_embed_dim"]), 1.7)
        ids = record.add("input.time_ids", np.array([[96, 128, 0, 0, 96, 128]] * 2, np.float32))
        added = {"text_embeds": torch.from_numpy(pooled), "time_ids": torch.from_numpy(ids)}
    record.add("output.sample", model(sample, torch.from_numpy(t), context, added_cond_kwargs=added).sample)
    record.rerun_in_bf16(model, sample, torch.from_numpy(t), context, added_cond_kwargs=added)
    save(record, variant, base, loras)


def save(record, variant, base, loras):
    record.save(variant, None, manifest=f"manifests/{base}.txt",
                loras=json.dumps([x.listing() for x in loras], separators=(",", ":")))


def sd15():
    """Four files at once: kohya's names, diffusers' names, LoCon with and without a middle, LoHa."""
    config = configs.get(configs.TINY, "sd15")["unet"]
    unet = models.make("unet", config)
    kohya, peft, locon, loha = Lora(0.15), Lora(-0.1, "f32"), Lora(0.1), Lora(0.3)
    for name, module in modules_of(unet, (LINEAR, CONV), "attentions"):
        add_pair(kohya, "lora_unet_" + flat(name), module, 4, ".lora_down.weight", ".lora_up.weight", 2)
    for name, module in modules_of(unet, LINEAR, "attn1.to", "ff.net", "time_emb", "time_embedding"):
        add_pair(peft, "unet." + name, module, 3, ".lora_A.weight", ".lora_B.weight")
    stems = {}
    for i, (name, module) in enumerate(modules_of(unet, CONV, "resnets", "samplers", "conv_in", "conv_out")):
        stem = stems[name] = "lora_unet_" + flat(name)
        out, inner, kh, kw = shape_of(module)
        if kh > 1 and i % 3 == 0:
            locon.add(stem + ".lora_down.weight", 3, inner, 1, 1)
            locon.add(stem + ".lora_mid.weight", 5, 3, kh, kw)
            locon.add(stem + ".lora_up.weight", out, 5, 1, 1)
            locon.set(stem + ".alpha", 1.5)
        else:
            add_pair(locon, stem, module, 3, ".lora_down.weight", ".lora_up.weight", 3)
    loha_stems = {}
    for name, module in modules_of(unet, (LINEAR, CONV), "attn2", "conv1", "proj_in"):
        stem = loha_stems[name] = "lora_unet_" + flat(name)
        out, inner, kh, kw = shape_of(module)
        for k in "12":
            loha.add(f"{stem}.hada_w{k}_a", out, 2)
            loha.add(f"{stem}.hada_w{k}_b", 2, inner * kh * kw)
        loha.set(stem + ".alpha", 6)
    merge(locon, unet, stems)
    merge(loha, unet, loha_stems)
    load_by_diffusers(kohya, unet, "kohya")
    load_by_diffusers(peft, unet, "peft")
    unet.set_adapters(["kohya", "peft"], [kohya.weight, peft.weight])
    record_unet("lora-sd15", "unet-sd15", config, (8, 12), [kohya, peft, locon, loha], unet)


def sdxl():
    """Names of the original UNet, as SDXL's LoRAs have them, and those of peft."""
    config = configs.get(configs.TINY, "sdxl")["unet"]
    unet = models.make("unet", config)
    ldm = {}
    for line in (DATA / "manifests" / "sdxl.ldm.txt").read_text().splitlines():
        words = line.split()
        if len(words) > 1 and words[1].startswith("unet.") and words[1].endswith(".weight"):
            ldm[words[1][5:-7]] = words[0].removeprefix("model.diffusion_model.").removesuffix(".weight")
    kohya, peft = Lora(0.15), Lora(0.1)
    for name, module in modules_of(unet, (LINEAR, CONV), "attentions", "resnets", "samplers"):
        add_pair(kohya, "lora_unet_" + flat(ldm[name]), module, 4, ".lora_down.weight", ".lora_up.weight", 1)
    for name, module in modules_of(unet, LINEAR, "attn", "proj_"):
        add_pair(peft, "unet." + name, module, 2, ".lora_A.weight", ".lora_B.weight")
    load_by_diffusers(kohya, unet, "kohya")
    load_by_diffusers(peft, unet, "peft")
    unet.set_adapters(["kohya", "peft"], [kohya.weight, peft.weight])
    record_unet("lora-sdxl", "unet-sdxl", config, (8, 8), [kohya, peft], unet)


def clip():
    config = configs.get(configs.TINY, "sdxl")["text_encoder_2"]
    model = models.make("text_encoder_2", config)
    record = Recorder("text_encoder_2")
    lora, stems = Lora(0.9), {}
    for name, module in modules_of(model, LINEAR, "self_attn", "mlp", "text_projection"):
        full = manifest.published("text_encoder_2", name + ".weight").removesuffix(".weight")
        stems[name] = "lora_te2_" + flat(full)
        add_pair(lora, stems[name], module, 4, ".lora_down.weight", ".lora_up.weight", 2)
    merge(lora, model, stems)
    record.watch(model)
    ids = models.token_ids(record, 0)
    record.add("output.text_embeds", model(ids).text_embeds)
    record.rerun_in_bf16(model, ids)
    save(record, "lora-openclip-bigg", "openclip-bigg", [lora])


VARIANTS = {"sd15": sd15, "sdxl": sdxl, "clip": clip}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="default: all of " + " ".join(VARIANTS))
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    for variant in parser.parse_args().variants or VARIANTS:
        VARIANTS[variant]()


if __name__ == "__main__":
    main()
