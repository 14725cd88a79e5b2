"""Karlo's full-size networks with random weights, and their speed here beside diffusers'.

    python bench/karlo.py make karlo-random                      # 13.7 GB, a component at a time
    python bench/karlo.py compare karlo-random --unclip target/release/unclip [--dtypes f32 bf16] [--rounds 3]
    python bench/karlo.py compare karlo-random --unclip target/release/unclip --device cuda --steps 25 25 7
    python bench/karlo.py first tests/golden/data/karlo/model --unclip target/release/unclip [--preset fast]

needs the packages of tests/golden/requirements.txt. The shapes are those of kakaobrain/karlo-v1-alpha but for the
vocabulary, which is this project's. Both sides draw the same caption with the same steps from the same weights, in turn,
round after round; printed are the medians of the rounds' seconds a step, and the ratios with their smallest and largest.
On a GPU each side comes twice: unclip with its CUDA graphs and without, diffusers as it is and compiled by torch.compile
with CUDA graphs, which takes minutes before the first round. `first` times whole processes that draw one picture: unclip with
the model that it brings, diffusers with a small one.
"""

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel, UnCLIPScheduler
from diffusers.pipelines.deprecated.unclip.pipeline_unclip import UnCLIPPipeline
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

ROOT = Path(__file__).parent.parent
CHANNELS = (320, 640, 960, 1280)
STAGES = ["prior", "decoder", "upsampler"]
CAPTION = "a red boat"
# As bin/unclip starts it; diffusers is not changed.
AS_STARTED = dict(GOMP_SPINCOUNT="5000") | os.environ


def text_encoder():
    tokenizer = CLIPTokenizer.from_pretrained(ROOT / "model" / "tokenizer")
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=768, intermediate_size=3072, projection_dim=768,
            num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu", max_position_embeddings=77,
            pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip


def prior():
    return PriorTransformer(
        num_attention_heads=32, attention_head_dim=64, num_layers=20, embedding_dim=768, num_embeddings=77
    )


def decoder():
    return UNet2DConditionModel(
        sample_size=64, in_channels=3, out_channels=6, layers_per_block=3, block_out_channels=CHANNELS,
        attention_head_dim=64, cross_attention_dim=1536, norm_num_groups=32, class_embed_type="identity",
        resnet_time_scale_shift="scale_shift", mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
    )  # fmt: skip


def text_proj():
    return UnCLIPTextProjModel(clip_embeddings_dim=768, time_embed_dim=1280, cross_attention_dim=1536)


def super_res():
    return UNet2DModel(
        sample_size=256, in_channels=6, out_channels=3, layers_per_block=3, block_out_channels=CHANNELS,
        norm_num_groups=32, add_attention=False, down_block_types=("ResnetDownsampleBlock2D",) * 4,
        up_block_types=("ResnetUpsampleBlock2D",) * 4,
    )  # fmt: skip


NETWORKS = dict(
    text_encoder=text_encoder, prior=prior, text_proj=text_proj, decoder=decoder, super_res_first=super_res,
    super_res_last=super_res,
)  # fmt: skip
SCHEDULERS = dict(
    prior_scheduler=dict(prediction_type="sample", variance_type="fixed_small_log", clip_sample_range=5.0),
    decoder_scheduler=dict(variance_type="learned_range", prediction_type="epsilon", clip_sample_range=1.0),
    super_res_scheduler=dict(variance_type="fixed_small_log", prediction_type="epsilon", clip_sample_range=1.0),
)


