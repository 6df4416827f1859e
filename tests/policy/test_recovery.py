import numpy as np
import pytest

from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.worlds import Worlds, WorldsConfig
from s2e.policy.recovery import BACK, HERE_M, ON, STOOD_S, TURN, UNTIL_S, Recovery

STANDS, DRIVES = np.zeros((1, 2)), np.array([[-0.3, 0.0]])
LEFT = np.array([[1.0, 0.4]])


def told(recovery, egos, pose=(0.0, 0.0, 0.0), waypoints=LEFT, step_s=0.2):
    """(steps, 2) what one robot is told."""
    return np.concatenate(
        [recovery.relieve(waypoints, np.array([pose]), ego, step_s) for ego in egos]
    )


@pytest.mark.parametrize("step_s", [0.2, 0.1, 0.05])
def test_who_stands_backs_off_turns_away_and_drives_on(step_s):
    recovery, each = Recovery(1), round(0.2 / step_s)
    steps = [round(t / step_s) for t in (STOOD_S, *UNTIL_S)]
    now = told(recovery, [STANDS] * (1 + steps[0]) + [DRIVES] * (steps[3] + each), step_s=step_s)
    assert (now[: steps[0]] == LEFT).all(), "it has not stood for long, or just begins"
    jam = now[steps[0] :]
    right = [
        (BACK, 0, steps[1]),
        ((TURN[0], -TURN[1]), steps[1], steps[2]),
        ((ON[0], -ON[1]), steps[2], steps[3]),
    ]
    for waypoint, begin, end in right:
        assert (jam[begin:end] == waypoint).all(), waypoint
    assert (jam[steps[3] :] == LEFT).all()


def test_what_moves_nothing_is_not_gone_on_with():
    now = told(Recovery(1), [STANDS] * 11)
    expected = [LEFT[0]] * 3 + [BACK, (TURN[0], -TURN[1]), (ON[0], -ON[1])]
    # the second time to the other side
    np.testing.assert_array_equal(now, [*expected, *[LEFT[0]] * 2, BACK, TURN, ON])
    moves = told(Recovery(1), [STANDS] * 4 + [DRIVES] * 8 + [STANDS] * 3, pose=(1.0, 2.0, 0.0))
    np.testing.assert_array_equal(moves[-3:], [LEFT[0], LEFT[0], BACK])  # it begins to count anew


def test_a_jam_at_the_same_place_turns_to_the_other_side():
    for away, side in ((0.5 * HERE_M, 1.0), (2.0 * HERE_M, -1.0)):
        recovery, jam = Recovery(1), [STANDS] * 4 + [DRIVES] * 8
        first, second = told(recovery, jam), told(recovery, jam[1:], pose=(away, 0.0, 0.0))
        assert (first[7:9, 1] < 0).all() and (np.sign(second[6:8, 1]) == side).all()
        recovery.begin(np.array([0]))
        assert (told(recovery, [STANDS] * 3) == LEFT).all(), "forgotten"


@pytest.mark.parametrize("waypoint", [(0.0, 0.0), (0.05, 0.3), (-0.3, 0.0), (0.09, -0.34)])
def test_who_is_not_told_to_drive_may_stand(waypoint):
    """Stops, legs that step aside, and those that back off."""
    now = told(Recovery(1), [STANDS] * 20, waypoints=np.array([waypoint]))
    assert (now == waypoint).all()
    turns = told(Recovery(1), [np.array([[0.0, 1.0]])] * 20, waypoints=np.array([[0.0, 0.5]]))
    assert (turns == [0.0, 0.5]).all()


def test_some_robots_are_as_if_they_were_alone():
    rng = np.random.default_rng(0)
    many, ones = Recovery(5), [Recovery(1) for _ in range(5)]
    for _ in range(60):
        live = np.flatnonzero(rng.random(5) < 0.8)
        waypoints, pose = rng.normal(0, 0.5, (5, 2)), rng.normal(0, 0.3, (5, 3))
        ego = rng.normal(0, 0.2, (5, 2)) * (rng.random((5, 1)) < 0.3)
        now = many.relieve(waypoints[live], pose[live], ego[live], 0.2, live)
        for row, n in enumerate(live):
            alone = ones[n].relieve(waypoints[n : n + 1], pose[n : n + 1], ego[n : n + 1], 0.2)
            np.testing.assert_array_equal(now[row], alone[0])
            assert many.busy(np.array([n])) == ones[n].busy()


def test_whoever_drives_at_walls_does_not_stand_there():
    """All are told to go on to the left, whatever they touch: alone some stand for seconds."""
    scenes, longest = training_scenes(2, 0), {}
    for helped in (True, False):
        config = WorldsConfig(robot="jackal", people=0, collision="counts")
        worlds = Worlds(scenes, config, 24, RandomEpisodes(scenes, 24, 5, 0), draw=False)
        worlds.reset()
        recovery, stood, most = Recovery(24), np.zeros(24), np.zeros(24)
        for _ in range(80):
            now = np.tile([1.2, 0.3], (24, 1))
            if helped:
                now = recovery.relieve(now, worlds.pose, worlds.velocity, 0.2)
            before = worlds.pose.copy()
            worlds.step(now)
            stood = np.where((np.abs(worlds.pose - before) < 0.01).all(1), stood + 1, 0)
            most = np.maximum(most, stood)
        longest[helped] = most.max()
    assert longest[True] < 12 and longest[False] > 20, longest
