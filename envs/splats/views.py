"""What splats are drawn for: cameras, and the picture behind."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Views:
    """V cameras of one size, and what lies behind the splats that they see.

    Attributes:
        positions: (V, 3) metres.
        rotations: (V, 3, 3), a world point p is at `rotation @ (p - position)` in the optical
            frame.
        intrinsics: (4,) or (V, 4) fx, fy, cx, cy in pixels.
        height_px, width_px: rows and columns of an image.
        background_rgb: (V, H, W, 3) uint8 image behind, or one colour (3,) in 0..255.
        background_depth: (V, H, W) float32 depth of the background along the optical axis, metres,
            infinite where it is sky; None is sky everywhere. Gaussians whose centre is farther are
            hidden at that pixel.
        lens: pinhole, or fisheye: equidistant, a ray at angle a from the axis falls fx * a pixels
            from the centre.
        antialiased: opacities are lowered by what the 0.3 px^2 of blur widen a Gaussian (gsplat's
            "antialiased" mode).
    """

    positions: np.ndarray
    rotations: np.ndarray
    intrinsics: np.ndarray
    height_px: int
    width_px: int
    background_rgb: np.ndarray | tuple[float, ...] = (0.0, 0.0, 0.0)
    background_depth: np.ndarray | None = None
    lens: str = "pinhole"
    antialiased: bool = False

    def __len__(self) -> int:
        return len(self.positions)
