#!/usr/bin/env python3
"""Writes tests/data/models/language-<case>.safetensors and tests/data/manifests/language-<case>.txt.

Each case is a tiny language model of transformers with hash weights (rounded to F16), saved in the form
its published checkpoints have; the manifest lists the tensors of that form below `language.`. The data:
tokens [n], logits [n, n_vocab] after each of them, a sample of every layer's result (`stage/blk.<i>`) and
the greedy continuation of 64 tokens after the first `prompt` tokens. gpt-oss with MXFP4 experts has its
weights in a file of its own.
"""

import json
import logging
import math
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers as T
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import hash_weights

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"
SAMPLE = 256
N_TOKENS, N_GREEDY = 40, 64

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 160, "max_position_embeddings": 256, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2}


# What transformers 4 wrote, and published files have: the same numbers under other keys.
OLD = {
    "llama-old": lambda c: {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "gemma3-old": lambda c: {"rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                             "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                             "sliding_window_pattern": 6},
    "gemma3-seeing": lambda c: {"model_type": "gemma3", "text_config": c},
}


def rope(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **more}}


SHORT = [1.0 + 0.05 * i for i in range(8)]
LONG = [1.5 + 0.4 * i for i in range(8)]

GEMMA3 = {"head_dim": 24, "sliding_window": 9, "query_pre_attn_scalar": 20,
              "num_hidden_layers": 7,
              "rope_parameters": {
                  "full_attention": {"rope_type": "linear", "factor": 8.0,
                                     "rope_theta": 1000000.0},
                  "sliding_attention": {"rope_type": "default",
                                        "rope_theta": 10000.0}}}

