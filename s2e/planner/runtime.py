"""When a planner is asked, and when its answers count; a planner that is slow, dead or mad costs
nothing but its advice.

Two clocks. With a declared latency (a simulator, the benchmark) all worlds that ask at one step are
one batch, thought about in the background, and an answer counts from the time of its view plus the
latency, in the clock of the views: whoever reaches that moment first waits, so that what happens
does not depend on the machine. Without one (a robot) answers count when they arrive.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from s2e.planner.directive import FAILED, UNPARSED, Directive
from s2e.planner.scene import PlannerView, Thinker

COUNTED = ("asked", "answered", "advised", "unparsed", "late", "skipped", "failed")
"""What becomes of questions: `answered` in time, of these `advised` with advice and `unparsed`
could not be read; `late`, overtaken by a newer one or about what is over; `failed`, nothing came in
time; `skipped`, not asked since others were open or the planner rested."""

NEAR_M, CLOSING_S = 4.0, 4.0
"""A person nearer than the first, who would be there within the second, is an event."""
MARGIN, APART_RAD = 0.3, np.radians(30.0)
"""So are two candidates that lie farther apart than the second and whose log scores do not."""
NO_PROGRESS_S, NO_PROGRESS_M = 3.0, 0.5
"""And a goal that has come no nearer than the second in the first."""
CONFIRM = 3
"""And advice that has not come so often in a row: soon another answer confirms it, or not."""
_SOON_S = 1e-6
_CLOSE_S = 2.0


@dataclass(frozen=True)
class Timing:
    """When to ask and how long to wait.

    Attributes:
        latency_s: declared, seconds of the views' clock; None counts answers when they arrive.
        period_s: between two questions of a world. soonest_s: with an event.
        in_flight: open questions of a world at most.
        deadline_s: of wall time; a question that takes longer has failed.
        failures: in a row, after which a world does not ask for `rest_s`.
    """

    latency_s: float | None = None
    period_s: float = 1.0
    soonest_s: float = 0.4
    in_flight: int = 2
    deadline_s: float = 5.0
    failures: int = 3
    rest_s: float = 30.0


@dataclass(eq=False)
class _Question:
    """A batch that is being thought about."""

    views: list[PlannerView]
    asked_s: float  # wall time
    ended: threading.Event = field(default_factory=threading.Event)
    answers: list[Directive] | None = None


@dataclass(eq=False)
class _Open:
    """One world's part of a question."""

    question: _Question
    row: int
    failed: bool = False  # counted, and its thread still runs

    @property
    def stamp_s(self) -> float:
        return self.question.views[self.row].now_s


@dataclass(eq=False)
class _World:
    """What the runtime knows of one world."""

    open: list[_Open] = field(default_factory=list)
    lost: list[_Open] = field(default_factory=list)  # of episodes that are over
    counts: Counter = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    progress: deque = field(default_factory=deque)  # (now_s, metres to the goal)
    last_s: float = -np.inf
    newest_s: float = -np.inf
    rests_until_s: float = -np.inf
    in_vain: int = 0
    in_row: int = 0  # answers with advice


