"""The closed loop of the benchmark, without a command around it: worlds, an agent and episodes in,
records out.

    from s2e.benchmarks.agents import make_agent
    from s2e.benchmarks.runner import episode_worlds, run

    scene, episodes = load_scene("market"), read_episodes(episodes_file("market"))[:4]
    worlds = episode_worlds(scene, episodes)
    records = list(run(worlds, make_agent("laptop-experienced", worlds), episodes))

Contacts are counted and block the robot, they do not end an episode.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from s2e.benchmarks.metrics import episode_metrics
from s2e.benchmarks.social import Watched, judge, was_right
from s2e.envs.expert.drive import remaining_route
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.scenes.episodes import ListedEpisodes
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.worlds import Worlds, WorldsConfig
from s2e.policy.config import PRESETS, PolicyConfig

Observation = dict[str, np.ndarray]
"""What `Worlds` give: `rgb` (N, H, W, 3) uint8, `goal` (N, 3), `ego` (N, 3), `robot` (N, 6)."""


class AnyAgent(Protocol):
    """Whatever drives N worlds: a policy, a bound, a baseline, a person. Who looks at the worlds
    themselves is made with them.
    """

    def reset(self, worlds: np.ndarray) -> None:
        """Some worlds (V,) begin an episode."""
        ...

    def act(self, observation: Observation, worlds: np.ndarray, /) -> np.ndarray:
        """(N, 2) metres ahead and left where each robot should be in a second; only those of
        `worlds` (V,) still drive.
        """
        ...


def episode_worlds(
    scene: Scene,
    episodes: Sequence[Episode],
    policy: PolicyConfig = PRESETS["laptop"],
    draw: bool = True,
    **more: Any,
) -> Worlds:
    """A world for each episode, with its obstacles and its people.

    Args:
        scene: without the obstacles. episodes: one at least. policy: who needs to see what; see
            `WorldsConfig.for_policy`. draw: whether there are images.
        more: fields of `WorldsConfig`: robot, physics, splat_backend.
    """
    people = max(1, *(len(e.walkers) for e in episodes))
    config = WorldsConfig.for_policy(policy, people=people, collision="counts", **more)
    scenes = [place_obstacles(scene, e) for e in episodes]
    return Worlds(scenes, config, len(episodes), ListedEpisodes(episodes), draw=draw)


def run(
    worlds: Worlds,
    agent: AnyAgent,
    episodes: Sequence[Episode],
    watch: Callable[[Observation, np.ndarray], object] = lambda observation, live: None,
) -> Iterator[dict[str, Any]]:
    """Runs episodes side by side, one world each; yields the record of each when it ends.

    Args:
        worlds: of `episode_worlds`. agent: who drives them. episodes: theirs.
        watch: is called before every action with what is observed, and with the worlds (V,) that
            still run.
    """
    observation = worlds.reset()
    agent.reset(np.arange(worlds.count))
    routes = [remaining_route(worlds, w) for w in range(worlds.count)]
    traces = [Trace([e.start[:2]], watched=_watch(worlds, w, e)) for w, e in enumerate(episodes)]
    while worlds.live.any():
        live = np.flatnonzero(worlds.live)
        watch(observation, live)
        observation, *_ = worlds.step(agent.act(observation, live))
        ended = {int(w): row for row, w in enumerate(worlds.last["world"])}
        for w in map(int, live):
            traces[w].step(worlds, w)
            if w in ended:
                route = routes[w], remaining_route(worlds, w)
                yield finish(episodes[w], worlds.last, ended[w], route, traces[w])


@dataclass
class Trace:
    """What an episode leaves while it runs."""

    path: list[tuple[float, float]]
    """Where the robot was at every action."""
    contacts: list[tuple[float, str]] = field(default_factory=list)
    """When each contact began, and what it was with: "static" or "person"."""
    touched_s: float | None = None
    """When the robot last touched anything."""
    contact_steps: int = 0
    watched: Watched | None = None
    """What the suite `social` judges."""

    def step(self, worlds: Worlds, world: int) -> None:
        """Reads a world after an action."""
        now_s = round(float(worlds.clock[world]), 1)
        self.path.append(tuple(np.round(worlds.pose[world, :2], 3)))
        fresh = int(worlds.contacts[world]) - len(self.contacts)
        self.contacts += fresh * [(now_s, "person" if worlds.with_person[world] else "static")]
        if worlds.contact_steps[world] > self.contact_steps:
            self.contact_steps, self.touched_s = int(worlds.contact_steps[world]), now_s
        if self.watched:
            self.watched.add(worlds.pose[world], worlds.people.position[world])


def _watch(worlds: Worlds, world: int, episode: Episode) -> Watched | None:
    """The first sample of an episode that has a truth to judge by."""
    if not episode.truth.kind:
        return None
    fleet = worlds.fleet
    watched = Watched(
        worlds.config.step_s, fleet.discs[world].copy(), float(fleet.disc_radius[world])
    )
    watched.add(worlds.pose[world], worlds.people.position[world])
    return watched


def finish(
    episode: Episode,
    last: dict[str, np.ndarray],
    row: int,
    route: tuple[float, float],
    trace: Trace,
) -> dict:
    """The record of an episode that has just ended: `row` of `last`; `route` is what it was at the
    start and what is left, metres.
    """
    success, steps = bool(last["success"][row]), int(last["steps"][row])
    numbers = episode_metrics(
        success=success,
        remaining_m=route[1],
        route_m=route[0],
        path_m=float(last["path_m"][row]),
        steps=steps,
        contact_steps=int(last["contact_steps"][row]),
        contacts=len(trace.contacts),
    )
    social: dict[str, Any] = {}
    if trace.watched:
        judged = judge(episode, trace.watched)
        right = {"right": was_right(judged, success, trace.contacts)}
        social = {"social": {"kind": judged["kind"], **right, **judged}}
    return {
        "id": episode.id,
        "setting": episode.setting,
        **numbers,
        "steps": steps,
        "time_s": round(float(last["time_s"][row]), 2),
        "path_m": round(float(last["path_m"][row]), 3),
        "route_m": round(route[0], 3),
        "end": "goal" if success else "timeout",
        "contacts": [list(c) for c in trace.contacts],
        "touched_s": trace.touched_s,
        "path": [[float(x), float(y)] for x, y in trace.path],
        "start": list(episode.start),
        "goal": list(episode.goal),
        **social,
    }
