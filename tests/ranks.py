"""Ranks as threads of one process that take turns, with what they need of `torch.distributed`."""

import threading
from collections.abc import Callable
from typing import Any

import torch


class Ranks:
    """Stands in for `torch.distributed` where `s2e.core.dist` calls it.

    One thread runs at a time, until it has to wait for the others.
    """

    def __init__(self, count: int):
        self.count, self.turn, self.local = count, threading.Condition(), threading.local()
        self.given: dict[int, Any] = {}
        self.every: list[Any] = []
        self.done, self.failed = 0, []

    def run(self, body: Callable[[int], Any]) -> list[Any]:
        """What `body` returns for each rank."""
        results: list[Any] = [None] * self.count

        def ranked(rank: int) -> None:
            self.local.rank = rank
            with self.turn:
                try:
                    results[rank] = body(rank)
                except BaseException as error:
                    self.failed.append(error)
                    self.turn.notify_all()

        threads = [
            threading.Thread(target=ranked, args=(rank,), daemon=True) for rank in range(self.count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failed:
            raise self.failed[0]
        return results

    def exchange(self, value: Any) -> list[Any]:
        """The values of all ranks."""
        now = self.done
        self.given[self.get_rank()] = value
        if len(self.given) == self.count:
            self.every, self.given, self.done = (
                [self.given[rank] for rank in range(self.count)],
                {},
                now + 1,
            )
            self.turn.notify_all()
        elif (
            not self.turn.wait_for(lambda: self.done > now or self.failed, timeout=300)
            or self.failed
        ):
            raise RuntimeError("a rank is gone")
        return self.every

    def is_initialized(self) -> bool:
        return hasattr(self.local, "rank")

    def get_rank(self) -> int:
        return self.local.rank

    def get_world_size(self) -> int:
        return self.count

    def all_reduce(self, tensor: torch.Tensor) -> None:
        tensor.copy_(sum(self.exchange(tensor.clone())))  # pyright: ignore[reportArgumentType]

    def reduce(self, tensor: torch.Tensor, dst: int) -> None:
        every = self.exchange(tensor.clone())
        if self.get_rank() == dst:
            tensor.copy_(sum(every))  # pyright: ignore[reportArgumentType]

    def all_gather(self, parts: list[torch.Tensor], tensor: torch.Tensor) -> None:
        for part, given in zip(parts, self.exchange(tensor.clone()), strict=True):
            part.copy_(given)

    def gather_object(self, value: Any, parts: list[Any] | None, dst: int) -> None:
        every = self.exchange(value)
        # as torch has it: who gathers has room for it, and nobody else
        assert (parts is not None) == (self.get_rank() == dst)
        if parts is not None:
            parts[:] = every

    def broadcast(self, tensor: torch.Tensor, src: int) -> None:
        tensor.copy_(self.exchange(tensor.clone())[src])

    def barrier(self) -> None:
        self.exchange(None)
