"""A vision-language model behind any OpenAI-compatible endpoint as the slow planner; it can fail,
it cannot block.
"""

import base64
import http.client
import io
import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from s2e.core.errors import UserError
from s2e.core.files import parse_json
from s2e.planner.directive import FAILED, UNPARSED, Directive, make
from s2e.planner.scene import PlannerView, Statistics
from s2e.planner.words import parse_answer

PERIOD_S = 1.0
DEADLINE_S = 2.0
IN_FLIGHT = 2
AT_ONCE = 8
"""Requests of one batch side by side."""
BREAKER_FAILURES = 3
BREAKER_PAUSE_S = 30.0
MAX_BYTES = 64 * 1024
_LATE = f"gives no answer within {DEADLINE_S:g} s"
SHOWN = 18
"""At most this many candidates are listed, the policy's best ones."""

_SYSTEM = (
    "You advise a small sidewalk robot that shares the way with people. You see what its front "
    "camera sees and a "
    "numbered list of paths it could take. Answer with one JSON object and nothing else, one of: "
    '{"kind":"select","index":N} to follow path N; '
    '{"kind":"action","action":"forward|forward_left|forward_right|turn_left|turn_right"}; '
    '{"kind":"speed","speed":"slow"}; {"kind":"stop"} to let somebody pass; {"kind":"none"} if the '
    "way is clear. "
    'You may add "confidence" (0 to 1) and "reason" (at most ten words).'
)


def shown_candidates(view: PlannerView) -> np.ndarray:
    """(K,) indices of the candidates to list: the SHOWN best, from left to right so that order
    tells no score.
    """
    best = np.argsort(-view.log_scores, kind="stable")[:SHOWN]
    ends = view.candidates[best, -1]
    return best[np.argsort(-np.arctan2(ends[:, 1], ends[:, 0]), kind="stable")]


def describe(view: PlannerView, shown: np.ndarray) -> str:
    """The numbered lines of a request: bearing and length of each path, and the people if there is
    no image.
    """
    lines = [f"Speed {view.speed:.1f} m/s. Paths:"]
    for number, index in enumerate(shown):
        path = np.concatenate([np.zeros((1, 2)), view.candidates[index]])
        length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
        bearing = np.degrees(np.arctan2(path[-1, 1], path[-1, 0]))
        side = "ahead" if abs(bearing) < 5 else "left" if bearing > 0 else "right"
        lines.append(f"{number}: {abs(bearing):.0f} degrees {side}, {length:.1f} m")
    if view.image is None:
        lines.append("People (metres ahead, metres left, speed ahead, speed left):")
        lines += [
            f"({x:.1f}, {y:.1f}, {vx:.1f}, {vy:.1f})"
            for x, y, vx, vy in np.reshape(view.people, (-1, 4))
        ]
    return "\n".join(lines)


def request_body(view: PlannerView, shown: np.ndarray, model: str) -> bytes:
    """The JSON of a chat completion request; the image goes along as a JPEG data URL."""
    content: list[dict] = [{"type": "text", "text": describe(view, shown)}]
    if view.image is not None:
        buffer = io.BytesIO()
        Image.fromarray(view.image).save(buffer, "JPEG", quality=85)
        url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        content.append({"type": "image_url", "image_url": {"url": url}})
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]
    return json.dumps(
        {"model": model, "messages": messages, "max_tokens": 100, "temperature": 0}
    ).encode()


