"""What the stages share: device, pictures on disk, checkpoints, the learning-rate curve, contact sheets."""
import json
import math
import os
import time

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Workers:
    """Data-parallel training under torchrun; a single worker without it. One single-threaded worker per core
    is about twice as fast as one worker with many threads on a busy CPU, where every operation would wait for
    the slowest thread."""

    def __init__(self, threads):
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if threads:
            torch.set_num_threads(threads)
        if self.count > 1:
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))

    def bind(self, params):
        """Lays all gradients into one vector, in each parameter's own memory order."""
        sizes = [p.numel() for p in params]
        self.flat = torch.zeros(sum(sizes), device=params[0].device)
        for p, part in zip(params, self.flat.split(sizes)):
            p.grad = part.as_strided(p.size(), p.stride())

    def average(self, limit=1.0):
        """Averages the gradients over the workers (all started from the same weights) and clips their norm."""
        if self.count > 1:
            dist.all_reduce(self.flat)
            self.flat /= self.count
        self.flat *= limit / self.flat.norm().clamp(min=limit)

    def agree(self, done):
        """True for all as soon as the first worker says so (it keeps the clock)."""
        if self.count > 1:
            flag = torch.tensor([float(done)], device=device())
            dist.broadcast(flag, 0)
            return bool(flag.item())
        return done


def autocast():
    """bf16 products with f32 weights, on the GPU and on CPUs that have AVX512_BF16 alike."""
    return torch.autocast(device().type, dtype=torch.bfloat16)


def pictures(folder):
    """The memory-mapped pictures and their records, from data.py."""
    with open(folder / "pictures.jsonl", encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    return np.load(folder / "pictures.npy", mmap_mode="r"), records


def split(records, *names):
    return np.array([i for i, r in enumerate(records) if r["split"] in names])


def to_tensor(block):
    """uint8 [n, h, w, 3] -> float [n, 3, h, w] in [-1, 1], channels last."""
    t = torch.from_numpy(np.array(block)).to(device())
    return t.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_picture(t):
    """float [n, 3, h, w] in [-1, 1] -> uint8 [n, h, w, 3]."""
    return t.float().clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def sheet(block, columns, path):
    """Writes a contact sheet of uint8 [n, h, w, 3]."""
    n, h, w, _ = block.shape
    rows = -(-n // columns)
    out = np.full((rows * (h + 4), columns * (w + 4), 3), 200, np.uint8)
    for i, image in enumerate(block):
        y, x = i // columns * (h + 4), i % columns * (w + 4)
        out[y:y + h, x:x + w] = image
    Image.fromarray(out).save(path)


class Clock:
    """How far a stage is: by steps or by minutes, whichever ends first. Survives a restart."""

    def __init__(self, steps, minutes, spent=0.0):
        self.steps, self.seconds, self.spent, self.start = steps, minutes * 60, spent, time.time()

    def elapsed(self):
        return self.spent + time.time() - self.start

    def progress(self, step):
        return max(step / self.steps, self.elapsed() / self.seconds)


def learning_rate(peak, step, progress, warmup=200):
    """Linear warm-up, then flat, then a cosine to zero over the last 60 %."""
    tail = max(0.0, (progress - 0.4) / 0.6)
    return peak * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, tail)))


class Average:
    """Exponential moving average of parameters, with a horizon that grows with the number of steps."""

    def __init__(self, parameters, decay):
        self.live, self.decay, self.count = list(parameters), decay, 0
        self.mean = [p.detach().clone() for p in self.live]

    def update(self):
        self.count += 1
        d = min(self.decay, (1 + self.count) / (10 + self.count))
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], 1 - d)

    def swap(self):
        """Exchanges the live and the mean values; call twice."""
        with torch.no_grad():
            for p, m in zip(self.live, self.mean):
                keep = p.detach().clone()
                p.copy_(m)
                m.copy_(keep)

    def state(self):
        return {"mean": self.mean, "count": self.count}

    def load(self, state):
        self.count = state["count"]
        with torch.no_grad():
            for m, s in zip(self.mean, state["mean"]):
                m.copy_(s)


def save(path, **state):
    """Atomically, so that a checkpoint cut off by a kill never replaces a good one."""
    torch.save(state, str(path) + ".tmp")
    os.replace(str(path) + ".tmp", path)
