"""Kandinsky 2.2's full-size networks with random weights, their speed here beside diffusers', and the memory of pictures.

    python bench/families.py make kandinsky-random               # 14.5 GB in two folders, a network at a time
    python bench/families.py compare kandinsky-random --unclip target/release/unclip [--dtypes f32 bf16] [--rounds 2]
    python bench/families.py memory kandinsky-random --unclip target/release/unclip [--sides 512 1024]

needs the packages of tests/golden/requirements.txt. The shapes are those of kandinsky-community/kandinsky-2-2-prior and
-decoder but for the vocabulary, which is this project's; CLIP's encoders are in f16, as published. `compare` draws the same
caption with the same steps from the same weights, in turn, round after round, and prints the medians of a step's seconds, of
the autoencoder's decoding, and the ratios with their smallest and largest. `memory` prints the peak of a process that draws
one picture in few steps, with --low-memory and without.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import torch
from diffusers import DDPMScheduler, KandinskyV22Pipeline, KandinskyV22PriorPipeline, PriorTransformer
from diffusers import UNet2DConditionModel, UnCLIPScheduler, VQModel
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

ROOT = Path(__file__).parent.parent
CAPTION = "a red boat"
STAGES = ["prior", "decoder"]
# As bin/unclip starts it; diffusers is not changed.
AS_STARTED = dict(GOMP_SPINCOUNT="5000") | os.environ
# Random numbers that every tensor takes its own from, which is faster than drawing billions.
POOL = torch.randn(1 << 24, generator=torch.Generator().manual_seed(1))


def text_encoder():
    tokenizer = CLIPTokenizer.from_pretrained(ROOT / "model" / "tokenizer")
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=1280, intermediate_size=5120, projection_dim=1280,
            num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu", max_position_embeddings=77,
            pad_token_id=1, bos_token_id=0, eos_token_id=2,
        )
    )  # fmt: skip


def image_encoder():
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=1664, intermediate_size=8192, projection_dim=1280, num_hidden_layers=48,
            num_attention_heads=16, image_size=224, patch_size=14, hidden_act="gelu",
        )
    )  # fmt: skip


def prior():
    return PriorTransformer(
        num_attention_heads=32, attention_head_dim=64, num_layers=20, embedding_dim=1280, num_embeddings=77
    )


def unet():
    return UNet2DConditionModel(
        sample_size=64, in_channels=4, out_channels=8, layers_per_block=3, block_out_channels=(384, 768, 1152, 1536),
        attention_head_dim=64, cross_attention_dim=768, norm_num_groups=32, resnet_time_scale_shift="scale_shift",
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
        addition_embed_type="image", encoder_hid_dim=1280, encoder_hid_dim_type="image_proj",
    )  # fmt: skip


def movq():
    return VQModel(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(128, 256, 256, 512), layers_per_block=2,
        num_vq_embeddings=16384, vq_embed_dim=4, norm_type="spatial",
        down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
    )  # fmt: skip


def numbers(name, shape):
    """About the numbers that torch begins a training with."""
    if len(shape) < 2:
        of_norm = "norm" in name and name.endswith("weight") or name.endswith("clip_std")
        return torch.ones(shape) if of_norm else torch.zeros(shape)
    count, fan_in = shape.numel(), shape[1:].numel()
    start = hash_of(name) % len(POOL)
    flat = torch.cat([POOL[start:], POOL[:start]]).repeat(-(-count // len(POOL)))[:count]
    # With less at a U-Net's end there is about as much noise as there should be.
    scale = 0.3 if name == "conv_out.weight" else 1.0
    return (flat * (scale * (3 * fan_in) ** -0.5)).reshape(shape)


def hash_of(name):
    return sum((n + 1) * byte for n, byte in enumerate(name.encode())) * 7919


def save(network, folder, dtype):
    """Writes a network whose tensors were never made."""
    folder.mkdir(parents=True)
    of_transformers = hasattr(network.config, "to_dict")
    config = network.config.to_dict() if of_transformers else dict(network.config)
    kind = type(network).__name__
    config |= dict(architectures=[kind]) if of_transformers else dict(_class_name=kind, _diffusers_version="0.42.1")
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    tensors = {
        name: numbers(name, tensor.shape).to(dtype)
        for name, tensor in network.state_dict().items()
        if not name.endswith("position_ids")
    }
    save_file(tensors, folder / f"{'' if of_transformers else 'diffusion_pytorch_'}model.safetensors", {"format": "pt"})
    print(folder, f"{sum(t.numel() for t in tensors.values()) / 1e6:.0f} M parameters", flush=True)


def make(folder):
    """Writes both repositories; one network is in memory at a time."""
    of_prior, of_decoder = folder / "prior", folder / "decoder"
    networks = [
        (of_prior / "text_encoder", text_encoder, torch.float16),
        (of_prior / "image_encoder", image_encoder, torch.float16),
        (of_prior / "prior", prior, torch.float32),
        (of_decoder / "unet", unet, torch.float32),
        (of_decoder / "movq", movq, torch.float32),
    ]
    for place, network, dtype in networks:
        with torch.device("meta"):
            network = network()
        save(network, place, dtype)
        gc.collect()
    tokenizer = CLIPTokenizer.from_pretrained(ROOT / "model" / "tokenizer", model_max_length=77)
    tokenizer.save_pretrained(of_prior / "tokenizer")
    CLIPImageProcessor(size=224, crop_size=224).save_pretrained(of_prior / "image_processor")
    UnCLIPScheduler(
        num_train_timesteps=1000, variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
    ).save_pretrained(of_prior / "scheduler")
    DDPMScheduler(
        beta_schedule="linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, timestep_spacing="leading"
    ).save_pretrained(of_decoder / "scheduler")
    write_index(
        of_prior, "KandinskyV22PriorPipeline", prior="PriorTransformer", scheduler="UnCLIPScheduler",
        text_encoder="CLIPTextModelWithProjection", image_encoder="CLIPVisionModelWithProjection",
        tokenizer="CLIPTokenizer", image_processor="CLIPImageProcessor",
    )  # fmt: skip
    write_index(
        of_decoder, "KandinskyV22Pipeline", unet="UNet2DConditionModel", scheduler="DDPMScheduler", movq="VQModel"
    )


def write_index(folder, pipeline, **parts):
    library = lambda name: "transformers" if name.startswith("CLIP") else "diffusers"
    parts = {name: [library(kind), kind] for name, kind in parts.items()}
    index = {"_class_name": pipeline, "_diffusers_version": "0.42.1", **parts}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def diffusers_steps(arguments, dtype, steps):
    """Seconds of a step of each stage, and of the autoencoder's decoding. The prior's repository leaves the memory before the
    decoder's comes."""
    dtype = dict(f32=torch.float32, bf16=torch.bfloat16)[dtype]
    began = []
    note = lambda *_: began.append(time.perf_counter())
    per_step = lambda: statistics.median(b - a for a, b in zip(began[:-1], began[1:]))
    pipe = KandinskyV22PriorPipeline.from_pretrained(arguments.folder / "prior", torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    pipe.prior.register_forward_pre_hook(note)
    seed = lambda: torch.Generator().manual_seed(1)
    embeddings = pipe(CAPTION, num_inference_steps=steps["prior"], generator=seed())
    times = dict(prior=per_step())
    del pipe
    gc.collect()
    began.clear()
    pipe = KandinskyV22Pipeline.from_pretrained(arguments.folder / "decoder", torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.register_forward_pre_hook(note)
    decode, decoding = pipe.movq.decode, []

    def timed(*given, **named):
        decode(*given, **named)  # as the other side's, not the first
        start = time.perf_counter()
        result = decode(*given, **named)
        decoding.append(time.perf_counter() - start)
        return result

    pipe.movq.decode = timed
    side = arguments.side
    pipe(**embeddings, height=side, width=side, num_inference_steps=steps["decoder"], generator=seed())
    return times | dict(decoder=per_step(), autoencoder=decoding[0])


def our_steps(arguments, dtype, steps):
    command = [arguments.unclip, "bench", "--model", arguments.folder / "decoder", "--prior", arguments.folder / "prior"]
    command += ["--dtype", dtype, "--rounds", "1", "--json", "--low-memory", "--caption", CAPTION]
    command += ["--width", str(arguments.side), "--height", str(arguments.side)]
    command += [text for stage in STAGES for text in (f"--{stage}-steps", str(steps[stage]))]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=AS_STARTED)
    report = json.loads(ran.stdout)
    return {stage["stage"]: stage["step"][0] for stage in report["stages"]} | dict(autoencoder=report["decoding"])


def compare(arguments):
    steps = dict(zip(STAGES, arguments.steps))
    print("| part | dtype | unclip, s | diffusers, s | diffusers / unclip |\n|" + " --- |" * 5)
    for dtype in arguments.dtypes:
        rounds = [
            (our_steps(arguments, dtype, steps), diffusers_steps(arguments, dtype, steps))
            for _ in range(arguments.rounds)
        ]
        for part in [*STAGES, "autoencoder"]:
            ours, theirs = (statistics.median(times[side][part] for times in rounds) for side in (0, 1))
            ratios = [theirs[part] / ours[part] for ours, theirs in rounds]
            ratio = f"{theirs / ours:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"| {part} | {dtype} | {ours:.4g} | {theirs:.4g} | {ratio} |", flush=True)


def memory(arguments):
    print("| side | --low-memory | dtype | peak, GiB | seconds |\n|" + " --- |" * 5)
    for side in arguments.sides:
        for low in (["--low-memory"], []):
            for dtype in arguments.dtypes:
                command = [arguments.unclip, "generate", CAPTION, "--seed", "1", "--force", "--dtype", dtype, *low]
                command += ["--model", arguments.folder / "decoder", "--prior", arguments.folder / "prior"]
                command += ["--width", str(side), "--height", str(side), "--prior-steps", "2", "--decoder-steps", "2"]
                command += ["--out", arguments.folder / "picture.png"]
                began = time.perf_counter()
                child = subprocess.Popen(command, env=AS_STARTED)
                _, status, usage = os.wait4(child.pid, 0)
                assert status == 0, f"exit status {status}"
                seconds = time.perf_counter() - began
                peak = usage.ru_maxrss / (1 << 20)
                print(f"| {side} | {'yes' if low else 'no'} | {dtype} | {peak:.2f} | {seconds:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True, dest="command")
    tasks = dict(make=lambda arguments: make(arguments.folder), compare=compare, memory=memory)
    parsers = {name: commands.add_parser(name) for name in tasks}
    for command in parsers.values():
        command.add_argument("folder", type=Path)
    for command in (parsers["compare"], parsers["memory"]):
        command.add_argument("--unclip", type=Path, required=True)
        command.add_argument("--dtypes", nargs="+", default=["f32"])
    parsers["compare"].add_argument("--rounds", type=int, default=2)
    parsers["compare"].add_argument("--side", type=int, default=512)
    parsers["compare"].add_argument("--steps", nargs=2, type=int, default=[6, 3], help="of the prior and the decoder")
    parsers["memory"].add_argument("--sides", nargs="+", type=int, default=[512])
    arguments = parser.parse_args()
    tasks[arguments.command](arguments)


if __name__ == "__main__":
    main()
