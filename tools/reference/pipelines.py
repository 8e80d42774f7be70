#!/usr/bin/env python3
"""Writes tests/data/pipelines/<case>.safetensors: whole diffusers pipelines with tiny models.

The models are those of tests/data/manifests/<manifest>.txt, F16 hash weights computed in float32.
Every 4-D tensor is NHWC. Each file holds

    ids.prompt, ids.negative   I32 [77]; SDXL also ids_2.*; negative only where guidance is on; not
                               for `weighted` prompts, which are read by A1111's rules (prompts.py)
    prompt_embeds              every `stride`-th value of [2 or 1, 77 n, channels], negative first
    pooled, time_ids           SDXL: [2, channels], [2, 6], negative first
    image_in                   img2img: [1, h, w, 3] in [-1, 1]
    init                       img2img: [1, h/8, w/8, 4] the picture's latent, scaled
    encode_noise               img2img that samples the posterior: unit noise of the first draw
    noise                      [1, h/8, w/8, 4] unit noise of torch's CPU generator
    timesteps                  F32 [steps], what the UNet is told
    latents                    [steps, h/8, w/8, 4] after each step
    image                      [1, h, w, 3] in [0, 1]
    mask                       inpainting: [1, h, w, 1], 1 is drawn anew
    control.<i>                ControlNets: [1, h, w, 3] in [0, 1], their pictures
    reference.<i>.<j>          IP-Adapters: [1, h, w, 3] in [0, 1], the pictures of adapter i

and the metadata key `case`, JSON: manifest, prompt, negative, seed, steps, guidance, guidance_rescale, sampler,
schedule, width, height, strength, inpaint (sampler and schedule by Lar's names; "model" is the scheduler file's own),
controls: a list of {manifest, weight, start, end}, references: of {manifest, weight, pictures}.
hires: {scale, strength, steps}, with bicubic latents (latents are the second drawing's);
tileable ("both": every convolution's padding is circular).
"""

import argparse
import json
import math
import os
import pathlib

import diffusers
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

import configs
import hash_weights
import ip_adapter
import prompts
from manifest import WEIGHTED
from models import DATA, SAMPLE, make, nchw, nhwc

PROMPT = "a lighthouse at dusk, oil on canvas, stormy sea, 35mm"
NEGATIVE = "blurry, low quality"
LONG = ("a (lighthouse:1.3) at dusk, ((oil on canvas)), [stormy] sea, " + "waves, rocks and (gulls:0.6), " * 14 +
        "BREAK in the style of (nobody in particular:1.2)")


class DPMSolverSDE(diffusers.DPMSolverMultistepScheduler):
    @classmethod
    def from_config(cls, config, **more):
        return diffusers.DPMSolverMultistepScheduler.from_config(config, algorithm_type="sde-dpmsolver++", **more)


SAMPLERS = {
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_a": diffusers.EulerAncestralDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
    "ddim": diffusers.DDIMScheduler,
    "lcm": diffusers.LCMScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "dpmpp_2m_sde": DPMSolverSDE,
    "unipc": diffusers.UniPCMultistepScheduler,
}
SCHEDULES = {
    "model": {},
    "karras": {"use_karras_sigmas": True, "timestep_spacing": "linspace"},
    "trailing": {"timestep_spacing": "trailing"},
}


def case(manifest, sampler, schedule="model", **more):
    values = {"manifest": manifest, "prompt": PROMPT, "negative": NEGATIVE, "seed": 42, "steps": 5,
              "guidance": 7.5, "sampler": sampler, "schedule": schedule, "width": 64, "height": 64}
    return {**values, **more}


def control(manifest, weight=1.0, start=0.0, end=1.0):
    return {"manifest": manifest, "weight": weight, "start": start, "end": end}


def reference(variant, weight, pictures=1):
    return {"manifest": "ip-" + variant, "weight": weight, "pictures": pictures}


