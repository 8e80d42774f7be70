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


def rebuilt(core, a, b):
    """LyCORIS' product with a Tucker core."""
    return torch.einsum("ijhw,ip,jr->prhw", core, a, b)


def difference(get, shape):
    """What a module of the file adds at full strength, and what alpha is divided by."""
    down, up, mid = get(".lora_down.weight"), get(".lora_up.weight"), get(".lora_mid.weight")
    if get(".diff") is not None:
        return get(".diff"), None
    if down is not None and mid is not None:
        return torch.einsum("om,mrhw,ri->oihw", up.flatten(1), mid, down.flatten(1)), down.shape[0]
    if down is not None:
        return up.flatten(1) @ down.flatten(1), down.shape[0]
    if get(".hada_w1_a") is not None:
        part = [get(f".hada_w{k}_a") @ get(f".hada_w{k}_b") if get(f".hada_t{k}") is None else
                rebuilt(get(f".hada_t{k}"), get(f".hada_w{k}_a"), get(f".hada_w{k}_b")) for k in (1, 2)]
        return part[0] * part[1], get(".hada_w1_b").shape[0]
    rank, factors = None, []
    for k in (1, 2):
        a, b = get(f".lokr_w{k}_a"), get(f".lokr_w{k}_b")
        if a is not None:
            rank = rank or b.shape[0]
            whole = rebuilt(get(".lokr_t2"), a, b) if k == 2 and get(".lokr_t2") is not None else a @ b
        else:
            whole = get(f".lokr_w{k}")
        factors.append(whole)
    w1, w2 = factors
    if len(shape) == 4:  # w2 is [c, d, kh, kw], or [c, d kh kw] where it was a product
        w1, w2 = w1[:, :, None, None], w2.reshape(w2.shape[0], shape[1] // w1.shape[1], *shape[2:])
    return torch.kron(w1.contiguous(), w2.contiguous()), rank


def changed(lora, stem, weight):
    """The weight with one file laid over it, float64."""
    get = lambda part: lora.get(stem + part)
    delta, rank = difference(get, weight.shape)
    delta = delta.reshape(weight.shape) * (float(get(".alpha")) / rank if rank and get(".alpha") is not None else 1)
    if get(".dora_scale") is not None:
        v, m = weight + delta, get(".dora_scale")
        dims = [d for d in range(v.dim()) if d != (0 if m.shape[0] == v.shape[0] else 1)]
        delta = m / v.square().sum(dim=dims, keepdim=True).sqrt() * v - weight
    return weight + lora.weight * delta


def merge(lora, model, stems, base=None):
    """Lays a file over the weights, module by module; with `base`, the weights as they were, the result
    is rounded to float16 as the program stores it."""
    for name, stem in stems.items():
        weight = model.get_submodule(name).weight
        if base is None:
            weight.copy_(changed(lora, stem, weight.double()).float())
        else:
            own = base[name].double()
            weight.copy_((weight.double() + (changed(lora, stem, own) - own)).half().float())


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


def factorised(lora, stem, module, i):
    """LoKr in all of its forms."""
    out, inner, kh, kw = shape_of(module)
    if i % 2:
        lora.add(stem + ".lokr_w1", 4, 2)
    else:
        lora.add(stem + ".lokr_w1_a", 4, 3)
        lora.add(stem + ".lokr_w1_b", 3, 2)
    window = [] if isinstance(module, LINEAR) else [kh, kw]
    if kh > 1 and i % 3 == 0:
        lora.add(stem + ".lokr_t2", 3, 2, kh, kw)
        lora.add(stem + ".lokr_w2_a", 3, out // 4)
        lora.add(stem + ".lokr_w2_b", 2, inner // 2)
    elif i % 3 == 1:
        lora.add(stem + ".lokr_w2_a", out // 4, 3)
        lora.add(stem + ".lokr_w2_b", 3, inner // 2 * kh * kw)
    else:
        lora.add(stem + ".lokr_w2", out // 4, inner // 2, *window)
    lora.set(stem + ".alpha", 0.5)


def dense():
    """Kinds that change whole weights, two of them on the same ones."""
    config = configs.get(configs.TINY, "sd15")["unet"]
    unet = models.make("unet", config)
    base = {name: module.weight.clone() for name, module in modules_of(unet, (LINEAR, CONV))}
    lokr, loha, dora, diff = Lora(0.3), Lora(0.5), Lora(0.8), Lora(0.1)
    stems = [{} for _ in range(4)]
    for i, (name, module) in enumerate(modules_of(unet, (LINEAR, CONV), "attn1.to_q", "attn1.to_k", "conv1")):
        stems[0][name] = "lora_unet_" + flat(name)
        factorised(lokr, stems[0][name], module, i)
    for name, module in modules_of(unet, (LINEAR, CONV), "attn2.to_out", "conv2"):
        stem = stems[1][name] = "lora_unet_" + flat(name)
        out, inner, kh, kw = shape_of(module)
        for k in "12":
            if kh > 1:
                loha.add(f"{stem}.hada_t{k}", 3, 3, kh, kw)
            loha.add(f"{stem}.hada_w{k}_a", *((3, out) if kh > 1 else (out, 24)))
            loha.add(f"{stem}.hada_w{k}_b", *((3, inner) if kh > 1 else (24, inner)))
        loha.set(stem + ".alpha", 8)
    for i, (name, module) in enumerate(modules_of(unet, (LINEAR, CONV), "attn1.to_v", "ff.net", "shortcut")):
        stem = stems[2][name] = "lora_unet_" + flat(name)
        out, inner = shape_of(module)[:2]
        tail = [1] * (module.weight.dim() - 2)
        add_pair(dora, stem, module, 3, ".lora_down.weight", ".lora_up.weight", 1)
        dora.add(stem + ".dora_scale", *((out, 1) if i % 2 and out != inner else (1, inner)), *tail)
    for name, module in modules_of(unet, LINEAR, "attn2.to_k", "attn1.to_q"):
        stems[3][name] = "lora_unet_" + flat(name)
        diff.add(stems[3][name] + ".diff", *module.weight.shape)
    files = [lokr, loha, dora, diff]
    for lora, where in zip(files, stems):
        merge(lora, unet, where, base)
    record_unet("lora-dense", "unet-sd15", config, (8, 8), files, unet)


def check_dora():
    """The merge above against peft's own DoRA."""
    import peft
    linear = torch.nn.Sequential(torch.nn.Linear(12, 8, bias=False))
    x = torch.randn(5, 12)
    weight = linear[0].weight.clone().double()
    model = peft.inject_adapter_in_model(
        peft.LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["0"], init_lora_weights=False), linear)
    layer = model[0]
    lora = Lora(1.0, "f32")
    values = {".lora_down.weight": layer.lora_A["default"].weight, ".lora_up.weight": layer.lora_B["default"].weight,
              ".alpha": torch.tensor(3.0), ".dora_scale": layer.lora_magnitude_vector["default"].weight[:, None] * 1.3}
    layer.lora_magnitude_vector["default"].weight.mul_(1.3)
    lora.get = lambda name: values[name].double() if name in values else None
    assert torch.allclose(model.eval()(x).double(), x.double() @ changed(lora, "", weight).T, atol=1e-5)


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


VARIANTS = {"sd15": sd15, "dense": dense, "sdxl": sdxl, "clip": clip}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="default: all of " + " ".join(VARIANTS))
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    check_dora()
    for variant in parser.parse_args().variants or VARIANTS:
        VARIANTS[variant]()


if __name__ == "__main__":
    main()
