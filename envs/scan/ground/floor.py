"""Finds what a capture stands on: the floor's plane and which way is up, or a reason why there is
none.

Which of a capture's large planes is the floor shows in what a floor does: nothing lies beneath it,
the sky is open above it (or it is the larger pair of a closed room), it reaches under everything
else, walls stand square on it, and things stand on it rather than hang from it or lean on it.
Heights and scale are unknown, so all of it is counted in shares of the capture.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label
from scipy.spatial import ConvexHull, QhullError  # pyright: ignore[reportAttributeAccessIssue]

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.field import ground_along, level_direction, level_directions
from s2e.envs.scan.ground.planes import Surface, fit_plane, large_planes, sample_surface

HINT_DEG = 30.0
"""How far the floor's normal may be from a hint."""
_FEWEST = 200
_CLEAR = 0.04
"""Share of a capture that may lie beneath a floor that little of it shows."""
_SURE = 0.4
"""By how much the floor's score must beat the next direction's to be sure of it."""


class NotNavigable(UserError):
    """A capture that is no place to drive in; the message says in numbers what was found
    instead.
    """


@dataclass(frozen=True)
class Floor:
    """The floor of a capture, in the file's units.

    Attributes:
        normal: (3,) unit, up.
        offset: `normal @ p` of points on the floor.
        support: share of the capture's surface that lies in the floor's band.
        extent: diameter of the floor's area.
        spread: robust deviation (one sigma) of the floor from its plane.
        up_sure: whether the capture alone says which way is up (always true with a hint).
        noise: robust deviation of the surface from the ground itself, wherever that rolls, where
            the field found it; 0 elsewhere.
        warning: where the capture speaks against what was asked for, in words.
    """

    normal: np.ndarray
    offset: float
    support: float
    extent: float
    spread: float
    up_sure: bool
    warning: str = ""
    noise: float = 0.0


@dataclass(frozen=True)
class _Facts:
    """What a plane with its up direction is to a capture; shares of the surface where nothing else
    is said.

    `below`: beneath it. `above`: over it. `open`: of its cells with nothing over them. `cover`: its
    cells over all columns that hold anything above it. `layers`: its cells and those of level
    layers near its height over all columns. `square`: of what is over it, faces that are level or
    upright. `contact`: of loose things, what touches it. `low`: mean height of loose things over
    the whole height. `tall`: height (95 %) over the root of its area. `support`: within its band.
    `spread`: how far apart what is over it stands, against the extent of the plane itself
    (deviations).
    """

    normal: np.ndarray
    offset: float
    below: float
    above: float
    open: float
    cover: float
    layers: float
    square: float
    contact: float
    low: float
    tall: float
    support: float
    height: float
    length: float
    spread: float

    def score(self) -> float:
        return (
            2.5 * self.open
            + 2.5 * self.contact
            + 1.5 * self.cover
            + 2.0 * self.square
            + self.support
            - 1.5 * self.low
            - min(self.tall, 2.0)
            - 15.0 * max(self.below - 0.02, 0.0)
        )


def find_floor(
    splats: Splats, up: np.ndarray | None = None, seed: int = 0, eyes: np.ndarray | None = None
) -> Floor:
    """Finds the floor of a capture in its own units and axes.

    First among the large planes of its discs. Where these hold none, or the wrong one, as the
    ground in a field of opacity (`s2e.envs.scan.ground.field`): captures of round, noisy Gaussians,
    of rooms with ceilings, from the air.

    Args:
        splats: cleaned, or not too dirty (`s2e.envs.scan.ground.clean`).
        up: (3,) a direction that the floor's normal is within 30 degrees of; without it, it is
            found.
        seed: of the sampling; the same seed gives the same floor.
        eyes: (N, 3) where cameras were, all of them above the floor, if that is known.

    Raises:
        NotNavigable: no floor, or it is not clear which plane is; the message says what was found,
            and when --up helps.
        UserError: the hint is not a direction.
    """
    if up is not None:
        up = np.asarray(up, dtype=np.float64)
        if up.shape != (3,) or not np.isfinite(up).all() or not np.linalg.norm(up) > 0.0:
            raise UserError(
                f"up {up}: give three finite numbers that are not all 0, or an axis such as z or -y"
            )
        up = up / np.linalg.norm(up)
    surface = surface_of(splats, seed)
    try:
        floor = _among_planes(surface, up, seed)
        if eyes is None or float(np.quantile(eyes @ floor.normal, 0.2)) > floor.offset:
            return floor
        reason = NotNavigable(
            "not navigable: the cameras were beneath the largest level surface: a ceiling; check "
            "--up and --cameras"
        )
    except NotNavigable as error:
        reason = error
    if up is not None:
        found = _in_the_field(splats, surface, up, seed, eyes, reason)
        return _under(surface, up, seed, found) or found if found.warning else found
    return _in_any_direction(splats, surface, seed, eyes, reason)


