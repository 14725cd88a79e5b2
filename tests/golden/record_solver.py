"""Records what diffusers 0.42.1's DPMSolverMultistepScheduler and scipy's matrix root give, for tests/tests/solver.rs
and tests/tests/frechet.rs.

Each case of the solver is a whole run with answers of a stand-in for a network that knows the clean
picture roughly. The scheduler's tables are of the same betas as ours, in f64; diffusers would round them to f32.
"""

import json
import pathlib

import numpy as np
import scipy.linalg
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import betas_for_alpha_bar
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "solver"
SHAPE = (2, 3, 2, 2)
STEPS = (1, 2, 5, 20)
LEAST_LAMBDA = -5.1
TIMESTEPS = 1000


def scheduler_of(prediction, clip_range, variance):
    """Clipping to 1 is thresholding whose threshold may not exceed 1; the stand-in's own answers are clipped to 5."""
    betas = betas_for_alpha_bar(TIMESTEPS).double().numpy()
    scheduler = DPMSolverMultistepScheduler(
        trained_betas=betas,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        lower_order_final=True,
        lambda_min_clipped=LEAST_LAMBDA,
        prediction_type=prediction,
        variance_type=variance,
        thresholding=clip_range == 1.0,
        sample_max_value=1.0,
    )
    time = lambda t: np.cos((t / TIMESTEPS + 0.008) / 1.008 * np.pi / 2) ** 2
    exact = np.array([min(1 - time(t + 1) / time(t), 0.999) for t in range(TIMESTEPS)])
    assert np.abs(exact - betas).max() < 1e-7
    alpha_bar = torch.tensor(np.cumprod(1 - exact))
    scheduler.alphas_cumprod = alpha_bar
    scheduler.lambda_t = torch.log(alpha_bar / (1 - alpha_bar)) / 2
    return scheduler


def runs():
    cases, tensors = [], {}
    generator = torch.Generator("cpu").manual_seed(0)
    randn = lambda: torch.randn(SHAPE, generator=generator)
    kinds = [
        ("epsilon", None, None),
        ("epsilon", 1.0, "learned_range"),
        ("sample", None, None),
        ("sample", 5.0, None),
    ]
    for prediction, clip_range, variance in kinds:
        scheduler = scheduler_of(prediction, clip_range, variance)
        for steps in STEPS:
            scheduler.set_timesteps(steps)
            timesteps = scheduler.timesteps.tolist()
            name = f"{len(cases):02}"
            cases.append(dict(name=name, prediction=prediction, clip_range=clip_range,
                              learned=variance is not None, steps=steps, timesteps=timesteps))
            x_t, aim = randn(), randn()
            told = dict(x_t=[x_t], answer=[])
            for t in timesteps:
                alpha_bar = scheduler.alphas_cumprod[t]
                alpha, sigma = alpha_bar.sqrt().item(), (1 - alpha_bar).sqrt().item()
                clean = aim + 0.3 * randn()
                if prediction == "epsilon":
                    answer = shown = ((x_t - alpha * clean) / sigma).float()
                else:
                    answer = 4 * clean
                    shown = answer.clamp(-5, 5) if clip_range else answer
                if variance:
                    answer = shown = torch.cat([answer, randn()], dim=1)
                x_t = scheduler.step(shown, t, x_t).prev_sample
                told["answer"].append(answer)
                told["x_t"].append(x_t)
            for key, values in told.items():
                tensors[f"{name}.{key}"] = torch.stack(values).contiguous()
    return dict(cases=cases), tensors


def frechet():
    """Two small sets of features that correlate, and their distance by scipy's root of the product."""
    generator = np.random.default_rng(0)
    width = 6
    sets = []
    for count, shift in ((20, 0.0), (31, 0.4)):
        mixing = generator.normal(size=(width, width))
        sets.append(generator.normal(size=(count, width)) @ mixing + shift)
    (mean, covariance), (other_mean, other_covariance) = [
        (x.mean(axis=0), np.cov(x, rowvar=False)) for x in sets
    ]
    root = scipy.linalg.sqrtm(covariance @ other_covariance)
    distance = np.square(mean - other_mean).sum() + np.trace(covariance + other_covariance - 2 * root.real)
    return dict(sets=[x.tolist() for x in sets], distance=float(distance))


HERE.mkdir(exist_ok=True)
record, tensors = runs()
save_file(tensors, HERE / "runs.safetensors")
(HERE / "runs.json").write_text(json.dumps(record, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
(HERE / "frechet.json").write_text(json.dumps(frechet(), separators=(",", ":")) + "\n")
