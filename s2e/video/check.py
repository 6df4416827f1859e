"""What is wrong with walks, as data: what training would learn from them that is not so.

A finding either only tells, or drops frames: the walk is cut around them, and pieces too short to
train on go as well. Thresholds are chosen, and meant for robots and people on foot; they were tried
on real and on recorded walks.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from s2e.core.errors import UserError
from s2e.core.observation import wrapped
from s2e.video.resample import UNIFORM, is_uniform, split_at
from s2e.video.walk import Walk

GAP_S = 1.0  # seconds without a frame: what happened there cannot be told from what is around
# long waits teach waiting; this much of each end is kept
STILL_MPS, STILL_RADPS, STILL_S, STILL_KEPT_S = (0.05, 0.05, 10.0, 2.0)
# a step of so many times the walk's own fast ones, so fast and so far, is no motion
JUMP_TIMES, JUMP_MPS, JUMP_M = (5.0, 2.0, 0.3)
YAW_JUMP_RAD, YAW_JUMP_RADPS = 0.8, 6.0
FAST_MPS, SLOW_PATH_M = 6.0, 0.5
# a turn on the spot: so few metres a radian, of them no more than this share ahead
SPOT_M, SPOT_LEAST_M, SPOT_AHEAD = (0.1, 0.005, 0.8)
FROZEN_M, FROZEN_FRAMES = 0.3, 3  # the same picture while the pose moves on
DARK, BRIGHT, FLAT = 8.0, 247.0, 4.0  # mean and deviation of grey levels, of 255
TURNED_RAD, TURNED_SURE = np.radians(35.0), 0.8
MAX_BROKEN = 20


@dataclass(frozen=True)
class Finding:
    """Something about one walk.

    Attributes:
        walk: its name. kind: one word or two, the same for the same trouble. frame: where it
            begins. until: the frame after its end; equal to `frame` where it lies between two
            frames. value: how much, in the unit that `text` names. text: for people.
        drop: whether the frames frame..until are left out, and the walk is cut there.
    """

    walk: str
    kind: str
    frame: int
    until: int
    value: float
    text: str
    drop: bool


def _drop(walk: Walk, kind: str, frame: int, until: int, value: float, text: str) -> Finding:
    return Finding(walk.name, kind, int(frame), int(until), float(value), text, True)


def _tell(walk: Walk, kind: str, value: float, text: str, frame: int = 0) -> Finding:
    return Finding(walk.name, kind, int(frame), 0, float(value), text, False)


@dataclass(frozen=True)
class Look:
    """What was seen of T frames: errors by frame; hashes, T; mean and deviation of grey levels
    (T,); sizes (T, 2) height, width.
    """

    errors: dict[int, str]
    hashes: list[bytes]
    mean: np.ndarray
    spread: np.ndarray
    size: np.ndarray

    @property
    def digest(self) -> bytes:
        """Of all pictures."""
        return hashlib.blake2b(b"".join(self.hashes), digest_size=16).digest()


def look(walk: Walk, seen: Callable[[int], object] = lambda _: None) -> Look:
    """Decodes every frame once; `seen` is told how many at a time. After `MAX_BROKEN` broken frames
    the rest counts as broken.
    """
    t = len(walk)
    errors: dict[int, str] = {}
    hashes = [b""] * t
    mean = np.full(t, np.nan)
    spread = np.full(t, np.nan)
    size = np.zeros((t, 2), dtype=np.int64)
    at = 0
    while at < t:
        try:
            for image in walk.frames.images(range(at, t)):
                hashes[at] = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
                grey = image[:: max(1, image.shape[0] // 48), :: max(1, image.shape[1] // 48)].mean(
                    -1
                )
                mean[at], spread[at], size[at] = grey.mean(), grey.std(), image.shape[:2]
                at += 1
                seen(1)
            if at < t:
                raise UserError(
                    f"{walk.source}: {t} frames announced, {at} found; record or copy it again"
                )
        except UserError as error:
            errors[at] = str(error)
            after = t if len(errors) > MAX_BROKEN else at + 1
            errors |= dict.fromkeys(range(at, after), str(error))
            seen(after - at)
            at = after
    return Look(errors, hashes, mean, spread, size)


def check_walk(walk: Walk, pictures: Look | None = None) -> list[Finding]:
    """Everything about one walk, in the order of kinds; `pictures` is what `look` saw, None leaves
    the frames out of it.
    """
    found = [*_times(walk), *_jumps(walk), *_still(walk), *_scale(walk), *_heading(walk)]
    if pictures is not None:
        found += [
            *_broken(walk, pictures),
            *_frozen(walk, pictures),
            *_plain(walk, pictures),
            *_sizes(walk, pictures),
        ]
    return found + [_tell(walk, "note", 0.0, fact) for fact in walk.notes]


def check_walks(
    walks: Iterable[Walk],
    seen: Callable[[int], object] = lambda _: None,
    first: dict[bytes, str] | None = None,
) -> Iterator[tuple[Walk, list[Finding]]]:
    """Every walk with its findings, the same pictures under two names among them; `first` carries
    these over to other datasets.
    """
    first = {} if first is None else first
    for walk in walks:
        pictures = look(walk, seen)
        yield walk, [*same_as(walk, pictures, first), *check_walk(walk, pictures)]


@dataclass
class Row:
    """One dataset in the table that `table_of` makes."""

    name: str
    walks: int = 0
    frames: int = 0
    seconds: float = 0.0
    metres: float = 0.0
    kept_walks: int = 0
    kept_frames: int = 0
    kept_seconds: float = 0.0
    kept_metres: float = 0.0

    def count(self, walk: Walk, pieces: Sequence[Walk]) -> None:
        """Adds a readable walk and what is kept of it."""
        self.frames += len(walk)
        self.seconds += _seconds(walk)
        self.metres += _metres(walk)
        self.kept_walks += bool(pieces)
        for piece in pieces:
            self.kept_frames += len(piece)
            self.kept_seconds += _seconds(piece)
            self.kept_metres += _metres(piece)


def table_of(rows: Sequence[Row]) -> list[str]:
    """Lines of text: what there is, and what would be kept of it."""
    wide = max(7, *(len(r.name) for r in rows))
    columns = f"{'walks':>8}{'frames':>10}{'minutes':>9}{'km':>9}"
    lines = [
        f"{'':{wide}}{'  there':<38}{'would be kept':<36}",
        f"{'dataset':{wide}}{columns}  {columns}",
    ]
    for r in rows:
        there = f"{r.walks:8d}{r.frames:10d}{r.seconds / 60:9.1f}{r.metres / 1000:9.3f}"
        left = f"{r.kept_walks:8d}{r.kept_frames:10d}"
        left += f"{r.kept_seconds / 60:9.1f}{r.kept_metres / 1000:9.3f}"
        lines.append(f"{r.name:{wide}}{there}  {left}")
    return lines


def span(finding: Finding) -> str:
    """Where a finding is, for messages; nothing where it is about the whole."""
    a, b = finding.frame, finding.until
    return "" if a == 0 and b == 0 else f"frame {a}: " if b <= a + 1 else f"frames {a} to {b - 1}: "


def same_as(walk: Walk, pictures: Look, first: dict[bytes, str]) -> list[Finding]:
    """Whether a walk's pictures are those of a former one; `first` holds names by digest, and
    grows.
    """
    if not any(pictures.hashes):
        return []
    if (former := first.get(pictures.digest)) is None:
        first[pictures.digest] = walk.name
        return []
    text = f"the same pictures as {former}: one walk would be trained on and held out"
    return [_drop(walk, "copy", 0, len(walk), 0.0, text)]


def kept(walk: Walk, findings: Sequence[Finding]) -> list[Walk]:
    """What is left of a walk when all that its findings drop is gone."""
    keep = np.ones(len(walk), dtype=bool)
    cuts = []
    for finding in findings:
        if finding.drop:
            keep[finding.frame : finding.until] = False
            cuts += [finding.frame, finding.until]
    return split_at(walk, np.array([c for c in cuts if 0 < c < len(walk)], dtype=np.int64), keep)


def speeds(walk: Walk) -> np.ndarray:
    """(T - 1,) m/s from frame to frame."""
    return np.linalg.norm(np.diff(walk.position, axis=0), axis=1) / np.diff(walk.times)


def runs(mask: np.ndarray) -> np.ndarray:
    """(R, 2) beginnings and ends of the stretches where `mask` (T,) holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)


