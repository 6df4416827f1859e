import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Walker
from s2e.envs.people.crowd import PERSON_RADIUS, Robots, Walkable, step_crowd
from s2e.envs.people.people import DENSITY_M2, SHARES, People, draw_walkers, people_count
from s2e.envs.people.roadmap import Roadmaps, build_roadmap
from s2e.envs.robots.collision import field_at
from s2e.envs.robots.kinds import ROBOTS

DISCS, RADIUS = ROBOTS["jackal"].discs(), ROBOTS["jackal"].disc_radius
FAR = np.array([[-90.0, -90.0, 0.0]])
STILL = np.zeros((1, 2))


def room(
    boxes: tuple[tuple[int, int, int, int], ...] = (), rows: int = 100, cols: int = 120
) -> Occupancy:
    grid = np.ones((rows, cols), dtype=bool)
    grid[2:-2, 2:-2] = False
    for top, bottom, left, right in boxes:
        grid[top:bottom, left:right] = True
    return Occupancy(grid, np.zeros(2), 0.1)


BOXES = ((20, 45, 40, 50), (60, 70, 30, 80), (35, 50, 80, 88))


def placed(positions, goals, speeds, behaviours=None, groups=None, wander=False) -> People:
    people = People.empty(1, len(positions))
    behaviours, groups = behaviours or ["walk"] * len(positions), groups or [-1] * len(positions)
    people.place(
        0,
        [
            Walker(tuple(p), tuple(g), s, 17 * k + 3, b, m)
            for k, (p, g, s, b, m) in enumerate(zip(positions, goals, speeds, behaviours, groups))
        ],
        wander,
    )
    return people


def forward(people, fields, clock=0.0, poses=FAR, robot=STILL, dt=0.2, roadmaps=None, **more):
    worlds = len(people.position)
    ids, discs = np.zeros(worlds, dtype=int), np.tile(DISCS, (worlds, 1))
    roadmaps = roadmaps or Roadmaps.empty(1)
    step_crowd(
        people,
        np.full(worlds, clock),
        Robots(poses, robot, discs, np.full(worlds, RADIUS)),
        Walkable(fields, roadmaps, ids),
        dt,
        substeps=more.pop("substeps", 2),
        **more,
    )


def walk(people, steps, scene, poses=FAR, robot=STILL, dt=0.2, roadmaps=None, **more):
    """Steps one world and returns all positions and velocities (steps, P, 2)."""
    fields, track = DistanceFields.pack([scene]), []
    for step in range(steps):
        forward(people, fields, step * dt, poses, robot, dt, roadmaps, **more)
        track.append((people.position[0].copy(), people.velocity[0].copy()))
    return np.array([t[0] for t in track]), np.array([t[1] for t in track])


def gap_to(pose, position) -> float:
    """Metres between the robot's discs and a person's body."""
    centres = pose[:2] + DISCS[:, None] * [np.cos(pose[2]), np.sin(pose[2])]
    return float(np.linalg.norm(centres - position, axis=1).min() - RADIUS - PERSON_RADIUS)


def test_alone_a_person_walks_straight_to_the_goal_at_their_speed():
    pos, vel = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3]), 20, room())
    assert abs(np.linalg.norm(vel[15, 0]) - 1.3) < 0.02
    assert np.abs(pos[:, 0, 1] - 5.0).max() < 1e-6
    pos, _ = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3]), 50, room())
    assert np.linalg.norm(pos[:, 0] - [10.0, 5.0], axis=1).min() < 0.5


@pytest.mark.parametrize("bearing", [0.4, np.pi - 0.05, -np.pi + 0.05])
def test_a_person_turns_the_shorter_way_round(bearing):
    """To whatever side: the body looks where it walks a second after another way was taken."""
    middle, course = np.array([6.0, 5.0]), np.array([np.cos(bearing), np.sin(bearing)])
    for side in (1.0, -1.0):
        people = placed([middle], [middle + 3.5 * course], [1.2])
        people.yaw[0, 0] = np.angle(np.exp(1j * (bearing + 0.8 * side)))
        before = people.yaw[0, 0]
        walk(people, 1, room(), dt=0.1)
        turned = np.angle(np.exp(1j * (people.yaw[0, 0] - before)))
        assert turned * side < 0, "towards its way"
        walk(people, 8, room(), dt=0.1)
        assert np.cos(people.yaw[0, 0] - bearing) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_nobody_enters_walls_or_hurries_and_everybody_arrives(seed):
    scene = room(BOXES)
    fields = DistanceFields.pack([scene])
    rng = np.random.default_rng(seed)
    free = np.argwhere(scene.distance() > 0.6)
    spots = (free[rng.integers(len(free), size=(2, 6))][..., ::-1] + 0.5) * 0.1
    speeds = rng.uniform(0.7, 1.6, 6)
    pos, vel = walk(placed(spots[0], spots[1], speeds), 250, scene)
    gaps = [
        field_at(fields.values, fields.start, fields.shape, fields.frame, 0, x, y)
        for x, y in pos.reshape(-1, 2)
    ]
    assert min(gaps) >= 0.2 - 1e-9
    assert (np.linalg.norm(vel, axis=-1) <= 1.3 * speeds + 1e-9).all()
    nearest = np.linalg.norm(pos - spots[1], axis=-1).min(axis=0)
    assert (nearest < 0.8).all(), nearest