class Runtime:
    """Asks a planner for N worlds, or for one robot, and hands its answers out in their time.

    Each step: `due` for each world, `ask` for those that are, then `news`.

    Args:
        thinker: who answers. worlds: N. timing: when.
    """

    def __init__(self, thinker: Thinker, worlds: int, timing: Timing):
        self.thinker, self.timing = thinker, timing
        self._worlds = [_World() for _ in range(worlds)]
        self._threads: list[threading.Thread] = []

    def begin(self, world: int) -> None:
        """Another episode: what is open is about the one before."""
        before = self._worlds[world]
        before.counts["late"] += sum(not o.failed for o in before.open)
        self._worlds[world] = _World(
            lost=[o for o in before.lost + before.open if not o.question.ended.is_set()],
            counts=before.counts,
            waits_s=before.waits_s,
        )

    def due(self, world: int, view: PlannerView) -> bool:
        """Whether a world is to ask about a view now: once in `period_s`, sooner on an event, while
        fewer than `in_flight` are open and nothing rests.
        """
        w, timing = self._worlds[world], self.timing
        w.progress.append((view.now_s, float(np.linalg.norm(view.goal_xy_robot))))
        while w.progress[0][0] < view.now_s - NO_PROGRESS_S - _SOON_S:
            w.progress.popleft()
        since = view.now_s - w.last_s + _SOON_S
        if len(view.candidates) == 0 or since < timing.soonest_s:
            return False
        early = since < timing.period_s
        new = 0 < w.in_row < CONFIRM
        if early and not (new or happens(view) or _no_progress(w)):
            return False
        w.lost = [o for o in w.lost if not o.question.ended.is_set()]
        busy = len(w.open) + len(w.lost) >= timing.in_flight
        if busy or view.now_s < w.rests_until_s - _SOON_S:
            if not early:
                w.counts["skipped"] += 1
                w.last_s = view.now_s
            return False
        w.last_s = view.now_s
        return True

    def ask(self, worlds: Sequence[int], views: Sequence[PlannerView]) -> None:
        """Asks about the views of some worlds, in one batch; returns at once."""
        if not len(worlds):
            return
        question = _Question(list(views), time.monotonic())
        for row, world in enumerate(worlds):
            self._worlds[world].open.append(_Open(question, row))
            self._worlds[world].counts["asked"] += 1
        self._threads = [t for t in self._threads if t.is_alive()]
        thread = threading.Thread(target=self._think, args=(question,), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # out of threads, or the interpreter shuts down
            question.ended.set()
            return
        self._threads.append(thread)

    def _think(self, question: _Question) -> None:
        """A thread's body: whatever goes wrong ends here, without answers."""
        try:
            said = list(self.thinker.answer(question.views))
            stamps = [v.now_s for v in question.views]
            if all(isinstance(d, Directive) for d in said) and [d.stamp_s for d in said] == stamps:
                question.answers = said
        except Exception:
            question.answers = None
        finally:
            question.ended.set()

    def news(self, world: int, now_s: float) -> Directive | None:
        """What has begun to count since it was asked last: the answer about the newest view, if it
        is newer than all before; None without one. It may say `none`.
        """
        w, newest = self._worlds[world], None
        for item in sorted(w.open, key=lambda o: o.stamp_s):
            said = self._answer(w, item, now_s)
            if said is None:
                continue
            if said.stamp_s <= w.newest_s or said.expires_s() <= now_s:
                w.counts["late"] += 1
                continue
            w.counts["answered"] += 1
            if said.reason == UNPARSED and said.kind == "none":
                w.counts["unparsed"] += 1  # says nothing, so earlier advice fades by itself
                continue
            w.in_row = 0 if said.kind == "none" else w.in_row + 1
            w.counts["advised"] += said.kind != "none"
            w.counts[said.kind] += 1
            w.newest_s, newest = said.stamp_s, said
        return newest

    def _answer(self, w: _World, item: _Open, now_s: float) -> Directive | None:
        """The answer to one question, once it counts; closes the question."""
        question, latency_s = item.question, self.timing.latency_s
        if latency_s is not None and now_s < item.stamp_s + latency_s - _SOON_S:
            return None
        deadline = question.asked_s + self.timing.deadline_s
        if latency_s is not None and not item.failed:
            question.ended.wait(max(0.0, deadline - time.monotonic()))
        if not question.ended.is_set():
            if not item.failed and time.monotonic() >= deadline:
                item.failed = True  # and stays open: its thread still runs
                self._fail(w, now_s)
            return None
        w.open.remove(item)
        if item.failed:
            return None
        said = question.answers[item.row] if question.answers else None
        if said is None or said.reason.startswith(FAILED):
            self._fail(w, now_s)
            return None
        w.in_vain = 0
        w.waits_s.append(now_s - item.stamp_s)
        return said

    def _fail(self, w: _World, now_s: float) -> None:
        w.counts["failed"] += 1
        w.in_vain += 1
        if w.in_vain >= self.timing.failures:
            w.in_vain, w.rests_until_s = 0, now_s + self.timing.rest_s

    def counts(self, world: int) -> dict[str, int]:
        """`COUNTED` of a world, and its answers by kind."""
        return {name: 0 for name in COUNTED} | dict(sorted(self._worlds[world].counts.items()))

    def waits_s(self, world: int) -> list[float]:
        """How old each answer of a world was when it counted, seconds of the views' clock."""
        return list(self._worlds[world].waits_s)

    def close(self) -> None:
        """Ends the planner, and waits a moment for what is open."""
        self.thinker.close()
        until = time.monotonic() + _CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


def happens(view: PlannerView) -> bool:
    """Whether a view is worth an early question: somebody comes near, or the policy cannot choose
    between two ways.
    """
    people = np.asarray(view.people, dtype=np.float64).reshape(-1, 4)
    away = np.linalg.norm(people[:, :2], axis=1)
    own = np.array([view.speed, 0.0])
    closing = -np.sum(people[:, :2] * (people[:, 2:] - own), axis=1) / np.maximum(away, 1e-6)
    if ((away < NEAR_M) & (people[:, 0] > 0.0) & (closing * CLOSING_S > away)).any():
        return True
    ends = view.candidates[:, -1]
    best = int(np.argmax(view.log_scores))
    bearing = np.arctan2(ends[:, 1], ends[:, 0])
    apart = np.cos(bearing - bearing[best]) < np.cos(APART_RAD)
    return bool((apart & (view.log_scores > view.log_scores[best] - MARGIN)).any())


def _no_progress(w: _World) -> bool:
    (first_s, first_m), (last_s, last_m) = w.progress[0], w.progress[-1]
    return last_s - first_s > NO_PROGRESS_S - 2 * _SOON_S and first_m - last_m < NO_PROGRESS_M
