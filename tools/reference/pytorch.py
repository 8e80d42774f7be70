#!/usr/bin/env python3
"""Writes tests/data/pytorch with torch.save(): what checkpoints hold, and what they must not."""

import collections
import os
import pickle
import sys
import zipfile
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parents[2] / "tests/data/pytorch"


def values(n, dtype=torch.float32):
    return (torch.arange(n, dtype=torch.float32) / 4 - 1).to(dtype)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/lar-was-here",)


def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    base = values(40)
    tied = values(6, torch.float16).reshape(2, 3)
    model = collections.OrderedDict(
        {
            "a.weight": values(12).reshape(3, 4),
            "b.half": tied,
            "b.tied": tied,
            "c.bf16": values(5, torch.bfloat16),
            "d.view": base[8:20].reshape(2, 6),
            "e.turned": values(6).reshape(2, 3).t(),
            "f.parameter": torch.nn.Parameter(values(3)),
            "g.long": torch.tensor([1, 2, 3]),
            "h.scalar": torch.tensor(0.5),
            "i.empty": torch.zeros(0, 4),
            "j.int": torch.tensor([7, -8], dtype=torch.int32),
        }
    )
    model._metadata = {"": {"version": 1}}
    whole = {
        "epoch": 3,
        "lr": 1e-4,
        "state_dict": model,
        "optimizer_states": [{"state": {0: {"exp_avg": values(4)}}}],
        "note": None,
    }
    torch.save(whole, OUT / "new.ckpt")
    torch.save(whole, OUT / "old.ckpt", _use_new_zipfile_serialization=False)
    torch.save({"params": {"w": values(2)}, "params_ema": {"w": values(3)}}, OUT / "ema.pth")
    embedding = torch.nn.ParameterDict({"*": torch.nn.Parameter(values(8).reshape(2, 4))})
    torch.save(
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": embedding, "step": 10},
        OUT / "embedding.pt",
    )
    torch.save(values(4), OUT / "bare.pt")
    torch.save({"a": values(2), "b": Evil()}, OUT / "evil.pth")
    torch.save(torch.nn.Linear(2, 2), OUT / "module.pth")
    (OUT / "plain.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with zipfile.ZipFile(OUT / "new.ckpt") as old, zipfile.ZipFile(
        OUT / "repacked.ckpt", "w", zipfile.ZIP_DEFLATED
    ) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))


if __name__ == "__main__":
    sys.exit(main())
