import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.people.people import People
from s2e.envs.people.tracks import MOST_BYTES, read_tracks, replay

DATA = Path(__file__).parents[4] / "shared" / "data" / "crowds"


def written(folder: Path, rows) -> Path:
    path = folder / "obsmat.txt"
    path.write_text("".join(" ".join(f"{v:.7e}" for v in row) + "\n" for row in rows))
    return path


def rows_of(people: dict[int, tuple[list[int], tuple[float, float], tuple[float, float]]]):
    """Rows for {id: (frames, position at frame 0, velocity in m per frame number)}, in the order of
    frames."""
    rows = [
        (frame, who, at[0] + v[0] * frame, 0.0, at[1] + v[1] * frame, v[0], 0.0, v[1])
        for who, (frames, at, v) in people.items()
        for frame in frames
    ]
    return sorted(rows, key=lambda r: (r[0], r[1]))


def one_world(tracks, time, ids, way=((0, 0), (1, 0)), origin=(0, 0), rotation=0.0):
    placed = np.array([origin], float), np.array([rotation], float), np.array([way], float)
    positions, velocities, active, ids = tracks.at(np.array([time]), *placed, np.array(ids)[None])
    return positions[0], velocities[0], active[0], ids[0]


def test_frames_are_seconds_whatever_their_step(tmp_path):
    for step in (6, 10):
        frames = [100 + step * k for k in range(6)]
        tracks = read_tracks(
            written(tmp_path, rows_of({3: (frames, (0.0, 1.0), (0.4 / step, 0.0))}))
        )
        np.testing.assert_allclose(tracks.duration_s, 2.0)
        np.testing.assert_allclose(tracks.points[:, 2:], np.tile([1.0, 0.0], (6, 1)), atol=1e-6)
        positions, velocities, active, ids = one_world(tracks, 0.9, [-1, -1])
        assert (
            active.tolist() == [True, False]
            and ids.tolist() == [0, -1]
            and tracks.person.tolist() == [3]
        )
        np.testing.assert_allclose(
            positions[0] + tracks.centre, [0.4 / step * 100 + 0.9, 1.0], atol=1e-6
        )
        np.testing.assert_allclose(velocities[0], [1.0, 0.0], atol=1e-6)
        assert (
            not one_world(tracks, 2.01, [0, -1])[2].any()
            and not one_world(tracks, -0.01, [0, -1])[2].any()
        )


def test_short_gaps_are_walked_and_long_ones_make_two_people(tmp_path):
    frames = [0, 10, 20, 60, 70, 130, 140]  # 1.6 s of gap, then 2.4 s
    keep = {
        1: (list(range(0, 200, 10)), (0.0, 5.0), (0.0, 0.0)),
        2: (frames, (0.0, 0.0), (0.05, 0.0)),
        9: ([50], (1.0, 1.0), (0, 0)),
    }
    tracks = read_tracks(written(tmp_path, rows_of(keep)))
    assert tracks.person.tolist() == [1, 2, 2]
    np.testing.assert_allclose(tracks.start_s, [0.0, 0.0, 5.2])
    np.testing.assert_allclose(np.diff(tracks.first), [20, 8, 2])
    positions, _, active, ids = one_world(tracks, 1.6, [-1, 1])
    np.testing.assert_allclose(positions[1] + tracks.centre, [2.0, 0.0], atol=1e-6)
    assert ids.tolist() == [0, 1] and active.all()
    assert one_world(tracks, 4.0, [0, 1])[3].tolist() == [0, -1]
    assert one_world(tracks, 5.3, [0, -1])[3].tolist() == [0, 2]


