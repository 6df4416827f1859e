"""Stills: single frames at random poses with their free space, in tar shards that any reader of
webdataset understands.

    OUT/dataset.json       format "s2e-stills", version, shards: [{name, bytes, sha256, stills,
                           digest}, ...], source, robot, seed
    OUT/stills-00000.tar   one sample after the other:
        00000_000000.jpg   the frame
        00000_000000.json  free_space, nearest_m, kind, look, scene, pose, body

`free_space` is `RAYS` metres from the robot's centre at `RAY_ANGLES`, null where it is not known;
`kind` says why the pose was chosen, `look` whether the scene is a "mesh" or "splats"; `body` is
that of a walk. What else a sample holds is passed over. `envs/record/stills.py` records them.
Source of the convention: github.com/webdataset/webdataset.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError, require
from s2e.core.files import parse_json, write_whole
from s2e.core.observation import RAY_ANGLES, RAY_RANGE_M, RAYS, ROBOT_FIELDS
from s2e.video.frames import Frames, digest_of, resized
from s2e.video.readers.gnm import body_dict, body_of, rays_list
from s2e.video.readers.remote import UrlFile, is_url, read_all, shown
from s2e.video.readers.shards import placed_frames
from s2e.video.readers.tar import END, MAX_MEMBER, TarReader, packed
from s2e.video.walk import Body, Skipped

FORMAT = "s2e-stills"
NEAR_M = (0.25, 0.5, 1.0, 1.5, 2.5, 5.0)
"""Limits of the bins that `table` counts nearest distances in."""
MAX_JSON = 1 << 16
"""Bytes of the description of one still at most."""
MAX_STILLS = 1 << 20
"""Stills of one shard at most."""
_MAX_ABOUT = 1 << 26
_FIELDS = len(ROBOT_FIELDS)


@dataclass(frozen=True)
class Stills:
    """The N stills of one shard.

    Attributes:
        name: the shard's. source: its path, for messages.
        frames: N images.
        free_space: (N, RAYS) float32 metres, NaN where it is not known; at least one ray of each
            still is.
        robot: (N,) its names. about: (N, 6) float32 `ROBOT_FIELDS`, NaN where unknown.
        kind, look, scene: (N,) texts.
    """

    name: str
    source: Path
    frames: Frames
    free_space: np.ndarray
    robot: np.ndarray
    about: np.ndarray
    kind: np.ndarray
    look: np.ndarray
    scene: np.ndarray

    def __len__(self) -> int:
        return len(self.free_space)

    @property
    def nearest(self) -> np.ndarray:
        """(N,) metres to the nearest thing that a ray met."""
        return np.nanmin(self.free_space, axis=1) if len(self) else np.zeros(0, np.float32)

    def images(self, height_px: int, width_px: int) -> Iterator[np.ndarray]:
        """All frames in order as (H, W, 3) uint8, stretched to the size asked for."""
        for image in self.frames.images(range(len(self))):
            yield resized(image, height_px, width_px)

    def part(self, which: Sequence[int] | np.ndarray) -> "Stills":
        """The stills `which` (increasing) alone."""
        index = np.asarray(which, dtype=np.int64)
        arrays = {
            k: getattr(self, k)[index]
            for k in ("free_space", "robot", "about", "kind", "look", "scene")
        }
        return replace(self, frames=self.frames.part(index), **arrays)

    def readable(
        self, progress: Callable[[int], Any] = lambda count: None
    ) -> tuple["Stills", list[Skipped]]:
        """Those whose frames can be decoded, and the others with their reasons; decodes every
        frame, and tells `progress`.
        """
        good, bad = [], []
        for i in range(len(self)):
            try:
                next(iter(self.frames.images([i])))
                good.append(i)
            except UserError as error:
                bad.append(Skipped(self.source, str(error)))
            progress(1)
        return (self.part(good) if bad else self), bad


@dataclass(frozen=True)
class Still:
    """One still, to be written; `pose` is x, y (m) and yaw (rad) in its scene."""

    jpeg: bytes
    free_space: np.ndarray
    kind: str
    look: str
    scene: str
    pose: np.ndarray
    body: Body


@dataclass
class _Sample:
    key: str
    about: bytes = b""
    frame: tuple[int, int] | None = None


def is_stills(path: Path | str) -> bool:
    """Whether a path is a folder of stills, one shard of them, or the URL of a folder."""
    try:
        if is_url(path):
            url, _, query = str(path).partition("?")
            return not url.endswith(".tar") and _about(path, query) is not None
        path = Path(path)
        if path.is_dir():
            return _about(path) is not None
        if path.suffix != ".tar":
            return False
        with path.open("rb") as file:
            members = islice(TarReader(file, str(path), path.stat().st_size), 2)
            return {_split(m.name)[1] for m in members} == {"jpg", "json"}
    except (UserError, OSError):
        return False


def read_stills(paths: Sequence[Path | str]) -> tuple[list[Stills], list[Skipped]]:
    """Reads the descriptions of stills; frames are read when they are asked for, from their places
    in the shards.

    Args:
        paths: folders, shards, or URLs of either.

    Returns:
        A `Stills` for each shard with anything good in it, and what was left out: damaged shards,
        and stills with missing fields, rays that are negative, NaN or too many, bodies that are
        none.

    Raises:
        UserError: a path is missing or holds no stills, or none of them is good.
    """
    found: list[Stills] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for path in paths:
        for shard, digest in shards_of(path):
            place = str(shard if isinstance(shard, str) else shard.resolve())
            if place in seen:  # given twice, it would be trained on and held out
                continue
            seen.add(place)
            try:
                stills, bad = _read_shard(shard, digest)
            except UserError as error:
                skipped.append(Skipped(Path(shown(shard)), str(error)))
                continue
            skipped += bad
            if len(stills):
                found.append(stills)
    if not found:
        first = f"; the first reason: {skipped[0].reason}" if skipped else ""
        raise UserError(
            f"{shown(paths[0])}: no still in it is good{first}; s2e-data stills records them"
        )
    return found, skipped


def shards_of(path: Path | str) -> list[tuple[Path | str, str]]:
    """The shards of a folder, a shard's path or a URL of either, each with its frames' digest where
    dataset.json says it.

    Raises:
        UserError: there is no such thing, or its dataset.json is none of stills.
    """
    if is_url(path):
        url, _, query = str(path).partition("?")
        if url.endswith(".tar"):
            return [(str(path), "")]
        about = _about(path, query)
        require(
            about is not None,
            f"{shown(path)}: no stills there (its dataset.json does not say {FORMAT})",
        )
        assert about is not None
        ask = f"?{query}" if query else ""
        return [(f"{url.rstrip('/')}/{s['name']}{ask}", s["digest"]) for s in about["shards"]]
    path = Path(path)
    require(path.exists(), f"{path}: no such file or folder; s2e-data stills records stills")
    if not path.is_dir():
        return [(path, "")]
    about = _about(path)
    require(
        about is not None,
        f"{path}: no stills in it (its dataset.json does not say {FORMAT}); s2e-data stills "
        "records them",
    )
    assert about is not None
    return [(path / s["name"], s["digest"]) for s in about["shards"]]


def _about(path: Path | str, query: str = "") -> dict[str, Any] | None:
    """A folder's dataset.json where it is one of stills.

    Raises:
        UserError: it is one of stills, but damaged.
    """
    if is_url(path):
        place = f"{str(path).partition('?')[0].rstrip('/')}/dataset.json"
        data, where = read_all(f"{place}?{query}" if query else place, _MAX_ABOUT), shown(place)
    else:
        file = Path(path) / "dataset.json"
        if not file.is_file():
            return None
        require(
            file.stat().st_size <= _MAX_ABOUT,
            f"{file}: too large for the list of a dataset's shards",
        )
        data, where = file.read_bytes(), str(file)
    try:
        values = parse_json(data)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            return None
        good = values["version"] == 1
        for shard in values["shards"]:
            good = good and re.fullmatch(r"[A-Za-z0-9_-]+\.tar", shard["name"]) is not None
            good = (
                good and re.fullmatch(r"[0-9a-f]{64}|", shard.setdefault("digest", "")) is not None
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        good, values = False, {}
    require(
        good,
        f"{where}: not the list of a dataset's shards; name the .tar files one by one, or record "
        "again",
    )
    return values


def _split(name: str) -> tuple[str, str]:
    folder, slash, file = name.rpartition("/")
    base, _, kind = file.partition(".")
    return folder + slash + base, {"jpeg": "jpg"}.get(kind.lower(), kind.lower())


def _samples(reader: TarReader) -> Iterator[_Sample]:
    """Groups members by key; those of other kinds are passed over."""
    now: _Sample | None = None
    for member in reader:
        key, kind = _split(member.name)
        if now is None or key != now.key:
            if now is not None:
                yield now
            now = _Sample(key)
        if kind == "json" and member.size <= MAX_JSON and not now.about:
            now.about = reader.data(member)
        elif kind == "jpg" and now.frame is None:
            now.frame = member.offset, member.size
    if now is not None:
        yield now


def _read_shard(shard: Path | str, digest: str) -> tuple[Stills, list[Skipped]]:
    where = shown(shard)
    try:
        with UrlFile(shard) if isinstance(shard, str) else shard.open("rb") as file:
            size = None if isinstance(shard, str) else shard.stat().st_size
            samples = []
            for sample in _samples(TarReader(file, where, size)):
                require(
                    len(samples) < MAX_STILLS,
                    f"{where}: more than {MAX_STILLS} stills; pack them into several shards",
                )
                samples.append(sample)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error})") from None
    rows = []
    keys = []
    places = []
    skipped = []
    for sample in samples:
        try:
            rows.append(_row(sample, f"{where}: still {sample.key}"))
            keys.append(sample.key)
            places.append(sample.frame)
        except UserError as error:
            skipped.append(Skipped(Path(where), str(error)))
    if skipped:
        digest = ""  # of other frames than these
    frames = placed_frames(shard, places, lambda i: f"{where}: still {keys[i]}", digest)
    texts = {k: np.array([r[k] for r in rows], dtype=object) for k in ("kind", "look", "scene")}
    about = np.array([r["body"].token() for r in rows], dtype=np.float32).reshape(-1, _FIELDS)
    rays = np.array([r["free_space"] for r in rows], dtype=np.float32).reshape(-1, RAYS)
    robot = np.array([r["body"].robot for r in rows], dtype=object)
    return Stills(Path(where).stem, Path(where), frames, rays, robot, about, **texts), skipped


def _row(sample: _Sample, where: str) -> dict[str, Any]:
    """What a still's description says, checked."""
    require(sample.frame is not None and 0 < sample.frame[1] <= MAX_MEMBER, f"{where}: has no .jpg")
    require(bool(sample.about), f"{where}: has no .json of at most {MAX_JSON} bytes")
    try:
        values = parse_json(sample.about)
        rays = values["free_space"]
        texts = {k: values.get(k, "") for k in ("kind", "look", "scene")}
        body = values.get("body", {})
        numbers = [v for v in rays if v is not None]
        good = isinstance(rays, list) and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers
        )
        inside = good and all(math.isfinite(v) and 0 <= v <= RAY_RANGE_M + 1e-3 for v in numbers)
        body = body_of(body, where)
        # NaN is unknown
        plausible = not any(abs(getattr(body, name)) > 1e3 for name in ROBOT_FIELDS)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise UserError(f"{where}: its .json is no object with free_space") from None
    require(
        good and len(rays) == RAYS,
        f"{where}: free_space has {len(rays)} values; {RAYS} numbers or null are expected",
    )
    require(
        inside, f"{where}: free_space has a value that is no distance from 0 to {RAY_RANGE_M:g} m"
    )
    require(plausible, f"{where}: its body has a size, a limit or an angle beyond 1000")
    require(bool(numbers), f"{where}: nothing of its free_space is known")
    plain = all(isinstance(v, str) and len(v) <= 300 and (v.isprintable()) for v in texts.values())
    require(plain, f"{where}: kind, look and scene are texts of 300 characters at most")
    return {"free_space": [math.nan if v is None else v for v in rays], "body": body, **texts}


