"""Records what OpenAI's CLIP and open_clip give for tiny models in their own files, for tests/tests/clip_files.rs.

    venv/bin/pip install -r requirements-clip.txt && venv/bin/python record_clip_files.py

Every weight is drawn, the statistics of batch norms too, and rounded to f16. `data/images` are the pictures.
"""

import gzip
import json
import shutil
from pathlib import Path

import clip
import open_clip
import torch
from clip.model import CLIP, convert_weights
from clip.simple_tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

import bpe

HERE = Path(__file__).parent
PLACE = HERE / "clip_files"
TABLE = "bpe_simple_vocab_16e6.txt.gz"
PICTURES = ["0", "1", "2", "3", "4"]
CAPTIONS = [
    "a red house", "A photo of the café at dawn!", "", "the “yellow” balloon &amp; the green tree", "ﬁsh ｂｅｌｏｗ the bridge",
    "two  fish\n\nswim\tbelow", "it&#39;s the sea at night", "a red boat beside a tall green tree under a blue sky on the snow with a fish",
]  # fmt: skip


def randomise(model, seed):
    """Draws every parameter and every statistic; none is 0 or 1, and each is one of f16."""
    generator = torch.Generator().manual_seed(seed)
    tensors = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if "running" in n)]
    for name, tensor in tensors:
        noise = torch.randn(tensor.shape, generator=generator)
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "running_var":
            drawn = 0.5 + torch.rand(tensor.shape, generator=generator)
        elif leaf == "weight" and tensor.ndim == 1:
            drawn = 1 + 0.2 * noise
        elif "logit_scale" in name:
            drawn = torch.full(tensor.shape, 2.75)
        elif "attnpool.positional_embedding" in name:
            drawn = 0.1 * noise
        elif "embedding" in name:
            drawn = 0.5 * noise
        elif tensor.ndim < 2:
            drawn = 0.2 * noise
        else:
            fan_in = tensor.shape[0] if leaf in ("proj", "text_projection") else tensor[0].numel()
            # Pictures must stay apart behind many rectifiers.
            drawn = noise * ((2 if tensor.ndim == 4 else 1) / fan_in) ** 0.5
        drawn = torch.where(drawn.abs() < 1e-3, torch.full_like(drawn, 1e-2), drawn)
        tensor.data.copy_(drawn.half().float())
        assert (tensor != 0).all(), name
    return model.eval().requires_grad_(False)


def openai(name, seed, **shape):
    """Saves an archive as OpenAI's are: a trace, half of whose weights are in f16, with three numbers as tensors."""
    model = randomise(CLIP(**shape), seed)
    for number in ("context_length", "vocab_size"):
        delattr(model, number)
    model.register_buffer("input_resolution", torch.tensor(shape["image_resolution"]))
    model.register_buffer("context_length", torch.tensor(shape["context_length"]))
    model.register_buffer("vocab_size", torch.tensor(shape["vocab_size"]))
    convert_weights(model)
    side, length = shape["image_resolution"], shape["context_length"]
    inputs = torch.zeros(2, 3, side, side), torch.ones(2, length, dtype=torch.long)
    traced = torch.jit.trace(model, inputs, check_trace=False)
    # A path with a folder would give the archive's one another name.
    traced.save(str(PLACE / "openai" / f"{name}.pt"))
    reference, preprocess = clip.load(str(PLACE / "openai" / f"{name}.pt"), device="cpu", jit=False)
    dtypes = {str(tensor.dtype) for tensor in torch.jit.load(PLACE / "openai" / f"{name}.pt").state_dict().values()}
    assert {"torch.float16", "torch.float32", "torch.int64"} <= dtypes, dtypes
    tokens = clip.tokenize(CAPTIONS, length, truncate=True)
    record(f"openai/{name}.pt", reference, preprocess, tokens)


