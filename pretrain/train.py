"""`s2e-pretrain`: from navigation video to a policy; what it can be asked for is in `args.py`.

Reads the walks, encodes every frame once (a frozen encoder), splits by walk, trains with the
distribution-matching loss, and prints open-loop metrics on the held-out walks beside two baselines.
Stopped at any moment, it resumes to the same weights.
"""

import dataclasses
import math
import textwrap
import time

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from s2e.core import dist
from s2e.core.errors import choose_device
from s2e.core.run import Interrupt, Run, check_out, same_config
from s2e.policy.checkpoint import find_checkpoint, load_training_state
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import visual_net
from s2e.policy.mixture import normalise, positive_mode
from s2e.pretrain.alarm import UseCounter, collapse, use_picture
from s2e.pretrain.args import PretrainArgs, as_json, check, main, policy_config
from s2e.pretrain.data import load_data
from s2e.pretrain.evaluate import evaluate, format_rows, verdict
from s2e.pretrain.loop import WATCHED, Trainer
from s2e.pretrain.pictures import fan_picture, pick, sheet
from s2e.pretrain.samples import Samples
from s2e.pretrain.stills import format_seeing

LOG_EVERY = 25  # steps


def train(args: PretrainArgs) -> None:
    """The whole command."""
    check(args)
    args = dataclasses.replace(args, device=choose_device(args.device))
    check_out(args.out, args.resume)
    config = policy_config(args)
    rank, world = dist.start(args.device)
    resume_at = None
    if args.resume:
        same_config(args.out, as_json(args, world), may_differ=("resume", "out", "device"))
        resume_at = int(load_training_state(find_checkpoint(args.out, newest=True))[1]["step"])
    run = Run(args.out, as_json(args, world), resume_at, write=rank == 0)
    torch.manual_seed(args.seed)
    net = visual_net(config, args.encoder_weights).to(args.device)
    data = load_data(args, config, net, run.say)
    trainer = Trainer(args, config, net, data, rank, world)
    if args.resume:
        trainer.load(find_checkpoint(args.out, newest=True))
    size = sum(p.numel() for p in trainer.parameters) / 1e6
    beside = f" and {trainer.still_count * world} stills" if data.stills else ""
    done = f", {resume_at} of them done" if resume_at else ""
    run.say(
        f"{len(data.training)} samples, {trainer.steps} steps of "
        f"{args.batch * world}{beside}{done}, {size:.2f} M parameters"
    )
    steps(trainer, run)
    finish(trainer, run)
    run.close()
    dist.finish()


def steps(trainer: Trainer, run: Run) -> None:
    """Trains to the end; logs, validates and saves on the way. Ctrl-C and SIGTERM save first."""
    args, at, every = trainer.args, trainer.at, trainer.args.batch * trainer.world
    pictures = Pictures(trainer, trainer.data.watched) if trainer.rank == 0 else None
    bar = tqdm(
        total=trainer.steps * every,
        initial=at.step * every,
        desc="pretrain",
        unit="sample",
        unit_scale=True,
        disable=None if trainer.rank == 0 else True,
    )
    saved, from_step, began = at.step, at.step, time.monotonic()
    with bar, Interrupt() as interrupt:
        while not trainer.done:
            terms = trainer.train_step()
            bar.update(every)
            if at.step % LOG_EVERY == 0 or at.step == trainer.steps:
                rate = (at.step - from_step) * every / max(time.monotonic() - began, 1e-9)
                run.log(
                    at.step,
                    {f"train/{k}": float(v) for k, v in terms.items()}
                    | {"time/samples_per_s": rate},
                )
                bar.set_postfix(loss=f"{float(terms['loss']):.2f}", step=at.step)
            if args.validate_every and at.step % args.validate_every == 0:
                better = validate(trainer, run, pictures)
                if better and args.patience:
                    trainer.save(best=True)
                    saved = at.step
            asked = dist.any_rank(interrupt.asked)  # all of them stop at the same step
            if saved < at.step and (at.step % args.save_every == 0 or asked or trainer.done):
                trainer.save()
                saved = at.step
            if asked and not trainer.done:
                raise KeyboardInterrupt
    if at.step < trainer.steps:
        run.say(
            f"stopped at step {at.step}: none lower in {at.waits} validations than {at.best:.4f} "
            f"at step {at.best_step}"
        )


