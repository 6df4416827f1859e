import json

import pytest

from s2e.core.errors import UserError
from s2e.planner.directive import (
    ADVICE_VALID_S,
    STOP_VALID_S,
    Directive,
    make,
)


@pytest.mark.parametrize(
    "directive",
    [
        make(1.5, "select", index=3, confidence=0.25, reason='a "quoted" reason'),
        make(0.0, "action", action="turn_left", speed="slow"),
        make(2.0, "stop"),
        make(2.0, "subgoal", point=(3.0, -1.5)),
        make(2.0, "none"),
    ],
)
def test_json_round_trip(directive):
    assert Directive.from_json(directive.to_json()) == directive


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "fly"}, "kind"),
        ({"kind": ["stop"]}, "kind"),
        ({"speed": "fast"}, "speed"),
        ({"action": "back"}, "action"),
        ({"index": -1}, "index"),
        ({"index": 1.0}, "index"),
        ({"index": True}, "index"),
        ({"kind": "select"}, "index"),
        ({"kind": "action"}, "action"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": "1"}, "confidence"),
        ({"stamp_s": float("nan")}, "stamp_s"),
        ({"stamp_s": 10**400}, "stamp_s"),
        ({"valid_until_s": -1.0}, "valid_until_s"),
        ({"kind": "subgoal", "speed": "normal"}, "point"),
        ({"kind": "subgoal", "point": [1.0, 2.0]}, "speed"),
        ({"point": [1.0]}, "point"),
        ({"point": [1.0, float("inf")]}, "point"),
        ({"point": [1.0, 31.0]}, "point"),
        ({"point": [True, 1.0]}, "point"),
        ({"point": "ahead"}, "point"),
        ({"reason": 3}, "reason"),
        ({"target": 1}, "target"),
    ],
)
def test_from_json_refuses_and_names_the_field(change, field):
    record = json.loads(make(0.0, "speed", speed="slow").to_json()) | change
    with pytest.raises(UserError, match=field):
        Directive.from_json(json.dumps(record))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, '{"kind": "stop"}'])
def test_from_json_refuses_what_is_no_directive(text):
    with pytest.raises(UserError):
        Directive.from_json(text)


def test_validity():
    assert make(5.0, "stop").valid_until_s == 5.0 + STOP_VALID_S
    assert make(5.0, "select", index=0, speed="stop").valid_until_s == 5.0 + STOP_VALID_S
    assert make(5.0, "select", index=0).valid_until_s == 5.0 + ADVICE_VALID_S
    assert Directive(5.0, 500.0, "stop").expires_s() == 5.0 + STOP_VALID_S
    assert Directive(5.0, 6.0, "action", action="stop").expires_s() == 6.0
