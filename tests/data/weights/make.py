"""Writes the PyTorch files of this folder: `python make.py`, with torch 2.11.0."""

import collections
import os

import torch
from torch import nn

os.chdir(os.path.dirname(os.path.abspath(__file__)))
numbers = torch.arange(24, dtype=torch.float32)
state = collections.OrderedDict(
    whole=numbers.reshape(4, 6),
    part=numbers[6:12],
    turned=torch.arange(6, dtype=torch.float32).reshape(2, 3).t(),
    half=torch.tensor([1.5, -2.0, 0.25]).half(),
    bf16=torch.tensor([1.5, -2.0]).bfloat16(),
    double=torch.tensor([0.125]).double(),
    long=torch.arange(3),
    int=torch.tensor([7, -7], dtype=torch.int32),
    bool=torch.tensor([True, False]),
    none=torch.zeros(0, 4),
    scalar=torch.tensor(2.5),
    parameter=nn.Parameter(torch.tensor([4.0, 5.0])),
)
state._metadata = collections.OrderedDict([("", {"version": 1})])
trained = {"state_dict": state, "global_step": 12345678901, "note": "\u00e9", "loss": 0.5, "flags": [True, None, (1, 2)]}
torch.save(trained, "nested.bin")
torch.save(state, "protocol4.bin", pickle_protocol=4)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


small = {"weight": torch.zeros(2)}
torch.save({**small, "payload": Hostile()}, "hostile.bin")
torch.save(small, "legacy.bin", _use_new_zipfile_serialization=False)
torch.save({**small, "epoch": 3}, "epoch.bin")
torch.save([torch.zeros(2)], "list.bin")
linear = nn.Linear(3, 2)
torch.save(linear, "module.bin")
torch.jit.script(linear).save("script.pt")