CASES = {
    "sd15-euler": case("sd15", "euler", width=96),
    "sd15-euler-a": case("sd15", "euler_a", seed=7),
    "sd15-dpmpp-2m-karras": case("sd15", "dpmpp_2m", "karras", height=96),
    "sd15-ddim": case("sd15", "ddim", seed=1234567890123),
    "sd15-lcm": case("sd15", "lcm", steps=4, guidance=1.0, negative=""),
    "sd15-heun-rescale": case("sd15", "heun", steps=3, guidance_rescale=0.7),
    "sd21-unipc-v": case("sd21", "unipc", negative=""),
    "sdxl-dpmpp-2m-sde": case("sdxl", "dpmpp_2m_sde", "karras", guidance=5.0, steps=4, guidance_rescale=0.3),
    "sd15-odd-size": case("sd15", "euler", width=88, height=72),
    "sd15-hires": case("sd15", "euler", hires={"scale": 1.5, "strength": 0.6, "steps": 6}),
    "sd15-tileable": case("sd15", "euler", width=96, tileable="both"),
    "sd15-img2img": case("sd15", "euler", strength=0.6, width=96),
    "sd15-img2img-posterior": case("sd15", "dpmpp_2m", strength=0.6, posterior=True),
    "sd21-ddim-v": case("sd21", "ddim", negative=""),
    "sd21-euler-v": case("sd21", "euler", "trailing", width=96),
    "sd-turbo-1": case("sd-turbo", "euler", steps=1, guidance=0.0, negative=""),
    "sd-turbo-4": case("sd-turbo", "euler", steps=4, guidance=0.0, negative="", width=96),
    "sdxl-euler": case("sdxl", "euler", guidance=5.0, width=96),
    "sdxl-dpmpp-2m-karras-no-negative": case("sdxl", "dpmpp_2m", "karras", guidance=5.0, negative=None, height=96),
    "sd15-long": case("sd15", "euler", weighted=True, prompt=LONG, negative="(blurry:1.4), [low quality]"),
    "sdxl-long": case("sdxl", "euler", guidance=5.0, weighted=True, prompt="(blurry:0.7)", negative=LONG, steps=2),
    "sd15-inpaint": case("sd15", "euler", strength=0.8, inpaint=True, width=96),
    "sd15-inpaint-whole": case("sd15", "ddim", strength=1.0, inpaint=True),
    "sd15-inpaint-9": case("sd15-inpaint", "dpmpp_2m", strength=1.0, inpaint=True),
    "sdxl-inpaint": case("sdxl", "euler_a", strength=0.7, inpaint=True, guidance=5.0),
    "sdxl-inpaint-9": case("sdxl-inpaint", "euler", strength=0.9, inpaint=True, guidance=5.0, width=96),
    "sd15-control": case("sd15", "euler", controls=[control("controlnet-sd15", 0.8)]),
    "sd15-controls": case("sd15", "ddim", steps=6, controls=[
        control("controlnet-sd15", 0.7, 0.0, 0.6), control("controlnet-sd15", -0.5, 0.3, 1.0)]),
    "sdxl-control": case("sdxl", "euler", guidance=5.0, controls=[control("controlnet-sdxl", 1.0, 0.0, 0.8)]),
    "sd15-style": case("sd15", "euler", steps=4, references=[reference("plain-sd15", 0.6, 2)]),
    "sd15-style-face-control": case("sd15", "ddim", steps=4, controls=[control("controlnet-sd15", 0.8)], references=[
        reference("plain-sd15", 1.0), reference("plus-sd15", 0.5)]),
    "sd15-full-unguided": case("sd15", "euler", steps=3, guidance=1.0, negative="", references=[
        reference("full-sd15", 0.7)]),
    "sd15-inpaint-9-control": case("sd15-inpaint", "euler", strength=1.0, steps=4, inpaint=True,
                                   controls=[control("controlnet-sd15", 0.9)]),
    "sdxl-plus": case("sdxl", "euler", guidance=5.0, steps=4, references=[reference("plus-sdxl", 0.9)]),
}


def emphasized(text, encoder, tokenizer, penultimate):
    """A1111's arithmetic: each chunk for itself, states times weights, scaled back to their mean."""
    states, pooled = [], None
    for ids, weights in prompts.chunks_of(prompts.parts_of(text), tokenizer, 75):
        rest = 75 - len(ids)
        full = [prompts.BOS, *ids, prompts.EOS] + [tokenizer.pad_token_id] * rest
        out = encoder(torch.tensor([full]), output_hidden_states=True)
        x = out.hidden_states[-2] if penultimate else out.last_hidden_state
        w = torch.tensor([1.0, *weights, 1.0] + [1.0] * rest)[None, :, None]
        states.append(x if bool((w == 1).all()) else x * w * (x.mean() / (x * w).mean()))
        pooled = out[0] if pooled is None else pooled
    return states, pooled