def validate(trainer: Trainer, run: Run, pictures: "Pictures | None") -> bool:
    """Losses on held-out samples, the alarm, and pictures; whether the loss is the lowest so
    far.
    """
    at, values = trainer.at, trainer.validate()
    better = trainer.better(values["loss"])
    if trainer.rank == 0:
        values |= seen(trainer, WATCHED)
    use = trainer.anchor_use()
    told = trainer.alarm = collapse(use) if at.step > trainer.args.warmup * trainer.steps else ""
    run.log(
        at.step,
        {f"validation/{k}": v for k, v in values.items()}
        | {f"anchors/{k}": v for k, v in use.numbers().items()}
        | {"anchors/collapsed": float(bool(told))},
    )
    if told:
        run.say(f"ALARM at step {at.step}: {told}")
    if pictures is not None:
        run.picture(at.step, "fans", pictures.draw())
        run.picture(at.step, "anchors", use_picture(use))
    return better


def finish(trainer: Trainer, run: Run) -> None:
    """Judges the best (or last) weights on held-out walks, beside baselines, and says where they
    are.
    """
    args, config, data = trainer.args, trainer.config, trainer.data
    if trainer.rank:
        return
    if args.patience and trainer.at.best_step:
        trainer.show(args.out / "checkpoints" / f"{trainer.at.best_step:08d}")
    counter, anchors = UseCounter(args.anchors, args.device), trainer.policy.anchors.cpu()
    rows = evaluate(
        trainer.answers(data.judged, counter),
        data.judged,
        config,
        args.batch,
        positive=lambda future: positive_mode(
            normalise(future, config.waypoint_dt_s, config.speed_floor)[0], anchors, args.rule
        ),
        density=args.loss == "mixture",
    )
    use = counter.use()
    told = collapse(use)
    Image.fromarray(Pictures(trainer, data.judged).draw()).save(args.out / "fans.png")
    Image.fromarray(use_picture(use)).save(args.out / "anchors.png")
    run.say(
        f"held-out walks, {len(data.judged)} samples, {config.waypoints * config.waypoint_dt_s:g} "
        "s ahead"
    )
    run.say(format_rows(rows))
    if told:
        run.say(f"ALARM on the held-out walks: {told}")
    said = verdict(rows, told or trainer.alarm).splitlines()
    run.say(
        "\n".join(
            part for line in said for part in textwrap.wrap(line, 98, subsequent_indent="    ")
        )
    )
    run.say(f"pictures: {args.out / 'fans.png'}, {args.out / 'anchors.png'}")
    run.say(f"checkpoint: {find_checkpoint(args.out)}")
    sight = trainer.seeing()
    if sight:
        run.say(format_seeing(sight))
    known = {f"held_out/{k}": v for k, v in rows["s2e"].items() if math.isfinite(v)}
    known |= {
        f"held_out/{look}_{k}": v
        for look, row in sight.items()
        for k, v in row.items()
        if math.isfinite(v)
    }
    run.log(trainer.at.step, known | {"held_out/collapsed": float(bool(told))})


def seen(trainer: Trainer, most: int) -> dict[str, float]:
    """What a log keeps of `Trainer.seeing`."""
    rows = trainer.seeing(most)
    return {
        f"{look}_{k}": row[k]
        for look, row in rows.items()
        for k in ("r2", "near_m")
        if math.isfinite(row[k])
    }


class Pictures:
    """A few fixed samples, with their frames, to draw what the policy says of them again and
    again.
    """

    def __init__(self, trainer: Trainer, samples: Samples):
        self.config: PolicyConfig = trainer.config
        self.trainer, self.samples, self.index = trainer, samples, pick(samples.future)
        begins = np.concatenate([[0], np.cumsum([len(w) for w in samples.walks])])
        self.walks = [samples.walks[i] for i in samples.walk[self.index]]
        self.at = samples.frame[self.index] - begins[samples.walk[self.index]]
        self.frames = [
            next(iter(w.frames.images([int(t)]))) for w, t in zip(self.walks, self.at, strict=True)
        ]

    def draw(self) -> np.ndarray:
        """The sheet of all of them, (H, W, 3) uint8."""
        modes, batch = self.trainer.answers(self.samples)(self.index)
        metric, scores = (
            modes.metric(self.config.waypoint_dt_s).cpu().numpy(),
            modes.logits.softmax(-1).cpu().numpy(),
        )
        future, pictures = batch.future.numpy(), []
        for k, walk in enumerate(self.walks):
            error = np.linalg.norm(metric[k, scores[k].argmax()] - future[k], axis=-1).mean()
            title = (
                f"{walk.name[-40:]}, {walk.times[self.at[k]] - walk.times[0]:.1f} s, ADE "
                f"{error:.2f} m"
            )
            pictures.append(
                fan_picture(
                    self.frames[k],
                    walk.body,
                    metric[k],
                    scores[k],
                    future[k],
                    batch.goal_xy[k],
                    title,
                )
            )
        return sheet(pictures, self.config)


if __name__ == "__main__":
    main()
