"""Records how far the reference's networks are off when they compute in bf16, for tests/tests/golden.rs: the root of the
mean square of what they give differently from f32, relative to what they give in f32, on the inputs of data/*/trace.*.
"""

import json
from pathlib import Path

import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel
from safetensors.torch import load_file

import models

HERE = Path(__file__).parent
CLASSES = dict(
    prior=PriorTransformer, decoder=UNet2DConditionModel, super_res_first=UNet2DModel, super_res_last=UNet2DModel
)  # fmt: skip


def main():
    torch.set_num_threads(1)
    record = {shape.name: errors(HERE / "data" / shape.name) for shape in models.SHAPES}
    models.write_json(HERE / "bf16.json", record)


def errors(folder):
    trace = load_file(folder / "trace.safetensors")
    calls = [call for call in json.loads((folder / "trace.json").read_text()) if "network" in call]
    return {name: error(folder, name, trace, calls) for name in CLASSES}


@torch.no_grad()
def error(folder, name, trace, calls):
    """Of all recorded calls of a network together."""
    network = CLASSES[name].from_pretrained(folder / "model" / name, torch_dtype=torch.bfloat16)
    off = size = 0.0
    for call in calls:
        if call["network"] != name:
            continue
        step = f"{call['run']}.{name}.{call['step']}."
        exact = trace[step + "output"]
        given = give(network, name, call, trace, trace[step + ("input" if "super" in name else "noised")])
        off += (given.float() - exact).square().sum().item()
        size += exact.square().sum().item()
    return (off / size) ** 0.5


def give(network, name, call, trace, x):
    half = lambda part: trace[f"{call['run']}.{part}"].bfloat16()
    x = x.bfloat16()
    if name == "prior":
        mask = trace[f"{call['run']}.prior.mask"]
        text = dict(proj_embedding=half("prior.embedding"), encoder_hidden_states=half("prior.states"))
        return network(x, call["timestep"], **text, attention_mask=mask).predicted_image_embedding
    if name == "decoder":
        told = dict(encoder_hidden_states=half("text_proj.context"), class_labels=half("text_proj.added"))
        return network(x, call["timestep"], **told, attention_mask=trace[f"{call['run']}.decoder.mask"]).sample
    return network(x, call["timestep"]).sample


if __name__ == "__main__":
    main()
