"""What gets a robot out of a jam: it backs off, turns away from where it was told to go, and drives
on a little.

A policy touches what has left its camera's view, is told the same and sees the same again, and
stands there for good. Stacks for navigation have recovery behaviours for it (Marder-Eppstein et
al., "The Office Marathon", ICRA 2010). This one asks for odometry alone: who is told to move and
stands is in a jam.
"""

from itertools import pairwise

import numpy as np

STANDS_MPS, STANDS_RADPS = 0.1, 0.25
"""Who is slower than both stands."""
AHEAD_M, ASIDE_M = 0.1, 0.35
"""Who is told to be farther ahead than the first within a second, or farther aside than the second,
should move; legs step aside to what is nearer."""
STOOD_S = 0.6
"""How long who should move has stood before it backs off."""
UNTIL_S = 0.8, 1.2, 1.6
"""When it has backed off, turned, and driven on, seconds after it began."""
BACK, TURN, ON = (-0.3, 0.0), (0.0, 0.5), (0.8, 0.1)
"""Metres ahead and left that it is told in each of them, to be reached in a second; to the left or
mirrored."""
HERE_M = 0.7
"""Who is in a jam again this near to the last one turns to the other side than then."""
_SOON_S = 1e-6


class Recovery:
    """Watches over N robots, and drives those that are in a jam."""

    def __init__(self, robots: int):
        self.told = np.zeros((robots, 2))
        self.stood, self.since = np.zeros(robots), np.full(robots, np.inf)
        self.side, self.where = np.ones(robots), np.full((robots, 2), np.inf)

    def begin(self, robots: np.ndarray) -> None:
        """Some begin an episode."""
        self.told[robots], self.stood[robots], self.since[robots], self.where[robots] = (
            0.0,
            0.0,
            np.inf,
            np.inf,
        )

    def relieve(
        self,
        waypoints: np.ndarray,
        pose: np.ndarray,
        ego: np.ndarray,
        passed_s: float,
        robots: np.ndarray | None = None,
    ) -> np.ndarray:
        """(V, 2) what some robots are told instead of `waypoints`; `busy` says who is being driven.

        Args:
            waypoints: (V, 2) metres ahead and left, to be reached in a second. pose: (V, 3) where
                they are, by their own reckoning.
            ego: (V, >= 2) their speeds, m/s, and yaw rates, rad/s. passed_s: since the call before.
                robots: (V,) which; all where None.
        """
        r = np.arange(len(self.told)) if robots is None else robots
        told, since = self.told[r], self.since[r] + passed_s
        stands = (np.abs(ego[:, 0]) < STANDS_MPS) & (np.abs(ego[:, 1]) < STANDS_RADPS)
        for before, until in pairwise((0.0, *UNTIL_S)):  # what moves nothing is not gone on with
            begun = (since > before + _SOON_S) & (since < until - _SOON_S)
            since = np.where(begun & stands, until, since)
        driven = since < UNTIL_S[-1] - _SOON_S
        should = (told[:, 0] > AHEAD_M) | (np.abs(told[:, 1]) > ASIDE_M)
        stood = np.where(stands & should & ~driven, self.stood[r] + passed_s, 0.0)
        jam = stood > STOOD_S - _SOON_S
        again = np.hypot(*(pose[:, :2] - self.where[r]).T) < HERE_M
        away = np.where(waypoints[:, 1] > 0, -1.0, 1.0)
        self.side[r] = side = np.where(jam, np.where(again, -self.side[r], away), self.side[r])
        self.where[r] = np.where(jam[:, None], pose[:, :2], self.where[r])
        self.stood[r] = np.where(jam, 0.0, stood)
        self.since[r] = since = np.where(jam, 0.0, since)
        stage = np.searchsorted(np.array(UNTIL_S) - _SOON_S, since, side="right")
        mirrored = np.stack([np.ones(len(r)), side], 1)
        relief = np.array([BACK, TURN, ON, (0.0, 0.0)])[stage] * mirrored
        self.told[r] = now = np.where(self.busy(r)[:, None], relief, waypoints)
        return now

    def busy(self, robots: np.ndarray | None = None) -> np.ndarray:
        """(V,) bool, which robots are being driven out of a jam."""
        return (self.since if robots is None else self.since[robots]) < UNTIL_S[-1] - _SOON_S