def embeds(pipe, prompt, negative):
    """What a pipeline takes in place of prompts; the shorter one is followed by chunks of nothing."""
    encoders = [(pipe.text_encoder, pipe.tokenizer)]
    xl = hasattr(pipe, "text_encoder_2")
    if xl:
        encoders.append((pipe.text_encoder_2, pipe.tokenizer_2))
    rows = {}
    for name, text in ("prompt_embeds", prompt), ("negative_prompt_embeds", negative):
        rows[name] = [emphasized(text, e, t, xl) for e, t in encoders]
    n = max(len(states) for row in rows.values() for states, _ in row)
    out = {}
    for name, row in rows.items():
        for (states, _), (e, t) in zip(row, encoders):
            states += emphasized("", e, t, xl)[0] * (n - len(states))
        out[name] = torch.cat([torch.cat(states, 1) for states, _ in row], 2)
        if xl:
            out[name.replace("prompt", "pooled_prompt")] = row[1][1]
    return out


def tokenizer(config):
    shared = os.environ.get("LAR_SHARED", pathlib.Path(__file__).resolve().parents[3] / "shared" / "data")
    kept = {k: v for k, v in config.items() if k != "tokenizer_class"}
    return transformers.CLIPTokenizer.from_pretrained(pathlib.Path(shared) / "tokenizers" / "clip", **kept)


def pipeline(c, dtype):
    """The pipeline of a case, with the sampler's scheduler made from the checkpoint's own."""
    config = configs.get(configs.TINY, c["manifest"])
    parts = {name: make(name, config[name]).to(dtype) for name in WEIGHTED if name in config}
    parts.update({name: tokenizer(config[name]) for name in config if name.startswith("tokenizer")})
    # What from_pretrained() makes of scheduler_config.json, then what a user would write.
    if c.get("tileable"):
        for module in (*parts["unet"].modules(), *parts["vae"].modules()):
            if isinstance(module, torch.nn.Conv2d):
                module.padding_mode = "circular"
    own = getattr(diffusers, config["scheduler"]["_class_name"]).from_config(config["scheduler"])
    parts["scheduler"] = SAMPLERS[c["sampler"]].from_config(own.config, **SCHEDULES[c["schedule"]])
    if "controls" in c:
        parts["controlnet"] = [make("controlnet", configs.get(configs.TINY, x["manifest"])["controlnet"]).to(dtype)
                               for x in c["controls"]]
    extractor = ip_adapter.processor() if "references" in c else None
    if "references" in c:
        parts["image_encoder"] = ip_adapter.image_encoder().to(dtype)
    if c["manifest"] == "sdxl" and "controls" in c:
        return diffusers.StableDiffusionXLControlNetPipeline(**parts, add_watermarker=False)
    if c["manifest"].startswith("sdxl"):
        kind = "StableDiffusionXLInpaintPipeline" if "inpaint" in c else "StableDiffusionXLPipeline"
        return getattr(diffusers, kind)(**parts, feature_extractor=extractor, add_watermarker=False)
    kind = "StableDiffusionImg2ImgPipeline" if "strength" in c else "StableDiffusionPipeline"
    kind = "StableDiffusionControlNetPipeline" if "controls" in c else kind
    if "inpaint" in c:
        kind = "StableDiffusionControlNetInpaintPipeline" if "controls" in c else "StableDiffusionInpaintPipeline"
    return getattr(diffusers, kind)(**parts, safety_checker=None, feature_extractor=extractor,
                                    requires_safety_checker=False)


