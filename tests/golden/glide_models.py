"""Tiny GLIDE models with random weights, made of the reference's classes and saved as its files are published: plain state
dicts (of f16) in one folder with GPT-2's two files, CLIP's merges and a `glide.json`.

The base has two levels and attends at the coarser one; the upsampler has three and attends at the coarsest. Their text
transformers and head widths differ, and so do the two encoders of the noised CLIP.
"""

import gzip
import json
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from glide_text2im import model_creation
from glide_text2im.clip.model_creation import create_clip_model
from glide_text2im.tokenizer.bpe import Encoder
from glide_text2im.tokenizer.simple_tokenizer import SimpleTokenizer

import bpe

BASE = dict(
    image_size=16, num_channels=32, num_res_blocks=1, channel_mult="1,2", num_head_channels=16,
    attention_resolutions="8", text_ctx=16, xf_width=32, xf_layers=2, xf_heads=2, use_fp16=False,
)  # fmt: skip
UPSAMPLE = dict(
    image_size=32, num_channels=32, num_res_blocks=1, channel_mult="1,1,1", num_head_channels=8,
    attention_resolutions="8", text_ctx=16, xf_width=48, xf_layers=1, xf_heads=3, use_fp16=False,
)  # fmt: skip
CLIP = dict(
    logit_scale=100.0, beta_schedule="squaredcos_cap_v2", n_timesteps=1000, image_size=16, patch_size=4, n_vocab=640,
    max_text_len=20, n_embd=24, n_head_state_text=16, n_head_text=3, n_xf_blocks_text=2, n_head_state_image=16,
    n_head_image=2, n_xf_blocks_image=2,
)  # fmt: skip
# The inpainting base is narrower than the base; glide.json has its heads in common with it.
BASE_INPAINT = BASE | dict(channel_mult="1,1")
UNETS = ("base", "upsample", "base_inpaint", "upsample_inpaint")
CLIP_FILES = dict(text_encoder="clip_text_enc.pt", image_encoder="clip_image_enc.pt")


def build(folder: Path, captions):
    """Makes the models, saves them under `folder`, and gives what was saved as the reference reads it."""
    folder.mkdir(parents=True)
    write_tokenizers(folder)
    write_options(folder / "glide.json")
    tokenizer, clip_tokenizer = open_tokenizers(folder)
    model_creation.get_encoder = lambda: tokenizer
    unets = {}
    for index, name in enumerate(UNETS):
        unet = create(name)
        generator = torch.Generator().manual_seed(index)
        randomise(unet, generator)
        teach(name, unet, captions, generator)
        unets[name] = save(unet, folder / f"{name}.pt")
    clip = create_clip(folder, clip_tokenizer)
    for index, (part, file) in enumerate(CLIP_FILES.items()):
        randomise(getattr(clip, part), torch.Generator().manual_seed(10 + index))
        save(getattr(clip, part), folder / file)
    return unets, clip


def options(name):
    upsample = name.startswith("upsample")
    defaults = model_creation.model_and_diffusion_defaults_upsampler if upsample else model_creation.model_and_diffusion_defaults
    ours = dict(base=BASE, base_inpaint=BASE_INPAINT).get(name, UPSAMPLE)
    return defaults() | ours | dict(inpaint=name.endswith("inpaint"))


def create(name):
    """A U-Net with fresh weights."""
    return model_creation.create_model_and_diffusion(**options(name))[0].eval().requires_grad_(False)


def diffusion(name, timestep_respacing):
    of = options(name)
    return model_creation.create_gaussian_diffusion(of["diffusion_steps"], of["noise_schedule"], timestep_respacing)


def create_clip(folder, tokenizer):
    config = folder / "config.yaml"
    config.write_text(yaml.dump(CLIP))
    clip = create_clip_model(config_path=str(config), device=torch.device("cpu"), tokenizer=tokenizer)
    config.unlink()
    for encoder in (clip.text_encoder, clip.image_encoder):
        encoder.eval().requires_grad_(False)
    return clip


def save(network, path):
    """Saves f16 and reads it again, so that the reference computes with what the file holds."""
    away = lambda tensor: torch.where(tensor.abs() < 1e-6, torch.full_like(tensor, 1e-6), tensor).half()
    torch.save({name: away(tensor) for name, tensor in network.state_dict().items()}, path)
    network.load_state_dict(torch.load(path))
    for name, tensor in network.named_parameters():
        assert (tensor != 0).all() and tensor.isfinite().all(), f"{path.name}: {name}"
    return network


