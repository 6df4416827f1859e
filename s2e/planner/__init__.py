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
from s2e.planner.openai_client import OpenAIPlanner
from s2e.planner.oracle import OraclePlanner
from s2e.planner.rules import RulesPlanner
from s2e.planner.runtime import Runtime, Timing
from s2e.planner.scene import PlannerView, Statistics, Thinker
from s2e.planner.words import parse_answer

__all__ = [
    "Directive",
    "Fusion",
    "Guide",
    "MajorityPlanner",
    "OpenAIPlanner",
    "OraclePlanner",
    "PlannerView",
    "RandomPlanner",
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


def parse_planner(spec: str) -> Thinker | None:
    """Makes the planner that the text of `--planner` names.

    Args:
        spec: `none`, `rules`, `oracle:SECONDS`, `random`, `majority`, `majority:ACTION`, or
            `openai:URL#MODEL`.

    Returns:
        The planner; None for `none`.

    Raises:
        UserError: The text is none of these.
    """
    name, _, rest = spec.partition(":")
    if spec == "none":
        return None
    if spec == "rules":
        return RulesPlanner()
    if spec == "random":
        return RandomPlanner()
    if spec == "majority":
        return MajorityPlanner()
    if name == "majority" and rest in get_args(Action):
        return MajorityPlanner(rest)
    if name == "oracle":
        return OraclePlanner(_seconds(spec, rest))
    if name == "openai" and "#" in rest:
        url, _, model = rest.partition("#")
        return OpenAIPlanner(url, model)
    raise UserError(
        f"--planner {spec[:80]!r} is unknown: give none, rules, oracle:SECONDS, random, majority "
        "or openai:http://HOST:PORT/v1#MODEL"
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
