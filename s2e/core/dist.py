"""Distributed runs under `torchrun`: rank, shards, and the mean of gradients. One process is world
size 1 of the same code.

What is on the CPU travels by gloo, what is on a GPU by NCCL. A rank that is gone ends the others,
with a line that says so.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from s2e.core.errors import UserError


def start(device: str = "cpu", patience_s: float = 1800.0) -> tuple[int, int]:
    """Joins the process group that RANK and WORLD_SIZE name, if any. Returns rank and world size.

    With a CUDA `device`, each process of a machine takes the GPU of its LOCAL_RANK.

    Args:
        device: torch device. patience_s: how long ranks wait for one another before they give up,
            seconds.

    Raises:
        UserError: the others did not come.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if world > 1 and not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
        with _together():
            dist.init_process_group(backend, timeout=timedelta(seconds=patience_s))
    return int(os.environ.get("RANK", "0")), world


@contextmanager
def _together() -> Iterator[None]:
    """What all ranks do at once; where one is gone, the others say so in one line.

    Raises:
        UserError: a rank is gone or silent.
    """
    try:
        yield
    except RuntimeError as error:  # whatever gloo, NCCL and the rendezvous raise is one
        said = re.sub(r"^(\[[^]]*\]\s*)+", "", str(error)).split("\n")[0][:160]
        rank, world = (os.environ.get(name, "?") for name in ("RANK", "WORLD_SIZE"))
        raise UserError(
            f"rank {rank} of {world} has lost the others: a rank is gone or silent ({said}); which "
            "and why, that rank or the "
            "launcher says; what was saved is whole: start the command again, a training with "
            "--resume"
        ) from error


def same_start(parameters: Iterable[torch.Tensor]) -> None:
    """Gives every rank the tensors of rank 0."""
    if dist.is_initialized():
        with _together():
            for parameter in parameters:
                dist.broadcast(parameter.data, 0)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replaces each gradient by its mean over ranks."""
    if dist.is_initialized():
        _sum(list(parameters), 1.0 / dist.get_world_size())


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replaces each gradient by its sum over ranks; one that a rank lacks counts as zeros there, if
    any rank has it.
    """
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
    with _together():
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
        with _together():
            dist.all_reduce(values)
    return values


def gathered(values: np.ndarray) -> np.ndarray:
    """The arrays (B,) of all ranks, one after the other; each rank's has the same length."""
    if not dist.is_initialized():
        return values
    parts = [torch.empty(len(values), dtype=torch.float64) for _ in range(dist.get_world_size())]
    with _together():
        dist.all_gather(parts, torch.from_numpy(values.astype(np.float64)))
    return torch.cat(parts).numpy().astype(values.dtype)


def to_first(value: Any) -> list[Any]:
    """The values of all ranks, in their order, on rank 0; on others nothing."""
    if not dist.is_initialized():
        return [value]
    parts = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    with _together():
        dist.gather_object(value, parts, 0)
    return parts or []


def merged(rows: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Rows (K, ...) of which each rank alone has those that `mine` (K,) marks: all, on rank 0."""
    if not dist.is_initialized():
        return rows
    own = np.where(mine.reshape(-1, *[1] * (rows.ndim - 1)), rows, np.zeros((), rows.dtype))
    with _together():
        dist.reduce(torch.from_numpy(own.reshape(-1).view(np.uint8)), 0)  # bytes: others have 0
    return own


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank: all of them get the same answer."""
    return bool(total(torch.tensor(float(flag))))


def barrier() -> None:
    """Waits for all ranks."""
    if dist.is_initialized():
        with _together():
            dist.barrier()


def finish() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()
