"""Records what GLIDE's reference gives for the tiny models of glide_models.py, for tests/tests/glide.rs:
`python record_glide.py REFERENCE [OUT]` rewrites `glide/`.

REFERENCE is a checkout of openai/glide-text2im at 69b5307, which needs the packages attrs, ftfy, regex, pyyaml, requests,
filelock and tqdm beside those of requirements.txt. Everything but `model/` is numbers.
"""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, sys.argv[1])
import glide_models  # noqa: E402
from glide_models import BASE, UPSAMPLE  # noqa: E402
from glide_text2im import gaussian_diffusion  # noqa: E402

CAPTION, OTHER = "a red house under a blue sky", "A Yellow BALLOON above the snow"
LONG = "a painting of a red house, " * 4 + "and a tall green tree"
ODD = "the café's 2 boats,  it'll rain! 東京 🚀"
CAPTIONS = [CAPTION, OTHER, LONG, ODD]
TOKENIZED = [
    *CAPTIONS, "", " ", "  two spaces ", "ÉTÉ à la Plage: İstanbul ẞ", "don't we're I'm he'd <tag> &amp; 100%",
    "tabs\t\tand\n\nlines \u00a0 end", "cafe\u0301 \u200b joined 👩‍👩‍👧", "1234 12 3", "a boat <|endoftext|> a tree",
    "x" * 200,
]  # fmt: skip

FEW = dict(base_timestep_respacing="10", upsample_timestep_respacing="fast27")
MANY = dict(base_timestep_respacing="100", upsample_timestep_respacing="fast27")
USUAL = dict(base_sampler="ddpm", upsample_sampler="ddim", upsample_temp=0.997, guidance_scale=3.0)
INPAINT = dict(USUAL, upsample_sampler="ddpm", guidance_scale=5.0)
# A guidance scale of 1 is the model alone, which then draws noise for itself alone.
CLIP = dict(USUAL, guidance_scale=1.0, clip_guidance_scale=3.0)
RUNS = {
    "text2im": [
        dict(USUAL, **FEW, name="guided", caption=CAPTION, pictures=3),
        dict(USUAL, **FEW, name="long", caption=LONG, pictures=1),
        dict(USUAL, **FEW, name="odd", caption=ODD, pictures=2),
        dict(USUAL, **FEW, name="unguided", caption=OTHER, pictures=2) | dict(guidance_scale=1.0),
        dict(
            USUAL, name="ddim", caption=OTHER, pictures=2, base_timestep_respacing="ddim20",
            upsample_timestep_respacing="6,4,2",
        ) | dict(base_sampler="ddim", upsample_temp=1.1),
        dict(USUAL, **MANY, name="defaults", caption=CAPTION, pictures=1),
    ],
    "inpaint": [
        dict(INPAINT, **FEW, name="landscape", caption=OTHER, pictures=2, image="0.png", mask="mask.png"),
        dict(INPAINT, **FEW, name="portrait", caption=CAPTION, pictures=1, image="1.png", mask="mask.png"),
        dict(INPAINT, **MANY, name="defaults", caption=CAPTION, pictures=1, image="0.png", mask="mask.png"),
    ],
    "clip_guided": [
        dict(CLIP, **FEW, name="alone", caption=CAPTION, pictures=2),
        dict(CLIP, **FEW, name="both", caption=OTHER, pictures=1) | dict(guidance_scale=3.0),
        dict(CLIP, **FEW, name="ddim", caption=OTHER, pictures=1) | dict(base_sampler="ddim"),
        dict(CLIP, **MANY, name="defaults", caption=CAPTION, pictures=1),
    ],
}  # fmt: skip


