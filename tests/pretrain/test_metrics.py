import numpy as np
import pytest

from s2e.config import PRESETS
from s2e.pretrain.metrics import constant_velocity, open_loop, straight_to_goal, waypoint_cosine

CONFIG = PRESETS["laptop"]


def test_hand_computed():
    future = np.array([[[1.0, 0], [2, 0]]])
    predicted = np.array([[[1.0, 0], [2, 1]]])
    row = open_loop(predicted, future, np.stack([predicted, future], 1))
    assert row["ade_m"] == pytest.approx(0.5) and row["fde_m"] == pytest.approx(1.0)
    assert row["cos"] == pytest.approx((1 + 2 / np.sqrt(5)) / 2)
    assert row["min_ade_m"] == 0 and row["min_fde_m"] == 0


def test_standing_still_has_no_direction():
    future = np.array([[[0.0, 0], [0.01, 0]], [[0.0, 0], [1, 0]]])
    cosine = waypoint_cosine(np.array([[[1.0, 0], [1, 0]], [[0, 1], [0, 1]]]), future)
    assert np.isnan(cosine[0]) and cosine[1] == pytest.approx(0)


def test_constant_velocity_is_integrated_motion():
    ego = np.array([[1.0, 0.5, 0.5], [0.7, 0.0, 0.0], [0.4, -1.3, 0]])
    predicted = constant_velocity(ego, CONFIG)
    pose, dt = np.zeros((3, 3)), 1e-4
    for _ in range(round(2.0 / dt)):
        pose += dt * np.stack([ego[:, 0] * np.cos(pose[:, 2]), ego[:, 0] * np.sin(pose[:, 2]), ego[:, 1]], 1)
    np.testing.assert_allclose(predicted[:, -1], pose[:, :2], atol=1e-3)


def test_straight_to_goal_stops_there():
    predicted = straight_to_goal(np.array([[0.0, 0.5]]), np.array([[1.0, 0, 0]]), CONFIG)
    np.testing.assert_allclose(predicted[0, -1], [0, 0.5])
    np.testing.assert_allclose(predicted[0, 0], [0, 0.2])
