#!/usr/bin/env python3
"""Writes tests/data/models/<variant>.safetensors and tests/data/manifests/<variant>.txt.

Each file holds the inputs and outputs of one tiny model in full (4-D tensors as NHWC) and a sample of
every stage: `stage/<module path>` is the flattened NHWC activation at 0, stride, 2 stride, ...
The metadata key `stages` lists them in the order they ran: [{"name", "shape", "stride", "bf16"}], where
`bf16` is how far PyTorch's own bfloat16 run of the model is off: the norm of the differences over the
norm of the float32 activations.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

import configs
import hash_weights
import manifest

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"
SAMPLE = 256

STAGES = {
    "UNet2DConditionModel": (
        "Timesteps", "TimestepEmbedding", "ResnetBlock2D", "Transformer2DModel", "BasicTransformerBlock",
        "Attention", "FeedForward", "Downsample2D", "Upsample2D", "DownBlock2D", "UpBlock2D",
        "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "UNetMidBlock2DCrossAttn"),
    "ControlNetModel": (
        "Timesteps", "TimestepEmbedding", "ResnetBlock2D", "Transformer2DModel", "BasicTransformerBlock",
        "Attention", "FeedForward", "Downsample2D", "ControlNetConditioningEmbedding"),
    "AutoencoderKL": (
        "ResnetBlock2D", "Attention", "Downsample2D", "Upsample2D", "DownEncoderBlock2D", "UpDecoderBlock2D",
        "UNetMidBlock2D"),
    "AutoencoderTiny": ("AutoencoderTinyBlock", "Conv2d"),
    "CLIP": ("CLIPTextEmbeddings", "CLIPAttention", "CLIPMLP", "CLIPEncoderLayer"),
}
STAGE_NAMES = ("conv_in", "conv_norm_out", "conv_out", "quant_conv", "post_quant_conv", "final_layer_norm",
               "text_projection")


def nhwc(x):
    """A torch tensor as a contiguous numpy array, NCHW turned into NHWC."""
    x = x.detach()
    return np.ascontiguousarray((x.permute(0, 2, 3, 1) if x.dim() == 4 else x).numpy())


def nchw(x):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


class Recorder:
    """Collects what goes into a reference file; its hooks sample the activations as they pass."""

    def __init__(self, component):
        self.component = component
        self.tensors = {}
        self.stages = []
        self.bf16 = None  # in a second, bfloat16 run: the position in self.stages

    def rerun_in_bf16(self, model, *inputs, **named):
        """Notes every stage's error in bfloat16. The inputs are float32 and cast here."""
        cast = lambda x: x.bfloat16() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        self.bf16 = 0
        named = {k: {n: cast(x) for n, x in v.items()} if isinstance(v, dict) else cast(v) for k, v in named.items()}
        model.bfloat16()(*[cast(x) for x in inputs], **named)
        self.bf16 = None

    def add(self, name, array):
        array = nhwc(array) if isinstance(array, torch.Tensor) else np.asarray(array)
        self.tensors[name] = array
        return array

    def input(self, name, shape, scale=1.0):
        return self.add("input." + name, hash_weights.tensor_input(name, shape, scale))

    def watch(self, model):
        kind = type(model).__name__
        types = STAGES["CLIP" if kind.startswith("CLIP") else kind]
        for name, module in model.named_modules():
            named = name.rsplit(".", 1)[-1] in STAGE_NAMES and ".layers." not in name
            if name and (named or (type(module).__name__ in types and ".conv." not in name)):
                module.register_forward_hook(self._hook(manifest.published(self.component, name)))

    def _hook(self, name):
        def hook(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            if self.bf16 is not None:
                stage = self.stages[self.bf16]
                assert stage["name"] == name
                exact = self.tensors["stage/" + name]
                off = nhwc(output.float()).ravel()[::stage["stride"]] - exact
                stage["bf16"] = round(float(np.linalg.norm(off) / max(np.linalg.norm(exact), 1e-30)), 5)
                self.bf16 += 1
                return
            x = nhwc(output)
            stride = max(1, math.ceil(x.size / SAMPLE))
            while math.gcd(stride, x.size) > 1:  # so that every channel and position is met
                stride += 1
            self.stages.append({"name": name, "shape": list(x.shape), "stride": stride})
            self.tensors["stage/" + name] = x.ravel()[::stride].copy()
        return hook

    def save(self, variant, config, **more):
        spread = {k: float(v.std()) for k, v in self.tensors.items() if v.dtype == np.float32}
        for name, value in spread.items():
            if not (1e-3 < value < 1e3):
                print(f"  {variant}: {name}: standard deviation {value:.3g}")
        path = DATA / "models" / f"{variant}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, path, {
            "component": self.component, "manifest": f"manifests/{variant}.txt",
            "config": json.dumps(config), "stages": json.dumps(self.stages), **more})
        outputs = {k: round(v, 3) for k, v in spread.items() if k.startswith("output")}
        print(f"{variant}: {len(self.stages)} stages, {path.stat().st_size} bytes, {outputs}")


def make(component, config):
    model = manifest.build(component, config)
    return hash_weights.fill(model, component, lambda name: manifest.published(component, name))


