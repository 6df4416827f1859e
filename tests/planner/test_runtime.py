import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from s2e.planner import RulesPlanner, Runtime, Timing
from s2e.planner import runtime as runtime_module
from s2e.planner.directive import FAILED, UNPARSED, Kind, make
from s2e.planner.runtime import happens
from tests.planner.views import view

SOON = Timing(latency_s=0.0)


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """Advice is no event, unless a test says so."""
    monkeypatch.setattr(runtime_module, "CONFIRM", 0)


class Echo(RulesPlanner):
    """Says for each view what `say` makes of it."""

    def __init__(self, say=lambda v: make(v.now_s, "action", action="forward_left")):
        self.say, self.batches = say, []

    def answer(self, views):
        self.batches.append([(v.episode, round(v.now_s, 1)) for v in views])
        return [self.say(v) for v in views]


def run(runtime, steps, worlds=(0,), **more):
    """Steps of 0.2 s, as an agent takes them; what each world hears and when."""
    heard = {world: [] for world in worlds}
    for step in range(steps):
        now = 0.2 * step
        # it comes nearer, so that nothing happens
        views = {w: view(now, goal=(50.0 - now, 0.0), episode=str(w), **more) for w in worlds}

        def listen(now=now):
            for w in worlds:
                said = runtime.news(w, now)
                if said is not None:
                    heard[w].append((round(now, 1), round(said.stamp_s, 1)))

        listen()
        due = [w for w in worlds if runtime.due(w, views[w])]
        runtime.ask(due, [views[w] for w in due])
        listen()
    return heard


def test_all_worlds_that_ask_at_one_step_are_one_batch_once_a_second():
    echo = Echo()
    heard = run(Runtime(echo, 3, SOON), 11, (0, 1, 2))
    assert echo.batches == [[(str(w), t) for w in range(3)] for t in (0.0, 1.0, 2.0)]
    assert heard[1] == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]


def test_an_answer_counts_from_its_view_plus_the_declared_latency():
    heard = run(Runtime(Echo(), 1, Timing(latency_s=0.6)), 11)
    assert heard[0] == [(0.6, 0.0), (1.6, 1.0)]
    # two in flight: the third question waits until the first is answered
    runtime = Runtime(Echo(), 1, Timing(latency_s=3.0))
    heard = run(runtime, 36)
    assert heard[0] == [(3.0, 0.0), (4.0, 1.0), (6.0, 3.0), (7.0, 4.0)]
    counts = runtime.counts(0)
    assert (counts["asked"], counts["answered"], counts["skipped"]) == (6, 4, 2)
    assert runtime.waits_s(0) == pytest.approx([3.0] * 4)


def test_a_slow_thinker_changes_nothing_in_simulated_time():
    def slowly(v):
        time.sleep(0.02)
        return make(v.now_s, "stop")

    for latency_s in (0.0, 0.4):
        fast, slow = (
            run(Runtime(Echo(say), 2, Timing(latency_s=latency_s)), 15, (0, 1))
            for say in (lambda v: make(v.now_s, "stop"), slowly)
        )
        assert fast == slow and fast[0]


def test_worlds_do_not_depend_on_their_neighbours():
    alone, among = Runtime(Echo(), 1, SOON), Runtime(Echo(), 4, SOON)
    assert run(alone, 12)[0] == run(among, 12, (0, 1, 2, 3))[0]
    assert alone.counts(0) == among.counts(0)


def raises(views):
    raise ValueError("a bug")


def test_what_goes_wrong_is_counted_and_rests_after_three():
    wrong = {
        "raises": raises,
        "too few": lambda views: [],
        "too many": lambda views: [make(v.now_s, "stop") for v in views] * 2,
        "no list": lambda views: None,
        "no directive": lambda views: ["stop"] * len(views),
        "another time": lambda views: [make(77.0, "stop") for _ in views],
        "says so": lambda views: [make(v.now_s, "none", reason=FAILED + ": 500") for v in views],
    }
    for name, answer in wrong.items():
        thinker = Echo()
        thinker.answer = answer
        runtime = Runtime(thinker, 2, SOON)
        assert run(runtime, 60, (0, 1)) == {0: [], 1: []}, name
        counts = runtime.counts(1)
        assert (counts["asked"], counts["failed"], counts["answered"]) == (3, 3, 0), name
        assert counts["skipped"] == 9, name  # it rests for thirty seconds
        runtime.close()


def test_it_asks_again_after_the_rest():
    said = iter([FAILED, FAILED, FAILED])
    runtime = Runtime(Echo(lambda v: make(v.now_s, "stop", reason=next(said, ""))), 1, SOON)
    heard = run(runtime, 175)
    assert [t for t, _ in heard[0]] == [32.0, 33.0, 34.0]


def test_what_could_not_be_read_is_no_news():
    runtime = Runtime(Echo(lambda v: make(v.now_s, "none", reason=UNPARSED)), 1, SOON)
    assert run(runtime, 6)[0] == []
    counts = runtime.counts(0)
    assert (counts["asked"], counts["answered"], counts["unparsed"]) == (2, 2, 2)
    assert counts["failed"] == counts["advised"] == 0


