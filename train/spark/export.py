"""Stage 4: a diffusers folder and one GGUF, both F16.

    python export.py --preset small --out OUT --folder OUT/spark --gguf spark.gguf

The folder is what StableDiffusionPipeline.save_pretrained writes, with SD1.x's key names; it is loaded back with
diffusers and must draw the very picture the weights drew before. The GGUF holds the same tensors as
`<component>.<name>`, the JSON files as strings, and the tokenizer in llama.cpp's keys."""
import argparse
import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

import diffusion
import vae as autoencoder
from config import PRESETS

COMPONENTS = {"text_encoder": "model", "unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
PROMPT, SEED = "a red apple on a light blue background", 7


def make_tokenizer(tokens, length):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        (tmp / "vocab.json").write_text(json.dumps(tokens.ids, ensure_ascii=False), encoding="utf-8")
        (tmp / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in tokens.merges),
                                        encoding="utf-8")
        return CLIPTokenizer.from_pretrained(tmp, model_max_length=length, unk_token="<|endoftext|>",
                                             bos_token="<|startoftext|>", eos_token="<|endoftext|>",
                                             pad_token="<|endoftext|>")


def write_folder(args, preset):
    """Saves the pipeline with F16 weights and returns (folder's tokens, scale)."""
    text, unet, tokens = diffusion.load(args.out, preset)
    vae = autoencoder.load(args.out, preset)
    scale = json.loads((args.out / "latents.json").read_text())["scaling_factor"]
    vae.register_to_config(scaling_factor=scale)
    length = preset["text"]["positions"]
    pipe = StableDiffusionPipeline(
        vae=vae.cpu(), text_encoder=text.cpu(), tokenizer=make_tokenizer(tokens, length), unet=unet.cpu(),
        scheduler=DDIMScheduler(**diffusion.SCHEDULER), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    pipe.to(torch.float16).save_pretrained(args.folder, safe_serialization=True)
    path = args.folder / "text_encoder/model.safetensors"     # transformers 5 writes SD1.x's names without this
    named = {k if k.startswith("text_model.") else "text_model." + k: v.contiguous()
             for k, v in load_file(path).items()}
    save_file(named, path, metadata={"format": "pt"})
    save_vocabulary(args.folder / "tokenizer", tokens)
    index = json.loads((args.folder / "model_index.json").read_text())
    index["lar"] = defaults(preset)
    (args.folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return tokens, scale


def save_vocabulary(folder, tokens):
    """vocab.json and merges.txt, which transformers 5 no longer writes."""
    (folder / "vocab.json").write_text(json.dumps(tokens.ids, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in tokens.merges),
                                       encoding="utf-8")


def defaults(preset):
    """What a program should use where the user says nothing."""
    return {"steps": diffusion.STEPS, "guidance": diffusion.GUIDANCE, "sampler": "ddim", "schedule": "trailing",
            "width": preset["size"], "height": preset["size"]}


def verify(args, preset, tokens, scale):
    """Loads the folder with diffusers in f32, checks token ids and that no key is missing, and draws PROMPT."""
    pipe = StableDiffusionPipeline.from_pretrained(args.folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    for component in COMPONENTS:
        file = load_file(next((args.folder / component).glob("*.safetensors")))
        live = {k if component != "text_encoder" or k.startswith("text_model.") else "text_model." + k: v
                for k, v in getattr(pipe, component).state_dict().items() if not k.endswith("position_ids")}
        assert file.keys() == live.keys(), component
        assert all(torch.equal(v.float(), live[k]) for k, v in file.items()), component
    length = preset["text"]["positions"]
    for prompt in (PROMPT, "", "Zwei Äpfel, 3 cats! 🍎", *diffusion.SHEET):
        theirs = pipe.tokenizer(prompt, padding="max_length", max_length=length, truncation=True).input_ids
        assert theirs == tokens.encode(prompt, length), (prompt, theirs, tokens.encode(prompt, length))
    assert pipe.vae.config.scaling_factor == scale
    picture = pipe(PROMPT, num_inference_steps=diffusion.STEPS, guidance_scale=diffusion.GUIDANCE,
                   generator=torch.Generator().manual_seed(SEED)).images[0]
    assert np.asarray(picture).std() > 1, "the picture is blank"


def write_gguf(args, tokens, preset):
    w = gguf.GGUFWriter(args.gguf, "diffusers")
    w.add_name("Spark")
    w.add_description("A small latent-diffusion model for icons and emoji-like pictures")
    w.add_license("MIT")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_string("lar.model_index", (args.folder / "model_index.json").read_text())
    for component in (*COMPONENTS, "scheduler"):
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        w.add_string(f"lar.config.{component}", (args.folder / component / name).read_text())
    d = defaults(preset)
    for key in ("steps", "width", "height"):
        w.add_uint32(f"lar.default.{key}", d[key])
    w.add_float32("lar.default.guidance", d["guidance"])
    for key in ("sampler", "schedule"):
        w.add_string(f"lar.default.{key}", d[key])
    w.add_tokenizer_model("clip")
    w.add_token_list(tokens.tokens)
    w.add_token_merges([f"{a} {b}" for a, b in tokens.merges])
    w.add_bos_token_id(tokens.bos)
    w.add_eos_token_id(tokens.eos)
    w.add_pad_token_id(tokens.eos)
    count = 0
    for component, stem in COMPONENTS.items():
        for name, value in load_file(args.folder / component / f"{stem}.safetensors").items():
            w.add_tensor(f"{component}.{name}", value.half().numpy())
            count += value.numel()
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    size = pathlib.Path(args.gguf).stat().st_size
    print(f"{args.gguf}: {count / 1e6:.2f} M weights, {size / 1e6:.2f} MB")
    assert size <= 24e6, "more than 24 MB"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--preset", choices=PRESETS, default="full")
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--folder", type=pathlib.Path, required=True)
    ap.add_argument("--gguf", required=True)
    ap.add_argument("--threads", type=int)
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    preset = PRESETS[args.preset]
    tokens, scale = write_folder(args, preset)
    verify(args, preset, tokens, scale)
    write_gguf(args, tokens, preset)


if __name__ == "__main__":
    main()
