"""Streamed SOG: a level is chosen and read whole, chunks that lie are refused, and the shell around
a scene is kept apart."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.splats.formats import streamed
from s2e.envs.splats.formats.any import read_splats
from s2e.envs.splats.formats.sog import read_sog
from s2e.envs.splats.formats.streamed import read_streamed
from s2e.envs.splats.formats.whole import SplatWarning
from tests.envs.splats import samples

COUNTS = {"0_0": 40, "0_1": 30, "1_0": 20, "2_0": 9, "env": 7}
LEAVES = [
    {"0": ("0_0", 0, 25), "1": ("1_0", 0, 12), "2": ("2_0", 5, 4)},
    {"0": ("0_0", 25, 15), "1": ("1_0", 12, 8), "2": ("2_0", 0, 5)},
    {"0": ("0_1", 0, 30)},
]


def scene(folder, environment: object = "env/meta.json", change=lambda meta: None):
    for k, (name, count) in enumerate(COUNTS.items()):
        (folder / name).mkdir(parents=True)
        for file, data in samples.sog_files(
            samples.make_splats(k, count, 4 if name != "env" else 1)
        ).items():
            (folder / name / file).write_bytes(data)
    names = [f"{name}/meta.json" for name in COUNTS if name != "env"]
    leaves = [
        {
            "bound": {},
            "lods": {
                k: {"file": names.index(f"{name}/meta.json"), "offset": a, "count": n}
                for k, (name, a, n) in leaf.items()
            },
        }
        for leaf in LEAVES
    ]
    meta = {
        "lodLevels": 3,
        "environment": environment,
        "filenames": names,
        "tree": {"children": [leaves[0], {"children": leaves[1:]}]},
    }
    change(meta)
    (folder / "lod-meta.json").write_text(json.dumps(meta))
    return folder


def rows(folder, name, start, count):
    return read_sog(folder / name).means[start : start + count]


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [
        ("_MAX_META", 100, "bytes; a list of chunks"),
        ("_MAX_NODES", 4, "more than 4 nodes"),
        ("_MAX_FILES", 3, "a list of 1 to 3 files"),
    ],
)
def test_what_a_list_of_chunks_claims_is_bounded(tmp_path, monkeypatch, limit, most, words):
    folder = scene(tmp_path)
    read_streamed(folder, 0)
    monkeypatch.setattr(streamed, limit, most)
    with pytest.raises(UserError, match=words):
        read_streamed(folder, 0)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_is_read_whole(tmp_path, level):
    folder = scene(tmp_path)
    found = read_streamed(folder, level)
    leaves = [leaf.get(str(level), leaf["0"]) for leaf in LEAVES]
    wanted = [rows(folder, *leaf) for leaf in sorted(leaves, key=lambda leaf: leaf[0])]
    assert np.array_equal(np.sort(found.splats.means, 0), np.sort(np.concatenate(wanted), 0))
    assert (found.level, found.levels) == (level, 3)
    assert found.environment is not None and len(found.environment.means) == 7


def test_the_level_is_chosen_by_size_and_by_what_is_there(tmp_path, monkeypatch):
    folder = scene(tmp_path)
    assert read_streamed(folder).level == 0
    monkeypatch.setattr(streamed, "ENOUGH", 50)
    # 20 of level 1, and 30 of a leaf that has no other than 0
    assert read_streamed(folder / "lod-meta.json").level == 1
    monkeypatch.setattr(streamed, "ENOUGH", 1)
    assert read_streamed(folder).level == 2
    (folder / "1_0" / "meta.json").unlink()
    with pytest.raises(
        UserError, match=r"level 1 needs 1_0/meta.json, which is missing.*levels 0, 2 are whole"
    ):
        read_streamed(folder, 1)
    with pytest.raises(UserError, match="--level 3; it has levels 0 .finest. to 2"):
        read_streamed(folder, 3)
    (folder / "0_1" / "meta.json").write_bytes(b"")
    with pytest.raises(UserError, match="no other level is whole"):
        read_streamed(folder)


def test_read_splats_shows_the_environment_too(tmp_path):
    folder = scene(tmp_path)
    found = read_splats(folder)
    assert (
        len(found.means) == 77 and found.sh.shape == (77, 4, 3) and (found.sh[-7:, 1:] == 0).all()
    )
    assert len(read_splats(folder / "lod-meta.json").means) == 77
    (folder / "env" / "meta.json").unlink()
    with pytest.warns(SplatWarning, match="environment env/meta.json is missing"):
        assert len(read_splats(folder).means) == 70


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(filenames=["../a/meta.json"]), "leads out of the scene"),
        (lambda m: m.update(filenames=["/etc/passwd"]), "leads out of the scene"),
        (lambda m: m.update(filenames=[]), "filenames is not a list of 1"),
        (lambda m: m.update(environment="../../env"), "environment: .* leads out"),
        (lambda m: m.update(environment=7), "environment: .* leads out"),
        (lambda m: m.update(tree=None), "tree: a node is not an object"),
        (lambda m: m.update(tree={}), "no node has lods"),
        (
            lambda m: m["tree"]["children"][0]["lods"]["0"].update(count=41),
            "rows 0 to 41 of 0_0/meta.json, which holds 40",
        ),
        (
            lambda m: m["tree"]["children"][0]["lods"]["0"].update(offset=-1),
            "lods '0' does not name file",
        ),
        (
            lambda m: m["tree"]["children"][0]["lods"]["0"].update(file=9),
            "lods '0' does not name file",
        ),
        (
            lambda m: m["tree"]["children"][0]["lods"]["0"].update(count=30),
            "names 45 rows of 0_0/meta.json, which holds 40",
        ),
        (lambda m: m["tree"]["children"][0].update(lods=[]), "lods is a list"),
    ],
)
def test_descriptions_that_lie(tmp_path, change, words):
    folder = scene(tmp_path, change=change)
    with pytest.raises(UserError, match=words) as refusal:
        read_streamed(folder, 0)
    assert "lod-meta.json" in str(refusal.value) and "\n" not in str(refusal.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_descriptions_give_splats_or_a_user_error(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "streamed"
    if not folder.exists():
        scene(folder)
        os.rename(folder / "lod-meta.json", folder / "good.json")
    text = bytearray((folder / "good.json").read_bytes())
    for at, value in data.draw(
        st.lists(
            st.tuples(st.integers(0, len(text) - 1), st.integers(0, 255)), min_size=1, max_size=4
        )
    ):
        text[at] = value
    (folder / "lod-meta.json").write_bytes(text)
    try:
        found = read_splats(folder)
    except UserError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
    except SplatWarning:
        pass
    else:
        assert np.isfinite(found.means).all()
