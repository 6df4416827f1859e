import contextlib
import json
import socket
import sys
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from s2e.benchmarks.view import command as command
from s2e.benchmarks.view import session as view_session
from s2e.benchmarks.view.command import ViewArgs, Viewer
from s2e.benchmarks.view.session import Replay
from s2e.core.errors import UserError
from tests.benchmarks.view.drives import line


@pytest.fixture
def viewer(request):
    pytest.importorskip("viser")
    made = Viewer(ViewArgs(port=0, **request.param))
    yield made
    made.close()


def asked(viewer, what, value=None, now=0.0):
    viewer.page.ask(what, value)
    viewer.tick(now)


@pytest.mark.parametrize("viewer", [dict(scene="gs_urban/plaza", setting="both")], indirect=True)
def test_it_serves_and_does_what_is_asked(viewer):
    with urllib.request.urlopen(f"http://127.0.0.1:{viewer.port}", timeout=20) as answer:
        assert answer.status == 200 and b"<html" in answer.read().lower()
    assert viewer.tick(0.0) == command.IDLE_S  # nobody looks: the world stands still
    session = viewer.session
    assert session.moment().clock_s == 0.0
    session.keyboard.hold("forward", 100.0)
    asked(viewer, "one step", now=100.0)
    assert (
        viewer.paused
        and session.moment().clock_s == pytest.approx(0.1)
        and session.moment().speed > 0
    )
    asked(viewer, "next episode")
    assert session.episode.id == "both-001" and viewer.page.goal[0].position[:2] == pytest.approx(
        np.array(session.episode.goal)
    )
    asked(viewer, "robot", "go2")
    asked(viewer, "driver", "expert")
    assert (
        viewer.session.robot == "go2"
        and viewer.session.driver == "expert"
        and viewer.session.episode.id == "both-001"
    )
    assert all(button.disabled for button in viewer.page.pad.values())
    asked(viewer, "setting", "empty")
    assert viewer.session.episode.id == "empty-000" and viewer.session.driver == "expert"
    viewer.page.toggles["no-go ground"].value = True
    asked(viewer, "show")
    assert viewer.page.forbidden.visible and not viewer.page.anchors.visible
    assert "empty-000" in viewer.page.state.content


@pytest.mark.parametrize("viewer", [dict(scene="gs_urban/plaza", setting="empty")], indirect=True)
def test_what_a_page_cannot_ask_for_is_said_and_the_server_goes_on(viewer, monkeypatch):
    before = viewer.session
    for what in ("driver", "setting", "robot"):
        asked(viewer, what, "nonsense")
        assert (
            f"{what} &#39;nonsense&#39; is not offered" in viewer.page.state.content
            and viewer.session is before
        )
    monkeypatch.setattr(view_session, "place_obstacles", refuse)
    asked(viewer, "robot", "go2")
    assert "does not fit" in viewer.page.state.content and viewer.session is before
    monkeypatch.undo()
    asked(viewer, "next episode")
    assert (
        "does not fit" not in viewer.page.state.content and viewer.session.episode.id == "empty-001"
    )


class Visitor:
    """Somebody who looks: only where their camera is."""

    def __init__(self):
        self.camera, self.atomic = (
            SimpleNamespace(position=None, look_at=None),
            contextlib.nullcontext,
        )


@pytest.mark.parametrize("viewer", [dict(scene="gs_urban/plaza", setting="empty")], indirect=True)
def test_cameras_go_along_to_each_episodes_start(viewer, monkeypatch):
    visitor = Visitor()
    monkeypatch.setattr(viewer.server, "get_clients", lambda: {0: visitor})
    viewer.paused = True
    for _ in range(2):
        asked(viewer, "next episode")
        x, y, yaw = viewer.session.episode.start
        away = np.asarray(visitor.camera.position)[:2] - [x, y]
        behind = away @ [np.cos(yaw), np.sin(yaw)]
        assert (
            -3.7 < behind < -0.3
            and np.hypot(*away) < 4
            and np.asarray(visitor.camera.look_at).shape == (3,)
        )
    visitor.camera.position = None
    asked(viewer, "robot", "go2")  # the same episode: who has flown elsewhere stays there
    assert visitor.camera.position is None


def test_the_legend_has_the_colours_of_the_scene():
    from s2e.benchmarks.view.page import DRIVEN, GOAL, NO_GO, ROBOT, legend
    from s2e.benchmarks.view.shapes import FAN, fan_colours

    whole = legend(policy=True, live=True)
    for colour in (ROBOT, GOAL, DRIVEN, NO_GO, *FAN):
        assert f"rgb({','.join(map(str, colour))})" in whole
    assert tuple(fan_colours(np.log([0.9, 0.1]))[0]) == FAN[-1]
    assert "policy weighs" in whole and "policy weighs" not in legend(
        policy=False, live=True
    ) + legend(policy=True, live=False)


