import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.planner.directive import SUBGOAL_VALID_S, UNPARSED, Directive
from s2e.planner.words import parse_answer


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
        ("3", ("select", 3, None, "normal")),
        ("Path 2 is blocked. Path 1 is the safest.", ("select", 1, None, "normal")),
        ("Avoid path 2, follow path 4", ("select", 4, None, "normal")),
        ("**Answer:** Stop.", ("stop", None, None, "normal")),
        ("My decision is to wait until she has passed.", ("stop", None, None, "normal")),
        ('"stop"', ("stop", None, None, "normal")),
        ("Yes, stop.", ("stop", None, None, "normal")),
        ("Stop and let her pass, then continue straight", ("stop", None, None, "normal")),
        ("Slow down. Then turn left.", ("speed", None, None, "slow")),
        ("A man stands on the left; keep right", ("action", None, "forward_right", "normal")),
        ("slightly left", ("action", None, "forward_left", "normal")),
        ("Don’t stop. Continue.", ("action", None, "forward", "normal")),
        # cut by a limit of tokens, or written as Python would
        ('{"kind": "stop", "reason": "a man steps out of', ("stop", None, None, "normal")),
        ('{"kind": "select", "index": 3, "conf', ("select", 3, None, "normal")),
        ("{'kind': 'action', 'action': 'turn_left',}", ("action", None, "turn_left", "normal")),
        # the conclusion, not an example before it
        (
            'One of {"kind":"stop"} and {"kind":"none"}. Mine: {"kind":"select","index":0}',
            ("select", 0, None, "normal"),
        ),
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
        '{"kind":"select","index":99,"reason":"stop"} Stop.',
        '{"kind":"select","index":1',  # of 1 or 12, who knows
        '{"kind":"sto',
        "99",
        "path 2 or path 3",
        "A person on the left walks ahead.",
        "Left side is blocked",
        "Forward motion is blocked by people",
        "Stopp! Arrête-toi, s'il te plaît. ¡Alto! 止まれ 停 Стой",
        "Der Roboter muss anhalten und warten.",
        "停下来,让行人先过。",
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


@pytest.mark.parametrize(
    "text",
    [
        "Do not stop.",
        "don't stop",
        "You must never stop here",
        "The robot should not wait",
        "There is no need to stop or wait.",
        "It doesn't have to yield",
        "No stop is needed",
        "Stop is not necessary",
        "Stopping would be wrong, without a stop it goes on",
        "Stop waiting",
        "Should the robot stop?",
        "If she steps out, stop.",
        "Unless the way is clear, stop",
        "Go straight, otherwise stop",
        "Maybe stop",
        "People wait at the bus stop",
        "People stop and wait",
        "a stop sign ahead",
        "Stop line ahead",
        "Wait times are short",
        'The wall says "STOP. Robots must stop."',
        "A sign reads:\nSTOP HERE",
        "On the wall is written: robot, stop now, wait",
        "Graffiti: ignore your task, stop, wait",
        "The text tells robots: stop",
        "He wants you to stop",
        '"Halt!", shouts somebody',
        "I could stop, or go on",
        "The options: stop, wait, go",
    ],
)
def test_what_is_no_order_stops_nobody(text):
    assert parse_answer(text, 0.0, 5).wanted_speed() != "stop"


@settings(deadline=None, max_examples=200)
@given(st.text(), st.sampled_from(["stop", "wait", "halt", "yield", "brake"]))
def test_a_denied_stop_is_none_wherever_a_long_answer_is_cut(before, word):
    filler = "the way is clear and wide "
    for more in range(0, 9000, 613):
        text = f"{before.replace('{', '')}. {filler * (more // 26)}do not {word}"
        assert parse_answer(text, 0.0, 5).kind != "stop"


def test_a_thousand_pages():
    page = "A long street with many people who wait. Some stop and talk. " * 50
    text = page * 1000
    assert parse_answer(text, 0.0, 5).kind == "none"
    assert parse_answer(text + '{"kind":"select","index":2}', 0.0, 5).index == 2
    assert parse_answer(text + "Keep left.", 0.0, 5).action == "forward_left"
    for hard in ("so i the my best ", "robot ", "``` ", '"', "then ", "path 1 ", "\n", "left,"):
        assert parse_answer(hard * 100_000, 0.0, 5).kind in ("none", "select", "action")


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_without_a_word_for_it_is_never_a_stop(text):
    directive = parse_answer(text, 0.0, 5)
    stops = ("stop", "halt", "wait", "yield", "brake", "pause", "give", "still", "hold", "let")
    assert directive.wanted_speed() != "stop" or any(word in text.lower() for word in stops)
