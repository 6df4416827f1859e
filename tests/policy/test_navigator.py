import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import s2e
from s2e.core.errors import UserError
from s2e.core.observation import ego_state, goal_token, robot_token
from s2e.policy.agent import Agent
from s2e.policy.checkpoint import policy_state, save_checkpoint
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.navigator import Navigator
from s2e.policy.network import S2EPolicy
from s2e.video.frames import resized
from s2e.video.walk import Body

CONFIG = PolicyConfig(
    dim=32, encoder_layers=1, decoder_layers=1, height_px=32, width_px=64, stride=8, channels=40
)
BODY = Body(
    length_m=0.5, width_m=0.4, v_max=1.0, omega_max=1.0, camera_height_m=0.3, camera_hfov_deg=90
)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    policy, net = S2EPolicy(CONFIG), FeatureNet(CONFIG)
    for mask in (policy.goal_mask, policy.ego_mask, policy.robot_mask):
        torch.nn.init.normal_(mask)
    return policy.eval(), net.eval()


@pytest.fixture(scope="module")
def one(networks):
    return Navigator(Agent(*networks))


@pytest.fixture
def navigator(one):
    one.reset()
    return one


@pytest.fixture(scope="module")
def run(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(
        folder / "checkpoints" / "00000001",
        {"policy": CONFIG.to_dict()},
        policy_state(*networks),
        {},
        {"step": 1},
    )
    return folder


def frames(count, height=32, width=64, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.repeat(
            np.repeat(rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8), 8, 0), 8, 1
        )
        for _ in range(count)
    ]


def test_three_lines(run):
    policy = s2e.load_policy(run)
    plan = policy.act(frames(1, 240, 320)[0], goal=(4.0, 1.0))
    assert (
        plan.waypoints.shape == (10, 2)
        and plan.candidates.shape == (8, 10, 2)
        and plan.scores.shape == (8,)
    )
    np.testing.assert_allclose(plan.times, 0.2 * np.arange(1, 11))
    assert plan.scores.sum() == pytest.approx(1, abs=1e-6) and plan.score == plan.scores.max()
    assert (plan.waypoints == plan.candidates[plan.scores.argmax()]).all() and plan.speed > 0