def randomise(network, generator):
    """Draws every weight, so that nothing that a fresh network holds at 0 or 1, or not at all, hides a mistake."""
    norms = (torch.nn.LayerNorm, torch.nn.GroupNorm)
    scales = {id(module.weight) for module in network.modules() if isinstance(module, norms)}
    for name, tensor in network.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if id(tensor) in scales or name.endswith("ln.g"):
            drawn = 1 + 0.2 * noise
        elif "embedding" in name or name.split(".")[-1] in ("w_voc", "w_pos", "w_t"):
            drawn = 0.5 * noise
        elif tensor.ndim < 2:
            drawn = 0.2 * noise
        else:
            drawn = noise * (tensor[0].numel() ** -0.5)
        tensor.copy_(torch.where(drawn.abs() < 1e-4, torch.full_like(drawn, 1e-3), drawn))


def teach(name, unet, captions, generator, steps=200, count=4):
    """Lets a U-Net half learn what noise is, and which colours a caption stands for: its pictures would else be clamped to
    black and white, and be the same for every caption."""
    normal = lambda *size: torch.randn(size, generator=generator)
    alphas = torch.tensor(diffusion(name, "").alphas_cumprod, dtype=torch.float32)
    size, rows = options(name)["image_size"], [*captions, ""]
    ids, mask = tokens(unet, rows)
    colours = normal(len(rows), 3, 2, 2)
    colours[-1] = 0
    optimiser = torch.optim.Adam(unet.requires_grad_(True).parameters(), lr=3e-3)
    for _ in range(steps):
        t = torch.randint(1000, (count,), generator=generator)
        chosen = torch.randint(len(rows), (count,), generator=generator)
        alpha = alphas[t].reshape(-1, 1, 1, 1)
        clean = enlarge(0.6 * normal(count, 3, 5, 5), size) + enlarge(0.6 * colours[chosen], size)
        clean, noise = clean.clamp(-1, 1), normal(count, 3, size, size)
        more = {}
        if name.startswith("upsample"):
            more["low_res"] = F.interpolate(clean, BASE["image_size"], mode="area")
        if name.endswith("inpaint"):
            known = (enlarge(normal(count, 1, 4, 4), size) > 0).float()
            more.update(inpaint_image=clean * known, inpaint_mask=known)
        noised = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        eps, variance = unet(noised, t, tokens=ids[chosen], mask=mask[chosen], **more).split(3, dim=1)
        loss = (eps - noise).square().mean() + 0.1 * variance.square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    print(f"{name}: {sum(p.numel() for p in unet.parameters())} parameters, loss {loss.item():.3f}", flush=True)
    unet.requires_grad_(False)


def enlarge(x, size):
    return F.interpolate(x, size, mode="bicubic")


def tokens(unet, captions):
    """The captions' tokens and their mask, as a U-Net takes them."""
    pairs = [unet.tokenizer.padded_tokens_and_mask(unet.tokenizer.encode(text), unet.text_ctx) for text in captions]
    return tuple(torch.tensor(side) for side in zip(*pairs))


def write_options(path):
    names = ("image_size", "num_head_channels", "xf_heads")
    options = {name: {key: of[key] for key in names} for name, of in dict(base=BASE, upsample=UPSAMPLE).items()}
    options["clip_text_enc"] = dict(n_head_text=CLIP["n_head_text"])
    options["clip_image_enc"] = dict(n_head_image=CLIP["n_head_image"])
    path.write_text(json.dumps(options, indent=2) + "\n")


def write_tokenizers(folder):
    """GPT-2's table in small (the bytes, 120 merges, the end of the text), and CLIP's merges in small."""
    symbols = bpe.letters()
    words = Counter([*bpe.TEXT[:4], *(" " + word for word in bpe.TEXT)])
    words = [([symbols[byte] for byte in word.encode()], times) for word, times in words.items()]
    merges = []
    while len(merges) < 120:
        pairs = Counter()
        for pieces, times in words:
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += times
        merges.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        words = [(bpe.merge(pieces, merges[-1]), times) for pieces, times in words]
    table = [*symbols.values(), *map("".join, merges), bpe.END]
    assert len(set(table)) == len(table)
    (folder / "encoder.json").write_text(json.dumps({token: index for index, token in enumerate(table)}))
    write_merges(folder / "vocab.bpe", "#version: 0.2", merges, "\n")
    # The reference would take a last empty line for a merge; the published file goes on after the merges that it uses.
    merges = folder / "merges"
    write_merges(merges, "#version: 0.2", bpe.train().merges, "")
    (folder / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(merges.read_bytes(), mtime=0))
    merges.unlink()


def write_merges(path, first, merges, end):
    path.write_text("\n".join([first, *(" ".join(pair) for pair in merges)]) + end, encoding="utf-8")


def open_tokenizers(folder):
    table = json.loads((folder / "encoder.json").read_text())
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    tokenizer = Encoder(encoder=table, bpe_merges=[tuple(line.split()) for line in lines])
    return tokenizer, SimpleTokenizer(str(folder / "bpe_simple_vocab_16e6.txt.gz"))
