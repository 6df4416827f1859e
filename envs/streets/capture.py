"""Training streets as captures: Gaussians on a mesh's surfaces, spoiled as those of real scans are.

A walk of cameras through the street decides where it is well known, as in the suite's own captures
(`tools/urban/capture.py`). How strongly each defect applies is drawn for each scene (`draw_wear`),
from a clean scan to a poor one in haze, and so are its colours (`draw_film`).
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import minimum_filter
from scipy.spatial import KDTree

from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.scene import SEMANTIC_ID, Scene, Splats
from s2e.envs.geometry.textures import LEVELS, SIZE, TEXTURES, mipmaps
from s2e.envs.raster.kernels import PackedMeshes, render_meshes
from s2e.envs.splats.marks import SH0, SH1, mottle
from s2e.envs.streets.surface import Faces, lying_on, seen_from, split, top_layer

GAUSSIANS = (75_000, 120_000)
"""Least and most on surfaces, before holes."""
EDGE_M = 1.2
"""Faces are split until no edge is longer."""
NEAR_M = 7.0
"""Up to this distance from a camera surfaces are sampled most densely; then spacing grows."""
CAMERAS = (7, 20)
"""Places that photographs were taken from, least and most."""
LAYER_M = 0.012
"""Faces that lie so close on others (shadows, dark feet, pools of light) colour them."""
LIGHT = 0.42
"""Mean of what a metered capture sees, 0..1."""
THICK_M = 0.004
"""Least standard deviation of a Gaussian."""

_SHINY = (
    "glass",
    "glass_lit",
    "car_glass",
    "car_side",
    "shop",
    "shop_lit",
    "water",
    "metal",
    "modern",
)
_FLOORS = [
    SEMANTIC_ID[name] for name in ("road", "sidewalk", "crossing", "grass", "floor", "stairs")
]
_LEAF, _GRASS = SEMANTIC_ID["vegetation"], SEMANTIC_ID["grass"]


@dataclass(frozen=True)
class Wear:
    """How strongly a capture's defects apply; 0 of everything is a clean scan.

    Attributes:
        round: share by which Gaussians lose their flatness, 0..1.
        blur_m: what every Gaussian is widened by, metres.
        uneven: standard deviation of the logarithm of sizes.
        shift_m: standard deviation of places along the normal.
        warp_m: how far whole surfaces are bent.
        faint: share of opacity that is lost, differently by Gaussian, 0..1.
        noise: standard deviation of colours from Gaussian to Gaussian.
        drift: how exposure and white balance change along the walk.
        gloss: how much shiny surfaces and all others change with the eye.
        needles: share of long thin Gaussians where few cameras looked.
        holes: share of what few cameras saw that is missing.
        thin: share of thin things that is lost.
        floaters: for each thousand Gaussians.
        haze: blobs of haze in the air.
        cameras: places that photographs were taken from.
    """

    round: float = 0.0
    blur_m: float = 0.0
    uneven: float = 0.0
    shift_m: float = 0.0
    warp_m: float = 0.0
    faint: float = 0.0
    noise: float = 0.0
    drift: float = 0.0
    gloss: float = 0.0
    needles: float = 0.0
    holes: float = 0.0
    thin: float = 0.0
    floaters: float = 0.0
    haze: int = 0
    cameras: int = CAMERAS[1]


@dataclass(frozen=True)
class Film:
    """How a capture's colours differ from the street's.

    Attributes:
        gain: (3,) exposure and white balance.
        metered: how far exposure follows the scene's light, 0 (as lit) to 1 (all equally bright).
        gamma: above 1 is darker in between.
        contrast: of the patterns of surfaces; 1 keeps their textures.
        saturation: 1 keeps colours.
        lift: veil of light over black, 0..1.
        tint: standard deviation by which surfaces of different texture change colour.
        stains: how strongly surfaces are stained.
    dapple: how dark soft patches of shade on the ground are, 0..1.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    metered: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    lift: float = 0.0
    tint: float = 0.0
    stains: float = 0.0
    dapple: float = 0.0


