"""Initial weights of a larger unCLIP from a smaller one, which do what the smaller one does.

    python bench/grow_model.py MODEL OUT --tokenizer FOLDER [--text-layers 4] [--image-layers 6] [--image-size 96]
        [--channels 192]

CLIP's encoders get more layers, each a copy of the one before whose two outputs are 0, so that it passes on what it gets
(2401.02415). The token embeddings of a new tokenizer are those of the same tokens of the old one, or the mean of the old
tokens that spell them. The image encoder sees larger images, its position embeddings interpolated. The decoder gets more
channels on its coarsest level, copies of others that share their outgoing weights (Net2Net, 1511.05641), in each group of a
group norm as many, and attention more heads, whose output is 0. The conditioning and the upsampler stay as they are. `unclip
train .. --init OUT` trains on from there.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LAYER = re.compile(r"(.*encoder\.layers\.)(\d+)\.(.*)")
LOGIT_SCALE = 3.0
GROUPS = 16
UNET = "diffusion_pytorch_model.safetensors"
COPIES = [
    *["feature_extractor", "text_proj", "decoder_scheduler", "super_res_first", "super_res_last", "super_res_scheduler"],
    *["prior", "prior_scheduler"],
]
OUTPUTS = ("self_attn.out_proj.", "mlp.fc2.")


def deepen(weights, layers):
    """An encoder of `layers` layers: after each of the old ones come its share of the new ones."""
    old = 1 + max(int(match[2]) for match in map(LAYER.match, weights) if match)
    sources = [number * old // layers for number in range(layers)]
    out = {name: tensor for name, tensor in weights.items() if not LAYER.match(name)}
    for name, tensor in weights.items():
        match = LAYER.match(name)
        if not match:
            continue
        for place in [place for place, source in enumerate(sources) if source == int(match[2])]:
            is_new = place > 0 and sources[place - 1] == sources[place]
            silent = is_new and match[3].startswith(OUTPUTS)
            out[f"{match[1]}{place}.{match[3]}"] = tensor * 0 if silent else tensor.clone()
    return out


def interpolate(positions, config, size):
    """Position embeddings `[1 + tokens, width]` of images of another size, the class token's first."""
    old, new = config["image_size"] // config["patch_size"], size // config["patch_size"]
    grid = positions[1:].float().T.reshape(1, -1, old, old)
    grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bicubic")
    return torch.cat([positions[:1].float(), grid.flatten(2)[0].T])


class Spelling:
    """The byte pairs of a tokenizer's folder, for single tokens."""

    def __init__(self, folder):
        self.vocabulary = json.loads((folder / "vocab.json").read_text())
        merges = (folder / "merges.txt").read_text().splitlines()[1:]
        self.ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(merges)}

    def spell(self, token):
        """The tokens that spell one of another tokenizer."""
        end = "</w>" if token.endswith("</w>") and token != "</w>" else ""
        letters = list(token[: len(token) - len(end)])
        parts = letters[:-1] + [letters[-1] + end]
        while len(parts) > 1:
            pairs = [(self.ranks.get(pair, len(self.ranks)), place) for place, pair in enumerate(zip(parts, parts[1:]))]
            rank, place = min(pairs)
            if rank == len(self.ranks):
                break
            parts[place : place + 2] = ["".join(parts[place : place + 2])]
        return [self.vocabulary[part] for part in parts if part in self.vocabulary]


def embeddings(old, tokens, old_folder):
    """The token embeddings of the vocabulary `tokens`."""
    spelling = Spelling(old_folder)
    deviation = old.float().std()
    generator = torch.Generator().manual_seed(0)
    rows = []
    for token in sorted(tokens, key=tokens.get):
        if token in spelling.vocabulary:
            rows.append(old[spelling.vocabulary[token]].float())
            continue
        mean = old[spelling.spell(token)].float().mean(0)
        rows.append(0.5 * mean + deviation * torch.randn(old.shape[1], generator=generator))
    return torch.stack(rows)


