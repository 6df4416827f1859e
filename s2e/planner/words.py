"""How a model's answer is read: JSON, else an order in plain English, else no
advice.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from s2e.core.errors import UserError
from s2e.planner.directive import UNPARSED, Action, Directive, Kind, Speed, is_number, make

_TEXT_LIMIT, _WORDS_LIMIT, _REASON_LIMIT = 8192, 600, 200
_FIELDS = ("kind", "index", "action", "point", "speed")


def parse_answer(text: str, stamp_s: float, candidates: int) -> Directive:
    """Reads a model's answer.

    A JSON object with one of our fields is the whole answer, the last one if there are several,
    cut or with single quotes if need be; where it makes no directive, nothing else in the text is
    looked at. Without one, the first order in the last sentences counts, with half the confidence
    (see `_from_words`).

    Args:
        text: the answer, any text at all; this never raises for a text.
        stamp_s: time of the observation that the answer is about.
        candidates: how many candidates were shown; an index outside them is not advice.

    Returns:
        The directive; kind `none` with reason `UNPARSED` when nothing could be read. Never a stop
        by default.
    """
    text = text.rpartition("</think>")[2]
    tail = text[-_TEXT_LIMIT:].strip()
    records = [r for r in _json_objects(tail) if any(name in r for name in _FIELDS)]
    record = records[-1] if records else _loose_record(tail)
    if record:
        directive = _from_record(record, stamp_s, candidates)
    else:
        words = _plain(_last_sentences(tail, len(text) > _TEXT_LIMIT))
        directive = _from_words(words, stamp_s, candidates)
    return directive or make(stamp_s, "none", reason=UNPARSED)


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, outermost ones; gives up after 20 opening braces that lead
    nowhere.
    """
    decoder, position, failures = json.JSONDecoder(), text.find("{"), 0
    while position >= 0 and failures < 20:
        try:
            record, end = decoder.raw_decode(text, position)
            yield record
        except (ValueError, RecursionError):
            failures, end = failures + 1, position + 1
        position = text.find("{", end)


_PAIR = re.compile(
    r"""["'](kind|index|action|speed)["']\s{0,9}:\s{0,9}"""
    r"""(?:["'](\w{1,20})["']|(\d{1,4})(?=\s{0,9}[,}]))"""
)


def _loose_record(text: str) -> dict[str, Any]:
    """The first value of each of our fields after the last opening brace: of JSON that was cut, or
    written as Python would. A number at the very end may be cut itself, and is left out.
    """
    found: dict[str, Any] = {}
    for name, word, number in _PAIR.findall(text[text.rfind("{") :] if "{" in text else ""):
        found.setdefault(name, int(number) if number else word)
    return found


def _from_record(record: dict[str, Any], stamp_s: float, candidates: int) -> Directive | None:
    """A directive from a model's JSON object, or None when a field that matters is missing or
    bad.
    """
    values = {name: record[name] for name in _FIELDS[1:] if record.get(name) is not None}
    kind: Any = record.get("kind")
    if kind is None:  # models forget it; the field they filled says what they meant
        implied = {"index": "select", "action": "action", "point": "subgoal", "speed": "speed"}
        kind = next((k for name, k in implied.items() if name in values), None)
    if kind not in get_args(Kind):
        return None
    index = values.get("index")
    if kind == "select" and not (type(index) is int and 0 <= index < candidates):
        return None
    if kind == "speed" and "speed" not in values:
        return None
    if kind != "select":
        values.pop("index", None)
    if kind != "action":
        values.pop("action", None)
    point = values.pop("point", None)
    if kind == "subgoal":
        values = {"point": tuple(point)} if isinstance(point, list) else {}
    confidence = record.get("confidence", 1.0)
    if not is_number(confidence) or not 0.0 <= confidence <= 1.0:
        confidence = 1.0
    reason = _clean(record.get("reason"))
    try:
        return make(stamp_s, kind, confidence=float(confidence), reason=reason, **values)
    except UserError:
        return None


def _clean(reason: Any) -> str:
    """One printable line of at most 200 characters."""
    if not isinstance(reason, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in reason[:_REASON_LIMIT])