def surface_of(splats: Splats, seed: int = 0) -> Surface:
    """The sampled surface of a capture.

    Raises:
        NotNavigable: there is next to none.
    """
    solid = int((splats.opacities > 0.1).sum())
    if solid < _FEWEST:
        raise NotNavigable(
            f"not navigable: only {solid} of {len(splats.means)} Gaussians are solid (opacity "
            "above 0.1), no place"
        )
    surface = sample_surface(splats, seed)
    if surface is None:
        raise NotNavigable(
            "not navigable: all Gaussians lie in one point; the capture has no extent"
        )
    return surface


def given_floor(splats: Splats, plane: np.ndarray, seed: int = 0) -> Floor:
    """The floor that a person gives, with a warning where the capture speaks against it.

    Args:
        splats: cleaned, in the file's units.
        plane: (4,) A, B, C, D of A x + B y + C z + D = 0, (A, B, C) up, of any length.
        seed: of the sampling.
    """
    length = float(np.linalg.norm(plane[:3]))
    normal, offset = plane[:3] / length, -float(plane[3]) / length
    surface = surface_of(splats, seed)
    h = surface.points @ normal - offset
    spread = (
        1.4826 * float(np.median(np.abs(h[np.abs(h) < 0.02 * surface.size])))
        if (np.abs(h) < 0.02 * surface.size).any()
        else 0.0
    )
    band = np.abs(h) < max(3.0 * spread, 1e-3 * surface.size)
    extent = _length(
        (surface.points[band] if band.sum() > 100 else surface.points)
        @ np.linalg.svd(normal[None])[2][1:].T
    )
    below = float((h < -0.03 * surface.size).mean())
    said = []
    if band.mean() < 0.02:
        said.append(f"only {band.mean():.1%} of the capture lies in it")
    if below > 0.15:
        said.append(f"{below:.0%} of the capture lies beneath it")
    try:
        found = find_floor(splats, normal, seed)
        tilt = float(np.degrees(np.arccos(np.clip(found.normal @ normal, -1.0, 1.0))))
        off = float(normal @ (found.normal * found.offset)) - offset
        if tilt > 3.0 or abs(off) > 0.02 * surface.size:
            said.append(
                f"the capture's own floor leans {tilt:.1f} degrees from it and lies {off:+.3g} "
                "units above it"
            )
    except NotNavigable as error:
        said.append(str(error).removeprefix("not navigable: "))
    warning = "--floor is taken as given, but " + "; ".join(said) if said else ""
    return Floor(normal, offset, float(band.mean()), extent, spread, True, warning)


def _among_planes(surface: Surface, up: np.ndarray | None, seed: int) -> Floor:
    planes = large_planes(surface, seed)
    facts, sure = _direction(surface, planes, up)
    normal = _refined_normal(surface, facts, seed)
    offset, spread, support = _layer(surface, normal, planes)
    floor = _facts_of(
        surface, normal, offset, _near(surface, normal, offset), planes, _loose(surface, planes)
    )
    _plausible(surface, floor, up is not None)
    return Floor(normal, offset, support, floor.length, spread, sure)


