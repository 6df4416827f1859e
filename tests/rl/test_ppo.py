import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tqdm import tqdm

from s2e.core.errors import UserError
from s2e.core.observation import NOWHERE_M, ODOMETRY, RAY_ANGLES, surroundings
from s2e.envs.rays import RaySense
from s2e.policy.agent import Agent
from s2e.policy.checkpoint import (
    find_checkpoint,
    load_networks,
    policy_state,
    read_tensors,
    save_checkpoint,
)
from s2e.policy.encoder import FeatureNet
from s2e.policy.mixture import WaypointMixture
from s2e.policy.network import S2EPolicy
from s2e.rl.ppo import Objective
from s2e.rl.sense import COACHED, Prefix
from s2e.rl.train import PPOArgs, Trainer, Watch, check, ground, settled, train
from tests.processes import forking, run_command
from tests.rl.settings import CONFIG


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(3)
    run = tmp_path_factory.mktemp("pretrained")
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(
        run / "checkpoints" / "00000001", {"policy": CONFIG.to_dict()}, tensors, {}, {"step": 1}
    )
    return run


def make(pretrained, out, **more):
    settings = dict(
        envs=4,
        horizon=8,
        scenes=2,
        splats=0.0,
        steps=128,
        batch=16,
        lessons=64,
        coach="expert",
        value_warmup=0,
    )
    settings["robot"] = "jackal"
    trainer = Trainer(PPOArgs(out, str(pretrained), device="cpu", **{**settings, **more}), 0, 1)
    watch = Watch(tqdm(disable=True), trainer.worlds)
    trainer.start(watch)
    return trainer, watch


def rollout(trainer, watch):
    trainer.model.collect_rollouts(trainer.env, watch, trainer.model.rollout_buffer, 8)
    trainer.model._update_current_progress_remaining(
        trainer.model.num_timesteps, trainer.args.steps
    )
    return trainer.model._rollout()


def changed(trainer, before):
    return {k for k, v in trainer.policy.state_dict().items() if not torch.equal(v, before[k])}


def weights(trainer):
    return {k: v.clone() for k, v in trainer.policy.state_dict().items()}


def test_what_is_printed_says_how_many_episodes_ended_and_where():
    watch = Watch(tqdm(disable=True), None)
    assert watch.in_words({}) == "no episode has ended"
    watch.ended.extend([(1.0, 2.0, 3.0, 4.0)] * 11)
    said = watch.in_words({"episode/success": 1.0, "episode/contacts": 2.0, "reward/progress": 7.0})
    assert said == "last 11 episodes: success 1.00, contacts 2.00"
    watch.greedy.extend([0.5] * 3)
    said = watch.in_words({"episode/success": 1.0, "episode/success_best_mode": 0.5})
    assert (
        said
        == "last 11 episodes: success 1.00; success 0.50 of the best mode, without exploring, in 3 "
        "more"
    )
    for asked, words in (
        (PPOArgs(Path("out"), scene="gs_urban/plaza", scenes=64), "the scene gs_urban/plaza"),
        (PPOArgs(Path("out"), scene="gs_urban"), "the 11 scenes of gs_urban"),
        (PPOArgs(Path("out"), scenes=64), "64 streets"),
        (PPOArgs(Path("out")), "streets of their own, new every 2 episodes"),
    ):
        assert ground(settled(asked)) == words and settled(settled(asked)) == settled(asked)


def test_step_zero_is_the_pretrained_policy(pretrained, tmp_path):
    trainer, _ = make(pretrained, tmp_path)
    before, _ = load_networks(pretrained)
    last: Any = trainer.model._last_obs
    rows = torch.from_numpy(np.asarray(last["seen"]))
    context, odometry = (
        rows[:, :-ODOMETRY].unflatten(1, (before.context_tokens, 32)),
        rows[:, -ODOMETRY:],
    )
    with torch.no_grad():
        a, b = before.decode(context), trainer.policy.actor.decode(context, odometry)
    assert (
        (odometry[:, 0] == 1).any()
        and trainer.policy.actor.config.reader
        and not before.config.reader
    )
    assert trainer.policy.actor.has_adapters and not before.has_adapters
    assert all(
        torch.equal(getattr(a, n), getattr(b, n))
        for n in ("logits", "mean", "log_std", "rho", "speed")
    )


