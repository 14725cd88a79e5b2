"""Pictures a second of each trainer, beside the same models trained by PyTorch.

    python bench/training.py --unclip target/release/unclip [--preset small] [--rounds 3] [--legs clip prior ...] \
        [--device cuda --batch 512]

needs the packages of tests/golden/requirements.txt. Both sides read the same exported pictures from disk, encode captions
and pictures where a leg needs that, and take whole steps: forward and backward pass, clipping, AdamW, moving average.
They run in turn, round after round, in the same dtype (PyTorch's bf16 is autocast, as its users train), with all cores or
on one GPU, and read pictures with as many workers.
Printed are the medians of the rounds' rates and the smallest and largest ratio of a round.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

ROOT = Path(__file__).parent.parent
LEGS = ["clip", "prior", "decoder", "upsampler"]
WARM_UP = 10  # steps before the clock starts
WORKERS = min(max(os.cpu_count() // 2, 1), 8)  # that read pictures: ours are as many


class Pictures(Dataset):
    """The exported pictures, endlessly, at the size that a leg asks for."""

    def __init__(self, folder, size):
        lines = (folder / "metadata.jsonl").read_text().splitlines()
        self.samples = [(folder / line["file_name"], line["text"]) for line in map(json.loads, lines)]
        self.size = size

    def __len__(self):
        return 1 << 30

    def __getitem__(self, index):
        path, caption = self.samples[index % len(self.samples)]
        picture = Image.open(path).convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1), caption


class Encoders:
    """CLIP's two encoders and its tokenizer, with the shapes of the recipe."""

    def __init__(self, recipe):
        text, vision = recipe["clip"]["text"], recipe["clip"]["vision"]
        self.tokenizer = CLIPTokenizer.from_pretrained(ROOT / "model" / "tokenizer")
        self.context = text["context_length"]
        self.text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(self.tokenizer), hidden_size=text["width"], intermediate_size=text["intermediate"],
                projection_dim=text["embedding"], num_hidden_layers=text["layers"], num_attention_heads=text["heads"],
                hidden_act=text["activation"], max_position_embeddings=text["context_length"],
                eos_token_id=self.tokenizer.eos_token_id, bos_token_id=self.tokenizer.bos_token_id,
            )
        )  # fmt: skip
        self.image = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=vision["width"], intermediate_size=vision["intermediate"],
                projection_dim=vision["embedding"], num_hidden_layers=vision["layers"],
                num_attention_heads=vision["heads"], image_size=vision["image_size"], patch_size=vision["patch_size"],
                hidden_act=vision["activation"],
            )
        )  # fmt: skip

    def captions(self, captions):
        tokens = self.tokenizer(
            list(captions), padding="max_length", max_length=self.context, truncation=True, return_tensors="pt"
        )
        tokens = tokens.to(self.text.device)
        encoded = self.text(tokens.input_ids)
        return encoded.text_embeds, encoded.last_hidden_state, tokens.attention_mask.bool()

    def pictures(self, pictures):
        mean = pictures.new_tensor([0.48145466, 0.4578275, 0.40821073], dtype=torch.float).view(1, 3, 1, 1)
        deviation = pictures.new_tensor([0.26862954, 0.26130258, 0.27577711], dtype=torch.float).view(1, 3, 1, 1)
        return self.image((pictures / 255 - mean) / deviation).image_embeds


def noised(clean):
    """Timesteps, noise and the noised batch on the cosine schedule."""
    t = torch.randint(0, 1000, (len(clean),), device=clean.device)
    alpha_bar = torch.cos((t / 1000 + 0.008) / 1.008 * torch.pi / 2).square().clamp(1e-4, 1 - 1e-4)
    alpha_bar = alpha_bar.view(-1, *[1] * (clean.ndim - 1))
    noise = torch.randn_like(clean)
    return t, noise, alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise


def clip_leg(recipe, device):
    encoders = Encoders(recipe)
    encoders.text.to(device), encoders.image.to(device)
    scale = torch.nn.Parameter(torch.tensor(2.659, device=device))

    def loss(pictures, captions):
        text, image = encoders.captions(captions)[0].float(), encoders.pictures(pictures).float()
        logits = torch.nn.functional.normalize(text) @ torch.nn.functional.normalize(image).T * scale.exp()
        own = torch.arange(len(logits), device=device)
        cross_entropy = torch.nn.functional.cross_entropy
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2

    parameters = [*encoders.text.parameters(), *encoders.image.parameters(), scale]
    return parameters, loss, recipe["clip"]["vision"]["image_size"]


