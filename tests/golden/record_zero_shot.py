"""Records what transformers' CLIPModel gives for a tiny whole CLIP in one folder, for tests/tests/zero_shot.rs.

Prompts are spelled out, so that articles are nobody's code. `data/images` are the pictures.
"""

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import bpe
import models

HERE = Path(__file__).parent
PLACE = HERE / "zero_shot"
PICTURES = ["0", "1", "2", "3", "4"]
# A label, and its prompt for each template.
TEMPLATES = ["{}", "a {}", "a photo of a {}!"]
PROMPTS = {
    "red house": ["red house", "a red house", "a photo of a red house!"],
    "orange boat": ["orange boat", "an orange boat", "a photo of an orange boat!"],
    "the blue sky": ["the blue sky", "the blue sky", "a photo of the blue sky!"],
    "unicorn": ["unicorn", "a unicorn", "a photo of a unicorn!"],
    "hour at sea": ["hour at sea", "an hour at sea", "a photo of an hour at sea!"],
}

torch.set_num_threads(1)
shutil.rmtree(PLACE, ignore_errors=True)
PLACE.mkdir()
vocabulary = bpe.train()
tokenizer = CLIPTokenizer(
    vocab=vocabulary.ids, merges=vocabulary.merges, pad_token=bpe.END, model_max_length=24
)
model = CLIPModel(
    CLIPConfig(
        text_config=dict(
            vocab_size=len(vocabulary.ids), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=24, eos_token_id=vocabulary.ids[bpe.END],
            bos_token_id=vocabulary.ids[bpe.START], pad_token_id=1,
        ),
        vision_config=dict(
            hidden_size=18, intermediate_size=32, num_hidden_layers=2, num_attention_heads=3, image_size=24,
            patch_size=6,
        ),
        projection_dim=12,
    )
).eval().requires_grad_(False)  # fmt: skip
models.randomise(model, torch.Generator().manual_seed(7), half=False)
model.logit_scale.fill_(2.5)
processor = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
for part in (model, tokenizer, processor):
    part.save_pretrained(PLACE / "model")

pictures = [Image.open(HERE / "data" / "images" / f"{name}.png").convert("RGB") for name in PICTURES]
tokens = lambda prompts: tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
pixels = processor(images=pictures, return_tensors="pt").pixel_values
unit = lambda vectors: vectors / vectors.norm(dim=-1, keepdim=True)
classes = []
for prompts in PROMPTS.values():
    # As in the notebook that came with CLIP: unit vectors, their mean, and its unit vector.
    classes.append(unit(unit(model(**tokens(prompts), pixel_values=pixels[:1]).text_embeds).mean(0)))
classes = torch.stack(classes)
single = model(**tokens([prompts[1] for prompts in PROMPTS.values()]), pixel_values=pixels)
ensemble = (single.image_embeds @ classes.T * model.logit_scale.exp()).softmax(-1)
tensors = dict(classes=classes, single=single.logits_per_image.softmax(-1), ensemble=ensemble)
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, PLACE / "record.safetensors")
record = dict(pictures=PICTURES, templates=TEMPLATES, prompts=list(PROMPTS.items()), logit_scale=2.5)
(PLACE / "record.json").write_text(json.dumps(record, indent=1) + "\n")