def test_people_walk_around_each_other():
    pos, _ = walk(
        placed([[2.0, 5.0], [10.0, 5.0]], [[10.0, 5.0], [2.0, 5.0]], [1.2, 1.2]), 40, room()
    )
    assert np.linalg.norm(pos[:, 0] - pos[:, 1], axis=-1).min() > 0.4
    assert np.linalg.norm(pos - [[10.0, 5.0], [2.0, 5.0]], axis=-1).min(0).max() < 0.5


@pytest.mark.parametrize(
    "behaviour", ["walk", "cross", "stop", "phone", "give_way", "insist", "cut_in"]
)
def test_people_walk_around_a_standing_robot_without_touching_it(behaviour):
    pose = np.array([[6.0, 5.0, 0.4]])
    pos, _ = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3], [behaviour]), 80, room(), poses=pose)
    assert min(gap_to(pose[0], p) for p in pos[:, 0]) > 0
    assert np.linalg.norm(pos[:, 0] - [10.0, 5.0], axis=1).min() < 0.5


def meets(behaviour: str, shift: float, head_on: bool = False, react: bool = True) -> bool:
    """Whether a robot that drives through (6, 5) at 1.5 m/s and never evades hits a person who gets
    there as well."""
    fields, hit = DistanceFields.pack([room()]), False
    ends = (
        ([11.0, 5 + shift], [1.0, 5 + shift]) if head_on else ([6 + shift, 2.0], [6 + shift, 9.0])
    )
    people = placed(ends[:1], ends[1:], [1.3], [behaviour])
    for step in range(50):
        pose = np.array([[2.1 + 0.15 * step, 5.0, 0.0]])
        forward(
            people, fields, 0.1 * step, pose, np.array([[1.5, 0.0]]), 0.1, substeps=1, react=react
        )
        hit |= gap_to(pose[0] + [0.15, 0.0, 0.0], people.position[0, 0]) < 0
    return hit


def test_who_gives_way_is_not_hit_and_others_are():
    shifts = np.linspace(-0.5, 0.5, 11)
    hits = {
        name: sum(meets(name, s) for s in shifts)
        for name in ("walk", "cross", "phone", "insist", "give_way")
    }
    assert hits["walk"] >= 4 and hits["cross"] >= 4  # a robot that drives into their way hits them
    assert hits["phone"] >= 9 and hits["insist"] >= 9
    assert hits["give_way"] == 0
    assert not any(meets("give_way", s, head_on=True) for s in shifts)
    assert sum(meets("walk", s, react=False) for s in shifts) >= 9
    assert sum(meets("give_way", s, react=False) for s in shifts) >= 9


def test_nobody_who_does_not_react_notices_a_standing_robot():
    pose = np.array([[6.0, 5.0, 0.4]])
    with_robot, _ = walk(
        placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3]), 30, room(), poses=pose, react=False
    )
    without, _ = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3]), 30, room())
    np.testing.assert_array_equal(with_robot, without)


def test_people_who_stand_stay_and_people_who_stop_halt():
    people = placed(
        [[5.0, 5.0], [2.0, 2.0]], [[6.0, 5.0], [11.0, 2.0]], [1.2, 1.0], ["stand", "stop"]
    )
    pos, vel = walk(people, 300, room(rows=60, cols=120), dt=0.1, substeps=1)
    assert np.abs(pos[:, 0] - [5.0, 5.0]).max() < 1e-9 and people.yaw[0, 0] == 0.0
    slow = np.linalg.norm(vel[:, 1], axis=-1) < 0.1
    assert 20 < slow.sum() < 150
    lengths = np.diff(
        np.flatnonzero(np.diff(np.concatenate([[False], slow, [False]]).astype(int)))
    )[::2]
    assert (lengths[1:-1] >= 15).all()  # whole seconds at a time


