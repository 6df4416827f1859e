"""Gaussians learn what photographs show, and go on as if they had not stopped."""

import numpy as np
import pytest
import torch

from s2e.envs.splats.formats.ply import read_ply, write_ply
from s2e.envs.splats.gradients import View
from s2e.envs.splats.learn import (
    NAMES,
    Learner,
    Learning,
    Target,
    as_splats,
    psnr,
    seeds_of_points,
    shared_out,
    similarity,
    turns,
)
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from s2e.policy.checkpoint import optimizer_state, restore_optimizer
from tests.envs.scan.shots import FIELD_OF_VIEW, room, walk

SIZE = (48, 32)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos() -> list[Target]:
    """A room of 2,000 Gaussians from twelve places, as our own rasteriser draws it."""
    eyes, axes = walk(12)
    focal = SIZE[0] / 2 / np.tan(FIELD_OF_VIEW / 2)
    lens = np.array([focal, focal, SIZE[0] / 2, SIZE[1] / 2])
    turned = axes.transpose(0, 2, 1)
    rgb, depth, _ = render_splats(
        prepare(room(2000)), Views(eyes, turned, lens, SIZE[1], SIZE[0]), dtype=np.float32
    )
    depth[~np.isfinite(depth)] = 0.0
    views = [View(eye, turn, lens, SIZE[1], SIZE[0]) for eye, turn in zip(eyes, turned)]
    return [
        Target(view, torch.from_numpy(a).clamp(0, 1), torch.from_numpy(b))
        for view, a, b in zip(views, rgb, depth)
    ]


def beginner(seed: int, steps: int, most: int = 1500) -> Learner:
    """Grey Gaussians, a few centimetres beside the surfaces."""
    rng = np.random.default_rng(seed)
    points = room(1000, 1).means + rng.normal(0, 0.05, (1000, 3))
    return Learner(
        seeds_of_points(points, np.full((1000, 3), 0.5)), Learning(steps, most, 2.0, seed)
    )


def taught(learner: Learner, photos: list[Target], until: int) -> Learner:
    while learner.step < until:
        learner.learn(photos[learner.step % len(photos)])
    return learner


def test_it_learns_a_room(photos):
    learner, left_out = beginner(0, 400), photos[::6]
    before = psnr(learner, left_out)
    taught(learner, [photo for k, photo in enumerate(photos) if k % 6], 400)
    after = psnr(learner, left_out)
    assert after > before + 6.0 and after > 19.0, (before, after)


def test_going_on_is_not_having_stopped(photos):
    """Over steps in which Gaussians are moved and added."""
    once, first = taught(beginner(1, 620), photos, 515), taught(beginner(1, 620), photos, 490)
    tensors, state = optimizer_state(first.optimizer)
    kept = {name: value.detach().clone() for name, value in first.values.items()}
    again = Learner(kept, first.how)
    restore_optimizer(again.optimizer, {k: v.clone() for k, v in tensors.items()}, state)
    again.step = 490
    taught(again, photos, 515)
    assert len(once.values["means"]) > 1000
    assert all(torch.equal(once.values[name], again.values[name]) for name in NAMES)


def test_there_are_never_more_than_asked_for(photos):
    learner = taught(beginner(2, 1000, 1040), photos, 501)
    assert len(learner.values["means"]) == 1040


def test_what_is_shared_out_looks_the_same():
    opacities, factors = shared_out(torch.tensor([0.2, 0.6, 0.9, 0.5]), torch.tensor([2, 3, 4, 1]))
    torch.testing.assert_close(
        1 - (1 - opacities) ** torch.tensor([2.0, 3.0, 4.0, 1.0]),
        torch.tensor([0.2, 0.6, 0.9, 0.5]),
    )
    assert factors[3] == 1.0 and bool((factors[:3] < 1.0).all()) and bool((factors > 0.3).all())


def test_similarity():
    draw = torch.Generator().manual_seed(0)
    a, b = torch.rand(20, 30, 3, generator=draw), torch.rand(20, 30, 3, generator=draw)
    assert float(similarity(a, a)) == pytest.approx(1.0, abs=1e-5)
    near = (a + 0.05 * b).clamp(0, 1)
    assert 1.0 > float(similarity(a, near)) > float(similarity(a, b))
    assert float(similarity(a, b)) == pytest.approx(float(similarity(b, a)), abs=1e-6)


def test_it_becomes_a_file(photos, tmp_path):
    learner = beginner(3, 10)
    with torch.no_grad():
        learner.values["opacities"][:7] = -9.0
    splats = as_splats(learner.values, 0.5)
    write_ply(tmp_path / "a.ply", splats)
    read = read_ply(tmp_path / "a.ply")
    assert len(read.means) == 993
    np.testing.assert_allclose(
        read.means, 0.5 * learner.values["means"].detach().numpy()[7:], rtol=1e-5
    )
    np.testing.assert_allclose(read.scales, splats.scales, rtol=1e-5)


def test_turns_are_those_of_the_importer():
    from s2e.envs.splats.transform import rotations

    quats = torch.nn.functional.normalize(
        torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), dim=1
    )
    np.testing.assert_allclose(turns(quats).numpy(), rotations(quats.numpy()), atol=1e-6)
