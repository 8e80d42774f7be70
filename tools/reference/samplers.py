#!/usr/bin/env python3
"""Writes tests/data/samplers/*.json: what diffusers' schedulers and torch's generators compute.

<sampler>.json  runs of a scheduler over a model that both sides can compute,
                out = 0.4 in + 0.3 sin(t / 100 + i), i the element's index in [h, w, c] order, with noise
                from a CPU generator: timesteps, sigmas where the scheduler has them, x before the first
                and after every step.
spacings.json   the timesteps of each scheduler class and spacing for many step counts.
noise.json      values of torch.randn and of the CUDA emulation.
"""

import inspect
import json
import math
import pathlib
from unittest import mock

import numpy as np
import torch
from diffusers import (DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, LCMScheduler)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "samplers"
C, H, W = 4, 2, 2
SEED = 42

CLASSES = {
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "lcm": LCMScheduler,
}

BASE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "trained_betas": None}
CONFIGS = {
    "sd15": BASE,
    "sd21": BASE | {"prediction_type": "v_prediction"},
    "sdxl": BASE | {"prediction_type": "epsilon", "timestep_spacing": "leading"},
    "turbo": BASE | {"timestep_spacing": "trailing"},
    "zero-snr": BASE | {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
    "karras": BASE | {"timestep_spacing": "leading", "use_karras_sigmas": True},
    "sigma-min": BASE | {"final_sigmas_type": "sigma_min", "timestep_spacing": "leading"},
    "linear": BASE | {"beta_schedule": "linear", "set_alpha_to_one": True, "timestep_spacing": "linspace"},
    "sample": BASE | {"prediction_type": "sample", "timestep_spacing": "trailing"},
}


def rounded(values, digits=9):
    """Numbers with few digits (9 tell all single precision values apart), whole ones without a point."""
    short = (float(f"{v:.{digits}g}") for v in np.asarray(values, dtype=np.float64).flatten())
    return [int(v) if v.is_integer() else v for v in short]


def scheduler(sampler, config, **more):
    cls = CLASSES[sampler]
    known = inspect.signature(cls.__init__).parameters
    return cls(**{k: v for k, v in (config | more).items() if k in known})


def table(config):
    """The training sigmas, from a scheduler that clamps them at zero SNR."""
    s = scheduler("euler_a", config)
    return (((1 - s.alphas_cumprod) / s.alphas_cumprod) ** 0.5).numpy()


class AlphaBar:
    """alphas_cumprod that is looked up by any timestep of a schedule."""

    def __init__(self, timesteps, sigmas):
        self.pairs = [(float(t), 1 / (1 + float(s) ** 2)) for t, s in zip(timesteps, sigmas)]

    def __getitem__(self, t):
        return torch.tensor(next(a for u, a in self.pairs if u == float(t)), dtype=torch.float64)


def set_custom(s, sampler, config, timesteps, sigmas):
    """Lets a scheduler run over given noise levels."""
    s.set_timesteps(len(timesteps))
    s.num_inference_steps = len(timesteps)
    s.timesteps = torch.from_numpy(np.asarray(timesteps))
    if sampler == "lcm":
        s.alphas_cumprod = AlphaBar(timesteps, sigmas)
    else:
        s.sigmas = torch.from_numpy(np.append(sigmas, 0).astype(np.float32))


def karras(config, n):
    """Karras sigmas over the whole table and their timesteps, by diffusers' own functions."""
    s = scheduler("euler", config)
    sigmas = table(config)
    spaced = s._convert_to_karras(in_sigmas=sigmas[::-1], num_inference_steps=n)
    return np.array([s._sigma_to_t(x, np.log(sigmas)) for x in spaced]), spaced


def normal(config, n):
    """k-diffusion's get_sigmas: even timesteps, sigmas by interpolation of their logarithms."""
    sigmas = np.log(table(config).astype(np.float64))
    t = np.linspace(len(sigmas) - 1, 0, n)
    return t, np.exp(np.interp(t, np.arange(len(sigmas)), sigmas))


def prepare(sampler, config, schedule, n):
    if schedule == "model":
        s = scheduler(sampler, config)
        s.set_timesteps(n)
        return s
    if schedule in ("leading", "linspace", "trailing") and sampler != "lcm":
        s = scheduler(sampler, config | {"timestep_spacing": schedule})
        s.set_timesteps(n)
        return s
    if sampler == "lcm" and schedule == "trailing":
        s = scheduler(sampler, config)
        reference = scheduler("ddim", config | {"timestep_spacing": "trailing"})
        reference.set_timesteps(n)
        s.set_timesteps(timesteps=reference.timesteps.tolist())
        return s
    if schedule == "karras" and sampler in ("euler", "dpmpp_2m"):
        s = scheduler(sampler, config | {"timestep_spacing": "linspace", "use_karras_sigmas": True})
        s.set_timesteps(n)
        if n > 1:
            return s
    timesteps, sigmas = (karras if schedule == "karras" else normal)(config, n)
    if sampler == "dpmpp_2m" and schedule == "karras":
        timesteps = timesteps.round()
    # DDIM over free sigmas is the first order solver.
    s = scheduler("dpmpp_2m", config, solver_order=1) if sampler == "ddim" else scheduler(sampler, config)
    set_custom(s, sampler, config, timesteps, sigmas)
    return s


def nhwc(x):
    return x[0].permute(1, 2, 0).to(torch.float64).numpy()


def model(x, t):
    """The fake model over [1, c, h, w]."""
    out = 0.4 * nhwc(x).flatten() + 0.3 * np.sin(float(t) / 100 + np.arange(C * H * W))
    return torch.from_numpy(out.reshape(H, W, C)).permute(2, 0, 1)[None].to(torch.float32).contiguous()


def run(sampler, name, schedule, n, strength=None):
    config = CONFIGS[name]
    s = prepare(sampler, config, schedule, n)
    # From sigma 4096, steps in single precision lose 12 bits: let diffusers compute them in double.
    wide = "euler" in sampler and "rescale_betas_zero_snr" in config
    if wide:
        s.sigmas = s.sigmas.to(torch.float64)
    generator = torch.Generator("cpu").manual_seed(SEED)
    noise = torch.randn((1, C, H, W), generator=generator)
    begin = 0
    case = {"config": name, "schedule": schedule, "n": n}
    if strength is None:
        x = (noise * s.init_noise_sigma).to(torch.float32)
    else:
        begin = max(n - min(int(n * strength), n), 0)
        case["strength"] = strength
    if hasattr(s, "set_begin_index"):
        s.set_begin_index(begin)
    timesteps = s.timesteps[begin:]
    if strength is not None:
        latent = torch.from_numpy(np.cos(np.arange(C * H * W)).reshape(H, W, C)).permute(2, 0, 1)[None]
        x = s.add_noise(latent.to(torch.float32), noise, timesteps[:1])
    case["timesteps"] = rounded(timesteps)
    if hasattr(s, "sigmas"):
        case["sigmas"] = rounded(s.sigmas[begin:])
    states = [nhwc(x)]
    for t in timesteps:
        out = model(s.scale_model_input(x, t), t)
        more = {"generator": generator} if sampler in ("euler_a", "lcm") else {}
        with mock.patch.object(torch, "float32", torch.float64 if wide else torch.float32):
            x = s.step(out, t, x, return_dict=False, **more)[0].float()
        states.append(nhwc(x))
    case["x"] = [rounded(v, 7) for v in states]
    assert all(math.isfinite(v) for row in case["x"] for v in row), (sampler, name, schedule, n)
    return case


def one_step_differs(sampler, config, schedule):
    """Where one step of diffusers would start at t = 0, see schedule.h."""
    if sampler == "lcm":
        return False
    spacing = schedule
    if schedule == "model":
        default = "leading" if sampler == "ddim" else "linspace"
        spacing = config.get("timestep_spacing", default)
    return spacing == "leading" or (spacing == "linspace" and sampler != "dpmpp_2m")


def cases(sampler):
    for name, config in CONFIGS.items():
        if sampler == "euler_a" and name == "sample":
            continue  # not implemented in diffusers
        for n in (1, 4, 20, 30) if name in ("sd15", "zero-snr") else (1, 4, 20):
            if n > 1 or not one_step_differs(sampler, config, "model"):
                yield run(sampler, name, "model", n)
    if sampler == "dpmpp_2m":
        for n in (14, 15):  # lower_order_final applies below 15
            yield run(sampler, "sigma-min", "model", n)
    for schedule in ("normal", "karras", "trailing"):
        for n in (1, 7):
            yield run(sampler, "sd15", schedule, n)
    yield run(sampler, "sd21", "karras", 10)
    if sampler != "lcm":
        yield run(sampler, "turbo", "leading", 6)
        yield run(sampler, "turbo", "linspace", 6)
    for name, n, strength in (("sd15", 20, 0.6), ("turbo", 4, 0.5), ("sdxl", 7, 1.0)):
        yield run(sampler, name, "model", n, strength)


def spacings():
    counts = [*range(2, 13), 16, 25, 28, 33, 40, 48, 50]
    rows = []
    for sampler in ("euler", "dpmpp_2m", "ddim"):
        for spacing in ("leading", "linspace", "trailing"):
            s = scheduler(sampler, BASE | {"timestep_spacing": spacing})
            for n in counts:
                s.set_timesteps(n)
                if len(s.timesteps) == n:  # NumPy's arange sometimes gives one more
                    rows.append({"sampler": sampler, "schedule": spacing, "timesteps": rounded(s.timesteps)})
    s = scheduler("lcm", BASE)
    for n in counts:
        s.set_timesteps(n)
        rows.append({"sampler": "lcm", "schedule": "model", "timesteps": rounded(s.timesteps)})
    return rows


def sampled(values):
    """All of a short draw; of a long one every 97th value and the last 20, which are drawn twice."""
    n = len(values)
    at = list(range(n)) if n <= 64 else sorted({*range(0, n, 97), *range(n - 20, n)})
    return {"n": n, "at": at, "values": rounded(np.asarray(values)[at])}


def philox_words(seed, offset, n):
    """Philox4x32-10 of the counters (offset, 0, i, 0): the first two words."""
    mask = 0xFFFFFFFF
    rows = []
    for i in range(n):
        c, k = [offset, 0, i, 0], [seed & mask, seed >> 32]
        for _ in range(10):
            a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [b >> 32 ^ c[1] ^ k[0], b & mask, a >> 32 ^ c[3] ^ k[1], a & mask]
            k = [k[0] + 0x9E3779B9 & mask, k[1] + 0xBB67AE85 & mask]
        rows.append(c[:2])
    return np.array(rows, dtype=np.float64).T


def philox(seed, offset, n):
    """torch.randn on CUDA as AUTOMATIC1111 emulates it: constants in single, the rest in double."""
    x, y = philox_words(seed, offset, n)
    unit, angle = np.float64(np.float32(2.0**-32)), np.float64(np.float32(2.0**-32 * 2 * math.pi))
    return (np.sqrt(-2 * np.log(x * unit + unit / 2)) * np.sin(y * angle + angle / 2)).astype(np.float32)


def noise():
    sequences = [[4], [15], [16], [17], [64], [1000], [16384], [4, 15, 3, 16, 17, 5, 5, 64, 7, 1000, 1]]
    torch_rows = []
    for seed in (0, 42, 2**32 + 7, 2**63 + 12345):
        for sizes in sequences:
            if seed in (0, 42) or sizes == [16]:
                generator = torch.Generator("cpu").manual_seed(seed)
                draws = [sampled(torch.randn(n, generator=generator).numpy()) for n in sizes]
                torch_rows.append({"seed": str(seed), "draws": draws})
    cuda_rows = []
    for seed in (0, 42, 2**32 + 7, 2**63 + 12345):
        draws = [sampled(philox(seed, offset, n)) for offset, n in enumerate((12, 1, 64, 1000))]
        cuda_rows.append({"seed": str(seed), "draws": draws})
    return {"mt19937": torch_rows, "philox": cuda_rows}


def write(name, value):
    text = json.dumps(value, separators=(",", ":"))
    (OUT / name).write_text(text.replace('{"config"', '\n{"config"').replace('{"sampler"', '\n{"sampler"') + "\n")
    print(name, len(text))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for sampler in CLASSES:
        write(f"{sampler}.json", {"seed": SEED, "shape": [H, W, C], "configs": CONFIGS, "cases": list(cases(sampler))})
    write("spacings.json", spacings())
    write("noise.json", noise())


if __name__ == "__main__":
    main()
