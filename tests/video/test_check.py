from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.video.check import Finding, Row, check_walk, check_walks, kept, look, runs, span, table_of
from s2e.video.walk import Walk
from tests.video.made_walks import Pictures, changed, make


def images_of(walk):
    assert isinstance(walk.frames, Pictures)
    return walk.frames.list


def found(walk, kinds=None):
    findings = check_walk(walk, look(walk))
    return {f.kind: f for f in findings if kinds is None or f.kind in kinds}


@pytest.mark.parametrize("hz", [4, 5, 10, 30])
def test_a_good_walk_has_no_findings(hz):
    walk = make(hz=hz)
    findings = check_walk(walk, look(walk))
    assert findings == [] and kept(walk, findings) == [walk]


def test_noise_of_the_poses_is_no_finding():
    rng = np.random.default_rng(1)
    walk = make()
    walk = changed(
        walk,
        position=walk.position + rng.normal(0, 0.02, walk.position.shape),
        yaw=walk.yaw + rng.normal(0, 0.05, 100),
    )
    assert found(walk) == {}


def test_a_gap_cuts():
    walk = make()
    walk = changed(walk, times=walk.times + 2.0 * (np.arange(100) >= 40))
    f = found(walk)
    assert (
        f["gap"].frame == f["gap"].until == 40
        and f["gap"].value == pytest.approx(2.1)
        and f["gap"].drop
    )
    assert [len(p) for p in kept(walk, list(f.values()))] == [40, 60]


def test_irregular_times_are_told():
    rng = np.random.default_rng(0)
    walk = make()
    f = found(changed(walk, times=np.cumsum(rng.uniform(0.02, 0.18, 100))))
    assert not f["irregular"].drop and 0.3 < f["irregular"].value <= 1


def test_a_jump_cuts_and_a_fast_walk_does_not():
    walk = make()
    jumped = walk.position + np.array([2.0, 0]) * (np.arange(100) >= 50)[:, None]
    f = found(changed(walk, position=jumped))
    assert set(f) == {"jump"} and f["jump"].frame == 50 and 1.8 < f["jump"].value < 2.2
    assert found(changed(walk, position=walk.position * 2.5)) == {}


def test_a_yaw_jump_cuts_and_crossing_pi_does_not():
    walk = make()
    f = found(changed(walk, yaw=walk.yaw + 1.0 * (np.arange(100) == 30)))
    assert f["yaw jump"].drop and f["yaw jump"].frame in (30, 31)
    turned = np.pi - 0.1  # the same walk in a frame turned by this, its yaw wrapped
    c, s = np.cos(turned), np.sin(turned)
    wrapped = np.mod(walk.yaw + turned + np.pi, 2 * np.pi) - np.pi
    assert (
        found(changed(walk, position=walk.position @ np.array([[c, s], [-s, c]]), yaw=wrapped))
        == {}
    )


def test_standing_still():
    stands = np.minimum(np.arange(300), 30 + np.maximum(np.arange(300) - 250, 0))
    walk = make(81)
    walk = Walk(
        "w",
        Path("w"),
        make(300).frames,
        np.arange(300) / 10,
        walk.position[stands],
        walk.yaw[stands],
    )
    f = found(walk)
    assert 0.6 < f["still"].value < 0.8 and not f["still"].drop
    long = f["long stand"]
    assert (
        long.value == pytest.approx(22, abs=1.5)
        and 45 <= long.frame <= 55
        and 225 <= long.until <= 235
    )
    assert sum(map(len, kept(walk, list(f.values())))) == 300 - (long.until - long.frame)


def test_turning_in_place_is_not_standing():
    walk = make(200)
    f = found(changed(walk, position=np.zeros((200, 2)), yaw=0.5 * walk.times))
    assert "still" not in f and "long stand" not in f and "scale" not in f


