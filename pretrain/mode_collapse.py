"""The alarm for mode collapse, the first failure of a mixture: one anchor answers alone, or all
anchors answer alike.

A mixture fails silently: its loss still falls. What shows it is counted while training, over the
training samples: which anchor was the positive one, which was scored best, how sure the scores
were, and how far apart the modes lie.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from s2e.policy.mixture import Modes, Rule, normalise, positive_mode

ALONE, FEW = 0.95, 0.80
"""One anchor alone: it is scored best in at least `ALONE` of the samples though it is the positive
one in less than `FEW`. Between the two the data themselves have hardly another anchor, and a policy
that says so is right; a policy that looks at its input finds at least one in four of the 20 % that
are others."""
UNIFORM = 0.98
"""All scores alike: their mean entropy is this share of the highest possible (log M). Of eight
scores, one that is 1.5 times the others has .995; a policy that knew nothing but that one anchor in
eight is twice as frequent as the others would have .983, three times as frequent .95."""
SPREAD = 0.05
"""All modes alike: their endpoints lie within this share of their reach around their mean (root
mean square). The narrowest fan that is worth having, 16 anchors over 120 degrees, has neighbours
.14 of the reach apart and a spread of .59."""
REACH_STEPS = 0.5
"""Modes that reach no farther than half a step say that the robot stands, and standing has no
direction to differ in."""
MIN_SAMPLES = 256
"""Fewer samples prove nothing: with 256 a share of .95 is known to within .03 (two standard
errors)."""


@dataclass(frozen=True)
class AnchorUse:
    """Counts over some samples, with M anchors.

    Attributes:
        samples: how many.
        positive: (M,) how often each anchor was the positive one. chosen: (M,) how often it was
            scored best.
        entropy: mean entropy of the scores in nats.
        spread: root mean square distance of the modes' endpoints from their mean, reach: of the
            farthest endpoint from the robot, both in steps (`Modes.mean`).
    """

    samples: int
    positive: np.ndarray
    chosen: np.ndarray
    entropy: float
    spread: float
    reach: float

    def numbers(self) -> dict[str, float]:
        """What a log keeps: entropy over log M, spread over reach, anchors in use, and the distance
        of `chosen` from `positive`.

        The distance is the total variation: 0 where both are the same histogram, 1 where they share
        nothing.
        """
        count = max(1, self.samples)
        return {
            "entropy": self.entropy / math.log(max(2, len(self.chosen))),
            "spread": self.spread / max(self.reach, 1e-9),
            "used": float((self.chosen > 0.01 * count).sum()),
            "needed": float((self.positive > 0.01 * count).sum()),
            "mismatch": float(np.abs(self.chosen - self.positive).sum() / (2 * count)),
        }


class UseCounter:
    """Running counts of `AnchorUse`, kept on the device of the modes so that counting does not wait
    for it.

    `state` (2 M + 4,) float64 is all there is to save and to put back.
    """

    def __init__(self, anchors: int, device: str = "cpu"):
        self.anchors = anchors
        self.state = torch.zeros(2 * anchors + 4, dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(
        self,
        modes: Modes,
        trajectories: torch.Tensor,
        anchors: torch.Tensor,
        dt_s: float,
        floor: float,
        rule: Rule,
    ) -> None:
        """Counts one batch: what the policy said (M modes) of metric ground truth (B, T, 2)."""
        steps, _ = normalise(trajectories, dt_s, floor)
        log_score = modes.logits.float().log_softmax(-1)
        ends = modes.mean[:, :, -1].float()
        away = (ends - ends.mean(1, keepdim=True)).square().sum(-1).mean()
        reach = ends.square().sum(-1).amax(1).mean()
        entropy = -(log_score.exp() * log_score).sum(-1).sum()
        parts = [
            torch.bincount(positive_mode(steps, anchors, rule), minlength=self.anchors),
            torch.bincount(log_score.argmax(-1), minlength=self.anchors),
            torch.stack(
                [torch.ones_like(entropy) * len(ends), entropy, away * len(ends), reach * len(ends)]
            ),
        ]
        self.state += torch.cat([p.double() for p in parts])

    def use(self) -> AnchorUse:
        """The counts so far."""
        return use_of(self.state.cpu().numpy(), self.anchors)

    def reset(self) -> None:
        """Begins to count anew."""
        self.state.zero_()


def use_of(state: np.ndarray, anchors: int) -> AnchorUse:
    """The counts that `UseCounter.state` holds; sums of states are states."""
    samples, entropy, away, reach = state[2 * anchors :]
    count = max(1.0, samples)
    return AnchorUse(
        int(samples),
        state[:anchors],
        state[anchors : 2 * anchors],
        entropy / count,
        math.sqrt(away / count),
        math.sqrt(reach / count),
    )


def collapse(use: AnchorUse) -> str:
    """Says in one sentence how the mixture has collapsed, or "".

    "one anchor alone" where one is scored best nearly always and the data need others; "all anchors
    alike" where the scores or the modes do not tell them apart. A policy with a single anchor
    cannot collapse. The thresholds are this module's constants.
    """
    m, count = len(use.chosen), use.samples
    if m < 2 or count < MIN_SAMPLES:
        return ""
    if use.entropy >= UNIFORM * math.log(m):
        return (
            f"all anchors alike: the scores' mean entropy is {use.entropy:.2f} of at most "
            f"{math.log(m):.2f} nats, as if drawn by lot"
        )
    top = int(use.chosen.argmax())
    share, needed = use.chosen[top] / count, use.positive[top] / count
    if share >= ALONE and needed < FEW:
        return (
            f"one anchor alone: anchor {top} of {m} is scored best in {share:.0%} of the "
            f"samples but right in {needed:.0%}"
        )
    if use.reach > REACH_STEPS and use.spread < SPREAD * use.reach:
        return (
            f"all anchors alike: the ends of the {m} modes lie within "
            f"{use.spread / use.reach:.1%} of their reach"
        )
    return ""


def use_picture(use: AnchorUse) -> np.ndarray:
    """(H, W, 3) uint8: a pair of bars per anchor, from left to right as the robot sees them:
    positive (green), scored best (blue).
    """
    m, count = len(use.chosen), max(1, use.samples)
    bar = max(3, min(20, 480 // (2 * m)))
    width, height, bottom = max(360, 2 * bar * m + (m + 1) * 4 + 50), 200, 175
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    top = max(float(use.chosen.max()), float(use.positive.max())) / count or 1.0
    draw.text((4, 4), f"use of {m} anchors, left to right; largest {top:.0%}", "black", font)
    for colour, x, text in (("#2a9d4a", 4, "the positive one"), ("#3465c8", 124, "scored best")):
        draw.rectangle((x, 23, x + 8, 31), colour)
        draw.text((x + 12, 20), text, "black", font)
    for place in range(m):
        anchor = m - 1 - place  # anchors are numbered from right to left
        x = 25 + place * (2 * bar + 4)
        for value, colour, offset in (
            (use.positive[anchor], "#2a9d4a", 0),
            (use.chosen[anchor], "#3465c8", bar),
        ):
            tall = value / count / top * (bottom - 45)
            draw.rectangle((x + offset, bottom - tall, x + offset + bar - 1, bottom), colour)
        if m <= 16:
            draw.text((x + bar - 3, bottom + 4), str(anchor), "black", font)
    return np.asarray(image)