def main():
    torch.set_num_threads(1)
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "glide"
    for folder in ("model", "pictures"):
        shutil.rmtree(out / folder, ignore_errors=True)
    unets, clip = glide_models.build(out / "model", CAPTIONS)
    draw_mask(out / "mask.png")
    with torch.no_grad():
        record_tokens(unets["base"].tokenizer, clip, out)
        record_half(unets, record_networks(unets, clip, out), out)
        record_pictures(Reference(unets, clip, out), out)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def draw_mask(path):
    """A disc and a bar are to be kept: 255; the rest is to be painted."""
    y, x = np.mgrid[0 : BASE["image_size"], 0 : BASE["image_size"]]
    known = ((x - 5) ** 2 + (y - 6) ** 2 < 18) | (y > 12)
    Image.fromarray((255 * known).astype(np.uint8)).save(path, optimize=True)


def record_tokens(tokenizer, clip, out):
    rows = []
    for caption in TOKENIZED:
        ids, mask = tokenizer.padded_tokens_and_mask(tokenizer.encode(caption), BASE["text_ctx"])
        padded, length = clip.tokenizer.padded_tokens_and_len(clip.tokenizer.encode(caption), glide_models.CLIP["max_text_len"])
        rows.append(dict(caption=caption, ids=ids, mask=mask, clip_ids=padded, clip_length=length))
    write_json(out / "tokens.json", rows)


def record_networks(unets, clip, out):
    """Records the inputs and outputs of every network; returns the calls of the U-Nets."""
    calls, tensors, generator = {}, {}, torch.Generator().manual_seed(7)
    normal = lambda *size: torch.randn(size, generator=generator)
    for name, unet in unets.items():
        call = calls[name] = inputs(name, unet, normal)
        hook = unet.input_blocks[0].register_forward_pre_hook(lambda _, taken: call.update(input=taken[0].clone()))
        call["output"] = forward(unet, call)
        hook.remove()
        text = unet.get_text_emb(call["ids"], call["mask"])
        call.update(context=text["xf_out"].transpose(1, 2), added=text["xf_proj"])
        tensors.update({f"{name}.{key}": value for key, value in call.items()})
    ids, lengths = clip.encode_prompts([CAPTION, LONG, "", ODD])
    embedding = clip.text_embeddings([CAPTION, LONG, "", ODD])
    tensors.update({"clip_text.ids": ids, "clip_text.lengths": lengths, "clip_text.embedding": embedding})
    images, timesteps = 0.8 * normal(4, 3, 16, 16), torch.tensor([999, 500, 21, 0])
    gradient = clip.cond_fn([CAPTION, LONG, "", ODD], 3.0)(images, timesteps)
    for key, value in dict(images=images, timesteps=timesteps, gradient=gradient).items():
        tensors[f"clip_image.{key}"] = value
    tensors["clip_image.embedding"] = clip.image_embeddings(images, timesteps)
    print("clip gradient", gradient.abs().mean(), "norm", tensors["clip_image.embedding"].norm(dim=1), file=sys.stderr)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "networks.safetensors")
    return calls


def inputs(name, unet, normal):
    """The batch of a U-Net: four timesteps, and captions that are padded, cut, empty and odd."""
    size = glide_models.options(name)["image_size"]
    ids, mask = glide_models.tokens(unet, [CAPTION, LONG, "", ODD])
    call = dict(x=normal(4, 3, size, size), timesteps=torch.tensor([997, 500, 133, 0]), ids=ids, mask=mask)
    if name.startswith("upsample"):
        call["low_res"] = normal(4, 3, BASE["image_size"], BASE["image_size"]).clamp(-1, 1)
    if name.endswith("inpaint"):
        known = (normal(4, 1, size, size) > 0).float()
        call.update(inpaint_image=normal(4, 3, size, size).clamp(-1, 1) * known, inpaint_mask=known)
    return call


def forward(unet, call):
    more = {key: call[key] for key in ("low_res", "inpaint_image", "inpaint_mask") if key in call}
    return unet(call["x"], call["timesteps"], tokens=call["ids"], mask=call["mask"], **more)