def test_answers_are_counted_by_kind():
    kinds: Iterator[Kind] = iter(("stop", "none", "stop"))
    runtime = Runtime(Echo(lambda v: make(v.now_s, next(kinds))), 1, SOON)
    run(runtime, 11)
    counts = runtime.counts(0)
    assert (counts["stop"], counts["none"], counts["advised"], counts["answered"]) == (2, 1, 2, 3)


def test_a_stop_that_comes_when_it_is_over_is_late():
    runtime = Runtime(Echo(lambda v: make(v.now_s, "stop")), 1, Timing(latency_s=4.0))
    assert run(runtime, 26)[0] == []
    assert runtime.counts(0)["late"] == 2


def test_another_episode_hears_nothing_of_the_one_before():
    runtime = Runtime(Echo(), 1, Timing(latency_s=0.4))
    runtime.ask([0], [view(50.0)])
    runtime.begin(0)
    heard = run(runtime, 10)
    assert heard[0] == [(0.4, 0.0), (1.4, 1.0)]
    assert runtime.counts(0)["late"] == 1


class Gate(Echo):
    """Waits for leave."""

    def __init__(self):
        super().__init__()
        self.leave = {}

    def answer(self, views):
        self.leave.setdefault(views[0].now_s, threading.Event()).wait(5.0)
        return super().answer(views)

    def open(self, now_s):
        self.leave.setdefault(now_s, threading.Event()).set()


def until(said):
    for _ in range(500):
        if (found := said()) is not None:
            return found
        time.sleep(0.005)
    raise AssertionError("nothing came")


def test_live_the_newest_observation_wins():
    gate = Gate()
    runtime = Runtime(gate, 1, Timing(latency_s=None))
    for now in (0.0, 1.0):
        assert runtime.due(0, view(now))
        runtime.ask([0], [view(now)])
    assert not runtime.due(0, view(2.0)) and runtime.counts(0)["skipped"] == 1
    assert runtime.news(0, 2.0) is None
    gate.open(1.0)
    assert until(lambda: runtime.news(0, 2.2)).stamp_s == 1.0
    gate.open(0.0)
    until(lambda: runtime.news(0, 2.4) or (runtime.counts(0)["late"] or None))
    assert runtime.counts(0)["late"] == 1 and runtime.counts(0)["answered"] == 1
    runtime.close()


@pytest.mark.parametrize("latency_s", [None, 0.2])
def test_who_hangs_has_failed_and_is_not_asked_more_than_twice(latency_s):
    gate, before = Gate(), threading.active_count()
    runtime = Runtime(gate, 1, Timing(latency_s=latency_s, deadline_s=0.05))
    for step in range(60):
        now = 0.2 * step
        if runtime.due(0, view(now)):
            runtime.ask([0], [view(now)])
        assert runtime.news(0, now) is None
        time.sleep(0.005)
    counts = runtime.counts(0)
    assert (counts["asked"], counts["failed"], counts["answered"]) == (2, 2, 0)
    assert threading.active_count() - before == 2
    for event in gate.leave.values():
        event.set()
    runtime.close()
    assert threading.active_count() == before
    assert runtime.news(0, 13.0) is None and runtime.counts(0)["failed"] == 2


def test_new_advice_is_soon_asked_about_again(monkeypatch):
    monkeypatch.setattr(runtime_module, "CONFIRM", 3)
    kinds: Iterator[Kind] = iter(("none", "stop", "stop", "stop", "stop", "none"))
    echo = Echo(lambda v: make(v.now_s, next(kinds)))
    run(Runtime(echo, 1, SOON), 20)
    asked = [t for ((_, t),) in echo.batches]
    assert asked == pytest.approx([0.0, 1.0, 1.4, 1.8, 2.8, 3.8])


def test_events_are_asked_about_sooner():
    near = np.array([[2.0, 0.5, -1.0, 0.0]])
    echo = Echo()
    run(Runtime(echo, 1, SOON), 6, people=near)
    assert [t for ((_, t),) in echo.batches] == [0.0, 0.4, 0.8]
    echo = Echo()
    runtime = Runtime(echo, 1, SOON)
    for step in range(21):  # stands
        if runtime.due(0, view(0.2 * step)):
            runtime.ask([0], [view(0.2 * step)])
        runtime.news(0, 0.2 * step)
    asked = [t for ((_, t),) in echo.batches]
    assert asked == pytest.approx([0.0, 1.0, 2.0, 3.0, 3.4, 3.8])


@pytest.mark.parametrize(
    ("people", "scores", "happened"),
    [
        ([], [0.0, -2.0, -3.0], False),
        ([], [0.0, -0.1, -3.0], False),  # the two nearest ways are much the same
        ([], [0.0, -2.0, -0.1], True),
        ([[3.0, 0.0, 0.0, 0.0]], [0.0, -2.0, -3.0], True),  # the robot drives at 1 m/s
        ([[3.0, 0.0, 1.5, 0.0]], [0.0, -2.0, -3.0], False),  # walks on ahead
        ([[6.0, 0.0, -1.0, 0.0]], [0.0, -2.0, -3.0], False),
        ([[-2.0, 0.0, 2.0, 0.0]], [0.0, -2.0, -3.0], False),  # behind
    ],
)
def test_what_an_event_is(people, scores, happened):
    assert happens(view(people=np.reshape(people, (-1, 4)), scores=scores)) == happened
