"""Tiny unCLIP models with random weights, saved in Karlo's layout.

Each model has another shape and another way of being published, so that together they cover what a reader meets:

- `karlo`: two levels, quick_gelu, `.bin` state dicts, configs as old releases wrote them, `vocab.json` + `merges.txt`
  with "!" as the padding, the legacy end-of-text id 2.
- `deep`: three levels, gelu, f32 safetensors, configs as the pinned releases write them, `tokenizer.json`.
- `odd`: widths that are no multiple of 16 (noise below 16 values takes another path), f16 safetensors, both tokenizer
  styles.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel, UnCLIPScheduler
from diffusers.pipelines.deprecated.unclip.pipeline_unclip import UnCLIPPipeline
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import bpe


@dataclass
class Shape:
    """What differs between the tiny models."""

    name: str
    seed: int
    embedding: int  # of CLIP, and the width of its text transformer
    context: int  # tokens of a caption
    text_heads: int
    text_layers: int
    activation: str
    layer_norm_eps: float
    vision: dict  # width, heads, layers, patch, picture size
    processor: dict  # preprocessor_config.json
    prior: dict  # heads, head width, layers
    channels: list  # of the decoder, level by level
    blocks: int  # residual blocks a level
    groups: int  # of the group norms
    head_width: int  # of the decoder's attention
    context_width: int  # of what the decoder attends to
    small: int  # the decoder's picture, in pixels
    upsampler_channels: list
    large: int  # the upsampler's picture, in pixels
    prior_clip: float
    file: str  # bin, f32 or f16
    old_configs: bool
    tokenizer: str  # old, new or both


SHAPES = [
    Shape(
        name="karlo", seed=1, embedding=16, context=16, text_heads=2, text_layers=2, activation="quick_gelu",
        layer_norm_eps=1e-5, vision=dict(width=16, heads=2, layers=2, patch=8, size=32),
        processor=dict(size=32, crop_size=32), prior=dict(heads=2, width=8, layers=2),
        channels=[8, 12], blocks=2, groups=4, head_width=4, context_width=12, small=16,
        upsampler_channels=[8, 8], large=32, prior_clip=5.0, file="bin", old_configs=True, tokenizer="old",
    ),
    Shape(
        name="deep", seed=2, embedding=20, context=24, text_heads=5, text_layers=3, activation="gelu",
        layer_norm_eps=1e-6, vision=dict(width=24, heads=3, layers=2, patch=7, size=28),
        processor=dict(size={"shortest_edge": 34}, crop_size={"height": 28, "width": 28}),
        prior=dict(heads=3, width=8, layers=3), channels=[8, 12, 16], blocks=1, groups=4, head_width=4,
        context_width=20, small=8, upsampler_channels=[8, 8, 8], large=24, prior_clip=10.0, file="f32",
        old_configs=False, tokenizer="new",
    ),
    Shape(
        name="odd", seed=3, embedding=15, context=20, text_heads=3, text_layers=1, activation="quick_gelu",
        layer_norm_eps=1e-5, vision=dict(width=18, heads=3, layers=1, patch=6, size=24),
        processor=dict(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}),
        prior=dict(heads=1, width=14, layers=2), channels=[6, 9], blocks=1, groups=3, head_width=3, context_width=10,
        small=12, upsampler_channels=[6, 12], large=40, prior_clip=5.0, file="f16", old_configs=False,
        tokenizer="both",
    ),
]  # fmt: skip

# The keys that configs had when Karlo was converted; the class's defaults stand for the rest.
OLD_KEYS = {
    "prior": "attention_head_dim dropout embedding_dim num_attention_heads num_embeddings num_layers "
    "additional_embeddings",
    "decoder": "act_fn attention_head_dim block_out_channels center_input_sample class_embed_type cross_attention_dim "
    "down_block_types downsample_padding dual_cross_attention flip_sin_to_cos freq_shift in_channels layers_per_block "
    "mid_block_scale_factor mid_block_type norm_eps norm_num_groups num_class_embeds only_cross_attention out_channels "
    "resnet_time_scale_shift sample_size up_block_types upcast_attention use_linear_projection",
    "super_res": "act_fn add_attention attention_head_dim block_out_channels center_input_sample down_block_types "
    "downsample_padding flip_sin_to_cos freq_shift in_channels layers_per_block mid_block_scale_factor norm_eps "
    "norm_num_groups out_channels resnet_time_scale_shift sample_size time_embedding_type up_block_types",
    "scheduler": "clip_sample clip_sample_range num_train_timesteps prediction_type variance_type",
    "text_encoder": "architectures attention_dropout bos_token_id dropout eos_token_id hidden_act hidden_size "
    "initializer_factor initializer_range intermediate_size layer_norm_eps max_position_embeddings model_type "
    "num_attention_heads num_hidden_layers pad_token_id projection_dim vocab_size",
    "image_encoder": "architectures attention_dropout hidden_act hidden_size image_size initializer_factor "
    "initializer_range intermediate_size layer_norm_eps model_type num_attention_heads num_channels "
    "num_hidden_layers patch_size projection_dim",
}


def build(shape: Shape, folder: Path):
    """Makes the model, saves it under `folder`, and gives the pipeline, the image encoder and its preprocessing."""
    folder.mkdir(parents=True)
    vocabulary = bpe.train()
    tokenizer = write_tokenizer(folder / "tokenizer", vocabulary, shape)
    width, inner = shape.embedding, shape.prior["heads"] * shape.prior["width"]
    text_encoder = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(vocabulary.ids), hidden_size=width, intermediate_size=3 * width, projection_dim=width,
            num_hidden_layers=shape.text_layers, num_attention_heads=shape.text_heads, hidden_act=shape.activation,
            max_position_embeddings=shape.context, layer_norm_eps=shape.layer_norm_eps, pad_token_id=1, bos_token_id=0,
            eos_token_id=2 if shape.old_configs else vocabulary.ids[bpe.END],
        )  # fmt: skip
    )
    vision = shape.vision
    image_encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=vision["width"], intermediate_size=2 * vision["width"], projection_dim=width,
            num_hidden_layers=vision["layers"], num_attention_heads=vision["heads"], image_size=vision["size"],
            patch_size=vision["patch"], hidden_act=shape.activation, layer_norm_eps=shape.layer_norm_eps,
        )  # fmt: skip
    )
    prior = PriorTransformer(
        num_attention_heads=shape.prior["heads"], attention_head_dim=shape.prior["width"],
        num_layers=shape.prior["layers"], embedding_dim=width, num_embeddings=shape.context,
    )  # fmt: skip
    levels = len(shape.channels)
    decoder = UNet2DConditionModel(
        sample_size=shape.small, in_channels=3, out_channels=6, layers_per_block=shape.blocks,
        block_out_channels=tuple(shape.channels), attention_head_dim=shape.head_width,
        cross_attention_dim=shape.context_width, norm_num_groups=shape.groups, class_embed_type="identity",
        resnet_time_scale_shift="scale_shift", mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * (levels - 1)),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * (levels - 1), "ResnetUpsampleBlock2D"),
    )  # fmt: skip
    text_proj = UnCLIPTextProjModel(
        clip_embeddings_dim=width, time_embed_dim=4 * shape.channels[0], cross_attention_dim=shape.context_width
    )
    upsamplers = [
        UNet2DModel(
            sample_size=shape.large, in_channels=6, out_channels=3, layers_per_block=shape.blocks,
            block_out_channels=tuple(shape.upsampler_channels), norm_num_groups=shape.groups, add_attention=False,
            down_block_types=("ResnetDownsampleBlock2D",) * len(shape.upsampler_channels),
            up_block_types=("ResnetUpsampleBlock2D",) * len(shape.upsampler_channels),
        )
        for _ in range(2)
    ]  # fmt: skip
    scheduler = lambda **fields: UnCLIPScheduler(num_train_timesteps=1000, clip_sample=True, **fields)
    parts = dict(
        prior=prior, decoder=decoder, text_encoder=text_encoder, tokenizer=tokenizer, text_proj=text_proj,
        super_res_first=upsamplers[0], super_res_last=upsamplers[1],
        prior_scheduler=scheduler(
            prediction_type="sample", variance_type="fixed_small_log", clip_sample_range=shape.prior_clip
        ),
        decoder_scheduler=scheduler(variance_type="learned_range", prediction_type="epsilon", clip_sample_range=1.0),
        super_res_scheduler=scheduler(
            variance_type="fixed_small_log", prediction_type="epsilon", clip_sample_range=1.0
        ),
    )  # fmt: skip
    networks = dict(parts, image_encoder=image_encoder)
    networks = {name: part for name, part in networks.items() if isinstance(part, torch.nn.Module)}
    for index, (name, network) in enumerate(sorted(networks.items())):
        network.eval().requires_grad_(False)
        randomise(network, torch.Generator().manual_seed(100 * shape.seed + index), half=shape.file == "f16")
    for index, network in enumerate((decoder, *upsamplers)):
        teach(network, shape, torch.Generator().manual_seed(100 * shape.seed + 50 + index))
    for name, part in networks.items():
        save_network(folder / name, part, shape)
    for name in ("prior_scheduler", "decoder_scheduler", "super_res_scheduler"):
        config = dict(parts[name].config, _class_name="UnCLIPScheduler", _diffusers_version=version(shape))
        write_config(folder / name / "scheduler_config.json", config, "scheduler", shape)
    image_processor = write_image_processor(folder / "feature_extractor", shape)
    write_index(folder / "model_index.json", shape)
    return UnCLIPPipeline(**parts), image_encoder, image_processor


def randomise(network, generator, half):
    """Draws every weight, so that nothing that a fresh network holds at 0 or 1 hides a mistake."""
    norms = (torch.nn.LayerNorm, torch.nn.GroupNorm)
    scales = {id(module.weight) for module in network.modules() if isinstance(module, norms)}
    for name, tensor in network.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if id(tensor) in scales:
            drawn = 1 + 0.2 * noise
        elif name == "clip_std":
            drawn = 0.6 + 0.8 * torch.rand(tensor.shape, generator=generator)
        elif "embedding.weight" in name or "embedding" in name.split(".")[-1]:
            drawn = 0.5 * noise
        elif tensor.ndim < 2 or name == "clip_mean":
            drawn = 0.2 * noise
        else:
            drawn = noise * (tensor[0].numel() ** -0.5)
        # A weight near 0 would vanish in half precision.
        drawn = torch.where(drawn.abs() < 1e-4, torch.full_like(drawn, 1e-3), drawn)
        tensor.copy_(drawn.half().float() if half else drawn)
        assert (tensor != 0).all(), name


def teach(network, shape, generator, steps=200):
    """Lets the network half learn what noise is, as its pictures would else be clamped to black and white.

    All its weights stay random in that nothing in them is round, equal or small.
    """
    normal = lambda *size: torch.randn(size, generator=generator)
    alphas, size, count = UnCLIPScheduler().alphas_cumprod, network.config.sample_size, 8
    optimiser = torch.optim.Adam(network.requires_grad_(True).parameters(), lr=3e-3)
    for step in range(steps):
        t = torch.randint(1000, (count,), generator=generator)
        alpha = alphas[t].reshape(-1, 1, 1, 1)
        small = normal(count, 3, 5, 5)
        clean = torch.nn.functional.interpolate(small, size, mode="bicubic").clamp(-1, 1)
        noise = normal(count, 3, size, size)
        noised = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        if isinstance(network, UNet2DConditionModel):
            context = normal(count, 4 + shape.context, shape.context_width)
            output = network(noised, t, context, class_labels=normal(count, 4 * shape.channels[0])).sample[:, :3]
        else:
            output = network(torch.cat([noised, clean], dim=1), t).sample
        loss = (output - noise).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    network.requires_grad_(False)
    for tensor in network.parameters():
        tensor.copy_(tensor.half().float() if shape.file == "f16" else tensor)
        assert (tensor != 0).all()


def version(shape):
    return "0.11.0.dev0" if shape.old_configs else "0.42.1"


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_config(path, config, kind, shape):
    if shape.old_configs:
        kept = OLD_KEYS[kind].split() + ["_class_name", "_diffusers_version"]
        config = {key: config[key] for key in sorted(kept) if key in config}
    else:
        config = {key: value for key, value in config.items() if key not in ("_name_or_path", "_use_default_values")}
    write_json(path, config)


def save_network(folder, network, shape):
    transformers = folder.name in ("text_encoder", "image_encoder")
    config = network.config.to_dict() if transformers else dict(network.config)
    if transformers:
        config["architectures"] = [type(network).__name__]
    else:
        config.update(_class_name=type(network).__name__, _diffusers_version=version(shape))
    kind = "super_res" if folder.name.startswith("super_res") else folder.name
    if kind == "text_proj":
        write_json(folder / "config.json", {key: config[key] for key in sorted(config) if key != "_name_or_path"})
    else:
        write_config(folder / "config.json", config, kind, shape)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if shape.file == "bin":
        if kind == "text_encoder":  # a buffer that files of that time hold
            positions = torch.arange(shape.context).reshape(1, -1)
            tensors = {"text_model.embeddings.position_ids": positions, **tensors}
        torch.save(tensors, folder / ("pytorch_model.bin" if transformers else "diffusion_pytorch_model.bin"))
        return
    if shape.file == "f16":
        tensors = {name: tensor.half() for name, tensor in tensors.items()}
    file = "model.safetensors" if transformers else "diffusion_pytorch_model.safetensors"
    save_file(tensors, folder / file, metadata={"format": "pt"})


def write_tokenizer(folder, vocabulary, shape):
    folder.mkdir()
    pad = "!" if shape.old_configs else bpe.END
    if shape.tokenizer in ("old", "both"):
        write_json(folder / "vocab.json", vocabulary.ids)
        lines = ["#version: 0.2", *(" ".join(pair) for pair in vocabulary.merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        token = lambda text: dict(content=text, lstrip=False, normalized=True, rstrip=False, single_word=False)
        names = dict(bos_token=token(bpe.START), eos_token=token(bpe.END), unk_token=token(bpe.END))
        write_json(folder / "special_tokens_map.json", dict(names, pad_token=pad))
        marked = {name: dict(value, __type="AddedToken") for name, value in names.items()}
        settings = dict(add_prefix_space=False, do_lower_case=True, errors="replace", tokenizer_class="CLIPTokenizer")
        write_json(
            folder / "tokenizer_config.json", dict(marked, pad_token=pad, model_max_length=shape.context, **settings)
        )
    if shape.tokenizer == "new":
        CLIPTokenizer(
            vocab=vocabulary.ids, merges=vocabulary.merges, pad_token=pad, model_max_length=shape.context
        ).save_pretrained(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    if shape.tokenizer == "both":
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    assert (tokenizer.pad_token, tokenizer.model_max_length) == (pad, shape.context)
    return tokenizer


def write_image_processor(folder, shape):
    fields = dict(
        shape.processor, do_resize=True, do_center_crop=True, do_normalize=True, resample=3,
        image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711],
    )  # fmt: skip
    if shape.old_configs:
        fields["feature_extractor_type"] = "CLIPFeatureExtractor"
    else:
        fields.update(
            image_processor_type="CLIPImageProcessor", do_convert_rgb=True, do_rescale=True, rescale_factor=1 / 255
        )
    write_json(folder / "preprocessor_config.json", fields)
    return CLIPImageProcessorPil.from_pretrained(folder)


def write_index(path, shape):
    diffusers, transformers = "diffusers", "transformers"
    write_json(
        path,
        {
            "_class_name": "UnCLIPPipeline",
            "_diffusers_version": version(shape),
            "decoder": [diffusers, "UNet2DConditionModel"],
            "decoder_scheduler": [diffusers, "UnCLIPScheduler"],
            "feature_extractor": [transformers, "CLIPImageProcessor"],
            "image_encoder": [transformers, "CLIPVisionModelWithProjection"],
            "prior": [diffusers, "PriorTransformer"],
            "prior_scheduler": [diffusers, "UnCLIPScheduler"],
            "super_res_first": [diffusers, "UNet2DModel"],
            "super_res_last": [diffusers, "UNet2DModel"],
            "super_res_scheduler": [diffusers, "UnCLIPScheduler"],
            "text_encoder": [transformers, "CLIPTextModelWithProjection"],
            "text_proj": ["unclip", "UnCLIPTextProjModel"],
            "tokenizer": [transformers, "CLIPTokenizer"],
        },
    )
