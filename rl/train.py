"""`s2e-ppo`: from a pretrained policy to an experienced one; what it can be asked for is in
`args.py`.

PPO of Stable-Baselines3 over batched worlds, with a coach who labels what the policy drives into.
Only the residual-attention adapters (and a critic) are trained; what is frozen runs once per frame.
At step 0 the policy is the pretrained one exactly. Stopped at any moment, it resumes to the same
weights.
"""

import dataclasses
import math
import os
import time
from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm

from s2e.core import dist
from s2e.core.commandline import as_json
from s2e.core.errors import UserError, choose_device
from s2e.core.memory import require_memory
from s2e.core.run import Interrupt, Run, check_out, same_config
from s2e.core.state import part, prefixed
from s2e.envs.people.tracks import read_tracks
from s2e.envs.rays import RayConfig, RayPolicy, load_rays
from s2e.envs.robots.fleet import CONTROL_S
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.sb3 import UrbanVecEnv
from s2e.envs.scenes.files import SUITES
from s2e.envs.streets.object_files import load_objects
from s2e.envs.vector import EpisodesConfig, make_worlds, worlds_bytes
from s2e.policy.agent import Agent
from s2e.policy.checkpoint import (
    find_checkpoint,
    load_networks,
    load_training_state,
    optimizer_state,
    policy_state,
    restore_optimizer,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.encoder import visual_net
from s2e.policy.network import S2EPolicy
from s2e.rl.args import PPOArgs, check_words, main, worlds_config
from s2e.rl.coach import LABEL, make_coach
from s2e.rl.lessons import Lessons
from s2e.rl.policy import RayActorCritic, S2EActorCritic
from s2e.rl.ppo import CoachedPPO, Objective, Progress
from s2e.rl.sense import GREEDY, Prefix, SenseImages, SenseRays, Share

SCRATCH = "scratch"
GREEDY_ALONE = 0.5
"""Least share of worlds without exploration while the coach teaches alone: a policy that does not
explore has jams of its own."""
TICK = "sense.tick"
"""Of a checkpoint's arrays of worlds the one that all worlds share."""
SETTLED_S = 120.0
"""Seconds of a world, some two limits of a long episode: before, the short ones are too many among
those that have ended."""
SKIPS = 3
"""Updates in a row that may go wrong before a run stops."""
PATIENCE_S = 600.0
"""How long a rank waits for the others: an update takes seconds, making worlds minutes."""
BATCH = {"rays": 2048, "images": 256}
"""Samples of a minibatch where --batch is 0."""
HORIZON, POOL, REFRESH = {"rays": 32, "images": 16}, {"rays": 128, "images": 0}, 2
"""Where --horizon and --scenes are 0, and after how many episodes streets without end are new."""
STEPS = {"rays": 5_000_000, "images": 196_608}
"""Where --steps is 0."""
ROW_BYTES = {"rays": 2e3, "images": 20e3}
"""Memory of a step of a world that is stored, and of its copy in an update."""
SCALE = {
    "rays": {"ram": 5e-4},
    "images": {"ram": 1e-3, "decoder": 5e-4, "full": 5e-4},
}
"""The actor's rate where --lr is 0."""


def settled(args: PPOArgs) -> PPOArgs:
    """The same with what stands behind a 0 of --steps, --horizon, --scenes and --refresh."""
    scenes, refresh = args.scenes or POOL[args.sense], args.refresh
    if not scenes and not refresh:
        scenes, refresh = 1, 0 if args.scene else REFRESH  # neither uses a pool
    steps, horizon = args.steps or STEPS[args.sense], args.horizon or HORIZON[args.sense]
    return dataclasses.replace(args, steps=steps, horizon=horizon, scenes=scenes, refresh=refresh)


def check(args: PPOArgs, world: int) -> None:
    """Refuses what cannot work, before anything is built."""
    check_words(args)
    if args.envs % world:
        raise UserError(f"--envs {args.envs} cannot be dealt to {world} ranks; use a multiple")
    if args.envs // world * settled(args).horizon < 2:
        raise UserError("--envs times --horizon is 1; PPO needs at least 2 samples an update")
    check_memory(settled(args), world)
    if args.objects is not None:
        load_objects(args.objects)
    if args.tracks is not None:
        read_tracks(args.tracks)
    if args.sense == "images" and args.coach not in ("none", "expert"):
        load_rays(args.coach, worlds_config(args).robots)


def check_memory(args: PPOArgs, world: int) -> None:
    """Refuses more worlds than the memory of this machine holds, with what is stored of them and
    the lessons.
    """
    images = args.sense == "images"
    each, rest = worlds_bytes(0 if args.scene else args.scenes, args.refresh > 0, images)
    if images and args.coach != "none":
        rest += args.lessons * ROW_BYTES["images"] / 4  # once, in half precision
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    require_memory(
        "--envs",
        args.envs // world * here,
        each + args.horizon * ROW_BYTES[args.sense],
        here * rest,
    )


def objective(args: PPOArgs) -> Objective:
    """What the run minimises."""
    coached = args.sense == "images" and args.coach != "none"
    return Objective(
        ppo=args.ppo_weight,
        coach=args.coach_weight if coached else 0.0,
        coach_alone=args.coach_alone if coached else 0.0,
        coach_until=args.coach_until if args.ppo_weight else 0.0,
        divergence=args.divergence,
        target_kl=args.target_kl,
        warmup=0 if coached and args.coach_alone else args.value_warmup,
        epochs=args.epochs,
        batch=args.batch or BATCH[args.sense],
        lr=args.lr or SCALE[args.sense].get(args.adapter, 5e-4),
    )


class Watch(BaseCallback):
    """Counts what finished episodes of all ranks ended with, and the reward terms."""

    def __init__(self, bar: tqdm, worlds: Any):
        super().__init__()
        self.bar, self.worlds = bar, worlds
        self.ended: deque[tuple[float, ...]] = deque(maxlen=400)
        self.greedy: deque[float] = deque(maxlen=100)
        self.seeds: list[np.ndarray] = []
        """The worlds' seeds at each step of the rollout: who ended an episode has another
        afterwards."""
        self._begin()

    def _begin(self) -> None:
        """Forgets what this rank has seen since `collect`."""
        self.new_ended: list[tuple[float, ...]] = []
        self.new_greedy: list[float] = []
        self.terms: dict[str, list[float]] = {}

    def _on_rollout_start(self) -> None:
        self.seeds = [self.worlds.seed.copy()]

    def _on_step(self) -> bool:
        self.seeds.append(self.worlds.seed.copy())
        last, env = self.worlds.last, self.training_env
        self.bar.update(env.share.total)  # pyright: ignore[reportAttributeAccessIssue]
        best = env.driver[last["world"]] == GREEDY  # pyright: ignore[reportAttributeAccessIssue]
        self.new_greedy.extend(last["success"][best].astype(float))
        ended = zip(
            last["success"][~best],
            last["contacts"][~best],
            last["return"][~best],
            last["time_s"][~best],
            strict=True,
        )
        self.new_ended.extend(ended)
        for name, values in last.items():
            if name.startswith("reward_"):
                self.terms.setdefault(name.removeprefix("reward_"), []).append(float(values.mean()))
        return True

    def collect(self) -> dict[str, float]:
        """Means since the last call (terms) and over the last 400 episodes (the rest), on rank 0.

        It is to be called on all ranks at once.
        """
        terms = {k: float(np.mean(v)) for k, v in self.terms.items()}
        parts = dist.to_first((terms, self.new_ended, self.new_greedy))
        self._begin()
        for _, ended, greedy in parts:
            self.ended.extend(ended)
            self.greedy.extend(greedy)
        names = terms if parts else ()
        values = {f"reward/{k}": float(np.mean([every[k] for every, *_ in parts])) for k in names}
        if self.ended:
            success, contacts, returned, time_s = np.array(self.ended, dtype=float).mean(0)
            touched = float(np.mean([e[1] > 0 for e in self.ended]))
            values |= {
                "episode/success": success,
                "episode/contacts": contacts,
                "episode/touched": touched,
            }
            values |= {"episode/return": returned, "episode/time_s": time_s}
        if self.greedy:
            values["episode/success_best_mode"] = float(np.mean(self.greedy))
        return values

    def in_words(self, values: dict[str, float]) -> str:
        """What `collect` gave, with how many episodes stand behind it: fewer than it keeps where
        fewer have ended.
        """
        explored = ", ".join(
            f"{name} {values[f'episode/{name}']:.2f}"
            for name in ("success", "contacts", "touched", "return", "time_s")
            if f"episode/{name}" in values
        )
        best = f"success {values.get('episode/success_best_mode', math.nan):.2f} of the best mode"
        parts = [f"last {len(self.ended)} episodes: {explored}"] if self.ended else []
        parts += [f"{best}, without exploring, in {len(self.greedy)} more"] if self.greedy else []
        return "; ".join(parts) or "no episode has ended"

    def arrays(self) -> dict[str, np.ndarray]:
        """The episodes that `restore` needs, on rank 0."""
        return {
            "ended": np.array(self.ended, dtype=float).reshape(-1, 4),
            "greedy": np.array(self.greedy, dtype=float),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` gave."""
        self.ended.extend(map(tuple, arrays["ended"].tolist()))
        self.greedy.extend(arrays["greedy"].tolist())


class Trainer:
    """Worlds, what is seen of them, and PPO of one run."""

    def __init__(self, args: PPOArgs, rank: int, world: int):
        args = settled(args)
        self.args, self.rank, self.ranks = args, rank, world
        self.count = args.envs // world
        self.share = Share(rank * self.count, self.count, args.envs)
        self.objective = objective(args)
        set_random_seed(args.seed)
        more: dict[str, Any] = {"critic_lr": args.critic_lr}
        if args.sense == "rays":
            rays = self._rays()
            self.worlds = self._worlds(PRESETS["laptop"], draw=False)
            self.env: SenseImages | SenseRays = SenseRays(
                UrbanVecEnv(self.worlds), rays.config, self.share, args.seed
            )
            policy = RayActorCritic
            more |= {"rays": rays}
        else:
            pretrained, self.net = self._images()
            self.worlds = self._worlds(pretrained.config)
            coach = make_coach(args.coach, self.worlds, args.coach_margin)
            agent = Agent(pretrained, self.net, self.count, args.device)
            self.prefix = Prefix(agent, args.adapter == "full")
            self.env = SenseImages(
                UrbanVecEnv(self.worlds), self.prefix, args.hide_ego, coach, self.share, args.seed
            )
            policy = S2EActorCritic
            more |= {
                "s2e": pretrained,
                "prefix": self.prefix,
                "adapter": args.adapter,
                "way": args.coach_way,
                "reader": args.reader,
            }
        # the critic's start must not depend on how the policy was loaded
        torch.manual_seed(args.seed)
        self.model = CoachedPPO(
            policy,  # pyright: ignore[reportArgumentType]
            self.env,
            learning_rate=self.objective.lr,
            n_steps=args.horizon,
            batch_size=min(self.objective.batch, self.count * args.horizon),
            n_epochs=args.epochs,
            gamma=args.gamma,
            gae_lambda=args.gae_lambda,
            clip_range=args.clip,
            ent_coef=args.entropy,
            max_grad_norm=1.0,
            policy_kwargs=more,
            device=args.device,
        )
        self.model.seed = args.seed
        self.model.objective, self.model.share = self.objective, self.share
        self.progress = self.model.progress = Progress(ranks=world)
        if args.sense == "images" and self.env.coach is not None:
            self.model.lessons = Lessons(args.lessons, self.prefix.width, LABEL)
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self.policy: Any = self.model.policy
        dist.same_start(self.policy.parameters())

    def _rays(self) -> RayPolicy:
        args = self.args
        if args.resume:
            return load_rays(args.out, worlds_config(args).robots).train()
        robots = worlds_config(args).robots
        views = tuple(ROBOTS[name].camera.hfov_deg for name in robots)
        return RayPolicy(RayConfig(robots=robots, views_deg=views, memory=args.memory))

    def _images(self) -> tuple[S2EPolicy, Any]:
        args = self.args
        if args.init == SCRATCH and not args.resume:
            config = PRESETS["laptop"]
            return S2EPolicy(config), visual_net(config)
        return load_networks(args.out if args.resume else args.init, newest=args.resume)

    def _worlds(self, policy: PolicyConfig, draw: bool = True) -> Any:
        args = self.args
        return make_worlds(
            self.count,
            worlds_config(args, policy),
            EpisodesConfig(
                scenes=args.scenes,
                seed=args.seed,
                first=self.share.first,
                scene=args.scene,
                curriculum=args.curriculum,
                refresh=args.refresh,
                objects=args.objects,
                splats=args.splats if draw and not args.scene else 0.0,
            ),
            draw=draw,
            fits=True,  # see `check_memory`
        )

    def start(self, watch: Watch) -> None:
        """Begins all episodes, or goes on with those of the checkpoint."""
        self.watch = watch
        self._share_out(0.0)
        self.model._last_obs = self.env.reset()
        self.model._last_episode_starts = np.ones(self.count, dtype=bool)
        if self.args.resume:
            self.load()
        watch.init_callback(self.model)
        self.model.ep_info_buffer = deque(maxlen=100)
        self.model.ep_success_buffer = deque(maxlen=100)

    def _share_out(self, done: float) -> None:
        """Says who drives which worlds when a share of the run is done."""
        args = self.args
        coached = (
            max(0.0, 1.0 - done / args.coach_drives)
            if args.coach_drives and self.env.coach
            else 0.0
        )
        greedy = max(args.greedy, GREEDY_ALONE) if self.objective.alone_at(done) else args.greedy
        self.env.drivers(greedy * (1.0 - coached), coached)
        if args.sense == "rays":
            self.policy.explore(done)

    def update(self, watch: Watch) -> dict[str, float]:
        """One rollout and one PPO update; returns what to log."""
        began = time.monotonic()
        model, steps = self.model, self.args.envs * self.args.horizon
        self._share_out(model.num_timesteps * self.ranks / self.args.steps)
        model.collect_rollouts(self.env, watch, model.rollout_buffer, self.args.horizon)
        collected = time.monotonic()
        model._update_current_progress_remaining(model.num_timesteps * self.ranks, self.args.steps)
        wrong, place = self._not_finite()
        if not dist.any_rank(bool(wrong)):
            model.train()
            wrong, place = "the loss or its gradient", model.culprit
        else:
            model.metrics = {"skipped": 1.0}
        if place:
            world, step = place
            wrong += f" of world {self.share.first + world} (seed {int(watch.seeds[step][world])})"
        self._count_skipped(wrong)
        self.progress.step += 1
        ended = time.monotonic()
        return {
            **{f"train/{k}": v for k, v in model.metrics.items()},
            **watch.collect(),
            "train/skipped": float(self.progress.skipped),
            "time/steps_per_s": steps / (ended - began),
            "time/rollout_per_s": steps / (collected - began),
        }

    def _not_finite(self) -> tuple[str, tuple[int, int] | None]:
        """What of the rollout is no finite number, and where first: world of this rank and step.
        Empty where all is.
        """
        buffer: Any = self.model.rollout_buffer
        labelled = self.env.coach is not None
        stored = {k: v for k, v in buffer.observations.items() if k != "label" or labelled}
        for name, values in {"reward": buffer.rewards, **stored}.items():
            bad = ~np.isfinite(values).reshape(*values.shape[:2], -1).all(2)
            if bad.any():
                step, world = map(int, np.argwhere(bad)[0])
                return name, (world, step)
        return "", None

    def _count_skipped(self, wrong: str) -> None:
        progress = self.progress
        if not self.model.metrics.get("skipped"):
            progress.skipped_in_a_row = 0
            return
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        what = (
            f"update {progress.step + 1} is skipped: {wrong or 'something on another rank'} is "
            "not finite"
        )
        if progress.skipped_in_a_row < SKIPS:
            print(what, flush=True)
            return
        last = self.args.out / "checkpoints" / "last"
        good = "there is no checkpoint"
        if last.exists():
            good = f"the last good checkpoint is {find_checkpoint(self.args.out, newest=True)}"
        again = "start anew with a smaller --lr"
        if last.exists() and self.args.sense == "images":
            again += ", or with --init from there"
        raise UserError(f"{self.args.out}: {what}, the {SKIPS}rd in a row; {good}; {again}")

    def save(self) -> None:
        """Writes a checkpoint (rank 0, while the others wait) with the worlds and lessons of all
        ranks.
        """
        arrays, worlds = self._all_worlds()
        if self.model.lessons is not None:
            arrays |= prefixed("lessons", self.model.lessons.arrays())
        if self.rank == 0:
            progress, actor = self.progress, self.policy.actor
            progress.env_steps = self.model.num_timesteps * self.ranks
            progress.n_updates = self.model._n_updates
            tensors, state = rng_state()
            moments, groups = optimizer_state(self.policy.optimizer)
            arrays |= prefixed("watch", self.watch.arrays())
            contiguous = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
            tensors |= moments | prefixed("world", contiguous)
            tensors |= prefixed("critic", self.policy.critic.state_dict())
            if self.args.sense == "rays":
                config = {"stage": "ppo", "rays": dataclasses.asdict(actor.config)}
                model = prefixed("rays", actor.state_dict())
            else:
                tensors |= prefixed("start", self.policy.started[0].state_dict())
                config = {"stage": "ppo", "policy": actor.config.to_dict()}
                model = policy_state(actor, self.net)
            folder = self.args.out / "checkpoints" / f"{progress.step:08d}"
            state |= {**groups, **dataclasses.asdict(progress), "worlds": worlds}
            save_checkpoint(folder, config, model, tensors, state, keep=self.args.keep)
        dist.barrier()

    def _all_worlds(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The state of all ranks' worlds and of what looks at them, on rank 0; elsewhere
        nothing.
        """
        arrays, state = self.worlds.state()
        last: Any = self.model._last_obs
        arrays |= prefixed("sense", self.env.arrays())
        arrays |= prefixed("last", {k: np.asarray(v) for k, v in last.items()})
        arrays |= {"starts": np.asarray(self.model._last_episode_starts)}
        ranks = dist.to_first((arrays, state["source"]))
        if not ranks:
            return {}, {}
        joined = {k: _joined([own[k] for own, _ in ranks]) for k in arrays if k != TICK}
        source = {k: [world for _, own in ranks for world in own[k]] for k in state["source"]}
        return joined | {TICK: arrays[TICK]}, {"source": source}

    def _own_worlds(
        self, arrays: dict[str, np.ndarray], state: dict[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """This rank's part of what `_all_worlds` gave, whatever the number of ranks was."""
        here = slice(self.share.first, self.share.first + self.count)
        shared = (TICK, "lessons.", "watch.")
        own = {k: v if k.startswith(shared) else v[here] for k, v in arrays.items()}
        if self.args.refresh:  # each world has a scene of its own, and ranks count theirs from 0
            scene = np.arange(self.count)
            field = self.worlds.stage.field_of(scene, own["fleet.step_class"])
            places = {
                "scene_id": scene,
                "physics.scene": scene,
                "field_id": field,
                "physics.field_id": field,
            }
            own |= {k: v for k, v in places.items() if k in own}
        return own, {"source": {k: v[here] for k, v in state["source"].items()}}

    def load(self) -> None:
        """Puts back everything but the weights, which came with the policy, on any number of
        ranks.
        """
        tensors, state = load_training_state(find_checkpoint(self.args.out, newest=True))
        self.policy.critic.load_state_dict(part("critic", tensors))
        if self.args.sense == "images":
            self.policy.restart_from(part("start", tensors))
        restore_optimizer(self.policy.optimizer, tensors, state)
        progress = self.progress = self.model.progress = Progress.of(state)
        progress.ranks = self.ranks
        self.model.num_timesteps = progress.env_steps // self.ranks
        self.model._n_updates = progress.n_updates
        saved = {k: v.numpy() for k, v in part("world", tensors).items()}
        arrays, worlds = self._own_worlds(saved, state["worlds"])
        self.worlds.restore_state(arrays, worlds)
        self.env.restore(part("sense", arrays))
        if self.rank == 0 and (watched := part("watch", arrays)):  # checkpoints of before have none
            self.watch.restore(watched)
        if self.model.lessons is not None:
            self.model.lessons.restore(part("lessons", arrays), self.rank, self.ranks)
        self.model._last_obs = {k: v.copy() for k, v in part("last", arrays).items()}  # pyright: ignore[reportAttributeAccessIssue]
        self.model._last_episode_starts = arrays["starts"].copy()
        restore_rng(tensors, state)


def _joined(ranks: list[np.ndarray]) -> np.ndarray:
    """Arrays (B, ...) of all ranks, one after the other.

    Where rows differ in length, as the expert's routes do, they are filled up with zeros.
    """
    widest = np.max([rows.shape[1:] for rows in ranks], axis=0).astype(int)
    joined, first = np.zeros((sum(map(len, ranks)), *widest), ranks[0].dtype), 0
    for rows in ranks:
        joined[(slice(first, first + len(rows)), *map(slice, rows.shape[1:]))] = rows
        first += len(rows)
    return joined


def ground(args: PPOArgs) -> str:
    """Where the worlds of a run are, in words."""
    if args.scene:
        scenes = SUITES.get(args.scene, (args.scene,))
        return (
            f"the scene {args.scene}"
            if len(scenes) == 1
            else f"the {len(scenes)} scenes of {args.scene}"
        )
    if args.refresh:
        when = "episode" if args.refresh == 1 else f"{args.refresh} episodes"
        return f"streets of their own, new every {when}"
    return "one street" if args.scenes == 1 else f"{args.scenes} streets"


def train(args: PPOArgs) -> None:
    """The whole command."""
    args = dataclasses.replace(args, device=choose_device(args.device))
    rank, world = dist.start(args.device, PATIENCE_S)
    check(args, world)
    args = settled(args)
    check_out(args.out, args.resume)
    config = as_json(args) | {"world_size": world}
    resume_at, before = None, world
    if args.resume:
        same_config(
            args.out, config, may_differ=("resume", "out", "device", "steps", "keep", "world_size")
        )
        state = load_training_state(find_checkpoint(args.out, newest=True))[1]
        resume_at, before = int(state["step"]), int(state.get("ranks", 1))
    trainer = Trainer(args, rank, world)
    run = Run(args.out, config, resume_at, write=rank == 0)
    per_update = args.envs * args.horizon
    updates = max(1, math.ceil(args.steps / per_update))
    trained = sum(p.numel() for p in trainer.policy.actor.parameters() if p.requires_grad)
    what = {"ram": "adapters", "decoder": "the decoder", "full": "all but the encoder"}[
        args.adapter
    ]
    done = f", {resume_at} of them done" if resume_at else ""
    run.say(f"{args.envs} worlds in {ground(args)}, {updates} updates of {per_update} steps{done}")
    if before != world:
        dealt = "worlds and lessons are dealt out anew and go on where they were"
        run.say(f"ranks: {before} before, {world} now; {dealt}")
    if args.sense == "images":
        run.say(
            f"{trained / 1e6:.2f} M weights train ({what}), all else of the policy is frozen; "
            f"coach: {args.coach}"
        )
    bar = tqdm(
        total=updates * per_update, desc="ppo", unit="step", disable=None if rank == 0 else True
    )
    with bar, Interrupt() as interrupt:
        watch = Watch(bar, trainer.worlds)
        trainer.start(watch)
        bar.update(trainer.progress.step * per_update)
        while trainer.progress.step < updates:
            values = trainer.update(watch)
            run.log(trainer.progress.step, values)
            bar.set_postfix(success=f"{values.get('episode/success', math.nan):.2f}")
            stop = dist.any_rank(interrupt.asked)  # all of them stop at the same update
            # while updates go wrong the last good checkpoint stays
            good = not trainer.progress.skipped_in_a_row
            due = good and trainer.progress.step % args.save_every == 0
            if due or trainer.progress.step == updates or stop:
                trainer.save()
            if stop and trainer.progress.step < updates:
                raise KeyboardInterrupt
    lived_s = (
        trainer.progress.step * args.horizon * trainer.worlds.config.controls_per_step * CONTROL_S
    )
    summary = watch.in_words(watch.collect())
    if lived_s < SETTLED_S:
        summary += (
            f"; who fails takes longest to end, so after {lived_s:.0f} s in each world this "
            "may be too high"
        )
    run.say(f"training worlds: {summary}")
    if rank == 0:
        run.say(f"checkpoint: {find_checkpoint(args.out)}")
    run.close()
    dist.finish()


if __name__ == "__main__":
    main()