CASES = {
    "llama": (T.LlamaConfig, {}),
    "llama-linear": (T.LlamaConfig, rope("linear", factor=4.0)),
    "llama-old": (T.LlamaConfig, rope("linear", factor=4.0)),
    "llama-yarn": (T.LlamaConfig, rope("yarn", factor=4.0, original_max_position_embeddings=64)),
    "llama-llama3": (T.LlamaConfig, rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=64)),
    "llama-bias": (T.LlamaConfig, {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "mistral": (T.MistralConfig, {"sliding_window": 9}),
    "mistral-nemo": (T.MistralConfig, {"head_dim": 24, "sliding_window": None}),
    "mixtral": (T.MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": (T.Qwen2Config, {"tie_word_embeddings": True}),
    "qwen3": (T.Qwen3Config, {"head_dim": 24}),
    "qwen3moe": (T.Qwen3MoeConfig, {"head_dim": 16, "num_experts": 8, "num_experts_per_tok": 3,
                                    "moe_intermediate_size": 32, "norm_topk_prob": True,
                                    "mlp_only_layers": [1]}),
    "qwen3moe-plain": (T.Qwen3MoeConfig, {"head_dim": 16, "num_experts": 8, "num_experts_per_tok": 3,
                                          "moe_intermediate_size": 32, "norm_topk_prob": False}),
    "gemma2": (T.Gemma2Config, {"head_dim": 24, "sliding_window": 9, "query_pre_attn_scalar": 20,
                                "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}),
    "gemma3": (T.Gemma3TextConfig, GEMMA3),
    "gemma3-old": (T.Gemma3TextConfig, GEMMA3),
    "gemma3-seeing": (T.Gemma3TextConfig, GEMMA3),
    "phi3": (T.Phi3Config, {"sliding_window": 30}),
    "phi3-short": (T.Phi3Config, {"original_max_position_embeddings": 128, "sliding_window": None,
                                  **rope("longrope", short_factor=SHORT, long_factor=LONG,
                                         original_max_position_embeddings=128)}),
    "phi3-long": (T.Phi3Config, {"original_max_position_embeddings": 8, "sliding_window": None,
                                 **rope("longrope", short_factor=SHORT[:6], long_factor=LONG[:6],
                                        partial_rotary_factor=0.75, original_max_position_embeddings=8)}),
    "smollm3": (T.SmolLM3Config, {"num_hidden_layers": 5}),
    "olmo2": (T.Olmo2Config, {}),
    "gpt-oss-mxfp4": (T.GptOssConfig, {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2,
                                       "num_hidden_layers": 2, "vocab_size": 96, "intermediate_size": 32,
                                       "sliding_window": 9, "max_position_embeddings": 131072}),
    "gpt-oss": (T.GptOssConfig, {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2,
                                 "sliding_window": 9, "max_position_embeddings": 131072}),
}


def published(model):
    """{name: shape} and the configuration, as save_pretrained() writes them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        with safe_open(folder + "/model.safetensors", "np") as f:
            shapes = {k: tuple(f.get_slice(k).get_shape()) for k in f.keys()}
    return shapes, config


def load(shapes, config):
    """The model with hash weights, through a folder as one would be downloaded."""
    return load_weights({k: hash_weights.weight("language." + k, s).astype(np.float32) for k, s in shapes.items()},
                        config)


def load_weights(weights, config):
    with tempfile.TemporaryDirectory() as folder:
        save_file(weights, folder + "/model.safetensors", {"format": "pt"})
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        return T.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                      attn_implementation="eager").eval()


def packed(shapes, config):
    """gpt-oss as it is published: its experts' weights as MXFP4 blocks and scales. The tensors of the file
    and the model with what transformers makes of them."""
    tensors, weights = {}, {}
    for name, shape in shapes.items():
        weights[name] = hash_weights.weight("language." + name, shape)
        tensors[name] = weights[name]
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            continue
        n_expert, k, rows = shape
        u = hash_weights.signed_unit("language." + name, 0, n_expert * rows * k) + 1
        blocks = (u * 128).astype(np.uint8).reshape(n_expert, rows, k // 32, 32)[..., :16].copy()
        scales = (122 + u[: n_expert * rows * k // 32] * 1.5).astype(np.uint8).reshape(blocks.shape[:-1])
        tensors[name + "_blocks"], tensors[name + "_scales"] = blocks, scales
        del tensors[name]
        weights[name] = convert_moe_packed_tensors(torch.from_numpy(blocks), torch.from_numpy(scales),
                                                   dtype=torch.float32).contiguous().numpy()
        assert weights[name].shape == shape
    return tensors, load_weights({k: v.astype(np.float32) for k, v in weights.items()}, config)


def sample(x):
    stride = max(1, math.ceil(x.size / SAMPLE))
    while math.gcd(stride, x.size) > 1:
        stride += 1
    return x.ravel()[::stride].copy(), stride


def greedy(model, tokens):
    """64 tokens, each the most likely one, without a cache; and how clear the closest choice was."""
    ids, gap = list(tokens), math.inf
    for _ in range(N_GREEDY):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1].double()
        best = torch.topk(logits, 2)
        gap = min(gap, float(best.values[0] - best.values[1]) / float(logits.abs().max()))
        ids.append(int(best.indices[0]))
    return ids[len(tokens):], gap


def write_manifest(case, shapes, config):
    lines = [f"# The tiny {case} model of tools/reference/language.py.",
             "#config language " + json.dumps(config, separators=(",", ":"))]
    lines += [" ".join(["language." + name, *map(str, shape)]) for name, shape in shapes.items()]
    (DATA / "manifests" / f"language-{case}.txt").write_text("\n".join(lines) + "\n")


def make(case):
    kind, more = CASES[case]
    torch.manual_seed(0)
    model = T.AutoModelForCausalLM.from_config(kind(**{**SIZES, **more}))
    shapes, config = published(model)
    tensors, stages, published_as = {}, [], {"manifest": f"manifests/language-{case}.txt"}
    if case.endswith("mxfp4"):
        file, model = packed(shapes, config)
        published_as = {"weights": f"models/language-{case}-weights.safetensors"}
        save_file(file, DATA / published_as["weights"], {"config": json.dumps(config)})
    else:
        model = load(shapes, config)
        if case in OLD:
            new = OLD[case](config)
            keep = {} if "text_config" in new else {
                k: v for k, v in config.items() if k not in ("rope_parameters", "layer_types")}
            config = {**keep, **new}
        write_manifest(case, shapes, config)

    def watch(i):
        def hook(_module, _inputs, output):
            x = (output[0] if isinstance(output, tuple) else output).detach().numpy()[0]
            tensors[f"stage/blk.{i}"], stride = sample(x)
            stages.append({"name": f"blk.{i}", "shape": list(x.shape), "stride": stride})
        return hook

    hooks = [layer.register_forward_hook(watch(i)) for i, layer in enumerate(model.model.layers)]
    u = (hash_weights.signed_unit("input.tokens", 0, N_TOKENS) + 1) / 2
    tokens = (u * shapes["model.embed_tokens.weight"][0]).astype(np.int32)
    with torch.no_grad():
        tensors["output.logits"] = model(torch.from_numpy(tokens[None].astype(np.int64))).logits[0].numpy().copy()
        for hook in hooks:
            hook.remove()
        for prompt in range(12, N_TOKENS):  # one after which no choice is close
            ids, gap = greedy(model, tokens[:prompt].tolist())
            if gap > 5e-4:
                break
    tensors["input.tokens"] = tokens
    tensors["output.greedy"] = np.array(ids, np.int32)
    path = DATA / "models" / f"language-{case}.safetensors"
    save_file(tensors, path, {**published_as, "stages": json.dumps(stages), "prompt": str(prompt)})
    print(f"{case}: {path.stat().st_size} bytes, logits {tensors['output.logits'].std():.3f}, "
          f"gap {gap:.2g}, {len(set(ids))} different tokens")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        make(name)
