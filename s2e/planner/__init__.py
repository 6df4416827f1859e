"""The planner's door: slow advice from rules or a vision-language model, fused into the policy's
scores.
"""

import math
from typing import get_args

from s2e.core.errors import UserError
from s2e.planner.chance import MajorityPlanner, RandomPlanner
from s2e.planner.directive import Action, Directive
from s2e.planner.fusion import Fusion
from s2e.planner.guide import Guide
from s2e.planner.local import LocalPlanner
from s2e.planner.openai_client import OpenAIPlanner
from s2e.planner.oracle import OraclePlanner
from s2e.planner.replay import Recording, ReplayPlanner
from s2e.planner.rules import RulesPlanner
from s2e.planner.runtime import Runtime, Timing
from s2e.planner.scene import PlannerView, Statistics, Thinker
from s2e.planner.words import parse_answer

__all__ = [
    "Directive",
    "Fusion",
    "Guide",
    "LocalPlanner",
    "MajorityPlanner",
    "OpenAIPlanner",
    "OraclePlanner",
    "PlannerView",
    "RandomPlanner",
    "Recording",
    "ReplayPlanner",
    "RulesPlanner",
    "Runtime",
    "Statistics",
    "Thinker",
    "Timing",
    "declared_latency",
    "parse_answer",
    "parse_planner",
]

MODEL_LATENCY_S = 2.0
"""What is declared for a model where nothing is."""
LONGEST_S = 20.0


def parse_planner(spec: str, record: str = "") -> Thinker | None:
    """Makes the planner that the text of `--planner` names.

    Args:
        spec: `none`, `rules`, `oracle:SECONDS`, `random`, `majority`, `majority:ACTION`,
            `openai:URL#MODEL`, `local:FOLDER`, or `replay:FILE` (`#MODEL` where it holds several).
        record: a file that a model's answers are added to; "" is none.

    Returns:
        The planner; None for `none`.

    Raises:
        UserError: The text is none of these, what it names cannot be used, or there is nothing to
            record.
    """
    name, _, rest = spec.partition(":")
    if record and name not in ("openai", "local"):
        raise UserError(
            f"--planner-record keeps what a model says, and --planner {spec[:80]} asks none; leave "
            "it out, or give openai:URL#MODEL or local:FOLDER"
        )
    if spec == "none":
        return None
    if spec == "rules":
        return RulesPlanner()
    if spec == "random":
        return RandomPlanner()
    if spec == "majority":
        return MajorityPlanner()
    for action in get_args(Action):
        if spec == f"majority:{action}":
            return MajorityPlanner(action)
    if name == "oracle":
        return OraclePlanner(_seconds(spec, rest))
    if name == "openai" and "#" in rest:
        url, _, model = rest.partition("#")
        return OpenAIPlanner(url, model, recording=Recording(record) if record else None)
    if name == "replay" and rest:
        return ReplayPlanner(rest)
    if name == "local" and rest:
        return LocalPlanner(rest, recording=Recording(record) if record else None)
    raise UserError(
        f"--planner {spec[:80]!r} is unknown: give none, rules, oracle:SECONDS, random, majority, "
        "openai:http://HOST:PORT/v1#MODEL, local:FOLDER or replay:FILE"
    )


def declared_latency(spec: str) -> float:
    """How late the answers of a planner are in simulated time, seconds, where nobody says."""
    name, _, rest = spec.partition(":")
    if name == "oracle":
        return _seconds(spec, rest)
    return 0.0 if name in ("none", "rules", "random", "majority") else MODEL_LATENCY_S


def _seconds(spec: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0.0 <= seconds <= LONGEST_S:
        return seconds
    raise UserError(f"--planner {spec[:80]!r}: give oracle:SECONDS, 0 to {LONGEST_S:g}")
