"""Records what the reference draws by hints, and from a picture's embedding, with the tiny models of Kandinsky 2.2:
`python record_kandinsky_hints.py` rewrites `kandinsky/*/hints` and `kandinsky/*/emb2emb`. The models that `record_kandinsky.py`
recorded stay as they are.

- `hints/` is the repository of a decoder that takes hints (ControlNet), but for the autoencoder, which is the decoder's; with the
  hints, what its U-Net took and gave (`networks.safetensors`), and pictures, from noise and from an image on.
- `emb2emb/` holds embeddings by the prior pipeline that starts from a picture's embedding (`embeddings.safetensors`), and the
  decoder's pictures of them, from one generator.
"""

import shutil

import diffusers
import numpy as np
import torch
import transformers
from diffusers import KandinskyV22ControlnetImg2ImgPipeline, KandinskyV22Pipeline, KandinskyV22PriorEmb2EmbPipeline
from diffusers import KandinskyV22PriorPipeline
from PIL import Image
from safetensors.torch import save_file

import kandinsky_models
import models
import record
from record_kandinsky import DATA
from record_kandinsky_edits import Networks, generators_of, one_or_all, to_bytes, unit

# A name, an image to start from and its strength, a caption, a negative one, pictures, width and height in latents of the
# coarsest level, prior steps and scale, decoder steps and scale.
HINTS = {
    "two": [
        ("square", None, None, "a red house under a blue sky", None, 2, 4, 4, 5, 4.0, 6, 4.0),
        ("wide", None, None, "a small boat sails on the sea", None, 1, 7, 4, 5, 4.0, 6, 4.0),
        ("unguided", None, None, "a red house", None, 1, 3, 5, 5, 1.0, 6, 1.0),
        ("negative", None, None, "a photo of a mushroom", "blue and dark", 1, 4, 4, 5, 4.0, 6, 4.0),
        ("image", "3", 0.7, "a red house", None, 2, 4, 4, 5, 4.0, 6, 4.0),
        ("defaults", None, None, "two fish swim below the bridge", None, 1, 4, 4, 25, 4.0, 100, 4.0),
    ],
    "three": [
        ("square", None, None, "a rocket above the hills", None, 2, 2, 2, 5, 4.0, 6, 4.0),
        ("wide", None, None, "a tall green tree", None, 1, 3, 2, 5, 4.0, 6, 2.5),
    ],
}  # fmt: skip

# A name, an image, the prior's strength, a caption, a negative one, pictures, width and height, prior steps and scale, decoder
# steps and scale.
EMB2EMB = {
    "two": [
        ("square", "3", 0.5, "a red house under a blue sky", None, 2, 4, 4, 6, 4.0, 6, 4.0),
        ("unguided", "2", 0.9, "a small boat", None, 1, 5, 3, 6, 1.0, 6, 1.0),
        ("negative", "1", 0.6, "a boat", "blue and dark", 1, 4, 4, 5, 4.0, 6, 4.0),
        ("whole", "0", 1.0, "a red house", None, 1, 4, 4, 5, 4.0, 6, 4.0),
        ("defaults", "0", 0.3, "two fish swim below the bridge", None, 1, 4, 4, 25, 4.0, 100, 4.0),
    ],
    "three": [("square", "2", 0.4, "a tall green tree", None, 2, 2, 2, 5, 4.0, 6, 4.0)],
}  # fmt: skip


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    for shape in kandinsky_models.SHAPES:
        folder = DATA / shape.name
        saved = dict(use_safetensors=not shape.bin, dtype=torch.float32)
        prior = KandinskyV22PriorPipeline.from_pretrained(folder / "prior", **saved)
        decoder = KandinskyV22Pipeline.from_pretrained(folder / "decoder", **saved)
        for name in ("hints", "emb2emb"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name / "pictures").mkdir(parents=True)
        hinted = kandinsky_models.build_hinted(shape, folder / "hints", decoder)
        emb2emb = KandinskyV22PriorEmb2EmbPipeline(**prior.components)
        for pipeline in (prior, decoder, hinted, emb2emb):
            pipeline.set_progress_bar_config(disable=True)
        with torch.no_grad():
            record_networks(hinted, shape, folder / "hints")
            record_hints(prior, hinted, shape, folder / "hints")
            record_emb2emb(emb2emb, decoder, shape, folder / "emb2emb")


def record_networks(hinted, shape, folder):
    generator = torch.Generator().manual_seed(shape.clip.seed)
    normal = lambda *size: torch.randn(size, generator=generator)
    side = 2 ** (len(shape.channels) - 1)
    embedding, timesteps = normal(2, shape.clip.embedding), torch.tensor([981, 1])
    height, width = 4 * side, 3 * side
    noised, hint = normal(2, 4, height, width), normal(2, 3, 8 * height, 8 * width).sigmoid()
    given = dict(image_embeds=embedding, hint=hint)
    predicted = hinted.unet(noised, timesteps, None, added_cond_kwargs=given).sample
    features = hinted.unet.add_embedding(embedding, hint)[1]
    tensors = dict(
        embedding=embedding, timesteps=timesteps, noised=noised, hint=hint, features=features, predicted=predicted,
    )  # fmt: skip
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "networks.safetensors")


