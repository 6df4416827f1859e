import ast
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from s2e.core.observation import AROUND, AROUND_M, RAYS, robot_token
from s2e.policy.agent import Agent, Inputs, encode, forward, in_chunks
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.encoder import FeatureNet, FrozenEncoder
from s2e.policy.network import S2EPolicy

ROOT = Path(__file__).resolve().parents[2]
SMALL = PolicyConfig(
    dim=32, encoder_layers=1, decoder_layers=1, height_px=32, width_px=64, stride=8, channels=40
)


def network_calls(tree):
    """Calls of a visual net, and of a policy's `context` and `decode`, with the function around
    them. Bytes are decoded by a constant or by nothing; `self` is not a policy where there is one.
    """
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            own = getattr(getattr(node.func, "value", None), "id", "") == "self"
            method = isinstance(node.func, ast.Attribute) and name in ("context", "decode")
            constant = isinstance(node.args[0], ast.Constant)
            if name == "net" or (method and not own and not constant):
                yield name, function.name


def test_a_policy_is_run_in_one_place():
    """Whoever lets a network see, attend or decide does it by `agent.py`."""
    found = []
    for folder in ("s2e", "envs", "rl", "pretrain", "benchmarks", "experiments", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            where, text = str(path.relative_to(ROOT)), path.read_text()
            # the nets themselves; a ray policy has a net of its own, without images
            if "s2e.policy" in text and where not in ("s2e/policy/encoder.py", "envs/rays.py"):
                found += [(where, *call) for call in network_calls(ast.parse(text))]
    home = "s2e/policy/agent.py"
    assert found == [
        (home, "net", "encode"),
        (home, "context", "attend"),
        (home, "decode", "forward"),
    ]


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return S2EPolicy(SMALL).eval(), FeatureNet(SMALL).eval()


def observations(count, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"goal": 3, "ego": 3, "robot": 6}
    return {
        "rgb": rng.integers(0, 255, (count, 32, 64, 3), dtype=np.uint8),
        **{k: rng.normal(size=(count, n)).astype(np.float32) for k, n in shapes.items()},
    }


def test_with_gradients_and_without_it_is_the_same_policy(small):
    """`encode` and `forward` of whole histories give what an agent gives frame by frame."""
    policy, net = small
    agent, seen = Agent(policy, net, 3), [observations(3, seed) for seed in range(SMALL.history)]
    for observation in seen:
        agent.act(observation)
    frames = torch.from_numpy(np.stack([o["rgb"] for o in seen], 1))
    newest, older = encode(net, frames.flatten(0, 1), SMALL.history, SMALL.history, rounded=True)
    about = [torch.from_numpy(seen[-1][k]) for k in ("goal", "ego", "robot")]
    _, modes = forward(policy, Inputs(newest, older, *about))
    assert agent.candidates is not None and modes.mean.requires_grad
    np.testing.assert_allclose(
        agent.candidates.trajectories, modes.metric(SMALL.waypoint_dt_s).detach(), atol=1e-4
    )
    np.testing.assert_allclose(
        agent.candidates.scores, modes.logits.softmax(-1).detach(), atol=1e-4
    )
    np.testing.assert_allclose(
        np.exp(agent.candidates.log_scores), agent.candidates.scores, rtol=1e-5
    )


def test_the_likeliest_way_is_followed_a_second_ahead(small):
    agent = Agent(*small, worlds=3)
    told = agent.act(observations(3))
    assert agent.candidates is not None
    second = round(1.0 / SMALL.waypoint_dt_s) - 1  # the first waypoint is one interval ahead
    for n in range(3):
        likeliest = agent.candidates.scores[n].argmax()
        np.testing.assert_array_equal(told[n], agent.candidates.trajectories[n, likeliest, second])
    np.testing.assert_array_equal(agent.odometry.command, told)


def test_an_advisor_chooses_and_slows(small):
    class Contrary:
        def begin(self, worlds):
            pass

        def goals(self, goal, worlds):
            assert worlds.tolist() == [0, 2]
            return goal

        def __call__(self, rgb, candidates, worlds):
            assert len(rgb) == len(candidates.scores) == 2 and worlds.tolist() == [0, 2]
            return -candidates.log_scores, np.array([1.0, 0.5])

    agent = Agent(*small, worlds=3, advisor=Contrary())
    told = agent.act(observations(3), np.array([0, 2]))
    assert agent.candidates is not None
    second = round(1.0 / SMALL.waypoint_dt_s) - 1
    for n, world, factor in ((0, 0, 1.0), (1, 2, 0.5)):
        least = agent.candidates.scores[n].argmin()
        expected = factor * agent.candidates.trajectories[n, least, second]
        np.testing.assert_allclose(told[world], expected, atol=1e-6)


def test_what_is_free_is_remembered_in_metres():
    """By a policy that remembers: two metres all around where its head says log 2, in the sectors
    that the camera shows; and nothing where the robot's own motion is hidden."""
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, reader=True, free_space=True)
    policy = S2EPolicy(config).eval()
    assert policy.free_space_head is not None
    policy.free_space = lambda context: torch.full((len(context), RAYS), math.log(2.0))
    agent, observation = Agent(policy, FeatureNet(config).eval(), 2, chunk=3), observations(2)
    about = [observation[k] for k in ("rgb", "goal", "ego")]
    robot = robot_token(np.tile([0.5, 0.4, 1.5, 1.0, 0.4, 90.0], (2, 1)))
    still = np.zeros((2, 3), np.float32)
    context, _ = agent.see(about[0], about[1], still, robot)
    np.testing.assert_allclose(agent.free_m(context), np.full((2, RAYS), 2.0), rtol=1e-6)
    _, token = agent.see(about[0], about[1], still, robot, hide_ego=np.array([False, True]))
    around = token[0, -AROUND:]
    ahead = np.r_[0:4, AROUND - 3 : AROUND]  # within 45 degrees, of sectors of 11.25
    np.testing.assert_allclose(around[ahead], np.log(AROUND_M / 2.0), rtol=1e-6)
    assert (around[6:-6] == 0).all() and (token[1] == 0).all()


