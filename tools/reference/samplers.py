#!/usr/bin/env python3
"""Writes tests/data/samplers/*.json: what diffusers' schedulers and torch's generators compute.

<sampler>.json  runs of a scheduler over a model that both sides can compute,
                out = 0.4 in + 0.3 sin(t / 100 + i), i the element's index in [h, w, c] order, with noise
                from a CPU generator: timesteps, sigmas where the scheduler has them, x before the first
                and after every step. CFG++ also gets 0.35 in + 0.2 cos(t / 100 + i) as the unconditional
                output. Two samplers are not in diffusers and are written here: DPM++ 3M SDE by the formulas
                of k-diffusion's sample_dpmpp_3m_sde(), Euler CFG++ by those of ComfyUI's
                sample_euler_cfg_pp().
schedules.json  timesteps and sigmas of the schedules that are given as sigmas.
guidance.json   diffusers' rescale_noise_cfg().
variation.json  noise between two seeds by AUTOMATIC1111's formula.
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
                       EulerDiscreteScheduler, HeunDiscreteScheduler, KDPM2AncestralDiscreteScheduler,
                       KDPM2DiscreteScheduler, LCMScheduler, TCDScheduler, UniPCMultistepScheduler)
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.schedulers import AysSchedules

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "samplers"
C, H, W = 4, 2, 2
SEED = 42


class DPMSolverSDE(DPMSolverMultistepScheduler):
    """DPM++ 2M SDE."""

    def __init__(self, **config):
        super().__init__(algorithm_type="sde-dpmsolver++", **config)


class DPMSolver3MSDE(DPMSolverMultistepScheduler):
    """DPM++ 3M SDE, eta 1, computed in the sigma parametrisation and in double."""

    def step(self, out, t, sample, return_dict=False, generator=None):
        if self.step_index is None:
            self._init_step_index(t)
            self.past, self.growths = [], []
        x0 = self.convert_model_output(out, sample=sample).double()
        noise = torch.randn(out.shape, generator=generator).double()
        sigma, to = (float(v) for v in self.sigmas[self.step_index:self.step_index + 2])
        x = sample.double() * math.sqrt(1 + sigma**2)
        if to == 0:
            x = x0
        else:
            h = math.log(sigma / to)
            h_eta = 2 * h
            x = math.exp(-h_eta) * x - math.expm1(-h_eta) * x0
            if h > 0 and self.past:
                phi_2 = math.expm1(-h_eta) / h_eta + 1
                phi_3 = phi_2 / h_eta - 0.5
                r0 = self.growths[-1] / h
                d0 = (x0 - self.past[-1]) / r0
                if len(self.past) == 1:
                    x = x + phi_2 * d0
                else:
                    r1 = self.growths[-2] / h
                    d1 = (self.past[-1] - self.past[-2]) / r1
                    curve = (d0 - d1) / (r0 + r1)
                    x = x + phi_2 * (d0 + r0 * curve) - phi_3 * curve
            x = x + noise * to * math.sqrt(-math.expm1(-2 * h))
            self.growths.append(h)
        self.past.append(x0)
        self._step_index += 1
        return ((x / math.sqrt(1 + to**2)).float(),)


class EulerCFGPP(EulerDiscreteScheduler):
    def step(self, out, t, sample, negative, return_dict=False):
        if self.step_index is None:
            self._init_step_index(t)
        sigma, to = (float(v) for v in self.sigmas[self.step_index:self.step_index + 2])
        x = sample.double()

        def denoised(out):
            out = out.double()
            if self.config.prediction_type == "epsilon":
                return x - sigma * out
            if self.config.prediction_type == "sample":
                return out
            return x / (sigma**2 + 1) - out * sigma / math.sqrt(sigma**2 + 1)

        d = (x - denoised(negative)) / sigma
        self._step_index += 1
        return ((denoised(out) + d * to).float(),)


CLASSES = {
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "lcm": LCMScheduler,
}
NEWER = {
    "heun": HeunDiscreteScheduler,
    "dpm2": KDPM2DiscreteScheduler,
    "dpm2_a": KDPM2AncestralDiscreteScheduler,
    "dpmpp_2m_sde": DPMSolverSDE,
    "dpmpp_3m_sde": DPMSolver3MSDE,
    "unipc": UniPCMultistepScheduler,
    "tcd": TCDScheduler,
    "euler_cfg_pp": EulerCFGPP,
}
IN_SIGMA = ("euler", "euler_a", "heun", "dpm2", "dpm2_a", "euler_cfg_pp")
DRAWING = ("euler_a", "lcm", "dpm2_a", "dpmpp_2m_sde", "dpmpp_3m_sde", "tcd")

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
    cls = (CLASSES | NEWER)[sampler]
    original = next(c for c in cls.__mro__ if c.__module__.startswith("diffusers."))
    known = inspect.signature(original.__init__).parameters
    s = cls(**{k: v for k, v in (config | more).items() if k in known})
    if config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in known:
        s.alphas_cumprod = scheduler("euler", config).alphas_cumprod
    return s


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


def log_interpolated(config, timesteps):
    sigmas = np.log(table(config).astype(np.float64))
    return np.exp(np.interp(timesteps, np.arange(len(sigmas)), sigmas))


def free_sigmas(config, schedule, n):
    """Schedules given as sigmas, without the last 0."""
    whole = table(config).astype(np.float64)
    last = len(whole) - 1
    if schedule == "normal":
        return normal(config, n)[1]
    if schedule == "karras":
        return karras(config, n)[1]
    if schedule == "sgm_uniform":
        return log_interpolated(config, np.linspace(last, 0, n + 1)[:-1])
    if schedule == "simple":
        return np.array([whole[-(1 + int(i * (len(whole) / n)))] for i in range(n)])
    if schedule in ("ays", "ays xl"):
        points = np.array(AysSchedules["StableDiffusionXLSigmas" if "xl" in schedule else "StableDiffusionSigmas"])
        points[-1] = 0.029  # diffusers has the 0 that takes its place
        return np.exp(np.interp(np.linspace(0, 10, n + 1), np.arange(11), np.log(points)))[:-1]
    euler = scheduler("euler", config)
    convert = euler._convert_to_exponential if schedule == "exponential" else euler._convert_to_beta
    return np.asarray(convert(in_sigmas=whole[::-1].copy(), num_inference_steps=n), dtype=np.float64)


def prepare_newer(sampler, config, schedule, n):
    if sampler == "tcd" and schedule != "model":
        s = scheduler(sampler, config)
        reference = scheduler("ddim", config | {"timestep_spacing": schedule})
        reference.set_timesteps(n)
        s.set_timesteps(timesteps=reference.timesteps.tolist())
        return s
    if schedule in ("model", "leading", "linspace", "trailing"):
        s = scheduler(sampler, config if schedule == "model" else config | {"timestep_spacing": schedule})
        s.set_timesteps(n)
        return s
    # All these classes take any sigmas where they make exponential ones, or Karras ones with their rounding.
    s = scheduler(sampler, config | {"timestep_spacing": "linspace"},
                  **{"use_karras_sigmas" if schedule == "karras" else "use_exponential_sigmas": True})
    sigmas = free_sigmas(config, schedule, n)
    with mock.patch.object(s, "_convert_to_exponential", lambda **_: sigmas), \
            mock.patch.object(s, "_convert_to_karras", lambda **_: sigmas):
        s.set_timesteps(n)
    if isinstance(s.timesteps[0].item(), int) and schedule != "karras":  # cut to whole ones, unlike k-diffusion
        levels = np.log(table(config))
        s.timesteps = torch.from_numpy(np.array([s._sigma_to_t(x, levels) for x in sigmas]))
    return s


def prepare(sampler, config, schedule, n):
    if sampler in NEWER:
        return prepare_newer(sampler, config, schedule, n)
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


def negative_model(x, t):
    out = 0.35 * nhwc(x).flatten() + 0.2 * np.cos(float(t) / 100 + np.arange(C * H * W))
    return torch.from_numpy(out.reshape(H, W, C)).permute(2, 0, 1)[None].to(torch.float32).contiguous()


def run(sampler, name, schedule, n, strength=None, eta=None):
    config = CONFIGS[name]
    s = prepare(sampler, config, schedule, n)
    # From sigma 4096, steps in single precision lose 12 bits: let diffusers compute them in double.
    wide = sampler in IN_SIGMA and "rescale_betas_zero_snr" in config
    if wide:
        for key in ("sigmas", "sigmas_interpol", "sigmas_up", "sigmas_down"):
            if hasattr(s, key):
                setattr(s, key, getattr(s, key).to(torch.float64))
    generator = torch.Generator("cpu").manual_seed(SEED)
    noise = torch.randn((1, C, H, W), generator=generator)
    begin = 0
    case = {"config": name, "schedule": schedule, "n": n}
    if strength is None:
        x = (noise * s.init_noise_sigma).to(torch.float32)
    else:
        begin = max(n - min(int(n * strength), n), 0) * s.order
        case["strength"] = strength
    if hasattr(s, "set_begin_index"):
        s.set_begin_index(begin)
    timesteps = s.timesteps[begin:]
    if strength is not None:
        latent = torch.from_numpy(np.cos(np.arange(C * H * W)).reshape(H, W, C)).permute(2, 0, 1)[None]
        x = s.add_noise(latent.to(torch.float32), noise, timesteps[:1])
    case["timesteps"] = rounded(timesteps)
    if eta is not None:
        case["eta"] = eta
    if hasattr(s, "sigmas") and sampler not in ("heun", "dpm2", "dpm2_a"):
        case["sigmas"] = rounded(s.sigmas[begin:])
    states = [nhwc(x)]
    for t in timesteps:
        out = model(s.scale_model_input(x, t), t)
        more = {"generator": generator} if sampler in DRAWING or eta is not None else {}
        if eta is not None:
            more["eta"] = eta
        if sampler == "euler_cfg_pp":
            more["negative"] = negative_model(s.scale_model_input(x, t), t)
        with mock.patch.object(torch, "float32", torch.float64 if wide else torch.float32):
            if wide:
                out, x = out.double(), x.double()
            x = s.step(out, t, x, return_dict=False, **more)[0].float()
        states.append(nhwc(x))
    case["x"] = [rounded(v, 7) for v in states]
    assert all(math.isfinite(v) for row in case["x"] for v in row), (sampler, name, schedule, n)
    return case


def one_step_differs(sampler, config, schedule):
    """Where one step of diffusers would start at t = 0, see schedule.h."""
    if sampler in ("lcm", "tcd"):
        return False
    spacing = schedule
    if schedule == "model":
        default = "leading" if sampler == "ddim" else "linspace"
        spacing = config.get("timestep_spacing", default)
    return spacing == "leading" or (spacing == "linspace" and sampler in (*IN_SIGMA, "ddim"))


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
    if sampler == "ddim":
        for eta in (0.5, 1.0):
            yield run(sampler, "sd15", "model", 6, eta=eta)
    if sampler != "lcm":
        yield run(sampler, "turbo", "leading", 6)
        yield run(sampler, "turbo", "linspace", 6)
    for name, n, strength in (("sd15", 20, 0.6), ("turbo", 4, 0.5), ("sdxl", 7, 1.0)):
        yield run(sampler, name, "model", n, strength)


def newer_cases(sampler):
    for name, config in CONFIGS.items():
        if name == "sample" and sampler in ("dpm2", "dpm2_a"):
            continue  # not implemented in diffusers
        if name == "zero-snr" and sampler in ("dpm2", "dpm2_a"):
            continue  # from sigma 4096 through 220 to 12 a state in single precision keeps only 4 digits
        for n in (1, 4, 16) if name in ("sd15", "zero-snr") else (4, 16) if name == "karras" else (5,):
            if n > 1 or not one_step_differs(sampler, config, "model"):
                yield run(sampler, name, "model", n)
    if sampler == "tcd":
        for eta in (0.0, 0.5, 1.0):
            yield run(sampler, "sd15", "model", 6, eta=eta)
        for schedule in ("trailing", "linspace"):
            yield run(sampler, "sd15", schedule, 5)
    else:
        for schedule in ("leading", "linspace", "trailing", "normal", "karras", "exponential", "sgm_uniform",
                         "simple", "beta", "ays"):
            yield run(sampler, "sd15", schedule, 7)
        yield run(sampler, "sd21", "karras", 10)
    for name, n, strength in (("sd15", 12, 0.6), ("turbo", 4, 0.5)):
        yield run(sampler, name, "model", n, strength)


def schedules():
    rows = []
    for schedule in ("normal", "karras", "exponential", "sgm_uniform", "simple", "beta", "ays", "ays xl"):
        for n in (1, 2, 7, 10, 11, 25):
            sigmas = free_sigmas(BASE, schedule, n)
            s, levels = scheduler("euler", BASE), np.log(table(BASE))
            timesteps = [s._sigma_to_t(x, levels) for x in sigmas]
            rows.append({"schedule": schedule.split()[0], "xl": "xl" in schedule, "timesteps": rounded(timesteps),
                         "sigmas": rounded(sigmas)})
    return rows


def guidance():
    torch.manual_seed(SEED)
    negative, positive = torch.randn(2, 1, C, H, W) + 0.25
    rows = []
    for scale, rescale in ((7.5, 0.0), (7.5, 0.7), (3.0, 1.0), (0.56, 0.3)):
        guided = negative + scale * (positive - negative)
        out = rescale_noise_cfg(guided, positive, guidance_rescale=rescale)
        rows.append({"scale": scale, "rescale": rescale, "out": rounded(nhwc(out), 7)})
    return {"negative": rounded(nhwc(negative)), "positive": rounded(nhwc(positive)), "rows": rows}


def variation():
    """slerp over [c, h, w] with the angle between columns, that is over h, as modules/rng.py has it."""
    c, h, w = 4, 6, 5
    rows = []
    for seed, other, strength in ((1, 2, 0.0), (1, 2, 0.1), (5, 77, 0.5), (2**33, 3, 1.0), (9, 9, 0.3)):
        a, b = (torch.randn((c, h, w), generator=torch.Generator("cpu").manual_seed(s)) for s in (seed, other))
        dot = (a / a.norm(dim=1, keepdim=True) * (b / b.norm(dim=1, keepdim=True))).sum(1)
        if dot.mean() > 0.9995:
            out = a * strength + b * (1 - strength)
        else:
            omega = torch.acos(dot)
            out = ((torch.sin((1 - strength) * omega) / torch.sin(omega)).unsqueeze(1) * a +
                   (torch.sin(strength * omega) / torch.sin(omega)).unsqueeze(1) * b)
        rows.append({"seed": seed, "variation": other, "strength": strength, "noise": rounded(out.permute(1, 2, 0), 7)})
    return {"shape": [h, w, c], "rows": rows}


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
    (OUT / name).write_text(text.replace('{"config"', '\n{"config"').replace('{"sampler"', '\n{"sampler"').replace('{"schedule"', '\n{"schedule"') + "\n")
    print(name, len(text))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for sampler in CLASSES | NEWER:
        rows = newer_cases(sampler) if sampler in NEWER else cases(sampler)
        write(f"{sampler}.json", {"seed": SEED, "shape": [H, W, C], "configs": CONFIGS, "cases": list(rows)})
    write("schedules.json", schedules())
    write("guidance.json", guidance())
    write("variation.json", variation())
    write("spacings.json", spacings())
    write("noise.json", noise())


if __name__ == "__main__":
    main()