@dataclass
class ShardBytes:
    """A shard while it is written: the same stills give the same bytes."""

    number: int
    data: list[bytes] = field(default_factory=list)
    jpegs: list[bytes] = field(default_factory=list)

    def add(self, still: Still) -> None:
        """Puts a still at the end."""
        key = f"{self.number:05d}_{len(self.jpegs):06d}"
        about: dict[str, Any] = {
            "free_space": rays_list(still.free_space[None])[0],
            "nearest_m": round(float(np.nanmin(still.free_space)), 3),
            "kind": still.kind,
            "look": still.look,
            "scene": still.scene,
            "pose": np.round(still.pose, 4).tolist(),
            "body": body_dict(still.body),
        }
        # The frame first: no reader of walks takes this for one.
        self.data += [
            packed(f"{key}.jpg", still.jpeg),
            packed(f"{key}.json", (json.dumps(about) + "\n").encode()),
        ]
        self.jpegs.append(still.jpeg)

    def write(self, out: Path) -> dict[str, Any]:
        """Writes the shard safely below a folder; returns its entry of dataset.json."""
        data, name = b"".join([*self.data, END]), f"stills-{self.number:05d}.tar"
        write_whole(out / name, data)
        digest, total = digest_of(self.jpegs), hashlib.sha256(data).hexdigest()
        return {
            "name": name,
            "bytes": len(data),
            "sha256": total,
            "stills": len(self.jpegs),
            "digest": digest,
        }