def draw_wear(rng: np.random.Generator) -> Wear:
    """A capture's quality, then each defect within what that quality allows."""
    poor = rng.uniform(0.0, 1.0) ** 1.3

    def drawn(most: float) -> float:
        return float(most * poor * rng.uniform(0.15, 1.0))

    few, most = CAMERAS
    return Wear(
        round=min(drawn(1.1), 1.0),
        blur_m=drawn(0.05),
        uneven=0.08 + drawn(0.45),
        shift_m=0.004 + drawn(0.03),
        warp_m=drawn(0.06),
        faint=0.05 + drawn(0.5),
        noise=0.008 + drawn(0.08),
        drift=0.02 + drawn(0.16),
        gloss=0.2 + drawn(1.6),
        needles=0.01 + drawn(0.08),
        holes=0.1 + drawn(0.9),
        thin=drawn(0.8),
        floaters=0.3 + drawn(4.0),
        haze=int(drawn(140.0) if rng.random() < 0.5 else 0),
        cameras=round(most - (most - few) * poor * rng.uniform(0.3, 1.0)),
    )


def draw_film(rng: np.random.Generator) -> Film:
    """White balance, exposure, contrast and saturation of a capture."""
    warm = rng.normal(0.02, 0.06) * np.array([1.0, 0.0, -1.0])
    gain = np.exp(rng.normal(0.0, 0.22) + rng.normal(0, 0.035, 3) + warm)
    return Film(
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        metered=float(rng.uniform(0.4, 1.0)),
        gamma=float(np.exp(rng.normal(0.05, 0.2))),
        contrast=float(rng.uniform(0.8, 2.2)),
        saturation=float(np.clip(rng.normal(1.05, 0.3), 0.2, 1.8)),
        lift=float(rng.uniform(0, 0.12) if rng.random() < 0.5 else 0.0),
        tint=float(rng.uniform(0.05, 0.35)),
        stains=float(rng.uniform(0.0, 1.5)),
        dapple=float(rng.uniform(0.1, 0.75) if rng.random() < 0.6 else 0.0),
    )


@dataclass(frozen=True)
class Draw:
    """What a capture is drawn with: the generator, the scene's seed, its defects, its colours."""

    rng: np.random.Generator
    seed: int
    wear: Wear
    film: Film

    def mottle(self, x: np.ndarray, y: np.ndarray, per_m: float, layer: int) -> np.ndarray:
        """(n,) smooth noise of this scene at points; see `mottle`."""
        return mottle(x, y, per_m, self.seed % 1_000_003 + layer)


@dataclass(frozen=True)
class Spots:
    """Where on the surfaces the Gaussians begin.

    Attributes:
        of: (n,) faces. points: (n, 3) metres. area: (n,) square metres of each. normal: (n, 3).
        bad: (n,) 0 where many cameras saw it well, 1 where none did.
        leaf, floor, grass: (n,) bool, what it is.
    """

    of: np.ndarray
    points: np.ndarray
    area: np.ndarray
    normal: np.ndarray
    bad: np.ndarray
    leaf: np.ndarray
    floor: np.ndarray
    grass: np.ndarray

    def take(self, kept: np.ndarray) -> "Spots":
        """Some of them."""
        return Spots(*(getattr(self, f.name)[kept] for f in fields(self)))


