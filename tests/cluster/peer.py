"""A rank in Python of a group that has one in Rust too: torch.distributed with Gloo, as any trainer has it."""

import datetime

import torch
import torch.distributed as dist

dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
rank, world = dist.get_rank(), dist.get_world_size()

for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8):
    tensor = torch.arange(4).to(dtype) + rank
    dist.all_reduce(tensor)
    assert torch.equal(tensor, (world * torch.arange(4) + world * (world - 1) // 2).to(dtype)), tensor

mean = torch.full((3,), float(rank))
dist.all_reduce(mean, op=dist.ReduceOp.AVG)
assert torch.equal(mean, torch.full((3,), (world - 1) / 2)), mean

for root in range(world):
    tensor = torch.full((5,), float(10 * rank + 7))
    dist.broadcast(tensor, root)
    assert torch.equal(tensor, torch.full((5,), float(10 * root + 7))), tensor

gathered = torch.empty(2 * world)
dist.all_gather_into_tensor(gathered, torch.full((2,), float(rank)))
assert torch.equal(gathered, torch.arange(world).repeat_interleave(2).float()), gathered

dist.barrier()
dist.destroy_process_group()
print(f"rank {rank} of {world}, in Python: all as it must be")
