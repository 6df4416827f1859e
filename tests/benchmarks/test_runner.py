import dataclasses
import json

import pytest
import torch

from s2e.benchmarks.agents import BASELINES, make_agent
from s2e.benchmarks.bench import BenchArgs, bench
from s2e.benchmarks.runner import episode_worlds, run
from s2e.envs.scenes.episodes import read_episodes
from s2e.envs.scenes.files import episodes_file, load_scene
from s2e.policy.checkpoint import policy_state, save_checkpoint
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy

PLAZA = "gs_urban/plaza"
CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("runs") / "untrained" / "checkpoints" / "00000001"
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(folder, {"policy": CONFIG.to_dict()}, tensors, {}, {"step": 1})
    return str(folder.parent.parent)


@pytest.fixture(scope="module")
def scene():
    return load_scene(PLAZA)


@pytest.fixture(scope="module")
def episodes():
    """Short ones, of the setting with everything in the way."""
    listed = [e for e in read_episodes(episodes_file(PLAZA)) if e.setting == "both"][:3]
    return [dataclasses.replace(e, time_limit_s=2.0 + k) for k, e in enumerate(listed)]


@pytest.mark.parametrize("who", [*BASELINES, None])
def test_whoever_drives_leaves_the_same_kind_of_record(scene, episodes, untrained, who):
    worlds = episode_worlds(scene, episodes, CONFIG, draw=who is None)
    looked = []
    agent = make_agent(who or untrained, worlds)
    records = list(run(worlds, agent, episodes, lambda seen, live: looked.append(len(live))))
    assert [r["id"] for r in records] == [e.id for e in episodes]  # the shortest ends first
    assert len(looked) == max(len(r["path"]) for r in records) - 1 and looked[-1] == 1
    for record, episode in zip(records, episodes, strict=True):
        assert record["start"] == list(episode.start) and record["end"] in ("goal", "timeout")
        assert len(record["path"]) > 9 and record["path_m"] >= 0 and record["route_m"] > 0


def test_the_command_writes_what_the_loop_yields(tmp_path, scene, episodes, untrained, monkeypatch):
    monkeypatch.setattr("s2e.benchmarks.bench.chosen_episodes", lambda *_: episodes)
    args = BenchArgs(scene=PLAZA, policy=(untrained,), clips=0, out=tmp_path, device="cpu")
    bench(args)
    written = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    one_by_one = []
    for episode in episodes:
        worlds = episode_worlds(scene, [episode], CONFIG)
        one_by_one += run(worlds, make_agent(untrained, worlds), [episode])
    yielded = [json.loads(json.dumps({"scene": PLAZA} | r)) for r in one_by_one]
    assert yielded == written  # and alone each of them ends as it does beside the others
