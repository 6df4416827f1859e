from pathlib import Path

import numpy as np
import pytest

from s2e.envs.people import People
from s2e.envs.tracks import MOST_BYTES, read_tracks, replay
from s2e.errors import UserError

DATA = Path(__file__).parents[3] / "shared" / "data" / "crowds"


def written(folder: Path, rows) -> Path:
    path = folder / "obsmat.txt"
    path.write_text("".join(" ".join(f"{v:.7e}" for v in row) + "\n" for row in rows))
    return path


def rows_of(people: dict[int, tuple[list[int], tuple[float, float], tuple[float, float]]]):
    """Rows for {id: (frames, position at frame 0, velocity in m per frame number)}, in the order of frames."""
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
        tracks = read_tracks(written(tmp_path, rows_of({3: (frames, (0.0, 1.0), (0.4 / step, 0.0))})))
        np.testing.assert_allclose(tracks.duration_s, 2.0)
        np.testing.assert_allclose(tracks.points[:, 2:], np.tile([1.0, 0.0], (6, 1)), atol=1e-6)
        positions, velocities, active, ids = one_world(tracks, 0.9, [-1, -1])
        assert active.tolist() == [True, False] and ids.tolist() == [0, -1] and tracks.person.tolist() == [3]
        np.testing.assert_allclose(positions[0] + tracks.centre, [0.4 / step * 100 + 0.9, 1.0], atol=1e-6)
        np.testing.assert_allclose(velocities[0], [1.0, 0.0], atol=1e-6)
        assert not one_world(tracks, 2.01, [0, -1])[2].any() and not one_world(tracks, -0.01, [0, -1])[2].any()


def test_short_gaps_are_walked_and_long_ones_make_two_people(tmp_path):
    frames = [0, 10, 20, 60, 70, 130, 140]  # 1.6 s of gap, then 2.4 s
    keep = {1: (list(range(0, 200, 10)), (0.0, 5.0), (0.0, 0.0)), 2: (frames, (0.0, 0.0), (0.05, 0.0)), 9: ([50], (1.0, 1.0), (0, 0))}
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
    people = {k: (frames, (0.0, float(k)), (0.0, 0.0)) for k in (1, 2, 3)} | {4: (frames, (0.0, 2.1), (-0.01, 0.0))}
    tracks = read_tracks(written(tmp_path, rows_of(people)))
    way = np.array([[-5.0, 2.2], [5.0, 2.2]]) - tracks.centre
    assert one_world(tracks, 0.0, [-1, -1], way)[3].tolist() == [3, 1]  # tracks in the order of ids
    far = way + np.array([0.0, 9.0])
    assert one_world(tracks, 4.0, [3, 1], far)[3].tolist() == [3, 1]
    assert one_world(tracks, 4.0, [-1, 1], far)[3].tolist() == [2, 1]
    assert one_world(tracks, 4.0, [-1] * 6, way)[3].tolist() == [3, 1, 2, 0, -1, -1]


def test_worlds_have_places_of_their_own(tmp_path):
    frames = list(range(0, 100, 10))
    tracks = read_tracks(written(tmp_path, rows_of({1: (frames, (0.0, 0.0), (0.04, 0.0)), 2: (frames, (0.0, 3.0), (0.0, 0.02))})))
    origin, rotation, way = np.array([[0.0, 0.0], [10.0, -2.0]]), np.array([0.0, np.pi / 2]), np.zeros((2, 2, 2))
    positions, velocities, _, ids = tracks.at(np.array([1.0, 1.0]), origin, rotation, way, np.full((2, 2), -1))
    for k in range(2):
        p, v = positions[0, ids[0] == k][0], velocities[0, ids[0] == k][0]
        np.testing.assert_allclose(positions[1, ids[1] == k][0], [10.0 - p[1], -2.0 + p[0]], atol=1e-9)
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
    again.load({k: v.copy() for k, v in people.arrays().items()})
    for p in (people, again):
        replay(p, tracks, np.full(2, 2.1), *given, 0.1)
    np.testing.assert_array_equal(people.real, again.real)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no rows"),
        ("\n \n", "no rows"),
        ("1 1 0 0 0 0 0 0\n2 1 0 0 0 0 0\n", ":2: 7 columns, 8 expected"),
        ("1 1 0 0 0 0 0 0\n2 1 0 0 zero 0 0 0\n", ":2: not numbers"),
        ("1 1 0 0 0 0 0 0\n2 1 nan 0 0 0 0 0\n", ":2: a value is not finite"),
        ("1 1 0 0 0 0 0 0\n2 1 0 0 inf 0 0 0\n", ":2: a value is not finite"),
        ("1 1 0 0 0 0 0 0\n\n7 1 0 0 0 0 0 0\n6 1 0 0 0 0 0 0\n", ":4: frame 6 after frame 7"),
        ("1 1 0 0 0 0 0 0\n1 1 0 0 0 0 0 0\n", ":2: person 1 twice in frame 1"),
        ("1 1.5 0 0 0 0 0 0\n", ":1: person 1.5 is not a whole number"),
        ("1 1 0 0 0 0 0 0\n1 2 0 0 0 0 0 0\n", "a single frame"),
        ("1 1 0 0 0 0 0 0\n2 2 0 0 0 0 0 0\n", "nobody is seen in two frames"),
        ("\xff\x00\x01 binary", ":1: 2 columns"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, text, message):
    path = tmp_path / "obsmat.txt"
    path.write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=message):
        read_tracks(path)


def test_missing_and_huge_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_tracks(tmp_path / "none.txt")
    with pytest.raises(UserError, match="cannot be read"):
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
    # At every annotated frame of some, positions are the file's, and velocities nearly (theirs are smoothed).
    for frame in np.unique(rows[:, 0])[50:400:50]:
        here = rows[rows[:, 0] == frame]
        time = (frame - rows[0, 0]) / step * 0.4
        positions, velocities, active, ids = one_world(tracks, time, [-1] * 40)
        found = {tracks.person[i]: (p + tracks.centre, v) for i, p, v in zip(ids[active], positions[active], velocities[active])}
        for row in here:
            if row[1] in found:
                np.testing.assert_allclose(found[row[1]][0], row[[2, 4]], atol=0.02)
        assert len(found) >= len(here) - 1
