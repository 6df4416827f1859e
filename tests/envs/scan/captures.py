"""Captures with a known floor for the tests of `s2e.envs.scan`: surfaces sampled with discs, and
the faults of real ones."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.transform import Placement, place


@dataclass
class Builder:
    """Collects discs; metres, z up, the floor at 0."""

    rng: np.random.Generator
    density: float = 60.0
    noise: float = 0.008
    parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def discs(self, points, normals, density, noise=None, flat=0.12, opacity=(0.5, 1.0)):
        count = len(points)
        noise = self.noise if noise is None else noise
        points = points + self.rng.normal(0, noise, points.shape)
        normals = normals + self.rng.normal(0, 0.12, points.shape)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        other = np.cross(normals, self.rng.normal(size=points.shape))
        other /= np.linalg.norm(other, axis=1, keepdims=True)
        frames = np.stack([other, np.cross(normals, other), normals], -1)
        quats = np.roll(Rotation.from_matrix(frames).as_quat(), 1, axis=1)
        size = 0.7 / np.sqrt(density) * self.rng.lognormal(0, 0.35, count)
        scales = np.stack(
            [
                size,
                size * self.rng.uniform(0.4, 1, count),
                np.maximum(size * flat, noise * 0.5 + 1e-4),
            ],
            1,
        )
        self.parts.append((points, quats, scales, self.rng.uniform(opacity[0], opacity[1], count)))

    def rect(self, corner, a, b, density=None, hole=None, **more):
        """A parallelogram; normals a x b; `hole(points)` drops points."""
        corner, a, b = (np.asarray(v, float) for v in (corner, a, b))
        normal = np.cross(a, b)
        area = np.linalg.norm(normal)
        density = self.density if density is None else density
        count = max(int(area * density), 4)
        points = corner + self.rng.random((count, 1)) * a + self.rng.random((count, 1)) * b
        if hole is not None:
            points = points[~hole(points)]
        self.discs(points, np.tile(normal / area, (len(points), 1)), density, **more)

    def ground(self, x0, x1, y0, y1, z=0.0, **more):
        self.rect((x0, y0, z), (x1 - x0, 0, 0), (0, y1 - y0, 0), **more)

    def box(self, x, y, z, length, width, height, yaw=0.0, **more):
        """Four sides and a top; x, y its middle, z its foot."""
        c, s = np.cos(yaw), np.sin(yaw)
        u, v, w = (
            np.array([c, s, 0]) * length,
            np.array([-s, c, 0]) * width,
            np.array([0, 0, height]),
        )
        foot = np.array([x, y, z]) - u / 2 - v / 2
        self.rect(foot, u, w, **more)
        self.rect(foot + v, w, u, **more)
        self.rect(foot, w, v, **more)
        self.rect(foot + u, v, w, **more)
        self.rect(foot + w, u, v, **more)

    def cylinder(self, x, y, z, radius, height, density=None):
        density = max(
            self.density if density is None else density, 8 / (2 * np.pi * radius * height)
        )
        count = int(2 * np.pi * radius * height * density)
        turn = self.rng.uniform(0, 2 * np.pi, count)
        normal = np.stack([np.cos(turn), np.sin(turn), np.zeros(count)], 1)
        points = np.array([x, y, z]) + radius * normal
        points[:, 2] += self.rng.uniform(0, height, count)
        self.discs(points, normal, density)

    def blob(self, x, y, z, radius, count, opacity=(0.3, 0.9)):
        """Leaves: in all directions, all through a ball."""
        points = self.rng.normal(size=(count, 3))
        points *= (
            radius
            * self.rng.random((count, 1)) ** (1 / 3)
            / np.linalg.norm(points, axis=1, keepdims=True)
        )
        self.discs(
            points + np.array([x, y, z]),
            self.rng.normal(size=(count, 3)),
            count / (4 * radius**2),
            opacity=opacity,
        )

    def tree(self, x, y, height=5.0, z=0.0):
        self.cylinder(x, y, z, 0.15, height * 0.55, density=150)
        for _ in range(4):
            dx, dy, dz = self.rng.normal(0, height * 0.12, 3)
            self.blob(x + dx, y + dy, z + height * 0.75 + dz, height * 0.18, 250)

    def person(self, x, y, z=0.0):
        self.cylinder(x, y, z, 0.2, 1.5, density=200)
        self.blob(x, y, z + 1.62, 0.13, 60)

    def car(self, x, y, yaw=0.0):
        self.box(x, y, 0.25, 4.2, 1.7, 0.6, yaw)
        self.box(x, y, 0.85, 2.2, 1.5, 0.55, yaw)

    def floaters(self, count, low, high, size=(0.05, 0.4), opacity=(0.03, 0.3)):
        points = self.rng.uniform(low, high, (count, 3))
        quats = np.roll(Rotation.from_quat(self.rng.normal(size=(count, 4))).as_quat(), 1, axis=1)
        self.parts.append(
            (
                points,
                quats,
                self.rng.uniform(size[0], size[1], (count, 3)),
                self.rng.uniform(opacity[0], opacity[1], count),
            )
        )

    def dome(self, radius, count=300):
        directions = self.rng.normal(size=(count, 3))
        directions[:, 2] = np.abs(directions[:, 2])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        quats = np.tile([1.0, 0, 0, 0], (count, 1))
        self.parts.append(
            (
                radius * directions,
                quats,
                self.rng.uniform(0.1, 0.4, (count, 3)) * radius,
                self.rng.uniform(0.3, 1, count),
            )
        )

    def splats(self) -> Splats:
        means, quats, scales, opacities = (
            np.concatenate(columns).astype(np.float32) for columns in zip(*self.parts)
        )
        sh = self.rng.normal(0, 0.3, (len(means), 1, 3)).astype(np.float32)
        return Splats(means, quats, scales, opacities, sh)


def _builder(seed, **more):
    return Builder(np.random.default_rng(seed), **more)


def room(seed=0, ceiling=True, furniture=True):
    b = _builder(seed, density=150.0, noise=0.004)
    b.ground(0, 6, 0, 4.5)
    if ceiling:
        b.rect((0, 0, 2.6), (0, 4.5, 0), (6, 0, 0))
    for corner, a in (
        ((0, 0, 0), (6, 0, 0)),
        ((0, 4.5, 0), (6, 0, 0)),
        ((0, 0, 0), (0, 4.5, 0)),
        ((6, 0, 0), (0, 4.5, 0)),
    ):
        b.rect(corner, a, (0, 0, 2.6))
    if furniture:
        b.box(1.0, 0.6, 0, 1.8, 0.9, 0.45)
        b.box(4.5, 3.9, 0, 1.2, 0.5, 1.9)
        b.box(3.2, 2.2, 0.68, 1.4, 0.8, 0.05, yaw=0.3)
        for dx, dy in ((-0.6, -0.3), (0.6, -0.3), (-0.6, 0.3), (0.6, 0.3)):
            b.cylinder(3.2 + dx, 2.2 + dy, 0, 0.03, 0.68)
    return b.splats()


def street(
    seed=0,
    sides=2,
    facade_density=90.0,
    kerb=0.0,
    cars=3,
    trees=3,
    slope=0.0,
    length=40.0,
    dome=True,
):
    """A road between facades; `kerb` raises the pavements; `slope` tilts it all along x (the floor
    is then the slope)."""
    b = _builder(seed)
    rng = b.rng
    b.ground(0, length, -3, 3)
    b.ground(0, length, 3, 5.5, z=kerb)
    b.ground(0, length, -5.5, -3, z=kerb)
    if kerb:
        for y in (-3, 3):
            b.rect((0, y, 0), (length, 0, 0), (0, 0, kerb))
    for side in (1, -1)[:sides]:
        for k in range(int(length // 8)):
            height, back = rng.uniform(7, 14), side * rng.uniform(0, 0.4)
            b.rect((8 * k, side * 5.5 + back, 0), (8, 0, 0), (0, 0, height), density=facade_density)
            for _ in range(3):  # balconies
                b.box(
                    8 * k + rng.uniform(1, 7), side * 5.1, rng.uniform(3, height - 1), 1.5, 0.8, 0.9
                )
    for _ in range(cars):
        b.car(rng.uniform(3, length - 3), rng.choice([-2.0, 2.0]), rng.normal(0, 0.05))
    for _ in range(trees):
        b.tree(rng.uniform(2, length - 2), rng.choice([-4.0, 4.0]), rng.uniform(4, 7), z=kerb)
    for _ in range(4):
        b.cylinder(
            rng.uniform(2, length - 2), rng.choice([-3.4, 3.4]), kerb, 0.06, 5.0, density=150
        )
        b.person(rng.uniform(2, length - 2), rng.uniform(-5, 5))
    b.floaters(400, (0, -6, -3), (length, 6, 12))
    if dome:
        b.dome(150.0)
    out = b.splats()
    return (
        place(out, Placement(1.0, Rotation.from_euler("y", -slope).as_matrix(), np.zeros(3)))
        if slope
        else out
    )


def plaza(seed=0, objects=6, bump=0.0):
    b = _builder(seed, density=40.0)
    b.ground(
        -15,
        15,
        -12,
        12,
        hole=lambda p: (
            (np.hypot(p[:, 0] - 8, p[:, 1] + 5) < 0.8) | (np.hypot(p[:, 0] + 6, p[:, 1] - 7) < 0.25)
        ),
    )
    if bump:
        points = b.parts[0][0]
        points[:, 2] += bump * np.sin(points[:, 0] * 0.5) * np.cos(points[:, 1] * 0.4)
    rng = b.rng
    for k in range(objects):
        x, y = rng.uniform(-12, 12), rng.uniform(-10, 10)
        kind = k % 4
        if kind == 0:
            b.tree(x, y)
        elif kind == 1:
            b.box(x, y, 0, 1.6, 0.5, 0.45, rng.uniform(0, 3))
        elif kind == 2:
            b.person(x, y)
        else:
            b.cylinder(x, y, 0, 0.4, 1.1)
    b.floaters(300, (-15, -12, -2), (15, 12, 6))
    return b.splats()


def park(seed=0):
    """No straight walls: trees, hedges, a path and gently rolling grass."""
    b = _builder(seed, density=35.0)
    b.ground(-18, 18, -14, 14, noise=0.02)
    points = b.parts[0][0]
    points[:, 2] += 0.12 * np.sin(points[:, 0] * 0.3 + 1) * np.sin(points[:, 1] * 0.25)
    for _ in range(14):
        x, y = b.rng.uniform(-16, 16), b.rng.uniform(-12, 12)
        b.tree(x, y, b.rng.uniform(4, 8))
    for _ in range(5):
        x, y = b.rng.uniform(-15, 15), b.rng.uniform(-12, 12)
        for k in range(4):
            b.blob(x + 0.6 * k, y, 0.4, 0.55, 300)
    b.floaters(300, (-18, -14, -1), (18, 14, 9))
    return b.splats()


def courtyard(seed=0):
    """Four facades at odd angles, a fountain, a passage's dark mouth."""
    b = _builder(seed, density=60.0)
    b.ground(-10, 10, -8, 8)
    for corner, a in (
        ((-10, -8, 0), (20, 1.5, 0)),
        ((-10, 8, 0), (20, -0.8, 0)),
        ((-10, -8, 0), (-0.5, 16, 0)),
        ((10, -8, 0), (0.7, 16, 0)),
    ):
        b.rect(corner, a, (0, 0, b.rng.uniform(6, 9)), density=110)
    b.cylinder(0, 0, 0, 1.5, 0.6)
    b.cylinder(0, 0, 0, 0.2, 1.8)
    for _ in range(3):
        b.box(b.rng.uniform(-7, 7), b.rng.uniform(-5, 5), 0, 1.8, 0.6, 0.45, b.rng.uniform(0, 3))
    b.floaters(300, (-10, -8, -2), (10, 8, 8))
    return b.splats()


