"""Distributed runs under `torchrun`: rank, shards, and the mean of gradients. One process is world size 1 of the same code."""

import os
from collections.abc import Iterable

import numpy as np
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
    if dist.is_initialized():
        _sum(list(parameters), 1.0 / dist.get_world_size())


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replaces each gradient by its sum over ranks; one that a rank lacks counts as zeros there, if any rank has it."""
    if not dist.is_initialized():
        return
    every = [p for p in parameters if p.requires_grad]
    has = total(torch.tensor([float(p.grad is not None) for p in every]))
    some = [p for p, n in zip(every, has.tolist(), strict=True) if n > 0]
    for p in some:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    _sum(some, 1.0)


def _sum(parameters: list[torch.nn.Parameter], scale: float) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat *= scale
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


def total(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over ranks."""
    if dist.is_initialized():
        values = values.clone()
        dist.all_reduce(values)
    return values


def gathered(values: np.ndarray) -> np.ndarray:
    """The arrays (B,) of all ranks, one after the other; each rank's has the same length."""
    if not dist.is_initialized():
        return values
    parts = [torch.empty(len(values), dtype=torch.float64) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, torch.from_numpy(values.astype(np.float64)))
    return torch.cat(parts).numpy().astype(values.dtype)


def any_rank(flag: bool, device: str = "cpu") -> bool:
    """Whether the flag is set on any rank: all of them get the same answer."""
    if not dist.is_initialized():
        return flag
    flags = torch.tensor(float(flag), device=device)
    dist.all_reduce(flags)
    return bool(flags)


def barrier() -> None:
    """Waits for all ranks."""
    if dist.is_initialized():
        dist.barrier()


def finish() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()
