"""Tiny Kandinsky 2.2 models with random weights, in the layout of the two published repositories.

- `two`: two levels, f16 safetensors, `vocab.json` + `merges.txt` padded with "!", a scheduler that clips.
- `three`: three levels of which the MoVQ attends at two, f16 state dicts in `.bin`, `tokenizer.json`, a scheduler that does
  not clip.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import DDPMScheduler, PriorTransformer, UNet2DConditionModel, UnCLIPScheduler, VQModel
from diffusers import KandinskyV22ControlnetPipeline, KandinskyV22InpaintPipeline
from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import bpe
import models


@dataclass
class Shape:
    """The differences between the tiny models."""

    name: str
    clip: models.Shape  # tokenizer, encoders and prior
    channels: list  # of the U-Net, level by level
    blocks: int
    groups: int
    head_width: int
    context_width: int
    latents: int  # the side that the U-Net was trained on
    movq: list  # channels, level by level
    movq_attends: int  # levels that attend, the coarsest first
    codes: int
    clip_sample: bool
    contrast: float  # of the MoVQ's images, a factor of its last weights
    bin: bool


TWO, THREE = (models.SHAPES[0], models.SHAPES[1])
SHAPES = [
    Shape(
        name="two", clip=TWO, channels=[8, 12], blocks=2, groups=4, head_width=4, context_width=12, latents=8,
        movq=[32, 64], movq_attends=1, codes=24, clip_sample=True, contrast=0.5, bin=False,
    ),
    Shape(
        name="three", clip=replace(THREE, old_configs=False), channels=[8, 12, 16], blocks=1, groups=4, head_width=4,
        context_width=10, latents=8, movq=[32, 32, 64], movq_attends=2, codes=16, clip_sample=False,
        contrast=0.1, bin=True,
    ),
]  # fmt: skip


def build(shape: Shape, folder: Path):
    """Makes the model, saves it under `folder` as two repositories, and gives the two pipelines."""
    prior, decoder = folder / "prior", folder / "decoder"
    prior.mkdir(parents=True)
    of_prior, of_decoder = prior_parts(shape, prior), decoder_parts(shape)
    networks = {**{("prior", n): p for n, p in of_prior.items()}, **{("decoder", n): p for n, p in of_decoder.items()}}
    networks = {name: part for name, part in networks.items() if isinstance(part, torch.nn.Module)}
    for index, (name, network) in enumerate(sorted(networks.items(), key=lambda item: item[0])):
        network.eval().requires_grad_(False)
        models.randomise(network, torch.Generator().manual_seed(1000 * shape.clip.seed + index), half=True)
    # Pictures that are not all black and white.
    of_decoder["movq"].decoder.conv_out.weight.mul_(shape.contrast)
    rounded(of_decoder["movq"])
    teach(of_decoder["unet"], shape, torch.Generator().manual_seed(1000 * shape.clip.seed + 50))
    for (repository, name), network in networks.items():
        save_network(folder / repository / name, network, shape)
    for repository, scheduler in ((prior, of_prior["scheduler"]), (decoder, of_decoder["scheduler"])):
        save_config(repository / "scheduler" / "scheduler_config.json", dict(scheduler.config), type(scheduler))
    write_index(prior, "KandinskyV22PriorPipeline", of_prior)
    write_index(decoder, "KandinskyV22Pipeline", of_decoder)
    return KandinskyV22PriorPipeline(**of_prior), KandinskyV22Pipeline(**of_decoder)


def build_inpainting(shape: Shape, folder: Path, decoder):
    """Makes a U-Net that takes the known latents and a mask, saves it under `folder` as the repository of a decoder that
    inpaints, but for the autoencoder, which is the `decoder` pipeline's, and gives its pipeline."""
    unet = decoder_unet(shape, in_channels=9)
    return build_decoder(shape, folder, decoder, unet, 60, KandinskyV22InpaintPipeline)


def build_hinted(shape: Shape, folder: Path, decoder):
    """As `build_inpainting`, with a U-Net that takes the features of a hint."""
    unet = decoder_unet(shape, in_channels=8, addition_embed_type="image_hint")
    return build_decoder(shape, folder, decoder, unet, 80, KandinskyV22ControlnetPipeline)


def build_decoder(shape, folder, decoder, unet, seed, pipeline):
    parts = dict(decoder.components, unet=unet.eval().requires_grad_(False))
    models.randomise(unet, torch.Generator().manual_seed(1000 * shape.clip.seed + seed), half=True)
    teach(unet, shape, torch.Generator().manual_seed(1000 * shape.clip.seed + seed + 10))
    folder.mkdir(parents=True, exist_ok=True)
    save_network(folder / "unet", unet, shape)
    scheduler = parts["scheduler"]
    save_config(folder / "scheduler" / "scheduler_config.json", dict(scheduler.config), type(scheduler))
    write_index(folder, pipeline.__name__, parts)
    return pipeline(**parts)


