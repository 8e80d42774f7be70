"""Builds the real classes from a configuration and writes manifests (names and shapes as text)."""

import json

import diffusers
import torch
import transformers

WEIGHTED = ("text_encoder", "text_encoder_2", "unet", "vae", "controlnet")


def build(component, config):
    """The diffusers or transformers model of one component, values of no meaning."""
    if component.startswith("text_encoder"):
        kind = getattr(transformers, config["architectures"][0])
        return kind(transformers.CLIPTextConfig(**{k: v for k, v in config.items() if k != "architectures"}))
    return getattr(diffusers, config["_class_name"]).from_config(config)


def published(component, name):
    """transformers 5 dropped the `text_model.` level of CLIPTextModel; published files have it."""
    if component.startswith("text_encoder") and not name.startswith(("text_model.", "text_projection.")):
        return "text_model." + name
    return name


def shapes(configs):
    """{full name: shape} of every weight of the components, in model order."""
    result = {}
    for component in WEIGHTED:
        if component not in configs:
            continue
        with torch.device("meta"):
            model = build(component, configs[component])
        for name, parameter in model.named_parameters():
            result[component + "." + published(component, name)] = tuple(parameter.shape)
    return result


def write(path, configs, title):
    lines = ["# " + title]
    lines += [f"#config {c} {json.dumps(v, separators=(',', ':'))}" for c, v in configs.items()]
    lines += [" ".join([name, *map(str, shape)]) for name, shape in shapes(configs).items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