@pytest.mark.parametrize("adapter", ["ram", "decoder", "full"])
def test_ratio_is_one_on_the_first_minibatch(pretrained, tmp_path, adapter):
    trainer, watch = make(pretrained, tmp_path, adapter=adapter, coach="none")
    rows = rollout(trainer, watch)
    trainer.policy.set_training_mode(True)  # as PPO.train does
    space: Any = trainer.env.observation_space
    obs = {k: rows[k][:16] for k in space.spaces}
    _, log_prob, _ = trainer.policy.evaluate_actions(obs, rows["actions"][:16])
    torch.testing.assert_close(log_prob, rows["log_probs"][:16], atol=1e-5, rtol=0)


def test_no_image_is_stored(pretrained, tmp_path):
    trainer, _ = make(pretrained, tmp_path)
    stored: Any = trainer.model.rollout_buffer.observations
    assert (
        stored["seen"].shape == (8, 4, trainer.policy.actor.context_tokens * 32 + ODOMETRY)
        and stored["seen"].dtype == np.float32
    )
    assert all(v.ndim == 3 for v in stored.values())


def test_cached_and_uncached_log_probabilities_agree(pretrained, tmp_path):
    """What is stored against encoding five whole frames, reckoning the way by hand, and running the
    network from the images."""
    trainer, watch = make(pretrained, tmp_path, hide_ego=0.0, coach="none")
    torch.nn.init.normal_(trainer.policy.actor.reader.head[-1].weight, std=0.1)
    seen, agent = [], trainer.prefix.agent
    see = agent.see

    def spy(rgb, goal, ego, robot, worlds=None, hide_ego=None):
        before = rgb.copy(), goal.copy(), ego.copy(), agent.fresh.copy(), robot.copy()
        context, odometry = see(rgb, goal, ego, robot, worlds, hide_ego)
        seen.append((*before, agent.free_m(context)))
        return context, odometry

    agent.see = spy
    trainer.model._last_obs = trainer.env.reset()
    rows = rollout(trainer, watch)
    actions, logs = (rows[k].unflatten(0, (4, 8)) for k in ("actions", "log_probs"))
    net, s2e = trainer.net, trainer.policy.actor
    for t in range(8):
        for world in range(4):
            begin = max(u for u in range(t + 1) if seen[u][3][world])
            past = [max(begin, t - k) for k in (4, 3, 2, 1, 0)]
            frames = np.stack([seen[p][0][world] for p in past])
            features, pooled = agent.encoder(frames)
            older = pooled[:-1]
            goal, ego, robot = (torch.from_numpy(seen[t][i][[world]]) for i in (1, 2, 4))
            with torch.no_grad():
                newest = s2e.newest_tokens(torch.from_numpy(features[-1:]).float())
                context = s2e.context(
                    newest, torch.from_numpy(older[None]).float(), goal, ego, robot
                )
                egos, command = (
                    [seen[u][2][world] for u in range(begin, t + 1)],
                    actions[world, t - 1] if t > begin else None,
                )
                odometry = odometry_by_hand(
                    egos, command, [seen[u][5][world] for u in range(begin, t)]
                )
                mixture = WaypointMixture.at(
                    s2e.decode(context, odometry), CONFIG.action_waypoint, CONFIG.waypoint_dt_s
                )
                uncached = mixture.log_prob(actions[world, t][None])
            np.testing.assert_allclose(uncached.item(), logs[world, t], atol=1e-5)
    assert not net.training


