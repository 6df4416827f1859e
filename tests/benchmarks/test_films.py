import numpy as np

from s2e.benchmarks.films import FRAMES, Film, choose_filmed, choose_kept
from s2e.envs.geometry.scene import Episode

WON = {"success": True}
STOOD = {
    "success": False,
    "path": [[0.0, 0.0]] * 50,
    "time_s": 10.0,
    "contacts": [],
    "rc": 0.0,
    "route_m": 9.0,
    "goal": [9.0, 0.0],
}
HIT = STOOD | {"contacts": [[0.2, "static"]]}


def episode(k, setting):
    return Episode(f"{setting}-{k}", setting, (0.0, 0.0, 0.0), (5.0, 0.0), 5.0, 20.0, k)


def test_what_is_filmed_does_not_depend_on_how_it_ends_and_grows_at_its_end():
    episodes = [episode(k, s) for s in ("empty", "both") for k in range(5)]
    three, all_of_them = choose_filmed(episodes, 3), choose_filmed(episodes, 32)
    assert three == [5, 0, 6] == all_of_them[:3] and sorted(all_of_them) == list(range(10))
    assert choose_filmed(episodes, 0) == []


def test_the_planned_clips_and_one_of_each_cause_are_kept():
    records = {"a": WON, "b": STOOD, "c": STOOD, "d": WON, "e": HIT, "f": HIT}
    shown: set[str] = set()
    assert choose_kept(list("abcdef"), records, 1, shown) == {
        "a": "reached the goal",
        "b": "failed, stood still",
        "e": "failed, stuck at a thing",
    }
    assert shown >= {"stood still", "stuck at a thing"}
    assert choose_kept(list("bcef"), records, 0, shown) == {}  # the next scene shows nothing twice
    assert choose_kept(list("bc"), records, 2, shown) == {
        "b": "failed, stood still",
        "c": "failed, stood still",
    }
    assert choose_kept([], records, 2, shown) == {}


def test_a_film_stays_small_and_covers_all_of_the_drive():
    film = Film()
    for k in range(1000):
        film.add(np.full((160, 640, 3), k * 255 // 1000, dtype=np.uint8))
    frames = film.images()
    assert FRAMES // 2 <= len(frames) <= FRAMES and frames[0].shape == (80, 320, 3)
    brightness = [f.mean() for f in frames]
    assert brightness[0] < 3 and brightness[-1] > 245
    steps = np.diff(brightness)
    assert steps.min() > 0 and steps.max() < 2.5 * np.median(steps), "frames are at even times"
    assert sum(map(len, film.frames)) < FRAMES * 12_000
