"""Gaussians that learn what photographs show: 3-D Gaussian splatting (Kerbl et al. 2023), densified
as in Kheradmand et al. (2024).

There, Gaussians are samples: faint ones move onto solid ones, more are added in the same way until
there are as many as were asked for, and the faint ones wander. It needs no thresholds on gradients,
and cost and memory have a bound that is known beforehand. Nothing here keeps a random state: what
is drawn depends on the seed and the step, so going on is the same as not having stopped.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.gradients import Gaussians, View, look
from s2e.envs.splats.marks import SH0

NAMES = ("means", "quats", "scales", "opacities", "sh")
"""What is learned, as a file has it: scales are logarithms, opacities logits."""
RATES = {"means": 1.6e-4, "quats": 1e-3, "scales": 5e-3, "opacities": 5e-2, "sh": 2.5e-3}
"""Learning rates; that of means is in extents of the place, and falls to a hundredth."""
FAINT = 0.005
"""A Gaussian under this opacity wanders, and is left out in the end."""
WEAK = 0.02
"""One under this is moved to where others are."""
_EVERY, _FROM, _UNTIL, _GROWTH = 100, 500, 0.85, 1.05
_WANDER = 5e5
_WANDERING = 0.08
_MOST_COPIES = 20
_NEIGHBOURS, _THIN = 10, 0.15
_DSSIM, _DEPTH, _OPACITY, _SCALE, _FLAT = 0.2, 0.2, 0.001, 0.01, 0.02
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Target:
    """What a camera should see.

    Attributes:
        view: the camera.
        rgb: (H, W, 3) in 0..1.
        depth: (H, W), 0 where it is not known; None where nothing is.
    """

    view: View
    rgb: Tensor
    depth: Tensor | None = None


@dataclass(frozen=True)
class Learning:
    """How to learn.

    Attributes:
        steps: optimiser steps, one photograph each. most: Gaussians at the end.
        extent: radius of the cameras' places, or of the place, in its units. seed: of everything
            random.
    """

    steps: int
    most: int
    extent: float
    seed: int = 0


def seeds_of_points(
    points: np.ndarray, colours: np.ndarray, share: float = 0.7
) -> dict[str, Tensor]:
    """Gaussians to begin with: discs along the surface that neighbours form, `share` as wide as the
    nearest of these are far.

    Args:
        points: (P, 3), P at least 4. colours: (P, 3) in 0..1. share: standard deviation over mean
            distance of three neighbours.
    """
    away, which = cKDTree(points).query(points, k=min(_NEIGHBOURS, len(points)))
    axes, thin = faces(points, which)
    near = np.maximum(away[:, 1:4].mean(1), 1e-6)
    near = np.minimum(near, 10.0 * np.median(near)) if len(near) > 100 else near
    count = len(points)
    start = {
        "means": points,
        "quats": np.roll(Rotation.from_matrix(axes).as_quat(), 1, axis=1),
        "scales": np.log(share * near)[:, None] + np.log(thin)[:, None] * np.array([1.0, 0.0, 0.0]),
        "opacities": np.full(count, math.log(0.3 / 0.7)),
        "sh": (colours - 0.5) / SH0,
    }
    return {name: torch.as_tensor(values, dtype=torch.float32) for name, values in start.items()}


def faces(points: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (P, 3, 3), in columns, of what points and their neighbours `which` (P, K) form, and how
    thin (P,) along the first.
    """
    apart = points[which] - points[which].mean(1, keepdims=True)
    spread, axes = np.linalg.eigh(apart.transpose(0, 2, 1) @ apart)
    axes[:, :, 2] *= np.sign(np.linalg.det(axes))[:, None]
    return axes, np.sqrt(np.clip(spread[:, 0] / np.maximum(spread[:, 1], 1e-12), _THIN**2, 1.0))


def as_splats(values: dict[str, Tensor], unit: float = 1.0) -> Splats:
    """What was learned, as splats, in lengths of which `unit` are one of the learner's; the faint
    are left out.
    """
    array = {name: tensor.detach().cpu() for name, tensor in values.items()}
    kept = torch.sigmoid(array["opacities"]) >= FAINT
    array = {name: tensor[kept] for name, tensor in array.items()}
    return Splats(
        means=(array["means"] * unit).numpy(),
        quats=normalize(array["quats"], dim=1).numpy(),
        scales=(torch.exp(array["scales"]) * unit).numpy(),
        opacities=torch.sigmoid(array["opacities"]).numpy(),
        sh=array["sh"][:, None].numpy(),
    )


