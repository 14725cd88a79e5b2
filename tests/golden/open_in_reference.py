"""Opens a model folder part by part in the reference's classes: `python open_in_reference.py FOLDER`.

Says for each part that its class took every tensor and lacked none, and ends with status 1 if one did not.
"""

import argparse
import json
import sys
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel, UnCLIPScheduler
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

PARTS = {
    "prior": PriorTransformer,
    "decoder": UNet2DConditionModel,
    "text_proj": UnCLIPTextProjModel,
    "super_res_first": UNet2DModel,
    "super_res_last": UNet2DModel,
    "prior_scheduler": UnCLIPScheduler,
    "decoder_scheduler": UnCLIPScheduler,
    "super_res_scheduler": UnCLIPScheduler,
    "text_encoder": CLIPTextModelWithProjection,
    "image_encoder": CLIPVisionModelWithProjection,
    "tokenizer": CLIPTokenizer,
    # CLIPImageProcessor itself wants torchvision; this is its half that resizes with Pillow.
    "feature_extractor": CLIPImageProcessorPil,
}
# Buffers that old files hold and the classes make for themselves.
HARMLESS = {"text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"}


def complaints(part, folder):
    """What is wrong with one part, in words; nothing if it opens."""
    if issubclass(part, torch.nn.Module):
        network, info = part.from_pretrained(folder, output_loading_info=True)
        found = [f"{kind}: {sorted(map(str, info[kind]))}" for kind in ("missing_keys", "mismatched_keys") if info[kind]]
        if unexpected := set(info["unexpected_keys"]) - HARMLESS:
            found.append(f"unexpected_keys: {sorted(unexpected)}")
        found += [f"not finite: {name}" for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
        return found
    if issubclass(part, UnCLIPScheduler):
        _, unused = part.from_pretrained(folder, return_unused_kwargs=True)
        unused = [name for name in unused if not name.startswith("_")]
        return [f"unused: {unused}"] if unused else []
    if issubclass(part, CLIPTokenizer):
        tokenizer = part.from_pretrained(folder)
        length = tokenizer.model_max_length
        ids = tokenizer("a red house", padding="max_length", max_length=length, truncation=True).input_ids
        good = len(ids) == length and ids[0] == tokenizer.bos_token_id and tokenizer.eos_token_id in ids
        return [] if good else [f"tokens: {ids}"]
    part.from_pretrained(folder)
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    diffusers.utils.logging.set_verbosity(diffusers.utils.logging.CRITICAL)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    failed = False
    index = json.loads((folder / "model_index.json").read_text())
    for name, part in PARTS.items():
        if name not in index and not (folder / name).exists():
            print(f"{name}: not in this model")
            continue
        try:
            found = complaints(part, folder / name)
            if name in index and index[name][1].removesuffix("Pil") != part.__name__.removesuffix("Pil"):
                found.append(f"model_index.json says {index[name][1]}")
        except Exception as error:  # whatever the classes think of
            found = [f"{type(error).__name__}: {error}"]
        failed |= bool(found)
        print(f"{name}: {'; '.join(found) or 'opens in ' + part.__name__}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
