import base64
import http.server
import io
import json
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.planner import OpenAIPlanner, RulesPlanner, openai_client, parse_planner
from s2e.planner.directive import FAILED
from s2e.planner.openai_client import describe, shown_candidates
from s2e.planner.scene import PlannerView


def view(now_s=0.0, image=True):
    bearing = np.radians([-40.0, 0.0, 40.0])
    reach = 0.2 * np.arange(1, 11)
    candidates = np.stack(
        [np.cos(bearing)[:, None] * reach, np.sin(bearing)[:, None] * reach], axis=-1
    )
    pixels = np.full((24, 32, 3), (200, 30, 30), dtype=np.uint8) if image else None
    return PlannerView(
        now_s,
        np.zeros(3),
        1.0,
        np.array([8.0, 0.0]),
        np.array([[2.0, 0.5, 0.0, -1.0]]),
        candidates,
        np.array([-2.0, -0.1, -1.0]),
        pixels,
    )


def completion(text):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


@contextmanager
def endpoint(answer):
    """A real server; `answer(handler, body)` writes the response. Yields its URL and the requests
    seen."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers), json.loads(body)))
            try:
                answer(self)
            except OSError:
                self.close_connection = True  # the client hung up

        def log_message(self, format, *args):
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def reply(status, body, kind="application/json"):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def settle(planner, **counts):
    """Waits until the statistics reach the counts; the test fails if they never do."""
    for _ in range(1000):
        found = planner.statistics().counts
        if all(found[name] >= value for name, value in counts.items()):
            return found
        time.sleep(0.01)
    raise AssertionError(f"{counts} not reached: {planner.statistics()}")


def test_a_good_endpoint(monkeypatch):
    monkeypatch.setenv("S2E_API_KEY", "secret-key")
    with endpoint(reply(200, completion('{"kind":"select","index":0,"reason":"pass behind"}'))) as (
        url,
        seen,
    ):
        planner = OpenAIPlanner(url + "/v1", "some-model")
        planner.submit(view(5.0))
        statistics = settle(planner, answered=1)
        directive, latencies = planner.latest(5.5), planner.statistics().latencies_s
        planner.close()
    # Line 0 is the leftmost path, which is candidate 2.
    assert directive is not None and (directive.kind, directive.index, directive.stamp_s) == (
        "select",
        2,
        5.0,
    )
    assert (
        statistics["asked"] == 1
        and statistics["failed"] == 0
        and statistics["advised"] == 1
        and 0 < latencies[0] < 2
    )
    path, headers, body = seen[0]
    assert path == "/v1/chat/completions" and body["model"] == "some-model"
    assert headers["Authorization"] == "Bearer secret-key"
    text, picture = body["messages"][1]["content"]
    assert "0: 40 degrees left, 2.0 m" in text["text"] and "People" not in text["text"]
    data = picture["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert decoded.shape == (24, 32, 3) and np.abs(decoded.mean((0, 1)) - (200, 30, 30)).max() < 8


def test_no_key_no_header_and_no_image_gives_people(monkeypatch):
    monkeypatch.delenv("S2E_API_KEY", raising=False)
    with endpoint(reply(200, completion("stop"))) as (url, seen):
        planner = OpenAIPlanner(url, "m")
        planner.submit(view(0.0, image=False))
        settle(planner, answered=1)
        directive = planner.latest(0.5)
        assert directive is not None and directive.kind == "stop"
        assert planner.latest(3.0) is None
        planner.close()
    assert "Authorization" not in seen[0][1]
    assert "(2.0, 0.5, 0.0, -1.0)" in seen[0][2]["messages"][1]["content"][0]["text"]


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, b"oops"),
        reply(200, b"<html><body>Please stop here</body></html>", "text/html"),
        reply(200, b""),
        reply(200, b"[]"),
        reply(200, b'{"choices":[]}'),
        reply(200, b'{"choices":[{"message":{"content":null}}]}'),
        reply(200, b"[" * 60_000),
        reply(200, completion('{"kind":"stop"}' + " " * 70_000)),
        reply(302, b""),
    ],
    ids=["500", "html", "empty", "list", "no choices", "null", "deep", "too long", "redirect"],
)
def test_bad_endpoints_count_as_failures(answer):
    with endpoint(answer) as (url, _):
        planner = OpenAIPlanner(url, "m")
        planner.submit(view())
        statistics = settle(planner, failed=1)
        assert planner.latest(0.1) is None and statistics["answered"] == 0
        planner.close()


def test_babble_is_counted_and_keeps_earlier_advice():
    answers = ['{"kind":"action","action":"forward_left"}', "Lorem ipsum"]
    with endpoint(lambda h: reply(200, completion(answers.pop(0)))(h)) as (url, _):
        planner = OpenAIPlanner(url, "m")
        planner.submit(view(0.0))
        settle(planner, answered=1)
        planner.submit(view(1.0))
        assert settle(planner, answered=2)["unparsed"] == 1
        directive = planner.latest(1.5)
        assert directive is not None and directive.stamp_s == 0.0
        planner.close()


def test_breaker_rests_after_three_failures(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        planner = OpenAIPlanner(f"http://127.0.0.1:{port}", "m")
        for i in range(3):
            planner.submit(view(float(i)))
            settle(planner, failed=i + 1)
        for i in range(3, 6):
            planner.submit(view(float(i)))
        statistics = planner.statistics().counts
        assert (statistics["asked"], statistics["skipped"]) == (3, 3)
        clock = time.monotonic() + openai_client.BREAKER_PAUSE_S + 1
        monkeypatch.setattr(openai_client.time, "monotonic", lambda: clock)
        planner.submit(view(6.0))
        assert planner.statistics().counts["asked"] == 4
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
        (lambda handler: time.sleep(3.0), "gives no answer within"),
    ],
    ids=["none", "words", "babble", "404", "html", "slow"],
)
def test_asked_once_it_says_what_is_wrong(answer, wrong, monkeypatch):
    monkeypatch.setattr(openai_client, "DEADLINE_S", 0.4)
    with endpoint(answer) as (url, seen):
        planner = OpenAIPlanner(url, "m")
        said = planner.problem()
        planner.close()
    assert (
        said.startswith(wrong)
        and bool(said) == bool(wrong)
        and len(seen) == 1
        and "image_url" in json.dumps(seen)
    )


def test_asked_once_where_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        planner = OpenAIPlanner(f"http://127.0.0.1:{taken.getsockname()[1]}", "m")
        assert planner.problem() == "cannot be asked: Connection refused"
    assert RulesPlanner().problem() == ""


def drip_headers(handler):
    for _ in range(100):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.05)


def endless_body(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 16)
        time.sleep(0.02)


@pytest.mark.parametrize(
    "answer",
    [lambda h: time.sleep(1.5), drip_headers, endless_body],
    ids=["slow", "drip", "endless"],
)
def test_slow_endpoints_meet_the_deadline(answer, monkeypatch):
    monkeypatch.setattr(openai_client, "DEADLINE_S", 0.3)
    with endpoint(answer) as (url, _):
        planner = OpenAIPlanner(url, "m")
        now = 0.0
        for _ in range(200):  # the control loop goes on meanwhile
            planner.submit(view(now))
            assert planner.latest(now) is None
            now += 0.02
            time.sleep(0.01)
            if planner.statistics().counts["failed"]:
                break
        counts = planner.statistics().counts
        assert counts["failed"] >= 1 and counts["asked"] <= 2 + counts["failed"]
        planner.close()


def test_at_most_two_in_flight_and_the_newest_observation_wins():
    gates = [threading.Event(), threading.Event()]
    order = iter(range(2))
    texts = ['{"kind":"action","action":"turn_left"}', '{"kind":"action","action":"turn_right"}']

    def answer(handler):
        mine = next(order)
        gates[mine].wait(5)
        reply(200, completion(texts[mine]))(handler)

    with endpoint(answer) as (url, seen):
        planner = OpenAIPlanner(url, "m")
        planner.submit(view(0.0))
        while len(seen) < 1:
            time.sleep(0.005)
        planner.submit(view(1.0))
        planner.submit(view(1.5))  # not due yet
        planner.submit(view(2.0))  # due, but two are open
        assert (
            planner.statistics().counts["asked"] == 2
            and planner.statistics().counts["skipped"] == 1
        )
        while len(seen) < 2:
            time.sleep(0.005)
        gates[1].set()
        settle(planner, answered=1)
        gates[0].set()
        settle(planner, answered=2)
        directive = planner.latest(2.0)
        assert directive is not None and (directive.stamp_s, directive.action) == (
            1.0,
            "turn_right",
        )
        planner.close()


def test_a_new_episode_forgets_the_old_one():
    gate = threading.Event()
    calls = []

    def answer(handler):
        calls.append(1)
        if len(calls) == 2:
            gate.wait(5)
        reply(200, completion('{"kind":"stop"}'))(handler)

    with endpoint(answer) as (url, _):
        planner = OpenAIPlanner(url, "m")
        planner.submit(view(50.0))
        settle(planner, answered=1)
        assert planner.latest(50.1) is not None
        planner.submit(view(51.0))
        while len(calls) < 2:
            time.sleep(0.005)
        assert planner.latest(0.0) is None
        gate.set()
        settle(planner, answered=2)
        assert planner.latest(0.1) is None and planner.latest(51.1) is None
        planner.close()


def test_close_ends_everything():
    with endpoint(lambda h: time.sleep(1.0)) as (url, seen):
        planner = OpenAIPlanner(url, "m")
        planner.submit(view(0.0))
        planner.close()
        planner.submit(view(5.0))
        assert planner.statistics().counts["asked"] == 1 and planner.latest(5.0) is None


def test_listing_hides_order_of_scores():
    scene = view()
    assert shown_candidates(scene).tolist() == [2, 1, 0]
    assert describe(scene, np.array([2, 1, 0])).splitlines()[2] == "1: 0 degrees ahead, 2.0 m"


def test_parse_planner():
    assert parse_planner("none") is None
    assert isinstance(parse_planner("rules"), RulesPlanner)
    planner = parse_planner("openai:https://models.example/v1#some/model:7b")
    assert isinstance(planner, OpenAIPlanner)
    planner.close()


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "rule",
        "openai:",
        "openai:http://h/v1",
        "openai:http://h/v1#",
        "openai:ftp://h#m",
        "openai:file:///etc/passwd#m",
        "openai:http://#m",
        "openai:http://h:99999#m",
        "openai:http://h:x#m",
        "openai:http://h/a b#m",
        "openai:http://user:pass@h#m",
        "openai:http://h\r\nX: y#m",
        "openai:http://[::1#m",
    ],
)
def test_bad_specs_are_refused_with_a_remedy(spec):
    with pytest.raises(UserError, match=r"give|write|put"):
        parse_planner(spec)


def test_a_batch_is_answered_in_its_order_and_what_fails_is_no_advice():
    with endpoint(lambda h: reply(200, completion("path 0"))(h)) as (url, seen):
        planner = OpenAIPlanner(url, "m")
        said = planner.answer([view(float(k)) for k in range(3)])
    assert [(d.kind, d.index, d.stamp_s) for d in said] == [
        ("select", 2, float(k)) for k in range(3)
    ]
    (failed,) = OpenAIPlanner(url, "m").answer([view(4.0)])
    assert failed.kind == "none" and failed.reason.startswith(FAILED) and failed.stamp_s == 4.0
    assert len(seen) == 3
