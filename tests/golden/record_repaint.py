"""Records what diffusers 0.42.1's RePaintScheduler gives, for tests/tests/repaint.rs.

Every case is one step and the jump back over it. Each of the schedule's timesteps is visited, because only then undo_step adds
noise once a step; its x_0 is not clipped, because only then its step, DDIM with eta 1, is DDPM's. A step reuses the noise of
the unknown pixels for the known ones.
"""

import json
import pathlib

import torch
from diffusers import RePaintScheduler
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "repaint"
SHAPE = (2, 3, 4, 4)
TIMESTEPS = 20


def main():
    generator = torch.Generator("cpu").manual_seed(0)
    randn = lambda *shape: torch.randn(shape, generator=generator)
    scheduler = RePaintScheduler(
        num_train_timesteps=TIMESTEPS, beta_schedule="squaredcos_cap_v2", eta=1.0, clip_sample=False
    )
    scheduler.set_timesteps(TIMESTEPS, jump_length=1, jump_n_sample=3)
    image = randn(*SHAPE).clamp(-1, 1)
    mask = (randn(SHAPE[0], 1, *SHAPE[2:]) > 0).float()
    tensors = dict(image=image, mask=mask)
    cases = []
    for timestep in (19, 12, 7, 1, 0):
        alpha_bar = scheduler.alphas_cumprod[timestep]
        eps = randn(*SHAPE)
        x_t = alpha_bar.sqrt() * randn(*SHAPE).clamp(-1, 1) + (1 - alpha_bar).sqrt() * eps
        output = eps + 0.1 * alpha_bar.sqrt() * randn(*SHAPE)
        draw = lambda seed: torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        seed = 10 * timestep
        arrived = scheduler.step(
            output, timestep, x_t, image, mask, torch.Generator().manual_seed(seed)
        ).prev_sample
        jumped = scheduler.undo_step(arrived, timestep, torch.Generator().manual_seed(seed + 1))
        recorded = dict(x_t=x_t, output=output, arrived=arrived, jumped=jumped)
        recorded |= dict(noise=draw(seed), jump_noise=draw(seed + 1))
        cases.append(timestep)
        tensors |= {f"{timestep}.{name}": value.contiguous() for name, value in recorded.items()}
    HERE.mkdir(exist_ok=True)
    save_file(tensors, HERE / "steps.safetensors")
    record = dict(timesteps=TIMESTEPS, cases=cases)
    (HERE / "record.json").write_text(json.dumps(record) + "\n")


main()
