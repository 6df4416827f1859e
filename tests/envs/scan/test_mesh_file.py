"""Collision meshes: read in every format, never anything beside them, and mapped like the capture
they belong to."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.scan.ground import mesh_file
from s2e.envs.scan.ground.floor import Floor
from s2e.envs.scan.ground.mesh_file import read_mesh, surface_discs
from s2e.envs.scan.importer import Import, Measured, left_free, map_place, solid_splats
from s2e.envs.scan.sidecar import Correction
from s2e.envs.splats.transform import Placement, rotations, select
from tests.envs.scan.yard import BOXES, DEPTH_M, WIDTH_M, disturbed, yard

trimesh = pytest.importorskip("trimesh")


def yard_mesh():
    """The yard's floor, walls and boxes."""
    slabs = [((0, 0, -0.1), (WIDTH_M, DEPTH_M, 0.0))]
    slabs += [((x0, y0, 0.0), (x1, y1, h)) for x0, y0, x1, y1, h in BOXES]
    w, d = WIDTH_M, DEPTH_M
    walls = ((-0.1, 0), (0, d)), ((w, 0), (w + 0.1, d)), ((0, -0.1), (w, 0)), ((0, d), (w, d + 0.1))
    slabs += [((*low, 0.0), (*high, 2.2)) for low, high in walls]
    return trimesh.util.concatenate(
        [trimesh.creation.box(bounds=np.array(b, dtype=float)) for b in slabs]
    )


@pytest.mark.parametrize("kind", ["glb", "obj", "ply", "stl"])
def test_every_format_gives_the_same_surface(tmp_path, kind):
    mesh = yard_mesh()
    mesh.export(tmp_path / f"mesh.{kind}")
    vertices, triangles = read_mesh(tmp_path / f"mesh.{kind}")
    assert len(triangles) == len(mesh.faces)
    assert np.allclose(vertices.min(0), mesh.vertices.min(0)) and np.allclose(
        vertices.max(0), mesh.vertices.max(0)
    )
    corners = vertices[triangles]
    area = (
        np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        ).sum()
        / 2
    )
    assert area == pytest.approx(mesh.area, rel=1e-4)


def test_discs_cover_a_triangle_and_lie_in_it(tmp_path):
    corners = np.array([[0.0, 0, 0], [2, 0, 1], [0, 3, 0.5]])
    discs = surface_discs(tmp_path, corners, np.array([[0, 1, 2]]), 0.1)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= np.linalg.norm(normal)
    assert np.abs(discs.means @ normal).max() < 1e-5
    assert np.allclose(np.abs(rotations(discs.quats)[:, :, 2] @ normal), 1, atol=1e-5)
    longest, shortest = (
        np.linalg.norm(corners[2] - corners[1]),
        np.linalg.norm(corners[1] - corners[0]),
    )
    wanted = int(np.ceil(longest / 0.1)) * int(np.ceil(shortest / 0.1))
    assert len(np.unique(discs.means.round(5), axis=0)) == len(discs.means) == wanted
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    gaps = np.linalg.norm((weights @ corners)[:, None] - discs.means[None], axis=2).min(1)
    assert gaps.max() < 0.1


def chain(depth):
    """A GLB's nodes, each inside the one before, the last with a mesh of twelve triangles."""
    scene = trimesh.Scene()
    parent = None
    for k in range(depth):
        last = k == depth - 1
        scene.graph.update(f"n{k}", parent, geometry=None)
        if last:
            scene.add_geometry(trimesh.creation.box(), node_name="box", parent_node_name=f"n{k}")
        parent = f"n{k}"
    return scene


@pytest.mark.parametrize(
    ("kind", "limit", "most", "words"),
    [
        ("glb", "MOST_BYTES", 100, "a mesh of 1 to 100 bytes is read"),
        ("glb", "MOST_FACES", 11, "an accessor of 36 numbers"),
        ("obj", "MOST_FACES", 11, "1 to 11 are read"),
        ("glb", "MOST_NODES", 3, "nodes, at most 3"),
        ("glb", "MOST_DEPTH", 3, "nested more than 3 deep"),
    ],
)
def test_what_a_mesh_claims_is_bounded(tmp_path, monkeypatch, kind, limit, most, words):
    path = tmp_path / f"mesh.{kind}"
    (chain(5) if kind == "glb" else trimesh.creation.box()).export(path)
    assert len(read_mesh(path)[1]) == 12
    monkeypatch.setattr(mesh_file, limit, most)
    with pytest.raises(UserError, match=words) as error:
        read_mesh(path)
    assert str(path) in str(error.value)