def prior_leg(recipe, device):
    encoders, shape = Encoders(recipe), recipe["prior"]["model"]
    model = PriorTransformer(
        num_attention_heads=shape["heads"], attention_head_dim=shape["head_width"], num_layers=shape["layers"],
        embedding_dim=shape["embedding"], num_embeddings=shape["context_length"],
    ).to(device)  # fmt: skip
    encoders.text.to(device), encoders.image.to(device)

    def loss(pictures, captions):
        with torch.no_grad():
            clean = encoders.pictures(pictures).float()
            embedding, states, mask = encoders.captions(captions)
        t, _, x = noised(clean)
        predicted = model(
            x, t, proj_embedding=embedding, encoder_hidden_states=states, attention_mask=mask
        ).predicted_image_embedding
        return (predicted.float() - clean).square().mean()

    return list(model.parameters()), loss, recipe["clip"]["vision"]["image_size"]


def decoder_leg(recipe, device):
    encoders, shape, told = Encoders(recipe), recipe["decoder"]["unet"], recipe["decoder"]["conditioning"]
    attending = len(shape["block_out_channels"]) - 1
    unet = UNet2DConditionModel(
        sample_size=shape["sample_size"], in_channels=3, out_channels=6, layers_per_block=shape["layers_per_block"],
        block_out_channels=tuple(shape["block_out_channels"]), attention_head_dim=shape["attention"]["head_width"],
        cross_attention_dim=shape["attention"]["context_width"], norm_num_groups=shape["norm_groups"],
        class_embed_type="identity", resnet_time_scale_shift="scale_shift",
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * attending),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * attending, "ResnetUpsampleBlock2D"),
    ).to(device)  # fmt: skip
    encoders.text.to(device), encoders.image.to(device)
    conditioning = UnCLIPTextProjModel(
        clip_embeddings_dim=told["embedding"], time_embed_dim=told["time_width"],
        cross_attention_dim=told["context_width"], clip_extra_context_tokens=told["extra_tokens"],
    ).to(device)  # fmt: skip

    def loss(pictures, captions):
        with torch.no_grad():
            image = encoders.pictures(pictures)
            embedding, states, mask = encoders.captions(captions)
        clean = torch.nn.functional.adaptive_avg_pool2d(pictures / 127.5 - 1, shape["sample_size"])
        t, noise, x = noised(clean)
        context, added = conditioning(
            image_embeddings=image, prompt_embeds=embedding, text_encoder_hidden_states=states,
            do_classifier_free_guidance=False,
        )  # fmt: skip
        mask = torch.nn.functional.pad(mask, (told["extra_tokens"], 0), value=True)
        predicted = unet(x, t, encoder_hidden_states=context, class_labels=added, attention_mask=mask).sample
        return (predicted[:, :3].float() - noise).square().mean() + predicted[:, 3:].float().square().mean()

    parameters = [*unet.parameters(), *conditioning.parameters()]
    return parameters, loss, recipe["clip"]["vision"]["image_size"]


def damaged(small, blur, noise):
    """Small pictures with a little blur and noise, as a decoder's have."""
    kernel = torch.tensor([-1.0, 0.0, 1.0], device=small.device).div(blur * np.random.rand() + 1e-3).square().mul(-0.5).exp()
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    for shape, pad in ((kernel, (1, 1, 0, 0)), (kernel.transpose(2, 3), (0, 0, 1, 1))):
        padded = torch.nn.functional.pad(small, pad, mode="replicate")
        small = torch.nn.functional.conv2d(padded, shape, groups=3).float()
    return small + torch.randn_like(small) * (noise * np.random.rand())