def _in_the_field(
    splats: Splats,
    surface: Surface,
    up: np.ndarray,
    seed: int,
    eyes: np.ndarray | None,
    reason: NotNavigable,
) -> Floor:
    """The ground within 30 degrees of up, with a warning where the capture speaks against it."""
    ground = ground_along(splats, surface, level_direction(surface, up, HINT_DEG, seed), eyes)
    if ground is None or not ground.place(surface.size):
        raise reason
    said = []
    if ground.below > 0.15 or ground.beneath > 0.3:
        said.append(
            f"{max(ground.below, ground.beneath):.0%} of the capture lies beneath the floor"
        )
    if ground.above < 0.01:
        said.append("next to nothing stands on the floor")
    warning = (
        f"up is taken as given, but {' and '.join(said)}: it may stand on its head" if said else ""
    )
    return Floor(
        ground.normal,
        ground.offset,
        ground.support,
        ground.extent,
        ground.spread,
        True,
        warning,
        ground.noise,
    )


def _under(surface: Surface, up: np.ndarray, seed: int, found: Floor) -> Floor | None:
    """The small level plane with next to nothing beneath it, under a larger layer that has: the
    floor that shows around a table.
    """
    planes = large_planes(surface, seed)
    try:
        facts, _ = _direction(surface, planes, up)
    except NotNavigable:
        return None
    lower = float(facts.normal @ found.normal) * found.offset - facts.offset
    if (
        facts.below > _CLEAR
        or facts.normal @ found.normal < np.cos(np.radians(20.0))
        or lower < 0.05 * surface.size
    ):
        return None
    h = surface.points @ facts.normal - facts.offset
    near = h[np.abs(h) < 0.01 * surface.size]
    offset = facts.offset + float(np.median(near)) if len(near) else facts.offset
    spread = 1.4826 * float(np.median(np.abs(near - np.median(near)))) if len(near) else 0.0
    words = (
        f"the largest level surface lies {lower:.2g} units above the floor, which has nothing "
        "beneath it: a table, or a terrace"
    )
    return Floor(facts.normal, offset, facts.support, facts.length, spread, True, words)


def _in_any_direction(
    splats: Splats, surface: Surface, seed: int, eyes: np.ndarray | None, reason: NotNavigable
) -> Floor:
    """The ground of the direction that is most like one, if it is so by a margin."""
    grounds = [
        ground_along(splats, surface, sign * axis, eyes)
        for axis in level_directions(surface, seed)
        for sign in (1.0, -1.0)
    ]
    likely = sorted(
        (g for g in grounds if g is not None and g.place(surface.size, hinted=False)),
        key=lambda g: -g.score(),
    )
    if not likely:
        raise reason
    best = likely[0]
    others = [g for g in likely if g.normal @ best.normal < np.cos(np.radians(20.0))]
    margin = best.score() - others[0].score() if others else 9.0
    if margin < _SURE:
        alike = 1 + sum(best.score() - g.score() < _SURE for g in others)
        ups = " or ".join(f"({_vector(g.normal)})" for g in (best, others[0]))
        raise NotNavigable(
            f"not navigable without a hint: {alike} level surfaces look alike (floor, ceiling or "
            f"wall), with up {ups}: they hold "
            f"{best.layer:.0%} and {others[0].layer:.0%} of where one could stand; say which way "
            "is up with --up, or give --cameras"
        )
    return Floor(
        best.normal,
        best.offset,
        best.support,
        best.extent,
        best.spread,
        margin >= 2.0 * _SURE,
        noise=best.noise,
    )


def _direction(surface: Surface, planes: list, up: np.ndarray | None) -> tuple[_Facts, bool]:
    """The plane and direction that do best what a floor does, and whether by a clear margin."""
    if not planes:
        raise NotNavigable(
            "not navigable: no plane holds even 2 % of the capture's surface; it is an object, or "
            "has no ground"
        )
    loose = _loose(surface, planes)
    candidates = []
    for normal, offset, mine in planes:
        for sign in (1.0, -1.0):
            if up is None or sign * normal @ up > np.cos(np.radians(HINT_DEG)):
                facts = _facts_of(surface, sign * normal, sign * offset, mine, planes, loose)
                candidates.append(facts)
    if not candidates:
        tilt = min(np.degrees(np.arccos(min(abs(normal @ up), 1.0))) for normal, _, _ in planes)  # pyright: ignore[reportOperatorIssue]
        raise NotNavigable(
            f"not navigable: none of the {len(planes)} large planes is level: the nearest leans "
            f"{tilt:.0f} degrees from up, "
            f"{HINT_DEG:.0f} are allowed; check --up, or leave it out"
        )
    candidates.sort(key=lambda c: -c.score())
    best = candidates[0]
    if up is not None:
        return best, True
    others = [c for c in candidates if c.normal @ best.normal < np.cos(np.radians(20.0))]
    margin = best.score() - others[0].score() if others else 9.0
    if margin < _SURE and best.length > 0.0:
        turn = np.degrees(np.arccos(np.clip(best.normal @ others[0].normal, -1.0, 1.0)))
        raise NotNavigable(
            "not navigable without a hint: two planes could be the floor, with up "
            f"({_vector(best.normal)}) or "
            f"({_vector(others[0].normal)}), {turn:.0f} degrees apart (scores {best.score():.2f} "
            f"and {others[0].score():.2f}); "
            "say which way is up with --up"
        )
    return best, bool(margin >= 2.0 * _SURE)