def _last_sentences(text: str, cut: bool) -> str:
    """The end of a text, where conclusions stand, from the beginning of a sentence: half of "do not
    stop" is another order.
    """
    if not cut and len(text) <= _WORDS_LIMIT:
        return text
    return re.split(r"[.!?\n]", text[-_WORDS_LIMIT:], maxsplit=1)[-1]


def _plain(text: str) -> str:
    """Small letters, without Markdown and without what stands in quotes: a sign's words are no
    advice.
    """
    text = re.sub(r"[*_`#>~]", "", text).translate(str.maketrans("’“”„«»", '\'"""""')).strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1]
    text = re.sub(r'"[^"]*(?:"|$)', " ... ", text)
    return re.sub(r"[^\S\n]+", " ", re.sub(r":\s*\n\s*", ": ", text)).lower().strip()


_SENTENCE = re.compile(r"[^.!?;\n]+[.!?;\n]?")
_NO_ORDER = re.compile(
    r"\?|\b(?:if|unless|when|whenever|in case|or|otherwise|whether|might|could|may|maybe|perhaps"
    r"|possibly|example|such as|options?:|signs?|says?|said|saying|reads?|written|writing|painted"
    r"|text|words?|labels?|posters?|graffiti|instructions?|told|tells?|asks?|asked|wants?)(?!\w)"
)
"""Questions, conditions, guesses, and what somebody or something else says."""
_CLAUSE = re.compile(r",|\band\b|\bbut\b|(?=\bthen\b)")
_REASON = re.compile(r"\b(?:until|because|since|so that|as|while)\b.*", re.DOTALL)
_ADDRESSED = re.compile(r"\W*(?:so|therefore|thus|hence|please|you|we|i|the robot|robot)(?!\w)")
_DENIED = re.compile(
    r"(?:no|well|sure|right|(?:do not|don't|never|not|no need|avoid)\b.*)$", re.DOTALL
)
"""Before a comma: a word for itself, or a denied order; what follows may be an order."""
_FILLER = re.compile(
    r"\W*(?:(?:please|okay|ok|so|then|now|therefore|thus|hence|first|just|also|immediately|yes"
    r"|the robot|robot|you|we|i|should|must|need to|needs to|have to|has to|ought to|would|'d|shall"
    r"|will|let us|let's|suggest|recommend|advise|to be safe"
    r"|it is (?:best|better|safer|safest) to|it should"
    r"|(?:(?:the|my|best|final|recommended) )*"
    r"(?:answer|action|decision|recommendation|advice|choice|command|output)(?: is| would be)?"
    r"(?: to)?)(?!\w)[\s:=,-]*)*"
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|nothing|nobody|none|cannot|without|avoid|unnecessary|instead of|rather than"
    r"|except|\w+n't|dont|doesnt)\b"
)
_STOP = re.compile(
    r"(?:stop|halt|yield|wait|brake|pause|give way|stand still|stay still|stay put"
    r"|hold position|hold on|hold still|come to a (?:full |complete )?(?:stop|halt|standstill)"
    r"|let (?:\w+ ){1,3}?(?:pass|cross|through|go by|go first))"
    r"(?! ?(?:is|was|are|has|times?|lines?|lights?|bars?|zones?|areas?|buttons?)\b)"
    r"(?! (?!moving|driving|going)\w+ing\b)(?!\w)"
)
_NO_STOP = re.compile(_NEGATION.pattern + r".*\b(?:stop|halt|yield|wait|brake|pause)")
_MOVE = re.compile(
    r"(?:go|turn|bear|veer|steer|keep|move|head|pass|swing|stay|shift|drive|continue|proceed|carry"
    r"|rotate|walk|advance|lean|take|follow|choose|select|pick|prefer|use|slow|reduce|decelerate"
    r"|creep|be|slightly|sharp|sharply|hard|slowly|slower|carefully|cautiously)\b"
    r"|(?:left|right|straight|forward|ahead|path|candidate|trajectory|option|line|number|index)\b"
    r"(?: ?[^ ]+){0,3}$"
)
"""Verbs, and short answers without one."""
_NUMBER = (
    r"(?:candidate|trajectory|option|path|line|number|index)\s{0,3}(?:number|no\.?|#|:|=)?\s{0,3}"
    r"(\d{1,3})\b"
)
_INDEX = re.compile(_NUMBER)
_BEST = re.compile(_NUMBER + r" (?:is|looks|seems) (?:the )?(?:best|safe)")
_STATEMENT = re.compile(r"\b(?:is|are|was|were|has|have|seems?|looks?|leads?)\b")
_SLOW = re.compile(
    r"\b(?:slow|slowly|slower|careful|carefully|caution|cautiously|decelerate|creep)\b"
    r"|\breduce (?:\w+ )?speed\b"
)
_SHARP = re.compile(r"\b(?:turn|sharp|sharply|hard|rotate)\b")
_SLIGHT = re.compile(r"\b(?:slight|slightly|bear|veer|forward|keep|little|bit)\b")
_AHEAD = re.compile(
    r"(?:(?:go|keep|move|drive|head|carry|walk|advance|be)\b.{0,20}?\b(?:straight|forward|ahead|on"
    r"|going)\b|continue\b|proceed\b|advance\b|straight\b|forward\b|ahead\b)"
)


