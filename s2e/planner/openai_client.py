"""A vision-language model behind any OpenAI-compatible endpoint as the slow planner of all worlds;
it can fail, it cannot block.
"""

import base64
import http.client
import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import parse_json
from s2e.planner.directive import FAILED, UNPARSED, Directive, make
from s2e.planner.prompt import Prompt, made_up_view, make_prompt, understood
from s2e.planner.replay import Recording
from s2e.planner.scene import PlannerView, Statistics

DEADLINE_S = 5.0
AT_ONCE = 16
"""Requests under way side by side, of all worlds together."""
BREAKER_FAILURES = 3
BREAKER_PAUSE_S = 30.0
MAX_BYTES = 64 * 1024
KEY = "S2E_API_KEY"
"""The environment variable with the key, which is sent to the endpoint's host and nowhere else."""
_GRACE_S = 0.3
"""So long after its deadline a request may take to end once its connection is shut."""


def request_body(prompt: Prompt, model: str) -> bytes:
    """The JSON of a chat completion request; the picture goes along as a JPEG data URL."""
    content: list[dict] = [{"type": "text", "text": prompt.text}]
    if prompt.image is not None:
        url = "data:image/jpeg;base64," + base64.b64encode(prompt.jpeg()).decode()
        content.append({"type": "image_url", "image_url": {"url": url}})
    messages = [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": content},
    ]
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


class _Question:
    """A view that is asked about, in a thread of its own."""

    def __init__(self, place: int, view: PlannerView, connection: http.client.HTTPConnection):
        self.place, self.view, self.connection = place, view, connection
        self.started = np.inf  # its clock runs once the picture is drawn
        self.directive: Directive | None = None


