import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.planner.directive import (
    ADVICE_VALID_S,
    STOP_VALID_S,
    SUBGOAL_VALID_S,
    UNPARSED,
    Directive,
    make,
    parse_answer,
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"kind":"select","index":2}', ("select", 2, None, "normal")),
        ('{"kind":"select","index":2,"speed":"slow"}', ("select", 2, None, "slow")),
        (
            'Sure!\n```json\n{"kind":"action","action":"turn_right"}\n```\nBye',
            ("action", None, "turn_right", "normal"),
        ),
        ('I see {a person}. {"index": 1}', ("select", 1, None, "normal")),
        ('<think>maybe {"kind":"stop"}</think>{"kind":"none"}', ("none", None, None, "normal")),
        ('{"kind":"none","reason":"no need to stop"}', ("none", None, None, "normal")),
        ('{"kind":"stop","index":7}', ("stop", None, None, "normal")),
        ('{"kind":"speed","speed":"slow"}', ("speed", None, None, "slow")),
        ("Please stop and let her pass.", ("stop", None, None, "normal")),
        ("The robot should yield", ("stop", None, None, "normal")),
        ("Do not stop, go straight on", ("action", None, "forward", "normal")),
        ("No need to wait; bear left", ("action", None, "forward_left", "normal")),
        ("turn right now", ("action", None, "turn_right", "normal")),
        ("slow down a little", ("speed", None, None, "slow")),
        ("Carefully keep to the right", ("action", None, "forward_right", "slow")),
        ("I would take trajectory 3", ("select", 3, None, "normal")),
    ],
)
def test_parse_answer(text, expected):
    directive = parse_answer(text, 4.0, 5)
    assert (directive.kind, directive.index, directive.action, directive.speed) == expected
    assert directive.stamp_s == 4.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Lorem ipsum dolor sit amet",
        "left or right, who knows",
        '{"kind":"select","index":5}',
        '{"kind":"select","index":"2"}',
        '{"kind":"launch"}',
        '{"speed":"warp"}',
        "take trajectory 99",
        "{" * 200_000,
        '{"a":' * 200_000,
        '{"kind":"select","index":' + "9" * 10_000 + "}",
    ],
)
def test_what_cannot_be_read_is_no_advice(text):
    directive = parse_answer(text, 0.0, 5)
    assert directive.kind == "none" and directive.reason == UNPARSED


words = st.sampled_from(
    [
        "stop",
        "left",
        "right",
        "{",
        "}",
        '"kind"',
        ":",
        '"select"',
        '"index"',
        "3",
        "1e999",
        "NaN",
        "</think>",
        "path 7",
    ]
)


names = st.sampled_from(["kind", "index", "point", "speed", "action", "confidence", "reason"])
leaves = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text()
    | st.sampled_from(["stop", "select", "subgoal"])
)
records = st.recursive(leaves, lambda x: st.lists(x) | st.dictionaries(names, x)).map(json.dumps)


@settings(deadline=None, max_examples=300)
@given(st.text() | st.lists(words).map(" ".join) | records, st.integers(0, 20))
def test_parse_answer_never_raises(text, candidates):
    directive = parse_answer(text, 1.0, candidates)
    assert directive.index is None or directive.index < candidates
    assert Directive.from_json(directive.to_json()) == directive
    directive.to_json().encode()
    directive.reason.encode("utf-8")


def test_a_subgoal_is_read_and_one_that_is_no_place_is_not():
    said = parse_answer('{"kind":"subgoal","point":[4, -2.5],"speed":"slow"}', 1.0, 3)
    assert (said.kind, said.point, said.speed) == ("subgoal", (4, -2.5), "normal")
    assert said.valid_until_s == 1.0 + SUBGOAL_VALID_S
    assert parse_answer('{"point":[4, 0]}', 1.0, 3).kind == "subgoal"
    for point in ("[400, 0]", "[1]", "[1, 2, 3]", '"there"', "[NaN, 0]", "null", "[[1], 2]"):
        said = parse_answer(f'{{"kind":"subgoal","point":{point}}}', 1.0, 3)
        assert said.kind == "none" and said.reason == UNPARSED


def test_validity():
    assert make(5.0, "stop").valid_until_s == 5.0 + STOP_VALID_S
    assert make(5.0, "select", index=0, speed="stop").valid_until_s == 5.0 + STOP_VALID_S
    assert make(5.0, "select", index=0).valid_until_s == 5.0 + ADVICE_VALID_S
    assert Directive(5.0, 500.0, "stop").expires_s() == 5.0 + STOP_VALID_S
    assert Directive(5.0, 6.0, "action", action="stop").expires_s() == 6.0
