"""Real people's tracks as a crowd: reads the ETH and UCY `obsmat.txt` format and plays it into the
worlds' slots.

The files are those of Pellegrini, Ess, Schindler and van Gool 2009, "You'll never walk alone": one
row for each person and annotated frame, `frame id x z y vx vz vy`, metres, annotated every 0.4 s.
"""

import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from s2e.core.errors import UserError
from s2e.envs.people.people import (
    BEHAVIOUR,
    GAIT,
    GROUP,
    LOOK,
    STRIDE,
    TURN,
    VX,
    VY,
    YAW,
    People,
    X,
    Y,
)

ANNOTATED_S = 0.4
"""Seconds from one annotated frame to the next."""
GAP_S = 2.0
"""Who is missing for longer comes back as somebody else; shorter gaps are walked straight."""
EXACT = 0.01
"""Share of a step by which times may be off it."""
MOST_BYTES = 64 << 20
"""Larger files are refused."""
FAST_MPS, SLOW_MPS, STRAIGHT = 3.5, 0.5, 0.9
"""Half of the people faster than the first, or those who walk straight (so much of their path is
way) slower than the second, do not walk: the positions are no metres."""

_PUT = "put 0 where a column is not known, only frame, id, x and y are used"
_MORE = "leave out what is behind the eighth, and write numbers with points, not commas"
_LACKS = {
    4: "frame id x y, as Social-GAN and TrajNet have it, becomes that with awk '{print "
    "$1,$2,$3,0,$4,0,0,0}'",
    5: "without velocities, put 0 0 0 behind each row",
}
_UNITS = {"centimetres": 0.01, "millimetres": 0.001, "feet": 0.3048, "kilometres": 1000.0}