def record_half(unets, calls, out):
    """How far the reference's own mixed precision is off: the root mean square of the difference to f32, relative."""
    record = {}
    for name, unet in unets.items():
        for kind, dtype in dict(f16=torch.float16, bf16=torch.bfloat16).items():
            half = glide_models.create(name)
            half.load_state_dict(unet.state_dict())
            half.convert_to_fp16()
            for parameter in half.parameters():
                if parameter.dtype == torch.float16:  # the weights are f16's values, so nothing is rounded twice
                    parameter.data = parameter.data.to(dtype)
            half.dtype = dtype
            exact = calls[name]["output"]
            off = (forward(half, calls[name]) - exact).square().sum() / exact.square().sum()
            record.setdefault(name, {})[kind] = off.sqrt().item()
    write_json(out / "half.json", record)


class Streams:
    """torch, but the noise of a batch comes from one generator a picture. A batch holds each picture once, or twice: first all
    conditional halves, then the others. With one picture this is what the generator gives for the whole batch."""

    def __init__(self, seeds):
        self.generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def __getattr__(self, name):
        return getattr(torch, name)

    def randn(self, *shape, device=None):
        times = shape[0] // len(self.generators)
        drawn = [torch.randn(times, *shape[1:], generator=generator) for generator in self.generators]
        return torch.stack(drawn, dim=1).flatten(0, 1)

    def randn_like(self, x):
        return self.randn(*x.shape)


@contextlib.contextmanager
def streams(seeds):
    gaussian_diffusion.th = Streams(seeds)
    try:
        yield gaussian_diffusion.th
    finally:
        gaussian_diffusion.th = torch