def odometry_by_hand(egos, command, free_m):
    """What a robot is told that has moved by `egos`, 0.2 s each, was last told `command`, and saw
    `free_m` each time but now."""
    poses = [np.zeros(3)]
    for v, omega in (e[:2] for e in egos):
        x, y, yaw = poses[-1]
        poses.append(
            np.array(
                [
                    x + 0.2 * v * np.cos(yaw + 0.1 * omega),
                    y + 0.2 * v * np.sin(yaw + 0.1 * omega),
                    yaw + 0.2 * omega,
                ]
            )
        )
    token = [1.0, *(command.tolist() if command is not None else (0.0, 0.0))]
    x, y, yaw = poses[-1]
    for steps in (2, 5, 10, 20):
        ago = poses[max(len(poses) - 1 - steps, 0)]
        dx, dy, turned = ago[0] - x, ago[1] - y, ago[2] - yaw
        token += [
            dx * np.cos(yaw) + dy * np.sin(yaw),
            dy * np.cos(yaw) - dx * np.sin(yaw),
            np.sin(turned),
            np.cos(turned),
        ]
    points = []
    for (x0, y0, yaw0), rays in list(zip(poses[1:], free_m, strict=False))[::2]:
        points += [
            (x0 + d * np.cos(yaw0 + a), y0 + d * np.sin(yaw0 + a))
            for d, a in zip(rays, RAY_ANGLES, strict=True)
            if d < 6.0
        ]
    token += surroundings(np.array([[x, y, yaw]]), np.array([points or [(NOWHERE_M, NOWHERE_M)]]))[
        0
    ].tolist()
    return torch.tensor([token], dtype=torch.float32)


