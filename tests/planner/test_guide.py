"""Planner, guide and fusion together, in a toy world: people cross the way of a robot that knows
only its goal."""

import numpy as np

from s2e.planner import Directive, Guide, PlannerView, RulesPlanner, Statistics
from s2e.planner.directive import make

BEARINGS = np.radians(np.linspace(-60, 60, 13))
REACH = 0.2 * np.arange(1, 21)
FAN = np.stack([np.cos(BEARINGS)[:, None] * REACH, np.sin(BEARINGS)[:, None] * REACH], axis=-1)


def drive(seed, guide):
    """Whether the robot touched somebody, and whether it reached its goal in 30 s."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 4)
    start = np.stack(
        [rng.uniform(2, 8, count), rng.choice([-1, 1], count) * rng.uniform(1.5, 5, count)], axis=1
    )
    walk = np.stack(
        [rng.uniform(-0.5, 0.5, count), -np.sign(start[:, 1]) * rng.uniform(0.5, 1.2, count)],
        axis=1,
    )
    pose, goal, touched = np.zeros(3), np.array([10.0, 0.0]), False
    for step in range(150):
        now = 0.2 * step
        rotation = np.array(
            [[np.cos(pose[2]), -np.sin(pose[2])], [np.sin(pose[2]), np.cos(pose[2])]]
        )
        to_goal = (goal - pose[:2]) @ rotation
        if np.hypot(*to_goal) < 0.5:
            return touched, True
        scores = -((BEARINGS - np.arctan2(to_goal[1], to_goal[0])) ** 2) / (2 * 0.4**2)
        people = np.concatenate(
            [(start + walk * now - pose[:2]) @ rotation, walk @ rotation], axis=1
        )
        scores, speed = guide.apply(
            PlannerView(now, pose.copy(), 1.0, to_goal, people, FAN, scores)
        )
        pose[2] += np.clip(BEARINGS[np.argmax(scores)], -0.2, 0.2)
        pose[:2] += 0.2 * speed * np.array([np.cos(pose[2]), np.sin(pose[2])])
        touched |= bool(np.any(np.hypot(*(start + walk * (now + 0.2) - pose[:2]).T) < 0.5))
    return touched, False


def test_rules_avoid_most_contacts_and_still_arrive():
    alone = np.array([drive(seed, Guide(None)) for seed in range(60)])
    guided = np.array([drive(seed, Guide(RulesPlanner())) for seed in range(60)])
    assert alone[:, 1].all() and guided[:, 1].all()
    assert alone[:, 0].mean() > 0.25
    assert guided[:, 0].mean() < 0.25 * alone[:, 0].mean()


class Late:
    """Answers every question with the same kind of advice, `delay` seconds after it was asked."""

    def __init__(self, delay, **advice):
        self.delay, self.advice, self.asked = delay, advice, []

    def submit(self, view):
        self.asked.append(view.now_s)

    def latest(self, now_s) -> Directive | None:
        ready = [t for t in self.asked if t <= now_s - self.delay + 1e-9]
        return make(ready[-1], **self.advice) if ready else None

    def statistics(self):
        return Statistics({}, ())

    def problem(self):
        return ""

    def close(self):
        self.asked.clear()


def test_late_advice_means_the_place_that_was_seen():
    """A path picked two seconds ago is still the same line on the ground, though the robot has
    turned since."""
    guide = Guide(Late(2.0, kind="select", index=8))
    for step in range(11):
        now = 0.2 * step
        pose = np.array([0.05 * step, 0.0, np.radians(2.0 * step)])
        scores, _ = guide.apply(
            PlannerView(now, pose, 0.25, np.zeros(2), np.zeros((0, 4)), FAN, np.zeros(13))
        )
        if step < 10:
            assert np.all(scores == 0.0)
    # At the end the picked line, at 20 degrees then, lies at about zero in the frame of a robot
    # turned by 20.
    assert abs(BEARINGS[np.argmax(scores)]) < np.radians(6)


def test_a_new_episode_starts_without_memory():
    guide = Guide(Late(0.0, kind="select", index=8))
    for now in (0.0, 1.0, 2.0, 0.0):
        view = PlannerView(now, np.zeros(3), 1.0, np.zeros(2), np.zeros((0, 4)), FAN, np.zeros(13))
        guide.apply(view)
    assert list(guide._past) == [0.0]
