"""Navigation video on disk: the folder layout of GNM and visualnav-transformer.

    DATASET/WALK/0.jpg, 1.jpg, ...      frames, numbered without padding
    DATASET/WALK/traj_data.pkl          {"position": (T, 2) metres, "yaw": (T,) or (T, 1) radians}
    DATASET/dataset.json                {"hz": frames a second}; ours, optional

Source of the layout: github.com/robodhruv/visualnav-transformer.
"""

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from s2e.errors import UserError
from s2e.unpickle import read_pickle

MIN_FRAMES = 8
MAX_SPEED = 20.0  # m/s: beyond this a walk's poses are in other units


@dataclass(frozen=True)
class Walk:
    """One recorded walk: `position` (T, 2) metres, `yaw` (T,) radians, frame t in `folder/t.jpg`, `hz` frames a second."""

    folder: Path
    position: np.ndarray
    yaw: np.ndarray
    hz: float
    note: str = ""

    def __len__(self) -> int:
        return len(self.position)

    def frame(self, t: int, height_px: int, width_px: int) -> np.ndarray:
        """Frame t as (H, W, 3) uint8, stretched to the size asked for."""
        path = self.folder / f"{t}.jpg"
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB").resize((width_px, height_px), Image.Resampling.BILINEAR))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError(f"{path}: not a readable image ({error}); remove the walk or record it again") from None


@dataclass(frozen=True)
class Skipped:
    """A walk that was left out, and why."""

    folder: Path
    reason: str


def read_walks(folders: Sequence[Path], hz: float = 10.0) -> tuple[list[Walk], list[Skipped]]:
    """Reads every walk below the folders, in the order of their names.

    Args:
        folders: datasets, or single walks.
        hz: frames a second where no dataset.json says.

    Returns:
        The good walks, and those left out with their reasons.

    Raises:
        UserError: a folder is missing, or no walk is good.
    """
    walks, skipped, seen = [], [], set()
    for folder in folders:
        if not folder.is_dir():
            what = "a file, not a folder" if folder.exists() else "no such folder"
            raise UserError(f"{folder}: {what}; --data takes folders of walks (N.jpg and traj_data.pkl in each)")
        found = sorted({p.parent for p in folder.rglob("traj_data.pkl")})
        if not found:
            raise UserError(f"{folder}: no walk in it (no traj_data.pkl at any depth); record one with s2e-data record")
        for path in found:
            if path.resolve() in seen:  # given twice, it would be trained on and held out
                continue
            seen.add(path.resolve())
            try:
                walks.append(_read_walk(path, hz))
            except UserError as error:
                skipped.append(Skipped(path, str(error)))
    if not walks:
        raise UserError(f"{folders[0]}: all {len(skipped)} walks are bad; the first: {skipped[0].reason}")
    return walks, skipped


def unreadable(walks: Sequence[Walk]) -> dict[Path, str]:
    """Opens every frame; maps the folders of walks with a broken one to the reason."""
    broken: dict[Path, str] = {}
    for walk in walks:
        try:
            for t in range(len(walk)):
                walk.frame(t, 32, 32)
        except UserError as error:
            broken[walk.folder] = str(error)
    return broken


def drop_broken(walks: Sequence[Walk], broken: dict[Path, str]) -> tuple[list[Walk], list[Skipped]]:
    """Sorts out the walks whose frames turned out broken; `broken` maps folders to reasons."""
    good = [w for w in walks if w.folder not in broken]
    if not good:
        raise UserError(f"{walks[0].folder.parent}: no walk has readable frames; the first: {next(iter(broken.values()))}")
    return good, [Skipped(folder, reason) for folder, reason in broken.items()]


def _read_walk(folder: Path, hz: float) -> Walk:
    file = folder / "traj_data.pkl"
    data = read_pickle(file)
    if not isinstance(data, dict) or "position" not in data or "yaw" not in data:
        raise UserError(f"{file}: holds no dictionary with `position` and `yaw`")
    try:
        position = np.asarray(data["position"], dtype=np.float64)
        yaw = np.asarray(data["yaw"], dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{file}: `position` or `yaw` is not an array of numbers") from None
    yaw = yaw[:, 0] if yaw.ndim == 2 and yaw.shape[1] == 1 else yaw
    if position.ndim != 2 or position.shape[1] < 2 or yaw.shape != position.shape[:1]:
        raise UserError(f"{file}: position {position.shape} and yaw {yaw.shape} should be (T, 2) and (T,)")
    position = position[:, :2]
    bad = np.flatnonzero(~(np.isfinite(position).all(1) & np.isfinite(yaw)))
    if len(bad):
        raise UserError(f"{file}: {len(bad)} poses are not finite, the first at index {bad[0]}")
    hz = _dataset_hz(folder, hz)
    images = 0
    while (folder / f"{images}.jpg").is_file():
        images += 1
    total = sum(1 for p in folder.iterdir() if p.suffix == ".jpg")
    length = min(images, len(position))
    if length < MIN_FRAMES:
        raise UserError(f"{folder}: {length} frames with poses ({images} numbered images, {len(position)} poses); {MIN_FRAMES} needed")
    if total > images:
        raise UserError(f"{folder}: frame {images}.jpg is missing though later ones are there")
    speed = np.linalg.norm(np.diff(position[:length], axis=0), axis=1).max() * hz
    if speed > MAX_SPEED:
        raise UserError(f"{file}: a step of {speed:.0f} m/s at {hz:g} Hz; are the positions in metres?")
    note = "" if images == len(position) else f"{images} images, {len(position)} poses: the first {length} of each are used"
    return Walk(folder, position[:length], yaw[:length], hz, note)


def _dataset_hz(folder: Path, default: float) -> float:
    for path in (folder / "dataset.json", folder.parent / "dataset.json"):
        if path.is_file():
            try:
                hz = float(json.loads(path.read_text())["hz"])
            except (OSError, ValueError, KeyError, TypeError):
                raise UserError(f"{path}: no number `hz` in it") from None
            if not 0.1 <= hz <= 1000:
                raise UserError(f"{path}: hz is {hz}; frames a second between 0.1 and 1000 are expected")
            return hz
    return default


def write_walk(folder: Path, frames: Sequence[bytes], position: np.ndarray, yaw: np.ndarray) -> None:
    """Writes one walk: JPEG bytes of each frame, and the poses. `traj_data.pkl` comes last, so a cut walk is not a walk."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, data in enumerate(frames):
        (folder / f"{t}.jpg").write_bytes(data)
    # Plain lists: any reader of the layout understands them, whatever its NumPy.
    poses = {"position": np.asarray(position).tolist(), "yaw": np.asarray(yaw).tolist()}
    (folder / "traj_data.pkl").write_bytes(pickle.dumps(poses, protocol=4))
