"""`s2e-ppo`: from a pretrained policy to an experienced one.

    s2e-ppo --envs 256 --init RUN --out RUN2
    s2e-ppo --envs 256 --init RUN --out RUN2 --resume
    s2e-ppo --sense rays --robot any --out RAYS          a policy on distances: coach and bound of those that see

PPO of Stable-Baselines3 over batched worlds, with a coach who labels what the policy drives into. Only the residual-attention
adapters (and a critic) are trained; what is frozen runs once per frame. At step 0 the policy is the pretrained one exactly. Stopped
at any moment, it resumes to the same weights.
"""

import dataclasses
import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm

from s2e import dist
from s2e.acting import Actor
from s2e.checkpoint import (
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
from s2e.config import PRESETS, PolicyConfig
from s2e.encoder import visual_net
from s2e.envs.config import WorldsConfig
from s2e.envs.rays import RayConfig, RayPolicy, load_rays
from s2e.envs.robots import ROBOTS
from s2e.envs.sb3 import UrbanVecEnv
from s2e.envs.scene_files import SUITES
from s2e.envs.tracks import read_tracks
from s2e.envs.vector import make_worlds
from s2e.errors import UserError, check_device, require, run_command
from s2e.policy import S2EPolicy
from s2e.rl.coach import LABEL, make_coach
from s2e.rl.lessons import Lessons
from s2e.rl.policy import RayActorCritic, S2EActorCritic
from s2e.rl.ppo import CoachedPPO, Objective
from s2e.rl.sense import GREEDY, Prefix, SenseImages, SenseRays, Share
from s2e.run import Interrupt, Run, check_out, same_config

SCRATCH = "scratch"
GREEDY_ALONE = 0.5
"""Least share of worlds without exploration while the coach teaches alone: a policy that does not explore has jams of its own."""
TICK = "sense.tick"
"""Of a checkpoint's arrays of worlds the one that all worlds share."""
SKIPS = 3
"""Updates in a row that may go wrong before a run stops."""
PATIENCE_S = 600.0
"""How long a rank waits for the others: an update takes seconds, making worlds minutes."""
BATCH = {"rays": 2048, "images": 256}
"""Samples of a minibatch where --batch is 0."""
HORIZON, POOL, REFRESH = {"rays": 32, "images": 16}, {"rays": 128, "images": 0}, 2
"""Where --horizon and --scenes are 0, and after how many episodes streets without end are new."""
SCALE = {
    "rays": {"ram": 5e-4},
    "images": {"ram": 1e-3, "decoder": 5e-4, "full": 5e-4},
}
"""The actor's rate where --lr is 0."""


@dataclass(frozen=True)
class PPOArgs:
    """Fine-tune a pretrained S2E policy with PPO in simulated streets."""

    out: Path
    """The new run's folder."""
    init: str = "laptop"
    """What to start from: a pretrained run, a checkpoint or an exported folder, the name of a shipped policy, or scratch."""
    sense: Literal["images", "rays"] = "images"
    """What the policy sees. One of rays starts from scratch, and nothing is drawn."""
    envs: int = 256
    """Worlds side by side, over all ranks."""
    steps: int = 500_000
    """Environment steps (0.2 s each), over all worlds."""
    horizon: int = 0
    """Steps of each world between updates; 0 is 16 of images and 32 of rays."""
    scenes: int = 0
    """Different streets in the pool; 0 is streets without end of images, and 128 of rays."""
    splats: float = 1 / 3
    """Share of the streets that are Gaussian splats, spoiled as captures are; of images alone."""
    scene: str = ""
    """A scene to train in instead of streets: gs_urban/plaza, what `s2e-scene` imported, a folder, or gs_urban, all of them."""
    refresh: int = 0
    """0 draws from the pool of --scenes; otherwise each world has streets of its own and a new one after so many episodes. Streets
    without end are new every two."""
    people: int = 6
    """Most people in a world."""
    robot: str = "jackal"
    """jackal, coco, go2, g1, several with commas between, or any: of several, each episode draws one."""
    randomise: float = 0.0
    """How far each episode's robot strays from its figures: 0 to 1."""
    camera_noise: float = 0.5
    """How far each episode's camera strays from a clean image: 0 to 1."""
    physics: Literal["kinematic", "mujoco"] = "kinematic"
    """What moves the robots."""
    splat_backend: Literal["cpu", "gsplat"] = "cpu"
    """What draws splats: our own kernels, or gsplat on an NVIDIA GPU (pip install s2e[gs])."""
    objects: Path | None = None
    """A GLB or OBJ file, or a folder of them, to stand in the way instead of the packaged things."""
    tracks: Path | None = None
    """The obsmat.txt of recorded pedestrians (ETH, UCY), instead of simulated ones."""
    reward: str = "compact"
    """Set of reward terms: urban_sim or compact."""
    shaping: Literal["geodesic", "straight"] = "geodesic"
    """What coming nearer to the goal means: along the way there, or through the air."""
    collision: Literal["counts", "ends"] = "counts"
    """Contacts are counted, as the benchmark does, or end the episode; both cost."""
    curriculum: bool = False
    """Begin with near goals, emptier streets and fewer people; success makes it harder, world by world."""
    adapter: Literal["ram", "decoder", "full"] = "ram"
    """What trains: the residual-attention adapters, the decoder instead, or all but the visual encoder."""
    reader: bool = True
    """Train beside it a branch that reads the whole context and the odometry of the last four seconds."""
    coach: str = "rays"
    """Who labels what the policy drives into: rays (shipped), a run of --sense rays, expert (the planner), or none."""
    coach_weight: float = 1.0
    """Weight of -log p of what the coach would do, at first."""
    coach_alone: float = 0.8
    """Share of the run in which the coach alone teaches, while the critic learns what to expect; then PPO begins."""
    coach_until: float = 1.0
    """Share of the run after which the coach's weight has fallen to 0, in a straight line from there on; 0 keeps it."""
    coach_drives: float = 0.15
    """Share of the run in which the coach drives, disturbed: at first in all worlds, then in fewer and fewer."""
    coach_margin: float = 0.1
    """Metres that things seem nearer to the coach than they are: so he keeps a distance that images are good enough for."""
    coach_way: float = 0.1
    """Weight of the coach's way of two seconds beside his action."""
    ppo_weight: float = 1.0
    """Weight of PPO's own terms for the actor; 0 imitates the coach alone (on-policy distillation)."""
    divergence: float = 0.0
    """Weight of the divergence from the policy that the run starts with."""
    lessons: int = 131_072
    """Frames with the coach's labels that are kept; hard ones and near things stay longer."""
    hide_ego: float = 0.3
    """Share of frames in which the robot's own motion is hidden from the policy."""
    greedy: float = 1 / 16
    """Share of worlds whose policy does not explore: their success is that of its best mode. PPO does not learn from them. While the
    coach teaches alone it is half of them at least: he labels what the best mode drives into."""
    memory: int = 12
    """Scans that a policy of rays remembers, one every .4 s."""
    lr: float = 0.0
    """The actor's learning rate, which PPO lowers and raises to hold --target-kl; 0 is 1e-3 for adapters and 5e-4 for all else."""
    critic_lr: float = 1e-3
    """The critic's learning rate."""
    target_kl: float = 0.01
    """Divergence of an update that the actor's rate is held to."""
    batch: int = 0
    """Samples of a minibatch; 0 is 256 of images and 2,048 of rays."""
    epochs: int = 4
    """Passes over each rollout."""
    gamma: float = 0.985
    """Discount per step of 0.2 s."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip: float = 0.2
    """PPO's clip range."""
    entropy: float = 0.001
    """Weight of the entropy, of mixtures a bound on it."""
    value_warmup: int = 4
    """Updates in which only the critic learns, where no coach has taught alone before: meanwhile it has learned."""
    save_every: int = 10
    """Updates between checkpoints."""
    seed: int = 0
    """Seed of everything random."""
    device: str = "cpu"
    """Torch device: cpu or cuda."""
    resume: bool = False
    """Continue the run in --out."""


def settled(args: PPOArgs) -> PPOArgs:
    """The same with what stands behind a 0 of --horizon, --scenes and --refresh."""
    scenes, refresh = args.scenes or POOL[args.sense], args.refresh
    if not scenes and not refresh:
        scenes, refresh = 1, 0 if args.scene else REFRESH  # neither uses a pool
    return dataclasses.replace(args, horizon=args.horizon or HORIZON[args.sense], scenes=scenes, refresh=refresh)


def check(args: PPOArgs, world: int) -> None:
    """Refuses numbers that cannot work."""
    for name in ("envs", "steps", "epochs", "save_every", "lessons"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}; it must be at least 1")
    for name in ("value_warmup", "horizon", "scenes", "refresh", "memory", "seed", "batch"):
        require(getattr(args, name) >= 0, f"--{name.replace('_', '-')} is {getattr(args, name)}; it must not be negative")
    worlds_config(args)  # refuses names and numbers that cannot be, before anything is loaded
    if args.tracks is not None:
        read_tracks(args.tracks)
    if args.envs % world:
        raise UserError(f"--envs {args.envs} cannot be dealt to {world} ranks; use a multiple")
    if args.envs // world * settled(args).horizon < 2:
        raise UserError("--envs times --horizon is 1; PPO needs at least 2 samples an update")
    for name in ("entropy", "coach_weight", "coach_margin", "ppo_weight", "divergence", "coach_way", "lr"):
        value = getattr(args, name)
        require(math.isfinite(value) and value >= 0, f"--{name.replace('_', '-')} is {value}; it must be a number, 0 or more")
    for name in ("critic_lr", "clip", "target_kl"):
        value = getattr(args, name)
        require(math.isfinite(value) and value > 0, f"--{name.replace('_', '-')} is {value}; it must be a positive number")
    for name in ("coach_alone", "coach_until", "coach_drives", "hide_ego", "greedy", "splats"):
        value = getattr(args, name)
        require(0 <= value <= 1, f"--{name.replace('_', '-')} is {value}; it is a share, 0 to 1")
    if not (0 < args.gamma < 1 and 0 <= args.gae_lambda <= 1):
        raise UserError(f"--gamma {args.gamma} must be between 0 and 1, --gae-lambda {args.gae_lambda} within 0 and 1")
    learns = args.ppo_weight > 0 or (args.sense == "images" and args.coach != "none" and args.coach_weight > 0)
    require(learns, "--ppo-weight is 0 and no coach teaches; nothing would be learned")
    check_device(args.device)
    if args.sense == "images" and args.coach not in ("none", "expert"):
        load_rays(args.coach, worlds_config(args).robots)


def worlds_config(args: PPOArgs, policy: PolicyConfig = PRESETS["laptop"]) -> WorldsConfig:
    """What the worlds of a run share."""
    more = {"outputs": ()} if args.sense == "rays" else {}
    return WorldsConfig.for_policy(
        policy, robot=args.robot, people=args.people, randomise=args.randomise, camera_noise=args.camera_noise,
        physics=args.physics, reward=args.reward, shaping=args.shaping, collision=args.collision, tracks=args.tracks,
        splat_backend=args.splat_backend, **more,
    )  # fmt: skip


def objective(args: PPOArgs) -> Objective:
    """What the run minimises."""
    coached = args.sense == "images" and args.coach != "none"
    return Objective(
        ppo=args.ppo_weight, coach=args.coach_weight if coached else 0.0, coach_alone=args.coach_alone if coached else 0.0,
        coach_until=args.coach_until if args.ppo_weight else 0.0, divergence=args.divergence, target_kl=args.target_kl,
        warmup=0 if coached and args.coach_alone else args.value_warmup, epochs=args.epochs,
        batch=args.batch or BATCH[args.sense], lr=args.lr or SCALE[args.sense].get(args.adapter, 5e-4),
    )  # fmt: skip


class Watch(BaseCallback):
    """Counts what finished episodes of all ranks ended with, and the reward terms."""

    def __init__(self, bar: tqdm, worlds: Any):
        super().__init__()
        self.bar, self.worlds = bar, worlds
        self.ended: deque[tuple[float, ...]] = deque(maxlen=400)
        self.greedy: deque[float] = deque(maxlen=100)
        self.seeds: list[np.ndarray] = []
        """The worlds' seeds at each step of the rollout: who ended an episode has another afterwards."""
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
        ended = zip(last["success"][~best], last["contacts"][~best], last["return"][~best], last["time_s"][~best], strict=True)
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
            values |= {"episode/success": success, "episode/contacts": contacts, "episode/touched": touched}
            values |= {"episode/return": returned, "episode/time_s": time_s}
        if self.greedy:
            values["episode/success_best_mode"] = float(np.mean(self.greedy))
        return values

    def in_words(self, values: dict[str, float]) -> str:
        """What `collect` gave, with how many episodes stand behind it: fewer than it keeps where fewer have ended."""
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
        return {"ended": np.array(self.ended, dtype=float).reshape(-1, 4), "greedy": np.array(self.greedy, dtype=float)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` gave."""
        self.ended.extend(map(tuple, arrays["ended"].tolist()))
        self.greedy.extend(arrays["greedy"].tolist())


class Trainer:
    """Worlds, what is seen of them, and PPO of one run."""

    def __init__(self, args: PPOArgs, rank: int, world: int):
        self.args, self.rank, self.ranks = args, rank, world
        self.count = args.envs // world
        self.share = Share(rank * self.count, self.count, args.envs)
        self.objective = objective(args)
        set_random_seed(args.seed)
        more: dict[str, Any] = {"critic_lr": args.critic_lr}
        if args.sense == "rays":
            rays = self._rays()
            self.worlds = self._worlds(PRESETS["laptop"], draw=False)
            self.env: SenseImages | SenseRays = SenseRays(UrbanVecEnv(self.worlds), rays.config, self.share, args.seed)
            policy, more = RayActorCritic, more | {"rays": rays}
        else:
            s2e, self.net = self._images()
            self.worlds = self._worlds(s2e.config)
            coach = make_coach(args.coach, self.worlds, args.coach_margin)
            self.prefix = Prefix(Actor(s2e, self.net, self.count, args.device), args.adapter == "full")
            self.env = SenseImages(UrbanVecEnv(self.worlds), self.prefix, args.hide_ego, coach, self.share, args.seed)
            policy, more = S2EActorCritic, more | {
                "s2e": s2e, "prefix": self.prefix, "adapter": args.adapter, "way": args.coach_way, "reader": args.reader,
            }  # fmt: skip
        torch.manual_seed(args.seed)  # the critic's start must not depend on how the policy was loaded
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
        if args.sense == "images" and self.env.coach is not None:
            self.model.lessons = Lessons(args.lessons, self.prefix.width, LABEL)
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self.policy: Any = self.model.policy
        dist.same_start(self.policy.parameters())
        self.skipped = self.skipped_in_a_row = 0

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
            self.count, args.scenes, args.seed, worlds_config(args, policy), self.share.first, scene=args.scene,
            curriculum=args.curriculum, refresh=args.refresh, objects=args.objects, draw=draw,
            splats=args.splats if draw and not args.scene else 0.0,
        )  # fmt: skip

    @property
    def updates(self) -> int:
        """How many are done."""
        return self.model.updates

    def start(self, watch: Watch) -> None:
        """Begins all episodes, or goes on with those of the checkpoint."""
        self.watch = watch
        self._share_out(0.0)
        self.model._last_obs = self.env.reset()
        self.model._last_episode_starts = np.ones(self.count, dtype=bool)
        if self.args.resume:
            self.load()
        watch.init_callback(self.model)
        self.model.ep_info_buffer, self.model.ep_success_buffer = deque(maxlen=100), deque(maxlen=100)

    def _share_out(self, done: float) -> None:
        """Says who drives which worlds when a share of the run is done."""
        args = self.args
        coached = max(0.0, 1.0 - done / args.coach_drives) if args.coach_drives and self.env.coach else 0.0
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
            model.told = {"skipped": 1.0}
        if place:
            world, step = place
            wrong += f" of world {self.share.first + world} (seed {int(watch.seeds[step][world])})"
        self._count_skipped(wrong)
        model.updates += 1
        ended = time.monotonic()
        return {
            **{f"train/{k}": v for k, v in model.told.items()},
            **watch.collect(),
            "train/skipped": float(self.skipped),
            "time/steps_per_s": steps / (ended - began),
            "time/rollout_per_s": steps / (collected - began),
        }

    def _not_finite(self) -> tuple[str, tuple[int, int] | None]:
        """What of the rollout is no finite number, and where first: world of this rank and step. Empty where all is."""
        buffer: Any = self.model.rollout_buffer
        labelled = self.env.coach is not None
        seen = {k: v for k, v in buffer.observations.items() if k != "label" or labelled}
        for name, values in {"reward": buffer.rewards, **seen}.items():
            bad = ~np.isfinite(values).reshape(*values.shape[:2], -1).all(2)
            if bad.any():
                step, world = map(int, np.argwhere(bad)[0])
                return name, (world, step)
        return "", None

    def _count_skipped(self, wrong: str) -> None:
        if not self.model.told.get("skipped"):
            self.skipped_in_a_row = 0
            return
        self.skipped += 1
        self.skipped_in_a_row += 1
        what = f"update {self.updates + 1} is skipped: {wrong or 'something on another rank'} is not finite"
        if self.skipped_in_a_row < SKIPS:
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
        """Writes a checkpoint (rank 0, while the others wait) with the worlds and lessons of all ranks."""
        arrays, worlds = self._all_worlds()
        if self.model.lessons is not None:
            arrays |= {f"lessons.{k}": v for k, v in self.model.lessons.arrays().items()}
        if self.rank == 0:
            tensors, state = rng_state()
            more, groups = optimizer_state(self.policy.optimizer)
            arrays |= {f"watch.{k}": v for k, v in self.watch.arrays().items()}
            tensors |= more | {f"world.{k}": torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
            tensors |= {f"critic.{k}": v for k, v in self.policy.critic.state_dict().items()}
            counts = {"step": self.updates, "n_updates": self.model._n_updates, "ranks": self.ranks}
            counts |= {"env_steps": self.model.num_timesteps * self.ranks}
            counts |= {"criticised": self.model.criticised}
            counts |= {"skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}
            if self.args.sense == "rays":
                config = {"stage": "ppo", "rays": dataclasses.asdict(self.policy.actor.config)}
                model = {f"rays.{k}": v for k, v in self.policy.actor.state_dict().items()}
            else:
                tensors |= {f"start.{k}": v for k, v in self.policy.started[0].state_dict().items()}
                config = {"stage": "ppo", "policy": self.policy.actor.config.to_dict()}
                model = policy_state(self.policy.actor, self.net)
            folder = self.args.out / "checkpoints" / f"{self.updates:08d}"
            save_checkpoint(folder, config, model, tensors, {**state, **groups, **counts, "worlds": worlds})
        dist.barrier()

    def _all_worlds(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The state of all ranks' worlds and of what looks at them, on rank 0; elsewhere nothing."""
        arrays, state = self.worlds.state()
        arrays |= {f"sense.{k}": v for k, v in self.env.arrays().items()}
        last: Any = self.model._last_obs
        arrays |= {f"last.{k}": np.asarray(v) for k, v in last.items()}
        arrays |= {"starts": np.asarray(self.model._last_episode_starts)}
        parts = dist.to_first((arrays, state["source"]))
        if not parts:
            return {}, {}
        every = {k: _joined([part[k] for part, _ in parts]) for k in arrays if k != TICK}
        source = {k: [world for _, part in parts for world in part[k]] for k in state["source"]}
        return every | {TICK: arrays[TICK]}, {"source": source}

    def _own_worlds(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """This rank's part of what `_all_worlds` gave, whatever the number of ranks was."""
        here = slice(self.share.first, self.share.first + self.count)
        shared = (TICK, "lessons.", "watch.")
        own = {k: v if k.startswith(shared) else v[here] for k, v in arrays.items()}
        if self.args.refresh:  # each world has a scene of its own, and ranks count theirs from 0
            scene = np.arange(self.count)
            field = self.worlds.stage.field_of(scene, own["fleet.step_class"])
            places = {"scene_id": scene, "physics.scene": scene, "field_id": field, "physics.field_id": field}
            own |= {k: v for k, v in places.items() if k in own}
        return own, {"source": {k: v[here] for k, v in state["source"].items()}}

    def load(self) -> None:
        """Puts back everything but the weights, which came with the policy, on any number of ranks."""
        tensors, state = load_training_state(find_checkpoint(self.args.out, newest=True))

        def part(name: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}

        self.policy.critic.load_state_dict(part("critic"))
        if self.args.sense == "images":
            self.policy.restart_from(part("start"))
        restore_optimizer(self.policy.optimizer, tensors, state)
        self.model.num_timesteps, self.model._n_updates = state["env_steps"] // self.ranks, state["n_updates"]
        self.model.updates, self.model.criticised = state["step"], state["criticised"]
        self.skipped, self.skipped_in_a_row = state["skipped"], state["skipped_in_a_row"]
        arrays, worlds = self._own_worlds({k: v.numpy() for k, v in part("world").items()}, state["worlds"])

        def of(name: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(f"{name}."): v.copy() for k, v in arrays.items() if k.startswith(f"{name}.")}

        self.worlds.restore(arrays, worlds)
        self.env.restore(of("sense"))
        if self.rank == 0 and (watched := of("watch")):  # checkpoints of before have none
            self.watch.restore(watched)
        if self.model.lessons is not None:
            self.model.lessons.restore(of("lessons"), self.rank, self.ranks)
        self.model._last_obs, self.model._last_episode_starts = of("last"), arrays["starts"].copy()  # pyright: ignore
        restore_rng(tensors, state)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Arrays (B, ...) of all ranks, one after the other.

    Where rows differ in length, as the expert's routes do, they are filled up with zeros.
    """
    widest = np.max([part.shape[1:] for part in parts], axis=0).astype(int)
    joined, first = np.zeros((sum(map(len, parts)), *widest), parts[0].dtype), 0
    for part in parts:
        joined[(slice(first, first + len(part)), *map(slice, part.shape[1:]))] = part
        first += len(part)
    return joined


def ground(args: PPOArgs) -> str:
    """Where the worlds of a run are, in words."""
    if args.scene:
        scenes = SUITES.get(args.scene, (args.scene,))
        return f"the scene {args.scene}" if len(scenes) == 1 else f"the {len(scenes)} scenes of {args.scene}"
    if args.refresh:
        every = "episode" if args.refresh == 1 else f"{args.refresh} episodes"
        return f"streets of their own, new every {every}"
    return "one street" if args.scenes == 1 else f"{args.scenes} streets"


def train(args: PPOArgs) -> None:
    """The whole command."""
    rank, world = dist.start(args.device, PATIENCE_S)
    check(args, world)
    args = settled(args)
    check_out(args.out, args.resume)
    config: dict[str, Any] = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(args).items()}
    config["world_size"] = world
    resume_at, before = None, world
    if args.resume:
        same_config(args.out, config, may_differ=("resume", "out", "device", "steps", "world_size"))
        state = load_training_state(find_checkpoint(args.out, newest=True))[1]
        resume_at, before = int(state["step"]), int(state.get("ranks", 1))
    trainer = Trainer(args, rank, world)
    run = Run(args.out, config, resume_at, write=rank == 0)
    per_update = args.envs * args.horizon
    updates = max(1, math.ceil(args.steps / per_update))
    trained = sum(p.numel() for p in trainer.policy.actor.parameters() if p.requires_grad)
    what = {"ram": "adapters", "decoder": "the decoder", "full": "all but the encoder"}[args.adapter]
    done = f", {resume_at} of them done" if resume_at else ""
    run.say(f"{args.envs} worlds in {ground(args)}, {updates} updates of {per_update} steps{done}")
    if before != world:
        dealt = "worlds and lessons are dealt out anew and go on where they were"
        run.say(f"ranks: {before} before, {world} now; {dealt}")
    if args.sense == "images":
        run.say(f"{trained / 1e6:.2f} M weights train ({what}), all else of the policy is frozen; coach: {args.coach}")
    bar = tqdm(total=updates * per_update, desc="ppo", unit="step", disable=None if rank == 0 else True)
    with bar, Interrupt() as interrupt:
        watch = Watch(bar, trainer.worlds)
        trainer.start(watch)
        bar.update(trainer.updates * per_update)
        while trainer.updates < updates:
            values = trainer.update(watch)
            run.log(trainer.updates, values)
            bar.set_postfix(success=f"{values.get('episode/success', math.nan):.2f}")
            asked = dist.any_rank(interrupt.asked)  # all of them stop at the same update
            due = trainer.updates % args.save_every == 0 and not trainer.skipped_in_a_row  # the last good one stays
            if due or trainer.updates == updates or asked:
                trainer.save()
            if asked and trainer.updates < updates:
                raise KeyboardInterrupt
    run.say(f"training worlds: {watch.in_words(watch.collect())}")
    if rank == 0:
        run.say(f"checkpoint: {find_checkpoint(args.out)}")
    run.close()
    dist.finish()


def main() -> None:
    """Entry point of `s2e-ppo`."""
    run_command(lambda: train(tyro.cli(PPOArgs, description=__doc__)))


if __name__ == "__main__":
    main()
