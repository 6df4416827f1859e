"""Pictures of predicted fans for a few held-out samples: the frame with the waypoints on the
ground, and the view from above.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from s2e.policy.config import PolicyConfig
from s2e.policy.mixture import Modes
from s2e.pretrain.samples import Batch, Samples
from s2e.video.walk import Body

FRAME_W, PANEL, HEADER = 320, 240, 18
_FINE = 2  # drawn at this many times the size and scaled down: smooth lines
TRUTH, BEST = (28, 150, 70), (20, 80, 220)
OTHER, GOAL = (232, 106, 20), (190, 20, 120)
_WIDEST_DEG = 150.0  # beyond it no pinhole camera is a model of the lens


def pick(future: np.ndarray, count: int = 6) -> np.ndarray:
    """(count,) sample indices, or fewer: from the sharpest right turn among (S, T, 2) futures to
    the sharpest left, evenly.

    The same futures give the same samples. Robots that hardly move are left out as long as others
    do.
    """
    end = future[:, -1]
    moving = np.flatnonzero(np.linalg.norm(end, axis=1) > 0.3)
    among = moving if len(moving) >= count else np.arange(len(future))
    order = among[np.argsort(np.arctan2(end[among, 1], end[among, 0]), kind="stable")]
    places = np.round(np.linspace(0.02, 0.98, count) * (len(order) - 1)).astype(int)
    return order[np.unique(places)]


def project(points: np.ndarray, body: Body, size: tuple[int, int]) -> np.ndarray:
    """Ground points (..., 2) in the robot's frame to pixels (..., 2) of an image of `size` (height,
    width); NaN where not seen.

    A pinhole camera with square pixels, its axis in the robot's direction and pitched down by
    `camera_pitch_deg`.
    """
    height, width = size
    f = 0.5 * width / math.tan(math.radians(body.camera_hfov_deg) / 2)
    pitch = math.radians(body.camera_pitch_deg)
    ahead = points[..., 0] - (0.0 if math.isnan(body.camera_x_m) else body.camera_x_m)
    depth = ahead * math.cos(pitch) + body.camera_height_m * math.sin(pitch)
    down = body.camera_height_m * math.cos(pitch) - ahead * math.sin(pitch)
    z = np.where(depth > 0.05, depth, np.nan)
    return np.stack([width / 2 - f * points[..., 1] / z, height / 2 + f * down / z], -1)


def camera_known(body: Body) -> bool:
    """Whether `project` can be used: height, field of view and pitch are known, and the lens is no
    fisheye.
    """
    known = (body.camera_height_m, body.camera_hfov_deg, body.camera_pitch_deg)
    return (
        all(map(math.isfinite, known))
        and body.camera_height_m > 0
        and 0 < body.camera_hfov_deg < _WIDEST_DEG
    )


def _opacity(scores: np.ndarray) -> np.ndarray:
    """(M,) 70 to 255: the score beside the highest one."""
    return (70 + 185 * scores / scores.max()).astype(int)


def _polyline(
    draw: ImageDraw.ImageDraw,
    points: np.ndarray,
    colour: tuple[int, ...],
    width: int,
    dots: float = 0,
) -> None:
    seen = [tuple(p) for p in points if np.isfinite(p).all() and (np.abs(p) < 1e5).all()]
    if len(seen) > 1:
        draw.line(seen, fill=colour, width=width, joint="curve")
    for x, y in seen[1:] if dots else ():
        draw.ellipse((x - dots, y - dots, x + dots, y + dots), fill=colour)


def _fan(
    draw: ImageDraw.ImageDraw,
    at,
    modes: np.ndarray,
    scores: np.ndarray,
    truth: np.ndarray,
    wide: int,
) -> None:
    """Modes (M, T, 2) from the faintest to the best-scored, then the truth (T, 2); `at` maps metres
    to pixels.
    """
    origin = np.zeros((1, 2))
    alpha, best = _opacity(scores), int(scores.argmax())
    for m in np.argsort(scores, kind="stable"):
        colour = (*(BEST if m == best else OTHER), int(alpha[m]))
        _polyline(
            draw,
            at(np.concatenate([origin, modes[m]])),
            colour,
            wide,
            wide * 1.2 if m == best else 0,
        )
    _polyline(draw, at(np.concatenate([origin, truth])), (*TRUTH, 255), wide, wide * 1.2)


def top_down(
    modes: np.ndarray, scores: np.ndarray, truth: np.ndarray, goal_xy: np.ndarray, reach_m: float
) -> Image.Image:
    """The panel from above, `PANEL` px square, x forward is up: a grid of metres, the modes, the
    truth, the goal or where it lies.
    """
    side = PANEL * _FINE
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image, "RGBA")
    scale, base = 0.8 * side / reach_m, 0.86 * side

    def at(points: np.ndarray) -> np.ndarray:
        return np.stack([side / 2 - scale * points[..., 1], base - scale * points[..., 0]], -1)

    line = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1e9) if reach_m / s <= 5)
    for k in range(-8, 9):
        _polyline(
            draw,
            at(np.array([[-reach_m, k * line], [2 * reach_m, k * line]])),
            (225, 225, 225, 255),
            1,
        )
        _polyline(
            draw,
            at(np.array([[k * line, -2 * reach_m], [k * line, 2 * reach_m]])),
            (225, 225, 225, 255),
            1,
        )
    _fan(draw, at, modes, scores, truth, 2 * _FINE)
    x, y = at(np.zeros(2))
    draw.polygon(
        [(x, y - 7 * _FINE), (x - 5 * _FINE, y + 5 * _FINE), (x + 5 * _FINE, y + 5 * _FINE)],
        fill=(40, 40, 40, 255),
    )
    # A goal beyond the panel is drawn hollow on its rim, on the ray from the robot to it.
    place, margin = at(goal_xy), 8 * _FINE
    way = place - (x, y)
    room = np.where(way > 0, side - margin - np.array([x, y]), np.array([x, y]) - margin)
    cut = min(1.0, float((room / np.maximum(np.abs(way), 1e-9)).min()))
    gx, gy = np.array([x, y]) + cut * way
    r = 5 * _FINE
    draw.ellipse(
        (gx - r, gy - r, gx + r, gy + r),
        fill=(*GOAL, 255) if cut == 1 else None,
        outline=(*GOAL, 255),
        width=2 * _FINE,
    )
    image = image.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    ImageDraw.Draw(image).text(
        (5, PANEL - 16), f"grid {line:g} m", (120, 120, 120), ImageFont.load_default(11)
    )
    return image


def over_frame(
    frame: np.ndarray, body: Body, modes: np.ndarray, scores: np.ndarray, truth: np.ndarray
) -> Image.Image:
    """A frame (H, W, 3) `PANEL` px high at most, with the waypoints on the ground in front where
    the camera is known.
    """
    scale = min(FRAME_W / frame.shape[1], PANEL / frame.shape[0])
    width, height = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    image = Image.fromarray(frame).resize((width * _FINE, height * _FINE), Image.Resampling.BICUBIC)
    if camera_known(body):
        draw = ImageDraw.Draw(image, "RGBA")
        _fan(
            draw,
            lambda p: project(p, body, (height * _FINE, width * _FINE)),
            modes,
            scores,
            truth,
            2 * _FINE,
        )
    return image.resize((width, height), Image.Resampling.LANCZOS)


def fan_picture(
    frame: np.ndarray,
    body: Body,
    modes: np.ndarray,
    scores: np.ndarray,
    truth: np.ndarray,
    goal_xy: np.ndarray,
    title: str,
) -> np.ndarray:
    """One sample as (`HEADER` + `PANEL`, `FRAME_W` + `PANEL`, 3) uint8.

    Args:
        frame: (H, W, 3) uint8 at any size. body: projects the waypoints into it where its camera is
            known.
        modes: (M, T, 2) metres. scores: (M,) probabilities. truth: (T, 2) metres. goal_xy: (2,)
            metres.
        title: what the header says.
    """
    image = Image.new("RGB", (FRAME_W + PANEL, HEADER + PANEL), "white")
    picture = over_frame(frame, body, modes, scores, truth)
    image.paste(picture, ((FRAME_W - picture.width) // 2, HEADER + (PANEL - picture.height) // 2))
    reach = max(
        1.0,
        float(np.linalg.norm(truth, axis=-1).max()),
        float(np.linalg.norm(modes[scores > 0.02], axis=-1).max(initial=0)),
    )
    image.paste(top_down(modes, scores, truth, goal_xy, 1.1 * reach), (FRAME_W, HEADER))
    ImageDraw.Draw(image).text((4, 2), title, "black", ImageFont.load_default(11))
    return np.asarray(image)


def sheet(pictures: list[np.ndarray], config: PolicyConfig, columns: int = 2) -> np.ndarray:
    """Pictures of equal size side by side, under a legend, as one (H, W, 3) uint8."""
    height, width = pictures[0].shape[:2]
    rows, gap, legend = -(-len(pictures) // columns), 6, 22
    columns = min(columns, len(pictures))
    image = Image.new(
        "RGB", (columns * (width + gap) + gap, legend + rows * (height + gap)), (200, 200, 200)
    )
    for k, picture in enumerate(pictures):
        image.paste(
            Image.fromarray(picture),
            (gap + k % columns * (width + gap), legend + k // columns * (height + gap)),
        )
    draw, font, x = ImageDraw.Draw(image), ImageFont.load_default(12), 8
    seconds = config.waypoints * config.waypoint_dt_s
    entries = (
        (TRUTH, f"where it went, {seconds:g} s"),
        (BEST, "scored best"),
        (OTHER, "other modes, faint: low score"),
        (GOAL, "goal (ring: farther, that way)"),
    )
    for colour, text in entries:
        draw.ellipse((x, 6, x + 10, 16), fill=colour)
        draw.text((x + 14, 4), text, "black", font)
        x += 32 + int(draw.textlength(text, font))
    return np.asarray(image)


class FanSheet:
    """A few fixed samples, with their frames, to draw what a policy predicts of them again and
    again.

    Args:
        config: the policy's. samples: of which `pick` takes some.
    """

    def __init__(self, config: PolicyConfig, samples: Samples):
        self.config, self.index = config, pick(samples.future)
        begins = np.concatenate([[0], np.cumsum([len(w) for w in samples.walks])])
        self.walks = [samples.walks[i] for i in samples.walk[self.index]]
        self.at = samples.frame[self.index] - begins[samples.walk[self.index]]
        self.frames = [
            next(iter(w.frames.images([int(t)]))) for w, t in zip(self.walks, self.at, strict=True)
        ]

    def draw(self, predict: Callable[[np.ndarray], tuple[Modes, Batch]]) -> np.ndarray:
        """The sheet of all of them, (H, W, 3) uint8; `predict` maps their indices to what the
        policy predicts, and the batch.
        """
        modes, batch = predict(self.index)
        metric = modes.metric(self.config.waypoint_dt_s).cpu().numpy()
        scores = modes.logits.softmax(-1).cpu().numpy()
        future, pictures = batch.future.numpy(), []
        for k, (walk, at, frame) in enumerate(zip(self.walks, self.at, self.frames, strict=True)):
            error = np.linalg.norm(metric[k, scores[k].argmax()] - future[k], axis=-1).mean()
            seconds = walk.times[at] - walk.times[0]
            title = f"{walk.name[-40:]}, {seconds:.1f} s, ADE {error:.2f} m"
            fan = metric[k], scores[k], future[k], batch.goal_xy[k]
            pictures.append(fan_picture(frame, walk.body, *fan, title))
        return sheet(pictures, self.config)