class Widening:
    """The channels of the coarsest level of a decoder, and how those of a wider one are made of them."""

    def __init__(self, old, new, head):
        per_group, more = old // GROUPS, (new - old) // GROUPS
        generator = torch.Generator().manual_seed(1)
        self.old, self.new = old, new
        sources, shares = [], []
        for group in range(GROUPS):
            doubled = torch.randperm(per_group, generator=generator)[:more].tolist()
            # Unequal shares, so that copies learn different things.
            part = dict(zip(doubled, (0.5 + 0.2 * (torch.rand(more, generator=generator) - 0.5)).tolist()))
            sources += [group * per_group + channel for channel in [*range(per_group), *doubled]]
            shares += [part.get(channel, 1.0) for channel in range(per_group)]
            shares += [1.0 - part[channel] for channel in doubled]
        self.sources, self.shares = torch.tensor(sources), torch.tensor(shares)
        self.heads = torch.cat([torch.arange(old), torch.arange(new - old) % head])
        self.head_shares = (torch.arange(new) < old).float()

    def segments(self, size, other):
        """The sources of an axis, and their shares: of the level's channels, of two such, or of them and a finer level's."""
        if size == self.old:
            return self.sources, self.shares
        if size == 2 * self.old:
            return torch.cat([self.sources, self.sources + self.old]), self.shares.repeat(2)
        if size == self.old + other:
            rest = torch.arange(self.old, self.old + other)
            return torch.cat([self.sources, rest]), torch.cat([self.shares, torch.ones(other)])
        return None

    def apply(self, name, tensor, other):
        """A tensor of the wider decoder."""
        part = name.split(".")[-2]
        tensor = tensor.float()
        for axis in range(min(tensor.dim(), 2)):
            found = self.segments(tensor.shape[axis], other)
            if found is None:
                continue
            sources, shares = found
            if axis == 0 and part in ("to_q", "to_k", "to_v", "add_k_proj", "add_v_proj"):
                sources = self.heads
            if axis == 1 and ".to_out." in name:
                sources, shares = self.heads, self.head_shares
            tensor = tensor.index_select(axis, sources)
            if axis == 1:
                tensor = tensor * shares.view(1, -1, *[1] * (tensor.dim() - 2))
        return tensor


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--text-layers", type=int, default=4)
    parser.add_argument("--image-layers", type=int, default=6)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--channels", type=int, default=192)
    args = parser.parse_args()
    tokens = json.loads((args.tokenizer / "vocab.json").read_text())
    for folder, layers in [("text_encoder", args.text_layers), ("image_encoder", args.image_layers)]:
        weights = deepen(load_file(args.model / folder / "model.safetensors"), layers)
        config = json.loads((args.model / folder / "config.json").read_text())
        config["num_hidden_layers"] = layers
        if folder == "text_encoder":
            name = "text_model.embeddings.token_embedding.weight"
            weights[name] = embeddings(weights[name], tokens, args.model / "tokenizer")
            config["vocab_size"] = len(tokens)
            config["eos_token_id"] = tokens["<|endoftext|>"]
        else:
            name = "vision_model.embeddings.position_embedding.weight"
            weights[name] = interpolate(weights[name], config, args.image_size)
            config["image_size"] = args.image_size
        (args.out / folder).mkdir(parents=True, exist_ok=True)
        save_file({n: t.float().contiguous() for n, t in weights.items()}, args.out / folder / "model.safetensors")
        (args.out / folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    config = json.loads((args.model / "decoder/config.json").read_text())
    *_, other, old = config["block_out_channels"]
    widening = Widening(old, args.channels, config["attention_head_dim"])
    unet = load_file(args.model / "decoder" / UNET)
    unet = {name: widening.apply(name, tensor, other).contiguous() for name, tensor in unet.items()}
    config["block_out_channels"][-1] = args.channels
    (args.out / "decoder").mkdir(parents=True, exist_ok=True)
    save_file(unet, args.out / "decoder" / UNET)
    (args.out / "decoder/config.json").write_text(json.dumps(config, indent=2) + "\n")
    for folder in COPIES:
        shutil.copytree(args.model / folder, args.out / folder, dirs_exist_ok=True)
    shutil.copytree(args.tokenizer, args.out / "tokenizer", dirs_exist_ok=True)
    processor = args.out / "feature_extractor/preprocessor_config.json"
    config = json.loads(processor.read_text())
    size = args.image_size
    config |= {"crop_size": {"height": size, "width": size}, "size": {"shortest_edge": size}}
    processor.write_text(json.dumps(config, indent=2) + "\n")
    # Pictures and captions of a new kind are told apart with less confidence at first.
    index = json.loads((args.model / "model_index.json").read_text())
    index["unclip_logit_scale"] = min(index["unclip_logit_scale"], LOGIT_SCALE)
    (args.out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