def make(folder):
    """Writes the model; one network is in memory at a time."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "model" / "tokenizer", folder / "tokenizer")
    config = folder / "tokenizer" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": 77}))
    for number, (name, network) in enumerate(NETWORKS.items()):
        torch.manual_seed(number)
        network = network().requires_grad_(False)
        if isinstance(network, (UNet2DModel, UNet2DConditionModel)):
            network.conv_out.weight *= 0.3  # about as much noise as there is
        network.save_pretrained(folder / name)
        print(name, f"{sum(p.numel() for p in network.parameters()) / 1e6:.0f} M parameters", flush=True)
        del network
        gc.collect()
    for name, fields in SCHEDULERS.items():
        UnCLIPScheduler(num_train_timesteps=1000, clip_sample=True, **fields).save_pretrained(folder / name)
    index = {
        "_class_name": "UnCLIPPipeline", "_diffusers_version": "0.42.1", "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"], "prior": ["diffusers", "PriorTransformer"],
        "text_proj": ["unclip", "UnCLIPTextProjModel"], "decoder": ["diffusers", "UNet2DConditionModel"],
        **{name: ["diffusers", "UNet2DModel"] for name in ("super_res_first", "super_res_last")},
        **{name: ["diffusers", "UnCLIPScheduler"] for name in SCHEDULERS},
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def bicubic_in_f32(x, *told, original=torch.nn.functional.interpolate, **named):
    """torch cannot enlarge a bf16 picture on the CPU, as the pipeline asks it to between its stages."""
    if named.get("mode") == "bicubic":
        return original(x.float(), *told, **named).to(x.dtype)
    return original(x, *told, **named)


torch.nn.functional.interpolate = bicubic_in_f32


def load(folder, dtype):
    """diffusers' pipeline, part by part: its loader knows this one no more."""
    classes = dict(
        text_encoder=CLIPTextModelWithProjection, prior=PriorTransformer, text_proj=UnCLIPTextProjModel,
        decoder=UNet2DConditionModel, super_res_first=UNet2DModel, super_res_last=UNet2DModel,
    )  # fmt: skip
    parts = {name: of.from_pretrained(folder / name, torch_dtype=dtype) for name, of in classes.items()}
    schedulers = {name: UnCLIPScheduler.from_pretrained(folder / name) for name in SCHEDULERS}
    length = parts["text_encoder"].config.max_position_embeddings
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", model_max_length=length)
    return UnCLIPPipeline(tokenizer=tokenizer, **parts, **schedulers)


def networks(pipe):
    return dict(prior=[pipe.prior], decoder=[pipe.decoder], upsampler=[pipe.super_res_first, pipe.super_res_last])


def diffusers_steps(pipe, steps, device):
    """Seconds of each stage's steps but the last, the median."""
    times = {stage: [] for stage in STAGES}

    def note(stage):
        def hook(*_):
            if device != "cpu":
                torch.cuda.synchronize()
                torch.compiler.cudagraph_mark_step_begin()
            times[stage].append(time.perf_counter())

        return hook

    # A step ends where the next one's network begins; the last one's is left out.
    hooks = [n.register_forward_pre_hook(note(stage)) for stage, found in networks(pipe).items() for n in found]
    pipe(
        CAPTION, prior_num_inference_steps=steps["prior"], decoder_num_inference_steps=steps["decoder"],
        super_res_num_inference_steps=steps["upsampler"], generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    for hook in hooks:
        hook.remove()
    return {stage: statistics.median(b - a for a, b in zip(at[:-1], at[1:])) for stage, at in times.items()}


def diffusers_side(arguments, dtype, steps, compiled=False):
    pipe = load(arguments.folder, dict(f32=torch.float32, bf16=torch.bfloat16, f16=torch.float16)[dtype])
    pipe.to(arguments.device).set_progress_bar_config(disable=True)
    if compiled:
        for network in (n for found in networks(pipe).values() for n in found):
            network.forward = torch.compile(network.forward, mode="reduce-overhead")
    if arguments.device != "cpu":
        diffusers_steps(pipe, steps, arguments.device)  # libraries load their kernels, the compiler compiles
    return lambda: diffusers_steps(pipe, steps, arguments.device)


def our_side(arguments, dtype, steps, *more):
    command = [arguments.unclip, "bench", "--model", arguments.folder, "--dtype", dtype, "--rounds", "1", "--json"]
    command += ["--caption", CAPTION, "--device", arguments.device, *more]
    command += [text for stage in STAGES for text in (f"--{stage}-steps", str(steps[stage]))]

    def measure():
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env=AS_STARTED)
        told = json.loads(ran.stdout)
        return {stage["stage"]: stage["step"][0] for stage in told["stages"]}

    return measure