def test_the_three_lines_as_a_user_types_them(run):
    code = (
        "import sys, s2e; assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        f"policy = s2e.load_policy({str(run)!r})\n"
        "import numpy; print(policy.act(numpy.zeros((120, 160, 3), numpy.uint8), goal=(4.0, "
        "1.0)).waypoints.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "(10, 2)", done.stderr


def test_it_plans_what_an_agent_in_a_world_does(navigator, networks):
    agent = Agent(*networks)
    for k, frame in enumerate(frames(8, 120, 200)):
        goal, ego = np.array([[4.0, k - 3]]), np.array([0.5 + 0.1 * k, -0.2])
        plan = navigator.act(frame, goal=goal[0], ego=ego, robot=BODY)
        observed = agent.see(
            resized(frame, 32, 64)[None],
            goal_token(goal, 10.0),
            ego_state(ego[:1], ego[1:]),
            robot_token(BODY.token()[None]),
        )
        found = agent.decide(*observed)
        np.testing.assert_array_equal(plan.candidates, found.trajectories[0])
        np.testing.assert_array_equal(plan.scores, found.scores[0])


def test_it_reckons_its_way_as_an_agent_in_a_world_does():
    torch.manual_seed(1)
    config = dataclasses.replace(CONFIG, free_space=True)
    policy, net = S2EPolicy(config), FeatureNet(config).eval()
    policy.add_reader()
    for parameter in policy.reader.parameters():  # pyright: ignore[reportOptionalMemberAccess]
        torch.nn.init.normal_(parameter, std=0.3)
    navigator, agent = Navigator(Agent(policy, net)), Agent(policy, net)
    rng = np.random.default_rng(3)
    for step, frame in enumerate(frames(30)):
        ego = rng.uniform((0, -1), (1, 1)) * (step > 0)
        plan = navigator.act(frame, goal=(4.0, 1.0), ego=ego, robot=BODY)
        tokens = (
            goal_token(np.array([[4.0, 1.0]]), 10.0),
            ego_state(*ego[None].T),
            robot_token(BODY.token()[None]),
        )
        found = agent.decide(*agent.see(frame[None], *tokens))
        np.testing.assert_allclose(plan.candidates, found.trajectories[0], atol=1e-5)
        agent.commanded(plan.waypoints[CONFIG.action_waypoint][None])
    after_a_jam = navigator.act(frame, goal=(4.0, 1.0), robot=BODY)
    assert not np.allclose(after_a_jam.scores, plan.scores), (
        "without its motion the way is not known either"
    )


def test_who_stands_where_it_should_drive_is_told_to_back_off(networks):
    """Whatever the policy says: this one is not trained, so it is made to say that it drives on."""
    navigator, alone = Navigator(Agent(*networks), recovery=True), Navigator(Agent(*networks))
    (frame,) = frames(1)
    for step in range(5):
        plan, other = (
            n.act(frame, goal=(4.0, 1.0), ego=(0.0, 0.0), robot=BODY) for n in (navigator, alone)
        )
        navigator.recovery.told[:] = [1.0, 0.0]  # pyright: ignore[reportOptionalMemberAccess]
        assert not other.recovers and plan.recovers == (step >= 3)
        np.testing.assert_array_equal(plan.candidates, other.candidates)
    assert plan.waypoints.shape == other.waypoints.shape and plan.waypoints.dtype == np.float32
    np.testing.assert_allclose(
        plan.waypoints[CONFIG.action_waypoint],
        plan.times[CONFIG.action_waypoint] * navigator.told,
        atol=1e-6,
    )
    assert not navigator.act(frame, goal=(4.0, 1.0), robot=BODY).recovers, (
        "nobody knows whether it stands"
    )
    navigator.reset()
    assert not navigator.act(frame, goal=(4.0, 1.0), ego=(0.0, 0.0), robot=BODY).recovers


def test_what_is_not_known_is_hidden(navigator, networks):
    (frame,) = frames(1)
    plan = navigator.act(frame)
    policy, net = networks
    features = torch.from_numpy(navigator.agent.encode(frame[None])[0]).float()
    older = features.mean((1, 2)).half().float()[:, None].repeat(1, 4, 1)
    yes, junk = torch.tensor([True]), torch.full((1, 3), 0.7)
    with torch.no_grad():
        context = policy.context(
            policy.newest_tokens(features),
            older,
            junk,
            junk,
            torch.full((1, 6), torch.nan),
            yes,
            yes,
        )
        want = policy.decode(context).metric(0.2)[0].numpy()
    np.testing.assert_allclose(plan.candidates, want, atol=2e-6)
    navigator.reset()
    partly = Body(length_m=0.5)  # the rest is NaN
    np.testing.assert_array_equal(navigator.act(frame, robot=partly).candidates, plan.candidates)
    navigator.reset()
    assert not np.allclose(navigator.act(frame, robot=BODY).candidates, plan.candidates)


def test_reset_forgets(navigator):
    a, b = frames(2)
    first = navigator.act(a, goal=(3, 0))
    navigator.act(b, goal=(3, 0))
    assert not np.array_equal(navigator.act(a, goal=(3, 0)).candidates, first.candidates)
    navigator.reset()
    np.testing.assert_array_equal(navigator.act(a, goal=(3, 0)).candidates, first.candidates)


def test_frames_at_any_rate_are_sampled_at_the_spacing(navigator):
    pictures = frames(7)
    jitter = np.random.default_rng(1).uniform(-0.02, 0.02, 7)
    want = [navigator.act(picture, goal=(3, 1)).candidates for picture in pictures]
    navigator.reset()
    for k, picture in enumerate(pictures):
        timed = navigator.act(picture, goal=(3, 1), time_s=1.7e9 + 0.2 * k + jitter[k])
        np.testing.assert_array_equal(timed.candidates, want[k])
    navigator.reset()
    for k, picture in enumerate(pictures):  # 20 images a second: every fourth counts
        got = navigator.act(picture, goal=(3, 1), time_s=0.2 * k)
        np.testing.assert_array_equal(got.candidates, want[k])
        for part, between in enumerate(frames(3, seed=100 + k)):
            navigator.act(between, goal=(3, 1), time_s=0.2 * k + 0.05 * (part + 1))


def test_slow_frames_are_held(navigator):
    tokens = [np.full(CONFIG.channels, k, np.float16) for k in range(4)]
    for k in range(3):
        navigator._remember(0.5 * k, tokens[k], True)
    # frames at 0, 0.5, 1, 1.5; moments 0.7, 0.9, 1.1, 1.3
    chosen = navigator._older(1.5, tokens[3])[:, 0]
    np.testing.assert_array_equal(chosen, [1, 2, 2, 3])
    np.testing.assert_array_equal(navigator._older(100.0, tokens[3])[:, 0], [3, 3, 3, 3])


def test_memory_is_bounded_at_any_rate(navigator):
    token = np.zeros(CONFIG.channels, np.float16)
    for k in range(20_000):
        navigator._remember(1e-4 * k, token, True)
        assert len(navigator.seen) < 200
    navigator._remember(1e6, token, True)
    assert len(navigator.seen) <= 2


def test_one_frame_of_history():
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, history=1, anchors=1)
    navigator = Navigator(Agent(S2EPolicy(config), FeatureNet(config)))
    assert navigator.act(frames(1)[0]).scores == pytest.approx([1.0])