def _vector(v: np.ndarray) -> str:
    return ", ".join(f"{x:.2f}" for x in v)


def _loose(surface: Surface, planes: list) -> np.ndarray:
    """(V,) the clump of voxels on no large plane that each belongs to, 0 for none or a speck."""
    free = np.ones(len(surface.voxels), dtype=bool)
    for normal, offset, mine in planes:
        if surface.weight[mine].sum() > 0.04 * surface.weight.sum():
            free &= np.abs(surface.voxels @ normal - offset) > 1.5 * surface.cell
    clump = np.zeros(len(surface.voxels), dtype=np.int32)
    if not free.any():
        return clump
    where = np.floor((surface.voxels - surface.voxels.min(0)) / surface.cell).astype(np.int64)
    grid = np.zeros(where.max(0) + 1, dtype=bool)
    grid[tuple(where[free].T)] = True
    parts = np.zeros(grid.shape, dtype=np.int32)
    label(grid, structure=np.ones((3, 3, 3), dtype=bool), output=parts)
    clump[free] = parts[tuple(where[free].T)]
    sizes = np.bincount(clump)
    return np.where(sizes[clump] >= 5, clump, 0)


def _near(surface: Surface, normal: np.ndarray, offset: float) -> np.ndarray:
    return (
        (np.abs(surface.voxels @ normal - offset) < surface.cell)
        & (np.abs(surface.normals @ normal) > 0.8)
        & (surface.planar > 0.2)
    )


def _facts_of(
    surface: Surface,
    normal: np.ndarray,
    offset: float,
    mine: np.ndarray,
    planes: list,
    loose: np.ndarray,
) -> _Facts:
    """Counts what `_Facts` says."""
    weight, cell = surface.weight, surface.cell
    whole = weight.sum()
    h = surface.voxels @ normal - offset
    above, below = h > 2.0 * cell, h < -2.0 * cell
    # Layers of the same direction beneath (water under a quay, a lower terrace) are no sign of a
    # table top or a ceiling.
    level = np.zeros(len(h), dtype=bool)
    for n, _, voxels in planes:
        if abs(n @ normal) > 0.97:
            level |= voxels
    height = float(np.quantile(h[above], 0.95)) if above.sum() > 10 else 0.0
    flat_axes = np.linalg.svd(normal[None])[2][1:]
    places = np.floor(surface.voxels @ flat_axes.T / cell).astype(np.int64)
    key = (places[:, 0] - places[:, 0].min()) * 4096 + places[:, 1] - places[:, 1].min()
    mine_key = np.unique(key[mine])
    covered = np.isin(mine_key, np.unique(key[h > 3.0 * cell]))
    turned = np.abs(surface.normals @ normal)
    faces = (surface.planar > 0.4) & above & ~mine
    square = faces & ((turned > 0.97) | (turned < 0.25))
    length = _length(surface.voxels[mine] @ flat_axes.T)
    contact, low = _standing(h, cell, height, weight * ((loose > 0) & (h > -cell)), loose, whole)
    return _Facts(
        normal=normal,
        offset=offset,
        below=float(weight[below & ~level].sum() / whole),
        above=float(weight[above].sum() / whole),
        open=1.0 - float(covered.mean()) if len(covered) else 0.0,
        cover=len(mine_key) / max(len(np.unique(key[h > -2.0 * cell])), 1),
        layers=len(np.unique(key[mine | (level & (np.abs(h) < 0.1 * length))]))
        / max(len(np.unique(key)), 1),
        square=float((weight[square].sum() + 0.005 * whole) / (weight[faces].sum() + 0.01 * whole)),
        contact=contact,
        low=low,
        tall=height / (cell * np.sqrt(max(len(mine_key), 1))),
        support=float(weight[mine].sum() / whole),
        height=height,
        length=length,
        spread=_deviation(surface.voxels[above] @ flat_axes.T, weight[above])
        / max(_deviation(surface.voxels[mine] @ flat_axes.T, weight[mine]), cell),
    )


