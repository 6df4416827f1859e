"""Situations can be solved, and what is right can be done: a sample of the suite `social`."""

import json

import numpy as np
import pytest

from s2e.benchmarks.bench import BenchArgs, bench, chosen_episodes
from s2e.benchmarks.runner import episode_worlds, run
from s2e.envs.expert.drive import ExpertAgent, groups
from s2e.envs.scenes.episodes import read_episodes
from s2e.envs.scenes.files import SUITES, episodes_file, load_scene

MESHES = [name for name in SUITES["social"] if not name.endswith("_splats")]
YIELDING = ("social/doorway", "social/step_out", "social/insist", "social/child", "social/wait")


class Polite(ExpertAgent):
    """The expert, who stands before the zone until those it owes the way are through."""

    def __init__(self, worlds, episodes):
        super().__init__(worlds)
        self.episodes = episodes
        self.inside = [set() for _ in episodes]
        self.through = [set() for _ in episodes]

    def act(self, *seen):
        way = super().act(*seen)
        for w, episode in enumerate(self.episodes):
            (x, y, radius), whom = episode.truth.zone, set(episode.truth.whom)
            spots = self.worlds.people.position[w]
            for p in whom:
                if np.hypot(*(spots[p] - (x, y))) < radius:
                    self.inside[w].add(p)
                elif p in self.inside[w]:
                    self.through[w].add(p)
            begun = any(np.hypot(*(spots[p] - episode.walkers[p].start)) > 0.1 for p in whom)
            away = np.hypot(*(self.worlds.pose[w, :2] - (x, y)))
            if begun and self.through[w] != whom and radius < away < radius + 1.3:
                way[w] = 0.0
        return way


def drive(name, numbers, agent):
    listed = read_episodes(episodes_file(name))
    episodes = [listed[k] for k in numbers]
    worlds = episode_worlds(load_scene(name), episodes, draw=False)
    return list(run(worlds, agent(worlds, episodes), episodes))


@pytest.mark.parametrize("name", MESHES)
def test_the_expert_arrives(name):
    records = drive(name, (0, 7), lambda worlds, _: ExpertAgent(worlds))
    assert all(r["success"] and r["ct"] == 0 for r in records)
    assert {r["social"]["kind"] for r in records} == {name.removeprefix("social/")}
    for found in (r["social"] for r in records):
        if found["kind"] in ("group", "queue"):
            assert found["group_s"] == 0.0
        if found["kind"] in ("blocked", "gate"):
            assert found["detour"] is True


@pytest.mark.parametrize("name", YIELDING)
def test_who_waits_before_the_zone_has_yielded_and_arrives(name):
    records = drive(name, (1, 2, 12), Polite)
    assert all(r["success"] and r["social"]["yielded"] is True for r in records)


def test_only_people_who_stand_in_a_group_are_walked_around():
    scene, episodes = load_scene("social/queue"), read_episodes(episodes_file("social/queue"))[:1]
    worlds = episode_worlds(scene, episodes, draw=False)
    worlds.reset()
    (outline,) = groups(worlds, 0)
    spots = np.array([w.start for w in episodes[0].walkers])
    assert (outline.min(0) < spots.min(0)).all() and (outline.max(0) > spots.max(0)).all()
    plaza = read_episodes(episodes_file("gs_urban/plaza"))
    people = [e for e in plaza if e.setting == "both"][:3]
    worlds = episode_worlds(load_scene("gs_urban/plaza"), people, draw=False)
    worlds.reset()
    assert [groups(worlds, w) for w in range(3)] == [[], [], []]


def test_the_suite_runs_as_any_other(tmp_path, capsys):
    bench(
        BenchArgs(scene="social/doorway", policy=("expert", "straight"), episodes=2, out=tmp_path)
    )
    said = capsys.readouterr()
    assert "note:" not in said.err and "situations, expert" in said.out
    summary = json.loads((tmp_path / "expert" / "summary.json").read_text())
    assert summary["settings"].keys() == {"social"} and summary["social"]["doorway"]["sr"] == 1
    (record, _) = (
        json.loads(words)
        for words in (tmp_path / "expert" / "episodes.jsonl").read_text().splitlines()
    )
    assert record["social"]["kind"] == "doorway" and record["social"]["yielded"] in (True, False)
    assert "Situations" in (tmp_path / "report.html").read_text()
    every = BenchArgs(scene="social", episodes=5)
    assert [len(chosen_episodes(every, name)) for name in SUITES["social"]] == [5] * 17