def as_capture(
    scene: Scene, seed: int, wear: Wear | None = None, film: Film | None = None
) -> Scene:
    """The same place as a capture would have it: all of its mesh as Gaussians of SH degree 1.

    Args:
        scene: a built street.
        seed: of all that is drawn; the same seed gives the same bytes.
        wear: how strongly the defects apply; None draws it.
        film: its colours; None draws them.

    Returns:
        The scene with `splats` and a mesh of no triangles; what one can drive in, and the light of
        people and things added later, stay the same.
    """
    rng = np.random.default_rng([seed, 51])
    drawn_wear, drawn_film = draw_wear(rng), draw_film(rng)
    draw = Draw(rng, seed, wear or drawn_wear, film or drawn_film)
    faces, layers = _surfaces(scene)
    eyes = _eyes(scene, rng, draw.wear.cameras)
    known = _seen(
        scene,
        eyes,
        faces.corners.mean(1) + 0.03 * faces.normal,
        faces.normal,
        faces.semantic == _LEAF,
    )
    splats = _spoiled(scene, draw, faces, layers, eyes, _sampled(rng, faces, eyes, known))
    return Scene(
        scene.name,
        scene.occupancy,
        empty_mesh(),
        scene.free_anchors,
        splats,
        scene.ground,
        scene.sky,
        scene.ground_z,
    )


def _surfaces(scene: Scene) -> tuple[Faces, Faces]:
    """Faces to put Gaussians on, and those that only colour what they lie on."""
    faces = split(scene.mesh, EDGE_M)
    faces = faces.take(_above_ground(scene, faces.corners.mean(1)))
    flat = faces.take(faces.instance == 0)
    over = np.zeros(len(faces.area), bool)
    over[faces.instance == 0] = lying_on(flat, flat.corners.mean(1), flat.normal, LAYER_M)
    return faces.take(~over), faces.take(over)


def _eyes(scene: Scene, rng: np.random.Generator, count: int) -> np.ndarray:
    """(C, 3) where photographs were taken: the first anchors, which are far apart."""
    spots = scene.free_anchors[:count]
    if not len(spots):
        spots = np.zeros((1, 2))
    z = rng.uniform(0.6, 1.7, len(spots)) + scene.ground_z
    if scene.ground is not None:
        cells = np.clip(scene.occupancy.cell_of(spots), 0, np.array(scene.ground.height.shape) - 1)
        z += scene.ground.height[tuple(cells.T)]
    return np.column_stack([spots, z])


