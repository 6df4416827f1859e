"""The planner's door: slow advice from rules or a vision-language model, fused into the policy's
scores.
"""

from s2e.core.errors import UserError
from s2e.planner.directive import Directive, parse_answer
from s2e.planner.fusion import fuse, move_trajectory
from s2e.planner.guide import Guide
from s2e.planner.openai_client import OpenAIPlanner
from s2e.planner.rules import RulesPlanner
from s2e.planner.scene import Planner, PlannerView, Statistics, Thinker

__all__ = [
    "Directive",
    "Guide",
    "OpenAIPlanner",
    "Planner",
    "PlannerView",
    "RulesPlanner",
    "Statistics",
    "Thinker",
    "fuse",
    "move_trajectory",
    "parse_answer",
    "parse_planner",
]


def parse_planner(spec: str) -> Planner | None:
    """Makes one world's planner from the text of `--planner`.

    Args:
        spec: `none`, `rules`, or `openai:URL#MODEL`.

    Returns:
        The planner; None for `none`.

    Raises:
        UserError: The text is none of these.
    """
    if spec == "none":
        return None
    if spec == "rules":
        return RulesPlanner()
    if spec.startswith("openai:") and "#" in spec:
        url, _, model = spec.removeprefix("openai:").partition("#")
        return OpenAIPlanner(url, model)
    raise UserError(
        f"--planner {spec[:80]!r} is unknown: give none, rules or openai:http://HOST:PORT/v1#MODEL"
    )