def test_slots_go_to_the_nearest_of_the_way_and_are_kept(tmp_path):
    frames = list(range(0, 200, 10))
    people = {k: (frames, (0.0, float(k)), (0.0, 0.0)) for k in (1, 2, 3)} | {
        4: (frames, (0.0, 2.1), (-0.01, 0.0))
    }
    tracks = read_tracks(written(tmp_path, rows_of(people)))
    way = np.array([[-5.0, 2.2], [5.0, 2.2]]) - tracks.centre
    assert one_world(tracks, 0.0, [-1, -1], way)[3].tolist() == [3, 1]  # tracks in the order of ids
    far = way + np.array([0.0, 9.0])
    assert one_world(tracks, 4.0, [3, 1], far)[3].tolist() == [3, 1]
    assert one_world(tracks, 4.0, [-1, 1], far)[3].tolist() == [2, 1]
    assert one_world(tracks, 4.0, [-1] * 6, way)[3].tolist() == [3, 1, 2, 0, -1, -1]


def test_worlds_have_places_of_their_own(tmp_path):
    frames = list(range(0, 100, 10))
    tracks = read_tracks(
        written(
            tmp_path,
            rows_of({1: (frames, (0.0, 0.0), (0.04, 0.0)), 2: (frames, (0.0, 3.0), (0.0, 0.02))}),
        )
    )
    origin, rotation, way = (
        np.array([[0.0, 0.0], [10.0, -2.0]]),
        np.array([0.0, np.pi / 2]),
        np.zeros((2, 2, 2)),
    )
    positions, velocities, _, ids = tracks.at(
        np.array([1.0, 1.0]), origin, rotation, way, np.full((2, 2), -1)
    )
    for k in range(2):
        p, v = positions[0, ids[0] == k][0], velocities[0, ids[0] == k][0]
        np.testing.assert_allclose(
            positions[1, ids[1] == k][0], [10.0 - p[1], -2.0 + p[0]], atol=1e-9
        )
        np.testing.assert_allclose(velocities[1, ids[1] == k][0], [-v[1], v[0]], atol=1e-9)
    alone = tracks.at(np.array([1.0]), origin[1:], rotation[1:], way[1:], np.full((1, 2), -1))
    np.testing.assert_array_equal(alone[0][0], positions[1])


def test_replayed_people_turn_and_stride_and_can_be_saved(tmp_path):
    frames = list(range(0, 100, 10))
    tracks = read_tracks(written(tmp_path, rows_of({1: (frames, (0.0, 0.0), (0.0, 0.04))})))
    people, still = People.empty(2, 3), People.empty(2, 3)
    given = np.zeros((2, 2)), np.zeros(2), np.zeros((2, 2, 2))
    for k in range(20):
        replay(people, tracks, np.full(2, 0.1 * k), *given, 0.1, moving=np.array([True, False]))
    assert people.active.tolist() == [[True, False, False], [False] * 3]
    np.testing.assert_allclose(people.yaw[0, 0], np.pi / 2)
    np.testing.assert_allclose(people.gait[0, 0], 1.9 * 4.2, atol=1e-6)
    np.testing.assert_array_equal(people.real[1], still.real[1])
    again = People.empty(2, 3)
    again.restore({k: v.copy() for k, v in people.arrays().items()})
    for p in (people, again):
        replay(p, tracks, np.full(2, 2.1), *given, 0.1)
    np.testing.assert_array_equal(people.real, again.real)


@pytest.mark.parametrize("angle", [0.9, 2.6, np.pi, -2.2])
def test_people_of_a_turned_recording_turn_with_it(tmp_path, angle):
    """Also over half a turn, where angles jump: somebody who walks around a circle."""
    rows = [(10 * k, 1, 3 * np.cos(0.2 * k), 0.0, 3 * np.sin(0.2 * k), 0, 0, 0) for k in range(32)]
    tracks = read_tracks(written(tmp_path, rows))
    people = {turn: People.empty(1, 1) for turn in (0.0, angle)}
    c, s = np.cos(angle), np.sin(angle)
    for k in range(110):
        for turn, there in people.items():
            replay(
                there,
                tracks,
                np.full(1, 0.1 * k),
                np.zeros((1, 2)),
                np.full(1, turn),
                np.zeros((1, 2, 2)),
                0.1,
            )
        here, turned = people.values()
        np.testing.assert_allclose(
            turned.position[0], here.position[0] @ [[c, s], [-s, c]], atol=1e-9
        )
        np.testing.assert_allclose(
            turned.velocity[0], here.velocity[0] @ [[c, s], [-s, c]], atol=1e-9
        )
        assert np.cos(turned.yaw[0, 0] - here.yaw[0, 0] - angle) == pytest.approx(1.0, abs=1e-9)
        course = np.arctan2(here.velocity[0, 0, 1], here.velocity[0, 0, 0])
        assert np.cos(here.yaw[0, 0] - course) > 0.9, "looks where it walks"