def draw_hint(width, height):
    """Depths as an estimator gives them: a floor, a wall, and a ball before them."""
    y, x = np.mgrid[0:height, 0:width]
    depths = np.clip(0.15 + 1.2 * np.maximum(0, y / height - 0.45), 0, 1)
    radius = np.hypot(x - 0.6 * width, y - 0.5 * height) / (0.3 * min(width, height))
    depths = np.where(radius < 1, 0.75 + 0.2 * np.sqrt(np.maximum(0, 1 - radius**2)), depths)
    return Image.fromarray((depths * 255).astype(np.uint8)).convert("RGB")


def record_hints(prior, hinted, shape, folder):
    cases = []
    from_image = KandinskyV22ControlnetImg2ImgPipeline(**hinted.components)
    from_image.set_progress_bar_config(disable=True)
    latents = 2 ** (len(shape.channels) - 1)
    for case in HINTS[shape.name]:
        name, image, strength, caption, negative, count, width, height, prior_steps, prior_scale, steps, scale = case
        # As many pixels a latent as the encoder of hints has, whatever the autoencoder's are.
        depths = draw_hint(8 * width * latents, 8 * height * latents)
        depths.save(folder / f"hint-{name}.png", optimize=True)
        hint = torch.from_numpy(np.array(depths)).float().permute(2, 0, 1).unsqueeze(0) / 255
        width, height = width * unit(shape), height * unit(shape)
        picture = image and Image.open(record.DATA / "images" / f"{image}.png")

        def draw_group(seeds):
            generators = generators_of(seeds)
            embeddings = prior(
                caption, negative_prompt=negative, num_images_per_prompt=len(seeds), num_inference_steps=prior_steps,
                guidance_scale=prior_scale, generator=one_or_all(generators),
            )  # fmt: skip
            given = dict(embeddings, hint=hint.repeat(len(seeds), 1, 1, 1))
            given.update(height=height, width=width, num_inference_steps=steps, guidance_scale=scale)
            given.update(generator=one_or_all(generators), output_type="np")
            if image:
                given.update(image=[picture] * len(seeds), strength=strength)
            return to_bytes((from_image if image else hinted)(**given).images)

        seed = record.save_steady(Networks(prior, hinted), draw_group, count, folder, name)
        cases.append(
            dict(
                name=name, hint=f"hint-{name}.png", image=image and f"{image}.png", strength=strength, caption=caption,
                negative_caption=negative, seed=seed, pictures=count, width=width, height=height,
                prior_steps=prior_steps, prior_guidance_scale=prior_scale, decoder_steps=steps,
                decoder_guidance_scale=scale,
            )  # fmt: skip
        )
    models.write_json(folder / "cases.json", cases)


def record_emb2emb(emb2emb, decoder, shape, folder):
    cases, tensors = [], {}
    for case in EMB2EMB[shape.name]:
        name, image, strength, caption, negative, count, width, height, prior_steps, prior_scale, steps, scale = case
        width, height = width * unit(shape), height * unit(shape)
        picture = Image.open(record.DATA / "images" / f"{image}.png")

        def embed(generators):
            images = [picture] * (1 if negative is None else 2)
            return emb2emb(
                caption, images, strength=strength, negative_prompt=negative, num_images_per_prompt=len(generators),
                num_inference_steps=prior_steps, guidance_scale=prior_scale, generator=one_or_all(generators),
            )  # fmt: skip

        def draw(seeds):
            generators = generators_of(seeds)
            return to_bytes(
                decoder(
                    **embed(generators), height=height, width=width, num_inference_steps=steps, guidance_scale=scale,
                    generator=one_or_all(generators), output_type="np",
                ).images  # fmt: skip
            )

        seed = record.save_steady(Networks(emb2emb, decoder), draw, count, folder, name)
        tensors[name] = torch.cat([embed(generators_of([seed + i])).image_embeds for i in range(count)])
        cases.append(
            dict(
                name=name, prior_image=f"{image}.png", prior_strength=strength, caption=caption,
                negative_caption=negative, seed=seed, pictures=count, width=width, height=height,
                prior_steps=prior_steps, prior_guidance_scale=prior_scale, decoder_steps=steps,
                decoder_guidance_scale=scale,
            )  # fmt: skip
        )
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "embeddings.safetensors")
    models.write_json(folder / "cases.json", cases)


if __name__ == "__main__":
    main()