def _sampled(
    rng, faces: Faces, eyes: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces (n,), points (n, 3) spread evenly over them, square metres (n,) of each."""
    middle = faces.corners.mean(1)
    far = KDTree(eyes).query(middle)[0]
    spacing = np.clip(far / NEAR_M, 1.0, 3.0) * np.where(faces.instance > 0, 0.6, 1.0)
    # Roofs and backs of houses get little; robots go where no camera was, so not nothing.
    spacing *= np.where((known < 0.01) & (faces.instance == 0), 2.5, 1.0)
    share = faces.area / spacing**2
    wanted = rng.integers(*GAUSSIANS)
    share *= wanted / share.sum()
    # Small faces of things that stand in the way have one Gaussian at least.
    share = np.where((faces.instance > 0) & (far < 12.0), np.maximum(share, 1.0), share)
    total = np.floor(np.cumsum(share) + rng.random())
    count = np.diff(total, prepend=0.0).astype(np.int64)
    of = np.repeat(np.arange(len(count)), count)
    k = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    # The R2 sequence (Roberts 2018), begun elsewhere in each face, is more even than chance.
    begin = rng.random((len(count), 2))[of]
    u, v = ((begin + (k[:, None] + 1) * np.array([0.7548776662466927, 0.5698402909980532])) % 1.0).T
    over = u + v > 1.0
    u, v = np.where(over, 1.0 - u, u), np.where(over, 1.0 - v, v)
    a, b, c = faces.corners[of].transpose(1, 0, 2)
    points = a + u[:, None] * (b - a) + v[:, None] * (c - a)
    return of, points, (faces.area / np.maximum(share, 1e-9))[of]


def _above_ground(scene: Scene, points: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the ground does not hide a point, as it does the sheet under it."""
    if scene.ground is None:
        return np.ones(len(points), bool)
    height = minimum_filter(scene.ground.height, 3, mode="nearest")
    cells = np.clip(scene.occupancy.cell_of(points[:, :2]), 0, np.array(height.shape) - 1)
    return points[:, 2] > height[tuple(cells.T)] + scene.ground_z - 0.015


def _seen(scene: Scene, eyes: np.ndarray, points, normal, leaf) -> np.ndarray:
    """(n,) how well cameras at (C, 3), looking all around, saw each point; see `seen_from`."""
    side, count = 80, len(eyes)
    camera = Camera(height_px=side, width_px=side, hfov_deg=90.0, x=0.0, z=0.0, pitch_deg=0.0)
    yaw = np.tile(np.arange(4) * np.pi / 2, count)
    poses = np.column_stack([np.repeat(eyes[:, :2], 4, 0), yaw])
    positions, rotations = camera_poses(poses, camera)
    positions[:, 2] = np.repeat(eyes[:, 2], 4)
    nobody, sky = np.zeros((4 * count, 0, 7), np.float32), np.array([scene.sky.row()], np.float32)
    lenses = np.tile(camera.intrinsics(), (4 * count, 1))
    packed = PackedMeshes.pack([scene.mesh])
    depth = render_meshes(
        packed, np.zeros(4 * count, np.int64), positions, rotations, lenses, side, side, nobody, sky
    ).depth
    return seen_from(points, normal, leaf, positions, np.ascontiguousarray(rotations), depth)


def _spoiled(
    scene: Scene, draw: Draw, faces: Faces, layers: Faces, eyes: np.ndarray, sampled: tuple
) -> Splats:
    """Gaussians at points (`_sampled`), with everything that a capture does to them."""
    rng, wear = draw.rng, draw.wear
    of, points, area = sampled
    normal, semantic = faces.normal[of], faces.semantic[of]
    leaf, floor = semantic == _LEAF, np.isin(semantic, _FLOORS) & (faces.normal[of, 2] > 0.6)
    seen = _seen(scene, eyes, points + 0.03 * normal, normal, leaf)
    bad = 1 / (1 + (seen / 0.9) ** 1.2)
    bad = np.where(floor, np.minimum(bad, 0.55), bad)
    spots = Spots(of, points, area, normal, bad, leaf, floor, semantic == _GRASS)
    spots = spots.take(_kept(draw, faces, spots))
    colour = _drifted(draw, spots, _coloured(draw, faces, layers, spots))
    means = _moved(draw, spots)
    normal, along, scales = _shaped(draw, faces, spots)
    bad, count = spots.bad, len(spots.of)
    faint = wear.faint * rng.beta(1.2, 2.0, count) + 0.25 * bad * rng.random(count)
    opacity = rng.uniform(0.88, 0.98, count) * (
        1 - np.where(spots.floor, 0.6, 1.0) * np.minimum(faint, 0.95)
    )
    sh = np.zeros((count, 4, 3))
    sh[:, 0] = (colour - 0.5) / SH0
    sh[:, 1:] = _view_dependent(scene, draw, faces, spots.of, normal, bad)
    surface = means, _quaternions(along, np.cross(normal, along), normal), scales, opacity, sh
    air = _floaters(scene, draw, eyes, means, colour, bad), _haze(scene, draw)
    parts = [surface, *air]
    means, quats, scales, opacity, sh = (
        np.concatenate([p[k] for p in parts]).astype(np.float32) for k in range(5)
    )
    return Splats(means, quats, scales, opacity, sh)


def _kept(draw: Draw, faces: Faces, spots: Spots) -> np.ndarray:
    """(n,) bool: without holes where few looked, and without some of what is thin."""
    rng, wear, of, bad = draw.rng, draw.wear, spots.of, spots.bad
    x, y, z = spots.points.T
    noise = draw.mottle(x + 0.7 * z, y - 0.7 * z, 0.25, 0)
    thing = faces.instance[of] > 0
    missing = (bad - 0.35) * wear.holes + 0.25 * noise * wear.holes > np.where(thing, 0.62, 0.45)
    hole = missing & ~spots.floor
    sparse = rng.random(len(of)) < wear.holes * np.where(thing, 0.15, 0.4) * bad**2 * ~spots.floor
    width = faces.width[of] / np.sqrt(spots.area)
    lost = rng.random(len(of)) < wear.thin * np.clip(1.0 - 2.0 * width, 0, 0.85)
    return ~(hole | sparse | lost & thing)


def _texels(faces: Faces, of, uv: np.ndarray, size_m: np.ndarray) -> np.ndarray:
    """(n, 3) colours in 0..1 of textures at (n, 2), from texels as large as Gaussians."""
    level = np.clip(
        np.ceil(np.log2(np.maximum(size_m * SIZE / faces.texture_m[of], 1e-6))), 0, LEVELS - 1
    )
    size = SIZE >> level.astype(np.int64)
    column, row = ((np.floor(uv[:, k] * size).astype(np.int64)) & (size - 1) for k in (0, 1))
    packed = mipmaps()[faces.texture[of], size * size + row * size + column]
    return np.stack([packed & 255, packed >> 8 & 255, packed >> 16 & 255], 1) / 255.0


def _means() -> np.ndarray:
    """(K, 3) mean colours of the textures, 0..1: their smallest mip level."""
    packed = mipmaps()[:, 1]
    return np.stack([packed & 255, packed >> 8 & 255, packed >> 16 & 255], 1) / 255.0


def _coloured(draw: Draw, faces: Faces, layers: Faces, spots: Spots) -> np.ndarray:
    """(n, 3) surfaces on this film; shadows and the like lie on what they cover."""
    film, of, points, known = draw.film, spots.of, spots.points, spots.bad < 0.7
    size = 0.9 * np.sqrt(spots.area)
    uv, shade = faces.at(of, points)
    albedo = _texels(faces, of, uv, size)
    if len(layers.area):
        flat = faces.instance[of] == 0
        top = np.full(len(of), -1, np.int64)
        top[flat] = top_layer(layers, points[flat], faces.normal[of[flat]], LAYER_M)
        covered = np.flatnonzero(top >= 0)
        uv_over, shade[covered] = layers.at(top[covered], points[covered])
        albedo[covered] = _texels(layers, top[covered], uv_over, size[covered])
    mean = _means()[faces.texture[of]]
    albedo = np.clip(mean + film.contrast * (albedo - mean), 0.02, 1.0)
    x, y, z = points.T
    s, t = x + 0.6 * z, y - 0.6 * z
    stain = (
        0.1 * draw.mottle(s, t, 0.2, 1)
        + 0.08 * draw.mottle(s, t, 0.9, 2)
        + 0.06 * draw.mottle(2.7 * s, 2.7 * t, 1.0, 3)
    )
    colour = albedo * shade * _tones(draw, faces)[of] * (1 + film.stains * stain)[:, None]
    shadow = draw.mottle(x, y, 0.35, 4), draw.mottle(x, y, 1.1, 5)
    shadow = 1 / (1 + np.exp(-6 * shadow[0] - 4 * shadow[1]))
    colour *= 1 - (film.dapple * shadow * np.isin(faces.semantic[of], _FLOORS))[:, None]
    light = np.maximum((colour[known] if known.any() else colour).mean(0), 0.02)
    # A camera's own exposure, and half of its white balance.
    exposure = (LIGHT / light.mean()) ** film.metered
    exposure = exposure * (light.mean() / light) ** (0.5 * film.metered)
    colour = np.clip(colour * exposure * film.gain, 0.0, None)
    colour = colour / (1 + np.maximum(colour - 0.75, 0) * 0.9)  # a shoulder for what is bright
    colour = np.clip(colour, 1e-4, 1.0) ** film.gamma
    grey = colour.mean(1, keepdims=True)
    return film.lift + (1 - film.lift) * np.clip(grey + film.saturation * (colour - grey), 0, 1)


def _tones(draw: Draw, faces: Faces) -> np.ndarray:
    """(F, 3) that colours are multiplied by: each texture, wall and thing has its own tone."""
    rng, film = draw.rng, draw.film

    def drawn(count: int, light: float, hue: float) -> np.ndarray:
        """(count, 3) mostly between warm and cold, as paint and daylight vary."""
        warm = rng.normal(0, hue, (count, 1)) * np.array([1.0, 0.1, -1.1]) + rng.normal(
            0, 0.3 * hue, (count, 3)
        )
        return np.exp(rng.normal(0, light, (count, 1)) + warm)

    texture = drawn(len(TEXTURES), film.tint, 0.2 * film.tint)[faces.texture]
    thing = drawn(int(faces.instance.max(initial=0)) + 1, 0.5 * film.tint, 0.5 * film.tint)[
        faces.instance
    ]
    # Walls of one plane are one house's.
    upright = (faces.instance == 0) & (np.abs(faces.normal[:, 2]) < 0.3)
    offset = np.round(2 * (faces.normal * faces.corners[:, 0]).sum(1))
    plane = (
        offset * 31
        + np.round(faces.normal[:, 0]) * 17
        + np.round(faces.normal[:, 1]) * 7
        + faces.texture * 101
    ).astype(np.int64)
    wall = drawn(257, 0.4 * film.tint, 0.45 * film.tint)[plane % 257]
    return texture * thing * np.where(upright[:, None], wall, 1.0)


def _drifted(draw: Draw, spots: Spots, colour: np.ndarray) -> np.ndarray:
    """Exposure and white balance that drift; noise, more where few looked and in leaves."""
    rng, wear, bad = draw.rng, draw.wear, spots.bad
    x, y, _ = spots.points.T
    exposure = draw.mottle(x, y, 0.05, 100) + 0.5 * draw.mottle(x, y, 0.25, 101)
    exposure = 1 + wear.drift * exposure
    warm = 0.4 * wear.drift * draw.mottle(x, y, 0.06, 102)
    drift = np.stack([exposure * (1 + warm), exposure, exposure * (1 - warm)], 1)
    amount = wear.noise * (0.4 + 1.6 * bad**2) + np.where(spots.leaf, 0.09, 0.0) * np.clip(
        colour.mean(1) * 2.5, 0.2, 1
    )
    noise = (
        rng.normal(0, 1, (len(x), 1)) * amount[:, None]
        + rng.normal(0, 0.3, colour.shape) * wear.noise
    )
    grey = colour.mean(1, keepdims=True)
    washed = colour + (grey - colour) * (0.3 * bad**2)[:, None]
    return np.clip(washed * drift + noise, 0, 1)


def _moved(draw: Draw, spots: Spots) -> np.ndarray:
    """Places off their surfaces: noise, bent walls, fuzzy leaves, blades of grass."""
    rng, wear, points, floor = draw.rng, draw.wear, spots.points, spots.floor
    x, y, z = points.T
    bend = draw.mottle(x + 0.5 * z, y - 0.5 * z, 0.15, 7)
    bend = wear.warp_m * 0.6 * bend * np.where(floor, 0.35, 1.0)
    along = rng.normal(0, 1, len(x)) * wear.shift_m * np.where(floor, 0.5, 1.0) + np.clip(
        bend, -0.15, 0.15
    )
    fuzz = np.where(spots.leaf, 0.06, 0.0)
    blades = rng.normal(0, 1, len(x)) * fuzz
    along += blades + np.where(spots.grass, rng.exponential(0.008, len(x)), 0.0)
    loose = (
        rng.normal(0, 1, points.shape)
        * (0.04 * spots.bad**2 * ~floor * min(10 * wear.shift_m, 1.0) + 0.4 * fuzz)[:, None]
    )
    return points + spots.normal * along[:, None] + loose


def _shaped(draw: Draw, faces: Faces, spots: Spots) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normals, first axes, and standard deviations along that, across, along the normal."""
    rng, wear, of, normal = draw.rng, draw.wear, spots.of, spots.normal
    bad, leaf, floor = spots.bad, spots.leaf, spots.floor
    size = 0.55 * np.sqrt(spots.area)
    limit = 0.34 * faces.width[of]
    across = np.clip(np.minimum(size, limit), THICK_M, None)
    along = np.minimum(
        np.maximum(size * size / across, size), np.maximum(0.42 * faces.length[of], across)
    )
    along = np.where(limit < size, along, size)
    uneven = np.exp(
        rng.normal(0, 0.6 * wear.uneven, (len(of), 1))
        + rng.normal(0, 0.55 * wear.uneven, (len(of), 3))
    )
    worse = 1 + np.where(leaf | (faces.instance[of] > 0), 0.25, 0.7) * bad**1.5
    blur = wear.blur_m * np.where(floor, 0.5, 1.0)
    scales = np.stack(
        [np.hypot(along * worse, blur), np.hypot(across * worse, blur), np.zeros(len(of))], 1
    )
    flat = np.where(floor, 0.12 * wear.round, 0.6 * wear.round)
    scales[:, 2] = np.hypot(flat * scales[:, 1], 0.5 * blur) + np.where(
        leaf, 0.55 * scales[:, 1], 0.008
    )
    scales *= uneven
    long = (rng.random(len(of)) < wear.needles * (0.2 + 2.0 * bad)) & ~floor
    scales[:, 0] *= np.where(long, 1.5 + 2.5 * rng.random(len(of)), 1.0)
    scales[:, 1] *= np.where(long & (bad > 0.5), 0.35, 1.0)
    lean = np.where(floor, 0.02, 0.03 + 0.4 * wear.round * bad) + np.where(leaf, 0.8, 0.0)
    normal = _unit(normal + rng.normal(0, 1, normal.shape) * lean[:, None])
    first = faces.first[of]
    turn = rng.uniform(0, 2 * np.pi, len(of)) * (limit >= size) + np.where(
        long, rng.normal(0, 0.6, len(of)), 0.0
    )
    first = (
        first * np.cos(turn)[:, None] + np.cross(faces.normal[of], first) * np.sin(turn)[:, None]
    )
    first = _unit(first - (first * normal).sum(1, keepdims=True) * normal)
    return normal, first, np.clip(scales, THICK_M, 0.6)


def _view_dependent(
    scene: Scene, draw: Draw, faces: Faces, of: np.ndarray, normal: np.ndarray, bad: np.ndarray
) -> np.ndarray:
    """(n, 3, 3) harmonics of degree 1: mirrored sky on what shines, noise on everything."""
    rng, wear = draw.rng, draw.wear
    shiny = np.zeros(len(TEXTURES))
    shiny[[TEXTURES[name] for name in _SHINY]] = rng.uniform(0.05, 0.3, len(_SHINY)) * min(
        wear.gloss, 1.5
    )
    damp = 0.25 * scene.sky.wet * np.isin(faces.semantic[of], _FLOORS)
    # As in the suite: what a mirror shows along r is taken as linear in r . up.
    up = np.array([0.0, 0.0, 1.0]) + 0.5 * np.array(scene.sky.sun)
    mirrored = up - 2 * (normal @ up)[:, None] * normal
    sky = np.array([scene.sky.zenith, scene.sky.horizon]).mean(0) / 255
    mirror = (shiny[faces.texture[of]] + damp)[:, None, None] * 0.5 * mirrored[:, :, None] * sky
    mirror += rng.normal(0, 0.014 * wear.gloss, mirror.shape) * (0.4 + bad)[:, None, None]
    return np.stack([-mirror[:, 1], mirror[:, 2], -mirror[:, 0]], 1) / SH1


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _quaternions(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(n, 4) w, x, y, z of rotations whose columns are three axes (n, 3)."""
    trace = np.stack(
        [
            x[:, 0] + y[:, 1] + z[:, 2],
            x[:, 0] - y[:, 1] - z[:, 2],
            y[:, 1] - x[:, 0] - z[:, 2],
            z[:, 2] - x[:, 0] - y[:, 1],
        ],
        1,
    )
    best = trace.argmax(1)
    a, b, c = y[:, 2] - z[:, 1], z[:, 0] - x[:, 2], x[:, 1] - y[:, 0]
    d, e, f = x[:, 1] + y[:, 0], z[:, 0] + x[:, 2], y[:, 2] + z[:, 1]
    one = 1 + trace
    every = np.stack(
        [
            np.stack([one[:, 0], a, b, c], 1),
            np.stack([a, one[:, 1], d, e], 1),
            np.stack([b, d, one[:, 2], f], 1),
            np.stack([c, e, f, one[:, 3]], 1),
        ],
        1,
    )
    return _unit(every[np.arange(len(best)), best])


def _floaters(
    scene: Scene,
    draw: Draw,
    eyes: np.ndarray,
    means: np.ndarray,
    colour: np.ndarray,
    bad: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Faint stretched blobs between cameras and what they saw badly, in its or sky colours."""
    rng, wear = draw.rng, draw.wear
    count = int(wear.floaters * len(means) / 1000)
    weight = 0.02 + bad**2
    chosen = rng.choice(len(means), count, p=weight / weight.sum())
    eye = eyes[rng.integers(0, len(eyes), count)]
    where = eye + (means[chosen] - eye) * rng.uniform(0.4, 0.95, (count, 1))
    low = rng.random(count) < 0.25  # most hang over heads, some do not
    where[:, 2] = np.where(
        low, np.maximum(where[:, 2], 0.5), np.maximum(where[:, 2], 1.7 + 2.0 * rng.random(count))
    )
    where += rng.normal(0, 0.25, (count, 3))
    away = _unit(means[chosen] - eye + rng.normal(0, 1.0, (count, 3)))
    side = _unit(np.cross(away, rng.normal(0, 1.0, (count, 3))))
    size = rng.uniform(0.03, 0.16, (count, 1)) * np.column_stack(
        [rng.uniform(1.0, 4.0, count), np.ones(count), rng.uniform(0.4, 1.0, count)]
    )
    sky = np.array(scene.sky.horizon) / 255
    tint = np.where(rng.random((count, 1)) < 0.4, sky, colour[chosen])
    sh = np.zeros((count, 4, 3))
    sh[:, 0] = (np.clip(tint + rng.normal(0, 0.05, (count, 3)), 0, 1) - 0.5) / SH0
    sh[:, 1:] = rng.normal(0, 0.06, (count, 3, 3))
    return (
        where,
        _quaternions(away, side, np.cross(away, side)),
        size,
        rng.uniform(0.04, 0.22, count),
        sh,
    )


def _haze(scene: Scene, draw: Draw) -> tuple[np.ndarray, ...]:
    """Large, very faint blobs over the whole place, in the horizon's colour on this film."""
    rng, wear, film = draw.rng, draw.wear, draw.film
    count, occupancy = wear.haze, scene.occupancy
    high = occupancy.origin + np.array(occupancy.grid.shape[::-1]) * occupancy.resolution
    where = np.column_stack(
        [rng.uniform(occupancy.origin, high, (count, 2)), rng.uniform(0.3, 5.0, count)]
    )
    size = rng.uniform(0.4, 1.5, (count, 1)) * rng.uniform(0.6, 1.0, (count, 3))
    quats = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    veil = np.clip(np.array(scene.sky.horizon) / 255 * film.gain, 0, 0.95)
    sh = np.zeros((count, 4, 3))
    sh[:, 0] = (np.clip(veil + rng.normal(0, 0.03, (count, 3)), 0, 1) - 0.5) / SH0
    return where, quats, size, rng.uniform(0.015, 0.06, count), sh
