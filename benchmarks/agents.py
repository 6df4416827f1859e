"""Who can drive in the benchmark: a policy, alone or with a planner beside it; bounds of what can
be driven; and baselines that anything must beat.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.benchmarks.runner import AnyAgent
from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.core.observation import to_robot
from s2e.envs.expert.drive import ExpertAgent, RuleAgent, still, straight
from s2e.envs.rays import RayAgent, load_rays
from s2e.envs.worlds import Worlds
from s2e.planner import Guide, PlannerView, parse_planner
from s2e.policy.agent import Agent, Candidates
from s2e.policy.checkpoint import DAMAGED, find_checkpoint
from s2e.policy.config import PolicyConfig

# worlds that the network sees at once: an episode's outcome must not depend on how many run beside
# it
CHUNK = 16


@dataclass(frozen=True)
class Baseline:
    """An agent without a camera: it reads the worlds themselves."""

    about: str
    """What it knows, for the report."""
    agent: Callable[[Worlds, bool], AnyAgent]
    """Makes it for worlds. The last says whether a policy is helped out of jams."""
    files: Callable[[], tuple[Path, ...]] = tuple
    """Its weights: other contents are another question."""
    check: Callable[[str], object] = str
    """Refuses a robot that it cannot drive, by its name."""


def rays(policy: str) -> Baseline:
    """The ray policy that a name or a path stands for."""
    return Baseline(
        "sees exact distances inside the camera's field of view, and no image: what can be driven "
        "through that camera",
        lambda worlds, recovery: RayAgent(
            worlds, load_rays(policy, worlds.config.robots), recovery
        ),
        files=lambda: tuple(
            find_checkpoint(policy) / name for name in ("config.json", "model.safetensors")
        ),
        check=lambda robot: load_rays(policy, (robot,)),
    )


BASELINES = {
    "zero": Baseline("stands still", lambda worlds, _: RuleAgent(worlds, still)),
    "straight": Baseline(
        "drives straight at the goal at 1 m/s and sees nothing",
        lambda worlds, _: RuleAgent(worlds, straight),
    ),
    "rays": rays("rays"),
    "expert": Baseline("sees the whole map and everybody", lambda worlds, _: ExpertAgent(worlds)),
}


def baseline_of(policy: str) -> Baseline | None:
    """The bound or baseline that a name, or a ray policy's run or checkpoint, stands for; None for
    learned policies.
    """
    if policy in BASELINES:
        return BASELINES[policy]
    try:
        config = read_json(find_checkpoint(policy) / "config.json", DAMAGED)
    except UserError:
        return None  # whoever loads it says why
    return rays(policy) if "rays" in config else None


class PlannerAdvice:
    """A planner in each world that re-ranks what its robot could do, and slows it: an agent's
    `Advisor`.
    """

    def __init__(self, planner: str, weight: float, worlds: Worlds, policy: PolicyConfig):
        self.worlds, self.step_s = worlds, policy.waypoint_dt_s
        self.planners = [parse_planner(planner) for _ in range(worlds.count)]
        self.guides = [Guide(p, weight) for p in self.planners]

    def __call__(
        self, rgb: np.ndarray, candidates: Candidates, worlds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Advisor`."""
        scores, slower = candidates.log_scores.copy(), np.ones(len(worlds))
        for row, world in enumerate(worlds):
            view = self._view(int(world), rgb[row], candidates.trajectories[row], scores[row])
            scores[row], slower[row] = self.guides[world].apply(view)
        return scores, slower

    def _view(
        self, world: int, image: np.ndarray, candidates: np.ndarray, scores: np.ndarray
    ) -> PlannerView:
        w = self.worlds
        shown = w.people.active[world]
        c, s = np.cos(w.pose[world, 2]), np.sin(w.pose[world, 2])
        velocity = w.people.velocity[world][shown] @ np.array([[c, -s], [s, c]])
        people = np.concatenate(
            [to_robot(w.people.position[world][shown], w.pose[world]), velocity], 1
        )
        return PlannerView(
            now_s=float(w.clock[world]),
            pose=w.pose[world].copy(),
            speed=float(w.velocity[world, 0]),
            goal_xy_robot=to_robot(w.goal[world], w.pose[world]),
            people=people,
            candidates=candidates,
            log_scores=scores,
            image=image,
            step_s=self.step_s,
        )

    def asked(self, world: int) -> dict:
        """What a record keeps of a world's planner: counts, and latencies in seconds."""
        planner = self.planners[world]
        if planner is None:
            return {}
        said = planner.statistics()
        return said.counts | {"latencies_s": [round(v, 3) for v in said.latencies_s]}

    def close(self) -> None:
        """Stops the planners."""
        for planner in self.planners:
            if planner is not None:
                planner.close()


def advice_of(
    planner: str, weight: float, worlds: Worlds, policy: PolicyConfig
) -> PlannerAdvice | None:
    """The advice of `--planner` in some worlds to agents of such a policy; None where there is none
    or it does not count.
    """
    bare = planner == "none" or weight == 0
    return None if bare else PlannerAdvice(planner, weight, worlds, policy)


def make_agent(
    policy: str,
    worlds: Worlds,
    device: str = "cpu",
    recovery: bool = False,
    advice: PlannerAdvice | None = None,
) -> AnyAgent:
    """Who drives worlds under a name of `BASELINES`, or by the weights of a run, a checkpoint or a
    shipped policy.

    Args:
        policy: who. worlds: which. device: torch device of a learned policy. recovery: policies are
            helped out of jams. advice: to a learned policy.

    Raises:
        UserError: there is no such policy, or it cannot drive these robots.
    """
    baseline = baseline_of(policy)
    if baseline is not None:
        return baseline.agent(worlds, recovery)
    return Agent.load(policy, worlds.count, device, chunk=CHUNK, recovery=recovery, advisor=advice)
