import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation, Slerp

pytest.importorskip("av")
sys.path.insert(0, str(Path(__file__).parent))
from make_video import number, picture, write_mp4

from s2e.core.errors import UserError
from s2e.video.ground import agreement, at_times, integrated, plane, rotations, to_ground, unheld
from s2e.video.options import ReadOptions
from s2e.video.readers import gnm, posed
from s2e.video.readers.poses import read_poses, sniff

OPTIONS = ReadOptions()
# columns: right, down, ahead of a camera that looks along a body's x
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def drive(count=41, hz=10.0):
    """(T,) times, (T, 2) and (T,): 1 m/s on a bend, past yaw = pi."""
    times = np.arange(count) / hz
    position, yaw = integrated(times, np.ones(count), np.zeros(count), np.full(count, 0.4))
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]])
    return times, position @ turn.T, yaw + 2.0


def in_axes(position, yaw, axes):
    """The same drive as (T, 3) and rotations in other axes, with the slope of a camera that looks
    down a little."""
    space = np.column_stack([position, np.full(len(yaw), 0.4)])
    body = Rotation.from_euler("ZY", np.column_stack([yaw, np.full(len(yaw), 0.1)])).as_matrix()
    if axes == "body":
        return space, body
    if axes == "camera":
        return space, body @ OPTICAL
    return space @ OPTICAL, OPTICAL.T @ body @ OPTICAL