def test_a_group_keeps_together_and_turns_together():
    starts = [[2.0, 4.4], [2.0, 5.0], [2.0, 5.6], [10.5, 5.0]]
    goals = [[10.0, 4.4], [10.0, 5.0], [10.0, 5.6], [2.0, 5.0]]
    people = placed(starts, goals, [1.2, 1.2, 1.2, 1.2], ["group"] * 3 + ["walk"], [0, 0, 0, -1])
    pos, _ = walk(people, 200, room(), dt=0.1, substeps=1)
    spread = np.linalg.norm(pos[:, :3] - pos[:, :3].mean(1, keepdims=True), axis=-1).max(1)
    assert spread.max() < 2.0 and np.median(spread) < 1.0
    assert people.leg[0, 0] == people.leg[0, 1] == people.leg[0, 2] > 1
    assert np.linalg.norm(pos[:, :3] - pos[:, 3:], axis=-1).min() > 0.35


def test_who_cuts_in_ends_up_close_in_front_of_the_robot():
    fields, people = (
        DistanceFields.pack([room(rows=100, cols=400)]),
        placed([[1.0, 5.6]], [[38.0, 5.6]], [1.6], ["cut_in"]),
    )
    ahead = []
    for step in range(300):
        pose = np.array([[3.0 + 0.1 * step, 5.0, 0.0]])
        forward(people, fields, 0.1 * step, pose, np.array([[1.0, 0.0]]), 0.1, substeps=1)
        ahead.append(people.position[0, 0] - pose[0, :2])
    ahead = np.array(ahead)
    assert ahead[0, 0] < -1.0
    assert ((ahead[:, 0] > 0.5) & (ahead[:, 0] < 2.5) & (np.abs(ahead[:, 1]) < 0.4)).sum() >= 10


def test_people_go_back_and_wanderers_go_on_by_their_look_alone():
    people = placed([[2.0, 5.0]], [[6.0, 5.0]], [1.5])
    pos, _ = walk(people, 40, room())
    assert people.leg[0, 0] >= 3
    assert (
        pos[:, 0, 0].max() < 6.1 and np.linalg.norm(pos[:, 0] - [2.0, 5.0], axis=1)[5:].min() < 0.6
    )
    fields = DistanceFields.pack([room(BOXES)])
    anchors = np.array([[1.5, 1.5], [10.0, 1.5], [10.0, 8.5], [1.5, 8.5], [6.5, 5.5]])
    maps = Roadmaps.pack([build_roadmap(fields, 0, anchors)])
    ways = []
    for _ in range(2):
        people = placed([[2.0, 2.0]], [[3.0, 2.0]], [1.5], wander=True)
        pos, _ = walk(people, 300, room(BOXES), roadmaps=maps)
        ways.append(pos)
    np.testing.assert_array_equal(*ways)
    assert people.leg[0, 0] > 3
    assert (np.linalg.norm(anchors[:, None] - ways[0][None, :, 0], axis=-1).min(1) < 0.6).sum() >= 3


def scattered(seed: int, worlds: int = 6, slots: int = 5) -> People:
    rng, people = np.random.default_rng(seed), People.empty(worlds, slots)
    for n in range(worlds):
        people.place(
            n,
            [
                Walker(
                    (*rng.uniform(1, 9, 2),),
                    (*rng.uniform(1, 9, 2),),
                    rng.uniform(0.7, 1.5),
                    int(rng.integers(999)),
                    b,
                    g,
                )
                for b, g in (
                    ("walk", -1),
                    ("group", 0),
                    ("group", 0),
                    ("phone", -1),
                    ("cut_in", -1),
                )
            ][: int(rng.integers(1, slots + 1))],
        )
    return people


def test_worlds_are_independent_and_the_absent_stay():
    fields = DistanceFields.pack([room(), room(BOXES)])
    maps = Roadmaps.pack(
        [
            build_roadmap(fields, s, np.array([[1.5, 1.5], [10.0, 1.5], [10.0, 8.5], [1.5, 8.5]]))
            for s in (0, 1)
        ]
    )
    ids, rng = np.array([0, 1, 0, 1, 1, 0]), np.random.default_rng(1)
    clock, poses, robot = rng.uniform(0, 9, 6), rng.uniform(1, 9, (6, 3)), rng.random((6, 2))
    discs, radius = np.tile(DISCS, (6, 1)), np.full(6, RADIUS)
    moving = np.array([True, True, True, False, True, True])

    def steps(people, pick):
        for k in range(20):
            step_crowd(
                people,
                clock[pick] + 0.1 * k,
                Robots(poses[pick], robot[pick], discs[pick], radius[pick]),
                Walkable(fields, maps, ids[pick]),
                0.1,
                moving=moving[pick],
            )

    together, before = scattered(2), scattered(2)
    steps(together, np.arange(6))
    np.testing.assert_array_equal(together.real[3], before.real[3])
    np.testing.assert_array_equal(together.real[~before.active], before.real[~before.active])
    assert np.isfinite(together.real).all()
    for n in range(6):
        source = scattered(2)
        alone = People(
            source.real[n : n + 1].copy(),
            source.whole[n : n + 1].copy(),
            source.active[n : n + 1].copy(),
            source.script[n : n + 1].copy(),
        )
        steps(alone, np.array([n]))
        np.testing.assert_array_equal(alone.real[0], together.real[n])
        np.testing.assert_array_equal(alone.whole[0], together.whole[n])


