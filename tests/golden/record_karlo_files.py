"""Records what Kakao Brain's own networks give at tiny shapes, for tests/tests/karlo_files.rs:
`python record_karlo_files.py REFERENCE` rewrites `karlo_files/`.

REFERENCE is a checkout of kakaobrain/karlo at 3c68a50, of which torch alone is needed. The weights are torch's noise, each tensor
from a seed of its own, scaled by `draw` and rounded to f16, so that the test can draw them too and names and shapes are all that
is kept of them; the prior and the statistics are saved as their publisher saves them.
"""

import json
import shutil
import sys
import types
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, sys.argv[1])
from karlo.modules.unet import PLMImUNet, SuperResUNetModel  # noqa: E402
from karlo.modules.xf import PriorTransformer  # noqa: E402

PLACE = Path(__file__).parent / "karlo_files"
EMBEDDING, CONTEXT, HEADS, DECODED, UPSAMPLED = 64, 16, 3, 8, 16
# The first seed of each file's tensors, which follow in the order of the state dict.
SEEDS = dict(prior=1000, decoder=2000, improved_sr=3000)


def publish(module, name, *bases):
    """A class that is pickled as `module.name`, as if that module were there."""
    made = type(name, bases, {"__module__": module})
    for end in range(1, module.count(".") + 2):
        part = ".".join(module.split(".")[:end])
        sys.modules.setdefault(part, types.ModuleType(part))
    setattr(sys.modules[module], name, made)
    return made


class Upsampler(torch.nn.Module):
    def __init__(self):
        super().__init__()
        options = dict(
            in_channels=3, model_channels=32, out_channels=3, num_res_blocks=1, attention_resolutions=(),
            channel_mult=(1, 2), resblock_updown=True, use_middle_attention=False,
        )  # fmt: skip
        self.model_first_steps, self.model_last_step = SuperResUNetModel(**options), SuperResUNetModel(**options)


def networks():
    prior = PriorTransformer(
        text_ctx=CONTEXT, xf_width=48, xf_layers=2, xf_heads=HEADS, xf_final_ln=True, clip_dim=EMBEDDING
    )
    decoder = PLMImUNet(
        text_ctx=CONTEXT, xf_width=24, in_channels=3, model_channels=32, out_channels=6, num_res_blocks=1,
        attention_resolutions=(2,), channel_mult=(1, 2), num_heads=-1, num_head_channels=16, num_heads_upsample=-1,
        use_scale_shift_norm=True, resblock_updown=True, clip_dim=EMBEDDING, clip_emb_mult=4, clip_emb_type="image",
        clip_emb_drop=0.1,
    )  # fmt: skip
    return dict(prior=prior, decoder=decoder, improved_sr=Upsampler())


def draw(name, shape, seed):
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if len(shape) > 1:
        drawn = noise * (2 / noise[0].numel()) ** 0.5
    elif name.endswith(".weight"):
        drawn = 1 + 0.2 * noise
    else:
        drawn = 0.2 * noise
    return drawn.half()


def state_dict(name, network):
    """The tensors as they are published: below `model.`, but for the upsampler's two networks."""
    prefix = "" if name == "improved_sr" else "model."
    tensors = OrderedDict()
    for place, (leaf, tensor) in enumerate(network.state_dict().items()):
        tensors[prefix + leaf] = draw(leaf, tensor.shape, SEEDS[name] + place)
    network.load_state_dict({leaf.removeprefix(prefix): tensor.float() for leaf, tensor in tensors.items()})
    network.eval()
    return tensors


def record_networks(prior, decoder, improved_sr):
    generator = torch.Generator().manual_seed(7)
    normal = lambda *size: torch.randn(size, generator=generator)  # noqa: E731
    lengths, timesteps = torch.tensor([16, 5, 2]), torch.tensor([999, 480, 0])
    text = dict(embedding=normal(3, EMBEDDING), states=normal(3, CONTEXT, EMBEDDING))
    mask = torch.arange(CONTEXT)[None] < lengths[:, None]
    causal = torch.full((CONTEXT + 4, CONTEXT + 4), float("-inf")).triu_(1)[None]
    noised = normal(3, EMBEDDING)
    clean = prior(noised, timesteps, text["embedding"], text["states"], mask, causal)
    image, small, large = normal(3, EMBEDDING), normal(3, 3, DECODED, DECODED), normal(3, 6, UPSAMPLED, UPSAMPLED)
    decoded = decoder(small, timesteps, text["embedding"], text["states"], mask, image)
    upsampled = {
        name: network(large[:, :3], timesteps, low_res=large[:, 3:]) for name, network in improved_sr.named_children()
    }
    return dict(
        timesteps=timesteps, mask=mask, noised=noised, clean=clean, image=image, small=small, decoded=decoded,
        large=large, **text, **upsampled,
    )  # fmt: skip


torch.set_num_threads(1)
shutil.rmtree(PLACE, ignore_errors=True)
PLACE.mkdir()
models = networks()
states = {name: state_dict(name, network) for name, network in models.items()}
shapes = {
    name: [dict(name=leaf, shape=list(tensor.shape), seed=SEEDS[name] + n) for n, (leaf, tensor) in enumerate(state.items())]
    for name, state in states.items()
}
lines = {name: ",\n  ".join(map(json.dumps, rows)) for name, rows in shapes.items()}
text = ",\n ".join(f"{json.dumps(name)}: [\n  {rows}\n ]" for name, rows in lines.items())
(PLACE / "shapes.json").write_text(f"{{\n {text}\n}}\n")
with torch.no_grad():
    tensors = record_networks(**models)
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, PLACE / "networks.safetensors")
# What trainers save beside the state dict.
config = publish("omegaconf.dictconfig", "DictConfig", object)()
config.node = publish("omegaconf.nodes", "AnyNode", object)()
options = publish("pytorch_lightning.utilities.parsing", "AttributeDict", dict)
options = options(config=config, args=Namespace(seed=7), ema=None, betas=(0.9, 0.999), resume=False)
trainer = {
    "epoch": 3, "global_step": 1_000_000, "pytorch-lightning_version": "1.7.7", "lr_schedulers": [],
    "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}],
    "hyper_parameters": options,
}  # fmt: skip
torch.save({**trainer, "state_dict": states["prior"]}, PLACE / "prior.ckpt")
mean, std = (torch.randn(EMBEDDING, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
torch.save((0.3 * mean, 0.5 + 0.1 * std.abs()), PLACE / "stats.th")
