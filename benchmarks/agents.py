"""Who can drive in the benchmark: a policy, alone or with a planner beside it; bounds of what can
be driven; and baselines that anything must beat.
"""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.benchmarks.runner import AnyAgent
from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.core.observation import goal_token, to_robot, wrapped
from s2e.envs.expert.drive import ExpertAgent, RuleAgent, route, still, straight
from s2e.envs.geometry.ground import ground_height_at
from s2e.envs.geometry.scene import Episode
from s2e.envs.rays import RayAgent, load_rays
from s2e.envs.worlds import Worlds
from s2e.planner import (
    Fusion,
    Guide,
    OraclePlanner,
    PlannerView,
    Runtime,
    Timing,
    declared_latency,
    parse_planner,
)
from s2e.planner.fusion import WEIGHT, FusionMode
from s2e.planner.guide import TRAIL_S
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


@dataclass(frozen=True)
class Planning:
    """Who advises a policy, and how: what `--planner`, `--planner-weight`, `--planner-fusion`,
    `--planner-latency` and `--planner-record` say.
    """

    planner: str = "none"
    weight: float = WEIGHT
    fusion: FusionMode = "score"
    latency_s: float | None = None
    """Declared; None is `declared_latency`."""
    record: str = ""
    """The file that answers are kept in."""


PATIENCE_S = 120.0
"""Of wall time until a question has failed: simulated time waits for answers."""
PAST_IMAGES = 2


