"""Initial weights of a compact GLIDE from an unCLIP model: its decoder with narrower coarse levels, and its text encoder.

    python bench/narrow_decoder.py MODEL OUT [--channels 128]

Of each group of a group norm the channels with the smallest weights are left out, and of each attention the heads. The text
transformer begins with the weights of CLIP's text encoder, which has its shape, and the projection of the context, which it
lacks, goes into the keys and values of the U-Net's attention. `unclip train glide --init OUT` trains on from there.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GROUPS = 16


def importance(weights, stream):
    """The norm of all weights that read or write each channel of the coarse levels."""
    total = 0
    for name, axis in stream:
        weight = weights[name].float()
        total = total + weight.square().transpose(0, axis).flatten(1).sum(1)
    return total


def kept_of(scores, keep):
    """The channels with the largest scores of each group, in their order."""
    grouped = scores.view(GROUPS, -1)
    best = grouped.topk(keep // GROUPS, dim=1).indices.sort(dim=1).values
    return (best + torch.arange(GROUPS)[:, None] * grouped.shape[1]).flatten()


def narrow(weights, wide, keep, head):
    """The decoder with `keep` channels where it had `wide`."""
    resnets = sorted({n.rsplit(".conv1", 1)[0] for n in weights if n.endswith("conv1.weight")})
    coarse = [r for r in resnets if weights[f"{r}.conv2.weight"].shape[0] == wide]
    attentions = sorted({n.rsplit(".to_q", 1)[0] for n in weights if n.endswith("to_q.weight")})
    attentions = [a for a in attentions if weights[f"{a}.to_q.weight"].shape[0] == wide]
    stream = [(f"{r}.conv2.weight", 0) for r in coarse] + [(f"{a}.to_out.0.weight", 0) for a in attentions]
    stream = kept_of(importance(weights, stream), keep)
    out = dict(weights)

    def take(name, axis, index):
        out[name] = out[name].index_select(axis, index).contiguous()

    for name in resnets:
        conv1 = weights[f"{name}.conv1.weight"]
        inputs = conv1.shape[1]
        if inputs >= wide:  # the stream's channels come first, a finer level's skip or another stream's after them
            rest = torch.arange(wide, inputs)
            index = torch.cat([stream, stream + wide]) if inputs == 2 * wide else torch.cat([stream, rest])
            take(f"{name}.conv1.weight", 1, index)
            for norm in ["weight", "bias"]:
                take(f"{name}.norm1.{norm}", 0, index)
            if f"{name}.conv_shortcut.weight" in weights:
                take(f"{name}.conv_shortcut.weight", 1, index)
        if name in coarse:
            inner = [(f"{name}.conv1.weight", 0), (f"{name}.conv2.weight", 1)]
            inner = kept_of(importance(weights, inner), keep)
            take(f"{name}.conv1.weight", 0, inner)
            take(f"{name}.conv1.bias", 0, inner)
            take(f"{name}.conv2.weight", 1, inner)
            take(f"{name}.conv2.weight", 0, stream)
            take(f"{name}.conv2.bias", 0, stream)
            for norm in ["weight", "bias"]:
                take(f"{name}.norm2.{norm}", 0, inner)
                take(f"{name}.time_emb_proj.{norm}", 0, torch.cat([inner, inner + wide]))
            if f"{name}.conv_shortcut.weight" in weights:
                take(f"{name}.conv_shortcut.weight", 0, stream)
                take(f"{name}.conv_shortcut.bias", 0, stream)
    for name in attentions:
        value = weights[f"{name}.to_out.0.weight"].float()
        heads = value.square().view(wide, -1, head).sum((0, 2)).topk(keep // head).indices.sort().values
        inner = (heads[:, None] * head + torch.arange(head)).flatten()
        for part in ["to_q", "to_k", "to_v", "add_k_proj", "add_v_proj"]:
            take(f"{name}.{part}.weight", 0, inner)
            take(f"{name}.{part}.bias", 0, inner)
        for part in ["to_q", "to_k", "to_v"]:
            take(f"{name}.{part}.weight", 1, stream)
        take(f"{name}.to_out.0.weight", 1, inner)
        take(f"{name}.to_out.0.weight", 0, stream)
        take(f"{name}.to_out.0.bias", 0, stream)
        for norm in ["weight", "bias"]:
            take(f"{name}.group_norm.{norm}", 0, stream)
    return out


def text_transformer(text, conditioning):
    """GLIDE's text transformer with the weights of CLIP's text encoder."""
    prefix = "text_model."
    out = {}
    for name, tensor in text.items():
        if name.startswith(prefix + "encoder.") or name.startswith(prefix + "final_layer_norm."):
            out[name[len(prefix):]] = tensor
    embeddings = prefix + "embeddings."
    out["token_embedding.weight"] = text[embeddings + "token_embedding.weight"]
    positions = text[embeddings + "position_embedding.weight"]
    out["position_embedding.weight"] = positions
    out["padding_embedding.weight"] = positions.clone()
    width, time_width = positions.shape[1], conditioning["embedding_proj.weight"].shape[0]
    out["time_projection.weight"] = torch.zeros(time_width, width)
    image = "clip_image_embeddings_project_to_time_embeddings"
    unconditional = conditioning["learned_classifier_free_guidance_embeddings"].float()
    of_image = conditioning[f"{image}.weight"].float() @ unconditional + conditioning[f"{image}.bias"]
    out["time_projection.bias"] = conditioning["embedding_proj.bias"] + of_image
    return out


def fold_projection(unet, conditioning, text):
    """Puts the projection of the context, and the layer norm after it at the mean scale, into keys and values."""
    weight = conditioning["encoder_hidden_states_proj.weight"].float()
    bias = conditioning["encoder_hidden_states_proj.bias"].float()
    gain = conditioning["text_encoder_hidden_states_norm.weight"].float()
    shift = conditioning["text_encoder_hidden_states_norm.bias"].float()
    centred = weight - weight.mean(0, keepdim=True)
    centred_bias = bias - bias.mean()
    # The states come out of a layer norm, so that their numbers have its gains as deviations and its shifts as means.
    deviations = text["text_model.final_layer_norm.weight"].float()
    means = text["text_model.final_layer_norm.bias"].float()
    variance = (centred * deviations).square().sum() / weight.shape[0]
    scale = (variance + (centred @ means + centred_bias).square().mean()).sqrt()
    folded = gain[:, None] * centred / scale
    folded_bias = gain * centred_bias / scale + shift
    for name in [n for n in unet if ".add_k_proj.weight" in n or ".add_v_proj.weight" in n]:
        key = unet[name].float()
        unet[name] = key @ folded
        bias_name = name.replace(".weight", ".bias")
        unet[bias_name] = unet[bias_name].float() + key @ folded_bias


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--channels", type=int, default=128)
    args = parser.parse_args()
    config = json.loads((args.model / "decoder/config.json").read_text())
    unet = load_file(args.model / "decoder/diffusion_pytorch_model.safetensors")
    conditioning = load_file(args.model / "text_proj/diffusion_pytorch_model.safetensors")
    text = load_file(args.model / "text_encoder/model.safetensors")
    wide = config["block_out_channels"][-1]
    unet = narrow(unet, wide, args.channels, config["attention_head_dim"])
    fold_projection(unet, conditioning, text)
    config["block_out_channels"][-1] = args.channels
    for folder, tensors, name in [
        ("decoder", unet, "diffusion_pytorch_model.safetensors"),
        ("decoder_text_encoder", text_transformer(text, conditioning), "model.safetensors"),
    ]:
        (args.out / folder).mkdir(parents=True, exist_ok=True)
        save_file({n: t.float().contiguous() for n, t in tensors.items()}, args.out / folder / name)
    (args.out / "decoder/config.json").write_text(json.dumps(config, indent=2) + "\n")
    positions = text["text_model.embeddings.position_embedding.weight"]
    tokens = text["text_model.embeddings.token_embedding.weight"]
    text_config = json.loads((args.model / "text_encoder/config.json").read_text())
    text_config = {
        "_class_name": "GlideTextTransformer",
        "hidden_size": tokens.shape[1],
        "max_position_embeddings": positions.shape[0],
        "num_attention_heads": text_config["num_attention_heads"],
        "num_hidden_layers": text_config["num_hidden_layers"],
        "time_embed_dim": conditioning["embedding_proj.weight"].shape[0],
        "vocab_size": tokens.shape[0],
    }
    path = args.out / "decoder_text_encoder/config.json"
    path.write_text(json.dumps(text_config, indent=2) + "\n")
    for ours, theirs in [
        ("tokenizer", "tokenizer"),
        ("upsampler", "super_res_first"),
        ("upsampler_scheduler", "super_res_scheduler"),
    ]:
        shutil.copytree(args.model / theirs, args.out / ours, dirs_exist_ok=True)
    index = {"_class_name": "CompactGlidePipeline"}
    (args.out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