def test_a_mesh_in_place_of_the_splats(tmp_path, monkeypatch):
    scale, seed = 0.4, 8
    splats, _ = disturbed(yard(junk=False), seed, scale)
    corners = yard(junk=False).means[:4].astype(np.float64)
    mesh = yard_mesh()
    # The mesh in the capture's coordinates: the similarity that took the yard there, from a carrier
    # of three points and the origin.
    unit = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    frame, _ = disturbed(replace(select(splats, np.arange(4)), means=unit), seed, scale)
    origin, basis = (
        frame.means[0].astype(np.float64),
        (frame.means[1:] - frame.means[0]).astype(np.float64),
    )
    assert np.allclose(corners @ basis + origin, splats.means[:4], atol=1e-3)
    mesh.vertices = mesh.vertices @ basis + origin
    mesh.export(tmp_path / "collision.glb")
    rotation = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    placement = Placement(scale, rotation, -scale * rotation @ origin)
    args = Import(tmp_path / "x.ply", "x", collision=tmp_path / "collision.glb")
    placed = yard(junk=False)
    solid = solid_splats(args, placed, placement)
    measured = Measured(Floor(rotation[2], 0.0, 1.0, WIDTH_M, 0.0, True), placement, "given", None)
    mapped = map_place(args, solid, measured, Correction(), tmp_path / "x.correct.json")
    grid, occupancy = mapped.occupancy.grid, mapped.occupancy
    for x0, y0, x1, y1, _ in BOXES:
        row, column = occupancy.cell_of(np.array([(x0 + x1) / 2, (y0 + y1) / 2]))
        assert grid[row, column]
    row, column = occupancy.cell_of(np.array([7.0, 6.0]))
    assert not grid[row, column] and 145 < mapped.areas["jackal"] < WIDTH_M * DEPTH_M - 3
    assert left_free(placed, occupancy, Correction()) == 0.0
    (x0, y0, x1, y1, _), bare = BOXES[0], grid.copy()
    (r0, c0), (r1, c1) = occupancy.cell_of(np.array([[x0 - 0.3, y0 - 0.3], [x1 + 0.3, y1 + 0.3]]))
    bare[r0:r1, c0:c1] = False
    over = ((x0 - 0.2, y0 - 0.2), (x1 + 0.2, y0 - 0.2), (x1 + 0.2, y1 + 0.2), (x0 - 0.2, y1 + 0.2))
    open_box = replace(occupancy, grid=bare)
    assert left_free(placed, open_box, Correction()) > 0.6 * (x1 - x0) * (y1 - y0)
    assert left_free(placed, open_box, Correction(go=(over,))) == 0.0
    small = trimesh.load(tmp_path / "collision.glb", force="mesh")
    small.vertices = small.vertices * 0.01
    small.export(tmp_path / "small.glb")
    with pytest.raises(
        UserError,
        match=r"small\.glb: the mesh covers 0\.\d+ x 0\.\d+ m, the capture 1.* x 1.* m; check its "
        r"units",
    ):
        solid_splats(replace(args, collision=tmp_path / "small.glb"), placed, placement)
    elsewhere = replace(placement, translation=placement.translation + np.array([0.0, 0.0, 5.0]))
    with pytest.raises(UserError, match=r"collision\.glb: does not lie where the capture does"):
        solid_splats(args, placed, elsewhere)
    monkeypatch.setattr(mesh_file, "MOST_DISCS", 1000)
    with pytest.raises(UserError, match="coarser --resolution"):
        solid_splats(args, placed, placement)


def glb(tree, rest=b""):
    words = json.dumps(tree).encode()
    words += b" " * (-len(words) % 4)
    return (
        struct.pack("<4sIIII", b"glTF", 2, 20 + len(words) + len(rest), len(words), 0x4E4F534A)
        + words
        + rest
    )


def test_bad_meshes_are_refused(tmp_path):
    def refuse(name, data, match):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=match):
            read_mesh(tmp_path / name)

    refuse("a.fbx", b"x", r"a\.fbx: not one of \.glb")
    refuse("empty.stl", b"", "0 bytes")
    refuse("a.obj", b"v 0 0 0\nmtllib /etc/passwd\n", "0 triangles|cannot be read")
    refuse("b.obj", b"v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n", "vertex 2 is not a finite number")
    refuse("c.obj", b"v 0 0 0\nv 1 0 0\nf 1 2 9\n", "does not exist|cannot be read")
    refuse("a.glb", b"glTF", "cannot be read as GLB")
    refuse(
        "b.glb",
        glb({"asset": {"version": "2.0"}, "buffers": [{"uri": "../secret.bin", "byteLength": 9}]}),
        "in another file",
    )
    refuse(
        "c.glb",
        glb({"asset": {"version": "2.0"}, "accessors": [{"count": 10**12}]}),
        "accessor of 1000000000000",
    )
    refuse("d.glb", glb([]), "cannot be read as GLB")
    many = {
        "accessors": [{"count": 3000}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    }
    refuse("e.glb", glb({**many, "nodes": [{"mesh": 0}] * 4001}), "4001000 triangles with all uses")
    refuse("f.glb", glb({**many, "nodes": [{"mesh": 0}] * 20_001}), "20001 nodes")
    refuse("g.glb", glb({**many, "nodes": [{"children": [1]}, {"children": [0]}]}), "in a circle")
    refuse(
        "h.glb",
        glb({**many, "nodes": [{"children": [k + 1]} for k in range(300)] + [{}]}),
        "nested more than 200 deep",
    )
    refuse(
        "i.glb",
        glb({**many, "nodes": [{"children": [2]}, {"children": [2]}, {"mesh": 0}]}),
        "two parents",
    )
    refuse("j.glb", glb({**many, "nodes": [{"mesh": 7}]}), "cannot be read as GLB")
    refuse("a.ply", b"ply\nformat ascii 1.0\nelement vertex 99999999999\nend_header\n", r"a\.ply: ")
    refuse("cut.stl", b"\0" * 80 + struct.pack("<I", 4_000_000) + b"\0" * 50, r"cut\.stl: ")
    with pytest.raises(UserError, match="cannot be read"):
        read_mesh(tmp_path / "none.stl")
