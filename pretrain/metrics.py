"""Open-loop metrics on held-out walks, and the baselines beside them.

ADE, FDE: mean and final displacement in metres of the best-scored trajectory (minADE, minFDE: of the best of M).
cos: mean cosine between predicted and true waypoints, the `action_waypts_cos_sim` of GNM; waypoints within 5 cm of the robot have
no direction and are left out.
"""

import numpy as np

from s2e.config import PolicyConfig

STILL_M = 0.05


def displacement(predicted: np.ndarray, future: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., T, 2) against (..., T, 2): mean and final distance, each (...)."""
    error = np.linalg.norm(predicted - future, axis=-1)
    return error.mean(-1), error[..., -1]


def waypoint_cosine(predicted: np.ndarray, future: np.ndarray) -> np.ndarray:
    """(B,) mean cosine over the moving waypoints of (B, T, 2); NaN where none moves."""
    size = np.linalg.norm(predicted, axis=-1) * np.linalg.norm(future, axis=-1)
    cosine = (predicted * future).sum(-1) / np.maximum(size, 1e-9)
    moving = np.linalg.norm(future, axis=-1) > STILL_M
    return np.where(moving.any(-1), (cosine * moving).sum(-1) / np.maximum(moving.sum(-1), 1), np.nan)


def constant_velocity(ego: np.ndarray, config: PolicyConfig) -> np.ndarray:
    """(B, 3) ego states to (B, T, 2): the robot keeps its speed and its yaw rate."""
    t = config.waypoint_dt_s * np.arange(1, config.waypoints + 1)
    v, omega = ego[:, :1], ego[:, 1:2]
    angle = omega * t
    small = np.abs(angle) < 1e-6
    radius = v / np.where(np.abs(omega) < 1e-9, 1e-9, omega)
    x = np.where(small, v * t, radius * np.sin(angle))
    y = np.where(small, 0.0, radius * (1 - np.cos(angle)))
    return np.stack([x, y], -1)


def straight_to_goal(goal_xy: np.ndarray, ego: np.ndarray, config: PolicyConfig) -> np.ndarray:
    """(B, 2) goals to (B, T, 2): straight at the goal with the present speed, and no farther."""
    t = config.waypoint_dt_s * np.arange(1, config.waypoints + 1)
    distance = np.linalg.norm(goal_xy, axis=-1, keepdims=True)
    # A robot that stands has a direction too: a nominal 5 cm/s keeps the cosine defined.
    along = np.minimum(np.maximum(ego[:, :1], 0.05) * t, distance)
    return (goal_xy / np.maximum(distance, 1e-9))[:, None] * along[..., None]


def open_loop(predicted: np.ndarray, future: np.ndarray, candidates: np.ndarray | None = None) -> dict[str, float]:
    """Metrics of (B, T, 2) predictions; with (B, M, T, 2) candidates also the best of M."""
    ade, fde = displacement(predicted, future)
    result = {"ade_m": ade.mean(), "fde_m": fde.mean(), "cos": np.nanmean(waypoint_cosine(predicted, future))}
    if candidates is not None:
        each_ade, each_fde = displacement(candidates, future[:, None])
        result |= {"min_ade_m": each_ade.min(1).mean(), "min_fde_m": each_fde.min(1).mean()}
    return {k: float(v) for k, v in result.items()}


def format_rows(rows: dict[str, dict[str, float]]) -> str:
    """A plain table: one line per predictor."""
    lines = [f"{'':18}{'ADE m':>8}{'FDE m':>8}{'cos':>8}{'minADE':>8}{'minFDE':>8}"]
    for name, row in rows.items():
        cells = [row.get(k) for k in ("ade_m", "fde_m", "cos", "min_ade_m", "min_fde_m")]
        lines.append(f"{name:18}" + "".join(f"{c:8.3f}" if c is not None else f"{'':>8}" for c in cells))
    return "\n".join(lines)
