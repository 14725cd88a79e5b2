"""Records what diffusers 0.42.1's DDPM, DDIM and DPM-Solver++ schedulers give for linear, scaled linear and cosine schedules and
for predictions of eps, x_0 and v, for tests/tests/parameterizations.rs.

Every case is one step in f64 tensors from a scheduler's f32 tables; that of DPM-Solver++ is the second of two.
"""

import json
import pathlib

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "parameterizations"
SHAPE = (2, 3, 4)
SCHEDULES = {
    "cosine": dict(beta_schedule="squaredcos_cap_v2"),
    "linear": dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
    "kandinsky": dict(beta_schedule="linear", beta_start=0.00085, beta_end=0.012),
    "scaled": dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
}

generator = torch.Generator().manual_seed(0)
randn = lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64)
cases, tensors = [], {}

for schedule, betas in SCHEDULES.items():
    tables = DDPMScheduler(1000, **betas)
    tensors[f"{schedule}.betas"] = tables.betas
    tensors[f"{schedule}.alphas_cumprod"] = tables.alphas_cumprod
    for prediction in ("epsilon", "sample", "v_prediction"):
        for method in ("ddpm", "ddim", "dpm_solver"):
            common = dict(num_train_timesteps=1000, prediction_type=prediction, **betas)
            eta = 0.0
            if method == "ddpm":
                scheduler = DDPMScheduler(variance_type="fixed_small", clip_sample=True, **common)
            elif method == "ddim":
                eta = 0.3
                scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **common)
            else:
                scheduler = DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", **common)
            scheduler.set_timesteps(10)
            timesteps = scheduler.timesteps.tolist()
            x_t, output, noise = randn(), randn(), randn()
            first = randn()
            i = 5
            if method == "ddpm":
                # The scheduler draws its noise itself, in the output's dtype.
                draws = torch.Generator().manual_seed(len(cases))
                noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(len(cases)), dtype=torch.float64)
                result = scheduler.step(output, timesteps[i], x_t, generator=draws).prev_sample
            elif method == "ddim":
                result = scheduler.step(output, timesteps[i], x_t, eta=eta, variance_noise=noise).prev_sample
            else:
                # Two steps: of first order, and then of second.
                start = randn()
                scheduler.set_begin_index(i - 1)
                x_t = scheduler.step(first, timesteps[i - 1], start).prev_sample
                result = scheduler.step(output, timesteps[i], x_t).prev_sample
                tensors[f"{len(cases):02}.first"], tensors[f"{len(cases):02}.start"] = first, start
            name = f"{len(cases):02}"
            cases.append(dict(name=name, schedule=schedule, prediction=prediction, method=method, eta=eta,
                              timesteps=timesteps[i - 1:i + 2]))
            for key, value in dict(x_t=x_t, output=output, noise=noise, result=result).items():
                tensors[f"{name}.{key}"] = value.double().contiguous()

HERE.mkdir(exist_ok=True)
save_file(tensors, HERE / "steps.safetensors")
text = json.dumps(dict(schedules=SCHEDULES, cases=cases), separators=(",", ":")).replace('{"name"', '\n{"name"')
(HERE / "record.json").write_text(text + "\n")
