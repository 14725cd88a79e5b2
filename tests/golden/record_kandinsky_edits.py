"""Records what the reference inpaints and mixes with the tiny models of Kandinsky 2.2: `python record_kandinsky_edits.py` rewrites
`kandinsky/*/inpainting` and `kandinsky/*/mixing`, with a name of these as an argument one of them. The models that `record_kandinsky.py` recorded stay as they are.

- `inpainting/` is the repository of a decoder that inpaints, but for the autoencoder, which is the decoder's; with what its
  U-Net took and gave, masks before and after their erosion (`networks.safetensors`), and pictures.
- `mixing/` holds embeddings by the prior pipeline's `interpolate` (`embeddings.safetensors`), and the decoder's pictures of them,
  from one generator.
"""

import shutil
import sys

import diffusers
import numpy as np
import torch
import transformers
from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline
from diffusers.pipelines.kandinsky2_2.pipeline_kandinsky2_2_inpainting import prepare_mask
from PIL import Image
from safetensors.torch import save_file

import kandinsky_models
import models
import record
from record_kandinsky import DATA

# A name, an image, the painted part of the mask, a caption, a negative one, pictures, width and height in latents of the coarsest
# level, prior steps and scale, decoder steps and scale.
INPAINTING = {
    "two": [
        ("square", "3", "blob", "a red house under a blue sky", None, 2, 4, 4, 5, 4.0, 6, 4.0),
        ("wide", "0", "right", "a small boat sails on the sea", None, 1, 7, 4, 5, 4.0, 6, 4.0),
        ("tall", "1", "blob", "A yellow balloon above the snow", None, 2, 3, 5, 5, 4.0, 6, 3.0),
        ("unguided", "2", "blob", "a red house", None, 1, 4, 4, 5, 1.0, 6, 1.0),
        ("negative", "3", "right", "a photo of a mushroom", "blue and dark", 1, 4, 4, 5, 4.0, 6, 4.0),
        ("everything", "3", "all", "a red house", None, 1, 4, 4, 5, 4.0, 6, 4.0),
        ("defaults", "0", "blob", "two fish swim below the bridge", None, 1, 4, 4, 25, 4.0, 100, 4.0),
    ],
    "three": [
        ("square", "2", "blob", "a rocket above the hills", None, 2, 2, 2, 5, 4.0, 6, 4.0),
        ("wide", "3", "right", "a tall green tree", None, 1, 3, 2, 5, 4.0, 6, 2.5),
    ],
}  # fmt: skip

# A name, captions and images (their numbers), weights, a negative caption, pictures, width and height, prior steps and scale, decoder steps and scale.
MIXING = {
    "two": [
        ("caption-image", ["a red house", 3], [0.6, 0.4], None, 2, 4, 4, 5, 4.0, 6, 4.0),
        ("images", [2, 0], [0.5, 0.5], None, 1, 4, 4, 5, 4.0, 6, 4.0),
        ("captions", ["a small boat", "A yellow balloon above the snow"], [0.3, 0.7], None, 2, 5, 3, 5, 4.0, 6, 4.0),
        ("three", [1, "a red house", "blue and dark"], [0.8, 0.9, -0.4], None, 1, 4, 4, 5, 4.0, 6, 4.0),
        ("unguided", ["a red house", 1], [0.2, 0.6], None, 1, 4, 4, 5, 1.0, 6, 1.0),
        ("negative", ["a red house", 3], [0.6, 0.4], "blue and dark", 2, 4, 4, 5, 4.0, 6, 4.0),
        ("images-negative", [2, 0], [0.5, 0.5], "a boat", 1, 4, 4, 5, 4.0, 6, 4.0),
        ("defaults", ["two fish swim below the bridge", 0], [0.4, 0.6], None, 1, 4, 4, 25, 4.0, 100, 4.0),
    ],
    "three": [
        ("caption-image", [record.EMOJI, 2], [0.4, 0.6], None, 2, 2, 2, 5, 4.0, 6, 4.0),
        ("captions", ["a tall green tree", "a house"], [0.5, 0.5], None, 1, 3, 1, 5, 2.0, 7, 2.5),
    ],
}  # fmt: skip


class Networks:
    """The networks of several pipelines, for `record.shaken`."""

    def __init__(self, *pipelines):
        parts = [part for pipeline in pipelines for part in pipeline.components.items()]
        self.components = {str(n): part for n, (name, part) in enumerate(parts) if name != "movq"}


def main():
    parts = sys.argv[1:] or ["inpainting", "mixing"]
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    for shape in kandinsky_models.SHAPES:
        folder = DATA / shape.name
        saved = dict(use_safetensors=not shape.bin, dtype=torch.float32)
        prior = KandinskyV22PriorPipeline.from_pretrained(folder / "prior", **saved)
        decoder = KandinskyV22Pipeline.from_pretrained(folder / "decoder", **saved)
        for name in parts:
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name / "pictures").mkdir(parents=True)
        for pipeline in (prior, decoder):
            pipeline.set_progress_bar_config(disable=True)
        if "mixing" in parts:
            with torch.no_grad():
                record_mixing(prior, decoder, shape, folder / "mixing")
        if "inpainting" in parts:
            painter = kandinsky_models.build_inpainting(shape, folder / "inpainting", decoder)
            painter.set_progress_bar_config(disable=True)
            with torch.no_grad():
                record_networks(painter, shape, folder / "inpainting")
                record_inpainting(prior, painter, shape, folder / "inpainting")


