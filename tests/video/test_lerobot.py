import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("av")
pytest.importorskip("pyarrow")
sys.path.insert(0, str(Path(__file__).parent))
from make_lerobot import (
    DATA,
    FRONT,
    VIDEO,
    change_episodes,
    change_info,
    change_table,
    write_dataset,
)
from make_video import number, write_mp4

from s2e.core.errors import UserError
from s2e.video.options import ReadOptions
from s2e.video.readers import lerobot, lerobot_times

OPTIONS = ReadOptions()


def data_file(root, n=0):
    return root / DATA.format(chunk_index=0, file_index=n)


def video_file(root, n=0):
    return root / VIDEO.format(video_key=FRONT, chunk_index=0, file_index=n)


@pytest.mark.parametrize("kind", ["video", "image"])
def test_every_episode_is_a_walk(tmp_path, kind):
    truth = write_dataset(tmp_path, kind=kind)
    assert lerobot.fits(tmp_path)
    walks, skipped = lerobot.read(tmp_path, OPTIONS)
    assert not skipped and [w.name for w in walks] == [
        "episode_000000",
        "episode_000001",
        "episode_000002",
    ]
    for e, (walk, (position, yaw)) in enumerate(zip(walks, truth)):
        np.testing.assert_allclose(walk.position, position, atol=1e-5)
        np.testing.assert_allclose(walk.yaw, yaw, atol=1e-5)
        np.testing.assert_allclose(walk.times, np.arange(len(yaw)) / 10, atol=1e-6)
        assert walk.body.robot == "cart" and "observation.state:x,observation.state:y" in walk.note
        assert [number(i) for i in walk.frames.images(range(len(walk)))] == [
            100 * e + t for t in range(len(walk))
        ]
        assert [number(i) for i in walk.part([3, 7, 15]).frames.images(range(3))] == [
            100 * e + t for t in (3, 7, 15)
        ]
        assert len(list(walk.frames.jpegs([0, 5]))) == 2
    assert len({w.frames.digest() for w in walks}) == 3
    half, _ = lerobot.read(tmp_path, ReadOptions(scale=0.5))
    np.testing.assert_allclose(half[1].position, truth[1][0] / 2, atol=1e-5)


@pytest.mark.parametrize("kind", ["video", "image"])
def test_the_order_of_rows_in_the_tables_says_nothing(tmp_path, kind):
    """Episodes are in the order of their numbers, and each has its own rows, whatever is written
    between them."""
    truth = write_dataset(tmp_path, lengths=(20, 25, 30), kind=kind)
    change_episodes(tmp_path, lambda rows: rows[::-1])
    change_table(
        data_file(tmp_path),
        lambda rows: sorted(rows, key=lambda r: (r["frame_index"], -r["episode_index"])),
    )
    walks, skipped = lerobot.read(tmp_path, OPTIONS)
    assert not skipped and [w.name for w in walks] == [
        "episode_000000",
        "episode_000001",
        "episode_000002",
    ]
    for e, (walk, (position, yaw)) in enumerate(zip(walks, truth)):
        np.testing.assert_allclose(walk.position, position, atol=1e-5)
        np.testing.assert_allclose(walk.yaw, yaw, atol=1e-5)
        assert [number(i) for i in walk.frames.images(range(len(walk)))] == [
            100 * e + t for t in range(len(walk))
        ]


def choose_poses(root, said):
    walks, skipped = lerobot.read(root, ReadOptions(poses=said))
    assert not skipped
    return walks[1].position, walks[1].yaw