def stairs(seed=0):
    """A lower square, six steps and a ramp beside them, an upper terrace of a third of the area."""
    b = _builder(seed, density=70.0)
    b.ground(-12, 4, -6, 6)
    for k in range(6):
        b.rect((4 + 0.3 * k, -6, 0.15 * k), (0, 6, 0), (0, 0, 0.15))
        b.ground(4 + 0.3 * k, 4.3 + 0.3 * k, -6, 0, z=0.15 * (k + 1))
    b.ground(5.8, 11.2, -6, 6, z=0.9)
    b.rect((4 - 5.0, 0, 0), (9.8 - 3.0, 0, 0.9), (0, 2.0, 0))
    b.rect((5.8, 2, 0), (0, 4, 0), (0, 0, 0.9))
    b.rect((-12, 6, 0), (23.2, 0, 0), (0, 0, 7), density=110)
    for _ in range(3):
        b.person(b.rng.uniform(-10, 3), b.rng.uniform(-5, 5))
    b.tree(-8, -4)
    b.box(-5, 3.5, 0, 1.8, 0.6, 0.45, 0.4)
    b.floaters(200, (-12, -6, -2), (11, 6, 6))
    return b.splats()


def quay(seed=0):
    """A promenade, a wall down to water 1.4 m below that was captured in patches, houses on one
    side."""
    b = _builder(seed, density=50.0)
    b.ground(0, 36, 0, 9)
    b.rect((0, 0, -1.4), (36, 0, 0), (0, 0, 1.4))
    b.ground(0, 36, -7, 0, z=-1.4, density=6.0, noise=0.05)
    for k in range(4):
        b.rect((9 * k, 9, 0), (9, 0, 0), (0, 0, b.rng.uniform(6, 11)), density=90)
    for k in range(7):
        b.cylinder(3 + 5 * k, 0.5, 0, 0.15, 0.9)
    for _ in range(4):
        b.tree(b.rng.uniform(2, 34), b.rng.uniform(2, 4))
        b.person(b.rng.uniform(2, 34), b.rng.uniform(2, 8))
    b.floaters(300, (0, -7, -4), (36, 9, 10))
    return b.splats()