def token_ids(record, pad):
    """Two prompts of 9 and 40 tokens between <|startoftext|> and <|endoftext|>, padded to 77."""
    ids = np.full((2, 77), pad, np.int32)
    for row, count in enumerate((9, 40)):
        u = (hash_weights.signed_unit(f"input.ids.{row}", 0, count) + 1) / 2
        ids[row, : count + 2] = [49406, *(u * 49406).astype(np.int32), 49407]
    return torch.from_numpy(record.add("input.ids", ids).astype(np.int64))


def clip(variant, component, config, pad):
    record = Recorder(component)
    model = make(component, config)
    record.watch(model)
    ids = token_ids(record, pad)
    out = model(ids, output_hidden_states=True)
    record.add("output.last_hidden_state", out.last_hidden_state)
    record.add("output.penultimate", out.hidden_states[-2])
    if "text_embeds" in out:
        record.add("output.text_embeds", out.text_embeds)
    record.rerun_in_bf16(model, ids)
    record.save(variant, config)


def added_condition(record, config):
    """What SDXL's UNet is told beside the prompt; None for others."""
    if not config.get("addition_embed_type"):
        return None
    adm = config["projection_class_embeddings_input_dim"]
    pooled = record.input("text_embeds", (2, adm - 6 * config["addition_time_embed_dim"]), 1.7)
    ids = record.add("input.time_ids", np.array([[96, 128, 0, 0, 96, 128], [1024, 768, 16, 8, 512, 640]],
                                                np.float32))
    return {"text_embeds": torch.from_numpy(pooled), "time_ids": torch.from_numpy(ids)}


def unet(variant, config, size, timestep):
    record = Recorder("unet")
    model = make("unet", config)
    record.watch(model)
    sample = nchw(record.input("sample", (2, *size, 4), 1.7))
    t = record.add("input.timestep", np.array([timestep], np.float32))
    context = torch.from_numpy(record.input("context", (2, 77, config["cross_attention_dim"]), 1.7))
    added = added_condition(record, config)
    out = model(sample, torch.from_numpy(t), context, added_cond_kwargs=added).sample
    record.add("output.sample", out)
    record.rerun_in_bf16(model, sample, torch.from_numpy(t), context, added_cond_kwargs=added)
    record.save(variant, config)


def controlnet(variant, config, size, timestep):
    record = Recorder("controlnet")
    model = make("controlnet", config)
    record.watch(model)
    sample = nchw(record.input("sample", (2, *size, 4), 1.7))
    picture = hash_weights.tensor_input("picture", (1, *(8 * s for s in size), 3))
    picture = nchw(record.add("input.picture", np.abs(picture)))
    t = torch.from_numpy(record.add("input.timestep", np.array([timestep], np.float32)))
    context = torch.from_numpy(record.input("context", (2, 12, config["cross_attention_dim"]), 1.7))
    added = added_condition(record, config)
    inputs = (sample, t, context, picture, 0.7)
    out = model(*inputs, added_cond_kwargs=added)
    for i, x in enumerate(out.down_block_res_samples):
        record.add(f"output.{i}", x)
    record.add("output.mid", out.mid_block_res_sample)
    record.rerun_in_bf16(model, *inputs, added_cond_kwargs=added)
    record.save(variant, config)


def autoencoder(variant, config, picture, latent):
    record = Recorder("vae")
    model = make("vae", config)
    record.watch(model)
    image = nchw(record.input("image", (1, *picture, 3)))
    encoded = model.encode(image)
    if hasattr(encoded, "latents"):
        record.add("output.latent", encoded.latents)
    else:
        record.add("output.moments", encoded.latent_dist.parameters)
    z = nchw(record.input("latent", (1, *latent, 4), 1.7))
    record.add("output.image", model.decode(z).sample)
    both = lambda x, y: (model.encode(x), model.decode(y))
    model.forward = both
    record.rerun_in_bf16(model, image, z)
    record.save(variant, config)


TINY = configs.TINY
VARIANTS = {
    "clip-l": ("text_encoder", "sd15", lambda v, c: clip(v, "text_encoder", c, 49407)),
    "openclip-h": ("text_encoder", "sd21", lambda v, c: clip(v, "text_encoder", c, 0)),
    "openclip-bigg": ("text_encoder_2", "sdxl", lambda v, c: clip(v, "text_encoder_2", c, 0)),
    "unet-sd15": ("unet", "sd15", lambda v, c: unet(v, c, (16, 12), 501)),
    "unet-sd21": ("unet", "sd21", lambda v, c: unet(v, c, (8, 16), 981)),
    "unet-sdxl": ("unet", "sdxl", lambda v, c: unet(v, c, (16, 12), 321.5)),
    **{"controlnet-" + v: ("controlnet", "controlnet-" + v, lambda n, c: controlnet(n, c, (4, 6), 321.5))
       for v in ("sd15", "sdxl")},
    "vae-kl": ("vae", "sd15", lambda v, c: autoencoder(v, c, (64, 48), (8, 6))),
    "taesd": ("vae", "taesd", lambda v, c: autoencoder(v, c, (64, 48), (8, 6))),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="default: all of " + " ".join(VARIANTS))
    torch.set_grad_enabled(False)
    for variant in parser.parse_args().variants or VARIANTS:
        component, family, run = VARIANTS[variant]
        config = configs.get(TINY, family)[component]
        manifest.write(DATA / "manifests" / f"{variant}.txt", {component: config},
                       f"The tiny {variant} model of tools/reference/models.py.")
        run(variant, config)


if __name__ == "__main__":
    main()
