"""New scenes while worlds run: built one ahead of need in a thread, the same whatever the
timing.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from s2e.envs.geometry.scene import Scene

MOST_AHEAD = 32
"""Scenes that are built before they are needed, at most: about 1 MB each."""


class FreshScenes:
    """Gives every world a scene of its own, and another whenever it asks.

    The scene of a world's generation g depends on the seed, the world and g only: a scene that is
    not ready is waited for, so what a world lives through does not depend on how fast scenes are
    built. Memory: at most `MOST_AHEAD` scenes wait beside those in use; more are built when they
    are taken.

    Args:
        build: scene of a seed. It runs in a thread of its own, so it must not use parallel numba
            kernels.
        seed: of all scenes.
        worlds: how many.
        first: the first world's number (ranks of a distributed run have different ones).
    """

    def __init__(self, build: Callable[[int], Scene], seed: int, worlds: int, first: int = 0):
        self.build, self.seed, self.first = build, seed, first
        self.generation = [0] * worlds
        self._orders: queue.SimpleQueue[tuple[int, Future[Scene]] | None] = queue.SimpleQueue()
        self._ordered: dict[int, Future[Scene]] = {}
        self._builder: threading.Thread | None = None

    def scene_seed(self, world: int, generation: int) -> int:
        """The seed of one scene."""
        return int(
            np.random.SeedSequence([self.seed, 23, self.first + world, generation]).generate_state(
                1
            )[0]
        )

    def current(self, world: int) -> Scene:
        """The scene that a world is in now, built again."""
        return self.build(self.scene_seed(world, self.generation[world]))

    def order(self, world: int) -> None:
        """Begins a world's next scene in the background, unless `MOST_AHEAD` are waiting."""
        if world in self._ordered or len(self._ordered) >= MOST_AHEAD:
            return
        # a daemon, so that leaving the program does not wait for scenes that nobody will see
        if self._builder is None:
            self._builder = threading.Thread(target=self._work, name="s2e-scenes", daemon=True)
            self._builder.start()
        ordered: Future[Scene] = Future()
        self._ordered[world] = ordered
        self._orders.put((self.scene_seed(world, self.generation[world] + 1), ordered))

    def take(self, world: int) -> Scene:
        """The world's next scene, waited for if need be."""
        ordered = self._ordered.pop(world, None)
        self.generation[world] += 1
        return ordered.result() if ordered else self.current(world)

    def close(self) -> None:
        """Ends the thread; what is ordered later is built when it is taken."""
        if self._builder is not None:
            self.restart(self.generation)
            self._orders.put(None)
            self._builder = None

    def restart(self, generation: list[int]) -> None:
        """Forgets what was ordered and goes on from other generations."""
        for ordered in self._ordered.values():
            ordered.cancel()
        self._ordered = {}
        self.generation = list(generation)

    def _work(self) -> None:
        while True:
            order = self._orders.get()
            if order is None:
                return
            seed, ordered = order
            if not ordered.set_running_or_notify_cancel():
                continue
            try:
                ordered.set_result(self.build(seed))
            except Exception as error:  # whoever takes the scene gets it
                ordered.set_exception(error)
