from typing import Any

import numba
import numpy as np
import pytest
from scipy.optimize import linprog

from s2e.envs.people import orca

# Compiled functions, whose signatures type checkers do not count right.
best_velocity: Any = orca.best_velocity
half_plane: Any = orca.half_plane

HORIZON, DT = 2.0, 0.1


@numba.njit(error_model="numpy")
def _velocities(positions, velocities, preferred, radii, limits, active, horizon, dt, reach, out):
    worlds, people = active.shape
    lines, scratch = np.empty((people, 3)), np.empty((people, 3))
    order, away = np.empty(people, dtype=np.int64), np.empty(people)
    for n in range(worlds):
        for i in range(people):
            if not active[n, i]:
                continue
            count = orca.nearest_first(positions[n], active[n], i, reach, order, away)
            vx, vy = velocities[n, i, 0], velocities[n, i, 1]
            for k in range(count):
                j = order[k]
                nx, ny, short = orca.half_plane(
                    positions[n, j, 0] - positions[n, i, 0],
                    positions[n, j, 1] - positions[n, i, 1],
                    vx - velocities[n, j, 0],
                    vy - velocities[n, j, 1],
                    radii[n, i] + radii[n, j],
                    horizon,
                    dt,
                )
                lines[k, 0], lines[k, 1], lines[k, 2] = nx, ny, vx * nx + vy * ny + 0.5 * short
            out[n, i, 0], out[n, i, 1] = orca.best_velocity(
                lines, count, 0, limits[n, i], preferred[n, i, 0], preferred[n, i, 1], scratch
            )


def orca_velocities(positions, velocities, preferred, radii, limits, active, horizon, dt):
    """(N, P, 2) new velocities of N worlds of P discs: everybody takes half of every encounter."""
    state = (np.ascontiguousarray(a) for a in (positions, velocities, preferred, radii, limits))
    out = np.zeros(positions.shape)
    rest = np.ascontiguousarray(active), horizon, dt, np.inf, out
    _velocities(*state, *rest)  # pyright: ignore[reportCallIssue]
    return out


def single(values) -> np.ndarray:
    """What float32 holds of them: the reference computes in it."""
    return np.asarray(values).astype(np.float32).astype(np.float64)


def crowd(count: int, seed: int):
    """Positions on a ground just wide enough, goals on its other side, radii, top speeds."""
    rng = np.random.default_rng(seed)
    side = 1.2 * np.sqrt(count) + 1.0
    spots = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2)[
        rng.permutation(144)[:count]
    ]
    positions = spots / 12 * side * 1.5 + rng.uniform(-0.1, 0.1, (count, 2))
    goals = positions.mean(0) - (positions - positions.mean(0)) + rng.normal(0, 0.3, (count, 2))
    return (
        single(positions),
        single(goals),
        single(rng.uniform(0.2, 0.35, count)),
        single(rng.uniform(1.0, 2.0, count)),
    )


def ours(*state: np.ndarray) -> np.ndarray:
    """New velocities (P, 2) of one world: positions, velocities, preferred velocities, radii, top
    speeds."""
    alone, rest = (a[None] for a in state), (np.ones((1, len(state[0])), bool), HORIZON, DT)
    return orca_velocities(*alone, *rest)[0]  # pyright: ignore[reportCallIssue]


def rounding(positions, velocities, preferred, radii, limits) -> np.ndarray:
    """(P,) how far float32's last bit moves the answer (legs of near discs and lines that meet
    flatly magnify it)."""
    rng, base = np.random.default_rng(0), ours(positions, velocities, preferred, radii, limits)
    moved = np.zeros(len(base))
    for _ in range(16):
        jitter = [
            a * (1 + rng.uniform(-6e-8, 6e-8, a.shape)) for a in (positions, velocities, preferred)
        ]
        moved = np.maximum(moved, np.abs(ours(*jitter, radii, limits) - base).max(1))
    return moved


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13, 20])
def test_every_step_equals_the_reference_package(count):
    pyrvo = pytest.importorskip("pyrvo")
    beyond = steps = 0
    for seed in range(2):
        positions, goals, radii, limits = crowd(count, 100 * seed + count)
        velocities = np.zeros((count, 2))
        theirs = pyrvo.RVOSimulator()
        theirs.set_time_step(DT)
        for i in range(count):
            theirs.add_agent(
                tuple(positions[i]), 1e4, count, HORIZON, HORIZON, radii[i], limits[i], (0.0, 0.0)
            )
        for step in range(120):
            way = goals - positions
            preferred = single(way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 0.5))
            for i in range(count):
                theirs.set_agent_position(i, tuple(positions[i]))
                theirs.set_agent_velocity(i, tuple(velocities[i]))
                theirs.set_agent_pref_velocity(i, tuple(preferred[i]))
            theirs.do_step()
            expected = np.array([[v.x, v.y] for v in map(theirs.get_agent_velocity, range(count))])
            state = (positions, velocities, preferred, radii, limits)
            apart = np.abs(ours(*state) - expected).max(1)
            steps += 1
            if apart.max() > 1e-5:
                beyond += 1
                assert (apart <= 1e-5 + 8 * rounding(*state)).all(), (seed, step, apart.max())
            velocities = expected
            positions = single(positions + DT * velocities)
    assert beyond <= 0.02 * steps


