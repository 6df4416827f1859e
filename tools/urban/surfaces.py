"""Colours of surfaces: functions from points (n, 3) in metres to colours (n, 3) in 0..1, before any
light falls on them.
"""

from collections.abc import Callable

import numpy as np

from s2e.envs.splats.marks import mottle

Colour = Callable[[np.ndarray], np.ndarray]


def hexes(*codes: str) -> np.ndarray:
    """(n, 3) colours in 0..1 from hexadecimal codes."""
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes])


def tone(code: str) -> np.ndarray:
    """(3,) one colour in 0..1 from its hexadecimal code."""
    return hexes(code)[0]


def scatter(i: np.ndarray, j: np.ndarray, seed: int = 0) -> np.ndarray:
    """A number in 0..1 for each pair of integers, as if drawn at random."""
    h = (
        (np.asarray(i).astype(np.int64) * 73856093)
        ^ (np.asarray(j).astype(np.int64) * 19349663)
        ^ (seed * 83492791 + 12345)
    )
    h = (h ^ (h >> 13)) * 1274126177
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


def flat(colour: np.ndarray) -> Colour:
    """One colour."""
    return lambda p: np.tile(np.asarray(colour, float), (len(p), 1))


def plaster(colour: np.ndarray, seed: int = 5, dirt: float = 1.0) -> Colour:
    """Painted plaster with stains, streaks that run down, and dirt at its foot."""

    def of(p: np.ndarray) -> np.ndarray:
        s, t = p[:, 0] + 0.8 * p[:, 1], p[:, 2]
        stain = 0.1 * mottle(s, t, 0.6, seed) + 0.08 * mottle(s * 4, t * 0.4, 1.0, seed + 1)
        foot = -0.28 * np.exp(-np.maximum(t, 0) / 0.4) * (1 + 0.5 * mottle(s, t, 1.5, seed + 2))
        return np.clip(colour * (1 + dirt * (stain + foot))[:, None], 0.02, 1)

    return of


def brick(
    colour: np.ndarray,
    mortar: np.ndarray,
    seed: int = 9,
    course: float = 0.16,
    length: float = 0.42,
) -> Colour:
    """Courses of bricks, each of its own tone; they are large, so that Gaussians can show them."""

    def of(p: np.ndarray) -> np.ndarray:
        s, t = p[:, 0] + p[:, 1], p[:, 2]
        row = np.floor(t / course)
        column = np.floor(s / length + 0.5 * (row % 2))
        each = 0.72 + 0.5 * scatter(row, column, seed)
        tinted = colour * each[:, None] * (1 + 0.08 * mottle(s, t, 0.35, seed))[:, None]
        joint = (np.abs(t / course - np.round(t / course)) * course < 0.018)[:, None]
        return np.clip(np.where(joint, mortar, tinted), 0.02, 1)

    return of


def stones(
    colour: np.ndarray,
    seed: int = 15,
    course: float = 0.42,
    length: float = 0.7,
    contrast: float = 0.3,
) -> Colour:
    """Hewn blocks in courses."""

    def of(p: np.ndarray) -> np.ndarray:
        s, t = p[:, 0] + p[:, 1], p[:, 2]
        row = np.floor(t / course)
        column = np.floor(s / length + 0.37 * row)
        each = 1 - contrast / 2 + contrast * scatter(row, column, seed)
        return np.clip(
            colour * (each * (1 + 0.1 * mottle(s * 2, t * 2, 0.9, seed)))[:, None], 0.02, 1
        )

    return of


def concrete(colour: np.ndarray, seed: int = 23, panel: float = 2.4) -> Colour:
    """Cast concrete: panels with seams and dark streaks of rain."""

    def of(p: np.ndarray) -> np.ndarray:
        s, t = p[:, 0] + p[:, 1], p[:, 2]
        seam = (np.abs(s / panel - np.round(s / panel)) * panel < 0.05) | (
            np.abs(t / panel - np.round(t / panel)) * panel < 0.05
        )
        streak = np.maximum(mottle(s * 3, t * 0.15, 0.9, seed), 0) * 0.14
        each = 0.94 + 0.12 * scatter(np.floor(s / panel), np.floor(t / panel), seed)
        wear = 0.08 * mottle(s, t, 0.9, seed + 1)
        return np.clip(
            colour * (each * (1 + wear - streak) * np.where(seam, 0.72, 1.0))[:, None], 0.02, 1
        )

    return of


def planks(
    colour: np.ndarray,
    width: float = 0.16,
    across: tuple[float, float, float] = (0, 0, 1),
    seed: int = 31,
) -> Colour:
    """Boards that lie side by side in the direction `across`."""
    axis = np.asarray(across, float)

    def of(p: np.ndarray) -> np.ndarray:
        board = np.floor(p @ axis / width)
        grain = 0.12 * mottle(p[:, 0] * 3 + p[:, 1] * 3, p[:, 2] * 3, 1.0, seed)
        return np.clip(
            colour * (0.78 + 0.4 * scatter(board, board * 0, seed) + grain)[:, None], 0.02, 1
        )

    return of


