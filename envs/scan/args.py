"""What `s2e-scene` can be asked for."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Import:
    """Make a scene of a capture: find its floor, its scale and its free ground, and where to go."""

    file: tyro.conf.Positional[Path]
    """The capture: .ply (also compressed), .spz, .splat, .sog, or the folder of a SOG, streamed ones (lod-meta.json) too."""
    name: str
    """What the scene is to be called; the same name again replaces it."""
    metres_per_unit: float | None = None
    """Metres that a unit of the file is; 1 where it is in metres."""
    up: str | None = None
    """Roughly which way is up in the file: x, -x, y, -y, z, -z, or three numbers."""
    floor: tuple[float, float, float, float] | None = None
    """The floor itself, A B C D of A x + B y + C z + D = 0 in units of the file, (A, B, C) up; taken as it is."""
    cameras: Path | None = None
    """cameras.json of 3DGS or transforms.json of NeRF, with --capture-height: the floor is beneath them, and the scale is taken from
    them unless --metres-per-unit gives it."""
    capture_height: float | None = None
    """Metres above the floor at which the cameras of --cameras were held."""
    known_height: float | None = None
    """Metres above the floor of the point --at, to take the scale from."""
    at: tuple[float, float, float] | None = None
    """The point of --known-height, in units of the file."""
    resolution: float = 0.1
    """Edge of a cell of the map, metres."""
    collision: Path | None = None
    """A mesh (.glb, .obj, .ply, .stl) in the file's own coordinates that is mapped instead of the splats."""
    out: Path | None = None
    """Folder that the scene's folder is written into; without it, the collection that names are looked up in."""
    episodes: int = 50
    """Episodes of each of the four settings."""
    level: int | None = None
    """Level of detail of a streamed SOG, 0 is the finest; without it, the finest of at most a million Gaussians."""
    activated: bool = False
    """The PLY's scales are lengths and its opacities lie in 0..1 already, not logarithms and logits."""


@dataclass(frozen=True)
class Preview:
    """Draw a scene: from above with occupancy and routes, four views at eye level, and what was removed."""

    name: tyro.conf.Positional[str]
    """A scene's name or folder."""
    out: Path = Path("preview")
    """Folder for the pictures."""


@dataclass(frozen=True)
class List:
    """List the package's scenes, gs_urban and what was imported."""


@dataclass(frozen=True)
class Check:
    """Check that a scene is whole and fit to drive in; every failure is named."""

    name: tyro.conf.Positional[str]
    """A scene's name or folder."""
    all: bool = False
    """Let the expert drive every episode, not a few of each setting."""