def answer_text(body: bytes) -> str:
    """The answer's text in a chat completion response.

    Raises:
        ValueError: It is none.
    """
    try:
        content = parse_json(body)["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("not a chat completion") from None
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise ValueError("an answer without text")
    return content


class OpenAIPlanner:
    """Asks an endpoint in background threads; the newest answer by observation time wins.

    `stamp_s` is the time of the view, simulated time in a simulator, while answers arrive in wall
    time: advice is as old as the simulated time that went by while the model thought. A clock that
    jumps back (a new episode) drops all advice and all answers still under way. One object serves
    one world.
    """

    def __init__(self, url: str, model: str, period_s: float = PERIOD_S):
        """Connects to nothing yet.

        Args:
            url: base of the endpoint, http or https, with or without `/v1` or
                `/v1/chat/completions`.
            model: the model's name there.
            period_s: least time between two questions, in the clock of the views.

        Raises:
            UserError: The URL is no http(s) URL, or the model's name is empty.
        """
        parts = _split(url)
        if not model.strip():
            raise UserError("planner endpoint has no model: write openai:URL#MODEL")
        path = parts.path.rstrip("/")
        if not path.endswith("/chat/completions"):
            path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
        self._secure, self._host, self._port = (
            parts.scheme == "https",
            parts.hostname or "",
            parts.port,
        )
        self._path = path + (f"?{parts.query}" if parts.query else "")
        self._model, self._period_s = model, period_s
        self._lock = threading.Lock()
        self._connections: dict[int, tuple[float, http.client.HTTPConnection]] = {}
        self._latest: Directive | None = None
        self._last_seen_s, self._last_asked_s = -np.inf, -np.inf
        self._epoch = self._asks = self._failures = 0
        self._paused_until = -np.inf
        self._closed = False
        self._counts = {
            "asked": 0,
            "answered": 0,
            "advised": 0,
            "failed": 0,
            "unparsed": 0,
            "skipped": 0,
        }
        self._latencies: deque[float] = deque(maxlen=1000)
        self._last_failure = ""

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`: a request for each view, `AT_ONCE` at most side by side, each with
        `DEADLINE_S` of its own.
        """
        with ThreadPoolExecutor(max(1, min(AT_ONCE, len(views)))) as pool:
            return list(pool.map(self._think, views))

    def _think(self, view: PlannerView) -> Directive:
        """The answer to one question; whatever goes wrong is a directive that says so."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=DEADLINE_S)
        overdue = threading.Timer(DEADLINE_S, _abort, (connection,))
        overdue.daemon = True
        overdue.start()
        try:
            return self._directive(connection, view, time.monotonic())
        except Exception as error:
            return make(view.now_s, "none", reason=f"{FAILED}: {_in_words(error)}")
        finally:
            overdue.cancel()
            connection.close()

    def _directive(
        self, connection: http.client.HTTPConnection, view: PlannerView, started: float
    ) -> Directive:
        """Asks about a view, and reads the answer; raises whatever goes wrong."""
        shown = shown_candidates(view)
        body = request_body(view, shown, self._model)
        text = answer_text(self._post(connection, body, started + DEADLINE_S))
        directive = parse_answer(text, view.now_s, len(shown))
        if directive.index is not None:
            directive = replace(directive, index=int(shown[directive.index]))
        return directive

    def submit(self, view: PlannerView) -> None:
        """Asks about a view if a question is due, fewer than IN_FLIGHT are open and the endpoint is
        not resting.
        """
        now = time.monotonic()
        with self._lock:
            self._watch_clock(view.now_s)
            self._abort_overdue(now)
            if (
                self._closed
                or view.now_s - self._last_asked_s < self._period_s
                or len(view.candidates) == 0
            ):
                return
            self._last_asked_s = view.now_s
            if len(self._connections) >= IN_FLIGHT or now < self._paused_until:
                self._counts["skipped"] += 1
                return
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            connection = kind(self._host, self._port, timeout=DEADLINE_S)
            self._asks += 1
            self._counts["asked"] += 1
            ticket, epoch = self._asks, self._epoch
            self._connections[ticket] = (now, connection)
        # Simulators reuse their buffers, so the thread gets copies.
        image = None if view.image is None else view.image.copy()
        view = replace(
            view, image=image, candidates=view.candidates.copy(), log_scores=view.log_scores.copy()
        )
        try:
            threading.Thread(
                target=self._ask, args=(ticket, epoch, view, connection), daemon=True
            ).start()
        except RuntimeError:  # out of threads, or the interpreter is shutting down
            self._finish(ticket, epoch, None, now)

    def latest(self, now_s: float) -> Directive | None:
        """The newest advice that still holds at `now_s` (the clock of the views)."""
        with self._lock:
            self._watch_clock(now_s)
            self._abort_overdue(time.monotonic())
            directive = self._latest
        if (
            directive is None
            or directive.kind == "none"
            or not directive.stamp_s <= now_s < directive.expires_s()
        ):
            return None
        return directive

    def statistics(self) -> Statistics:
        """Counts: asked, answered, advised, failed (no answer in time), unparsed, skipped; the last
        1,000 latencies.
        """
        with self._lock:
            return Statistics(dict(self._counts), tuple(self._latencies))

    def problem(self) -> str:
        """Asks once about a made-up view and waits for the answer, `DEADLINE_S` at most."""
        self.submit(_made_up())
        patience = time.monotonic() + DEADLINE_S + 0.5  # looking up a host's name knows no deadline
        while time.monotonic() < patience:
            with self._lock:
                self._abort_overdue(time.monotonic())
                counts, why = dict(self._counts), self._last_failure
            if counts["failed"]:
                return why
            if counts["unparsed"]:
                return "answers, but not with a directive that can be read"
            if counts["answered"]:
                return ""
            time.sleep(0.02)
        return _LATE

    def close(self) -> None:
        """Drops what is under way; asks nothing any more."""
        with self._lock:
            self._closed, self._latest = True, None
            self._epoch += 1
            connections = [c for _, c in self._connections.values()]
        for connection in connections:
            _abort(connection)

    def _watch_clock(self, now_s: float) -> None:
        if now_s < self._last_seen_s:
            self._epoch += 1
            self._latest, self._last_asked_s = None, -np.inf
        self._last_seen_s = now_s

    def _abort_overdue(self, now: float) -> None:
        for started, connection in self._connections.values():
            if now - started > DEADLINE_S:
                _abort(connection)

    def _ask(
        self, ticket: int, epoch: int, view: PlannerView, connection: http.client.HTTPConnection
    ) -> None:
        """Body of a request's thread: whatever goes wrong counts as a failure and ends here."""
        started, directive, failure = time.monotonic(), None, ""
        try:
            directive = self._directive(connection, view, started)
        except Exception as error:
            directive, failure = None, _in_words(error)
        finally:
            connection.close()
            self._finish(ticket, epoch, directive, started, failure)

    def _post(self, connection: http.client.HTTPConnection, body: bytes, deadline: float) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get("S2E_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        connection.request("POST", self._path, body, headers)
        response = connection.getresponse()
        # redirects too: the key goes to the host that the user named, to no other
        if response.status != 200:
            raise ValueError(f"status {response.status} {response.reason}".strip())
        data = b""
        while chunk := response.read1(8192):
            data += chunk
            if len(data) > MAX_BYTES:
                raise ValueError("answer too long")
            if time.monotonic() > deadline:
                raise TimeoutError
        return data

    def _finish(
        self,
        ticket: int,
        epoch: int,
        directive: Directive | None,
        started: float,
        failure: str = "",
    ) -> None:
        now = time.monotonic()
        with self._lock:
            self._connections.pop(ticket, None)
            if self._closed:
                return
            if directive is None or now - started > DEADLINE_S:
                self._counts["failed"] += 1
                self._failures += 1
                self._last_failure = (
                    _LATE if now - started > DEADLINE_S else failure or "cannot be asked"
                )
                if self._failures >= BREAKER_FAILURES:
                    self._failures, self._paused_until = 0, now + BREAKER_PAUSE_S
                return
            self._failures = 0
            self._counts["answered"] += 1
            self._counts["advised"] += directive.kind != "none"
            self._latencies.append(now - started)
            if directive.reason == UNPARSED and directive.kind == "none":
                self._counts["unparsed"] += 1  # says nothing, so earlier advice fades by itself
            elif epoch == self._epoch and (
                self._latest is None or directive.stamp_s >= self._latest.stamp_s
            ):
                self._latest = directive


def _made_up() -> PlannerView:
    """An empty grey way with three candidates: something to ask about before anything is seen."""
    bearing, reach = np.radians([-30.0, 0.0, 30.0])[:, None], 0.2 * np.arange(1, 11)
    candidates = np.stack([np.cos(bearing) * reach, np.sin(bearing) * reach], axis=-1)
    grey = np.full((96, 160, 3), 128, dtype=np.uint8)
    return PlannerView(
        0.0, np.zeros(3), 1.0, np.array([8.0, 0.0]), np.zeros((0, 4)), candidates, np.zeros(3), grey
    )


def _in_words(error: Exception) -> str:
    """Why a request failed, in one short line."""
    if isinstance(error, TimeoutError):
        return _LATE
    words = (
        (error.strerror if isinstance(error, OSError) else None)
        or str(error)
        or type(error).__name__
    )
    return "cannot be asked: " + "".join(c if c.isprintable() else " " for c in words)[:160]


def _abort(connection: http.client.HTTPConnection) -> None:
    """Wakes a thread that waits on a connection; an endpoint that drips bytes would hold it for
    ever.
    """
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(2)
        except OSError:
            return  # already closed


def _split(url: str):
    """The parts of an http(s) URL.

    Raises:
        UserError: It is none.
    """
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_ok = None, False
    printable = all(" " < c < "\x7f" for c in url)
    if (
        parts is None
        or not port_ok
        or not printable
        or parts.scheme not in ("http", "https")
        or not parts.hostname
    ):
        raise UserError(
            f"planner URL {url[:80]!r} is not usable: give http://HOST:PORT/v1 or https://HOST/v1"
        )
    if parts.username or parts.password:
        raise UserError(
            "planner URL carries a password: put the key in the environment variable S2E_API_KEY"
        )
    return parts
