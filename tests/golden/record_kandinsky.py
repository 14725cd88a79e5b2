"""Records what the reference gives for tiny models of Kandinsky 2.2: `python record_kandinsky.py` rewrites `kandinsky/`.

For each model of `kandinsky_models.py`: its two repositories, what its networks and its scheduler gave
(`networks.safetensors`), and finished pictures (`pictures/`, `cases.json`) by the rules of `record.py`. A picture is what the
prior's pipeline and then the decoder's draw from one generator, as the combined pipeline does.
"""

import shutil
from functools import partial
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

import kandinsky_models
import models
import record

DATA = Path(__file__).parent / "kandinsky"

# A name, a caption, a negative one, pictures, width and height in latents of the coarsest level, prior steps and scale,
# decoder steps and scale.
CASES = {
    "two": [
        ("square", "a red house under a blue sky", None, 2, 4, 4, 5, 4.0, 6, 4.0),
        ("wide", "a small boat sails on the sea at night", None, 1, 6, 3, 5, 4.0, 6, 4.0),
        ("tall", "A yellow balloon above the snow", None, 2, 2, 5, 5, 4.0, 6, 3.0),
        ("unguided", "a red house", None, 1, 4, 4, 5, 1.0, 6, 1.0),
        ("prior-only", "a red house", None, 1, 4, 4, 5, 4.0, 6, 1.0),
        ("decoder-only", "a red house", None, 1, 4, 4, 5, 1.0, 6, 4.0),
        ("negative", "a photo of a mushroom", "blue and dark", 2, 4, 4, 5, 4.0, 6, 4.0),
        ("negative-long", record.LONG, record.LONG, 1, 4, 2, 5, 4.0, 6, 4.0),
        ("long", record.LONG, None, 1, 4, 4, 5, 4.0, 6, 4.0),
        ("defaults", "two fish swim below the bridge", None, 1, 4, 4, 25, 4.0, 100, 4.0),
    ],
    "three": [
        ("square", "a rocket above the hills", None, 2, 2, 2, 5, 4.0, 6, 4.0),
        ("wide", record.EMOJI, None, 1, 3, 1, 5, 4.0, 6, 4.0),
        ("negative", record.ACCENTS, "a house", 1, 2, 3, 5, 2.0, 7, 2.5),
        ("unguided", "a tall green tree", None, 2, 2, 2, 5, 1.0, 6, 1.0),
        ("defaults", "a tall green tree", None, 1, 2, 2, 25, 4.0, 100, 4.0),
    ],
}


# A name, an image, a strength, a caption, a negative one, pictures, the side in latents of the coarsest level, and the steps and
# scales. Squares alone, as the reference swaps the sides.
IMAGE_CASES = {
    "two": [
        ("image", "3", 0.5, "a red house under a blue sky", None, 2, 4, 5, 4.0, 6, 4.0),
        ("image-unguided", "2", 0.9, "a small boat", None, 1, 5, 5, 1.0, 6, 1.0),
        ("image-negative", "3", 1.0, "a boat", "blue and dark", 1, 4, 5, 4.0, 6, 4.0),
    ],
    "three": [("image", "2", 0.4, "a tall green tree", None, 2, 2, 5, 4.0, 6, 4.0)],
}


class Both:
    """The prior's and the decoder's networks, for `record.shaken`."""

    def __init__(self, prior, decoder):
        self.prior, self.decoder = prior, decoder
        networks = {**{f"prior_{n}": p for n, p in prior.components.items()}, **decoder.components}
        self.image_to_image = diffusers.KandinskyV22Img2ImgPipeline(**decoder.components)
        self.image_to_image.set_progress_bar_config(disable=True)
        self.components = {name: part for name, part in networks.items() if name != "movq"}


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    shutil.rmtree(DATA, ignore_errors=True)
    for shape in kandinsky_models.SHAPES:
        folder = DATA / shape.name
        prior, decoder = kandinsky_models.build(shape, folder)
        for pipeline in (prior, decoder):
            pipeline.set_progress_bar_config(disable=True)
        with torch.no_grad():
            record_networks(prior, decoder, shape, folder)
            (folder / "pictures").mkdir()
            record_pictures(Both(prior, decoder), shape, folder)


