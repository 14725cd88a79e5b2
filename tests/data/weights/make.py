"""Writes the PyTorch files of this folder: `python make.py`, with torch 2.11.0 and numpy 2.4."""

import collections
import io
import os
import zipfile

import numpy as np
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
torch.save(trained, "legacy.bin", _use_new_zipfile_serialization=False)
torch.save(trained, "legacy1.bin", _use_new_zipfile_serialization=False, pickle_protocol=1)

# What trainers put beside tensors.
beside = dict(
    small=3, long=2**40, longer=2**100, negative=-(2**70), longest=3**2000, none=None, true=True, loss=0.5,
    complex=1 + 2j, set={1, "a"}, frozenset=frozenset([2]), bytes=b"\xff\x00", bytearray=bytearray(b"ab"),
    size=torch.Size([1, 2]), dtype=torch.float16, device=torch.device("cpu"), range=range(3),
    numpy=np.float64(0.5), array=np.arange(3), default=collections.defaultdict(list, a=[1]),
    counter=collections.Counter("aab"), list=[1, [2, (3, {"x": None})]], nested={"lr": 0.1, 7: [numbers[:2]]},
    optimizer={"state": {0: {"exp_avg": numbers[:6]}}, "param_groups": [{"params": [0]}]},
)
for protocol in range(1, 6):
    torch.save({**beside, **state}, f"beside{protocol}.bin", pickle_protocol=protocol)


def repack(name, to, rename, **options):
    """Packs the members of an archive anew, as zip, 7-Zip or a file manager does."""
    with zipfile.ZipFile(name) as old, zipfile.ZipFile(to, "w", **options) as new:
        for member in old.namelist():
            new.writestr(rename(member), old.read(member))


class Pipe(io.RawIOBase):
    """A file that cannot seek, so that sizes come after the data."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


def below(member):
    return member.split("/", 1)[1]


deflated = dict(compression=zipfile.ZIP_DEFLATED)
repack("nested.bin", "deflated.bin", lambda member: f"some/other folder/{below(member)}", **deflated)
repack("nested.bin", "flat.bin", below, compression=zipfile.ZIP_STORED)
repack("nested.bin", "bzip2.bin", below, compression=zipfile.ZIP_BZIP2)
with zipfile.ZipFile("nested.bin") as old, open("zip64.bin", "wb") as file:
    with zipfile.ZipFile(Pipe(file), "w", **deflated) as new:
        for member in old.namelist():
            with new.open(member, "w", force_zip64=True) as out:
                out.write(old.read(member))


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


small = {"weight": torch.zeros(2)}
torch.save({**small, "payload": Hostile()}, "hostile.bin")
torch.save({**small, "epoch": 3}, "epoch.bin")
torch.save([torch.zeros(2)], "list.bin")
torch.save({"epoch": 3, "model": {}}, "no_tensor.bin")
torch.save({"epoch": 3, "model": small, "optimizer": {"state": {0: small}}, "same": small}, "within.bin")
torch.save({"model": small, "ema": {"weight": torch.ones(2)}}, "several.bin")
linear = nn.Linear(3, 2)
torch.save(linear, "module.bin")
torch.jit.script(linear).save("script.pt")