def tum(file, times, space, matrix, digits=6):
    quaternion = Rotation.from_matrix(matrix).as_quat()
    rows = [
        f"{t:.{digits}f} " + " ".join(f"{v:.8f}" for v in (*p, *q))
        for t, p, q in zip(times, space, quaternion)
    ]
    file.write_text("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(rows) + "\n")


def kitti(file, space, matrix):
    rows = np.concatenate([matrix, space[:, :, None]], 2).reshape(len(space), 12)
    file.write_text("\n".join(" ".join(f"{v:.8e}" for v in row) for row in rows))


def table(file, header, *columns):
    file.write_text(
        header
        + "\n"
        + "\n".join(",".join(f"{v:.17g}" for v in row) for row in zip(*columns))
        + "\n"
    )


def pictures(folder, names, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        Image.fromarray(picture(start + k)).save(folder / name, quality=95)


def one(path, options=OPTIONS):
    assert posed.fits(path)
    walks, skipped = posed.read(path, options)
    assert not skipped, skipped
    (walk,) = walks
    return walk


def same(walk, position, yaw, atol=1e-4):
    np.testing.assert_allclose(walk.position, position, atol=atol)
    np.testing.assert_allclose(np.cos(walk.yaw - yaw), 1, atol=1e-8)


@pytest.mark.parametrize("axes", ["body", "optical", "camera"])
def test_axes(axes):
    _, position, yaw = drive()
    flat, height, got = to_ground(*in_axes(position, yaw, axes), axes)
    np.testing.assert_allclose(flat, position, atol=1e-9)
    np.testing.assert_allclose(height, 0.4, atol=1e-9)
    np.testing.assert_allclose(np.cos(got - yaw), 1, atol=1e-9)


def test_quaternions_are_those_of_scipy():
    quaternion = np.random.default_rng(0).normal(size=(50, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    np.testing.assert_allclose(
        rotations(quaternion), Rotation.from_quat(quaternion).as_matrix(), atol=1e-12
    )


def test_the_plane_is_that_of_the_ellipsoid():
    def ecef(lat, lon):  # WGS 84, textbook
        lat, lon = np.radians(lat), np.radians(lon)
        n = 6378137 / np.sqrt(1 - 6.69437999014e-3 * np.sin(lat) ** 2)
        return np.array(
            [
                n * np.cos(lat) * np.cos(lon),
                n * np.cos(lat) * np.sin(lon),
                n * (1 - 6.69437999014e-3) * np.sin(lat),
            ]
        )

    lat, lon = np.array([48.1, 48.102, 48.099]), np.array([11.5, 11.503, 11.496])
    got = plane(lat, lon)
    a, o = np.radians(lat[0]), np.radians(lon[0])
    east, north = (
        np.array([-np.sin(o), np.cos(o), 0]),
        np.array([-np.sin(a) * np.cos(o), -np.sin(a) * np.sin(o), np.cos(a)]),
    )
    for k in range(3):
        offset = ecef(lat[k], lon[k]) - ecef(lat[0], lon[0])
        np.testing.assert_allclose(got[k], [offset @ east, offset @ north], rtol=1e-3, atol=0.05)


def test_velocities_integrate_as_small_steps_do():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.05, 0.2, 30))
    v, side, w = rng.normal(size=(3, 30))
    position, yaw = integrated(times, v, side, w)
    p, a = np.zeros(2), 0.0
    for k in range(29):
        for _ in range(2000):
            h = (times[k + 1] - times[k]) / 2000
            a += w[k] * h / 2
            p = p + h * np.array(
                [np.cos(a) * v[k] - np.sin(a) * side[k], np.sin(a) * v[k] + np.cos(a) * side[k]]
            )
            a += w[k] * h / 2
    np.testing.assert_allclose(position[-1], p, atol=1e-6)
    assert yaw[-1] == pytest.approx(a)


def test_readings_that_are_held_become_a_line():
    times = np.arange(100) / 10
    truth = np.column_stack([times, 2 * times])
    held = truth[np.arange(100) // 10 * 10]
    np.testing.assert_allclose(unheld(times, held)[:91], truth[:91])
    held[30:70] = held[30]  # stood for 4 s
    got = unheld(times, held)
    np.testing.assert_allclose(got[:31], truth[:31])
    np.testing.assert_array_equal(got[30:70], held[30:70])


def test_poses_between_poses():
    times, position, yaw = drive()
    wrapped = np.angle(np.exp(1j * yaw))
    asked = np.array([-0.1, 0.0, 1.234, 2.87, 4.0, 4.01])
    stretch, place, turned = at_times(asked, times, position, wrapped)
    assert stretch.tolist() == [-1, 0, 0, 0, 0, -1] and (np.abs(turned) <= np.pi).all()
    slerp = Slerp(times, Rotation.from_euler("z", yaw[:, None]))(asked[1:5]).as_matrix()
    np.testing.assert_allclose(
        np.stack([np.cos(turned[1:5]), np.sin(turned[1:5])], 1), slerp[:, :2, 0], atol=1e-9
    )
    np.testing.assert_allclose(
        place[1:5], np.stack([np.interp(asked[1:5], times, position[:, k]) for k in range(2)], 1)
    )
    for until, gap in ((25, False), (32, True)):  # 1.6 and 2.3 s without poses
        holes = np.delete(np.arange(41), np.arange(10, until))
        stretch, _, _ = at_times(np.arange(41) / 10, times[holes], position[holes], yaw[holes])
        assert stretch.tolist() == ([0] * 10 + [-1] * 22 + [1] * 9 if gap else [0] * 41)


def test_tum_beside_a_video(tmp_path):
    times, position, yaw = drive(81, 20.0)
    write_mp4(tmp_path / "walk.mp4", range(50))  # 5 s, poses end after 4
    tum(tmp_path / "walk.txt", times, *in_axes(position, yaw, "body"))
    for path in (tmp_path, tmp_path / "walk.mp4"):
        walk = one(path)
        assert (
            len(walk) == 41
            and "9 of 50 frames have no pose" in walk.note
            and "`body` axes" in walk.note
        )
        same(walk, position[::2], yaw[::2])
        assert [number(i) for i in walk.frames.images([0, 17, 40])] == [0, 17, 40]
    same(one(tmp_path, ReadOptions(scale=0.5)), position[::2] / 2, yaw[::2])


@pytest.mark.parametrize("axes", ["optical", "camera"])
def test_the_wrong_default_is_noticed_and_the_right_axes_named(tmp_path, axes):
    times, position, yaw = drive()
    write_mp4(tmp_path / "walk.mp4", range(41))
    tum(tmp_path / "slam.txt", times, *in_axes(position, yaw, axes))
    walks, skipped = posed.read(tmp_path, OPTIONS)
    assert (
        not walks
        and f"`body` axes the motion is mostly sideways or vertical; {axes} fits: give --poses "
        f"slam.txt:{axes}"
        in skipped[0].reason
    )
    for said in (f":{axes}", f"slam.txt:{axes}", f"slam:{axes}"):
        same(one(tmp_path, ReadOptions(poses=said)), position, yaw)
    assert "mostly sideways" in one(tmp_path, ReadOptions(poses=":body")).note


def test_kitti_has_one_pose_a_frame(tmp_path):
    _, position, yaw = drive()
    space, matrix = in_axes(position, yaw, "optical")
    pictures(tmp_path / "image_2", [f"{t:06d}.png" for t in range(41)])
    (tmp_path / "calib.txt").write_text("P0: " + " ".join(["1"] * 12))
    kitti(tmp_path / "poses.txt", space, matrix)
    walk = one(tmp_path, ReadOptions(hz=5))
    same(walk, position, yaw)
    np.testing.assert_allclose(walk.times, np.arange(41) / 5)
    (tmp_path / "times.txt").write_text("\n".join(f"{t / 10:.6e}" for t in range(41)))
    np.testing.assert_allclose(one(tmp_path).times, np.arange(41) / 10, atol=1e-6)
    (tmp_path / "times.txt").unlink()
    (tmp_path / "image_2" / "000040.png").unlink()
    assert "40 frames, 41 poses: the first 40" in one(tmp_path).note
    for t in range(30, 40):
        (tmp_path / "image_2" / f"{t:06d}.png").unlink()
    assert "41 poses without times, 30 frames" in posed.read(tmp_path, OPTIONS)[1][0].reason


def test_kitti_folders(tmp_path):
    _, position, yaw = drive()
    for name in ("00", "01"):
        pictures(tmp_path / "sequences" / name / "image_2", [f"{t:06d}.png" for t in range(41)])
        (tmp_path / "poses").mkdir(exist_ok=True)
        kitti(tmp_path / "poses" / f"{name}.txt", *in_axes(position, yaw, "optical"))
    walks, skipped = posed.read(tmp_path, OPTIONS)
    assert [w.name for w in walks] == ["sequences/00", "sequences/01"] and not skipped
    same(walks[1], position, yaw)


def test_tum_rgbd_folders(tmp_path):
    times, position, yaw = drive(81, 20.0)
    base = 1305031102.0
    names = [f"{base + t:.6f}.png" for t in np.arange(41) / 10]
    pictures(tmp_path / "rgb", names)
    (tmp_path / "rgb.txt").write_text(
        "# color images\n" + "\n".join(f"{n[:-4]} rgb/{n}" for n in names)
    )
    pictures(tmp_path / "depth", names[:3])
    tum(tmp_path / "groundtruth.txt", base + times, *in_axes(position, yaw, "camera"))
    (tmp_path / "accelerometer.txt").write_text("1305031102.0 0 0 9.8\n")
    options = ReadOptions(poses="groundtruth.txt:camera")
    walk = one(tmp_path, options)
    same(walk, position[::2], yaw[::2])
    assert walk.times[0] == pytest.approx(base)
    (tmp_path / "rgb.txt").unlink()  # the names are times as well
    same(one(tmp_path, options), position[::2], yaw[::2])
    lines = "\n".join(f"{n[:-4]} rgb/{n}" for n in names[::-1])
    (tmp_path / "rgb.txt").write_text(lines)
    assert "pictures sorted" in one(tmp_path, options).note
    (tmp_path / "rgb.txt").write_text(lines.replace("rgb/", "../rgb/"))
    assert "is no file inside" in posed.read(tmp_path, options)[1][0].reason


UNITS = {
    "time": 1,
    "t": 1,
    "timestamp [ns]": 1e9,
    "time_ms": 1e3,
    "timestamp_us": 1e6,
    "Timestamp(ns)": 1e9,
    "sec": 1,
    "%time": 1,
}


@pytest.mark.parametrize("name", UNITS)
def test_csv_times_in_the_unit_of_their_header(tmp_path, name):
    times, position, yaw = drive()
    write_mp4(tmp_path / "v.mp4", range(41))
    table(
        tmp_path / "v.csv",
        f"{name},id,y,x,yaw",
        times * UNITS[name],
        np.arange(41),
        position[:, 1],
        position[:, 0],
        yaw,
    )
    same(one(tmp_path), position, yaw)


def test_csv_of_other_shapes(tmp_path):
    times, position, yaw = drive()
    # names in milliseconds
    pictures(tmp_path, [f"{1700000000000 + 100 * t}.jpg" for t in range(41)])
    quaternion = Rotation.from_euler("z", yaw[:, None]).as_quat().T
    clock = 1700000000000000000 + times * 1e9
    file = tmp_path / "p.csv"
    head = (
        "#timestamp,p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z []"
    )
    table(file, head, clock, *position.T, 0 * yaw, quaternion[3], *quaternion[:3])
    assert "nanoseconds" in one(tmp_path).note
    same(one(tmp_path), position, yaw, 1e-3)
    head = (
        "%time,field.header.seq,field.pose.pose.position.x,field.pose.pose.position.y,field.pose.pose.position.z,"
        + ",".join(f"field.pose.pose.orientation.{k}" for k in "xyzw")
    )
    table(file, head, clock, yaw, *position.T, 0 * yaw, *quaternion)
    same(one(tmp_path), position, yaw, 1e-3)
    table(file, "time;x;y;heading_deg".replace(";", ","), clock / 1e9, *position.T, np.degrees(yaw))
    same(one(tmp_path), position, yaw, 1e-3)
    file.write_text(file.read_text().replace(",", ";"))
    same(one(tmp_path), position, yaw, 1e-3)
    table(file, "time,x,y,heading", clock / 1e9, *position.T, np.degrees(yaw))
    assert "fits the motion in deg" in posed.read(tmp_path, OPTIONS)[1][0].reason
    table(
        file,
        "# made by hand\n  time,   x, y, heading_deg",
        clock / 1e9,
        *position.T,
        np.degrees(yaw),
    )
    file.write_text(file.read_text().replace(",", "  "))
    same(one(tmp_path), position, yaw, 1e-3)
    tum(file, clock / 1e9, *in_axes(position, yaw, "body"))
    file.write_text(file.read_text().replace("# timestamp tx ty tz ", "# timestamp, tx, ty, tz, "))
    same(one(tmp_path), position, yaw, 1e-3)
    table(file, "x,y,yaw", *position.T, yaw)  # no times: one pose a picture
    same(one(tmp_path), position, yaw)


def test_videos_of_one_folder_with_poses_of_their_names(tmp_path):
    times, position, yaw = drive()
    for k in range(2):
        write_mp4(tmp_path / f"w{k}.mp4", range(100 * k, 100 * k + 41))
        table(tmp_path / f"w{k}.csv", "t,x,y,yaw", times, *(position + k).T, yaw)
    walks, skipped = posed.read(tmp_path, OPTIONS)
    assert [w.name for w in walks] == ["w0.mp4", "w1.mp4"] and not skipped
    same(walks[1], position + 1, yaw)
    assert number(next(walks[1].frames.images([3]))) == 103


def test_a_folder_of_walks_and_walks_with_poses_beside(tmp_path):
    times, position, yaw = drive()
    for k in range(3):
        pictures(tmp_path / f"w{k}", [f"{t}.jpg" for t in range(41)], 100 * k)
        table(
            tmp_path / f"w{k}.csv" if k else tmp_path / "w0" / "poses.csv",
            "t,x,y,yaw",
            times,
            *position.T,
            yaw,
        )
    (tmp_path / "w0").rename(tmp_path / "w0x")
    assert [w.name for w in posed.read(tmp_path / "w0x", OPTIONS)[0]] == ["w0x"]
    walks, skipped = posed.read(tmp_path, OPTIONS)
    assert [w.name for w in walks] == ["w1", "w2"] and not skipped
    assert [number(i) for i in walks[0].frames.images([2, 10])] == [102, 110]  # 2.jpg before 10.jpg
    (tmp_path / "set").mkdir()
    for k in (0, 1):
        (tmp_path / "w0x").rename(tmp_path / "set" / f"w{k}") if not k else (
            tmp_path / "w1"
        ).rename(tmp_path / "set" / "w1")
    (tmp_path / "w1.csv").rename(tmp_path / "set" / "w1" / "poses.csv")
    assert [w.name for w in posed.read(tmp_path / "set", OPTIONS)[0]] == ["w0", "w1"]


def test_several_files_of_poses_or_pictures_are_asked_about(tmp_path):
    times, position, yaw = drive()
    pictures(tmp_path / "left", [f"{t}.jpg" for t in range(41)])
    table(tmp_path / "a.csv", "t,x,y,yaw", times, *position.T, yaw)
    table(tmp_path / "b.csv", "t,x,y,yaw", times, *(position + 1).T, yaw)
    assert (
        "choose one with --poses; there are a.csv, b.csv"
        in posed.read(tmp_path, OPTIONS)[1][0].reason
    )
    assert "no --poses c.csv" in posed.read(tmp_path, ReadOptions(poses="c.csv"))[1][0].reason
    same(one(tmp_path, ReadOptions(poses="b.csv")), position + 1, yaw)
    pictures(tmp_path / "right", [f"{t}.jpg" for t in range(41)], 100)
    assert (
        "choose one with --image; there are left, right"
        in posed.read(tmp_path, ReadOptions(poses="a"))[1][0].reason
    )
    assert (
        number(next(one(tmp_path, ReadOptions(poses="a", image="right")).frames.images([7]))) == 107
    )


def test_times_that_count_frames(tmp_path):
    _, position, yaw = drive(40)
    write_mp4(tmp_path / "v.mp4", range(40))
    for first, step in ((0, 1), (1, 1), (0, 3)):
        table(
            tmp_path / "v.csv",
            "time,x,y,yaw",
            first + np.arange(40)[::step],
            *position[::step].T,
            yaw[::step],
        )
        walk = one(tmp_path)
        assert "taken for frame numbers" in walk.note
        np.testing.assert_allclose(walk.times, np.arange(len(walk)) / 10, atol=1e-6)
        same(walk, position[: len(walk)], yaw[: len(walk)], 0.02 if step > 1 else 1e-4)


def test_as_many_poses_as_frames_with_a_clock_of_their_own(tmp_path):
    times, position, yaw = drive()
    write_mp4(tmp_path / "v.mp4", range(41))
    table(tmp_path / "v.csv", "time,x,y,yaw", 1.7e9 + times * 2, *position.T, yaw)
    walk = one(tmp_path)
    assert "one each" in walk.note and walk.hz == pytest.approx(5)
    same(walk, position, yaw)
    table(tmp_path / "v.csv", "time,x,y,yaw", 1.7e9 + times[:-1], *position[:-1].T, yaw[:-1])
    assert "frames from 0.000 to 4.000 s; subtract" in posed.read(tmp_path, OPTIONS)[1][0].reason


def test_unsorted_and_repeated_times(tmp_path):
    times, position, yaw = drive()
    write_mp4(tmp_path / "v.mp4", range(41))
    order = np.array([*np.random.default_rng(0).permutation(41), 5])
    table(tmp_path / "v.csv", "t,x,y,yaw", times[order], *position[order].T, yaw[order])
    walk = one(tmp_path)
    assert "poses sorted by time; 1 poses with the time of another are left out" in walk.note
    same(walk, position, yaw)


@pytest.mark.parametrize("listed", ["times.txt", "rgb.txt"])
def test_pictures_follow_their_times_and_not_their_names(tmp_path, listed):
    times, position, yaw = drive()
    order = np.random.default_rng(1).permutation(41)  # picture k was taken at time order[k]
    pictures(tmp_path / "rgb", [f"{k:02d}.png" for k in range(41)])
    for k, t in enumerate(order):
        Image.fromarray(picture(int(t))).save(tmp_path / "rgb" / f"{k:02d}.png")
    names = [f" rgb/{k:02d}.png" if listed == "rgb.txt" else "" for k in range(41)]
    (tmp_path / listed).write_text(
        "".join(f"{times[t]:.3f}{name}\n" for t, name in zip(order, names))
    )
    tum(tmp_path / "groundtruth.txt", times, *in_axes(position, yaw, "body"))
    walk = one(tmp_path)
    assert "pictures sorted by time" in walk.note
    same(walk, position, yaw)
    assert [number(i) for i in walk.frames.images(range(41))] == list(range(41))


def test_missing_pictures_keep_their_time(tmp_path):
    times, position, yaw = drive()
    there = [t for t in range(41) if t not in (5, 6, 20)]
    pictures(tmp_path, [f"frame_{t:04d}.jpg" for t in there])
    table(tmp_path / "p.csv", "t,x,y,yaw", times, *position.T, yaw)
    same(one(tmp_path), position[there], yaw[there])


def test_pictures_of_several_sizes(tmp_path):
    times, position, yaw = drive()
    pictures(tmp_path, [f"{t}.png" for t in range(41)])
    Image.fromarray(picture(3, (96, 64))).save(tmp_path / "3.png")
    table(tmp_path / "p.csv", "t,x,y,yaw", times, *position.T, yaw)
    walk = one(tmp_path)
    assert [i.shape[:2] for i in walk.frames.images([2, 3])] == [(48, 64), (64, 96)]
    assert len(list(walk.images(24, 32))) == 41


LINES = {
    "nan": (b"1.0,nan,0,0", "line 12 holds a number that is not finite"),
    "word": (b"1.0,abc,0,0", "line 12: 'abc' is not a number"),
    "short": (b"1.0,2", "line 12 has 2 columns"),
    "huge": (b"1.0,1e300,0,0", "line 12 holds a number"),
    "bytes": (b"1.0,\xff\xfe,0,0", "is not UTF-8"),
    "far": (b"1.0,500,0,0", "m/s"),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_bad_line_is_named(tmp_path, kind):
    times, position, yaw = drive()
    write_mp4(tmp_path / "v.mp4", range(41))
    table(tmp_path / "v.csv", "t,x,y,yaw", times, *position.T, yaw)
    lines = (tmp_path / "v.csv").read_bytes().split(b"\n")
    lines[11] = LINES[kind][0]
    (tmp_path / "v.csv").write_bytes(b"\n".join(lines))
    assert posed.fits(tmp_path)
    walks, skipped = posed.read(tmp_path, OPTIONS)
    assert not walks and "v.csv" in skipped[0].reason and LINES[kind][1] in skipped[0].reason


def test_other_bad_input(tmp_path):
    times, position, yaw = drive()
    space, matrix = in_axes(position, yaw, "body")
    write_mp4(tmp_path / "v.mp4", range(41))
    file = tmp_path / "v.txt"
    tum(file, times, space, matrix)
    text = file.read_text()

    def reason(changed):
        file.write_text(changed)
        walks, skipped = posed.read(tmp_path, OPTIONS)
        assert not walks
        return skipped[0].reason

    lines = text.splitlines()
    assert "line 9 has 9 columns, those before it 8" in reason(
        "\n".join([*lines[:8], lines[8] + " 1", *lines[9:]])
    )
    assert "line 5: qx qy qz qw is no unit quaternion" in reason(
        "\n".join([*lines[:4], "0.3 0 0 0 0 0 0 0", *lines[5:]])
    )
    assert "8 needed" in reason("\n".join(lines[:5]))
    file.write_text(text)
    data = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(data[:-100])
    assert "v.mp4" in posed.read(tmp_path, OPTIONS)[1][0].reason
    (tmp_path / "v.mp4").write_bytes(data)
    kitti(file, space, matrix * 2)
    assert "line 1 holds no rotation" in posed.read(tmp_path, OPTIONS)[1][0].reason
    file.write_text("# nothing\n")
    assert not posed.fits(tmp_path)
    with pytest.raises(UserError, match="no pictures or MP4"):
        posed.read(tmp_path, OPTIONS)
    with pytest.raises(UserError, match="no pose in it"):
        read_poses(file, None, 1.0)
    with pytest.raises(UserError, match="not readable"):
        read_poses(tmp_path / "absent.txt", None, 1.0)


def test_a_real_walk_reads_the_same_from_every_format(tmp_path):
    shared = Path(os.environ.get("S2E_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (shared / "gnm" / "go2").is_dir():
        pytest.skip("no shared data")
    truth = gnm.read(shared / "gnm" / "go2", OPTIONS)[0][5]
    for k, data in enumerate(truth.frames.jpegs(range(len(truth)))):
        (tmp_path / "walk").mkdir(exist_ok=True)
        (tmp_path / "walk" / f"{k}.jpg").write_bytes(data)
    space, matrix = in_axes(truth.position, truth.yaw, "optical")
    tum(tmp_path / "walk" / "poses.txt", truth.times, space, matrix)
    walk = one(tmp_path / "walk", ReadOptions(poses=":optical"))
    same(walk, truth.position, truth.yaw)
    kitti(tmp_path / "walk" / "poses.txt", space, matrix)
    walk = one(tmp_path / "walk")
    same(walk, truth.position, truth.yaw)
    assert next(walk.frames.jpegs([9])) == next(truth.frames.jpegs([9]))


def test_what_does_not_fit(tmp_path):
    assert not posed.fits(tmp_path) and not posed.fits(tmp_path / "absent")
    pictures(tmp_path / "walk", ["0.jpg"])
    (tmp_path / "walk" / "traj_data.pkl").write_bytes(b"")
    (tmp_path / "walk" / "notes.txt").write_text("a walk in the park")
    assert not posed.fits(tmp_path) and not posed.fits(tmp_path / "walk" / "0.jpg")


def test_agreement():
    _, position, yaw = drive()
    assert (
        agreement(position, yaw) > 0.99
        and agreement(position, yaw + np.pi) > 0.99
        and agreement(position, yaw + np.pi / 2) < -0.99
    )
    assert np.isnan(agreement(position * 0.01, yaw))


LINE = st.lists(
    st.floats()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["nan", "inf", "1e400", "#", '"', ",", ";"]),
    max_size=14,
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    head=st.sampled_from(
        [
            "",
            "t,x,y,yaw",
            "#time,x,y,z,qx,qy,qz,qw",
            "lat;lon;heading",
            "time [ns],x,y,heading_deg",
            "\ufeff# a\n",
        ]
    ),
    lines=st.lists(LINE, max_size=12),
    mark=st.sampled_from([" ", ",", ";"]),
    tail=st.binary(max_size=12),
)
def test_any_text_is_read_or_refused(tmp_path_factory, head, lines, mark, tail):
    file = tmp_path_factory.getbasetemp() / "fuzz.txt"
    text = head + "\n" + "\n".join(mark.join(str(v) for v in line) for line in lines)
    file.write_bytes(text.encode("utf-8", errors="surrogatepass") + tail)
    sniff(file)
    try:
        known = read_poses(file, None, 1.0)
    except UserError as error:
        assert "\n" not in str(error) and "fuzz.txt" in str(error)
    else:
        assert np.isfinite(known.position).all() and np.isfinite(known.yaw).all()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.floats(-1e9, 1e9) | st.integers(-3, 3), min_size=12, max_size=12),
        min_size=1,
        max_size=12,
    ),
    width=st.sampled_from([4, 8, 12]),
    unit=st.booleans(),
)
def test_any_numbers_are_read_or_refused(tmp_path_factory, rows, width, unit):
    file = tmp_path_factory.getbasetemp() / "numbers.txt"
    head = ["t,x,y,yaw"] if width == 4 else []
    for row in rows:
        if unit and width == 8:
            row[4:8] = [0, 0, 0, 1]
    file.write_text(
        "\n".join(
            head + [(", " if width == 4 else " ").join(str(v) for v in row[:width]) for row in rows]
        )
    )
    try:
        known = read_poses(file, None, 1.0)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(known.position).all() and np.isfinite(known.yaw).all()


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.text("0123456789.ab_", min_size=1, max_size=25), min_size=1, max_size=8))
def test_any_names_of_pictures(names):
    times, is_rank = posed._named(sorted((Path(f"{n}.jpg") for n in names), key=posed._natural))
    assert not is_rank or times is not None
    assert times is None or np.isfinite(times).all()