def compare(arguments):
    steps = dict(zip(STAGES, arguments.steps))
    sides = dict(unclip=our_side, diffusers=diffusers_side)
    if arguments.device != "cpu":
        sides |= {
            "unclip --eager": lambda *told: our_side(*told, "--eager"),
            "diffusers, compiled": lambda *told: diffusers_side(*told, compiled=True),
        }
        print(torch.cuda.get_device_name())
    others = [name for name in sides if name != "unclip"]
    titles = ["stage", "dtype", *(f"{name}, s a step" for name in sides), *(f"{name} / unclip" for name in others)]
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
    for dtype in arguments.dtypes:
        rounds, kept = [], {}
        for _ in range(arguments.rounds):
            times = {}
            for name, side in sides.items():
                measure = kept.get(name) or side(arguments, dtype, steps)
                if arguments.device != "cpu":  # where there is room for all, and nothing is compiled twice
                    kept[name] = measure
                times[name] = measure()
                del measure
                gc.collect()
            rounds.append(times)
        # A picture of 25, 25 and 7 steps.
        picture = lambda side: sum(n * side[stage] for n, stage in zip((25, 25, 7), STAGES))
        rows = [(stage, lambda side, stage=stage: side[stage]) for stage in STAGES] + [("25 + 25 + 7 steps", picture)]
        for row, of in rows:
            middle = {name: statistics.median(of(times[name]) for times in rounds) for name in sides}
            cells = [row, dtype, *(f"{seconds:.4g}" for seconds in middle.values())]
            for name in others:
                ratios = [of(times[name]) / of(times["unclip"]) for times in rounds]
                ratio = middle[name] / middle["unclip"]
                cells.append(f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
            print(f"| {' | '.join(cells)} |", flush=True)


def draw(arguments):
    pipe = load(arguments.folder, torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe(CAPTION, generator=torch.Generator().manual_seed(1)).images[0].save(arguments.out)


def first(arguments):
    with tempfile.TemporaryDirectory() as place:
        out = ["--out", f"{place}/picture.png"]
        preset = ["--preset", arguments.preset]
        sides = dict(
            unclip=[arguments.unclip, "generate", CAPTION, "--seed", "1", "--force", *preset, *out],
            diffusers=[sys.executable, __file__, "draw", arguments.folder, *out],
        )  # fmt: skip
        times = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, command in sides.items():
                begun = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=AS_STARTED if name == "unclip" else None)
                times[name].append(time.perf_counter() - begun)
    for name, seconds in times.items():
        print(f"{name}: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True, dest="command")
    tasks = dict(make=lambda told: make(told.folder), compare=compare, draw=draw, first=first)
    parsers = {name: commands.add_parser(name) for name in tasks}
    for command in parsers.values():
        command.add_argument("folder", type=Path)
    parsers["draw"].add_argument("--out", required=True)
    comparing = parsers["compare"]
    for command in (comparing, parsers["first"]):
        command.add_argument("--unclip", type=Path, required=True)
        command.add_argument("--rounds", type=int, default=3)
    parsers["first"].add_argument("--preset", default="quality")
    comparing.add_argument("--dtypes", nargs="+", default=["f32", "bf16"])
    comparing.add_argument("--device", default="cpu")
    comparing.add_argument("--steps", nargs=3, type=int, default=[6, 3, 3], help="of the prior, decoder and upsampler")
    arguments = parser.parse_args()
    tasks[arguments.command](arguments)


if __name__ == "__main__":
    main()
