"""Records what torch.Generator("cpu") of torch 2.11.0 draws, for tests/tests/noise.rs.

Every draw is a list of values of one stream. Long draws keep their ends only.
"""

import json
import pathlib

import torch

# Small draws, large ones, and small ones again that must find the value left over before.
SEQUENCES = {
    "widths": [3, 15, 16, 20, 48],
    "small and large": [1, 20, 1, 48, 7, 16, 3, 768, 2, 17, 15],
    "large first": [768, 3, 3072, 1, 100],
}
SEEDS = [0, 42, 2**32 + 42, 2**64 - 1]
KEPT = 8


def draws(seed, counts):
    generator = torch.Generator("cpu").manual_seed(seed)
    recorded = []
    for count in counts:
        values = torch.randn(count, generator=generator).tolist()
        ends = values if count <= 48 else values[:KEPT] + values[-KEPT:]
        recorded.append({"count": count, "values": [round(value, 9) for value in ends]})
    uniform = torch.rand(1, generator=generator, dtype=torch.float64).item()
    return {"seed": str(seed), "draws": recorded, "uniform": uniform}


record = {name: [draws(seed, counts) for seed in SEEDS] for name, counts in SEQUENCES.items()}
path = pathlib.Path(__file__).parent / "noise" / "torch.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps(record, separators=(",", ":")).replace('{"seed"', '\n{"seed"') + "\n")
