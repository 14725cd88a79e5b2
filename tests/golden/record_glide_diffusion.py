"""Records what GLIDE's public code gives (openai/glide-text2im at 69b5307), for tests/tests/respacing.rs: lists of respaced
timesteps, tables, and steps of both samplers with a hook and a gradient that are formulas.

    python record_glide_diffusion.py FOLDER-OF-THE-CHECKOUT
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, sys.argv[1])
from glide_text2im.gaussian_diffusion import get_named_beta_schedule
from glide_text2im.respace import SpacedDiffusion, space_timesteps

HERE = pathlib.Path(__file__).parent / "glide" / "diffusion"
SHAPE = (2, 3, 2, 2)
CHAINS = {"cosine": ("squaredcos_cap_v2", "100"), "linear": ("linear", "fast27")}
LISTS = {
    1000: ["2", "10", "25", "27", "50", "100", "150", "200", "250", "1000", "1,1", "0,5", "10,0", "90,60,60,20,20",
           "10,10,3,2,2", "3,0,7", "41,37", "1,2,3,4,5,6,7", "111,333,21", "ddim2", "ddim20", "ddim25", "ddim50", "ddim91",
           "ddim100", "ddim334", "ddim1000", "fast27"],
    300: ["10,15,20", "ddim30", "fast27"],
    64: ["64", "ddim16", "9,1,1"],
    47: ["7,7", "fast27"],
}
REFUSED = {1000: ["501,1", "1,334,334", "ddim37", "ddim1", "ddim1001", "ddim0"], 45: ["fast27"], 2: ["1,2", "ddim1"]}


def even(steps, timesteps):
    """The published pipelines' spacing of unCLIP, ascending."""
    stride = (timesteps - 1) / max(steps - 1, 1)
    return [round(i * stride) for i in range(steps)] if steps > 1 else [timesteps - 1]


def lists():
    taken = [
        dict(timesteps=timesteps, respacing=text, taken=sorted(space_timesteps(timesteps, text)))
        for timesteps, texts in LISTS.items() for text in texts
    ]
    refused = []
    for timesteps, texts in REFUSED.items():
        for text in texts:
            try:
                space_timesteps(timesteps, text)
            except ValueError:
                refused.append(dict(timesteps=timesteps, respacing=text))
            else:
                raise AssertionError(f"{text} is not refused")
    # Counts of which GLIDE's list is another: by what it has instead.
    others = {}
    for steps in range(1, 1001):
        theirs = sorted(space_timesteps(1000, str(steps)))
        pairs = [[a, b] for a, b in zip(even(steps, 1000), theirs) if a != b]
        assert len(theirs) == steps and (steps == 1 or all(abs(a - b) == 1 for a, b in pairs))
        if pairs:
            others[steps] = pairs
    return dict(taken=taken, refused=refused, others=others)


def chain(name):
    schedule, respacing = CHAINS[name]
    betas = get_named_beta_schedule(schedule, 1000)
    return SpacedDiffusion(space_timesteps(1000, respacing), betas=betas)


def tables():
    names = dict(beta="betas", alpha_bar="alphas_cumprod", mean_of_x_0="posterior_mean_coef1",
                 mean_of_x_t="posterior_mean_coef2", log_variance="posterior_log_variance_clipped")
    out = {}
    for name, (schedule, respacing) in CHAINS.items():
        diffusion = chain(name)
        values = {ours: getattr(diffusion, theirs).tolist() for ours, theirs in names.items()}
        out[name] = dict(respacing=respacing, timesteps=diffusion.timestep_map, **values)
    return out


def hook(x_0):
    return 0.6 * x_0 + 0.3


def gradient(x, t):
    return torch.cos(2 * x) * (0.5 + t.view(-1, 1, 1, 1).float() / 500) - 0.2


def steps():
    """The first, a middle and the last step, this one after the step before it, whose variance stands in."""
    cases, tensors = [], {}
    generator = torch.Generator("cpu").manual_seed(0)
    randn = lambda *shape: torch.randn(shape, generator=generator)
    for name in CHAINS:
        diffusion = chain(name)
        count = diffusion.num_timesteps
        for indices in ([count - 1], [count // 2], [1, 0]):
            for sampler, eta in (("ddpm", None), ("ddim", 0.0), ("ddim", 0.5)):
                for hooked in (False, True):
                    for guided in (False, True):
                        alpha_bar = float(diffusion.alphas_cumprod[indices[0]])
                        eps = randn(*SHAPE)
                        # A clean picture that is in and out of the range, and a network that nearly finds the noise. It
                        # misses it by 0.002 at least: where x_0 is 20,000 times x - eps, that is out of the range, and in
                        # f32 a number within it would be no more than rounding.
                        x = alpha_bar ** 0.5 * 1.2 * randn(*SHAPE) + (1 - alpha_bar) ** 0.5 * eps
                        case = f"{len(cases):02}"
                        outputs, noises, states, x_0s = [], [], [x], []
                        for index in indices:
                            error = randn(*SHAPE)
                            near = eps + (0.02 + 0.1 * alpha_bar ** 0.5) * (error + 0.1 * error.sign())
                            output = torch.cat([near, randn(*SHAPE).clamp(-1.5, 1.5)], dim=1)
                            arguments = dict(
                                model=lambda x, t: output,
                                x=x,
                                t=torch.tensor([index] * SHAPE[0]),
                                denoised_fn=hook if hooked else None,
                                cond_fn=(lambda x, t: gradient(x, t)) if guided else None,
                                model_kwargs={},
                            )
                            torch.manual_seed(len(cases))
                            noises.append(torch.randn(SHAPE))
                            torch.manual_seed(len(cases))
                            if sampler == "ddpm":
                                result = diffusion.p_sample(**arguments)
                            else:
                                result = diffusion.ddim_sample(**arguments, eta=eta)
                            x = result["sample"]
                            outputs.append(output)
                            states.append(x)
                            x_0s.append(result["pred_xstart"])
                        cases.append(dict(name=case, chain=name, sampler=sampler, eta=eta, hook=hooked, guidance=guided,
                                          timesteps=[diffusion.timestep_map[index] for index in indices]))
                        for key, values in dict(output=outputs, noise=noises, x_t=states, x_0=x_0s).items():
                            tensors[f"{case}.{key}"] = torch.stack(values).contiguous()
    return cases, tensors


def write(name, value):
    text = json.dumps(value, separators=(",", ":")).replace('{"name"', '\n{"name"').replace('{"timesteps"', '\n{"timesteps"')
    (HERE / name).write_text(text + "\n")


torch.set_num_threads(1)
HERE.mkdir(parents=True, exist_ok=True)
write("lists.json", lists())
write("tables.json", tables())
cases, tensors = steps()
write("steps.json", cases)
save_file(tensors, HERE / "steps.safetensors")