class Learner:
    """Gaussians, their optimiser and the step they are at.

    Args:
        start: tensors by `NAMES`. how: see there. device: where to learn.
    """

    def __init__(self, start: dict[str, Tensor], how: Learning, device: str = "cpu"):
        self.how, self.step, self.device = how, 0, device
        self.values = {name: start[name].to(device).clone().requires_grad_() for name in NAMES}
        groups = [
            {"params": [self.values[name]], "lr": RATES[name], "name": name} for name in NAMES
        ]
        self.optimizer = torch.optim.Adam(groups, eps=1e-15, fused=True)

    @property
    def rate(self) -> float:
        """Learning rate of means, now."""
        return RATES["means"] * self.how.extent * 0.01 ** (self.step / max(self.how.steps, 1))

    def activated(self) -> Gaussians:
        """What a camera can look at."""
        v = self.values
        colours = torch.clamp_min(v["sh"] * SH0 + 0.5, 0.0)
        return Gaussians(
            v["means"],
            normalize(v["quats"], dim=1),
            torch.exp(v["scales"]),
            torch.sigmoid(v["opacities"]),
            colours,
        )

    def learn(self, target: Target) -> float:
        """One step; returns the loss."""
        self.optimizer.param_groups[0]["lr"] = self.rate
        gaussians = self.activated()
        loss = photo_loss(gaussians, target)
        loss = (
            loss
            + _OPACITY * gaussians.opacities.mean()
            + _SCALE * gaussians.scales.mean() / self.how.extent
        )
        ordered = gaussians.scales.sort(1).values
        # discs: surfaces, and what the import looks for
        loss = loss + _FLAT * (ordered[:, 0] / ordered[:, 1]).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            if self.step % _EVERY == 0 and _FROM <= self.step <= _UNTIL * self.how.steps:
                self._move_the_faint()
                self._add()
            self._wander()
        return float(loss.detach())

    def _draws(self, what: int) -> torch.Generator:
        """Random numbers of this step."""
        seed = int(np.random.SeedSequence([self.how.seed, self.step, what]).generate_state(1)[0])
        return torch.Generator().manual_seed(seed)

    def _wander(self) -> None:
        """Moves faint Gaussians at random within their own shape."""
        v = self.values
        opacities = torch.sigmoid(v["opacities"])
        some = torch.nonzero(opacities < _WANDERING)[:, 0]
        if not len(some):
            return
        noise = torch.randn(len(some), 3, generator=self._draws(0)).to(self.device)
        noise *= (
            torch.sigmoid(100.0 * (FAINT - opacities[some]))
            * _WANDER
            * self.rate
            / self.how.extent**2
        )[:, None]
        turn, scales = turns(normalize(v["quats"][some], dim=1)), torch.exp(v["scales"][some])
        inside = (turn.transpose(1, 2) @ noise[..., None])[..., 0] * scales * scales
        v["means"][some] += (turn @ inside[..., None])[..., 0].clamp(
            -self.how.extent, self.how.extent
        )

    def _move_the_faint(self) -> None:
        opacities = torch.sigmoid(self.values["opacities"])
        faint = torch.nonzero(opacities <= WEAK)[:, 0]
        solid = torch.nonzero(opacities > WEAK)[:, 0]
        if len(faint) and len(solid):
            source = solid[self._choose(opacities[solid], len(faint), 1)]
            self._share_out(source)
            for name in NAMES:
                self.values[name][faint] = self.values[name][source]
            self._forget(source)

    def _add(self) -> None:
        count = len(self.values["means"])
        more = min(self.how.most, math.ceil(_GROWTH * count)) - count
        if more <= 0:
            return
        source = self._choose(torch.sigmoid(self.values["opacities"]), more, 2)
        self._share_out(source)
        self._forget(source)
        for group in self.optimizer.param_groups:
            old = self.values[group["name"]]
            new = torch.cat([old.detach(), old.detach()[source]]).requires_grad_()
            state = self.optimizer.state.pop(old, {})
            for key in ("exp_avg", "exp_avg_sq"):
                if key in state:
                    state[key] = torch.cat([state[key], torch.zeros_like(state[key][source])])
            group["params"], self.values[group["name"]] = [new], new
            if state:
                self.optimizer.state[new] = state

    def _choose(self, weights: Tensor, count: int, what: int) -> Tensor:
        """`count` places drawn by weight, with replacement; the same on every device."""
        total = torch.cumsum(weights.double().cpu(), 0)
        drawn = torch.rand(count, generator=self._draws(what), dtype=torch.float64) * total[-1]
        return torch.searchsorted(total, drawn).clamp_max(len(weights) - 1).to(self.device)

    def _share_out(self, source: Tensor) -> None:
        """Makes Gaussians so much fainter and smaller that they look the same with the copies that
        `source` names.
        """
        times = (
            torch.bincount(source, minlength=len(self.values["means"]))[source].clamp_max(
                _MOST_COPIES - 1
            )
            + 1
        )
        opacities, shrunk = shared_out(torch.sigmoid(self.values["opacities"][source]), times)
        self.values["opacities"][source] = torch.logit(opacities.clamp(FAINT, 1 - 1e-6))
        self.values["scales"][source] += torch.log(shrunk)[:, None]

    def _forget(self, rows: Tensor) -> None:
        """Clears the optimiser's memory of Gaussians that have changed."""
        for value in self.values.values():
            for key in ("exp_avg", "exp_avg_sq"):
                if key in self.optimizer.state.get(value, {}):
                    self.optimizer.state[value][key][rows] = 0.0