def record_networks(prior, decoder, shape, folder):
    generator = torch.Generator().manual_seed(shape.clip.seed)
    normal = lambda *size: torch.randn(size, generator=generator)
    unet, movq = decoder.unet, decoder.movq
    side = 2 ** (len(shape.channels) - 1)
    embedding, latents = normal(2, shape.clip.embedding), normal(2, 4, 2 * side, 3 * side)
    timesteps = torch.tensor([981, 1])
    tensors = {
        "zero_embedding": prior.get_zero_embed(),
        "embedding": embedding,
        "added": unet.add_embedding(embedding),
        "context": unet.encoder_hid_proj(embedding),
        "timesteps": timesteps,
        "noised": latents,
        "predicted": unet(latents, timesteps, None, added_cond_kwargs=dict(image_embeds=embedding)).sample,
    }
    images = normal(2, 3, 4 * 2 ** len(shape.movq), 3 * 2 ** len(shape.movq)).clamp(-1, 1)
    encoded = movq.encode(images).latents
    tensors.update(
        images=images,
        encoded=encoded,
        decoded=movq.decode(encoded, force_not_quantize=True).sample,
        quantized=movq.quantize(encoded)[0],
        decoded_codes=movq.decode(encoded).sample,
    )
    scheduler = decoder.scheduler
    scheduler.set_timesteps(7)
    tensors["steps"] = scheduler.timesteps.clone()
    for index in (0, 3, 5):
        output, sample = normal(1, 4, 3, 5), normal(1, 4, 3, 5)
        seed = 100 + index
        result = scheduler.step(
            output, int(scheduler.timesteps[index]), sample, generator=torch.Generator().manual_seed(seed)
        )
        noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))
        values = dict(output=output, sample=sample, noise=noise, result=result.prev_sample)
        tensors.update({f"step.{index}.{name}": tensor for name, tensor in values.items()})
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "networks.safetensors")


def record_pictures(both, shape, folder):
    cases = []
    unit = 2 ** (len(shape.movq) - 1 + len(shape.channels) - 1)
    images = [(n, i, s, c, neg, count, side, side, *rest) for n, i, s, c, neg, count, side, *rest in IMAGE_CASES[shape.name]]
    for case in [(name, None, None, *rest) for name, *rest in CASES[shape.name]] + images:
        name, image, strength, caption, negative, count, width, height, prior_steps, prior_scale, steps, scale = case
        width, height = width * unit, height * unit
        picture = image and Image.open(record.DATA / "images" / f"{image}.png")

        def draw(seeds):
            # A batch's noise is each picture's own. With a negative caption the prior draws noise for two rows a picture, which
            # a list of generators cannot say: those pictures are drawn one by one.
            groups = [seeds] if negative is None else [[seed] for seed in seeds]
            return np.concatenate([draw_group(group) for group in groups])

        def draw_group(seeds):
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            embeddings = both.prior(
                caption, negative_prompt=negative, num_images_per_prompt=len(seeds), num_inference_steps=prior_steps,
                guidance_scale=prior_scale, generator=generators[0] if len(seeds) == 1 else generators,
            )  # fmt: skip
            decode = both.decoder
            if image:
                decode = partial(both.image_to_image, image=[picture] * len(seeds), strength=strength)
            images = decode(
                **embeddings, height=height, width=width, num_inference_steps=steps, guidance_scale=scale,
                generator=generators, output_type="np",
            ).images  # fmt: skip
            return (images * 255).round().astype(np.uint8)

        seed = record.save_steady(both, draw, count, folder, name)
        cases.append(
            dict(
                name=name, caption=caption, negative_caption=negative, seed=seed, pictures=count, width=width,
                height=height, image=image and f"{image}.png", strength=strength, prior_steps=prior_steps, prior_guidance_scale=prior_scale, decoder_steps=steps,
                decoder_guidance_scale=scale,
            )  # fmt: skip
        )
    models.write_json(folder / "cases.json", cases)


if __name__ == "__main__":
    main()