def walkers(count=4, frames=12, factor=1.0, step=10):
    """Rows of people who walk ahead at about 1.3 m/s, in units of 1 / factor metres."""
    return np.array(
        [
            (step * f, p, factor * (0.5 * f + p), 0.0, factor * p, 0.0, 0.0, 0.0)
            for f in range(frames)
            for p in range(count)
        ]
    )


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("person", "start_s", "first", "points", "centre")
    )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(48)), st.sampled_from([" ", "\t", ",", " , ", ";"]), st.booleans())
def test_rows_may_come_in_any_order(tmp_path, order, between, mark):
    rows = walkers()
    usual = read_tracks(written(tmp_path, rows))
    path = tmp_path / "mixed.txt"
    lines = "".join(between.join(f"{v:.7e}" for v in row) + "\n" for row in rows[order])
    path.write_text(lines, encoding="utf-8-sig" if mark else "utf-8")
    assert same(read_tracks(path), usual) and np.diff(usual.first).tolist() == [12] * 4


@pytest.mark.parametrize("clock", [(1.7e9, 1 / 15), (1.7e12, 1000 / 15), (-50, 1 / 6)])
def test_frames_may_be_times_of_a_clock(tmp_path, clock):
    rows = walkers()
    usual = read_tracks(written(tmp_path, rows))
    rows[:, 0] = clock[0] + clock[1] * rows[:, 0]
    path = tmp_path / "clock.txt"
    path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in rows.tolist()))
    clocked = read_tracks(path)
    assert np.diff(clocked.first).tolist() == [12] * 4
    np.testing.assert_allclose(clocked.points, usual.points, atol=0.01)


@pytest.mark.parametrize("between", [" ", "\t", "; ", ";"])
def test_numbers_may_have_decimal_commas(tmp_path, between):
    rows = walkers()
    path = tmp_path / "comma.txt"
    path.write_text(
        "".join(between.join(f"{v:g}".replace(".", ",") for v in row) + "\n" for row in rows)
    )
    assert same(read_tracks(path), read_tracks(written(tmp_path, rows)))


@pytest.mark.parametrize(
    "factor, text",
    [
        (100, "centimetres fit: multiply x and y by 0.01"),
        (1000, "millimetres fit"),
        (1 / 0.3048, "feet fit"),
        (0.001, "kilometres fit"),
        (30, "homography"),
        (0.1, "keep the frames that are 0.4 s apart"),
    ],
)
def test_other_units_are_said(tmp_path, factor, text):
    with pytest.raises(
        UserError, match=rf"obsmat.txt: people move at .* in metres, frames 0.4 s apart; .*{text}"
    ):
        read_tracks(written(tmp_path, walkers(factor=factor)))


