"""Writes tests/data/embeddings/: textual inversions as programs save them, and what diffusers makes of them.

    toy.safetensors        diffusers: {"<cat-toy>": [3, 64]}        toy-1d.bin   the same, one vector, pickled
    style.pt               AUTOMATIC1111: string_to_param           plain.safetensors   {"emb_params": [2, 64]}
    pair.safetensors       SDXL: clip_l [2, 64], clip_g [2, 96]
    expected.safetensors   prompt embeddings of the tiny sd15 and sdxl models for the prompts in its
                           metadata, every 3rd value: <name> [...]; SDXL also <name>.pooled

The tokens' rows are replaced through diffusers' load_textual_inversion() and its tokenizer's added tokens,
so the word is found in another way than in the C.
"""

import json
import pathlib

import diffusers
import numpy as np
import torch
from safetensors.torch import save_file

import configs
import hash_weights
from models import make
from pipelines import tokenizer
from manifest import WEIGHTED

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "embeddings"
STRIDE = 3
WORD = "<cat-toy>"


def vectors(name, n, width):
    return torch.from_numpy(hash_weights.tensor_input("embedding." + name, (n, width), 0.5))


def pipeline(name):
    config = configs.get(configs.TINY, name)
    parts = {k: make(k, config[k]) for k in WEIGHTED if k in config}
    parts.update({k: tokenizer(config[k]) for k in config if k.startswith("tokenizer")})
    parts["scheduler"] = diffusers.EulerDiscreteScheduler.from_config(config["scheduler"])
    if name == "sdxl":
        return diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    return diffusers.StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None,
                                             requires_safety_checker=False)


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    widths = [configs.get(configs.TINY, "sdxl")[k]["hidden_size"] for k in ("text_encoder", "text_encoder_2")]
    width = configs.get(configs.TINY, "sd15")["text_encoder"]["hidden_size"]
    toy, one, style, plain = (vectors(k, n, width) for k, n in (("toy", 3), ("one", 1), ("style", 2), ("plain", 2)))
    pair = [vectors("pair_l", 2, widths[0]), vectors("pair_g", 2, widths[1])]
    save_file({WORD: toy.half()}, OUT / "toy.safetensors")
    torch.save({"<one>": one[0]}, OUT / "toy-1d.bin")
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": style}, "name": "style",
                "step": 100, "sd_checkpoint": None, "sd_checkpoint_name": None}, OUT / "style.pt")
    save_file({"emb_params": plain}, OUT / "plain.safetensors")
    save_file({"clip_l": pair[0], "clip_g": pair[1]}, OUT / "pair.safetensors")

    out, prompts = {}, {}
    sd = pipeline("sd15")
    # fp16 as in the file, then the words in place of those that the C finds by the file's name
    sd.load_textual_inversion({WORD: toy.half()}, token=WORD)
    sd.load_textual_inversion({"<one>": one[0]}, token="<one>")
    sd.load_textual_inversion({"<style>": style}, token="<style>")
    sd.load_textual_inversion({"<plain>": plain}, token="<plain>")
    for name, text, file_words in (
            ("toy", f"a photo of {WORD}, at dusk", None), ("one", "<one> by the sea", None),
            ("style", "a house, <style>", "a house, STYLE"), ("both", f"<plain> and {WORD} and <plain>", f"plain and {WORD} and plain")):
        positive, negative = sd.encode_prompt(text, "cpu", 1, True, negative_prompt=text + " not")
        out[name] = torch.cat([negative, positive])
        prompts[name] = file_words or text
    xl = pipeline("sdxl")
    # With the published 2, transformers pools at the highest id, which an added token's now is.
    xl.text_encoder_2.text_model.eos_token_id = xl.tokenizer_2.eos_token_id
    xl.load_textual_inversion({"<pair>": pair[0]}, token="<pair>", text_encoder=xl.text_encoder, tokenizer=xl.tokenizer)
    xl.load_textual_inversion({"<pair>": pair[1]}, token="<pair>", text_encoder=xl.text_encoder_2, tokenizer=xl.tokenizer_2)
    text = "a <pair> at dusk"
    positive, negative, pooled, negative_pooled = xl.encode_prompt(text, device="cpu", negative_prompt=text + " not")
    out["pair"] = torch.cat([negative, positive])
    out["pair.pooled"] = torch.cat([negative_pooled, pooled])
    prompts["pair"] = "a pair at dusk"
    out = {k: v.contiguous() if k.endswith("pooled") else v.flatten()[::STRIDE].clone() for k, v in out.items()}
    save_file(out, OUT / "expected.safetensors", {"prompts": json.dumps(prompts)})
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