def test_a_half_plane_is_the_nearest_way_out_of_the_velocity_obstacle():
    rng = np.random.default_rng(3)
    around = np.stack(
        [np.cos(np.linspace(0, 2 * np.pi, 721)), np.sin(np.linspace(0, 2 * np.pi, 721))], 1
    )
    times = np.linspace(1e-3, HORIZON, 4000)[:, None]

    def inside(velocity, offset, radii):
        """By definition: the discs touch at some time until the horizon."""
        return np.linalg.norm(offset - times * velocity, axis=1).min() < radii

    for _ in range(60):
        offset, radii = rng.uniform(-4, 4, 2), rng.uniform(0.3, 0.8)
        if np.linalg.norm(offset) < radii + 0.1:
            continue
        w = (
            rng.uniform(-2, 2, 2)
            if rng.random() < 0.5
            else offset / HORIZON * rng.uniform(0.9, 2.5) + rng.normal(0, 0.1, 2)
        )
        nx, ny, short = half_plane(*offset, *w, radii, HORIZON, DT)
        normal = np.array([nx, ny])
        assert abs(np.linalg.norm(normal) - 1) < 1e-12
        assert inside(w, offset, radii) == (short > 0) or abs(short) < 2e-3
        if short > 0:
            assert not inside(w + (short + 2e-3) * normal, offset, radii)
            assert inside(w + (short - 2e-3) * normal, offset, radii) or short < 2e-3
            # no way out is shorter
            assert all(inside(w + 0.97 * short * turn, offset, radii) for turn in around[::6])


def test_discs_that_overlap_part_within_a_step():
    nx, ny, short = half_plane(0.3, 0.0, 0.0, 0.0, 0.5, HORIZON, DT)
    np.testing.assert_allclose([nx, ny, short], [-1.0, 0.0, 2.0])
    assert np.isfinite(half_plane(0.0, 0.0, 0.0, 0.0, 0.5, HORIZON, DT)).all()
    assert np.isfinite(half_plane(0.3, 0.1, 3.0, 1.0, 0.5, HORIZON, DT)).all()


def lines_of(rng, count, low, high):
    angles = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angles), np.sin(angles), rng.uniform(low, high, count)], 1)


def test_the_programs_equal_brute_force_and_a_linear_program():
    rng, ring = np.random.default_rng(4), np.linspace(0, 2 * np.pi, 1441)
    grid = (
        np.stack([np.cos(ring), np.sin(ring)], 1)[:, None] * np.linspace(0, 1, 151)[None, :, None]
    ).reshape(-1, 2)
    solved = relaxed = 0
    for _ in range(60):
        count, limit, preferred = (
            int(rng.integers(1, 9)),
            rng.uniform(0.8, 1.6),
            rng.uniform(-1.5, 1.5, 2),
        )
        lines = lines_of(rng, count, -0.8, 0.7)
        velocity = np.array(best_velocity(lines, count, 0, limit, *preferred, np.empty_like(lines)))
        assert np.linalg.norm(velocity) <= limit + 1e-9
        short = lines[:, 2] - lines[:, :2] @ velocity
        candidates = limit * grid
        allowed = candidates[(candidates @ lines[:, :2].T >= lines[:, 2]).all(1)]
        if len(allowed):
            assert short.max() < 1e-9
            best = np.linalg.norm(allowed - preferred, axis=1).min()
            assert -0.02 < np.linalg.norm(velocity - preferred) - best < 1e-9
            solved += 1
        elif short.max() > 0.02:
            # The least worst violation, the disc replaced by a polygon of 720 sides.
            sides = np.stack([np.cos(ring[:-1:2]), np.sin(ring[:-1:2])], 1)
            rows = np.vstack(
                [
                    np.column_stack([-lines[:, :2], -np.ones(count)]),
                    np.column_stack([sides, np.zeros(720)]),
                ]
            )
            found = linprog(
                [0, 0, 1],
                rows,
                np.concatenate([-lines[:, 2], np.full(720, limit)]),
                bounds=[(None, None)] * 3,
            )
            assert abs(short.max() - found.fun) < 1e-4
            relaxed += 1
    assert solved > 10 and relaxed > 10


def test_hard_lines_are_kept_when_the_others_give_way():
    rng = np.random.default_rng(5)
    for _ in range(200):
        hard, soft = lines_of(rng, 2, -0.5, 0.0), lines_of(rng, 5, 0.0, 1.0)
        lines = np.vstack([hard, soft])
        velocity = np.array(
            best_velocity(lines, 7, 2, 1.2, *rng.uniform(-1, 1, 2), np.empty_like(lines))
        )
        assert (lines[:2, :2] @ velocity >= lines[:2, 2] - 1e-9).all()


def test_worlds_are_independent_and_the_absent_are_nobodys_neighbour():
    rng = np.random.default_rng(6)
    state = [rng.uniform(0, 4, (5, 6, 2)), rng.normal(0, 1, (5, 6, 2)), rng.normal(0, 1, (5, 6, 2))]
    radii, limits, active = np.full((5, 6), 0.25), np.full((5, 6), 1.5), rng.random((5, 6)) < 0.7
    rest = radii, limits, active
    together = orca_velocities(*state, *rest, HORIZON, DT)  # pyright: ignore[reportCallIssue]
    for n in range(5):
        here = active[n]
        one = (a[n : n + 1, here] for a in (*state, *rest))
        alone = orca_velocities(*one, HORIZON, DT)  # pyright: ignore[reportCallIssue]
        np.testing.assert_array_equal(alone[0], together[n, here])
    assert not together[~active].any()
    none = (a[:, :0] for a in (*state, *rest))
    assert orca_velocities(*none, HORIZON, DT).shape == (5, 0, 2)  # pyright: ignore