def _deviation(flat: np.ndarray, weight: np.ndarray) -> float:
    """Root mean square distance from the middle; 0 of nothing."""
    total = weight.sum()
    if not total > 0.0:
        return 0.0
    return float(np.sqrt(weight @ ((flat - weight @ flat / total) ** 2).sum(1) / total))


def _standing(
    h, cell: float, height: float, weight: np.ndarray, loose: np.ndarray, whole: float
) -> tuple[float, float]:
    """How much of the loose things touches the plane, and how low they are; 0.3 and 0.5 where there
    is next to nothing.
    """
    mass = np.bincount(loose, weights=weight)
    lowest = np.full(len(mass), np.inf)
    np.minimum.at(lowest, loose, h)
    # A clump of a tenth of the place is a facade's relief rather than a thing: more of it proves no
    # more.
    mass = np.minimum(mass, 0.03 * whole)
    touching = (lowest < 4.0 * cell) & (lowest > -2.0 * cell)
    prior = 0.004 * whole
    contact = (mass[1:] @ touching[1:] + 0.3 * prior) / (mass[1:].sum() + prior)
    relative = np.clip(h / height, 0.0, 1.0) if height > 0.0 else np.full(len(h), 0.5)
    return float(contact), float((weight @ relative + 0.5 * prior) / (weight.sum() + prior))