def test_pose_columns_are_told_or_recognised(tmp_path):
    (position, yaw) = write_dataset(
        tmp_path,
        state=("yaw", "pos.y", "pos.x"),
        extra=lambda p, a: np.column_stack([a, p[:, 1], p[:, 0]]),
    )[1]
    for said in (
        "",
        "pos.x,pos.y,yaw",
        "observation.state:pos.x,pos.y,yaw",
        "observation.state:2,1,0",
    ):
        got = choose_poses(tmp_path, said)
        np.testing.assert_allclose(got[0], position, atol=1e-6)
        np.testing.assert_allclose(got[1], yaw, atol=1e-6)
    change_info(
        tmp_path,
        lambda i: i["features"]["observation.state"].update(names={"axes": ["a", "b", "c"]}),
    )
    with pytest.raises(
        UserError,
        match=r"no columns look like x, y and yaw; .* there are observation.state \(a, b, c\); "
        r"action",
    ):
        lerobot.read(tmp_path, OPTIONS)
    np.testing.assert_allclose(choose_poses(tmp_path, "c,b,a")[1], yaw, atol=1e-6)
    for said in (
        "c,b",
        "c,b,north",
        "observation.state:7,1,0",
        "c,b,a@gon",
        ":",
        ",,",
        "velocity:",
        "velocity:linear",
    ):
        with pytest.raises(UserError, match="--poses"):
            lerobot.read(tmp_path, ReadOptions(poses=said))


def test_positions_and_headings_in_features_of_their_own(tmp_path):
    (position, yaw) = write_dataset(tmp_path, lengths=(20, 20))[1]

    def split(rows):
        for row in rows:
            x, y, a = row.pop("observation.state")
            row["observation.filtered_position"], row["observation.filtered_heading"] = [x, y], a

    change_table(data_file(tmp_path), split)
    features = {"observation.filtered_position": {"dtype": "float32", "shape": [2], "names": None}}
    features["observation.filtered_heading"] = {"dtype": "float32", "shape": [1], "names": None}
    change_info(
        tmp_path, lambda i: (i["features"].pop("observation.state"), i["features"].update(features))
    )
    for said in ("", "observation.filtered_position,observation.filtered_heading"):
        got = choose_poses(tmp_path, said)
        np.testing.assert_allclose(got[0], position, atol=1e-6)
        np.testing.assert_allclose(got[1], yaw, atol=1e-6)


