"""Which columns of a table hold a robot's poses: told by the user, or recognised by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2e.core.errors import UserError
from s2e.video.ground import agreement, integrated, plane, rotations, unheld

_ROLES = {
    "x": "x",
    "px": "x",
    "tx": "x",
    "posx": "x",
    "y": "y",
    "py": "y",
    "ty": "y",
    "posy": "y",
    "z": "z",
    "pz": "z",
    "tz": "z",
    "posz": "z",
    "yaw": "yaw",
    "theta": "yaw",
    "heading": "yaw",
    "psi": "yaw",
    "lat": "lat",
    "latitude": "lat",
    "lon": "lon",
    "lng": "lon",
    "long": "lon",
    "longitude": "lon",
    "qx": "qx",
    "qy": "qy",
    "qz": "qz",
    "qw": "qw",
}
_TURNS = {"q", "quat", "quaternion", "orientation", "rotation", "rot"}
_NOISE = {
    "pos",
    "position",
    "pose",
    "base",
    "odom",
    "odometry",
    "robot",
    "state",
    "observation",
    "world",
    "field",
    "rs",
    "r",
} | _TURNS
_NOISE |= {"m", "rad", "meters", "radians", "p", "t", "deg", "degrees"}


def tokens(name: str) -> list[str]:
    """The parts of a name that say something."""
    return [t for t in re.split(r"[^a-z0-9]+", name.lower()) if t and t not in _NOISE]


def role(name: str) -> str:
    """What a column of this name is: x, y, z, yaw, lat, lon, qx, qy, qz, qw; "" for anything
    else.
    """
    parts = tokens(name)
    if (
        len(parts) == 1
        and parts[0] in ("x", "y", "z", "w")
        and _TURNS & set(re.split(r"[^a-z]+", name.lower()))
    ):
        return "q" + parts[0]  # field.pose.orientation.x
    return _ROLES.get(parts[0], "") if len(parts) == 1 else ""


def in_degrees(name: str) -> bool:
    """Whether a name says that its values are degrees."""
    return bool({"deg", "degrees"} & set(re.split(r"[^a-z]+", name.lower())))


@dataclass(frozen=True)
class Column:
    """Element `index` of a feature. unit: "rad" (also: no angle), "deg" or "compass" (degrees
    clockwise from north).
    """

    feature: str
    index: int
    name: str
    unit: str = "rad"


@dataclass(frozen=True)
class PoseColumns:
    """The columns that make poses: x y yaw, x y z yaw, x y [z] qx qy qz qw, lat lon heading; or
    velocities [vx vy | v] omega.
    """

    columns: tuple[Column, ...]
    velocity: bool = False

    def __str__(self) -> str:
        return ("velocity:" if self.velocity else "") + ",".join(
            c.name if c.name == c.feature else f"{c.feature}:{c.name}" for c in self.columns
        )


def choose(
    pool: Sequence[Column],
    said: str,
    where: object,
    remedy: str = "name them with --poses FEATURE:x,y,yaw",
) -> PoseColumns:
    """The columns that a user named, or else those whose names are unmistakable.

    Args:
        pool: every number there is. said: `[velocity:][FEATURE:]NAME[@deg|@compass],...`, NAME an
            element's name or number or a whole feature; "" recognises. where: the file, for
            messages. remedy: what to do where nothing is recognised.

    Raises:
        UserError: none, several or unknown ones; those there are, are listed.
    """
    if said:
        return _said(pool, said, where)
    groups: dict[tuple[str, ...], dict[str, list[Column]]] = {}
    for column in pool:
        if column.feature.split(".")[0].startswith(("action", "next")):
            continue
        kind = role(column.name)
        whole = tokens(column.feature)
        if not kind and whole and whole[-1] in _ROLES and column.index == 0:
            kind, whole = _ROLES[whole[-1]], whole[:-1]  # observation.filtered_heading
        elif kind and column.name == column.feature:
            whole = whole[:-1]
        if kind:
            groups.setdefault(tuple(whole), {}).setdefault(kind, []).append(column)
    found, turn = [], ("qx", "qy", "qz", "qw")
    for group in groups.values():
        for kinds in (
            ("x", "y", "yaw"),
            ("x", "y", "z", *turn),
            ("x", "y", *turn),
            ("lat", "lon", "yaw"),
        ):
            if all(len(group.get(k, ())) == 1 for k in kinds):
                found.append(
                    PoseColumns(tuple(_with_unit(group[k][0], kinds[0] == "lat") for k in kinds))
                )
                break
    if len(found) != 1:
        what = f"{len(found)} sets of columns look" if found else "no columns look"
        raise UserError(f"{where}: {what} like x, y and yaw; {remedy}; there are {listed(pool)}")
    return found[0]


def _with_unit(column: Column, geographic: bool) -> Column:
    unit = "deg" if in_degrees(column.name) else column.unit
    if geographic and role(column.name) == "yaw":
        unit = "compass"
    return Column(column.feature, column.index, column.name, unit)


def listed(pool: Sequence[Column]) -> str:
    """The features and their elements, for messages."""
    features: dict[str, list[str]] = {}
    for column in pool:
        features.setdefault(column.feature, []).append(column.name)
    texts = [
        f + (f" ({', '.join(n[:12])}{', ...' if len(n) > 12 else ''})" if n != [f] else "")
        for f, n in features.items()
    ]
    return "; ".join(texts[:20]) or "none"


def _said(pool: Sequence[Column], said: str, where: object) -> PoseColumns:
    rest = said.removeprefix("velocity:")
    velocity, feature = rest != said, ""
    columns: list[Column] = []
    for part in rest.split(","):
        name, _, unit = part.strip().partition("@")
        if ":" in name:
            feature, name = name.split(":", 1)
        if unit not in ("", "rad", "deg", "compass"):
            raise UserError(
                f"--poses {said}: unit {unit!r}; rad, deg and compass (degrees clockwise from "
                "north) are known"
            )
        found = (
            [c for c in pool if c.feature == feature and name in (c.name, str(c.index))]
            if feature
            else []
        )
        found = (
            found[:1]
            or [c for c in pool if c.feature == name]
            or [c for c in pool if c.name == name]
        )
        # by name alone: what is observed goes before what is commanded
        if len({c.feature for c in found}) > 1:
            found = [c for c in found if not c.feature.startswith("action")]
        if not found or len({c.feature for c in found}) > 1:
            what = "several features have" if found else f"{where} has no"
            raise UserError(f"--poses {said}: {what} {name!r}; there are {listed(pool)}")
        columns += [
            Column(c.feature, c.index, c.name, unit) if unit else _with_unit(c, False)
            for c in found
        ]
    if len(columns) >= 3 and not velocity and role(columns[0].name) == "lat" and "@" not in said:
        columns[2] = Column(columns[2].feature, columns[2].index, columns[2].name, "compass")
    if len(columns) not in ((2, 3) if velocity else (3, 4, 6, 7)):
        wanted = (
            "speed,turn rate or vx,vy,turn rate"
            if velocity
            else "x,y,yaw; x,y,z,yaw; x,y,(z,)qx,qy,qz,qw or latitude,longitude,heading"
        )
        raise UserError(f"--poses {said}: {len(columns)} columns; expected {wanted}")
    return PoseColumns(tuple(columns), velocity)


def poses(
    values: np.ndarray, times: np.ndarray, which: PoseColumns, scale: float
) -> tuple[np.ndarray, np.ndarray, str]:
    """Poses on the ground.

    Args:
        values: (T, len(which.columns)). times: (T,) seconds. scale: metres per unit of positions
            and speeds.

    Returns:
        (T, 2) position, (T,) yaw, a note.

    Raises:
        UserError: the yaw is in another unit than it was taken for; no unit quaternions.
    """
    columns, last = which.columns, which.columns[len(which.columns) - 1]
    if which.velocity:
        left = values[:, 1] * scale if len(columns) == 3 else np.zeros(len(values))
        turn = {
            "rad": values[:, -1],
            "deg": np.radians(values[:, -1]),
            "compass": -np.radians(values[:, -1]),
        }[last.unit]
        return *integrated(
            times, values[:, 0] * scale, left, turn
        ), f"poses integrated from {which}"
    geographic = role(columns[0].name) == "lat"
    position = (
        unheld(times, plane(values[:, 0], values[:, 1])) if geographic else values[:, :2] * scale
    )
    if len(columns) > 4:
        quaternion = values[:, -4:]
        norm = np.linalg.norm(quaternion, axis=1, keepdims=True)
        if not (np.abs(norm - 1) < 0.1).all():
            raise UserError(
                f"{which}: row {int(np.argmax(~(np.abs(norm[:, 0] - 1) < 0.1)))} is no unit "
                "quaternion; expected qx,qy,qz,qw"
            )
        ahead = rotations(quaternion / norm)[:, :, 0]
        return position, np.arctan2(ahead[:, 1], ahead[:, 0]), f"poses from {which}"
    given = values[:, -1]
    kinds = {"rad": given, "deg": np.radians(given), "compass": np.pi / 2 - np.radians(given)}
    yaw = kinds[last.unit]
    fit = agreement(position, yaw)
    note = f"poses from {which}"
    if fit < 0.2:
        for unit, other in kinds.items():
            if agreement(position, other) > 0.8:
                raise UserError(
                    f"{which}: the heading fits the motion in {unit}, not in {last.unit}; add "
                    f"@{unit} to it in --poses"
                )
        note += "; moves sideways more than ahead"
    return position, yaw, note