def _is_order(sentence: str) -> bool:
    return not _NO_ORDER.search(sentence)


def _from_words(text: str, stamp_s: float, candidates: int) -> Directive | None:
    """A directive from the first order in plain English; half the confidence of a proper answer.

    An order is a clause that begins with what the robot is to do ("stop", "you should wait", "keep
    left"), is not denied ("do not stop"), and stands in no sentence that asks, supposes or tells
    what somebody else says. "People wait on the left" is none. What follows after "then" is for
    later. Slowness goes along with a heading or a number. A stop that is denied elsewhere is none.
    """
    alone = re.fullmatch(r"\W*(\d{1,3})\W*", text)
    if alone and int(alone[1]) < candidates:
        return _advice(stamp_s, "select", "normal", index=int(alone[1]))
    sentences = [
        _CLAUSE.split(sentence) for sentence in _SENTENCE.findall(text) if _is_order(sentence)
    ]
    may_stop = not any(_NO_STOP.search(clause) for clauses in sentences for clause in clauses)
    speed: Speed = "normal"
    ordered = False
    for clauses in sentences:
        open_to_orders = True
        for clause in clauses:
            if ordered and re.match(r"\W*then\b", clause):
                return _slow(stamp_s, speed)
            # "people stop, wait and talk": what is said of somebody goes on
            if not (open_to_orders or _ADDRESSED.match(clause)):
                continue
            rest = _REASON.sub("", _FILLER.sub("", clause, count=1)).strip(" .!;\n")
            best = _BEST.match(rest)
            if best and int(best[1]) < candidates:
                return _advice(stamp_s, "select", speed, index=int(best[1]))
            denied = _NEGATION.search(rest) or _STATEMENT.search(rest)
            if may_stop and not denied and _STOP.match(rest):
                return _advice(stamp_s, "stop")
            if denied or not _MOVE.match(rest):
                open_to_orders = not rest or bool(_DENIED.match(rest))
                continue
            open_to_orders = ordered = True
            speed = "slow" if _SLOW.search(rest) else speed
            found, action = _INDEX.search(rest), _heading(rest)
            if found:
                if int(found[1]) < candidates:
                    return _advice(stamp_s, "select", speed, index=int(found[1]))
            elif action is not None:
                return _advice(stamp_s, "action", speed, action=action)
    return _slow(stamp_s, speed)


def _slow(stamp_s: float, speed: Speed) -> Directive | None:
    return _advice(stamp_s, "speed", speed) if speed == "slow" else None


def _heading(order: str) -> Action | None:
    """Which way an order points; both sides named is none."""
    left, right = re.search(r"\bleft\b", order), re.search(r"\bright\b", order)
    sharp = _SHARP.search(order) and not _SLIGHT.search(order)
    if left and right:
        return None
    if left:
        return "turn_left" if sharp else "forward_left"
    if right:
        return "turn_right" if sharp else "forward_right"
    return "forward" if _AHEAD.match(order) else None


def _advice(stamp_s: float, kind: Kind, speed: Speed = "normal", **rest: Any) -> Directive:
    return make(stamp_s, kind, speed=speed, confidence=0.5, reason="key word", **rest)