class Reference:
    """Runs as the reference's notebooks make them."""

    def __init__(self, unets, clip, out):
        self.unets, self.clip, self.out = unets, clip, out

    def run(self, case, seeds):
        """The base images `[B, 3, h, w]`, and the finished pictures as bytes `[B, H, W, 3]`."""
        with streams(seeds) as noise:
            return self.draw(case, len(seeds), noise)

    def draw(self, case, count, noise):
        stages = ("base_inpaint", "upsample_inpaint") if "image" in case else ("base", "upsample")
        known = [None, None]
        if "image" in case:
            known = self.known(case, count)
        base, upsample = (self.unets[stage] for stage in stages)
        diffusions = [glide_models.diffusion(of, case[f"{of.split('_')[0]}_timestep_respacing"]) for of in stages]
        guided = case["guidance_scale"] != 1
        captions = [case["caption"]] * count
        size, many = BASE["image_size"], count * (2 if guided else 1)
        cond_fn = None
        if "clip_guidance_scale" in case:
            cond_fn = self.clip.cond_fn([case["caption"]] * many, case["clip_guidance_scale"])
        small = self.sample(
            case["base_sampler"], diffusions[0], guide(base, case["guidance_scale"]) if guided else base,
            (many, 3, size, size), None, captions + [""] * (many - count), base, known[0], cond_fn,
        )[:count]  # fmt: skip
        shape = (count, 3, UPSAMPLE["image_size"], UPSAMPLE["image_size"])
        low_res = ((small + 1) * 127.5).round() / 127.5 - 1
        large = self.sample(
            case["upsample_sampler"], diffusions[1], upsample, shape, noise.randn(*shape) * case["upsample_temp"], captions,
            upsample, known[1], None, low_res=low_res,
        )  # fmt: skip
        pictures = ((large + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return small, pictures

    def sample(self, sampler, diffusion, model_fn, shape, noise, captions, unet, known, cond_fn, **more):
        ids, mask = glide_models.tokens(unet, captions)
        more.update(tokens=ids, mask=mask)
        denoised_fn = None
        if known:
            image, kept = (value.repeat(shape[0] // len(value), 1, 1, 1) for value in known)
            more.update(inpaint_image=image * kept, inpaint_mask=kept)
            denoised_fn = lambda x_0: x_0 * (1 - kept) + image * kept * kept
        loop = diffusion.p_sample_loop if sampler == "ddpm" else diffusion.ddim_sample_loop
        return loop(
            model_fn, shape, noise=noise, device="cpu", clip_denoised=True, model_kwargs=more, cond_fn=cond_fn,
            denoised_fn=denoised_fn,
        )  # fmt: skip

    def known(self, case, count):
        """The picture and the mask of what is kept, in both sizes."""
        mask = torch.tensor(np.array(Image.open(self.out / case["mask"]))[None, None] > 127).float()
        source = Image.open(HERE / "data" / "images" / case["image"]).convert("RGB")
        sides = []
        for size in (BASE["image_size"], UPSAMPLE["image_size"]):
            pixels = torch.tensor(np.array(source.resize((size, size), resample=Image.BICUBIC)))
            image = pixels[None].permute(0, 3, 1, 2).float() / 127.5 - 1
            sides.append((image.repeat(count, 1, 1, 1), F.interpolate(mask, (size, size)).repeat(count, 1, 1, 1)))
        return sides


def guide(unet, scale):
    """Classifier-free guidance of a batch whose second half is unconditional; each half keeps its own variance."""

    def model_fn(x_t, t, **kwargs):
        half = x_t[: len(x_t) // 2]
        eps, variance = unet(torch.cat([half, half]), t, **kwargs).split(3, dim=1)
        conditional, unconditional = eps.chunk(2)
        eps = unconditional + scale * (conditional - unconditional)
        return torch.cat([torch.cat([eps, eps]), variance], dim=1)

    return model_fn


@contextlib.contextmanager
def shaken(reference, seed):
    """Multiplies what every network gives by 1 + 1e-6 noise."""
    generator = torch.Generator().manual_seed(seed)
    shake = lambda _module, _inputs, given: given * (1 + 1e-6 * torch.randn(given.shape, generator=generator))
    networks = [*reference.unets.values(), reference.clip.text_encoder, reference.clip.image_encoder]
    hooks = [network.register_forward_hook(shake) for network in networks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def record_pictures(reference, out):
    one_generator_is_torchs(reference)
    (out / "pictures").mkdir()
    bases = {}
    for kind, cases in RUNS.items():
        for case in cases:
            seed = 0
            while not (drawn := steady(reference, case, seed)):
                print(f"{kind}/{case['name']}: seed {seed} flips on a rounding error, trying another", file=sys.stderr)
                seed += 1
            case["seed"] = seed
            clamped = np.mean([((picture == 0) | (picture == 255)).mean() for _, picture in drawn])
            print(f"{kind}/{case['name']}: seed {seed}, {100 * clamped:.1f}% of the values at the ends", file=sys.stderr)
            for index, (small, picture) in enumerate(drawn):
                bases[f"{kind}.{case['name']}.{index}"] = small
                Image.fromarray(picture).save(out / "pictures" / f"{kind}-{case['name']}-{index}.png", optimize=True)
    save_file(bases, out / "bases.safetensors")
    write_json(out / "cases.json", RUNS)


def one_generator_is_torchs(reference):
    """Checks that `Streams` draw the numbers that the notebook draws from torch's own generator."""
    case = RUNS["text2im"][0]
    torch.manual_seed(5)
    alone = reference.draw(case, 1, torch)[1]
    assert distance(alone, reference.run(case, [5])[1]) == 0


def distance(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def steady(reference, case, seed, shakes=4, bound=2):
    """Each picture drawn alone, unless one of them, or all in one batch, depends on rounding."""
    draw = lambda seeds: reference.run(case, seeds)
    alone = [draw([seed + index]) for index in range(case["pictures"])]
    drawn = [(small[0].contiguous(), pictures[0]) for small, pictures in alone]
    together = draw([seed + index for index in range(case["pictures"])])[1]
    if any(distance(picture, other) > bound for (_, picture), other in zip(drawn, together)):
        return None
    for shake in range(shakes):
        for index, (_, picture) in enumerate(drawn):
            with shaken(reference, 1000 + shake):
                if distance(picture, draw([seed + index])[1][0]) > bound:
                    return None
    return drawn


if __name__ == "__main__":
    main()
