import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.transform import (
    Placement,
    basis,
    multiply,
    place,
    quaternion,
    rotate_sh,
    rotations,
    select,
    upright,
)
from s2e.envs.splats.views import Views


def rotation(seed):
    return Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()


def directions(count, seed=0):
    d = np.random.default_rng(seed).normal(size=(count, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def random_splats(seed, count=20, coefficients=16):
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        rng.normal(size=(count, 3)).astype(np.float32),
        (quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        rng.uniform(0.01, 0.5, (count, 3)).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.normal(0, 0.3, (count, coefficients, 3)).astype(np.float32),
        antialiased=True,
    )


def covariances(splats):
    frames = rotations(splats.quats.astype(np.float64)) * splats.scales[:, None, :]
    return frames @ frames.transpose(0, 2, 1)


def test_basis_is_the_rasterisers():
    sh = np.random.default_rng(3).normal(size=(1, 16, 3)).astype(np.float32)
    sh[:, 0] += 30.0  # so that nothing is clipped
    lens = np.array([50.0, 50.0, 4.5, 4.5])
    for d in directions(20):
        one = Splats(
            (4.0 * d[None]).astype(np.float32),
            np.array([[1, 0, 0, 0]], np.float32),
            np.full((1, 3), 0.3, np.float32),
            np.array([0.9], np.float32),
            sh,
        )
        look = upright(d)[None]  # z of the optical frame along d
        rgb, _, alpha = render_splats(
            prepare(one), Views(np.zeros((1, 3)), look, lens, 9, 9), dtype=np.float32
        )
        seen = rgb[0, 4, 4] / alpha[0, 4, 4]
        assert seen == pytest.approx(basis(d[None], 3)[0] @ sh[0] + 0.5, rel=1e-4)


def test_a_capture_looks_the_same_when_it_and_the_camera_are_moved_together():
    """Means, shapes and the colours that depend on the view: a picture knows nothing of the frame
    that they are in."""
    splats, turn = random_splats(2, 12), rotation(5)
    splats.sh[:, 0] += 1.0
    placed = place(splats, Placement(2.0, turn, np.array([4.0, -1.0, 0.5])))
    position, lens = np.array([0.5, -0.3, -6.0]), np.array([40.0, 40.0, 16.0, 12.0])
    look = Rotation.from_euler("xyz", [0.1, 0.05, 0.7]).as_matrix()
    pictures = [
        render_splats(prepare(s), Views(at[None], r[None], lens, 24, 32), dtype=np.float32)
        for s, at, r in (
            (splats, position, look),
            (placed, 2.0 * turn @ position + [4.0, -1.0, 0.5], look @ turn.T),
        )
    ]
    (rgb, depth, alpha), (rgb_there, depth_there, alpha_there) = pictures
    assert alpha.max() > 0.5
    np.testing.assert_allclose(alpha_there, alpha, atol=2e-3)
    np.testing.assert_allclose(rgb_there, rgb, atol=5e-3)
    seen = np.isfinite(depth) & (alpha > 0.05)
    np.testing.assert_allclose(depth_there[seen], 2.0 * depth[seen], rtol=5e-3)


@given(st.integers(0, 1 << 30), st.sampled_from([1, 4, 9, 16]))
@settings(max_examples=25, deadline=None)
def test_colours_turn_with_the_scene(seed, coefficients):
    sh = np.random.default_rng(seed).normal(size=(5, coefficients, 3)).astype(np.float32)
    turn, d = rotation(seed), directions(40)
    degree = int(np.sqrt(coefficients)) - 1
    before = np.einsum("dk,gkc->dgc", basis(d, degree), sh)
    after = np.einsum("dk,gkc->dgc", basis(d @ turn.T, degree), rotate_sh(sh, turn))
    assert np.abs(before - after).max() < 1e-5


def test_rotating_back_and_composing():
    sh = np.random.default_rng(1).normal(size=(4, 16, 3)).astype(np.float32)
    a, b = rotation(1), rotation(2)
    assert np.abs(rotate_sh(rotate_sh(sh, a), a.T) - sh).max() < 1e-5
    assert np.abs(rotate_sh(rotate_sh(sh, a), b) - rotate_sh(sh, b @ a)).max() < 1e-5


@given(st.integers(0, 1 << 30))
@settings(max_examples=30, deadline=None)
def test_quaternions(seed):
    a, b = rotation(seed), rotation(seed + 1)
    assert np.abs(rotations(quaternion(a)) - a).max() < 1e-12
    assert np.abs(rotations(multiply(quaternion(b), quaternion(a))) - b @ a).max() < 1e-12


@pytest.mark.parametrize("axis", range(3))
def test_quaternion_of_half_turns(axis):
    turn = -np.eye(3)
    turn[axis, axis] = 1.0
    assert np.abs(rotations(quaternion(turn)) - turn).max() < 1e-12


@given(st.integers(0, 1 << 30), st.floats(0.05, 20.0))
@settings(max_examples=20, deadline=None)
def test_place_moves_ellipsoids(seed, scale):
    splats, turn = random_splats(seed), rotation(seed)
    shift = np.array([1.0, -2.0, 0.5])
    out = place(splats, Placement(scale, turn, shift))
    assert np.allclose(out.means, scale * splats.means @ turn.T + shift, atol=1e-4 * scale)
    assert np.allclose(
        covariances(out), scale**2 * turn @ covariances(splats) @ turn.T, atol=1e-5 * scale**2
    )
    assert out.antialiased
    assert np.array_equal(out.opacities, splats.opacities)
    assert {a.dtype for a in (out.means, out.quats, out.scales, out.opacities, out.sh)} == {
        np.dtype(np.float32)
    }


def test_upright():
    for normal in (
        *directions(30),
        np.array([0.0, 0, 1]),
        np.array([0.0, 0, -1]),
        np.array([1e-9, 0, -1.0]),
    ):
        turn = upright(normal)
        assert np.allclose(turn @ normal / np.linalg.norm(normal), [0, 0, 1], atol=1e-7)
        assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) > 0.0


def test_select():
    splats = random_splats(0)
    some = select(splats, splats.opacities > 0.5)
    assert len(some.means) == len(some.sh) == int((splats.opacities > 0.5).sum())
    assert some.antialiased


@pytest.mark.parametrize(
    ("scale", "turn", "shift", "word"),
    [
        (0.0, np.eye(3), np.zeros(3), "scale"),
        (np.nan, np.eye(3), np.zeros(3), "scale"),
        (1.0, np.diag([1.0, 1.0, -1.0]), np.zeros(3), "rotation"),
        (1.0, 2 * np.eye(3), np.zeros(3), "rotation"),
        (1.0, np.eye(2), np.zeros(3), "rotation"),
        (1.0, np.eye(3), np.array([0, np.inf, 0]), "translation"),
    ],
)
def test_bad_placements(scale, turn, shift, word):
    with pytest.raises(UserError, match=word):
        Placement(scale, turn, shift)


def test_bad_harmonics():
    with pytest.raises(UserError, match="5 coefficients"):
        rotate_sh(np.zeros((2, 5, 3), dtype=np.float32), np.eye(3))