@dataclass(frozen=True)
class Tracks:
    """Tracks of T people, sampled every `ANNOTATED_S`.

    Attributes:
        person: (T,) int64, the file's id of each; who was out of sight for long has several tracks.
        start_s: (T,) float64, when each begins; the first frame of the file is 0.
        first: (T + 1,) int64, where the points of each begin.
        points: (M, 4) float64, x, y, vx, vy; metres from `centre`, m/s.
        centre: (2,) the middle of the recorded ground in the file's frame, metres.
        duration_s: when the last one ends.
    """

    person: np.ndarray
    start_s: np.ndarray
    first: np.ndarray
    points: np.ndarray
    centre: np.ndarray
    duration_s: float

    def at(
        self,
        time_s: np.ndarray,
        origin: np.ndarray,
        rotation: np.ndarray,
        way: np.ndarray,
        ids: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Who is where in N worlds at their own times.

        Whoever has a slot keeps it while in sight; free slots go to those nearest to the straight
        way of the world's robot, the nearest first.

        Args:
            time_s: (N,) seconds of the recording; nobody is there before 0 and after `duration_s`.
            origin: (N, 2) where the recording's centre lies in each world, metres.
            rotation: (N,) how far it is turned, radians.
            way: (N, 2, 2) start and goal of each world's robot, metres.
            ids: (N, P) int64, which track each slot had at the last call; -1 for none.

        Returns:
            Positions (N, P, 2) and velocities (N, P, 2) in the worlds' frames, 0 in empty slots;
            who is there (N, P) bool; and ids (N, P) for the next call.
        """
        ids = np.array(ids, dtype=np.int64)
        positions, velocities = np.zeros((*ids.shape, 2)), np.zeros((*ids.shape, 2))
        time_s, origin, rotation, way = (
            np.ascontiguousarray(a, dtype=np.float64) for a in (time_s, origin, rotation, way)
        )
        _replay(
            self.start_s,
            self.first,
            self.points,
            time_s,
            origin,
            rotation,
            way,
            ids,
            positions,
            velocities,
        )
        return positions, velocities, ids >= 0, ids


@numba.njit(cache=True, error_model="numpy")
def _replay(start_s, first, points, time_s, origin, rotation, way, ids, positions, velocities):
    """See `Tracks` for the first three, `Tracks.at` for the rest; the last three are written."""
    tracks, slots = len(start_s), ids.shape[1]
    state, off = np.empty((tracks, 4)), np.empty(tracks)
    for n in range(len(ids)):
        cos, sin = math.cos(rotation[n]), math.sin(rotation[n])
        ax, ay = way[n, 0, 0], way[n, 0, 1]
        wx, wy = way[n, 1, 0] - ax, way[n, 1, 1] - ay
        for k in range(tracks):
            off[k] = np.inf
            at = (time_s[n] - start_s[k]) / ANNOTATED_S
            last = first[k + 1] - first[k] - 1
            if not (0.0 <= at <= last):
                continue
            i = min(int(at), last - 1)
            s = at - i
            a, b = points[first[k] + i], points[first[k] + i + 1]
            # Cubic Hermite: positions and velocities of both ends are met.
            for c in range(2):
                va, vb, rise = a[2 + c] * ANNOTATED_S, b[2 + c] * ANNOTATED_S, b[c] - a[c]
                quadratic, cubic = 3.0 * rise - 2.0 * va - vb, va + vb - 2.0 * rise
                state[k, c] = a[c] + s * (va + s * (quadratic + s * cubic))
                state[k, 2 + c] = (va + s * (2.0 * quadratic + 3.0 * s * cubic)) / ANNOTATED_S
            x = origin[n, 0] + cos * state[k, 0] - sin * state[k, 1]
            y = origin[n, 1] + sin * state[k, 0] + cos * state[k, 1]
            state[k, 0], state[k, 1] = x, y
            state[k, 2], state[k, 3] = (
                cos * state[k, 2] - sin * state[k, 3],
                sin * state[k, 2] + cos * state[k, 3],
            )
            share = min(
                max(((x - ax) * wx + (y - ay) * wy) / max(wx * wx + wy * wy, 1e-12), 0.0), 1.0
            )
            off[k] = math.hypot(x - ax - share * wx, y - ay - share * wy)
        for p in range(slots):
            if not (0 <= ids[n, p] < tracks and off[ids[n, p]] < np.inf):
                ids[n, p] = -1
        for p in range(slots):
            if ids[n, p] >= 0:
                off[ids[n, p]] = np.inf  # has a slot
        for p in range(slots):
            if ids[n, p] < 0 and tracks > 0:
                k = np.argmin(off)
                if off[k] < np.inf:
                    ids[n, p], off[k] = k, np.inf
            k = ids[n, p]
            if k >= 0:
                positions[n, p, 0], positions[n, p, 1] = state[k, 0], state[k, 1]
                velocities[n, p, 0], velocities[n, p, 1] = state[k, 2], state[k, 3]


def replay(
    people: People,
    tracks: Tracks,
    time_s: np.ndarray,
    origin: np.ndarray,
    rotation: np.ndarray,
    way: np.ndarray,
    dt: float,
    moving: np.ndarray | None = None,
) -> None:
    """Moves people along recorded tracks, in place; instead of `step_crowd`. They react to nothing.

    `look` holds the number of each one's track, so the state of the people is all there is to save.
    Before a world's first call of an episode nobody is to be active in it
    (`people.place(world, ())`).

    Args:
        people: everybody's state.
        tracks: whom to play.
        time_s, origin, rotation, way: as in `Tracks.at`.
        dt: seconds since the last call.
        moving: (N,) bool, worlds whose people move; all by default.
    """
    ids = np.where(people.active, people.look, -1)
    positions, velocities, active, now = tracks.at(time_s, origin, rotation, way, ids)
    here = np.ones(len(ids), dtype=bool) if moving is None else np.asarray(moving, dtype=bool)
    speed = np.linalg.norm(velocities, axis=-1)
    heading, yaw = np.arctan2(velocities[..., 1], velocities[..., 0]), people.yaw
    turn = (heading - yaw + np.pi) % (2 * np.pi) - np.pi
    turned = np.where(speed > 0.15, yaw + np.clip(turn, -TURN * dt, TURN * dt), yaw)
    new = now != ids
    columns = {
        X: positions[..., 0],
        Y: positions[..., 1],
        VX: velocities[..., 0],
        VY: velocities[..., 1],
        YAW: np.where(new, heading, turned),
        GAIT: np.where(new, now % 7, people.gait + speed * dt * STRIDE),
    }
    for column, values in columns.items():
        people.real[here, :, column] = values[here]
    people.whole[here, :, LOOK] = now[here]
    people.whole[here, :, BEHAVIOUR], people.whole[here, :, GROUP] = 0, -1
    people.active[here] = active[here]


def read_tracks(path: str | os.PathLike) -> Tracks:
    """Reads an `obsmat.txt`: rows of `frame id x z y vx vz vy`, in any order.

    Annotated frames are `ANNOTATED_S` apart; how many frame numbers that is (6 in eth, 10 in hotel)
    is the most common difference. A person who is missing for more than `GAP_S` becomes two;
    shorter gaps are filled. The file's velocities are not used: those of `Tracks` are the
    positions' central differences.

    Raises:
        UserError: missing, a folder, too large, empty, or a row that is not 8 finite numbers or
            names somebody twice in a frame, with file and line; people so fast or so slow that the
            positions are not metres, or the frames not `ANNOTATED_S` apart.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"{path}: a folder; {_recordings(path)}")
        size = path.stat().st_size
        if not path.is_file():  # a pipe would wait for ever
            raise UserError(
                f"{path}: cannot be read (it is not a file); give an obsmat.txt of the ETH or UCY "
                "recordings"
            )
        if size > MOST_BYTES:
            raise UserError(
                f"{path}: {size >> 20} MiB, more than {MOST_BYTES >> 20}; cut it into pieces"
            )
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give an obsmat.txt of the ETH or UCY "
            "recordings"
        ) from None
    rows: list[tuple[float, int, float, float]] = []
    lines: dict[tuple[float, int], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        row = _row(f"{path}:{number}", line)
        if (first := lines.setdefault(row[:2], number)) != number:
            raise UserError(
                f"{path}:{number}: person {row[1]} twice in frame {row[0]:g}, first in line "
                f"{first}; remove one of the rows"
            )
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: no rows; it needs lines of `frame id x z y vx vz vy`")
    return _tracks(path, np.array(sorted(rows, key=lambda r: r[0])))


def _recordings(folder: Path) -> str:
    """What to give instead of a folder."""
    found = [
        str(p)
        for pattern in ("*obsmat*.txt", "*/*obsmat*.txt")
        for p in sorted(folder.glob(pattern))
    ]
    more = f", ... ({len(found)})" if len(found) > 6 else ""
    return (
        f"give one of its recordings: {', '.join(found[:6])}{more}"
        if found
        else "give the obsmat.txt of a recording"
    )


def _row(where: str, line: str) -> tuple[float, int, float, float]:
    cells = line.replace(";", " ").split()
    if "." in line or len(cells) != 8:  # commas are between numbers, not within them
        cells = line.replace(",", " ").replace(";", " ").split()
    try:
        values = [float(cell.replace(",", ".")) for cell in cells]
    except ValueError:
        head = "; remove a header" if where.endswith(":1") else ""
        raise UserError(
            f"{where}: not numbers: {line.strip()[:60]!r}; rows of frame id x z y vx vz vy are "
            f"expected{head}"
        ) from None
    if len(cells) != 8:
        advice = _LACKS.get(len(cells), _PUT if len(cells) < 8 else _MORE)
        raise UserError(
            f"{where}: {len(cells)} columns, 8 expected: frame id x z y vx vz vy; {advice}"
        )
    # Frames may be seconds, or milliseconds, of a clock on the wall.
    if (
        not all(math.isfinite(v) for v in values)
        or max(abs(v) for v in values[1:]) > 1e9
        or abs(values[0]) > 1e13
    ):
        raise UserError(f"{where}: a value is not finite or beyond 1e9; remove the row")
    if values[1] != round(values[1]):
        raise UserError(f"{where}: person {values[1]:g} is not a whole number")
    return values[0], int(values[1]), values[2], values[4]


def _tracks(path: Path, rows: np.ndarray) -> Tracks:
    differences = np.diff(np.unique(rows[:, 0]))
    if len(differences) == 0:
        raise UserError(f"{path}: a single frame; nobody moves in it")
    common = Counter(differences.tolist())
    step = max(common, key=lambda d: (common[d], -d))
    alike = np.abs(differences - step) <= EXACT * step  # times of a clock are rounded
    step = float(differences[alike].mean()) if len(set(differences[alike].tolist())) > 1 else step
    time = (rows[:, 0] - rows[0, 0]) / step * ANNOTATED_S
    person, start, points = [], [], []
    for who in np.unique(rows[:, 1]):
        mine = rows[:, 1] == who
        when, xy = time[mine], rows[mine, 2:]
        for piece in np.split(
            np.arange(len(when)), np.flatnonzero(np.diff(when) > GAP_S + EXACT * ANNOTATED_S) + 1
        ):
            if len(piece) < 2:
                continue  # seen once: no motion to play
            grid = when[piece[0]] + ANNOTATED_S * np.arange(
                int((when[piece[-1]] - when[piece[0]]) / ANNOTATED_S + EXACT) + 1
            )
            if len(grid) < 2:
                continue
            at = np.stack([np.interp(grid, when[piece], xy[piece, c]) for c in range(2)], 1)
            person.append(int(who))
            start.append(grid[0])
            points.append(np.hstack([at, np.gradient(at, ANNOTATED_S, axis=0)]))
    if not points:
        raise UserError(f"{path}: nobody is seen in two frames; nobody moves in it")
    _check_speeds(path, points)
    every = np.vstack(points)
    centre = (every[:, :2].min(0) + every[:, :2].max(0)) / 2
    every[:, :2] -= centre
    first = np.concatenate([[0], np.cumsum([len(p) for p in points])]).astype(np.int64)
    order = np.lexsort((person, start))
    return Tracks(
        person=np.array(person, dtype=np.int64)[order],
        start_s=np.array(start)[order],
        first=np.concatenate([[0], np.cumsum(np.diff(first)[order])]).astype(np.int64),
        points=np.ascontiguousarray(np.vstack([every[first[k] : first[k + 1]] for k in order])),
        centre=centre,
        duration_s=float(time[-1]),
    )


def _check_speeds(path: Path, points: list[np.ndarray]) -> None:
    """Refuses tracks whose people cannot be walking; nothing in the file names its units."""
    step = [np.linalg.norm(np.diff(p[:, :2], axis=0), axis=1) for p in points]
    length = np.array([s.sum() for s in step])
    speed = length / np.array([len(s) for s in step]) / ANNOTATED_S
    way = np.array([np.linalg.norm(p[-1, :2] - p[0, :2]) for p in points])
    moves = length > 0
    straight = moves & (way >= STRAIGHT * length)
    if not moves.any():
        return
    usual = float(np.median(speed[moves]))
    slow = 2 * straight.sum() >= len(points) and np.median(speed[straight]) < SLOW_MPS
    if usual <= FAST_MPS and not slow:
        return
    unit = next(
        (
            f"{name} fit: multiply x and y by {by:g}"
            for name, by in _UNITS.items()
            if 0.7 <= usual * by <= 2.2
        ),
        "",
    )
    advice = (
        "pixels become metres by the recording's homography"
        if usual > FAST_MPS
        else "keep the frames that are 0.4 s apart"
    )
    raise UserError(
        f"{path}: people move at {usual:.2g} m/s, who walk at 1.3: x and y are expected in metres, "
        f"frames {ANNOTATED_S} s apart; "
        f"{unit or advice}"
    )
