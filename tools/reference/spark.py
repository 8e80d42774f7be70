#!/usr/bin/env python3
"""Writes tests/data/spark/: ten pictures that diffusers draws with models/spark/spark.gguf.

The GGUF's own weights, configurations and tokenizer, in float32 with the model's defaults; the noise is
torch's CPU generator's (MT19937). Holds reference.json (the defaults; of each picture the prompt, seed,
token ids and file) and the pictures as lossless WebP."""

import json
import pathlib
import tempfile

import diffusers
import gguf
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "spark"
PROMPTS = ("a red apple on a light blue background", "cat", "strawberry on a yellow background",
           "a dog face, grey background", "a rocket on a black background", "red heart", "an owl emoji",
           "pizza, pink background", "a 3d icon of a house", "ghost on a purple background")
SEED = 7  # of the first; each next one has one more


def text(reader, key):
    return bytes(reader.fields[key].parts[-1]).decode()


def strings(reader, key):
    field = reader.fields[key]
    return [bytes(field.parts[i]).decode() for i in field.data]


def component(reader, name, build):
    """A component with its weights; names that transformers 5 has without `text_model.` are found."""
    model = build(json.loads(text(reader, "lar.config." + name)))
    weights = {t.name[len(name) + 1:]: torch.from_numpy(t.data.astype("float32").reshape(tuple(reversed(t.shape.tolist()))))
               for t in reader.tensors if t.name.startswith(name + ".")}
    mine = {k if k in weights else "text_model." + k: k for k in model.state_dict() if not k.endswith("position_ids")}
    assert mine.keys() == weights.keys(), name
    model.load_state_dict({mine[k]: v for k, v in weights.items()}, strict=False)
    return model.eval()


def tokenizer(reader):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        ids = {t: i for i, t in enumerate(strings(reader, "tokenizer.ggml.tokens"))}
        (tmp / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        merges = "\n".join(["#version: 0.2", *strings(reader, "tokenizer.ggml.merges"), ""])
        (tmp / "merges.txt").write_text(merges, encoding="utf-8")
        end = "<|endoftext|>"
        return transformers.CLIPTokenizer.from_pretrained(
            tmp, model_max_length=json.loads(text(reader, "lar.config.text_encoder"))["max_position_embeddings"],
            bos_token="<|startoftext|>", eos_token=end, pad_token=end, unk_token=end)


def main():
    torch.set_grad_enabled(False)
    reader = gguf.GGUFReader(ROOT / "models" / "spark" / "spark.gguf")
    defaults = json.loads(text(reader, "lar.model_index"))["lar"]
    encoder = component(reader, "text_encoder",
                        lambda c: transformers.CLIPTextModel(transformers.CLIPTextConfig(**c)))
    pipe = diffusers.StableDiffusionPipeline(
        text_encoder=encoder, tokenizer=tokenizer(reader), safety_checker=None, feature_extractor=None,
        unet=component(reader, "unet", diffusers.UNet2DConditionModel.from_config),
        vae=component(reader, "vae", diffusers.AutoencoderKL.from_config),
        scheduler=diffusers.DDIMScheduler.from_config(json.loads(text(reader, "lar.config.scheduler"))),
        requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    OUT.mkdir(parents=True, exist_ok=True)
    facts = dict(defaults, pictures=[])
    for i, prompt in enumerate(PROMPTS):
        picture = pipe(prompt, num_inference_steps=defaults["steps"], guidance_scale=defaults["guidance"],
                       width=defaults["width"], height=defaults["height"],
                       generator=torch.Generator().manual_seed(SEED + i)).images[0]
        picture.save(OUT / f"{i}.webp", lossless=True, quality=100, method=6)
        ids = pipe.tokenizer(prompt, padding="max_length", truncation=True).input_ids
        facts["pictures"].append({"prompt": prompt, "seed": SEED + i, "file": f"{i}.webp", "ids": ids})
    (OUT / "reference.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
