"""`s2e-scene reconstruct` from photographs to a scene: refusals before the work, going on after a
stop, and the whole command."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from s2e.core.errors import UserError
from s2e.envs.scan import reconstruct as module
from s2e.envs.scan.args import Reconstruct
from s2e.envs.scan.check import check_scene
from s2e.envs.scan.ground.scale import read_cameras
from s2e.envs.scan.listing import every_scene
from s2e.envs.scan.photos.cameras import read_camera_list
from s2e.envs.splats.formats.ply import read_ply
from s2e.policy.checkpoint import read_tensors
from tests.envs.scan.shots import room, shoot, walk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def rgbd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rgbd") / "photos"
    shoot(folder, room(2000), 12, (48, 32), rgbd=True)
    return folder


@pytest.fixture
def asked(rgbd, tmp_path):
    return Reconstruct(
        dir=rgbd,
        name="room",
        size=48,
        gaussians=1000,
        steps=30,
        save_every=10,
        out=tmp_path,
        device="cpu",
    )


@pytest.fixture
def no_import(monkeypatch):
    """The import's arguments in place of the import."""
    calls = []
    monkeypatch.setattr(module, "import_scene", lambda args: calls.append(args) or args.file)
    return calls


def stop_at(monkeypatch, step: int) -> None:
    """Ctrl-C while a step is under way."""
    turn = module.turn_of

    def stopping(k: int, count: int, seed: int) -> int:
        if k == step:
            os.kill(os.getpid(), 2)
        return turn(k, count, seed)

    monkeypatch.setattr(module, "turn_of", stopping)


def test_the_import_gets_splats_and_cameras(asked, no_import, tmp_path, capsys):
    module.reconstruct(asked)
    (wanted,) = no_import
    assert wanted.metres_per_unit == 1.0 and wanted.name == "room" and wanted.out == tmp_path
    splats = read_ply(wanted.file)
    assert 500 < len(splats.means) <= 1000 and np.abs(splats.means[:, 2]).min() < 0.2
    np.testing.assert_allclose(read_cameras(wanted.cameras).positions, walk(12)[0], atol=1e-6)
    camera = read_camera_list(wanted.cameras).cameras[3]
    assert camera.axes is not None
    np.testing.assert_allclose(camera.axes, walk(12)[1][3], atol=1e-6)
    said = capsys.readouterr().out
    assert (
        "12 photographs of posed RGB-D at 48 x 32, 12 with depth" in said
        and "dB on 2 views left out" in said
    )
    assert (tmp_path / "room.reconstruction" / "views.png").is_file()


def test_resumed_is_bit_identical(asked, no_import, tmp_path, monkeypatch):
    module.reconstruct(asked)
    stopped = replace(asked, run=tmp_path / "stopped")
    with monkeypatch.context() as patch:
        stop_at(patch, 16)
        with pytest.raises(KeyboardInterrupt):
            module.reconstruct(stopped)
    assert [p.name for p in (tmp_path / "stopped" / "checkpoints").glob("0*")] == ["00000017"]
    module.reconstruct(replace(stopped, resume=True))
    runs = (tmp_path / "stopped", tmp_path / "room.reconstruction")
    ends = [read_tensors(run / "checkpoints" / "00000030" / "model.safetensors") for run in runs]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])
    module.reconstruct(replace(stopped, resume=True, up="z"))  # the import alone
    assert no_import[-1].up == "z" and len(no_import) == 3


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "a/b"}, "--name"),
        ({"size": 8}, "--size is 8"),
        ({"steps": 0}, "--steps is 0"),
        ({"gaussians": 10}, "--gaussians is 10"),
        ({"capture_height": 0.0}, "--capture-height"),
        ({"metres_per_unit": -1.0}, "--metres-per-unit"),
        ({"resume": True}, "nothing to resume"),
    ],
)
def test_senseless_arguments_are_refused(asked, change, match):
    with pytest.raises(UserError, match=match):
        module.reconstruct(replace(asked, **change))


def test_a_folder_without_photographs(asked, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no cameras in this folder"):
        module.reconstruct(replace(asked, dir=tmp_path / "empty"))
    with pytest.raises(UserError, match="no such folder"):
        module.reconstruct(replace(asked, dir=tmp_path / "none"))


def test_a_scale_is_asked_for_before_the_work(asked, tmp_path):
    shoot(tmp_path / "nerf", room(500), 8, (48, 32), rgbd=False)
    with pytest.raises(
        UserError,
        match="how long a unit of transforms.json is cannot be seen: give --metres-per-unit",
    ):
        module.reconstruct(replace(asked, dir=tmp_path / "nerf"))


def test_other_arguments_do_not_go_on(asked, no_import):
    module.reconstruct(asked)
    with pytest.raises(UserError, match="gaussians was 1000 and is now 2000"):
        module.reconstruct(replace(asked, resume=True, gaussians=2000))


def test_what_the_import_refuses_stands(asked, monkeypatch):
    def refuse(args):
        raise UserError("no floor")

    monkeypatch.setattr(module, "import_scene", refuse)
    with pytest.raises(
        UserError,
        match=r"no floor; the splats stand in .*room.ply: s2e-scene import .*--cameras .*tries "
        r"again",
    ):
        module.reconstruct(asked)


def test_units_that_nobody_knows(asked, no_import, tmp_path):
    """Without a scale the learner works in lengths of its own; what comes out is in the units of
    the cameras."""
    shoot(tmp_path / "nerf", room(500), 9, (48, 32), rgbd=False)
    module.reconstruct(replace(asked, dir=tmp_path / "nerf", capture_height=1.4))
    (wanted,) = no_import
    assert wanted.metres_per_unit is None and wanted.capture_height == 1.4
    np.testing.assert_allclose(read_cameras(wanted.cameras).positions, walk(9)[0], atol=1e-6)


def test_a_run_is_no_scene(tmp_path, monkeypatch):
    monkeypatch.setenv("S2E_SCENES", str(tmp_path))
    (tmp_path / "room.reconstruction").mkdir()
    assert "room.reconstruction" not in dict(every_scene())


@pytest.mark.slow
def test_the_whole_command(tmp_path, monkeypatch):
    shoot(tmp_path / "photos", room(20_000), 40, (96, 72), rgbd=True)
    words = ["reconstruct", tmp_path / "photos", "--name", "made-room", "--episodes", 5]
    words += ["--steps", 900, "--gaussians", 15_000, "--size", 96]
    command = [sys.executable, "-m", "s2e.envs.scan.command", *map(str, words)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "S2E_SCENES": str(tmp_path / "scenes")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setenv("S2E_SCENES", str(tmp_path / "scenes"))
    assert check_scene("made-room", False)