def _times(walk: Walk) -> list[Finding]:
    dt = np.diff(walk.times)
    found = [
        _drop(walk, "gap", i + 1, i + 1, dt[i], f"{dt[i]:.1f} s without a frame")
        for i in np.flatnonzero(dt > max(GAP_S, 3 * np.median(dt))).tolist()
    ]
    if not is_uniform(walk):
        off = float((np.abs(dt - np.median(dt)) > UNIFORM * np.median(dt)).mean())
        text = (
            f"{off:.0%} of the intervals are more than {UNIFORM:.0%} off the median of "
            f"{np.median(dt):.3f} s; convert with --to-hz"
        )
        found.append(
            _tell(walk, "irregular", off, text, int(np.argmax(np.abs(dt - np.median(dt)))) + 1)
        )
    return found


def _jumps(walk: Walk) -> list[Finding]:
    step, dt = np.linalg.norm(np.diff(walk.position, axis=0), axis=1), np.diff(walk.times)
    speed = step / dt
    limit = max(JUMP_MPS, JUMP_TIMES * float(np.quantile(speed, 0.9)))
    found = [
        _drop(walk, "jump", i + 1, i + 1, step[i], f"{step[i]:.2f} m in {dt[i]:.2f} s")
        for i in np.flatnonzero((speed > limit) & (step > JUMP_M)).tolist()
    ]
    turn = np.abs(wrapped(np.diff(walk.yaw)))
    return found + [
        _drop(
            walk,
            "yaw jump",
            i + 1,
            i + 1,
            turn[i],
            f"{np.degrees(turn[i]):.0f} degrees in {dt[i]:.2f} s",
        )
        for i in np.flatnonzero((turn > YAW_JUMP_RAD) & (turn / dt > YAW_JUMP_RADPS)).tolist()
    ]