def refuse(*_):
    raise UserError("it does not fit; choose another")


@pytest.mark.parametrize("viewer", [dict(scene="gs_urban/plaza", setting="empty")], indirect=True)
def test_contacts_are_one_cloud_of_points(viewer):
    drive, drawn = viewer.session, len(viewer.page.drawn)
    for k in range(3):
        drive.contacts.append((float(k), 0.0, float(k % 2)))
        viewer.page.update()
    assert (
        len(viewer.page.drawn) == drawn + 1
        and len(viewer.page.touches.points) == len(viewer.page.touches.colors) == 3
    )
    drive.contacts.clear()
    viewer.page.update()
    assert len(viewer.page.drawn) == drawn + 1 and (viewer.page.touches.points < -900).all()


@pytest.fixture
def recorded(tmp_path):
    episode = next(
        e
        for e in command.episodes_of("gs_urban/plaza", command.load_scene("gs_urban/plaza"))
        if e.id == "both-002"
    )
    (tmp_path / "episodes.jsonl").write_text(line(episode))
    return tmp_path


def test_a_replay_plays_and_seeks(recorded):
    pytest.importorskip("viser")
    viewer = Viewer(ViewArgs("gs_urban/plaza", replay=recorded, port=0))
    try:
        asked(viewer, "time", 0.2)
        assert isinstance(viewer.session, Replay)
        assert viewer.session.moment().clock_s == pytest.approx(0.2) and not viewer.session.playing
        assert viewer.page.slider.value == pytest.approx(0.2) and viewer.page.touched == 1
        for what, value in (
            ("time", float("nan")),
            ("time", "now"),
            ("speed", "fast"),
            ("episode", "none-000"),
        ):
            asked(viewer, what, value)
            assert viewer.page.refusal and viewer.session.time_s == pytest.approx(0.2), what
        asked(viewer, "speed", "2x")
        asked(viewer, "pause")
        viewer.session.step(0.0)
        assert viewer.session.moment().end == "goal reached"
        asked(viewer, "pause")  # from its end it begins again
        assert viewer.session.time_s == 0.0 and viewer.session.playing
    finally:
        viewer.close()


def test_the_page_reads_nothing_into_names():
    from s2e.benchmarks.view.page import KEYS, PAUSE, key_script, plain

    assert (
        plain("<img src=x onerror=alert(1)>")
        == "&#60;img src&#61;x onerror&#61;alert&#40;1&#41;&#62;"
    )
    assert plain("both-001") == "both-001" and plain("[a](b)") == "&#91;a&#93;&#40;b&#41;"
    script = key_script()
    # those around its four attributes; none within
    assert "LABELS" not in script and script.count('"') == 8
    assert all(label in script for label, _ in KEYS.values()) and PAUSE in script


def refused(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["s2e-view", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    shown = capsys.readouterr().err
    assert stopped.value.code == 2 and shown.startswith("error: ") and shown.count("\n") == 1, shown
    return shown


def test_bad_questions(monkeypatch, capsys, tmp_path):
    pytest.importorskip("viser")
    assert "nowhere" in refused(monkeypatch, capsys, "nowhere")
    assert "several scenes" in refused(monkeypatch, capsys, "gs_urban")
    assert "--robot" in refused(monkeypatch, capsys, "market", "--robot", "unicycle")
    assert "no such folder" in refused(
        monkeypatch, capsys, "gs_urban/plaza", "--policy", tmp_path / "run"
    )
    assert "--policy names none" in refused(monkeypatch, capsys, "market", "--planner", "rules")
    assert "'nobody' is unknown" in refused(
        monkeypatch, capsys, "market", "--policy", "laptop", "--planner", "nobody"
    )
    assert "--port" in refused(monkeypatch, capsys, "gs_urban/plaza", "--port", 99999)
    assert "give one of them" in refused(
        monkeypatch, capsys, "gs_urban/plaza", "--policy", "expert", "--replay", tmp_path
    )
    (tmp_path / "episodes.jsonl").write_text(json.dumps({"id": "x"}) + "\n{}\n")
    assert "line 1" in refused(monkeypatch, capsys, "gs_urban/plaza", "--replay", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"listens at 127.0.0.1:{port}" in refused(
            monkeypatch, capsys, "gs_urban/plaza", "--port", port
        )
    assert "cannot be served" in refused(
        monkeypatch, capsys, "gs_urban/plaza", "--host", "203.0.113.7", "--port", 0
    )


def test_without_viser_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(UserError, match='pip install "viser'):
        Viewer(ViewArgs("gs_urban/plaza", port=0))