def test_only_adapters_and_critic_change(pretrained, tmp_path):
    trainer, watch = make(pretrained, tmp_path, value_warmup=1, coach="none")
    before, encoder = weights(trainer), {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.update(watch)
    first = changed(trainer, before)
    assert first and all(k.startswith("critic.") for k in first), "the critic learns alone first"
    trainer.update(watch)
    second = changed(trainer, before)
    assert any(".adapter." in k for k in second) and any(".reader." in k for k in second)
    assert all(k.startswith("critic.") or ".adapter." in k or ".reader." in k for k in second)
    assert all(torch.equal(v, encoder[k]) for k, v in trainer.net.state_dict().items())


def test_what_adapter_names_is_what_trains(pretrained, tmp_path):
    for adapter, inside in (
        ("decoder", ("decoder.",)),
        ("full", ("decoder.", "encoder.", "newest_in.")),
    ):
        trainer, watch = make(pretrained, tmp_path / adapter, adapter=adapter, ppo_weight=0.0)
        before = weights(trainer)
        trainer.update(watch)
        names = {k.removeprefix("actor.") for k in changed(trainer, before)}
        assert all(any(n.startswith(part) for n in names) for part in inside), adapter
        assert not trainer.policy.actor.has_adapters
        if adapter == "decoder":
            assert not any(n.startswith(("encoder.", "newest_in.", "context_norm")) for n in names)


def test_without_ppo_nothing_but_the_coach_teaches(pretrained, tmp_path):
    """Rewards do not count, the critic stays, and what the coach would do becomes likelier."""
    trainer, watch = make(pretrained, tmp_path, ppo_weight=0.0, epochs=8)
    rows = rollout(trainer, watch)
    before, start = weights(trainer), trainer.policy.lesson(rows).mean().item()
    trainer.model.rollout_buffer.rewards[:] = 1e3
    trainer.model.train()
    assert all(".adapter." in k or ".reader." in k for k in changed(trainer, before))
    assert trainer.policy.lesson(rows).mean().item() < start - 0.1


def test_left_and_right_on_the_spot_are_taught_to_modes_of_their_own(pretrained, tmp_path):
    """Half of the lessons turn left where the other half turns right: what is said is one of both,
    not something between them."""
    trainer, watch = make(pretrained, tmp_path, ppo_weight=0.0)
    rows = {
        k: v[:1].repeat(16, 1) for k, v in rollout(trainer, watch).items() if k in ("seen", "label")
    }
    rows["label"][:, 2:] = 0.0
    rows["label"][:, 0], rows["label"][:, 1] = 0.0, torch.tensor([0.5, -0.5]).repeat(8)
    optimizer = torch.optim.Adam(
        [p for p in trainer.policy.actor.parameters() if p.requires_grad], 3e-3
    )
    for _ in range(150):
        optimizer.zero_grad()
        trainer.policy.lesson(rows).mean().backward()
        optimizer.step()
    said = trainer.policy.density(rows)
    best = said.log_weight[0].topk(2).indices
    mean = said.mean[0, best].detach()
    assert sorted(best.tolist()) == [0, 7] and said.log_weight[0].exp()[best].sum() > 0.5
    assert mean[:, 1].max() > 0.2 and mean[:, 1].min() < -0.2


def test_the_coach_fades(pretrained, tmp_path):
    goal = Objective(coach=2.0, coach_until=0.5)
    assert [goal.coach_at(d) for d in (0.0, 0.25, 0.5, 0.9)] == [2.0, 1.0, 0.0, 0.0]
    goal = Objective(coach=2.0, coach_alone=0.4, coach_until=0.8)
    assert [round(goal.coach_at(d), 9) for d in (0.2, 0.4, 0.6, 0.8)] == [2.0, 2.0, 1.0, 0.0]
    assert Objective(coach=2.0).coach_at(0.99) == 2.0


def test_options_reach_what_they_name(pretrained, tmp_path):
    trainer, _ = make(
        pretrained,
        tmp_path,
        gamma=0.9,
        gae_lambda=0.8,
        clip=0.3,
        entropy=0.02,
        epochs=2,
        critic_lr=3e-4,
        lr=2e-4,
        target_kl=0.02,
        divergence=0.5,
        ppo_weight=0.7,
        coach_weight=0.4,
        coach_alone=0.2,
        coach_until=0.6,
        coach_way=0.3,
        hide_ego=0.2,
        people=3,
        robot="go2",
        reward="urban_sim",
        shaping="straight",
        collision="ends",
        camera_noise=0.1,
    )
    goal, worlds = trainer.objective, trainer.worlds.config
    model: Any = trainer.model
    assert (model.gamma, model.gae_lambda, model.clip_range(1), model.ent_coef) == (
        0.9,
        0.8,
        0.3,
        0.02,
    )
    assert (model.rollout_buffer.gamma, model.rollout_buffer.gae_lambda) == (0.9, 0.8)
    assert goal == Objective(0.7, 0.4, 0.2, 0.6, 0.5, 0.02, 0, 2, 16, 2e-4)
    assert [g["lr"] for g in trainer.policy.optimizer.param_groups] == [2e-4, 3e-4]
    assert (trainer.policy.way, trainer.env.hide_ego) == (0.3, 0.2)
    assert (worlds.people, worlds.robots, worlds.reward, worlds.shaping) == (
        3,
        ("go2",),
        "urban_sim",
        "straight",
    )
    assert (worlds.collision, worlds.camera_noise) == ("ends", 0.1)


def test_entropy_is_rewarded(pretrained, tmp_path):
    """With no advantage and a large weight the mixture becomes wider."""
    trainer, watch = make(pretrained, tmp_path, entropy=1.0, coach="none", epochs=8)
    rows = rollout(trainer, watch)
    trainer.model.rollout_buffer.advantages[:] = 0.0
    with torch.no_grad():
        before = trainer.policy.density(rows).entropy_bound().mean()
    trainer.model.train()
    with torch.no_grad():
        assert trainer.policy.density(rows).entropy_bound().mean() > before + 0.01


def test_what_pays_becomes_likelier(pretrained, tmp_path):
    trainer, watch = make(pretrained, tmp_path, coach="none", epochs=4, greedy=0.0)
    rows = rollout(trainer, watch)
    good = rows["actions"][:, 1] > rows["actions"][:, 1].median()
    trainer.model.rollout_buffer.advantages[:] = good.numpy().reshape(4, 8).T * 2.0 - 1.0
    trainer.model.train()
    with torch.no_grad():
        gain = trainer.policy.density(rows).log_prob(rows["actions"]) - rows["log_probs"]
    assert gain[good].mean() > 0.01 > -0.01 > gain[~good].mean()


def test_greedy_and_coached_worlds_do_not_count_for_ppo(pretrained, tmp_path):
    trainer, watch = make(pretrained, tmp_path, coach="expert", coach_drives=1.0, coach_weight=0.0)
    assert (trainer.env.driver == COACHED).all()
    rows = rollout(trainer, watch)
    apart = (rows["actions"] - rows["label"][:, :2]).norm(dim=1)
    assert apart.median() < 0.6, "the coach drives, disturbed"
    before = weights(trainer)
    trainer.model.train()
    assert all(k.startswith("critic.") for k in changed(trainer, before))
    trainer.env.drivers(greedy=1.0, coached=0.0)
    trainer.model._last_obs = trainer.env._observe(trainer.worlds.observe(np.arange(4)))
    rows = rollout(trainer, watch)
    with torch.no_grad():
        torch.testing.assert_close(
            trainer.policy.density(rows).mode(), rows["actions"], atol=1e-5, rtol=0
        )


def test_an_update_that_goes_wrong_is_skipped_and_three_in_a_row_stop(
    pretrained, tmp_path, capsys, monkeypatch
):
    trainer, watch = make(pretrained, tmp_path)
    before, step = weights(trainer), trainer.worlds.step

    def poisoned(waypoints):
        seen, reward, terminated, truncated = step(waypoints)
        reward[2] = np.nan
        return seen, reward, terminated, truncated

    monkeypatch.setattr(trainer.worlds, "step", poisoned)
    values = trainer.update(watch)
    assert values["train/skipped"] == 1 and not changed(trainer, before)
    assert f"reward of world 2 (seed {int(trainer.worlds.seed[2])})" in capsys.readouterr().out
    trainer.update(watch)
    with pytest.raises(
        UserError, match=r"3rd in a row; there is no checkpoint; start anew with a smaller --lr"
    ):
        trainer.update(watch)


@pytest.mark.parametrize("name", ["seen", "state", "label"])
def test_what_was_seen_and_is_not_finite_is_named(pretrained, tmp_path, capsys, monkeypatch, name):
    """The policy acts on, and the seed is that of the episode in which it happened, though another
    may have begun since."""
    trainer, watch = make(pretrained, tmp_path, coach_drives=0.5)
    before, step, observe = weights(trainer), trainer.env.venv.step_wait, trainer.env._observe
    seeds = []

    def poisoned(seen):
        seeds.append(int(trainer.worlds.seed[1]))
        obs = observe(seen)
        if len(seeds) == 3:
            obs[name][1] = np.inf
        return obs

    def ended():
        trainer.worlds.seed[1] += 1
        return step()

    monkeypatch.setattr(trainer.env, "_observe", poisoned)
    monkeypatch.setattr(trainer.env.venv, "step_wait", ended)
    values = trainer.update(watch)
    assert values["train/skipped"] == 1 and not changed(trainer, before)
    assert (
        f"{name} of world 1 (seed {seeds[2]}) is not finite" in capsys.readouterr().out
        and seeds[2] != seeds[-1]
    )
    assert trainer.update(watch)["train/skipped"] == 1 and changed(trainer, before), (
        "and then it goes on"
    )


@pytest.mark.parametrize("sense", ["images", "rays"])
def test_three_in_a_row_name_the_last_good_checkpoint(pretrained, tmp_path, monkeypatch, sense):
    """No checkpoint is written while updates go wrong, since worlds may have something in them that
    makes them do so."""
    whole = Trainer._not_finite
    monkeypatch.setattr(
        Trainer,
        "_not_finite",
        lambda self: ("reward", (0, 0)) if self.progress.step >= 2 else whole(self),
    )
    args = PPOArgs(
        tmp_path / "out",
        str(pretrained),
        sense,
        envs=2,
        horizon=4,
        scenes=1,
        splats=0.0,
        steps=80,
        coach="none",
        save_every=1,
    )
    with pytest.raises(
        UserError, match=r"update 5 is skipped: reward of world 0 \(seed \d+\).* 3rd in a row"
    ) as stopped:
        train(args)
    good = find_checkpoint(tmp_path / "out", newest=True)
    assert good.name == "00000002" and f"the last good checkpoint is {good}; start anew" in str(
        stopped.value
    )
    assert ("--init from there" in str(stopped.value)) == (sense == "images")


def test_a_sample_that_makes_the_loss_infinite_is_found(pretrained, tmp_path, capsys, monkeypatch):
    trainer, watch = make(pretrained, tmp_path, coach="none")
    before, step = weights(trainer), trainer.worlds.step

    def excited(waypoints):
        seen, reward, terminated, truncated = step(waypoints)
        reward[1] = 1e30  # its square is infinite
        return seen, reward, terminated, truncated

    monkeypatch.setattr(trainer.worlds, "step", excited)
    assert trainer.update(watch)["train/skipped"] == 1 and not changed(trainer, before)
    seed = int(trainer.worlds.seed[1])
    assert (
        f"the loss or its gradient of world 1 (seed {seed}) is not finite"
        in capsys.readouterr().out
    )


def test_a_gradient_that_is_not_finite_changes_nothing(pretrained, tmp_path):
    """Under a finite loss, in the last minibatch: nothing would be noticed before the next
    rollout."""
    trainer, watch = make(pretrained, tmp_path, epochs=1, batch=32, coach="none")
    before = weights(trainer)
    hook = trainer.policy.critic[0].weight.register_hook(lambda gradient: gradient * np.nan)
    assert trainer.update(watch)["train/skipped"] == 1 and not changed(trainer, before)
    hook.remove()
    assert trainer.update(watch)["train/skipped"] == 1 and changed(trainer, before)


def test_a_loss_that_is_not_finite_changes_nothing(pretrained, tmp_path, monkeypatch):
    trainer, watch = make(pretrained, tmp_path, epochs=2, coach="none")
    before, evaluate, calls = weights(trainer), trainer.policy.evaluate_actions, []

    def late(obs, actions):
        calls.append(1)
        values, log_prob, entropy = evaluate(obs, actions)
        return values, log_prob * (np.nan if len(calls) == 3 else 1.0), entropy

    monkeypatch.setattr(trainer.policy, "evaluate_actions", late)
    assert trainer.update(watch)["train/skipped"] == 1
    assert not changed(trainer, before), (
        "two minibatches had been learned from before the third went wrong"
    )
    assert trainer.update(watch)["train/skipped"] == 1 and changed(trainer, before), (
        "and then it goes on"
    )


def test_the_rate_follows_the_divergence(pretrained, tmp_path):
    trainer, watch = make(pretrained, tmp_path, coach="none", target_kl=1e-9, lr=1e-3)
    trainer.update(watch)
    assert trainer.policy.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 1.5)
    assert trainer.policy.optimizer.param_groups[1]["lr"] == 1e-3