def _length(flat: np.ndarray) -> float:
    """Diameter of a set of points in the plane: the largest distance between two of its convex
    hull.
    """
    if len(flat) < 3:
        return 0.0
    try:
        hull = flat[ConvexHull(flat).vertices]
    except QhullError:
        hull = flat[[0, -1]]
    hull = hull[:: max(len(hull) // 200, 1)]
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max())


def _level_points(surface: Surface, normal: np.ndarray) -> np.ndarray:
    """Points on surfaces that face along the normal: flat Gaussians by their own axis, round ones
    by their voxel's.
    """
    faces = np.abs(surface.normals @ normal) > 0.9
    level_voxels = surface.voxels[faces & (surface.planar > 0.2)]
    base = surface.voxels.min(0)
    side = np.ceil((surface.voxels.max(0) - base) / surface.cell).astype(np.int64) + 3

    def keys(points):
        index = np.clip(np.floor((points - base) / surface.cell).astype(np.int64) + 1, 0, side - 1)
        return (index[:, 0] * side[1] + index[:, 1]) * side[2] + index[:, 2]

    inside = np.isin(keys(surface.points), np.unique(keys(level_voxels)))
    turned = np.abs(surface.thin @ normal)
    return surface.points[inside & ((surface.flat < 0.5) | (turned > 0.8))]


def _refined_normal(surface: Surface, facts: _Facts, seed: int) -> np.ndarray:
    """The normal of the largest level plane, as sharp as the ground allows.

    The coarse plane may straddle terraces, stairs and a ramp. Planes through three level points are
    judged in bands that halve, and the best is taken by support over the root of the band: for one
    noisy plane that is greatest near one standard deviation, and a level part of steps beats the
    slant across all of them.
    """
    points = _level_points(surface, facts.normal)
    if len(points) < 50:
        return facts.normal
    rng = np.random.default_rng([seed, 2])
    near = points[np.abs(points @ facts.normal - facts.offset) < 4.0 * surface.cell]
    if len(near) < 50:
        return facts.normal
    few = near if len(near) <= 5000 else near[rng.choice(len(near), 5000, replace=False)]
    corners = near[rng.integers(0, len(near), (600, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sizes = np.linalg.norm(normals, axis=1)
    good = sizes > (4.0 * surface.cell) ** 2
    normals = normals[good] / sizes[good, None]
    normals *= np.sign(normals @ facts.normal)[:, None]
    good = np.flatnonzero(normals @ facts.normal > np.cos(np.radians(12.0)))
    normals = np.concatenate([facts.normal[None], normals[good]])
    offsets = np.concatenate(
        [[facts.offset], (normals[1:] * corners[sizes > (4.0 * surface.cell) ** 2][good, 0]).sum(1)]
    )
    residual = np.abs(normals @ few.T - offsets[:, None])
    best, best_score = facts.normal, 0.0
    for halvings in range(6):
        band = surface.cell * 0.5**halvings
        k = int((residual < band).sum(1).argmax())
        normal, offset = normals[k], offsets[k]
        for _ in range(4):
            inliers = near[np.abs(near @ normal - offset) < band]
            if len(inliers) < 20:
                break
            fitted, offset = fit_plane(inliers, np.ones(len(inliers)))
            flip = np.sign(fitted @ facts.normal)
            normal, offset = fitted * flip, offset * flip
        score = float((np.abs(near @ normal - offset) < band).mean()) / np.sqrt(band / surface.cell)
        if score > best_score and normal @ facts.normal > np.cos(np.radians(15.0)):
            best, best_score = normal, score
        # The refined plane is a trial of the finer bands too.
        normals, offsets = np.concatenate([normals, normal[None]]), np.append(offsets, offset)
        residual = np.concatenate([residual, np.abs(few @ normal - offset)[None]])
    return best


def _layer(surface: Surface, normal: np.ndarray, planes: list) -> tuple[float, float, float]:
    """Offset, spread and support of the floor among the level layers.

    Layers are peaks of the histogram of heights. Those less than two voxels apart (road and
    pavement) are one floor whose lowest large one counts. Of those further apart (quay and water,
    terraces, floor and table tops) it is the lowest that is large and that things stand on.
    """
    points = _level_points(surface, normal)
    h = points @ normal
    step = surface.cell / 60.0
    low, high = float(np.quantile(h, 0.002)), float(np.quantile(h, 0.998))
    bins = int(np.clip((high - low) / step, 8, 20_000)) + 80
    counts, edges = np.histogram(h, bins, (low - 40 * step, low + (bins - 40) * step))
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / 2.5) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="same")
    middles = 0.5 * (edges[1:] + edges[:-1])
    peaks = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])) + 1
    groups = _groups(peaks, smooth, middles, h, surface.cell)
    loose = _loose(surface, planes)
    most = max(mass for _, mass, _ in groups)
    large = sorted(group for group in groups if group[1] > 0.3 * most)
    standing = [_standing_on(surface, normal, at, loose) for at, _, _ in large]
    best = next(
        group
        for group, stands in zip(large, standing, strict=True)
        if stands >= 0.3 * max(standing)
    )
    return _sharp_offset(
        h, best[2], _half_width(smooth, middles, best[2]), surface.cell, len(surface.points)
    )


def _standing_on(surface: Surface, normal: np.ndarray, at: float, loose: np.ndarray) -> float:
    """Share of the surface that is loose things whose foot is on the layer at `at`."""
    h = surface.voxels @ normal - at
    mass = np.bincount(loose, weights=surface.weight)
    lowest = np.full(len(mass), np.inf)
    np.minimum.at(lowest, loose, h)
    foot = (np.abs(lowest - 1.5 * surface.cell) < 2.5 * surface.cell)[1:]
    whole = surface.weight.sum()
    return float(np.minimum(mass[1:], 0.03 * whole) @ foot / whole)


