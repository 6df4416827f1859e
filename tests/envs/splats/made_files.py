"""Files of splats, and that they are refused."""

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.any import read_splats

# Half a step of ten bits over sqrt(2) in each of three components, threefold in the fourth when all
# are alike, doubled as an angle.
SMALLEST_THREE_DEG = float(np.degrees(2 * np.sqrt(12) * 0.5 / 1022 * np.sqrt(2))) + 0.005


def angles_deg(a: Splats, b: Splats) -> np.ndarray:
    """Angles between rotations; from the smaller of |q - p| and |q + p|, since a scalar product
    near 1 says little."""
    q, p = a.quats.astype(np.float64), b.quats.astype(np.float64)
    apart = np.minimum(np.linalg.norm(q - p, axis=1), np.linalg.norm(q + p, axis=1))
    return np.degrees(4 * np.arcsin(np.clip(apart / 2, 0, 1)))


def close(found: Splats, wanted: Splats, mean_m, log_scale, opacity, first, rest, angle_deg):
    """Each attribute within its tolerance."""
    assert found.sh.shape == wanted.sh.shape and found.antialiased == wanted.antialiased
    assert np.abs(found.means - wanted.means).max() <= mean_m
    assert np.abs(np.log(found.scales / wanted.scales)).max() <= log_scale
    assert np.abs(found.opacities - wanted.opacities).max() <= opacity
    assert np.abs(found.sh[:, 0] - wanted.sh[:, 0]).max() <= first
    assert np.abs(found.sh[:, 1:] - wanted.sh[:, 1:]).max(initial=0) <= rest
    assert angles_deg(found, wanted).max() <= angle_deg


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def refused(path, match):
    with pytest.raises(UserError, match=match) as error:
        read_splats(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