def test_latitude_longitude_and_compass(tmp_path):
    def geographic(position, yaw):  # a sphere of the right size is near enough to check against
        lat, lon = (
            48.0 + np.degrees(position[:, 1] / 6.366e6),
            179.9999 + np.degrees(position[:, 0] / 6.389e6 / np.cos(np.radians(48))),
        )
        return np.column_stack([lat, (lon + 180) % 360 - 180, np.degrees(np.pi / 2 - yaw) % 360])

    (position, yaw) = write_dataset(
        tmp_path, lengths=(20, 200), state=("latitude", "longitude", "heading"), extra=geographic
    )[1]
    for said in ("", "latitude,longitude,heading"):
        got = choose_poses(tmp_path, said)
        np.testing.assert_allclose(got[0], position, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(np.cos(got[1] - yaw), 1, atol=1e-9)
    with pytest.raises(AssertionError):
        choose_poses(tmp_path, "latitude,longitude,heading@deg")
    _, skipped = lerobot.read(tmp_path, ReadOptions(poses="latitude,longitude,heading@deg"))
    assert any("fits the motion in compass, not in deg; add @compass" in s.reason for s in skipped)


def test_velocities_are_integrated(tmp_path):
    position, yaw = write_dataset(tmp_path)[1]
    got = choose_poses(tmp_path, "velocity:linear,angular")
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    np.testing.assert_allclose(got[0] @ turn.T, position, atol=1e-5)
    np.testing.assert_allclose(got[1] + 0.3, yaw, atol=1e-5)


def test_degrees_are_noticed(tmp_path):
    write_dataset(
        tmp_path, lengths=(20, 120), extra=lambda p, a: np.column_stack([p, np.degrees(a)])
    )
    _, skipped = lerobot.read(tmp_path, OPTIONS)
    assert any("add @deg" in s.reason for s in skipped)
    walks, skipped = lerobot.read(tmp_path, ReadOptions(poses="x,y,yaw@deg"))
    assert len(walks) == 2 and not skipped and walks[1].yaw[-1] == pytest.approx(0.3 + 0.2 * 11.9)


def test_one_camera_of_several(tmp_path):
    write_dataset(tmp_path)
    change_info(
        tmp_path, lambda i: i["features"].update({"observation.images.rear": i["features"][FRONT]})
    )
    with pytest.raises(
        UserError, match=rf"2 videos or images; .*--image: {FRONT}, observation.images.rear"
    ):
        lerobot.read(tmp_path, OPTIONS)
    walks, _ = lerobot.read(tmp_path, ReadOptions(image=FRONT))
    assert len(walks) == 3
    with pytest.raises(UserError, match="no such video"):
        lerobot.read(tmp_path, ReadOptions(image="observation.images.top"))
    depth = {
        **json.loads((tmp_path / "meta" / "info.json").read_text())["features"][FRONT],
        "info": {"video.is_depth_map": True},
    }
    change_info(tmp_path, lambda i: i["features"].update({"observation.images.rear": depth}))
    assert len(lerobot.read(tmp_path, OPTIONS)[0]) == 3


@pytest.mark.parametrize("version", ["v2.1", "v2.0", "v1.6", "v4.0", 3, None, "three"])
def test_other_versions_are_refused_with_a_remedy(tmp_path, version):
    write_dataset(tmp_path, codebase_version=version)
    assert lerobot.fits(tmp_path)
    with pytest.raises(UserError, match=rf"codebase_version is .*{version}.*convert"):
        lerobot.read(tmp_path, OPTIONS)


TEMPLATES = {
    "data_path": [
        "../{chunk_index}",
        "/etc/{file_index}",
        "data/{chunk_index.__class__}",
        "data/{0}",
        "{",
        "",
        None,
        7,
        "~/x",
        "a/../../b",
        "data\\..\\..\\x",
    ],
    "video_path": [
        "{video_key}/../../{file_index}",
        "file:///etc/passwd",
        "{video_key:03d}",
        "{episode_index}",
        "http://a/{file_index}",
        "x\0y",
    ],
}


@pytest.mark.parametrize("field,template", [(f, t) for f, ts in TEMPLATES.items() for t in ts])
def test_templates_stay_in_the_folder(tmp_path, field, template):
    write_dataset(tmp_path / "d", lengths=(20,))
    change_info(tmp_path / "d", lambda i: i.update({field: template}))
    with pytest.raises(UserError, match=f"info.json: {field}"):
        lerobot.read(tmp_path / "d", OPTIONS)


@pytest.mark.parametrize("fps", [0, -1, 1e300, float("nan"), "10", None, True, 10**400])
def test_a_bad_rate_is_refused(tmp_path, fps):
    write_dataset(tmp_path, lengths=(20,), fps=fps)
    with pytest.raises(UserError, match="fps"):
        lerobot.read(tmp_path, OPTIONS)


def reasons(root):
    walks, skipped = lerobot.read(root, OPTIONS)
    return [w.name for w in walks], [s.reason for s in skipped]


def test_missing_files_are_named(tmp_path):
    write_dataset(tmp_path)
    video_file(tmp_path, 1).unlink()
    names, why = reasons(tmp_path)
    assert (
        names == ["episode_000000", "episode_000001"]
        and "file-001.mp4" in why[0]
        and "episode 2" in why[0]
    )
    data_file(tmp_path, 1).unlink()
    names, why = reasons(tmp_path)
    assert len(names) == 2 and "file-001.parquet: missing" in why[0]
    data_file(tmp_path, 0).unlink()
    assert reasons(tmp_path)[0] == []
    for file in (tmp_path / "meta" / "episodes").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(UserError, match="no table of episodes"):
        lerobot.read(tmp_path, OPTIONS)


def test_counts_that_do_not_fit_are_told(tmp_path):
    write_dataset(tmp_path)
    change_info(tmp_path, lambda i: i.update(total_episodes=10**30))
    assert "meta/episodes lists 3" in reasons(tmp_path)[1][0]
    change_info(tmp_path, lambda i: i.update(total_episodes=3))
    change_table(data_file(tmp_path), lambda rows: rows[:-4])
    names, why = reasons(tmp_path)
    assert (
        names == ["episode_000000", "episode_000002"] and "21 rows, meta/episodes says 25" in why[0]
    )
    write_mp4(video_file(tmp_path, 1), range(200, 210))
    names, why = reasons(tmp_path)
    assert (
        names == ["episode_000000"]
        and "ends at 1.00 s, the episode runs from 0.00 to 2.90 s" in why[1]
    )


def spoil(column, row, value):
    def change(rows):
        rows[row][column] = value

    return change


@pytest.mark.parametrize(
    "change,reason",
    [
        (spoil("observation.state", 5, [1.0, float("nan"), 0.0]), "row 5 of it has no finite"),
        (spoil("frame_index", 5, 4), "frame_index is 4 at row 5"),
        (spoil("observation.state", 5, [60.0, 0.0, 0.0]), "m/s"),
    ],
)
def test_a_bad_episode_is_left_out_with_its_reason(tmp_path, change, reason):
    write_dataset(tmp_path)
    change_table(data_file(tmp_path), change)
    names, why = reasons(tmp_path)
    assert (
        names == ["episode_000001", "episode_000002"]
        and len(why) == 1
        and reason in why[0]
        and "episode 0" in why[0]
    )


def test_episodes_without_a_start_are_named(tmp_path):
    write_dataset(tmp_path)
    (table,) = (tmp_path / "meta" / "episodes").rglob("*.parquet")
    change_table(table, spoil(FROM, 1, float("nan")))
    names, why = reasons(tmp_path)
    assert (
        names == ["episode_000000", "episode_000002"]
        and f"an episode with {FROM} nan; remove or mend it" in why[0]
    )
    change_table(table, each_row(FROM, lambda row: float("nan")))
    with pytest.raises(UserError, match="from_timestamp nan; remove or mend it"):
        lerobot.read(tmp_path, OPTIONS)


def each_row(column, change):
    def rows_changed(rows):
        for row in rows:
            row[column] = change(row)

    return rows_changed


FROM = f"videos/{FRONT}/from_timestamp"
OFF = {
    "running on": ("timestamp", lambda r: r["index"] / 10, "do not begin at 0", [1, 2]),
    "a clock": (
        "timestamp",
        lambda r: 1.7e9 + 60 * r["episode_index"] + r["timestamp"],
        "do not begin at 0",
        [0, 1, 2],
    ),
    "a clock in float32": (
        "timestamp",
        lambda r: float(np.float32(1.7e9 + r["timestamp"])),
        "stand still or run backwards",
        [0, 1, 2],
    ),
    "milliseconds": (
        "timestamp",
        lambda r: 1000 * r["timestamp"],
        "advance by 100 a frame",
        [0, 1, 2],
    ),
    "one that goes back": (
        "timestamp",
        lambda r: r["timestamp"] - 0.2 * (r["index"] == 5),
        "stand still or run backwards",
        [0],
    ),
    "not finite": (
        "timestamp",
        lambda r: float("nan") if r["index"] == 5 else r["timestamp"],
        "stand still or run backwards",
        [0],
    ),
    "frames that run on": (
        "frame_index",
        lambda r: r["index"],
        "frame_index does not begin at 0",
        [1, 2],
    ),
    "starts that drift": (
        FROM,
        lambda r: r[FROM] + 0.06 * r["episode_index"],
        "1.2 frames off|0.6 frames off",
        [1, 2],
    ),
    "starts that run on over files": (
        FROM,
        lambda r: r["dataset_from_index"] / 10,
        "45.0 frames off",
        [2],
    ),
    "starts that are all 0": (FROM, lambda r: 0.0, "20.0 frames off", [1]),
}


@pytest.mark.parametrize("name", OFF)
def test_counting_settles_what_times_do_not(tmp_path, name):
    truth = write_dataset(tmp_path)
    column, change, text, where = OFF[name]
    for file in (0, 1):
        if column != FROM:
            change_table(data_file(tmp_path, file), each_row(column, change))
    if column == FROM:
        change_episodes(tmp_path, each_row(column, change))
    walks, skipped = lerobot.read(tmp_path, OPTIONS)
    assert not skipped and len(walks) == 3
    for e, (walk, (position, _)) in enumerate(zip(walks, truth)):
        assert [number(i) for i in walk.frames.images(range(len(walk)))] == [
            100 * e + t for t in range(len(walk))
        ]
        np.testing.assert_allclose(walk.times, np.arange(len(walk)) / 10, atol=1e-6)
        np.testing.assert_allclose(walk.position, position, atol=1e-5)
        assert (re.search(text, walk.note) is not None) == (e in where), walk.note


def test_times_that_are_a_little_off_are_used_with_pictures_in_order(tmp_path):
    write_dataset(tmp_path)
    change_table(
        data_file(tmp_path),
        each_row("timestamp", lambda r: r["timestamp"] + (2.0 if r["frame_index"] > 9 else 0.0)),
    )
    walk = lerobot.read(tmp_path, OPTIONS)[0][1]
    assert walk.times[10] == pytest.approx(3.0) and "up to 2.00 s off" in walk.note
    assert [number(i) for i in walk.frames.images(range(25))] == [100 + t for t in range(25)]


def pictures_of(walk):
    return [number(i) for i in walk.frames.images(range(len(walk)))]


def test_where_counts_differ_the_starts_decide_and_it_is_said(tmp_path):
    write_dataset(tmp_path)
    # a frame too many before and behind
    write_mp4(video_file(tmp_path), [*range(20), 90, *range(100, 125), 91], gop=2)
    change_episodes(tmp_path, lambda rows: rows[1].update({FROM: 2.1}))
    for change in (
        lambda r: r["timestamp"],
        lambda r: r["index"] / 10,
        lambda r: 1e9 + r["index"] / 10,
    ):
        change_table(data_file(tmp_path), each_row("timestamp", change))
        walks, skipped = lerobot.read(tmp_path, OPTIONS)
        assert (
            not skipped
            and pictures_of(walks[1]) == list(range(100, 125))
            and pictures_of(walks[0]) == list(range(20))
        )
        note = (
            "file-000.mp4 has 47 frames, its episodes 45 rows, from_timestamp is up to 1.0 "
            "frames off them"
        )
        assert note in walks[1].note and "has 47" not in walks[2].note
    change_episodes(tmp_path, lambda rows: rows[1].update({FROM: 2.15}))
    assert "between two frames" in lerobot.read(tmp_path, OPTIONS)[0][1].note
    change_episodes(tmp_path, lambda rows: rows[1].update({FROM: 1.5}))
    names, why = reasons(tmp_path)
    assert (
        names == ["episode_000002"]
        and len(why) == 2
        and "overlaps another by from_timestamp" in why[0]
    )


def test_the_first_rows_of_an_episode_may_be_cut_off(tmp_path):
    write_dataset(tmp_path, lengths=(20,))

    def cut(rows):
        for k, row in enumerate(rows):
            row["frame_index"], row["timestamp"] = max(k - 5, 0), k / 10
        return rows[5:]

    change_table(data_file(tmp_path), cut)
    change_episodes(tmp_path, lambda rows: rows[0].update(length=15))
    (walk,), _ = lerobot.read(tmp_path, OPTIONS)
    assert pictures_of(walk) == list(range(5, 20)) and "do not begin at 0" in walk.note


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=12),
    st.floats(-0.02, 0.05),
    st.sampled_from([5.0, 30.0]),
    st.randoms(),
)
def test_counting_finds_every_episode_however_its_start_drifts(lengths, drift_s, fps, random):
    first = np.cumsum(lengths) - lengths
    starts = first / fps + drift_s * np.arange(len(lengths))
    if (np.diff(starts) <= 0).any():
        return
    order = list(range(len(lengths)))
    random.shuffle(order)  # numbers in another order than in the file
    found, off = lerobot_times.counted([lengths[k] for k in order], [starts[k] for k in order], fps)
    np.testing.assert_array_equal(found, first[order])
    np.testing.assert_allclose(off, (drift_s * np.arange(len(lengths)) * fps)[order], atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(), max_size=20), st.sampled_from([0.5, 10.0, 240.0]))