def shared_out(opacities: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity of each of `times` Gaussians that stand for one, and the factor of their scales
    (Kheradmand et al. 2024, equation 9).
    """
    old = opacities.double()
    new = 1.0 - (1.0 - old) ** (1.0 / times)
    total = torch.zeros_like(old)
    for i in range(1, _MOST_COPIES + 1):
        inner = sum(
            math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * new ** (k + 1) for k in range(i)
        )
        total = total + torch.where(times >= i, inner, 0.0)
    return new.float(), (old / total.clamp_min(1e-9)).clamp(0.05, 1.0).float()


def turns(quats: Tensor) -> Tensor:
    """(n, 3, 3) rotation matrices of unit quaternions (n, 4)."""
    w, x, y, z = quats.unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def photo_loss(gaussians: Gaussians, target: Target) -> Tensor:
    """L1 and D-SSIM of a photograph, and the relative error of depth where that is known."""
    rgb, depth, _ = look(gaussians, target.view)
    loss = (1.0 - _DSSIM) * (rgb - target.rgb).abs().mean() + _DSSIM * (
        1.0 - similarity(rgb, target.rgb)
    )
    if target.depth is None:
        return loss
    known = target.depth > 0.0
    # The sum of weights times depth falls short where light is left, so that surfaces with a depth
    # become solid as well.
    away = torch.where(known, (depth - target.depth).abs() / target.depth.clamp_min(1e-6), 0.0)
    return loss + _DEPTH * away.clamp_max(1.0).sum() / known.sum().clamp_min(1)


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of two images (H, W, 3) in 0..1, mean over pixels
    and channels.
    """
    rows, columns = (_blurring(size, a.device) for size in a.shape[:2])

    def blurred(images: Tensor) -> Tensor:
        return rows @ images @ columns

    a, b = a.permute(2, 0, 1), b.permute(2, 0, 1)
    mean_a, mean_b, aa, bb, ab = blurred(torch.cat([a, b, a * a, b * b, a * b])).split(3)
    together, aside = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    above = (2 * together + _C1) * (2 * (ab - together) + _C2)
    return (above / ((aside + _C1) * (aa + bb - aside + _C2))).mean()


@cache
def _blurring(size: int, device: torch.device) -> Tensor:
    """(size, size) matrix that blurs with the Gaussian window of SSIM, nothing beyond the ends;
    symmetric.
    """
    away = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    matrix = np.exp(-(away**2) / (2 * _SIGMA**2)) * (np.abs(away) <= _WINDOW // 2) / weights.sum()
    return torch.as_tensor(matrix, dtype=torch.float32, device=device)


def psnr(
    learner: Learner, targets: list[Target], seen: Callable[[int, Tensor], None] | None = None
) -> float:
    """Mean peak signal-to-noise ratio in dB of views; `seen` gets the number and the image (H, W,
    3) of each.
    """
    with torch.no_grad():
        gaussians, ratios = learner.activated(), []
        for k, target in enumerate(targets):
            rgb = look(gaussians, target.view)[0].clamp(0.0, 1.0)
            ratios.append(-10.0 * math.log10(max(float((rgb - target.rgb).square().mean()), 1e-10)))
            if seen is not None:
                seen(k, rgb)
    return sum(ratios) / len(ratios)