def test_the_coach_teaches_alone_and_then_ppo_does(pretrained, tmp_path):
    """Rewards move the actor from `coach_alone` on, without a warm-up; the critic learns all the
    while."""
    trainer, watch = make(pretrained, tmp_path, coach_alone=0.5, value_warmup=1, coach_drives=0.0)
    kl = []
    for update in range(4):  # of 32 steps each, a quarter of the run
        before = weights(trainer)
        kl.append(trainer.update(watch)["train/kl"])
        names = changed(trainer, before)
        assert any(k.startswith("critic.") for k in names) and any(
            ".adapter." in k for k in names
        ), update
    assert kl[:2] == [0, 0] and min(kl[2:]) > 0 and trainer.progress.criticised == 2


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (dict(coach="none", ppo_weight=0.0), "nothing would be learned"),
        (dict(hide_ego=1.5), "--hide-ego is 1.5"),
        (dict(target_kl=0.0), "--target-kl is 0.0"),
        (dict(divergence=float("nan")), "--divergence is nan"),
        (dict(coach="nobody"), "nobody: no such folder"),
        (dict(tracks=Path("nowhere.txt")), "nowhere.txt: cannot be read"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, more, text):
    with pytest.raises(UserError, match=text):
        check(PPOArgs(tmp_path, **more), 1)