@pytest.mark.parametrize("factor", [0.01, 0.001])
def test_a_winding_path_in_other_units_is_no_turn_on_the_spot(factor):
    walk = make(250)
    yaw = 1.2 * np.sin(0.5 * walk.times)
    position = np.cumsum(0.1 * np.stack([np.cos(yaw), np.sin(yaw)], 1), 0)
    assert np.abs(np.diff(yaw)).sum() > 2 * np.pi
    assert found(changed(walk, position=position * factor, yaw=yaw))["scale"].drop


def test_a_turn_on_the_spot_may_be_noisy():
    walk = make(200)
    noise = np.random.default_rng(0).normal(0, 0.01, (200, 2))
    assert "scale" not in found(changed(walk, position=noise, yaw=0.5 * walk.times))


@pytest.mark.parametrize(
    "factor, drop", [(0.001, True), (0.01, True), (12.0, True), (0.5, False), (3.0, False)]
)
def test_wrong_scale(factor, drop):
    walk = make()
    f = found(changed(walk, position=walk.position * factor))
    assert ("scale" in f) == drop and ("--scale" in f["scale"].text if drop else True)


def rotated(walk, angle):
    return changed(walk, yaw=walk.yaw + angle)


def test_a_turned_frame_is_told_from_driving_backwards():
    walk = make()
    assert "turned" in found(rotated(walk, np.pi / 2))["yaw"].text and found(
        rotated(walk, np.pi / 2)
    )["yaw"].value == pytest.approx(-90, abs=5)
    assert "backwards" in found(rotated(walk, np.pi))["yaw"].text
    assert "yaw" not in found(rotated(walk, np.radians(20)))
    assert all(found(rotated(walk, a))["yaw"].drop for a in (np.pi / 2, np.pi))


def test_a_clockwise_yaw_and_swapped_axes_are_told():
    circle = make(200)
    angle = 0.4 * circle.times
    position = np.stack([np.sin(angle), 1 - np.cos(angle)], 1) / 0.4
    good = changed(circle, position=position, yaw=angle)
    assert "yaw" not in found(good)
    assert "clockwise" in found(changed(good, yaw=-angle))["yaw"].text
    swapped = found(changed(good, position=position[:, ::-1]))["yaw"]
    assert swapped.drop and "swapped" in swapped.text


def test_some_reversing_is_told_only():
    walk = make()
    back = np.concatenate([np.arange(60), np.arange(60, 35, -1), np.arange(35, 50)])
    f = found(changed(walk, position=walk.position[back], yaw=walk.yaw[back]))
    assert not f["backward"].drop and 0.15 < f["backward"].value < 0.4


def test_broken_frames_are_cut_out():
    walk = make()
    for t in (20, 50, 51, 52):
        images_of(walk)[t] = None
    findings = check_walk(walk, look(walk))
    assert [(f.kind, f.frame, f.until) for f in findings] == [
        ("broken", 20, 21),
        ("broken", 50, 53),
    ] and "20.jpg" in findings[0].text
    assert [len(p) for p in kept(walk, findings)] == [20, 29, 47]


def test_a_walk_of_broken_frames_is_given_up():
    walk, seen = make(), []
    images_of(walk)[:] = [None] * 100
    pictures = look(walk, seen.append)
    assert len(pictures.errors) == 100 and sum(seen) == 100
    assert kept(walk, check_walk(walk, pictures)) == []


def test_fewer_frames_than_announced():
    walk = make()

    class Short(Pictures):
        def images(self, which):
            yield from super().images([t for t in which if t < 90])

    walk = changed(walk, frames=Short(images_of(walk)))
    assert found(walk)["broken"].frame == 90


def test_frozen_pictures_while_moving_and_not_while_standing():
    walk = make()
    for t in range(31, 41):
        images_of(walk)[t] = images_of(walk)[30]
    f = found(walk)
    assert (
        set(f) == {"frozen"}
        and (f["frozen"].frame, f["frozen"].until) == (31, 41)
        and f["frozen"].value == pytest.approx(1, abs=0.3)
    )
    stands = changed(
        walk,
        position=np.concatenate(
            [walk.position[:30], np.repeat(walk.position[30:31], 12, 0), walk.position[31:89]]
        ),
    )
    assert "frozen" not in found(stands)


