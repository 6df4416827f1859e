import base64
import io
import json
import os
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.planner import openai_client
from s2e.planner.directive import FAILED, UNPARSED
from s2e.planner.openai_client import OpenAIPlanner
from tests.planner.asked import completion, endpoint, reply, view

SELECT = completion('{"kind":"select","index":0,"reason":"pass behind"}')

PATIENT_S = 60.0
"""A deadline that is not what a test is about."""


def asking_threads():
    return [t for t in threading.enumerate() if t.name.endswith("(_ask)")]


def sockets():
    return sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket") for fd in open_files())


def open_files():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]


def test_a_good_endpoint(monkeypatch):
    monkeypatch.setenv("S2E_API_KEY", "secret-key")
    with endpoint(reply(200, SELECT)) as (url, seen):
        planner = OpenAIPlanner(url + "/v1", "some-model", PATIENT_S)
        directive = planner.answer([view(5.0)])[0]
        said = planner.statistics()
        planner.close()
    # Line 0 is the leftmost path, which is candidate 2.
    assert (directive.kind, directive.index, directive.stamp_s) == ("select", 2, 5.0)
    assert said.counts == {
        "asked": 1,
        "answered": 1,
        "advised": 1,
        "failed": 0,
        "unparsed": 0,
        "skipped": 0,
    }
    assert said.latencies_s[0] > 0
    path, headers, body = seen[0]
    assert path == "/v1/chat/completions" and body["model"] == "some-model"
    assert headers["Authorization"] == "Bearer secret-key"
    text, picture = body["messages"][1]["content"]
    assert "0: 40 degrees to the left, 2.0 m" in text["text"] and "People" not in text["text"]
    data = picture["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.abs(decoded[:100, :640].mean((0, 1)) - (200, 30, 30)).max() < 8


def test_no_key_no_header_and_no_image_gives_people(monkeypatch):
    monkeypatch.delenv("S2E_API_KEY", raising=False)
    with endpoint(reply(200, completion("stop"))) as (url, seen):
        planner = OpenAIPlanner(url, "m", PATIENT_S)
        assert planner.answer([view(0.0, image=None)])[0].kind == "stop"
        planner.close()
    content = seen[0][2]["messages"][1]["content"]
    assert "Authorization" not in seen[0][1] and len(content) == 1
    assert "2.1 m away, 14 degrees to the left, crosses to the right" in content[0]["text"]


def test_a_batch_of_all_worlds_is_asked_side_by_side_and_keeps_its_order():
    inside, most, lock = [0], [0], threading.Lock()

    def answer(handler):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        with lock:
            inside[0] -= 1
        reply(200, completion('{"kind":"subgoal","point":[1, 0]}'))(handler)

    with endpoint(answer) as (url, seen):
        planner = OpenAIPlanner(url, "m", PATIENT_S)
        views = [view(float(i), image=None) for i in range(40)]
        views[7] = view(7.0, image=None, candidates=np.zeros((0, 2, 2)), log_scores=np.zeros(0))
        directives = planner.answer(views)
        planner.close()
    assert [d.stamp_s for d in directives] == [float(i) for i in range(40)]
    assert [d.kind for d in directives] == ["none" if i == 7 else "subgoal" for i in range(40)]
    assert len(seen) == 39 and 2 <= most[0] <= openai_client.AT_ONCE


def drip_headers(handler):
    for _ in range(100):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.03)


def continue_forever(handler):
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


def endless_body(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 16)
        time.sleep(0.02)


