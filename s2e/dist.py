"""Distributed runs under `torchrun`: rank, shards, and the mean of gradients. One process is world size 1 of the same code."""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist


def start(device: str = "cpu") -> tuple[int, int]:
    """Joins the process group that RANK and WORLD_SIZE name, if any. Returns rank and world size.

    With a CUDA `device`, each process of a machine takes the GPU of its LOCAL_RANK.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return int(os.environ.get("RANK", "0")), world


def same_start(parameters: Iterable[torch.Tensor]) -> None:
    """Gives every rank the tensors of rank 0."""
    if dist.is_initialized():
        for parameter in parameters:
            dist.broadcast(parameter.data, 0)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replaces each gradient by its mean over ranks."""
    if not dist.is_initialized():
        return
    with_gradient = [p for p in parameters if p.grad is not None]
    if not with_gradient:
        return
    flat = torch.cat([p.grad.flatten() for p in with_gradient if p.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    offset = 0
    for p in with_gradient:
        assert p.grad is not None
        p.grad.copy_(flat[offset : offset + p.numel()].view_as(p))
        offset += p.numel()


def any_rank(flag: bool, device: str = "cpu") -> bool:
    """Whether the flag is set on any rank: all of them get the same answer."""
    if not dist.is_initialized():
        return flag
    total = torch.tensor(float(flag), device=device)
    dist.all_reduce(total)
    return bool(total)


def barrier() -> None:
    """Waits for all ranks."""
    if dist.is_initialized():
        dist.barrier()


def finish() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()