def test_a_frame_alone_is_its_own_history(small):
    _, net = small
    images = torch.from_numpy(observations(2)["rgb"])
    with torch.no_grad():
        one = encode(net, images, 1, SMALL.history)
        same = encode(net, images.repeat_interleave(SMALL.history, 0), SMALL.history, SMALL.history)
    for a, b in zip(one, same, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_only_those_that_drive_are_looked_at(small):
    some, alone = Agent(*small, worlds=3, chunk=4), Agent(*small, worlds=1, chunk=4)
    for seed in range(3):
        observation = observations(3, seed)
        waypoints = some.act(observation, np.array([2]))
        np.testing.assert_array_equal(
            waypoints[2:], alone.act({k: v[2:] for k, v in observation.items()})
        )
        assert (waypoints[:2] == 0).all() and some.fresh.tolist() == [True, True, False]
    again = Agent(*small, worlds=3, chunk=4)
    again.restore(some.arrays())
    observation = observations(3, 7)
    np.testing.assert_array_equal(some.act(observation), again.act(observation))
    some.reset(np.array([2]))
    assert (some.act(observation)[2] != again.act(observation)[2]).any()


def test_chunks_are_all_of_one_size_and_change_nothing():
    sizes, rows = [], np.arange(10.0)

    def both(a, b):
        sizes.append(len(a))
        return a + b, a[:, None]

    total, column = in_chunks(both, 4, rows, rows)
    assert sizes == [4, 4, 4]
    np.testing.assert_array_equal(total, 2 * rows)
    np.testing.assert_array_equal(column[:, 0], rows)


@pytest.fixture(scope="module")
def lite0():
    config = PRESETS["laptop"]
    net = FeatureNet(config)
    return config, net, FrozenEncoder(net, config)


def test_history_is_cached_frame_by_frame(lite0):
    """Tokens kept over steps give the same context as encoding the whole history anew."""
    config, net, encoder = lite0
    torch.manual_seed(0)
    policy = S2EPolicy(config).eval()
    agent = Agent(policy, net, 2)
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 255, (7, 2, 96, 160, 3), dtype=np.uint8)
    vectors = rng.normal(size=(7, 2, 2, 3)).astype(np.float32)
    robots = rng.random((2, 6)).astype(np.float32)
    for t in range(7):
        if t == 4:
            agent.reset(np.array([1]))  # world 1 begins anew
        context, _ = agent.see(frames[t], vectors[t, 0], vectors[t, 1], robots)
        for world in range(2):
            begin = 4 if world == 1 and t >= 4 else 0
            past = [max(begin, t - k) for k in (4, 3, 2, 1)]
            older = np.concatenate([encoder(frames[p, world][None])[1] for p in past])
            goal, ego = vectors[t, 0, [world]], vectors[t, 1, [world]]
            fresh = agent.attend(
                encoder(frames[t, world][None])[0], older[None], goal, ego, robots[[world]]
            )
            np.testing.assert_allclose(context[[world]], fresh, atol=2e-4, rtol=1e-4)


@pytest.mark.slow
def test_paper_preset_runs_on_a_cpu():
    config = PRESETS["paper"]
    torch.manual_seed(0)
    policy, net = S2EPolicy(config).eval(), FeatureNet(config).eval()
    images = np.random.default_rng(0).integers(0, 255, (2, 320, 640, 3), dtype=np.uint8)
    vectors, robots = np.ones((2, 3), np.float32), np.full((2, 6), np.nan, np.float32)
    agent = Agent(policy, net, 2)
    found = agent.decide(*agent.see(images, vectors, vectors, robots)).trajectories
    assert found.shape == (2, 8, 10, 2) and np.isfinite(found).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_what_the_cpu_gives(lite0):
    config, net, encoder = lite0
    torch.manual_seed(0)
    policy = S2EPolicy(config).eval()
    images = np.random.default_rng(0).integers(0, 255, (4, 96, 160, 3), dtype=np.uint8)
    vectors, robots = np.ones((4, 3), np.float32), np.ones((4, 6), np.float32)
    found = []
    for device, own in (("cpu", net), ("cuda", FeatureNet(config))):
        agent = Agent(policy, own, 4, device)
        found.append(agent.decide(*agent.see(images, vectors, vectors, robots)).trajectories)
    np.testing.assert_allclose(found[1], found[0], atol=2e-2, rtol=1e-2)
    assert encoder.session is not None