def test_saved_people_walk_on_as_if_nothing_had_happened():
    fields, people = DistanceFields.pack([room(BOXES)]), scattered(4, 1)
    for k in range(10):
        forward(people, fields, 0.1 * k, dt=0.1, substeps=1)
    saved = {name: array.copy() for name, array in people.arrays().items()}
    for k in range(10, 20):
        forward(people, fields, 0.1 * k, dt=0.1, substeps=1)
    again = People.empty(1, 5)
    again.restore(saved)
    for k in range(10, 20):
        forward(again, fields, 0.1 * k, dt=0.1, substeps=1)
    np.testing.assert_array_equal(again.real, people.real)
    with pytest.raises(UserError, match="people state real"):
        again.restore({**saved, "real": saved["real"][:, :2]})
    with pytest.raises(UserError, match="holds 1"):
        People.empty(1, 1).place(0, [Walker((0, 0), (1, 1), 1.0, 1)] * 2)


def test_no_people_no_worlds_no_anchors():
    fields, people = DistanceFields.pack([room()]), People.empty(2, 0)
    forward(people, fields, poses=np.zeros((2, 3)), robot=np.zeros((2, 2)))
    assert people.rows().shape == (2, 0, 7)
    people = People.empty(0, 4)
    forward(people, fields, poses=np.zeros((0, 3)), robot=np.zeros((0, 2)))


def test_drawn_people_are_a_mix_keep_clear_and_are_the_same_for_the_same_seed():
    anchors = np.stack(np.meshgrid(np.arange(0, 20, 2.0), np.arange(0, 12, 2.0)), -1).reshape(-1, 2)
    start, goal = np.array([2.0, 2.0]), np.array([14.0, 8.0])
    everybody = []
    for seed in range(60):
        walkers = draw_walkers(np.random.default_rng(seed), anchors, start, goal, 8)
        assert walkers == draw_walkers(np.random.default_rng(seed), anchors, start, goal, 8)
        assert len(walkers) == 8
        spots = np.array([w.start for w in walkers])
        assert np.linalg.norm(spots - start, axis=1).min() >= 2.5
        between = np.linalg.norm(spots[:, None] - spots, axis=-1) + np.eye(8)
        assert between.min() >= 0.59
        for group in {w.group for w in walkers} - {-1}:
            mates = [w for w in walkers if w.group == group]
            assert 2 <= len(mates) <= 3 and len({w.speed for w in mates}) == 1
        everybody += walkers
    assert {w.behaviour for w in everybody} == set(SHARES)
    assert {
        w.behaviour
        for w in draw_walkers(np.random.default_rng(0), anchors, start, goal, 8, {"phone": 1.0})
    } == {"phone"}
    with pytest.raises(UserError, match="hover"):
        draw_walkers(np.random.default_rng(0), anchors, start, goal, 8, {"hover": 1.0})


def test_what_does_not_fit_is_said_and_the_rest_is_placed():
    anchors = np.array([[0.0, 0.0], [3.0, 0.0], [6.0, 0.0]])
    with pytest.warns(UserWarning, match="30 people asked for, [12] fit"):
        walkers = draw_walkers(
            np.random.default_rng(0), anchors, anchors[0], anchors[2], 30, {"walk": 1.0}
        )
    assert 1 <= len(walkers) <= 2
    with pytest.warns(UserWarning, match="0 fit"):
        assert (
            draw_walkers(np.random.default_rng(0), np.zeros((0, 2)), anchors[0], anchors[2], 3)
            == ()
        )
    assert draw_walkers(np.random.default_rng(0), anchors, anchors[0], anchors[2], 0) == ()


def test_people_come_at_the_fitted_density():
    rng = np.random.default_rng(0)
    counts = [people_count(rng, 100.0, 1000) for _ in range(4000)]
    assert abs(np.mean(counts) - 100 * np.mean(DENSITY_M2)) < 0.2
    assert (
        max(people_count(rng, 1000.0, 5) for _ in range(50)) == 5
        and people_count(rng, 100.0, 0) == 0
    )
