"""Textures of mesh worlds: small, procedural, the same everywhere, so that no image file is needed."""

import functools

import numpy as np
from scipy.ndimage import gaussian_filter

SIZE = 64
LEVELS = 7
"""Sizes of the mip chain: 64, 32, ... 1 texels."""

TEXELS = 8192
"""Room of a layer with all its levels: the level of s x s texels begins at s * s."""

TEXTURES: dict[str, int] = {
    name: layer
    for layer, name in enumerate(
        (
            "white",
            "paving",
            "asphalt",
            "brick",
            "plaster",
            "facade",
            "glass",
            "shop",
            "grass",
            "leaves",
            "bark",
            "wood",
            "metal",
            "hazard",
            "cone",
            "concrete",
            "cobble",
            "door",
            "roof",
            "car_side",
            "car_glass",
            "tyre",
            "fence",
            "sign",
            "cloth",
            "stripes",
            "denim",
            "check",
            "hair",
            "skin",
            "face",
            "hedge",
        )
    )
}


def _noise(rng: np.random.Generator, sigma: float, amount: float) -> np.ndarray:
    """(64, 64, 1) tileable noise around 0 with standard deviation `amount`."""
    field = rng.standard_normal((SIZE, SIZE))
    if sigma:
        field = gaussian_filter(field, sigma, mode="wrap")
    return (field / field.std() * amount)[..., None]


def _flat(rgb: tuple[float, float, float]) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, dtype=np.float64), (SIZE, SIZE, 3)).copy()


def _grainy(rng: np.random.Generator, rgb: tuple[float, float, float], coarse: float, fine: float) -> np.ndarray:
    """A flat colour under coarse and fine noise."""
    return _flat(rgb) + _noise(rng, 6.0, coarse) + _noise(rng, 0.0, fine)