def _groups(
    peaks: np.ndarray, smooth: np.ndarray, middles: np.ndarray, h: np.ndarray, cell: float
) -> list[tuple[float, float, float]]:
    """Peaks within two cells of a larger one, together: (height of the largest, points, height of
    the lowest large one).
    """
    groups, taken = [], np.zeros(len(peaks), dtype=bool)
    for k in np.argsort(-smooth[peaks], kind="stable"):
        if taken[k] or smooth[peaks[k]] < 0.05 * smooth[peaks].max():
            continue
        at = middles[peaks[k]]
        member = ~taken & (np.abs(middles[peaks] - at) < 2.0 * cell)
        lowest = peaks[k]
        for p in peaks[member]:
            if p >= lowest or smooth[p] < 0.35 * smooth[peaks[k]]:
                continue
            dip = smooth[p : peaks[k] + 1].min()
            if dip < 0.6 * smooth[p]:
                lowest = p
                break
        taken |= member
        mass = float((np.abs(h - at) < 2.0 * cell).sum())
        groups.append((float(at), mass, float(middles[lowest])))
    return groups


def _half_width(smooth: np.ndarray, middles: np.ndarray, at: float) -> float:
    """Half the width of a peak at half its height."""
    k = int(np.argmin(np.abs(middles - at)))
    low = np.flatnonzero(smooth[:k] < 0.5 * smooth[k])
    high = np.flatnonzero(smooth[k:] < 0.5 * smooth[k])
    left = k - low[-1] if len(low) else len(smooth)
    right = high[0] if len(high) else len(smooth)
    # The narrower side: on the other a second layer may begin.
    return float(min(left, right) * (middles[1] - middles[0]))


def _sharp_offset(
    h: np.ndarray, at: float, half_width: float, cell: float, samples: int
) -> tuple[float, float, float]:
    """The middle of the layer at `at`: the median in a band that shrinks to two and a half
    deviations around it.
    """
    band = min(1.5 * half_width, cell)
    middle, spread = at, band
    for _ in range(12):
        inside = h[np.abs(h - middle) < band]
        if len(inside) < 10:
            break
        new = float(np.median(inside))
        spread = 1.4826 * float(np.median(np.abs(inside - new)))
        # Never further from the peak than its own width: beside it lies the pavement.
        middle = float(np.clip(new, at - spread, at + spread))
        band = max(min(band, 2.5 * spread), cell / 50.0)
    support = float((np.abs(h - middle) < max(3.0 * spread, cell / 20.0)).sum() / samples)
    return middle, spread, support


def _plausible(surface: Surface, floor: _Facts, hinted: bool) -> None:
    """Raises `NotNavigable` where the best plane is no floor all the same."""
    about = (
        f"the largest level surface holds {100 * floor.support:.0f} % of the capture and is "
        f"{floor.length:.3g} units across"
    )
    above, below = f"{100 * floor.above:.1f} %", f"{100 * floor.below:.1f} %"
    why = ""
    if floor.support < 0.04:
        why = f"{about}: too little to be ground; it is an object, or the ground is missing"
    elif floor.below > 0.3:
        why = f"{about}, but {below} lies beneath it: a table, a roof or a ceiling"
    elif floor.below > 0.01 and floor.above < 0.7 * floor.below:
        why = f"{about}, with {below} beneath and {above} above it: a ceiling"
    elif floor.spread < 0.45 and floor.height > 0.25 * floor.length:
        why = (
            f"{about}, and all that stands on it is one thing {floor.height:.3g} units tall (its "
            f"parts lie {floor.spread:.2f} times as "
            "far apart as those of the surface): an object on its base, not a place"
        )
    elif floor.height > floor.length or floor.length < 0.4 * surface.size:
        why = (
            f"{about}, and the capture is {surface.size:.3g} across and rises "
            f"{floor.height:.3g} "
            "above it: an object, not a place"
        )
    elif max(floor.cover, floor.layers) < 0.25:
        why = (
            f"{about}, under {100 * floor.cover:.0f} % of what the capture shows: an object, or "
            "no ground"
        )
    if why:
        remedy = ""
        if hinted:
            remedy = "; check --up, or leave it out"
        elif floor.support < 0.04 or floor.below > 0.01:
            remedy = "; if it is a place all the same, say which way is up with --up"
        raise NotNavigable(f"not navigable: {why}{remedy}")
    if not hinted and floor.above < 0.03:
        raise NotNavigable(
            f"not navigable without a hint: {about}, and next to nothing ({above}) stands on it; "
            "say which way is up with --up"
        )