class PlannerAdvice:
    """A planner that re-ranks what robots could do, slows them and names places to reach first: an
    agent's `Advisor`. It is asked about all worlds at once.

    Args:
        planning: who advises, and how. worlds: which. policy: of the agent. episodes: the worlds',
            for their names and errands; without them there are none.
    """

    def __init__(
        self,
        planning: Planning,
        worlds: Worlds,
        policy: PolicyConfig,
        episodes: Sequence[Episode] = (),
    ):
        thinker = parse_planner(planning.planner, planning.record)
        if thinker is None:
            raise ValueError("a planner that is none advises nobody")
        latency_s = planning.latency_s
        if latency_s is None:
            latency_s = declared_latency(planning.planner)
        self.worlds, self.policy, self.episodes = worlds, policy, episodes
        self.thinker = thinker
        self.runtime = Runtime(
            thinker, worlds.count, Timing(latency_s=latency_s, deadline_s=PATIENCE_S)
        )
        self.guides = [Guide(Fusion(planning.fusion, planning.weight)) for _ in range(worlds.count)]
        # A second apart: (seconds, pose, image), oldest first
        self.past: list[deque] = [deque(maxlen=TRAIL_S) for _ in range(worlds.count)]

    def begin(self, worlds: np.ndarray) -> None:
        """See `Advisor`."""
        for world in map(int, worlds):
            self.runtime.begin(world)
            self.guides[world].begin()
            self.past[world].clear()

    def goals(self, goal: np.ndarray, worlds: np.ndarray) -> np.ndarray:
        """See `Advisor`."""
        w, changed = self.worlds, goal
        for row, world in enumerate(map(int, worlds)):
            now_s, pose = float(w.clock[world]), w.pose[world]
            self._listen(world, now_s)
            goal_xy = to_robot(w.goal[world], pose)
            place = self.guides[world].subgoal(now_s, pose, goal_xy)
            if place is not None:
                changed = goal.copy() if changed is goal else changed
                changed[row] = goal_token(place[None], self.policy.goal_clip_m)[0]
        return changed

    def __call__(
        self, rgb: np.ndarray, candidates: Candidates, worlds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Advisor`."""
        views = [
            self._view(int(world), rgb[row], candidates.trajectories[row], scores)
            for row, (world, scores) in enumerate(zip(worlds, candidates.log_scores, strict=True))
        ]
        asking = []
        for world, view in zip(map(int, worlds), views, strict=True):
            self.guides[world].see(view)
            if self.runtime.due(world, view):
                asking.append((world, self._whole(world, view)))
            self._remember(world, view)
        self.runtime.ask([world for world, _ in asking], [view for _, view in asking])
        scores, slower = candidates.log_scores.copy(), np.ones(len(worlds))
        for row, (world, view) in enumerate(zip(map(int, worlds), views, strict=True)):
            self._listen(world, view.now_s)
            scores[row], slower[row] = self.guides[world].apply(view)
        return scores, slower

    def _listen(self, world: int, now_s: float) -> None:
        said = self.runtime.news(world, now_s)
        if said is not None:
            self.guides[world].hear(said)

    def _view(
        self, world: int, image: np.ndarray, candidates: np.ndarray, scores: np.ndarray
    ) -> PlannerView:
        """What the fusion looks at in every step."""
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
            step_s=self.policy.waypoint_dt_s,
        )

    def _whole(self, world: int, view: PlannerView) -> PlannerView:
        """A view with all else that a planner may ask for."""
        past, episode = self.past[world], self.episodes[world] if self.episodes else None
        poses = np.array([pose for _, pose, _ in past]).reshape(-1, 3)
        there = to_robot(poses[:, :2], view.pose)
        about = [_direction(view.goal_xy_robot), episode.task if episode else ""]
        way = np.zeros((0, 2))
        if isinstance(self.thinker, OraclePlanner):
            way = to_robot(route(self.worlds, world), view.pose)
        return dataclasses.replace(
            view,
            image=None if view.image is None else view.image.copy(),
            camera=self._camera(world),
            past_images=tuple(image for *_, image in past if image is not None)[-PAST_IMAGES:],
            trail=np.concatenate([there, wrapped(poses[:, 2:] - view.pose[2])], 1),
            route=way,
            task=" ".join(filter(None, about)),
            rule=episode.rule if episode else "",
            episode=episode.id if episode else "",
        )

    def _camera(self, world: int) -> np.ndarray:
        """(3, 4), see `PlannerView`."""
        w = self.worlds
        seen = w.views(np.array([world]))
        x, y, yaw = w.pose[world]
        height = ground_height_at(w.stage.ground, seen["scene_id"], w.pose[[world], :2])[0]
        fx, fy, cx, cy = seen["intrinsics"][0]
        lens = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        c, s = np.cos(yaw), np.sin(yaw)
        turned = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        moved = np.array([x, y, height]) - seen["positions"][0]
        return lens @ seen["rotations"][0] @ np.column_stack([turned, moved])

    def _remember(self, world: int, view: PlannerView) -> None:
        past = self.past[world]
        if past and view.now_s < past[-1][0] + 1.0 - 1e-6:
            return
        if len(past) >= PAST_IMAGES:  # older images are not shown
            past[-PAST_IMAGES] = (*past[-PAST_IMAGES][:2], None)
        past.append((view.now_s, view.pose, None if view.image is None else view.image.copy()))

    def asked(self, world: int) -> dict:
        """What a record keeps of a world's planner: counts, and how old answers were when they
        counted, in simulated seconds.
        """
        waits = [round(v, 3) for v in self.runtime.waits_s(world)]
        return self.runtime.counts(world) | {"latencies_s": waits}

    def close(self) -> None:
        """Stops the planner."""
        self.runtime.close()


def _direction(goal_xy: np.ndarray) -> str:
    """Where the goal is, in words."""
    degrees = math.degrees(math.atan2(goal_xy[1], goal_xy[0]))
    side = "straight ahead" if abs(degrees) < 10 else "left" if degrees > 0 else "right"
    off = "" if abs(degrees) < 10 else f"{abs(degrees):.0f} degrees to the "
    return f"The goal is {math.hypot(*goal_xy):.0f} m away, {off}{side}."


def advice_of(
    planning: Planning, worlds: Worlds, policy: PolicyConfig, episodes: Sequence[Episode] = ()
) -> PlannerAdvice | None:
    """The advice of a planner in some worlds to agents of such a policy; None where there is none
    or it does not count.
    """
    bare = planning.planner == "none" or planning.weight == 0
    return None if bare else PlannerAdvice(planning, worlds, policy, episodes)


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