def passage(seed=0):
    """An arcade with a roof at 3 m beside an open yard."""
    b = _builder(seed, density=60.0)
    b.ground(0, 20, 0, 10)
    b.rect((0, 7, 3.0), (0, 3, 0), (20, 0, 0))
    b.rect((0, 10, 0), (20, 0, 0), (0, 0, 3.0), density=110)
    b.rect((0, 7, 3.0), (20, 0, 0), (0, 0, 4.0), density=110)
    for k in range(6):
        b.cylinder(1 + 3.6 * k, 7.2, 0, 0.25, 3.0)
    b.rect((0, 0, 0), (0, 10, 0), (0, 0, 6), density=90)
    for _ in range(3):
        b.person(b.rng.uniform(2, 18), b.rng.uniform(1, 6))
    b.floaters(200, (0, 0, -2), (20, 10, 7))
    return b.splats()


def corridor(seed=0, count=30_000, noise=0.04):
    """18 x 2.4 x 2.7 m of round, noisy Gaussians with haze and a box, thin at its ends: what a poor
    capture of an indoor place is."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(6, count, p=[0.22, 0.12, 0.25, 0.25, 0.06, 0.10])
    p = np.stack(
        [
            rng.triangular(0, 9, 18, count),
            rng.uniform(-1.2, 1.2, count),
            rng.uniform(0, 2.7, count),
        ],
        1,
    )
    p[kind == 0, 2], p[kind == 1, 2], p[kind == 2, 1], p[kind == 3, 1] = 0.0, 2.7, -1.2, 1.2
    p[kind == 4] = np.array([6.0, 0.7, 0.0]) + rng.uniform(
        0, [0.6, 0.5, 0.9], ((kind == 4).sum(), 3)
    )
    p[kind != 5] += rng.normal(0, noise, ((kind != 5).sum(), 3))
    scales = rng.lognormal(np.log(0.07), 0.5, (count, 1)) * rng.lognormal(0, 0.35, (count, 3))
    opacities = np.where(
        kind == 5, rng.uniform(0.02, 0.2, count), rng.beta(1.2, 1.0, count) * 0.97 + 0.01
    )
    quats = np.roll(Rotation.random(count, rng=rng).as_quat(), 1, axis=1)
    sh = rng.normal(0, 0.3, (count, 1, 3))
    p, quats, scales, opacities, sh = (
        a.astype(np.float32) for a in (p, quats, scales, opacities, sh)
    )
    return Splats(p, quats, scales, opacities, sh)


PLACES = {
    "room": lambda s: room(s),
    "room without ceiling": lambda s: room(s, ceiling=False),
    "street": lambda s: street(s, kerb=0.12),
    "level street": lambda s: street(s),
    "dense facades": lambda s: street(s, facade_density=400.0),
    "one-sided street": lambda s: street(s, sides=1, kerb=0.12),
    "bare street": lambda s: street(s, cars=1, trees=0),
    "plaza": lambda s: plaza(s),
    "bumpy plaza": lambda s: plaza(s, objects=9, bump=0.08),
    "park": park,
    "courtyard": courtyard,
    "stairs": stairs,
    "quay": quay,
    "passage": passage,
}
"""Places with their floor at z = 0."""


def statue(seed=0):
    """An object on a small pedestal."""
    b = _builder(seed, density=4000.0, noise=0.002)
    b.box(0, 0, 0, 0.8, 0.8, 0.15)
    for _ in range(6):
        dx, dy = b.rng.normal(0, 0.1, 2)
        b.blob(dx, dy, b.rng.uniform(0.3, 1.3), 0.2, 800, opacity=(0.5, 1))
    b.cylinder(0, 0, 0.15, 0.2, 0.9)
    return b.splats()


def ball(seed=0):
    b = _builder(seed)
    b.blob(0, 0, 0, 1.0, 5000)
    return b.splats()


def ceiling_only(seed=0):
    b = _builder(seed)
    b.rect((0, 0, 2.6), (0, 8, 0), (10, 0, 0))
    for k in range(4):
        b.box(1.5 + 1.4 * k, 4 + (-1) ** k, 2.3, 0.6, 0.6, 0.25)
    return b.splats()


def wall_only(seed=0):
    b = _builder(seed)
    b.rect((0, 0, 0), (12, 0, 0), (0, 0, 6))
    for k in range(6):
        b.box(1 + 2 * k, -0.2, 1.0 + (k % 2) * 2.5, 1.0, 0.4, 1.2)
    return b.splats()


def plane_only(seed=0):
    b = _builder(seed)
    b.ground(0, 10, 0, 8)
    return b.splats()


def disturbed(splats: Splats, seed: int) -> tuple[Splats, Placement]:
    """The capture under a random rotation, scale (0.05 to 20 units a metre) and translation, and
    what was done."""
    rng = np.random.default_rng(seed)
    scale = float(np.exp(rng.uniform(np.log(0.05), np.log(20.0))))
    rotation = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    placement = Placement(scale, rotation, rng.normal(size=3) * 10 * scale)
    return place(splats, placement), placement


def floor_error(floor, placement: Placement, middle=(0.0, 0.0, 0.0)) -> tuple[float, float]:
    """Degrees and metres between a floor found in a disturbed capture and z = 0 of the capture;
    heights at `middle`."""
    up = placement.rotation @ np.array([0.0, 0.0, 1.0])
    angle = np.degrees(np.arccos(np.clip(floor.normal @ up, -1, 1)))
    height = (floor.normal @ placement.points(np.asarray(middle)) - floor.offset) / placement.scale
    return float(angle), float(height)