class Run:
    """One run of a case; watches the text encoders' and the UNet's inputs on the way."""

    def __init__(self, c, dtype=torch.float32):
        self.c, self.dtype, self.pipe = c, dtype, pipeline(c, dtype)
        self.pipe.set_progress_bar_config(disable=True)
        self.out, self.meta, self.latents, self.timesteps = {}, {}, [], []
        self.texts = {"prompt": c["prompt"], "negative_prompt": c["negative"]}
        if c.get("weighted"):
            self.texts = embeds(self.pipe, c["prompt"], c["negative"])
        self.generator = torch.Generator().manual_seed(c["seed"])
        self.noise = torch.Generator().manual_seed(c["seed"])
        for suffix in ("", "_2"):
            encoder = getattr(self.pipe, "text_encoder" + suffix, None)
            if encoder:
                encoder.register_forward_pre_hook(self._ids("ids" + suffix), with_kwargs=True)
        self.pipe.unet.register_forward_pre_hook(self._unet, with_kwargs=True)

    def _ids(self, name):
        def hook(_module, args, kwargs):
            ids = (args[0] if args else kwargs["input_ids"])[0].numpy().astype(np.int32)
            self.out[name + (".negative" if name + ".prompt" in self.out else ".prompt")] = ids
        return hook

    def _unet(self, _module, args, kwargs):
        self.timesteps.append(float(args[1]))
        if len(self.timesteps) > 1:
            return
        self.first = args[0][:1, :4]
        embeds = kwargs["encoder_hidden_states"]
        stride = math.ceil(embeds.numel() / (8 * SAMPLE))
        while math.gcd(stride, embeds.numel()) > 1:
            stride += 1
        self.meta = {"shape": list(embeds.shape), "stride": stride}
        self.out["prompt_embeds"] = nhwc(embeds).ravel()[::stride].copy()
        added = kwargs.get("added_cond_kwargs") or {}
        if "text_embeds" in added:
            self.out["pooled"], self.out["time_ids"] = nhwc(added["text_embeds"]), nhwc(added["time_ids"])

    def _draw(self, name):
        x = torch.randn((1, 4, self.c["height"] // 8, self.c["width"] // 8), generator=self.noise)
        self.out[name] = nhwc(x)
        return x

    def _image(self):
        """img2img's arguments. Without `posterior` the latent is the posterior's mean."""
        c, vae = self.c, self.pipe.vae
        self.out["image_in"] = hash_weights.tensor_input("image_in", (1, c["height"], c["width"], 3))
        if c.get("inpaint"):
            eight = np.rint((self.out["image_in"] / 2 + 0.5) * 255).astype(np.float32)
            self.out["image_in"] = 2 * (eight / np.float32(255)) - 1
        image = nchw(self.out["image_in"]).to(self.dtype)
        posterior = vae.encode(image).latent_dist
        if c.get("posterior"):
            init = posterior.mean + posterior.std * self._draw("encode_noise")
        else:
            init = posterior.mode()
        init = init * vae.config.scaling_factor
        self.out["init"] = nhwc(init)
        if c.get("inpaint"):
            return self._inpaint(image, vae)
        return {"image": image if c.get("posterior") else init, "strength": c["strength"]}

    def _inpaint(self, image, vae):
        """A mask whose edges are those of latent cells, so that every way to shrink it agrees; latents are the
        posteriors' means."""
        c = self.c
        mask = torch.zeros(1, 1, c["height"], c["width"], dtype=self.dtype)
        mask[:, :, 16:40, 8:48] = 1
        mask[:, :, 40:56, 24:32] = 1
        self.out["mask"] = nhwc(mask)
        self.pipe._encode_vae_image = lambda image, generator: (
            vae.encode(image.to(self.dtype)).latent_dist.mode() * vae.config.scaling_factor)
        return {"image": image, "mask_image": mask, "strength": c["strength"], "width": c["width"],
                "height": c["height"]}

    def _controls(self):
        """The arguments of ControlNets; their pictures have 8 bits."""
        c, pictures = self.c, []
        for i in range(len(c["controls"])):
            picture = hash_weights.tensor_input(f"control.{i}", (1, c["height"], c["width"], 3)) / 2 + 0.5
            self.out[f"control.{i}"] = np.rint(picture * 255).astype(np.float32) / np.float32(255)
            pictures.append(nchw(self.out[f"control.{i}"]).to(self.dtype))
        name = "control_image" if "inpaint" in c else "image"
        return {name: pictures, "controlnet_conditioning_scale": [x["weight"] for x in c["controls"]],
                "control_guidance_start": [x["start"] for x in c["controls"]],
                "control_guidance_end": [x["end"] for x in c["controls"]]}

    def _references(self):
        """Loads the adapters; the argument with their pictures, which have 8 bits."""
        pictures = []
        for i, x in enumerate(self.c["references"]):
            pictures.append([])
            for j in range(x["pictures"]):
                self.out[f"reference.{i}.{j}"], pil = ip_adapter.picture(f"reference.{i}.{j}", 60 + 9 * j, 70)
                pictures[-1].append(pil)
        dicts = [ip_adapter.state_dict(x["manifest"].removeprefix("ip-")) for x in self.c["references"]]
        self.pipe.load_ip_adapter(dicts, subfolder="", weight_name=[""] * len(dicts), image_encoder_folder=None,
                                  low_cpu_mem_usage=False)
        self.pipe.unet.to(self.dtype)
        self.pipe.set_ip_adapter_scale([x["weight"] for x in self.c["references"]])
        return {"ip_adapter_image": pictures}

    def _hires(self):
        """Draws, enlarges the latent and draws again with noise of the larger size."""
        c, h = self.c, self.c["hires"]
        settings = {**self.texts, "guidance_scale": c["guidance"]}
        small = self.pipe(**settings, num_inference_steps=c["steps"], generator=self.generator, width=c["width"],
                          height=c["height"], output_type="latent").images
        large = torch.nn.functional.interpolate(small, size=[int(n * h["scale"]) for n in small.shape[2:]],
                                                mode="bicubic", align_corners=False)
        self.timesteps = []
        second = diffusers.StableDiffusionImg2ImgPipeline(**self.pipe.components, requires_safety_checker=False)
        second.set_progress_bar_config(disable=True)
        self.out["image"] = second(
            **settings, image=large, strength=h["strength"], num_inference_steps=h["steps"],
            generator=torch.Generator().manual_seed(c["seed"]), output_type="np",
            callback_on_step_end=self._after_step).images
        self.out["latents"] = np.concatenate(self.latents)
        self.out["timesteps"] = np.array(self.timesteps, np.float32)
        return self.out

    def _after_step(self, _pipe, _step, _t, values):
        self.latents.append(nhwc(values["latents"]))
        return values

    def run(self):
        c = self.c
        if "hires" in c:
            return self._hires()
        size = self._image() if "strength" in c else {"width": c["width"], "height": c["height"]}
        if "controls" in c:
            size |= self._controls()
        if "guidance_rescale" in c:
            size["guidance_rescale"] = c["guidance_rescale"]
        if "references" in c:
            size |= self._references()
        self._draw("noise")

        self.out["image"] = self.pipe(
            **self.texts, num_inference_steps=c["steps"],
            guidance_scale=c["guidance"], generator=self.generator, output_type="np",
            callback_on_step_end=self._after_step, **size).images
        self._check_start()
        self.out["latents"] = np.concatenate(self.latents)
        self.out["timesteps"] = np.array(self.timesteps, np.float32)
        return self.out


    def _check_start(self):
        """The noise and the latent recorded here must be those the pipeline drew for itself."""
        scheduler, t = self.pipe.scheduler, torch.tensor([self.timesteps[0]])
        scheduler._step_index = scheduler._begin_index = None  # as before the first step
        x = nchw(self.out["noise"]) * scheduler.init_noise_sigma
        if "init" in self.out and self.c["strength"] < 1:
            x = scheduler.add_noise(nchw(self.out["init"]), nchw(self.out["noise"]), t)
        assert torch.allclose(scheduler.scale_model_input(x, t[0]), self.first.to(x.dtype), rtol=1e-4, atol=1e-5)


def exact_run(c):
    """The same case in float64, from the same (float32) noise: how far rounding alone may lead."""
    draw = torch.randn
    torch.randn = lambda *a, dtype=None, **k: draw(*a, **k).to(dtype or torch.float32)
    try:
        return Run(c, torch.float64).run()
    finally:
        torch.randn = draw


def psnr(a, b):
    return -10 * math.log10(max(float(np.mean((a.astype(np.float64) - b) ** 2)), 1e-30))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="default: all of " + " ".join(CASES))
    parser.add_argument("--exact", action="store_true", help="also compare with a run in float64")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    diffusers.utils.logging.set_verbosity_error()
    for name in options.cases or CASES:
        c = CASES[name]
        run = Run(c)
        out = {k: np.ascontiguousarray(v) for k, v in run.run().items()}
        path = DATA / "pipelines" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(out, path, {"case": json.dumps(c), "prompt_embeds": json.dumps(run.meta)})
        clipped = float(np.mean((out["image"] <= 0) | (out["image"] >= 1)))
        print(f"{name}: {path.stat().st_size} bytes, t {[round(t, 2) for t in run.timesteps]}, image std "
              f"{out['image'].std():.3f}, clipped {clipped:.2f}")
        if options.exact:
            exact = exact_run(c)
            latent = np.abs(out["latents"] - exact["latents"]).max() / np.abs(exact["latents"]).max()
            print(f"  against float64: latents {latent:.1e}, image {psnr(out['image'], exact['image']):.0f} dB")


if __name__ == "__main__":
    main()