def slabs(
    tones: np.ndarray, size: float = 0.6, seed: int = 1, joint: float = 0.03, ratio: float = 1.0
) -> Colour:
    """Paving of slabs `size` x `ratio` `size`, each of one of the tones, with dark joints and
    stains.
    """

    def of(p: np.ndarray) -> np.ndarray:
        x, y = p[:, 0], p[:, 1]
        row = np.floor(y / size)
        shift = 0.5 * (row % 2) if ratio != 1.0 else 0.0
        column = np.floor(x / (size * ratio) + shift)
        pick = scatter(row, column, seed)
        base = (
            tones[(pick * 997).astype(int) % len(tones)]
            * (0.82 + 0.32 * scatter(column, row, seed + 1))[:, None]
        )
        u, v = x / (size * ratio) + shift - column, y / size - row
        gap = (np.minimum(u, 1 - u) * size * ratio < joint) | (np.minimum(v, 1 - v) * size < joint)
        wear = 0.12 * mottle(x, y, 0.3, seed + 2) + 0.1 * mottle(x, y, 1.1, seed + 3)
        return np.clip(base * ((1 + wear) * np.where(gap, 0.62, 1.0))[:, None], 0.02, 1)

    return of


def cobbles(tones: np.ndarray, seed: int = 2, size: float = 0.22) -> Colour:
    """Small stones with rounded tops, in rows that wander."""

    def of(p: np.ndarray) -> np.ndarray:
        x, y = (
            p[:, 0] + 0.08 * mottle(p[:, 0], p[:, 1], 0.4, seed),
            p[:, 1] + 0.08 * mottle(p[:, 0], p[:, 1], 0.4, seed + 1),
        )
        row = np.floor(y / size)
        column = np.floor(x / size + 0.5 * (row % 2))
        base = tones[(scatter(row, column, seed) * 997).astype(int) % len(tones)]
        each = 0.72 + 0.5 * scatter(column, row, seed + 4)
        return np.clip(base * (each * (1 + 0.13 * mottle(x, y, 0.25, seed + 5)))[:, None], 0.02, 1)

    return of


def asphalt(colour: np.ndarray, seed: int = 40) -> Colour:
    """Tar with patches, cracks and oil."""

    def of(p: np.ndarray) -> np.ndarray:
        x, y = p[:, 0], p[:, 1]
        patch = 0.16 * (mottle(x, y, 0.12, seed) > 0.7) - 0.14 * (mottle(x, y, 0.1, seed + 1) > 0.9)
        crack = np.abs(mottle(x, y, 0.5, seed + 2)) < 0.035
        grain = 0.09 * mottle(x, y, 1.7, seed + 3) + 0.1 * mottle(x, y, 0.35, seed + 4)
        return np.clip(colour * ((1 + patch + grain) * np.where(crack, 0.6, 1.0))[:, None], 0.02, 1)

    return of


def grass(colour: np.ndarray, dry: np.ndarray, seed: int = 50) -> Colour:
    """A lawn with dry and worn places."""

    def of(p: np.ndarray) -> np.ndarray:
        x, y = p[:, 0], p[:, 1]
        mix = np.clip(
            0.35 + 0.4 * mottle(x, y, 0.2, seed) + 0.25 * mottle(x, y, 1.2, seed + 1), 0, 1
        )[:, None]
        return np.clip(
            (colour * (1 - mix) + dry * mix) * (1 + 0.2 * mottle(x, y, 2.2, seed + 2))[:, None],
            0.02,
            1,
        )

    return of


def gravel(colour: np.ndarray, seed: int = 60) -> Colour:
    """Small stones and sand, trodden in the middle."""

    def of(p: np.ndarray) -> np.ndarray:
        x, y = p[:, 0], p[:, 1]
        speck = 0.24 * (scatter(np.floor(x * 11), np.floor(y * 11), seed) - 0.5)
        return np.clip(
            colour
            * (1 + speck + 0.14 * mottle(x, y, 0.3, seed) + 0.08 * mottle(x, y, 1.3, seed + 1))[
                :, None
            ],
            0.02,
            1,
        )

    return of


def water(colour: np.ndarray, seed: int = 70) -> Colour:
    """Ripples over depth; paint it with gloss."""
    return lambda p: np.clip(colour * (1 + 0.25 * mottle(p[:, 0], p[:, 1], 0.5, seed) + 0.2 * mottle(p[:, 0] * 3, p[:, 1] * 3, 0.8, seed + 1))[:, None], 0.02, 1)  # fmt: skip


def roof_tiles(colour: np.ndarray, seed: int = 80) -> Colour:
    """Rows of clay tiles, some mossy."""

    def of(p: np.ndarray) -> np.ndarray:
        s, t = p[:, 0] + p[:, 1], p[:, 2]
        each = 0.75 + 0.4 * scatter(np.floor(s / 0.3), np.floor(t / 0.25), seed)
        moss = np.clip(mottle(s, t * 2, 0.4, seed) - 0.5, 0, 0.6)[:, None]
        return np.clip(
            colour * each[:, None] * (1 - moss) + moss * np.array([0.3, 0.33, 0.2]), 0.02, 1
        )

    return of