def record_networks(painter, shape, folder):
    generator = torch.Generator().manual_seed(shape.clip.seed)
    normal = lambda *size: torch.randn(size, generator=generator)
    side = 2 ** (len(shape.channels) - 1)
    embedding, timesteps = normal(2, shape.clip.embedding), torch.tensor([981, 1])
    size = (4 * side, 3 * side)
    known, mask = normal(2, 4, *size), (normal(2, 1, *size) < 1).float()
    eroded = prepare_mask(mask.clone())
    inputs = torch.cat([normal(2, 4, *size), known * eroded, eroded], dim=1)
    predicted = painter.unet(inputs, timesteps, None, added_cond_kwargs=dict(image_embeds=embedding)).sample
    tensors = dict(
        embedding=embedding, timesteps=timesteps, mask=mask, eroded=eroded, inputs=inputs, predicted=predicted,
    )  # fmt: skip
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "networks.safetensors")


def draw_mask(kind, width, height):
    """White where a picture is painted: odd shapes with edges that are no multiples of a latent."""
    y, x = np.mgrid[0:height, 0:width]
    if kind == "right":
        painted = x >= width * 0.62
    elif kind == "blob":
        centre = ((x - 0.55 * width) / (0.3 * width)) ** 2 + ((y - 0.45 * height) / (0.25 * height)) ** 2
        painted = (centre < 1) | ((x > 1) & (x < 4) & (y > 0.7 * height))
    else:
        painted = np.ones_like(x, bool)
    return Image.fromarray((painted * 255).astype(np.uint8))


def unit(shape):
    """The pixels of a latent of the U-Net's coarsest level."""
    return 2 ** (len(shape.movq) - 1 + len(shape.channels) - 1)


def generators_of(seeds):
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def one_or_all(generators):
    return generators[0] if len(generators) == 1 else generators


def to_bytes(images):
    return (images * 255).round().astype(np.uint8)


def record_inpainting(prior, painter, shape, folder):
    cases = []
    for case in INPAINTING[shape.name]:
        name, image, kind, caption, negative, count, width, height, prior_steps, prior_scale, steps, scale = case
        width, height = width * unit(shape), height * unit(shape)
        picture, mask = Image.open(record.DATA / "images" / f"{image}.png"), draw_mask(kind, width, height)
        mask.save(folder / f"mask-{name}.png", optimize=True)

        def draw_group(seeds):
            generators = generators_of(seeds)
            embeddings = prior(
                caption, negative_prompt=negative, num_images_per_prompt=len(seeds), num_inference_steps=prior_steps,
                guidance_scale=prior_scale, generator=one_or_all(generators),
            )  # fmt: skip
            return to_bytes(
                painter(
                    **embeddings, image=[picture] * len(seeds), mask_image=[mask] * len(seeds), height=height,
                    width=width, num_inference_steps=steps, guidance_scale=scale, generator=generators,
                    output_type="np",
                ).images  # fmt: skip
            )

        seed = record.save_steady(Networks(prior, painter), draw_group, count, folder, name)
        cases.append(
            dict(
                name=name, image=f"{image}.png", caption=caption, negative_caption=negative, seed=seed, pictures=count,
                width=width, height=height, prior_steps=prior_steps, prior_guidance_scale=prior_scale,
                decoder_steps=steps, decoder_guidance_scale=scale,
            )  # fmt: skip
        )
    models.write_json(folder / "cases.json", cases)


def record_mixing(prior, decoder, shape, folder):
    cases, tensors = [], {}
    for case in MIXING[shape.name]:
        name, things, weights, negative, count, width, height, prior_steps, prior_scale, steps, scale = case
        width, height = width * unit(shape), height * unit(shape)
        read = lambda n: Image.open(record.DATA / "images" / f"{n}.png")
        conditions = [thing if isinstance(thing, str) else read(thing) for thing in things]

        def mix(generators):
            return prior.interpolate(
                conditions, weights, num_images_per_prompt=len(generators), num_inference_steps=prior_steps,
                guidance_scale=prior_scale, generator=one_or_all(generators), negative_prompt=negative or "",
            )  # fmt: skip

        def draw(seeds):
            generators = generators_of(seeds)
            return to_bytes(
                decoder(
                    **mix(generators), height=height, width=width, num_inference_steps=steps, guidance_scale=scale,
                    generator=generators, output_type="np",
                ).images  # fmt: skip
            )

        seed = record.save_steady(Networks(prior, decoder), draw, count, folder, name)
        tensors[name] = torch.cat([mix(generators_of([seed + i])).image_embeds for i in range(count)])
        named = [dict(caption=t) if isinstance(t, str) else dict(image=f"{t}.png") for t in things]
        cases.append(
            dict(
                name=name, conditions=named, weights=weights, negative_caption=negative, seed=seed, pictures=count,
                width=width, height=height, prior_steps=prior_steps, prior_guidance_scale=prior_scale,
                decoder_steps=steps, decoder_guidance_scale=scale,
            )  # fmt: skip
        )
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "embeddings.safetensors")
    models.write_json(folder / "cases.json", cases)


if __name__ == "__main__":
    main()