class OpenAIPlanner:
    """A `Thinker` that sends a request for each view, `AT_ONCE` at most side by side whoever asks.

    Each has a deadline of its own; nothing is asked twice. After `BREAKER_FAILURES` failures in a
    row nothing is asked for `BREAKER_PAUSE_S`, and then one question at a time until one is
    answered.
    """

    def __init__(
        self,
        url: str,
        model: str,
        deadline_s: float = DEADLINE_S,
        recording: Recording | None = None,
    ):
        """Connects to nothing yet.

        Args:
            url: base of the endpoint, http or https, with or without `/v1` or
                `/v1/chat/completions`.
            model: the model's name there.
            deadline_s: an answer that takes longer, in wall time, is none.
            recording: keeps the answers.

        Raises:
            UserError: The URL is no http(s) URL, the model's name is empty, or the key cannot be
                sent.
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
        self._model, self._deadline_s, self._recording = model, deadline_s, recording
        self._key = os.environ.get(KEY, "").strip()
        if not all("!" <= c <= "~" for c in self._key):
            raise UserError(f"{KEY} holds blanks or letters no key has: set it to the key alone")
        self._change = threading.Condition()
        self._open: set[_Question] = set()  # whose threads still run, given up or not
        self._failures, self._paused_until, self._probing = 0, -np.inf, False
        self._closed = False
        names = ("asked", "answered", "advised", "failed", "unparsed", "skipped")
        self._counts: dict[str, int] = dict.fromkeys(names, 0)
        self._latencies: deque[float] = deque(maxlen=1000)

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`; waits as long as the deadlines of its requests allow, side by side."""
        directives = [make(view.now_s, "none") for view in views]
        waiting = deque(i for i, view in enumerate(views) if len(view.candidates))
        mine: set[_Question] = set()
        moved = time.monotonic()
        with self._change:
            while waiting or mine:
                now = time.monotonic()
                for question in [q for q in mine if q.directive or self._given_up(q, now)]:
                    mine.remove(question)
                    directives[question.place] = question.directive or self._fail(question)
                    moved = now
                resting = self._closed or now < self._paused_until
                # others may hold all connections for one deadline; longer only a name server can
                stuck = not mine and now - moved > 2 * (self._deadline_s + _GRACE_S)
                if waiting and (resting or stuck):
                    for i in waiting:
                        why = "closed" if self._closed else "rests after failures"
                        directives[i] = _no_answer(views[i], why if resting else "is busy")
                    self._counts["skipped"] += len(waiting)
                    waiting.clear()
                while waiting and len(self._open) < (1 if self._probing else AT_ONCE):
                    i = waiting.popleft()
                    mine.add(self._start(i, views[i]))
                    moved = now
                if waiting or mine:
                    self._change.wait(self._patience(mine, now))
        return directives

    def statistics(self) -> Statistics:
        """Counts: asked, answered, advised, failed (no answer in time), unparsed, skipped (not
        asked, since it rests); the last 1,000 latencies.
        """
        with self._change:
            return Statistics(dict(self._counts), tuple(self._latencies))

    def problem(self) -> str:
        """Asks once about a made-up view and waits for the answer, the deadline at most."""
        directive = self.answer([made_up_view()])[0]
        if directive.reason.startswith(FAILED):
            return directive.reason.removeprefix(f"{FAILED}: ")
        if directive.reason == UNPARSED and directive.kind == "none":
            return "answers, but not with a directive that can be read"
        return ""

    def close(self) -> None:
        """Drops what is under way; asks nothing any more."""
        if self._recording is not None:
            self._recording.close()
        with self._change:
            self._closed = True
            for question in self._open:
                _abort(question.connection)
            self._change.notify_all()

    def _start(self, place: int, view: PlannerView) -> _Question:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        question = _Question(place, view, kind(self._host, self._port, timeout=self._deadline_s))
        self._counts["asked"] += 1
        self._open.add(question)
        try:
            threading.Thread(target=self._ask, args=(question,), daemon=True).start()
        except RuntimeError:  # out of threads, or the interpreter is shutting down
            self._finish(question, None, "cannot be asked: out of threads")
        return question

    def _given_up(self, question: _Question, now: float) -> bool:
        """Shuts the connection of a question that is late, and says whether that is long ago: an
        endpoint that drips bytes would hold it for ever, and looking up a name knows no deadline.
        """
        late = now - question.started - self._deadline_s
        if late >= 0:
            _abort(question.connection)
        return late >= _GRACE_S

    def _patience(self, mine: set[_Question], now: float) -> float:
        ends = [q.started + self._deadline_s for q in mine]
        following = [end if end > now else end + _GRACE_S for end in ends]
        return max(min([*following, now + self._deadline_s]) - now, 0.001)

    def _ask(self, question: _Question) -> None:
        """Body of a request's thread: whatever goes wrong counts as a failure and ends here."""
        directive, failure = None, ""
        try:
            prompt = make_prompt(question.view)
            body = request_body(prompt, self._model)
            with self._change:
                question.started = time.monotonic()
                self._change.notify_all()
            text = self._hidden(answer_text(self._post(question, body)))
            seconds = time.monotonic() - question.started
            if self._recording is not None and seconds <= self._deadline_s:
                self._recording.add(prompt, self._model, text, seconds)
            directive = understood(text, question.view, prompt)
        except Exception as error:
            failure = self._in_words(error)
        finally:
            question.connection.close()
            with self._change:
                self._finish(question, directive, failure)

    def _post(self, question: _Question, body: bytes) -> bytes:
        connection, deadline = question.connection, question.started + self._deadline_s
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection.connect()
        if self._closed or time.monotonic() > deadline:  # nobody can shut what is not yet open
            raise TimeoutError
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

    def _finish(self, question: _Question, directive: Directive | None, failure: str) -> None:
        """Counts what became of a question, and hands it to whoever waits; holds the lock."""
        self._open.discard(question)
        self._change.notify_all()
        if question.directive is not None:
            return  # given up before
        seconds = time.monotonic() - question.started
        if directive is None or seconds > self._deadline_s:
            self._fail(question, "" if seconds > self._deadline_s else failure)
            return
        question.directive = directive
        self._failures, self._probing = 0, False
        self._counts["answered"] += 1
        self._counts["advised"] += directive.kind != "none"
        self._counts["unparsed"] += directive.reason == UNPARSED and directive.kind == "none"
        self._latencies.append(seconds)

    def _fail(self, question: _Question, failure: str = "") -> Directive:
        """Counts a question without an answer; holds the lock."""
        question.directive = _no_answer(question.view, failure or self._late())
        self._counts["failed"] += 1
        self._failures += 1
        if self._failures >= BREAKER_FAILURES or self._probing:
            self._failures, self._probing = 0, True
            self._paused_until = time.monotonic() + BREAKER_PAUSE_S
        return question.directive

    def _late(self) -> str:
        return f"gives no answer within {self._deadline_s:g} s"

    def _in_words(self, error: Exception) -> str:
        """Why a request failed, in one short line."""
        if isinstance(error, TimeoutError):
            return self._late()
        words = (
            (error.strerror if isinstance(error, OSError) else None)
            or str(error)
            or type(error).__name__
        )
        words = "".join(c if c.isprintable() else " " for c in self._hidden(words))
        return "cannot be asked: " + words[:160]

    def _hidden(self, text: str) -> str:
        """Text from outside without the key, which a server may send back."""
        return text.replace(self._key, "[key]") if self._key else text


def _no_answer(view: PlannerView, why: str) -> Directive:
    return make(view.now_s, "none", reason=f"{FAILED}: {why}")


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