def prior_parts(shape, folder):
    clip = shape.clip
    vocabulary = bpe.train()
    width, vision = clip.embedding, clip.vision
    return dict(
        tokenizer=models.write_tokenizer(folder / "tokenizer", vocabulary, clip),
        text_encoder=CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(vocabulary.ids), hidden_size=width, intermediate_size=3 * width, projection_dim=width,
                num_hidden_layers=clip.text_layers, num_attention_heads=clip.text_heads, hidden_act="gelu",
                max_position_embeddings=clip.context, pad_token_id=1, bos_token_id=0, eos_token_id=2,
            )
        ),
        image_encoder=CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=vision["width"], intermediate_size=2 * vision["width"], projection_dim=width,
                num_hidden_layers=vision["layers"], num_attention_heads=vision["heads"], image_size=vision["size"],
                patch_size=vision["patch"], hidden_act="gelu",
            )
        ),
        image_processor=models.write_image_processor(folder / "image_processor", clip),
        prior=PriorTransformer(
            num_attention_heads=clip.prior["heads"], attention_head_dim=clip.prior["width"],
            num_layers=clip.prior["layers"], embedding_dim=width, num_embeddings=clip.context,
        ),
        scheduler=UnCLIPScheduler(
            num_train_timesteps=1000, variance_type="fixed_small_log", prediction_type="sample", clip_sample=True,
            clip_sample_range=10.0,
        ),
    )  # fmt: skip


def decoder_unet(shape, in_channels=4, addition_embed_type="image"):
    levels = len(shape.channels)
    return UNet2DConditionModel(
        sample_size=shape.latents, in_channels=in_channels, out_channels=8, layers_per_block=shape.blocks,
        block_out_channels=tuple(shape.channels), attention_head_dim=shape.head_width,
        cross_attention_dim=shape.context_width, norm_num_groups=shape.groups, resnet_time_scale_shift="scale_shift",
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * (levels - 1)),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * (levels - 1), "ResnetUpsampleBlock2D"),
        addition_embed_type=addition_embed_type, addition_embed_type_num_heads=64, encoder_hid_dim=shape.clip.embedding,
        encoder_hid_dim_type="image_proj",
    )  # fmt: skip


def decoder_parts(shape):
    deep = len(shape.movq)
    attends = [level >= deep - shape.movq_attends for level in range(deep)]
    movq = VQModel(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=tuple(shape.movq), layers_per_block=1,
        num_vq_embeddings=shape.codes, vq_embed_dim=4, norm_type="spatial",
        down_block_types=tuple("AttnDownEncoderBlock2D" if a else "DownEncoderBlock2D" for a in attends),
        up_block_types=tuple("AttnUpDecoderBlock2D" if a else "UpDecoderBlock2D" for a in reversed(attends)),
    )  # fmt: skip
    scheduler = DDPMScheduler(
        beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=shape.clip_sample, steps_offset=1,
        timestep_spacing="leading", prediction_type="epsilon",
    )  # fmt: skip
    return dict(unet=decoder_unet(shape), movq=movq, scheduler=scheduler)


def rounded(network):
    for tensor in network.parameters():
        half = tensor.half().float()
        tensor.copy_(torch.where(half == 0, 2.0**-14, half))


def teach(network, shape, generator, steps=400):
    """As `models.teach`, in latents and of image embeddings; a network that inpaints is shown a random part of the latents, one
    that takes hints all of them."""
    normal = lambda *size: torch.randn(size, generator=generator)
    alphas = DDPMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
    size, count = shape.latents, 8
    optimiser = torch.optim.Adam(network.requires_grad_(True).parameters(), lr=3e-3)
    for _ in range(steps):
        t = torch.randint(1000, (count,), generator=generator)
        alpha = alphas[t].reshape(-1, 1, 1, 1)
        clean = torch.nn.functional.interpolate(normal(count, 4, 3, 3), size, mode="bicubic").clamp(-1, 1)
        noise = normal(count, 4, size, size)
        noised = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        if network.config.in_channels == 9:
            mask = (normal(count, 1, size, size) > 0).float()
            noised = torch.cat([noised, clean * mask, mask], dim=1)
        embeddings = dict(image_embeds=normal(count, shape.clip.embedding))
        if network.config.addition_embed_type == "image_hint":
            # A hint shows the picture.
            shown = torch.nn.functional.interpolate(clean[:, :3], 8 * size, mode="bicubic")
            embeddings["hint"] = (shown / 2 + 0.5).clamp(0, 1)
        output = network(noised, t, None, added_cond_kwargs=embeddings).sample[:, :4]
        loss = (output - noise).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    network.requires_grad_(False)
    rounded(network)


def save_config(path, config, of):
    config = {key: value for key, value in config.items() if key not in ("_name_or_path", "_use_default_values")}
    models.write_json(path, dict(config, _class_name=of.__name__, _diffusers_version="0.42.1"))


def save_network(folder, network, shape):
    of_transformers = folder.name in ("text_encoder", "image_encoder")
    if of_transformers:
        models.write_json(folder / "config.json", dict(network.config.to_dict(), architectures=[type(network).__name__]))
    else:
        save_config(folder / "config.json", dict(network.config), type(network))
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    name = "pytorch_model" if of_transformers else "diffusion_pytorch_model"
    if shape.bin:
        torch.save(tensors, folder / f"{name}.bin")
    else:
        name = "model" if of_transformers else name
        save_file(tensors, folder / f"{name}.safetensors", metadata={"format": "pt"})


def write_index(folder, pipeline, parts):
    library = lambda part: type(part).__module__.split(".")[0]
    names = {"CLIPImageProcessorPil": "CLIPImageProcessor"}
    named = lambda part: names.get(type(part).__name__, type(part).__name__)
    components = {name: [library(part), named(part)] for name, part in sorted(parts.items())}
    models.write_json(
        folder / "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.42.1", **components}
    )
