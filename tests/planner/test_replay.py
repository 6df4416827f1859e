import json
import os

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.planner import parse_planner
from s2e.planner.openai_client import OpenAIPlanner
from s2e.planner.prompt import make_prompt
from s2e.planner.replay import UNRECORDED, Recording, ReplayPlanner
from tests.planner.asked import completion, endpoint, reply, view

KEY = "0" * 64
LINE = {"key": KEY, "model": "m", "picture": True, "answer": "stop", "seconds": 0.5}


def write(path, *lines, end="\n"):
    path.write_text("\n".join(v if isinstance(v, str) else json.dumps(v) for v in lines) + end)
    return str(path)


def test_what_an_endpoint_said_is_said_again_without_it(tmp_path):
    path = tmp_path / "said.jsonl"
    answers = iter(['{"kind":"select","index":0}', "Keep left.", "Lorem ipsum", None])
    views = [view(float(i), speed=0.1 * i) for i in range(4)]

    def answer(handler):
        text = next(answers)
        (reply(500, b"") if text is None else reply(200, completion(text)))(handler)

    with endpoint(answer) as (url, _):
        recording = Recording(path)
        planner = OpenAIPlanner(url, "m", 60.0, recording)
        said = [planner.answer([v])[0] for v in views]
        planner.close()
        recording.close()
    replay = ReplayPlanner(str(path))
    again = replay.answer(views)
    assert again[:3] == said[:3] and again[0].index == 2 and again[1].action == "forward_left"
    assert again[3].kind == "none" and again[3].reason == UNRECORDED
    assert replay.statistics().counts == {
        "asked": 4,
        "answered": 3,
        "advised": 2,
        "unparsed": 1,
        "unrecorded": 1,
    }
    assert replay.problem() == ""


def test_another_question_is_not_recorded(tmp_path):
    recording = Recording(tmp_path / "said.jsonl")
    recording.add(make_prompt(view()), "m", "stop", 0.1)
    recording.add(make_prompt(view(), picture=False), "m", "Keep left.", 0.1)
    recording.close()
    replay = ReplayPlanner(str(tmp_path / "said.jsonl"))
    darker = view(image=np.zeros((96, 160, 3), np.uint8), people=np.zeros((0, 4)))
    views = [view(3.0), darker, view(image=None), view(candidates=np.zeros((0, 2, 2)))]
    assert [d.kind for d in replay.answer(views)] == ["stop", "none", "action", "none"]


def test_a_recording_goes_on_and_keeps_the_first_answer(tmp_path):
    path = tmp_path / "said.jsonl"
    for text in ("stop", "Keep left."):
        recording = Recording(path)
        recording.add(make_prompt(view()), "m", text, 0.1)
        recording.add(make_prompt(view(speed=2.0)), "m", text, 0.1)
        recording.close()
        recording.add(make_prompt(view(speed=3.0)), "m", text, 0.1)
    assert len(path.read_text().splitlines()) == 2
    assert ReplayPlanner(str(path)).answer([view()])[0].kind == "stop"


@pytest.mark.parametrize("left", [1, 9, 40, 120])
def test_a_line_that_a_kill_cut_is_dropped(tmp_path, left):
    path = tmp_path / "said.jsonl"
    recording = Recording(path)
    recording.add(make_prompt(view()), "m", "stop", 0.1)
    recording.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:left])
    assert ReplayPlanner(str(path)).answer([view()])[0].kind == "stop"
    recording = Recording(path)
    recording.add(make_prompt(view(speed=2.0)), "m", "Keep left.", 0.1)
    recording.close()
    assert path.read_bytes().startswith(whole) and len(path.read_text().splitlines()) == 2
    found = ReplayPlanner(str(path)).answer([view(), view(speed=2.0)])
    assert [d.kind for d in found] == ["stop", "action"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([LINE, "{"], "line 2: cannot be read as JSON"),
        ([LINE, "[]"], "line 2: holds a list"),
        ([LINE | {"key": "abc"}], "line 1: field 'key' is no SHA-256"),
        ([LINE, LINE, LINE | {"key": KEY[1:] + "G"}], "line 3: field 'key'"),
        ([LINE | {"answer": 3}], "line 1: field 'answer'"),
        ([LINE | {"picture": "yes"}], "line 1: field 'picture'"),
        ([{"key": KEY}], "line 1: field 'model' is missing"),
        ([LINE, "\udcff"], "line 2"),
        ([LINE | {"answer": "x" * 300_000}], "line 1: is no answer"),
        ([""], "line 1"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path, lines, said):
    path = tmp_path / "bad.jsonl"
    text = "\n".join(v if isinstance(v, str) else json.dumps(v) for v in lines) + "\n"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = path.read_bytes()
    for open_it in (ReplayPlanner, Recording):
        with pytest.raises(UserError, match="--planner-record") as refused:
            open_it(str(path))
        assert str(refused.value).startswith(f"{path}: {said}")
    assert path.read_bytes() == before


def test_what_is_no_recording_stays_as_it_was(tmp_path):
    for text in ("a letter without an end", "{}", '{"key": 3}', "a letter\n"):
        path = tmp_path / "letter.txt"
        path.write_text(text)
        with pytest.raises(UserError, match="line 1"):
            Recording(path)
        assert path.read_text() == text
    with pytest.raises(UserError, match="another place"):
        Recording(tmp_path)
    with pytest.raises(UserError, match="another place"):
        Recording(tmp_path / "no" / "folder")
    for bad in (tmp_path, tmp_path / "nothing", os.devnull):
        with pytest.raises(UserError, match=r"give a file"):
            ReplayPlanner(str(bad))


def test_of_several_models_one_is_named(tmp_path):
    path = write(tmp_path / "two.jsonl", LINE, LINE | {"model": "some/other:7b"})
    with pytest.raises(UserError, match=r"several models \(m, some/other:7b\); name one"):
        ReplayPlanner(path)
    ReplayPlanner(f"{path}#some/other:7b")
    with pytest.raises(UserError, match="no answer of n"):
        ReplayPlanner(f"{path}#n")


def test_what_the_command_line_names(tmp_path):
    path = str(tmp_path / "said.jsonl")
    planner = parse_planner("openai:http://127.0.0.1:9/v1#m", path)
    assert isinstance(planner, OpenAIPlanner)
    planner.close()
    write(tmp_path / "said.jsonl", LINE)
    assert isinstance(parse_planner(f"replay:{path}"), ReplayPlanner)
    for spec in ("none", "rules", f"replay:{path}"):
        with pytest.raises(UserError, match="--planner-record keeps what a model says"):
            parse_planner(spec, path)
    for spec in ("replay:", "local:", "openai:http://h/v1", "rule"):
        with pytest.raises(UserError, match=r"local:FOLDER or replay:FILE"):
            parse_planner(spec)