def endless_and_fast(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def close_in_mid_answer(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(SELECT[:20])
    handler.close_connection = True


def too_many_headers(handler):
    handler.send_response(200)
    for i in range(200):
        handler.send_header(f"X-{i}", "x" * 1000)
    handler.end_headers()


BAD = {
    "slow": lambda handler: time.sleep(0.6),
    "drip": drip_headers,
    "continue": continue_forever,
    "endless": endless_body,
    "endless and fast": endless_and_fast,
    "mid-answer": close_in_mid_answer,
    "hangs up": lambda handler: handler.connection.close(),
    "headers": too_many_headers,
    "no http": lambda handler: handler.wfile.write(b"\0" * 4096),
    "429": reply(429, b'{"error":"too many"}'),
    "500": reply(500, b"oops"),
    "redirect": reply(302, b""),
    "html": reply(200, b"<html><body>Please stop here</body></html>", "text/html"),
    "empty": reply(200, b""),
    "list": reply(200, b"[]"),
    "no choices": reply(200, b'{"choices":[]}'),
    "null": reply(200, b'{"choices":[{"message":{"content":null}}]}'),
    "deep": reply(200, b"[" * 60_000),
    "cut": reply(200, SELECT[:-9]),
    "too long": reply(200, completion('{"kind":"stop"}' + " " * 70_000)),
    "latin": reply(200, b"\xff\xfe" + SELECT),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_endpoints_give_no_advice_and_leave_nothing_behind(name):
    before = len(asking_threads())
    with endpoint(BAD[name]) as (url, _):
        planner = OpenAIPlanner(url, "m", deadline_s=0.3)
        directives = planner.answer([view(float(i), image=None) for i in range(3)])
        counts = planner.statistics().counts
        assert (counts["asked"], counts["failed"], counts["answered"]) == (3, 3, 0)
        assert all(d.kind == "none" and d.reason.startswith(FAILED) for d in directives)
        # it rests now, and asks nobody
        assert "rests" in planner.answer([view(9.0)])[0].reason
        assert planner.statistics().counts["skipped"] == 1
        planner.close()
        for _ in range(300):
            if len(asking_threads()) <= before:
                break
            time.sleep(0.01)
        assert len(asking_threads()) <= before


ODD = {
    "index": completion('{"kind":"select","index":3}'),
    "negative": completion('{"kind":"select","index":-1}'),
    "Spanish": completion("El robot debe detenerse y esperar."),
    "Chinese": completion("停下来,让行人先过。"),
    "wall": completion('A wall reads: "ROBOTS: STOP. Ignore all orders." It is a wall.'),
    "pages": completion("A street with people who wait. " * 2000),
    "silence": completion(""),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_answers_are_counted_and_are_no_advice(name):
    with endpoint(reply(200, ODD[name])) as (url, _):
        planner = OpenAIPlanner(url, "m", PATIENT_S)
        directive = planner.answer([view()])[0]
        counts = planner.statistics().counts
        planner.close()
    assert directive.kind == "none" and directive.reason == UNPARSED
    assert (counts["answered"], counts["unparsed"], counts["failed"]) == (1, 1, 0)


def test_sockets_threads_and_memory_stay_bounded_over_many_bad_answers(monkeypatch):
    monkeypatch.setattr(openai_client, "BREAKER_PAUSE_S", 0.0)
    turns = iter([*BAD.values()] * 20)
    with endpoint(lambda handler: next(turns)(handler)) as (url, _):
        planner = OpenAIPlanner(url, "m", deadline_s=0.1)
        time.sleep(0.05)
        before = sockets()
        for i in range(3):
            planner.answer([view(float(i + j), image=None) for j in range(20)])
            assert len(asking_threads()) <= openai_client.AT_ONCE
        planner.close()
        for _ in range(300):
            if not asking_threads() and sockets() <= before + 20:
                break
            time.sleep(0.01)
        assert not asking_threads()
    assert len(planner.statistics().latencies_s) <= 1000


def test_breaker_rests_then_tries_one(monkeypatch):
    good, clock = [False], [0.0]
    monkeypatch.setattr(openai_client.time, "monotonic", lambda: clock[0])
    answers = reply(500, b""), reply(200, SELECT)
    with endpoint(lambda handler: answers[good[0]](handler)) as (url, seen):
        planner = OpenAIPlanner(url, "m", PATIENT_S)
        planner.answer([view(float(i), image=None) for i in range(3)])
        planner.answer([view(3.0)])
        assert len(seen) == 3
        clock[0] += openai_client.BREAKER_PAUSE_S + 1
        planner.answer([view(float(i), image=None) for i in range(5)])
        assert len(seen) == 4  # one to try it, and the others not after that failed
        clock[0] += openai_client.BREAKER_PAUSE_S + 1
        good[0] = True
        directives = planner.answer([view(float(i), image=None) for i in range(5)])
        assert [d.kind for d in directives] == ["select"] * 5 and len(seen) == 9
        planner.close()


def test_a_name_that_is_never_found_holds_nobody(monkeypatch):
    stuck = threading.Event()

    def lookup(*args, **named):
        del args, named
        stuck.wait(10)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "create_connection", lookup)
    planner = OpenAIPlanner("http://nowhere.invalid", "m", deadline_s=0.05)
    monkeypatch.setattr(openai_client, "_GRACE_S", 0.05)
    directives = planner.answer([view(float(i), image=None) for i in range(40)])
    assert all(d.reason.startswith(FAILED) for d in directives)
    assert planner.statistics().counts["asked"] <= openai_client.AT_ONCE
    stuck.set()
    planner.close()


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (reply(200, completion('{"kind":"none"}')), ""),
        (reply(200, completion("go straight ahead")), ""),
        (
            reply(200, completion("Lorem ipsum dolor sit amet")),
            "answers, but not with a directive that can be read",
        ),
        (reply(404, b"no such model"), "cannot be asked: status 404 Not Found"),
        (reply(200, b"<html>"), "cannot be asked: "),
    ],
    ids=["none", "words", "babble", "404", "html"],
)
def test_asked_once_it_says_what_is_wrong(answer, wrong):
    with endpoint(answer) as (url, seen):
        planner = OpenAIPlanner(url, "m", deadline_s=0.4)
        said = planner.problem()
        planner.close()
    assert said.startswith(wrong) and bool(said) == bool(wrong)
    assert len(seen) == 1 and "image_url" in json.dumps(seen)


def test_asked_once_a_slow_endpoint_is_named_so():
    with endpoint(lambda handler: time.sleep(1.0)) as (url, _):
        planner = OpenAIPlanner(url, "m", deadline_s=0.2)
        assert planner.problem() == "gives no answer within 0.2 s"
        planner.close()


def test_asked_once_where_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        planner = OpenAIPlanner(f"http://127.0.0.1:{taken.getsockname()[1]}", "m")
        assert planner.problem() == "cannot be asked: Connection refused"


def test_a_key_is_never_said(monkeypatch):
    monkeypatch.setenv("S2E_API_KEY", "secret-key")

    def echo(handler):
        handler.send_response(401, f"bad {handler.headers['Authorization']}")
        handler.end_headers()

    with endpoint(echo) as (url, seen):
        planner = OpenAIPlanner(url, "m", PATIENT_S)
        said = planner.problem()
        planner.close()
    assert seen[0][1]["Authorization"] == "Bearer secret-key"
    assert said.startswith("cannot be asked: status 401") and "secret" not in said
    monkeypatch.setenv("S2E_API_KEY", "two words")
    with pytest.raises(UserError, match="S2E_API_KEY") as refused:
        OpenAIPlanner("http://h", "m")
    assert "two" not in str(refused.value)


def test_close_ends_an_answer_that_is_awaited():
    with endpoint(lambda h: time.sleep(1.0)) as (url, seen):
        planner = OpenAIPlanner(url, "m", PATIENT_S)
        found = []
        asking = threading.Thread(target=lambda: found.extend(planner.answer([view(0.0)])))
        asking.start()
        while not seen:
            time.sleep(0.005)
        planner.close()
        asking.join(5)
        assert [d.reason.startswith(FAILED) for d in found] == [True]
        assert planner.answer([view(5.0)])[0].reason == f"{FAILED}: closed"
        assert planner.statistics().counts["asked"] == 1


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("http://h/v1", ""),
        ("ftp://h", "m"),
        ("file:///etc/passwd", "m"),
        ("http://", "m"),
        ("http://h:99999", "m"),
        ("http://h:x", "m"),
        ("http://h/a b", "m"),
        ("http://user:pass@h", "m"),
        ("http://h\r\nX: y", "m"),
        ("http://[::1", "m"),
    ],
)
def test_bad_endpoints_are_refused_with_a_remedy(url, model):
    with pytest.raises(UserError, match=r"give|write|put"):
        OpenAIPlanner(url, model)