GOOD = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ([[1, 2, 3]], "NumPy"),
        (None, "NumPy"),
        (np.zeros((8, 8), np.uint8), "grey"),
        (np.zeros((8, 8, 4), np.uint8), "fourth"),
        (np.zeros((1, 8, 8, 3), np.uint8), "one frame"),
        (np.zeros((), np.uint8), "expected"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 3), np.uint8), "pixels"),
    ],
)
def test_bad_frames(navigator, frame, said):
    with pytest.raises(ValueError, match=said):
        navigator.act(frame)
    assert not navigator.seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"goal": ()}, "goal"),
        ({"goal": (1.0,)}, "goal"),
        ({"goal": (np.nan, 0)}, "goal"),
        ({"goal": (np.inf, 0)}, "goal"),
        ({"goal": "north"}, "goal"),
        ({"goal": [[1, 2]]}, "goal"),
        ({"goal": [[1], [1, 2]]}, "goal"),
        ({"ego": (1, 2, 3)}, "ego"),
        ({"ego": 1.0}, "ego"),
        ({"time_s": float("nan")}, "time_s"),
        ({"robot": "coco"}, "Body"),
        ({"robot": Body(v_max=-1.0)}, "v_max"),
        ({"robot": Body(v_max=float("inf"))}, "v_max"),
    ],
)
def test_bad_arguments(navigator, arguments, said):
    with pytest.raises(ValueError, match=said):
        navigator.act(GOOD, **arguments)
    assert not navigator.seen


def test_time_goes_on(navigator):
    navigator.act(GOOD, time_s=3.0)
    for time_s in (3.0, 2.0):
        with pytest.raises(ValueError, match="time_s"):
            navigator.act(GOOD, time_s=time_s)
    with pytest.raises(ValueError, match="always or never"):
        navigator.act(GOOD)
    navigator.reset()
    navigator.act(GOOD)


def test_a_device_that_is_not_there():
    with pytest.raises(UserError, match="cpu"):
        s2e.load_policy("anything", device="tpu")


@pytest.mark.parametrize("name", ["shipped", "own"])
def test_a_policy_of_rays_is_refused_with_what_it_is_for(tmp_path, name):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text('{"stage": "ppo", "rays": {}}')
    (tmp_path / "own" / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        UserError,
        match=r"policy of rays.* no images.* --coach; .* by a camera is laptop-experienced",
    ):
        s2e.load_policy("rays" if name == "shipped" else tmp_path / "own")