def test_who_stands_or_strolls_is_in_metres(tmp_path):
    rng = np.random.default_rng(0)
    stands = walkers(factor=0.0) + np.where(np.arange(8) % 2 == 0, 0.02, 0.0) * (
        np.arange(8) > 1
    ) * rng.normal(size=(48, 8))
    assert len(read_tracks(written(tmp_path, stands)).person) == 4
    assert len(read_tracks(written(tmp_path, walkers(factor=0.0))).person) == 4
    assert len(read_tracks(written(tmp_path, walkers(factor=0.5))).person) == 4


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(
            st.one_of(st.integers(-9, 9), st.floats(), st.sampled_from(["", "x", "1e999", "#"])),
            max_size=9,
        ),
        max_size=9,
    )
)
def test_any_text_is_tracks_or_one_line(tmp_path, cells):
    path = tmp_path / "obsmat.txt"
    path.write_text("\n".join(" ".join(map(str, row)) for row in cells))
    try:
        tracks = read_tracks(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert np.isfinite(tracks.points).all() and tracks.first[-1] == len(tracks.points)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no rows"),
        ("\n \n", "no rows"),
        (
            "1 1 0 0 0 0 0 0\n2 1 0 0 0 0 0\n",
            ":2: 7 columns, 8 expected: frame id x z y vx vz vy; put 0 where a column is not known",
        ),
        ("1 1 0 0 0 0 0 0 9\n", ":1: 9 columns, 8 expected.*behind the eighth"),
        ("1 1 0 0\n", ":1: 4 columns, 8 expected.*awk"),
        ("1 1 0 0 0 0 0 0\n2 1 0 0 zero 0 0 0\n", ":2: not numbers"),
        ("frame id x z y vx vz vy\n2 1 0 0 0 0 0 0\n", ":1: not numbers.*remove a header"),
        ("1 1 0 0 0 0 0 0\n2 1 nan 0 0 0 0 0\n", ":2: a value is not finite"),
        ("1 1 0 0 0 0 0 0\n2 1 0 0 inf 0 0 0\n", ":2: a value is not finite"),
        ("1 1 0 0 0 0 0 0\n1 1 0 0 0 0 0 0\n", ":2: person 1 twice in frame 1, first in line 1"),
        (
            "1 1 0 0 0 0 0 0\n\n7 1 0 0 0 0 0 0\n1 1 0 0 0 0 0 0\n",
            ":4: person 1 twice in frame 1, first in line 1",
        ),
        ("1 1.5 0 0 0 0 0 0\n", ":1: person 1.5 is not a whole number"),
        ("1 1 0 0 0 0 0 0\n1 2 0 0 0 0 0 0\n", "a single frame"),
        ("1 1 0 0 0 0 0 0\n2 2 0 0 0 0 0 0\n", "nobody is seen in two frames"),
        ("\xff\x00\x01 binary", ":1: not numbers"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, text, message):
    path = tmp_path / "obsmat.txt"
    path.write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=message):
        read_tracks(path)


def test_missing_and_huge_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match="pipe.txt: cannot be read .it is not a file"):
        read_tracks(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_tracks(tmp_path / "none.txt")
    with pytest.raises(UserError, match="a folder; give the obsmat.txt of a recording"):
        read_tracks(tmp_path)
    for name in ("eth", "hotel"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "obsmat.txt").write_text("")
    with pytest.raises(
        UserError,
        match="a folder; give one of its recordings: .*eth/obsmat.txt, .*hotel/obsmat.txt$",
    ):
        read_tracks(tmp_path)
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(UserError, match="cut it into pieces"):
        read_tracks(huge)


@pytest.mark.skipif(not DATA.exists(), reason="needs the recordings")
@pytest.mark.parametrize("name, people, step", [("eth", 360, 6), ("hotel", 390, 10)])
def test_the_recordings_are_read_whole(name, people, step):
    path = DATA / name / "obsmat.txt"
    tracks, rows = read_tracks(path), np.loadtxt(path)
    counts = np.unique(rows[:, 1], return_counts=True)[1]
    assert len(tracks.person) == (counts > 1).sum() and len(np.unique(rows[:, 1])) == people
    np.testing.assert_allclose(tracks.duration_s, np.ptp(rows[:, 0]) / step * 0.4)
    # At every annotated frame of some, positions are the file's, and velocities nearly (theirs are
    # smoothed).
    for frame in np.unique(rows[:, 0])[50:400:50]:
        here = rows[rows[:, 0] == frame]
        time = (frame - rows[0, 0]) / step * 0.4
        positions, velocities, active, ids = one_world(tracks, time, [-1] * 40)
        found = {
            tracks.person[i]: (p + tracks.centre, v)
            for i, p, v in zip(ids[active], positions[active], velocities[active])
        }
        for row in here:
            if row[1] in found:
                np.testing.assert_allclose(found[row[1]][0], row[[2, 4]], atol=0.02)
        assert len(found) >= len(here) - 1
