"""`s2e-ppo`: from a pretrained policy to an experienced one.

    s2e-ppo --envs 256 --init RUN --out RUN2
    s2e-ppo --envs 256 --init RUN --out RUN2 --resume
    s2e-ppo --sense rays --robot any --out RAYS  a policy on distances: coach and bound of those
                                                 that see

PPO of Stable-Baselines3 over batched worlds, with a coach who labels what the policy drives into.
Only the residual-attention adapters (and a critic) are trained; what is frozen runs once per frame.
At step 0 the policy is the pretrained one exactly. Stopped at any moment, it resumes to the same
weights.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s2e.core.commandline import parse
from s2e.core.errors import UserError, require, run_command
from s2e.core.options import Device, Physics, Robots, Seed, SplatBackend
from s2e.policy.config import PRESETS, PolicyConfig

if TYPE_CHECKING:
    from s2e.envs.config import WorldsConfig


@dataclass(frozen=True)
class PPOArgs:
    """Fine-tune a pretrained S2E policy with PPO in simulated streets."""

    out: Path
    """The new run's folder."""
    init: str = "laptop"
    """What to start from: a pretrained run, a checkpoint or an exported folder, the name of a
    shipped policy, or scratch."""
    sense: Literal["images", "rays"] = "images"
    """What the policy sees. One of rays starts from scratch, and nothing is drawn."""
    envs: int = 256
    """Worlds side by side, over all ranks."""
    steps: int = 0
    """Environment steps (0.2 s each), over all worlds; 0 is 196,608 of images, some twenty minutes
    on two cores, and five million of rays, twenty-five minutes of one core."""
    horizon: int = 0
    """Steps of each world between updates; 0 is 16 of images and 32 of rays."""
    scenes: int = 0
    """Different streets in the pool; 0 is streets without end of images, and 128 of rays."""
    splats: float = 1 / 3
    """Share of the streets that are Gaussian splats, spoiled as captures are; of images alone."""
    scene: str = ""
    """A scene to train in instead of streets: gs_urban/plaza, what `s2e-scene` imported, a folder,
    or gs_urban, all of them."""
    refresh: int = 0
    """0 draws from the pool of --scenes; otherwise each world has streets of its own and a new one
    after so many episodes. Streets without end are new every two."""
    people: int = 6
    """Most people in a world."""
    robot: Robots = "any"
    randomise: float = 0.0
    """How far each episode's robot strays from its figures: 0 to 1."""
    camera_noise: float = 0.5
    """How far each episode's camera strays from a clean image: 0 to 1."""
    physics: Physics = "kinematic"
    splat_backend: SplatBackend = "cpu"
    objects: Path | None = None
    """A GLB or OBJ file, or a folder of them, to stand in the way instead of the packaged
    things."""
    tracks: Path | None = None
    """The obsmat.txt of recorded pedestrians (ETH, UCY), instead of simulated ones."""
    reward: str = "compact"
    """Reward terms: the set compact or urban_sim, terms of your own as module:name (a function or
    RewardTerm in the current folder), or several with commas between, whose sum it is."""
    shaping: Literal["geodesic", "straight"] = "geodesic"
    """What coming nearer to the goal means: along the way there, or through the air."""
    collision: Literal["counts", "ends"] = "counts"
    """Contacts are counted, as the benchmark does, or end the episode; both cost."""
    curriculum: bool = False
    """Begin with near goals, emptier streets and fewer people; success makes it harder, world by
    world."""
    adapter: Literal["ram", "decoder", "full"] = "ram"
    """What trains: the residual-attention adapters, the decoder instead, or all but the visual
    encoder."""
    reader: bool = True
    """Train beside it a branch that reads the whole context and the odometry of the last four
    seconds."""
    coach: str = "rays"
    """Who labels what the policy drives into: rays (shipped), a run of --sense rays, expert (the
    planner), or none."""
    coach_weight: float = 1.0
    """Weight of -log p of what the coach would do, at first."""
    coach_alone: float = 0.8
    """Share of the run in which the coach alone teaches, while the critic learns what to expect;
    then PPO begins."""
    coach_until: float = 1.0
    """Share of the run after which the coach's weight has fallen to 0, in a straight line from
    there on; 0 keeps it."""
    coach_drives: float = 0.15
    """Share of the run in which the coach drives, disturbed: at first in all worlds, then in fewer
    and fewer."""
    coach_margin: float = 0.1
    """Metres that things seem nearer to the coach than they are: so he keeps a distance that images
    are good enough for."""
    coach_way: float = 0.1
    """Weight of the coach's way of two seconds beside his action."""
    ppo_weight: float = 1.0
    """Weight of PPO's own terms for the actor; 0 imitates the coach alone (on-policy
    distillation)."""
    divergence: float = 0.0
    """Weight of the divergence from the policy that the run starts with."""
    lessons: int = 131_072
    """Frames with the coach's labels that are kept; hard ones and near things stay longer."""
    hide_ego: float = 0.3
    """Share of frames in which the robot's own motion is hidden from the policy."""
    greedy: float = 1 / 16
    """Share of worlds whose policy does not explore: their success is that of its best mode. PPO
    does not learn from them. While the coach teaches alone it is half of them at least: he labels
    what the best mode drives into."""
    memory: int = 12
    """Scans that a policy of rays remembers, one every .4 s."""
    lr: float = 0.0
    """The actor's learning rate, which PPO lowers and raises to hold --target-kl; 0 is 1e-3 for
    adapters and 5e-4 for all else."""
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
    """Updates in which only the critic learns, where no coach has taught alone before: meanwhile it
    has learned."""
    save_every: int = 10
    """Updates between checkpoints."""
    keep: int = 2
    """Newest checkpoints that stay."""
    seed: Seed = 0
    device: Device = "auto"
    config: Path | None = None
    """A run's config.json to take options from; those of the command line win."""
    resume: bool = False
    """Continue the run in --out."""


