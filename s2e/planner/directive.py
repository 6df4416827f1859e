"""What a slow planner may say to the policy: one small, typed, short-lived directive."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from s2e.core.errors import UserError
from s2e.core.files import json_object

Kind = Literal["select", "action", "speed", "stop", "subgoal", "none"]
Action = Literal["forward", "forward_left", "forward_right", "turn_left", "turn_right", "stop"]
Speed = Literal["stop", "slow", "normal"]

STOP_VALID_S = 3.0
"""No stop outlives its observation by more than this, whatever `valid_until_s` says."""
ADVICE_VALID_S = 6.0
"""How long every other directive holds, counted from its observation."""
SUBGOAL_VALID_S = 20.0
"""How long a subgoal that is not reached is held."""
SUBGOAL_FAR_M = 30.0
"""A subgoal lies no farther ahead, behind or beside than this."""
UNPARSED = "not understood"
"""The `reason` of the directive that stands for an answer nobody could read."""
FAILED = "no answer"
"""How the `reason` of the directive begins that stands for an answer that never came."""


@dataclass(frozen=True)
class Directive:
    """Advice about one observation. It can re-rank candidates, slow the robot, or name a place to
    reach before the goal, never add a trajectory.

    Attributes:
        stamp_s: time of the observation it is about, in the clock of the views (simulated time in a
            simulator).
        valid_until_s: last moment it has any effect, same clock.
        kind: `select` a candidate, prefer an `action`, change `speed`, `stop`, reach a `subgoal`
            first, or `none` (no advice).
        index: which candidate of the view, for `select`.
        action: preferred heading, for `action`.
        speed: wanted speed; may go with `select` and `action` too.
        point: x ahead and y to the left, metres in the robot's frame of the view, for `subgoal`.
        confidence: 0..1, scales the weight of the advice in the scores.
        reason: one line for people to read.

    Raises:
        UserError: A field is missing, of the wrong type or out of range.
    """

    stamp_s: float
    valid_until_s: float
    kind: Kind
    index: int | None = None
    action: Action | None = None
    speed: Speed = "normal"
    point: tuple[float, float] | None = None
    confidence: float = 1.0
    reason: str = ""

    def __post_init__(self):
        for name in ("stamp_s", "valid_until_s", "confidence"):
            if not is_number(getattr(self, name)):
                raise UserError(
                    f"directive field '{name}' is not a finite number: give seconds, or 0..1"
                )
        if self.valid_until_s < self.stamp_s:
            raise UserError(
                "directive field 'valid_until_s' lies before 'stamp_s': give a later time"
            )
        if not 0.0 <= self.confidence <= 1.0:
            raise UserError("directive field 'confidence' is outside 0..1: give a probability")
        for name, value, allowed in (("kind", self.kind, Kind), ("speed", self.speed, Speed)):
            if not isinstance(value, str) or value not in get_args(allowed):
                raise UserError(
                    f"directive field '{name}' must be one of {', '.join(get_args(allowed))}"
                )
        if self.action is not None and (
            not isinstance(self.action, str) or self.action not in get_args(Action)
        ):
            raise UserError(
                f"directive field 'action' must be one of {', '.join(get_args(Action))}"
            )
        if self.index is not None and (type(self.index) is not int or self.index < 0):
            raise UserError("directive field 'index' must be a candidate's number, 0 or more")
        if self.kind == "select" and self.index is None:
            raise UserError(
                "directive field 'index' is missing: 'select' needs a candidate's number"
            )
        if self.kind == "action" and self.action is None:
            raise UserError("directive field 'action' is missing: 'action' needs a heading")
        if self.point is not None and not _is_place(self.point):
            raise UserError(
                f"directive field 'point' must be two numbers: metres ahead and left, within "
                f"{SUBGOAL_FAR_M:g}"
            )
        if self.kind == "subgoal" and self.point is None:
            raise UserError("directive field 'point' is missing: 'subgoal' needs a place")
        if self.kind == "subgoal" and self.speed != "normal":
            raise UserError("directive field 'speed' does not go with 'subgoal': leave it out")
        if not isinstance(self.reason, str):
            raise UserError("directive field 'reason' must be text")

    def wanted_speed(self) -> Speed:
        """The speed it asks for: `stop` for every way of saying stop."""
        return (
            "stop"
            if self.kind == "stop" or (self.kind == "action" and self.action == "stop")
            else self.speed
        )

    def expires_s(self) -> float:
        """When its effect ends: `valid_until_s`, and for a stop no later than `STOP_VALID_S` after
        the observation.
        """
        if self.wanted_speed() == "stop":
            return min(self.valid_until_s, self.stamp_s + STOP_VALID_S)
        return self.valid_until_s

    def to_json(self) -> str:
        """One line of JSON with every field."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Directive":
        """Reads what `to_json` wrote.

        Raises:
            UserError: Not JSON, an unknown or missing field, or a bad value.
        """
        record = json_object(text, "directive", "give what to_json wrote")
        known = {f.name for f in fields(cls)}
        for name in record:
            if name not in known:
                raise UserError(
                    f"directive has an unknown field '{name[:40]}': known are "
                    f"{', '.join(sorted(known))}"
                )
        for name in ("stamp_s", "valid_until_s", "kind"):
            if name not in record:
                raise UserError(f"directive field '{name}' is missing: give it")
        if isinstance(record.get("point"), list):  # JSON knows no tuples
            record["point"] = tuple(record["point"])
        return cls(**record)


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and not a truth value."""
    try:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
    except OverflowError:  # an integer too large for a float
        return False


def _is_place(point: Any) -> bool:
    return (
        isinstance(point, tuple)
        and len(point) == 2
        and all(is_number(v) and abs(v) <= SUBGOAL_FAR_M for v in point)
    )


def make(stamp_s: float, kind: Kind, **rest: Any) -> Directive:
    """A directive with the usual validity: `STOP_VALID_S` for a stop, `SUBGOAL_VALID_S` for a
    subgoal, `ADVICE_VALID_S` for the others.
    """
    valid_s = SUBGOAL_VALID_S if kind == "subgoal" else ADVICE_VALID_S
    directive = Directive(stamp_s, stamp_s + valid_s, kind, **rest)
    return replace(directive, valid_until_s=directive.expires_s())