def _still(walk: Walk) -> list[Finding]:
    # over half a second, so that noise of the poses is no motion
    span = max(1, round(0.5 * walk.hz))
    after = np.minimum(np.arange(len(walk)) + span, len(walk) - 1)
    before = np.maximum(after - span, 0)
    dt = np.maximum(walk.times[after] - walk.times[before], 1e-9)
    speed = np.linalg.norm(walk.position[after] - walk.position[before], axis=1) / dt
    still = (speed < STILL_MPS) & (
        np.abs(wrapped(walk.yaw[after] - walk.yaw[before])) / dt < STILL_RADPS
    )
    share = float(still.mean())
    found = []
    if share > 0.5:
        found.append(_tell(walk, "still", share, f"stands still {share:.0%} of the time"))
    for a, b in runs(still).tolist():
        when = walk.times[a:b]
        lasts = when[-1] - when[0]
        if lasts > STILL_S:
            inner = (
                np.flatnonzero((when > when[0] + STILL_KEPT_S) & (when < when[-1] - STILL_KEPT_S))
                + a
            )
            if not len(inner):
                continue  # a gap, found already
            text = f"stands still for {lasts:.0f} s; {2 * STILL_KEPT_S:.0f} s of it are kept"
            found.append(_drop(walk, "long stand", inner[0], int(inner[-1]) + 1, lasts, text))
    return found


def _scale(walk: Walk) -> list[Finding]:
    speed, t = speeds(walk), len(walk)
    usual = float(np.quantile(speed, 0.75))
    path = float(np.linalg.norm(np.diff(walk.position, axis=0), axis=1).sum())
    if usual > FAST_MPS:
        text = (
            f"a quarter of the time faster than {usual:.1f} m/s: the positions are in other "
            "units (--scale), or this is a car"
        )
        return [_drop(walk, "scale", 0, t, usual, text)]
    reach = float(np.ptp(walk.position, axis=0).max())
    if reach < SLOW_PATH_M and not _on_the_spot(walk):
        lasts = walk.times[-1] - walk.times[0]
        text = (
            f"all of it within {reach:.3f} m in {lasts:.0f} s: it stands, or the positions are "
            "in other units (--scale)"
        )
        return [_drop(walk, "scale", 0, t, path, text)]
    return []


def _on_the_spot(walk: Walk) -> bool:
    """Whether a walk that gets nowhere turns there: a path in other units is as short, but its
    motion follows its yaw.
    """
    # over half a second, so that noise of the poses is no motion
    at = np.arange(0, len(walk), max(1, round(0.5 * walk.hz)))
    move, yaw = np.diff(walk.position[at], axis=0), walk.yaw[at]
    turn = wrapped(np.diff(yaw))
    turned, path = float(np.abs(turn).sum()), float(np.linalg.norm(move, axis=1).sum())
    middle = yaw[:-1] + turn / 2
    ahead = abs(float((move * np.stack([np.cos(middle), np.sin(middle)], 1)).sum()))
    return (
        turned >= np.pi
        and path < SPOT_M * turned
        and (path < SPOT_LEAST_M or ahead < SPOT_AHEAD * path)
    )