def test_any_timestamps_give_times_that_go_forward(stamps, fps):
    times, notes = lerobot_times.settled(np.array(stamps), fps)
    assert len(times) == len(stamps) and np.isfinite(times).all() and (np.diff(times) > 0).all()
    assert not len(times) or times[0] == 0
    even, notes = lerobot_times.settled(np.arange(20) / fps, fps)
    assert not notes and even.tolist() == (np.arange(20) / fps).tolist()


def test_damaged_pictures_are_found_when_they_are_read(tmp_path):
    write_dataset(tmp_path, kind="image")
    for value in (
        {"bytes": b"no picture", "path": None},
        {"bytes": None, "path": "../../etc/passwd"},
        {"bytes": None, "path": "absent.png"},
    ):
        change_table(data_file(tmp_path), spoil(FRONT, 5, value))
        walks, _ = lerobot.read(tmp_path, OPTIONS)
        with pytest.raises(UserError, match="row 5|absent"):
            list(walks[0].frames.images(range(20)))


def test_flipped_bytes_raise_nothing_else(tmp_path):
    write_dataset(tmp_path, lengths=(12, 12), kind="image")
    rng = np.random.default_rng(1)
    for file in (data_file(tmp_path), next((tmp_path / "meta" / "episodes").rglob("*.parquet"))):
        data = file.read_bytes()
        for k in range(60):
            spoilt = bytearray(data)
            low = len(data) - 2500 if k % 2 else 0
            for at in rng.integers(max(low, 0), len(data), rng.integers(1, 5)):
                spoilt[at] = rng.integers(256)
            file.write_bytes(spoilt if k % 10 else data[: rng.integers(len(data))])
            try:
                for walk in lerobot.read(tmp_path, OPTIONS)[0]:
                    list(walk.frames.images(range(len(walk))))
            except UserError as error:
                assert "\n" not in str(error)
        file.write_bytes(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    field=st.sampled_from(
        [
            "fps",
            "features",
            "data_path",
            "video_path",
            "robot_type",
            "total_episodes",
            "names",
            "shape",
            "dtype",
        ]
    ),
    value=JSON,
)
def test_any_info_is_read_or_refused(tmp_path_factory, field, value):
    root = tmp_path_factory.getbasetemp() / "info"
    if not root.exists():
        write_dataset(root, lengths=(12,))
    file = root / "meta" / "info.json"
    text = file.read_text()
    try:
        if field in ("names", "shape", "dtype"):
            change_info(root, lambda i: i["features"]["observation.state"].update({field: value}))
        else:
            change_info(root, lambda i: i.update({field: value}))
        lerobot.fits(root)
        lerobot.read(root, OPTIONS)
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        file.write_text(text)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"codebase_version": "v3.0"}', b"1" * 5000],
)
def test_info_that_is_no_info(tmp_path, data):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_bytes(data)
    assert isinstance(lerobot.fits(tmp_path), bool)
    with pytest.raises(UserError, match=r"info\.json"):
        lerobot.read(tmp_path, OPTIONS)


def test_other_folders_do_not_fit(tmp_path):
    assert (
        not lerobot.fits(tmp_path)
        and not lerobot.fits(tmp_path / "absent")
        and not lerobot.fits(Path(__file__))
    )


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    write_dataset(tmp_path, lengths=(12,))
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match="of the extra video"):
        lerobot.read(tmp_path, OPTIONS)