def test_a_camera_slower_than_the_poses_is_told():
    walk = make()
    images_of(walk)[1::2] = images_of(walk)[0::2]
    f = found(walk)
    assert (
        set(f) == {"repeats"}
        and f["repeats"].value == pytest.approx(0.5, abs=0.02)
        and not f["repeats"].drop
    )


def test_black_white_and_plain_frames():
    walk = make()
    for t, level in ((10, 0), (11, 2), (40, 255), (60, 128)):
        images_of(walk)[t] = np.full((24, 32, 3), level, np.uint8)
    f = found(walk)
    assert {(k, x.frame, x.until) for k, x in f.items()} == {
        ("black", 10, 12),
        ("white", 40, 41),
        ("one colour", 60, 61),
    }
    assert {k for k, x in f.items() if x.drop} == {"black", "white"}


def test_mixed_sizes_and_notes_are_told():
    walk = changed(make(), note="110 images, 100 poses")
    images_of(walk)[70] = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    f = found(walk)
    assert f["sizes"].frame == 70 and "1 of 64 x 48" in f["sizes"].text and not f["sizes"].drop
    assert f["note"].text == walk.note and not f["note"].drop


def test_the_same_pictures_under_two_names():
    walks = [make(name="a"), make(name="b"), make(name="c", seed=1)]
    result = list(check_walks(walks))
    assert [[f.kind for f in findings] for _, findings in result] == [[], ["copy"], []]
    assert kept(walks[1], result[1][1]) == [] and "as a" in result[1][1][0].text


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_the_stretches(mask):
    again = np.zeros(len(mask), dtype=bool)
    for a, b in runs(np.array(mask, dtype=bool)):
        assert b > a and not again[a:b].any()
        again[a:b] = True
    assert again.tolist() == mask


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_poses_are_checked_without_an_error(data):
    frames = data.draw(st.integers(8, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scale = data.draw(st.sampled_from([0.0, 1e-6, 1.0, 1e3, 1e9]))
    walk = make(frames)
    times = np.cumsum(
        rng.exponential(data.draw(st.sampled_from([1e-6, 0.1, 100.0])), frames) + 1e-9
    )
    walk = changed(
        walk,
        times=times,
        position=rng.normal(0, 1, (frames, 2)) * scale,
        yaw=rng.normal(0, 3, frames),
    )
    findings = check_walk(walk, look(walk))
    assert all(
        0 <= f.frame <= frames
        and 0 <= f.until <= frames
        and np.isfinite(f.value)
        and "\n" not in f.text
        for f in findings
    )
    pieces = kept(walk, findings)
    assert sum(map(len, pieces)) <= frames and all(len(p) >= 8 for p in pieces)


def test_the_table_adds_up():
    row, walk = Row("d", walks=2), make()
    row.count(walk, [walk.part(np.arange(50))])
    row.count(walk, [])
    assert (row.frames, row.kept_frames, row.kept_walks) == (200, 50, 1)
    assert table_of([row])[-1].split() == [
        "d",
        "2",
        "200",
        "0.3",
        "0.021",
        "1",
        "50",
        "0.1",
        "0.005",
    ]
    assert [
        span(Finding("w", "k", a, b, 0, "", True)) for a, b in ((0, 0), (3, 3), (3, 4), (3, 9))
    ] == [
        "",
        "frame 3: ",
        "frame 3: ",
        "frames 3 to 8: ",
    ]


def test_the_real_walks_are_kept_whole():
    import os

    from s2e.video.readers.formats import read_walks

    place = (
        Path(
            os.environ.get("S2E_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")
        )
        / "gnm"
        / "go2"
    )
    if not place.is_dir():
        pytest.skip("the real walks are not here")
    walks = read_walks([place])[0]
    assert [f.kind for w in walks for f in check_walk(w) if f.drop] == []