def _tiles(rng: np.random.Generator, rgb, rows: int, cols: int, joint: int, mortar, spread: float, stagger=True):
    """Staggered rectangular tiles with joints; each tile has a tone of its own."""
    y, x = np.mgrid[:SIZE, :SIZE]
    height, width = SIZE // rows, SIZE // cols
    row = y // height
    shifted = (x + (row % 2) * (width // 2) * stagger) % SIZE
    tone = rng.standard_normal((rows, cols))[row, shifted // width][..., None] * spread
    image = _grainy(rng, rgb, spread / 3, 5.0) + tone
    is_joint = (y % height < joint) | (shifted % width < joint)
    image[is_joint] = np.array(mortar, dtype=np.float64)
    return image


def _rect(image: np.ndarray, y0: int, y1: int, x0: int, x1: int, rgb) -> None:
    image[y0:y1, x0:x1] = np.array(rgb, dtype=np.float64)


def _window(image: np.ndarray, y0: int, y1: int, x0: int, x1: int) -> None:
    """A framed pane with a reflection that brightens upwards."""
    _rect(image, y0 - 1, y1 + 2, x0 - 1, x1 + 1, (238, 236, 230))
    ramp = np.linspace(1.0, 0.35, y1 - y0)[:, None, None]
    image[y0:y1, x0:x1] = np.array([120.0, 150.0, 175.0]) * ramp
    _rect(image, y0, y1, (x0 + x1) // 2, (x0 + x1) // 2 + 1, (225, 223, 218))


def _walls(rng: np.random.Generator) -> dict[str, np.ndarray]:
    facade = _grainy(rng, (214, 210, 204), 4, 4)
    for x0 in (9, 41):
        _window(facade, 14, 50, x0, x0 + 15)
        _rect(facade, 52, 54, x0 - 3, x0 + 18, (175, 172, 166))
    _rect(facade, 0, 2, 0, SIZE, (178, 174, 168))
    glass = _flat((96, 128, 150)) * np.linspace(1.15, 0.75, SIZE)[:, None, None] + _noise(rng, 8.0, 8)
    glass[:, ::16] = glass[:, 1::16] = (60, 66, 72)
    glass[::32] = glass[1::32] = (60, 66, 72)
    shop = _flat((128, 120, 112)) + _noise(rng, 0, 3)
    _rect(shop, 4, 16, 2, 62, (205, 198, 180))
    for x0 in range(6, 58, 5):
        _rect(shop, 8, 12, x0, x0 + 3, (70, 62, 60))
    shop[20:56, 4:40] = np.array([150.0, 168.0, 172.0]) * np.linspace(1.1, 0.7, 36)[:, None, None]
    shop[20:62, 45:59] = np.array([92.0, 106.0, 118.0]) * np.linspace(1.2, 0.7, 42)[:, None, None]
    _rect(shop, 40, 43, 47, 49, (220, 210, 160))
    door = _flat((112, 74, 50)) + _noise(rng, 1.0, 5)
    for x0 in (8, 36):
        _rect(door, 6, 30, x0, x0 + 20, (92, 60, 42))
        _rect(door, 36, 60, x0, x0 + 20, (92, 60, 42))
    return {
        "brick": _tiles(rng, (150, 82, 66), 8, 4, 1, (172, 162, 150), 14),
        "plaster": _grainy(rng, (224, 218, 206), 5, 4),
        "facade": facade,
        "glass": glass,
        "shop": shop,
        "door": door,
        "concrete": _grainy(rng, (160, 158, 153), 2.5, 7),
        "roof": _tiles(rng, (126, 74, 60), 8, 8, 1, (84, 50, 44), 9),
    }


def _grounds(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "paving": _tiles(rng, (176, 170, 160), 4, 2, 1, (128, 124, 116), 9),
        "cobble": _tiles(rng, (138, 132, 126), 8, 8, 1, (92, 88, 84), 14),
        "asphalt": _grainy(rng, (88, 89, 92), 4, 9),
        "grass": _flat((92, 128, 58)) + _noise(rng, 4.0, 10) * np.array([1.0, 1, 0.5]) + _noise(rng, 0.6, 14),
        "leaves": _flat((72, 112, 48)) + _noise(rng, 1.6, 24) * np.array([0.9, 1, 0.5]) + _noise(rng, 0.5, 10),
        "hedge": _flat((58, 92, 44)) + _noise(rng, 1.1, 20) * np.array([0.8, 1, 0.5]),
    }


def _things(rng: np.random.Generator) -> dict[str, np.ndarray]:
    y, x = np.mgrid[:SIZE, :SIZE]
    grain = np.repeat(_noise(rng, 0.0, 1.0)[:1], SIZE, 0)
    hazard = np.where((((x + y) // 16) % 2)[..., None] == 0, np.array([222.0, 46, 36]), np.array([240.0, 240, 236]))
    cone = _flat((240, 100, 24)) + _noise(rng, 3.0, 4)
    cone[12:24] = cone[36:48] = (240, 240, 236)
    wood = _flat((150, 108, 70)) + _noise(rng, 0.0, 5) + np.swapaxes(grain, 0, 1) * 10
    wood[::16] = (84, 60, 40)
    side = _flat((236, 236, 236)) + _noise(rng, 5.0, 2)
    _rect(side, 52, 64, 0, 64, (70, 70, 72))
    _rect(side, 20, 50, 32, 33, (130, 130, 132))
    _rect(side, 25, 28, 24, 30, (120, 120, 122))
    tyre = _flat((44, 44, 46))
    tyre[np.hypot(x - 31.5, y - 31.5) < 17] = (165, 168, 172)
    fence = _flat((188, 190, 192))
    fence[(x % 8 > 2) & (y % 32 > 3)] = (92, 98, 102)
    sign = _flat((30, 84, 170)) + _noise(rng, 0, 2)
    _rect(sign, 3, 6, 3, 61, (245, 245, 245))
    _rect(sign, 58, 61, 3, 61, (245, 245, 245))
    for y0 in (16, 28, 40):
        _rect(sign, y0, y0 + 5, 12, 52, (245, 245, 245))
    return {
        "white": _flat((255, 255, 255)),
        "bark": _flat((108, 86, 66)) + grain * 14 + _noise(rng, 1.0, 8),
        "wood": wood,
        "metal": _flat((168, 172, 178)) + np.swapaxes(grain, 0, 1) * 4,
        "hazard": hazard + _noise(rng, 0.0, 2),
        "cone": cone,
        "car_side": side,
        "car_glass": _flat((52, 64, 76)) * np.linspace(1.5, 0.7, SIZE)[:, None, None] + _noise(rng, 6.0, 4),
        "tyre": tyre,
        "fence": fence,
        "sign": sign,
    }


def _people(rng: np.random.Generator) -> dict[str, np.ndarray]:
    y, x = np.mgrid[:SIZE, :SIZE]
    stripes = np.where(((y // 6) % 2)[..., None] == 0, 245.0, 150.0) + np.zeros(3)
    check = 250.0 - 55.0 * (((x // 8) % 2)[..., None] + ((y // 8) % 2)[..., None]) + np.zeros(3)
    face = _flat((255, 255, 255)) + _noise(rng, 4.0, 4)
    for x0 in (14, 40):
        _rect(face, 24, 30, x0, x0 + 10, (60, 50, 48))
        _rect(face, 18, 20, x0 - 1, x0 + 11, (120, 96, 84))
    _rect(face, 30, 40, 29, 35, (214, 200, 192))
    _rect(face, 47, 51, 22, 42, (190, 110, 104))
    return {
        "cloth": _grainy(rng, (242, 242, 242), 7, 6),
        "stripes": stripes + _noise(rng, 3.0, 6),
        "denim": _grainy(rng, (235, 238, 242), 9, 10),
        "check": check + _noise(rng, 3.0, 5),
        "hair": _flat((235, 235, 235)) + np.repeat(_noise(rng, 0.0, 22)[:1], SIZE, 0),
        "skin": _grainy(rng, (250, 248, 246), 4, 2),
        "face": face,
    }


@functools.cache
def atlas() -> np.ndarray:
    """(K, 64, 64, 3) uint8: every texture; layer `TEXTURES[name]`, row 0 at v = 1 (the top of a wall)."""
    rng = np.random.default_rng(7)
    images = _walls(rng) | _grounds(rng) | _things(rng) | _people(rng)
    layers = np.stack([images[name] for name in TEXTURES])
    result = np.clip(np.rint(layers), 0, 255).astype(np.uint8)
    result.setflags(write=False)
    return result


@functools.cache
def mipmaps() -> np.ndarray:
    """(K, 8192) uint32: each layer's mip levels, 64x64 down to 1x1; the level of s x s texels begins at s * s.

    A texel is red + 256 green + 65536 blue. Row 0 of a level is at v = 0 (the picture's bottom).
    """
    level = atlas()[:, ::-1].astype(np.float64)
    result = np.zeros((len(level), TEXELS), np.uint32)
    for _ in range(LEVELS):
        size = level.shape[1]
        texels = np.rint(level).astype(np.uint32)
        packed = texels[..., 0] | texels[..., 1] << 8 | texels[..., 2] << 16
        result[:, size * size : 2 * size * size] = packed.reshape(len(level), -1)
        if size > 1:
            level = level.reshape(len(level), size // 2, 2, size // 2, 2, 3).mean((2, 4))
    result.setflags(write=False)
    return result