@pytest.mark.parametrize(("sense", "coach"), [("rays", "none"), ("images", "expert")])
def test_what_is_sensed_goes_on_as_if_nothing_had_happened(pretrained, tmp_path, sense, coach):
    """The clock of chance, and those of what worlds remember, which begin anew with every
    episode."""
    trainer, watch = make(pretrained, tmp_path, sense=sense, coach=coach)
    trainer.update(watch)
    trainer.env.begin(np.array([0]))
    again, _ = make(pretrained, tmp_path, sense=sense, coach=coach)
    again.env.restore(trainer.env.arrays())
    one, other = trainer.env.arrays(), again.env.arrays()
    assert one.keys() == other.keys() and trainer.env.tick == again.env.tick == 9
    assert all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)


@pytest.mark.parametrize("sense", ["images", "rays"])
def test_a_new_episode_is_seen_as_by_somebody_who_has_just_come(pretrained, tmp_path, sense):
    """Nothing of the last one is left in what the policy sees: neither frames, nor places, nor what
    it was told."""
    trainer, watch = make(
        pretrained, tmp_path, sense=sense, coach="none", memory=4, hide_ego=0.0, envs=2, scenes=1
    )
    env: Any = trainer.env
    looked, look = [], env.look
    env.look = lambda seen, rng: looked.append(seen) or look(seen, rng)
    way = np.tile([0.8, 0.3], (2, 1))
    for _ in range(3):
        env.step(way)
    env.worlds.limit[1], drawn = 0.0, env.worlds.source.next

    def on_the_spot(world):  # where what is remembered lies near
        scene, episode = drawn(world)
        return scene, replace(episode, start=tuple(env.worlds.pose[world]))

    env.worlds.source.next = on_the_spot
    seen, _, done, _ = env.step(way)
    assert done.tolist() == [False, True]
    if sense == "rays":
        new = RaySense(env.worlds, env.sense.config).observe()
    else:
        new = Prefix(Agent.load(pretrained, 2), env.prefix.whole)(looked[-1], np.zeros(2, bool))
    name = "rays" if sense == "rays" else "seen"
    np.testing.assert_allclose(seen[name][done], new[done], atol=1e-5)
    assert (np.abs(seen[name][~done] - new[~done]).max(1) > 1e-3).all(), "the others remember"