def check_words(args: PPOArgs) -> None:
    """Refuses names and numbers that cannot work.

    Raises:
        UserError: naming the option and what it may be.
    """
    for name in ("envs", "epochs", "save_every", "keep", "lessons"):
        if getattr(args, name) < 1:
            raise UserError(
                f"--{name.replace('_', '-')} is {getattr(args, name)}; it must be at least 1"
            )
    for name in (
        "steps",
        "value_warmup",
        "horizon",
        "scenes",
        "refresh",
        "memory",
        "seed",
        "batch",
    ):
        require(
            getattr(args, name) >= 0,
            f"--{name.replace('_', '-')} is {getattr(args, name)}; it must not be negative",
        )
    for name in (
        "entropy",
        "coach_weight",
        "coach_margin",
        "ppo_weight",
        "divergence",
        "coach_way",
        "lr",
    ):
        value = getattr(args, name)
        require(
            math.isfinite(value) and value >= 0,
            f"--{name.replace('_', '-')} is {value}; it must be a number, 0 or more",
        )
    for name in ("critic_lr", "clip", "target_kl"):
        value = getattr(args, name)
        require(
            math.isfinite(value) and value > 0,
            f"--{name.replace('_', '-')} is {value}; it must be a positive number",
        )
    for name in ("coach_alone", "coach_until", "coach_drives", "hide_ego", "greedy", "splats"):
        value = getattr(args, name)
        require(0 <= value <= 1, f"--{name.replace('_', '-')} is {value}; it is a share, 0 to 1")
    if not (0 < args.gamma < 1 and 0 <= args.gae_lambda <= 1):
        raise UserError(
            f"--gamma {args.gamma} must be between 0 and 1, --gae-lambda {args.gae_lambda} within "
            "0 and 1"
        )
    learns = args.ppo_weight > 0 or (
        args.sense == "images" and args.coach != "none" and args.coach_weight > 0
    )
    require(learns, "--ppo-weight is 0 and no coach teaches; nothing would be learned")
    worlds_config(args)  # refuses names and numbers of worlds that cannot be


def worlds_config(args: PPOArgs, policy: PolicyConfig = PRESETS["laptop"]) -> "WorldsConfig":
    """What the worlds of a run share."""
    from s2e.envs.config import WorldsConfig

    more = {"outputs": ()} if args.sense == "rays" else {}
    return WorldsConfig.for_policy(
        policy,
        robot=args.robot,
        people=args.people,
        randomise=args.randomise,
        camera_noise=args.camera_noise,
        physics=args.physics,
        reward=args.reward,
        shaping=args.shaping,
        collision=args.collision,
        tracks=args.tracks,
        splat_backend=args.splat_backend,
        **more,
    )


def main() -> None:
    """Entry point of `s2e-ppo`."""
    run_command(_main)


def _main() -> None:
    args = parse(PPOArgs, __doc__ or "")
    check_words(args)
    from s2e.rl.train import train  # torch and the worlds: imported once the options are right

    train(args)