def upsampler_leg(recipe, device):
    settings = recipe["upsampler"]
    shape, crop = settings["unet"], settings["crop"]
    levels, base = len(shape["block_out_channels"]), recipe["decoder"]["unet"]["sample_size"]
    model = UNet2DModel(
        sample_size=shape["sample_size"], in_channels=6, out_channels=3, layers_per_block=shape["layers_per_block"],
        block_out_channels=tuple(shape["block_out_channels"]), norm_num_groups=shape["norm_groups"],
        add_attention=False, down_block_types=("ResnetDownsampleBlock2D",) * levels,
        up_block_types=("ResnetUpsampleBlock2D",) * levels,
    ).to(device)  # fmt: skip

    def loss(pictures, _):
        pictures = pictures / 127.5 - 1
        small = torch.nn.functional.adaptive_avg_pool2d(pictures, base)
        small = damaged(small, settings["blur"], settings["noise"])
        low = torch.nn.functional.interpolate(small, shape["sample_size"], mode="bicubic", antialias=True)
        top, left = np.random.randint(0, shape["sample_size"] - crop + 1, 2)
        clean, low = (x[:, :, top : top + crop, left : left + crop] for x in (pictures, low))
        t, noise, x = noised(clean)
        predicted = model(torch.cat([x, low], 1), t).sample
        wanted = clean if settings["predicts"] == "sample" else noise
        return (predicted.float() - wanted).square().mean()

    return list(model.parameters()), loss, shape["sample_size"]


def pytorch_rate(leg, recipe, dtype, folder, steps, device):
    """Pictures a second of PyTorch's trainer."""
    parameters, loss, size = globals()[f"{leg}_leg"](recipe, device)
    settings = recipe[leg]["run"]
    constants = settings["optimizer"]
    optimizer = torch.optim.AdamW(
        parameters, lr=1e-4, betas=(constants["beta1"], constants["beta2"]), eps=constants["eps"],
        weight_decay=constants["weight_decay"], fused=True,
    )  # fmt: skip
    average = [parameter.detach().clone() for parameter in parameters]
    torch.backends.cudnn.benchmark = True
    loader = iter(DataLoader(Pictures(folder, size), settings["batch"], num_workers=WORKERS, prefetch_factor=2))
    for step in range(steps):
        if step == WARM_UP:
            started = time.perf_counter()
        pictures, captions = next(loader)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16"):
            value = loss(pictures.to(device), captions)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, constants["clip_norm"])
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 1 - constants["ema_decay"])
        value.item()
    return (steps - WARM_UP) * settings["batch"] / (time.perf_counter() - started)


def our_rate(leg, arguments, batch, dtype, folder, steps):
    """Pictures a second of `unclip train`, from the times in its log."""
    with tempfile.TemporaryDirectory() as work:
        command = [arguments.unclip, "train", leg, "--preset", arguments.preset, "--data", folder, "--dtype", dtype]
        command += ["--init", ROOT / "model", "--out", f"{work}/model", "--runs", f"{work}/runs"]
        command += ["--set", "prior.statistics_scenes=256", "--device", arguments.device]
        command += ["--set", f"{leg}.run.batch={batch}"]
        subprocess.run([*command, "--stop-at", str(steps), "--samples-every", "0"], check=True, capture_output=True)
        log = Path(work, "runs", leg, "metrics.jsonl").read_text().splitlines()
        lines = [line for line in map(json.loads, log) if line["step"] >= WARM_UP]
        first, last = lines[0], lines[-1]
        return (last["step"] - first["step"]) * batch / (last["time"] - first["time"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unclip", type=Path, required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--legs", nargs="+", default=LEGS)
    parser.add_argument("--dtypes", nargs="+", default=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=31)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="pictures a step instead of the preset's")
    arguments = parser.parse_args()
    arguments.unclip = arguments.unclip.resolve()
    recipe = tomllib.loads((ROOT / f"training/presets/{arguments.preset}.toml").read_text())
    for leg in arguments.legs:
        recipe[leg]["run"]["batch"] = arguments.batch or recipe[leg]["run"]["batch"]
    machine = f"{torch.get_num_threads()} threads" if arguments.device == "cpu" else torch.cuda.get_device_name()
    print(f"{machine}, torch {torch.__version__}, preset {arguments.preset}")
    print("| trainer | dtype | unclip, pictures/s | PyTorch, pictures/s | ratio |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "pictures"
        subprocess.run([arguments.unclip, "scenes", "--count", "1000", "--out", folder], check=True, capture_output=True)
        for leg in arguments.legs:
            for dtype in arguments.dtypes:
                rounds = [
                    (
                        our_rate(leg, arguments, recipe[leg]["run"]["batch"], dtype, folder, arguments.steps),
                        pytorch_rate(leg, recipe, dtype, folder, arguments.steps, arguments.device),
                    )
                    for _ in range(arguments.rounds)
                ]
                ours, theirs = (statistics.median(side) for side in zip(*rounds))
                ratios = [a / b for a, b in rounds]
                spread = f"{ours / theirs:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                print(f"| {leg} | {dtype} | {ours:.0f} | {theirs:.0f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
