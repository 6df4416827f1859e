"""Answers of a model kept in a file, and given again without it: a run repeats without a server."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2e.core.errors import UserError
from s2e.core.files import json_object
from s2e.planner.directive import UNPARSED, Directive, make
from s2e.planner.prompt import Prompt, make_prompt, understood
from s2e.planner.scene import PlannerView, Statistics

UNRECORDED = "not recorded"
"""The `reason` of the directive that stands for an answer that the file does not hold."""
MAX_ANSWERS = 1_000_000
"""A file with more is not read, and nothing is added beyond."""
_MAX_LINE_BYTES = 1 << 18
_BEGIN = b'{"key": "'
_REMEDY = "give a file that --planner-record wrote, or remove that line"


@dataclass(frozen=True)
class _Line:
    """One answer.

    Attributes:
        key: `Prompt.key` of the question, the digest itself.
        model: who answered.
        answer: the text.
        picture: whether the question had one.
    """

    key: bytes
    model: str
    answer: str
    picture: bool


class Recording:
    """A file of answers, a JSON object a line: `key` (`Prompt.key`), `model`, `picture` (whether
    one went along), `answer` (the text) and `seconds`. A question is kept once, with its first
    answer; several processes may add to one file.
    """

    def __init__(self, path: str | Path):
        """Opens a file to add to, or begins one; a last line that a kill cut is dropped.

        Raises:
            UserError: what is there is no recording, or it cannot be written.
        """
        path = Path(path)
        self._lock, self._known = threading.Lock(), set()
        try:
            self._file = open(path, "a+b")
            self._known = {line.key for line in _lines(path)}
            self._file.seek(max(self._file.tell() - _MAX_LINE_BYTES, 0))
            end = self._file.read()
            if end and not end.endswith(b"\n"):
                self._file.truncate(self._file.tell() - len(end) + end.rfind(b"\n") + 1)
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); give --planner-record another place"
            ) from None

    def add(self, prompt: Prompt, model: str, answer: str, seconds: float) -> None:
        """Keeps an answer, unless the question has one or the file is full; once it cannot be
        written, nothing more is kept.
        """
        key = prompt.key(model)
        record = {"key": key, "model": model, "picture": prompt.image is not None}
        line = json.dumps(record | {"answer": answer, "seconds": round(seconds, 3)}) + "\n"
        with self._lock:
            if self._file.closed or bytes.fromhex(key) in self._known:
                return
            if len(self._known) >= MAX_ANSWERS or len(line) > _MAX_LINE_BYTES:
                return
            try:
                self._file.write(line.encode())
                self._file.flush()
            except OSError:  # the run goes on; what a replay lacks, it counts
                self._file.close()
                return
            self._known.add(bytes.fromhex(key))

    def close(self) -> None:
        """Ends the file; later answers are not kept."""
        with self._lock:
            self._file.close()


class ReplayPlanner:
    """A `Thinker` that gives recorded answers; a question without one gets no advice."""

    def __init__(self, path: str):
        """Reads a recording.

        Args:
            path: the file; `FILE#MODEL` where several models' answers are in it.

        Raises:
            UserError: it cannot be read, holds something else, answers of several models and none
                was named, or none of the one named.
        """
        file, _, model = (path, "", "") if Path(path).exists() else path.rpartition("#")
        lines = list(_lines(Path(file or path)))
        models = sorted({line.model for line in lines})
        if not model and len(models) > 1:
            raise UserError(
                f"{path}: answers of several models ({', '.join(models)[:200]}); name one: "
                f"replay:{path}#{models[0]}"
            )
        self._model = model or "".join(models)
        if self._model not in models:
            said = f"no answer of {model}" if model else "no answer"
            raise UserError(f"{file or path}: holds {said}; {_REMEDY}")
        of_model = [line for line in lines if line.model == self._model]
        self._answers = {line.key: line.answer for line in reversed(of_model)}  # the first counts
        self._pictures = sorted({line.picture for line in of_model}, reverse=True)
        self._lock = threading.Lock()
        self._counts: dict[str, int] = dict.fromkeys(
            ("asked", "answered", "advised", "unparsed", "unrecorded"), 0
        )

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`; a missing answer has the reason `UNRECORDED`."""
        directives = [self._answer(view) for view in views]
        with self._lock:
            for directive in directives:
                recorded = directive.reason != UNRECORDED
                self._counts["asked"] += 1
                self._counts["answered"] += recorded
                self._counts["unrecorded"] += not recorded
                self._counts["advised"] += directive.kind != "none"
                self._counts["unparsed"] += directive.reason == UNPARSED
        return directives

    def _answer(self, view: PlannerView) -> Directive:
        for picture in self._pictures if len(view.candidates) else ():
            prompt = make_prompt(view, picture)
            text = self._answers.get(bytes.fromhex(prompt.key(self._model)))
            if text is not None:
                return understood(text, view, prompt)
        return make(view.now_s, "none", reason=UNRECORDED)

    def problem(self) -> str:
        """None: what cannot be read is refused before."""
        return ""

    def statistics(self) -> Statistics:
        """Counts: asked, answered, advised, unparsed, unrecorded."""
        with self._lock:
            return Statistics(dict(self._counts), ())

    def close(self) -> None:
        """Nothing runs."""


def _lines(path: Path) -> Iterator[_Line]:
    """The answers in a recording, without a last line that was cut.

    Raises:
        UserError: it cannot be read, or a line is no answer; says which.
    """
    try:
        with open(path, "rb") as file:
            number = 0
            while data := file.readline(_MAX_LINE_BYTES + 1):
                number += 1
                if data.endswith(b"\n"):
                    yield _line(data, f"{path}: line {number}")
                elif len(data) > _MAX_LINE_BYTES or not data.startswith(_BEGIN[: len(data)]):
                    raise UserError(f"{path}: line {number}: is no answer; {_REMEDY}")
                if number > MAX_ANSWERS:
                    raise UserError(f"{path}: more than {MAX_ANSWERS} lines; split it by model")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None


def _line(data: bytes, where: str) -> _Line:
    record = json_object(data, where, _REMEDY)
    kinds = {"key": str, "model": str, "picture": bool, "answer": str}
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise UserError(f"{where}: field '{name}' is missing or no {kind.__name__}; {_REMEDY}")
    if not re.fullmatch("[0-9a-f]{64}", record["key"]):
        raise UserError(f"{where}: field 'key' is no SHA-256 of 64 hex digits; {_REMEDY}")
    return _Line(bytes.fromhex(record["key"]), record["model"], record["answer"], record["picture"])