def dataset(shards: Iterable[dict[str, Any]], about: dict[str, Any]) -> dict[str, Any]:
    """What dataset.json says of a folder of shards."""
    degrees = np.degrees(RAY_ANGLES).round(4).tolist()
    head = {
        "format": FORMAT,
        "version": 1,
        "rays": RAYS,
        "ray_angles_deg": degrees,
        "range_m": RAY_RANGE_M,
    }
    return {**head, **about, "shards": list(shards)}


def table(stills: Sequence[Stills], dropped: int) -> str:
    """What a dataset of stills holds, for people: how many, of which kinds, looks and robots, and
    how near things are.
    """
    total = sum(map(len, stills))
    lines = [
        f"{total} stills in {len({s for part in stills for s in part.scene})} scenes, {dropped} "
        "dropped"
    ]
    for title, name in (("kinds", "kind"), ("looks", "look"), ("robots", "robot")):
        count = Counter(v or "?" for part in stills for v in getattr(part, name))
        lines.append(
            f"{title:8} " + ", ".join(f"{k} {n} ({n / total:.0%})" for k, n in count.most_common())
        )
    nearest = np.concatenate([part.nearest for part in stills])
    count, _ = np.histogram(nearest, [0.0, *NEAR_M, np.inf])
    names = [
        f"< {NEAR_M[0]:g}",
        *(f"{a:g}-{b:g}" for a, b in pairwise(NEAR_M)),
        f"> {NEAR_M[-1]:g}",
    ]
    lines.append(
        "nearest  " + ", ".join(f"{k} m {n / total:.0%}" for k, n in zip(names, count, strict=True))
    )
    known = np.isfinite(np.concatenate([part.free_space for part in stills])).mean()
    lines.append(f"         median {np.median(nearest):.2f} m; {known:.0%} of all rays are known")
    return "\n".join(lines)
