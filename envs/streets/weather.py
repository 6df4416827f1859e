"""Weather: where the sun stands, what light it and the sky give, fog and wet ground, all from a
seed.
"""

from dataclasses import dataclass

import numpy as np

from s2e.envs.geometry.scene import Sky

WEATHERS = ("clear", "low_sun", "overcast", "rain", "dusk", "fog")
_SHARES = np.array([0.38, 0.17, 0.18, 0.1, 0.1, 0.07])


@dataclass(frozen=True)
class Weather:
    """A kind of weather; `sky` carries it to the renderer, `lamps` says whether windows and lamps
    are lit.
    """

    kind: str
    sky: Sky
    lamps: bool


def _sky(zenith, horizon, fog_m: float, sun: np.ndarray, sun_rgb, ambient_rgb, wet: float) -> Sky:
    """A sky of plain floats, so that equal seeds compare equal."""
    rows = [tuple(float(v) for v in np.minimum(c, 255.0)) for c in (zenith, horizon)]
    lights = [tuple(float(v) for v in c) for c in (sun, sun_rgb, ambient_rgb)]
    return Sky(rows[0], rows[1], float(fog_m), lights[0], lights[1], lights[2], float(wet))  # pyright: ignore[reportArgumentType]


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draws the weather of a scene."""
    kind = WEATHERS[rng.choice(len(WEATHERS), p=_SHARES)]
    azimuth, high = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 1.0)
    low, top = {"low_sun": (14, 26), "dusk": (8, 12)}.get(kind, (32, 64))
    elevation = np.radians(low + (top - low) * high)
    sun = np.array(
        [
            np.cos(azimuth) * np.cos(elevation),
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
        ]
    )
    fog, tone, shade = rng.uniform(70, 180), rng.uniform(0.88, 1.08), rng.uniform(0.9, 1.08)
    wet = rng.uniform(0.4, 0.9)
    if kind == "overcast":
        sky = _sky(
            np.array([168, 178, 190]) * shade, np.array([206, 211, 216]) * shade, fog * 0.7, sun,
            (0.12, 0.12, 0.12), np.array([0.84, 0.86, 0.9]) * shade, 0.0,
        )  # fmt: skip
    elif kind == "rain":
        sky = _sky(
            np.array([128, 138, 150]) * shade, np.array([176, 182, 188]) * shade, fog * 0.5, sun,
            (0.06, 0.06, 0.06), np.array([0.68, 0.71, 0.76]) * shade, wet,
        )  # fmt: skip
    elif kind == "fog":
        grey = np.array([196, 199, 202]) * shade
        sky = _sky(
            grey * 0.96,
            grey,
            rng.uniform(15, 40),
            sun,
            (0.05, 0.05, 0.05),
            np.array([0.8, 0.81, 0.83]) * shade,
            0.0,
        )
    elif kind == "dusk":
        sky = _sky(
            np.array([34, 44, 92]) * tone, np.array([168, 128, 128]) * tone, fog, sun,
            (0.05, 0.04, 0.04), np.array([0.4, 0.42, 0.56]) * tone, 0.0,
        )  # fmt: skip
    elif kind == "low_sun":
        sky = _sky(
            np.array([92, 122, 178]) * tone, (242, 212, 174), fog, sun,
            np.array([1.1, 0.82, 0.52]), np.array([0.56, 0.57, 0.66]) * tone, 0.0,
        )  # fmt: skip
    else:
        sky = _sky(
            np.array([84, 142, 212]) * tone, (206, 220, 232), fog, sun,
            np.array([0.78, 0.73, 0.63]) * shade, np.array([0.51, 0.555, 0.63]), 0.0,
        )  # fmt: skip
    return Weather(kind, sky, kind == "dusk")