def in_open_clip(name, seed, config, save):
    folder = PLACE / name
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    open_clip.factory._MODEL_CONFIGS[name] = config["model_cfg"]
    model = randomise(open_clip.create_model(name), seed)
    options = PreprocessCfg(size=config["model_cfg"]["vision_cfg"]["image_size"], **config["preprocess_cfg"])
    preprocess = image_transform_v2(options, is_train=False)
    state = model.state_dict().items()
    save(folder, {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state})
    length = config["model_cfg"]["text_cfg"]["context_length"]
    tokenizer = open_clip.SimpleTokenizer(str(PLACE / "openai" / TABLE), context_length=length)
    record(name, model, preprocess, tokenizer(CAPTIONS))


def record(name, model, preprocess, tokens):
    pictures = [Image.open(HERE / "data" / "images" / f"{picture}.png").convert("RGB") for picture in PICTURES]
    pixels = torch.stack([preprocess(picture) for picture in pictures])
    image, text = model.encode_image(pixels), model.encode_text(tokens)
    for embeddings in (image, text):
        assert embeddings.std(0).mean() > 0.1 * embeddings.abs().max(), f"{name}: all inputs look alike"
    tensors.update({
        f"{name}.pixels": pixels,
        f"{name}.image": image,
        f"{name}.tokens": tokens.long(),
        f"{name}.text": text,
        f"{name}.logit_scale": model.logit_scale.reshape(1),
    })  # fmt: skip


torch.set_num_threads(1)
shutil.rmtree(PLACE, ignore_errors=True)
(PLACE / "openai").mkdir(parents=True)
tensors = {}
vocabulary = bpe.train()
merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merges)
with gzip.GzipFile(PLACE / "openai" / TABLE, "wb", mtime=0) as file:
    file.write(f"#version: 0.2\n{merges}".removesuffix("\n").encode())  # the reference takes an empty last line for a merge
clip.clip._tokenizer = SimpleTokenizer(str(PLACE / "openai" / TABLE))
TEXT = dict(
    embed_dim=12, context_length=16, vocab_size=len(vocabulary.ids), transformer_width=64, transformer_heads=1,
    transformer_layers=1,
)  # fmt: skip
openai("vit", 1, image_resolution=30, vision_layers=2, vision_width=64, vision_patch_size=10, **TEXT)
openai("resnet", 2, image_resolution=64, vision_layers=(2, 1, 1, 1), vision_width=4, vision_patch_size=None, **TEXT)

in_open_clip(
    "open_clip", 3,
    dict(
        model_cfg=dict(
            embed_dim=10,
            vision_cfg=dict(image_size=28, layers=2, width=24, head_width=8, mlp_ratio=2.3334, patch_size=7),
            text_cfg=dict(context_length=16, vocab_size=len(vocabulary.ids), width=20, heads=5, layers=2),
        ),
        preprocess_cfg=dict(mean=[0.5, 0.45, 0.4], std=[0.5, 0.3, 0.25], interpolation="bilinear", resize_mode="squash"),
    ),
    lambda folder, state: save_file(state, folder / "open_clip_model.safetensors"),
)  # fmt: skip
shutil.copy(PLACE / "openai" / TABLE, PLACE / "open_clip" / TABLE)
in_open_clip(
    "open_clip_text", 9,
    dict(
        model_cfg=dict(
            embed_dim=14, quick_gelu=True, custom_text=True,
            vision_cfg=dict(image_size=32, layers=[1, 1, 2, 1], width=4, head_width=32, patch_size=None),
            text_cfg=dict(
                context_length=12, vocab_size=len(vocabulary.ids), width=18, heads=3, layers=2, pool_type="eos",
                eos_id=vocabulary.ids[bpe.END],
            ),
        ),
        preprocess_cfg=dict(mean=list(open_clip.OPENAI_DATASET_MEAN), std=list(open_clip.OPENAI_DATASET_STD)),
    ),
    lambda folder, state: torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        folder / "open_clip_pytorch_model.bin",
    ),
)  # fmt: skip
(PLACE / "open_clip_text" / "vocab.json").write_text(json.dumps(vocabulary.ids) + "\n")
(PLACE / "open_clip_text" / "merges.txt").write_text(f"#version: 0.2\n{merges}")
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, PLACE / "record.safetensors")
(PLACE / "record.json").write_text(json.dumps(dict(pictures=PICTURES, captions=CAPTIONS), indent=1) + "\n")
