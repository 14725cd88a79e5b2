"""Records what diffusers 0.42.1's UnCLIPScheduler gives, for tests/tests/diffusion.rs.

Every case is one step: the reference's inputs and its result. The variational bound is not
diffusers': it is computed here in f64 from its definition, one value at a time.
"""

import json
import math
import pathlib

import torch
from diffusers import UnCLIPScheduler
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "scheduler"
SHAPE = (2, 2, 4, 2)
STEPS = (2, 7, 25, 1000)


def scheduler_steps():
    """First, middle and last step of several lengths, for all kinds of scheduler."""
    cases, tensors = [], {}
    generator = torch.Generator("cpu").manual_seed(0)
    randn = lambda *shape: torch.randn(shape, generator=generator)
    for prediction in ("epsilon", "sample"):
        for variance in ("fixed_small_log", "learned_range"):
            for clip_range in (1.0, 5.0) if prediction == "sample" else (1.0, None):
                scheduler = UnCLIPScheduler(
                    variance_type=variance,
                    prediction_type=prediction,
                    clip_sample=clip_range is not None,
                    clip_sample_range=clip_range or 1.0,
                )
                for steps in STEPS:
                    scheduler.set_timesteps(steps)
                    timesteps = scheduler.timesteps.tolist()
                    for i in sorted({0, steps // 2, steps - 1}):
                        t = timesteps[i]
                        previous = timesteps[i + 1] if i + 1 < steps else None
                        alpha_bar = scheduler.alphas_cumprod[t].double()
                        # A clean value in and out of the clip range, and a noise that the
                        # network nearly finds: the first step divides by 5e-5.
                        clean, eps = randn(*SHAPE), randn(*SHAPE)
                        x_t = (alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * eps).float()
                        if prediction == "epsilon":
                            answer = eps + 0.1 * alpha_bar.sqrt().float() * randn(*SHAPE)
                        else:
                            answer = 3 * clean
                        if variance == "learned_range":
                            answer = torch.cat([answer, randn(*SHAPE).clamp(-1.5, 1.5)], dim=1)
                        seed = len(cases)
                        noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
                        result = scheduler.step(
                            answer, t, x_t, previous, torch.Generator().manual_seed(seed)
                        ).prev_sample
                        name = f"{len(cases):02}"
                        cases.append(
                            dict(name=name, prediction=prediction, variance=variance,
                                 clip_range=clip_range, steps=steps, index=i, timestep=t,
                                 previous=previous)
                        )
                        for key, value in dict(x_t=x_t, answer=answer, noise=noise, result=result).items():
                            tensors[f"{name}.{key}"] = value.contiguous()
    return cases, tensors


def spacings():
    scheduler = UnCLIPScheduler()
    recorded = {}
    for steps in (2, 3, 4, 7, 19, 20, 25, 50, 75):
        scheduler.set_timesteps(steps)
        recorded[steps] = scheduler.timesteps.tolist()
    return recorded


def bound(x_0, eps, predicted, v, t, timesteps=1000):
    """The bound's term of one value, in bits, from the definitions in 2102.09672 and 2006.11239."""
    alpha_bar_at = lambda u: math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = [
        min(1 - alpha_bar_at((i + 1) / timesteps) / alpha_bar_at(i / timesteps), 0.999)
        for i in range(timesteps)
    ]
    alpha_bars, product = [], 1.0
    for beta in betas:
        product *= 1 - beta
        alpha_bars.append(product)
    before = lambda i: alpha_bars[i - 1] if i > 0 else 1.0
    posterior_variance = lambda i: betas[i] * (1 - before(i)) / (1 - alpha_bars[i])
    x_t = math.sqrt(alpha_bars[t]) * x_0 + math.sqrt(1 - alpha_bars[t]) * eps
    mean = lambda clean: (
        math.sqrt(before(t)) * betas[t] / (1 - alpha_bars[t]) * clean
        + math.sqrt(1 - betas[t]) * (1 - before(t)) / (1 - alpha_bars[t]) * x_t
    )
    found = (x_t - math.sqrt(1 - alpha_bars[t]) * predicted) / math.sqrt(alpha_bars[t])
    share = (v + 1) / 2
    smallest = math.log(posterior_variance(max(t, 1)))
    log_variance = share * math.log(betas[t]) + (1 - share) * smallest
    variance = math.exp(log_variance)
    if t > 0:
        nats = 0.5 * (
            log_variance - smallest - 1 + math.exp(smallest) / variance
            + (mean(x_0) - mean(found)) ** 2 / variance
        )
        return nats / math.log(2)
    # Both tails by erfc: the one that is small keeps its digits.
    scale = math.sqrt(2 * variance)
    edge = lambda x: (x - mean(found)) / scale
    low, high = edge(x_0 - 1 / 255), edge(x_0 + 1 / 255)
    if x_0 < -0.999:
        probability = 0.5 * math.erfc(-high)
    elif x_0 > 0.999:
        probability = 0.5 * math.erfc(low)
    elif low > 0:
        probability = 0.5 * (math.erfc(low) - math.erfc(high))
    else:
        probability = 0.5 * (math.erfc(-high) - math.erfc(-low))
    return -math.log(max(probability, 1e-12)) / math.log(2)


def bounds():
    """Rows of three values, each row at its own timestep: [row][value]."""
    rows = []
    levels = ([0, 128, 255], [17, 200, 91])
    errors = (0.05, -0.02, 0.3)
    for t in (0, 0, 1, 20, 500, 990):
        pixels = levels[len(rows) % 2]
        x_0 = [2 * level / 255 - 1 for level in pixels]
        eps = [0.7, -1.3, 0.2]
        predicted = [value + error for value, error in zip(eps, errors)]
        v = [-1.0, 0.3, 0.9]
        bits = sum(map(bound, x_0, eps, predicted, v, [t] * 3)) / 3
        rows.append(dict(timestep=t, x_0=x_0, eps=eps, predicted=predicted, v=v, bits=bits))
    return rows


HERE.mkdir(exist_ok=True)
cases, tensors = scheduler_steps()
tables = UnCLIPScheduler()
tensors["betas"], tensors["alphas_cumprod"] = tables.betas, tables.alphas_cumprod
save_file(tensors, HERE / "steps.safetensors")
record = dict(cases=cases, spacings=spacings(), bounds=bounds())
text = json.dumps(record, separators=(",", ":")).replace('{"name"', '\n{"name"')
(HERE / "record.json").write_text(text.replace('{"timestep"', '\n{"timestep"') + "\n")