def test_killed_and_resumed_is_bit_for_bit_the_same(pretrained, tmp_path):
    common: list[Any] = ["--init", pretrained, "--envs", 4, "--horizon", 8, "--scenes", 2]
    common += ["--splats", 0, "--coach", "expert", "--steps", 384, "--batch", 16]
    common += ["--save-every", 2, "--lessons", 100]
    printed, pointer = tmp_path / "printed", tmp_path / "cut" / "checkpoints" / "last"
    with forking() as fork:

        def start(*words):
            process = fork(target=run_command, args=("s2e.rl.train", [*common, *words], printed))
            process.start()
            return process

        def finish(*words):
            process = start(*words)
            process.join()
            assert process.exitcode == 0, printed.read_text()

        finish("--out", tmp_path / "whole")
        cut = start("--out", tmp_path / "cut")
        while not pointer.exists() and cut.is_alive():
            time.sleep(0.005)
        cut.kill()
        cut.join()
        assert int(pointer.read_text()) < 12, "it was to be killed in the middle"
        finish("--out", tmp_path / "cut", "--resume")
    one, other = (find_checkpoint(tmp_path / n) for n in ("whole", "cut"))
    for file in ("model.safetensors", "training_state/tensors.safetensors"):
        a, b = read_tensors(one / file), read_tensors(other / file)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), file
    steps = [
        line.split(",")[0] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [f'{{"step": {i}' for i in range(1, 13)]


def test_more_worlds_than_memory_holds_are_refused_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr("s2e.core.memory.available_bytes", lambda: 8 << 30)
    with pytest.raises(
        UserError,
        match=r"--envs 200000 needs some 1,.*GiB of memory, and 8.0 GiB are free: give at most "
        r"\d\d\d",
    ):
        check(PPOArgs(tmp_path, envs=200_000), 1)
    with pytest.raises(UserError, match="too little even for one"):
        check(PPOArgs(tmp_path, lessons=10**9), 1)
    check(PPOArgs(tmp_path, sense="rays", envs=4096), 1)


@pytest.mark.parametrize(
    ("more", "text"),
    [(dict(objects="none"), "no such file or folder"), (dict(tracks="none"), "none")],
)
def test_own_things_and_tracks_are_read_before_anything_is_built(tmp_path, more, text):
    with pytest.raises(UserError, match=text):
        check(PPOArgs(tmp_path, **{name: tmp_path / path for name, path in more.items()}), 1)