def _heading(walk: Walk) -> list[Finding]:
    """Whether the yaw follows the motion: robots drive where they look, on the whole."""
    span = max(1, round(0.5 * walk.hz))
    if len(walk) <= 2 * span:
        return []
    move, dt = walk.position[span:] - walk.position[:-span], walk.times[span:] - walk.times[:-span]
    fast = np.linalg.norm(move, axis=1) / dt > 0.2
    if fast.sum() < 2 * walk.hz:
        return []
    course, yaw = np.arctan2(move[fast, 1], move[fast, 0]), walk.yaw[span // 2 :][: len(move)][fast]
    off = wrapped(course - yaw)
    mean, sure = _circular(off)
    _, mirrored = _circular(wrapped(course + yaw))
    t, back = len(walk), float((np.abs(off) > np.radians(120)).mean())
    if mirrored > TURNED_SURE and sure < 0.5:
        text = (
            "yaw turns against the motion: it is clockwise (turn its sign), or x and y are swapped"
        )
        return [_drop(walk, "yaw", 0, t, mirrored, text)]
    if sure > TURNED_SURE and abs(mean) > TURNED_RAD:
        turned = "the poses' frame is turned, or x and y are swapped"
        why = (
            "it drives backwards, or the yaw is reversed" if abs(mean) > np.radians(150) else turned
        )
        text = f"moves {np.degrees(mean):+.0f} degrees off its yaw throughout: {why}"
        return [_drop(walk, "yaw", 0, t, np.degrees(mean), text)]
    # twice the angle: forwards and backwards agree
    if sure < 0.5 and _circular(2 * off)[1] < TURNED_SURE:
        text = (
            f"yaw hardly follows the motion (agreement {sure:.2f} of 1): moves sideways a lot, "
            "or its axes are wrong"
        )
        return [_tell(walk, "yaw", sure, text)]
    return (
        [_tell(walk, "backward", back, f"moves backwards {back:.0%} of the time")]
        if back > 0.1
        else []
    )


def _broken(walk: Walk, seen: Look) -> list[Finding]:
    bad = np.zeros(len(walk), dtype=bool)
    bad[list(seen.errors)] = True
    return [_drop(walk, "broken", a, b, b - a, seen.errors[a]) for a, b in runs(bad).tolist()]


def _frozen(walk: Walk, seen: Look) -> list[Finding]:
    same = np.array([False] + [bool(a) and a == b for a, b in pairwise(seen.hashes)])
    found = []
    for a, b in runs(same).tolist():  # frame a - 1 is the picture, a..b repeat it
        moved = float(np.linalg.norm(np.diff(walk.position[a - 1 : b], axis=0), axis=1).sum())
        if b - a >= FROZEN_FRAMES and moved > FROZEN_M:
            text = f"the same picture {b - a + 1} times while the pose moves {moved:.2f} m"
            found.append(_drop(walk, "frozen", a, b, moved, text))
    for finding in found:
        same[finding.frame : finding.until] = False
    share = float((same[1:] & (speeds(walk) > 0.2)).mean())
    if share > 0.1:
        text = (
            f"{share:.0%} of the frames repeat the one before while moving: the camera is "
            "slower; convert with a lower --to-hz"
        )
        found.append(_tell(walk, "repeats", share, text, int(np.argmax(same))))
    return found


def _plain(walk: Walk, seen: Look) -> list[Finding]:
    black, white = seen.mean < DARK, seen.mean > BRIGHT  # NaN, a broken frame, is neither
    found = []
    for kind, mask in (
        ("black", black),
        ("white", white),
        ("one colour", (seen.spread < FLAT) & ~black & ~white),
    ):
        drop = kind != "one colour"  # a wall close by looks like that, too
        found += [
            Finding(walk.name, kind, a, b, float(b - a), f"{b - a} frames are {kind}", drop)
            for a, b in runs(mask).tolist()
        ]
    return found


def _sizes(walk: Walk, seen: Look) -> list[Finding]:
    sizes = Counter((int(h), int(w)) for h, w in seen.size if h)
    if len(sizes) < 2:
        return []
    usual = sizes.most_common(1)[0][0]
    other = int(np.argmax((seen.size != usual).any(1) & (seen.size[:, 0] > 0)))
    named = ", ".join(f"{n} of {w} x {h}" for (h, w), n in sizes.most_common(4))
    return [
        _tell(
            walk,
            "sizes",
            len(sizes),
            f"frames of {len(sizes)} sizes: {named}; all are stretched to one",
            other,
        )
    ]


def _circular(angle: np.ndarray) -> tuple[float, float]:
    """Mean of angles, and how much they agree: 1 all, 0 not at all."""
    mean = np.exp(1j * angle).mean()
    return float(np.angle(mean)), float(abs(mean))


def _seconds(walk: Walk) -> float:
    return float(walk.times[-1] - walk.times[0])


def _metres(walk: Walk) -> float:
    return float(np.linalg.norm(np.diff(walk.position, axis=0), axis=1).sum())
