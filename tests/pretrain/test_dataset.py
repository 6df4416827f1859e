import dataclasses
import itertools

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.pretrain.args import PretrainArgs
from s2e.pretrain.dataset import divide, named_walks, share
from tests.pretrain.runs import walk


def test_shares_of_the_walks_are_nested():
    walks = [walk(str(i), np.zeros((9, 2)), np.zeros(9)) for i in range(16)]
    parts = [[w.name for w in share(walks, f, 0)] for f in (0.01, 1 / 8, 1 / 4, 1 / 2, 1)]
    assert [len(p) for p in parts] == [1, 2, 4, 8, 16]
    assert all(set(small) < set(large) for small, large in itertools.pairwise(parts))
    assert parts[1] != [w.name for w in share(walks, 1 / 8, 1)]
    cut = [dataclasses.replace(w, name=f"{w.name}+{k}") for w in walks for k in range(3)]
    assert [w.name for w in share(cut, 1 / 8, 0)] == [
        f"{n}+{k}" for n in parts[1] for k in range(3)
    ]
    alike = [dataclasses.replace(w, name="walk") for w in walks]  # of many datasets
    assert [w.source.name for w in share(alike, 1 / 8, 0)] == parts[1]


def test_named_walks_are_held_out(tmp_path):
    walks = [walk(f"w{i}", np.zeros((9, 2)), np.zeros(9)) for i in range(10)]
    names = tmp_path / "traj_names.txt"
    names.write_text("w3\n\nw7/\n")
    args = PretrainArgs((tmp_path,), tmp_path, held_out=names)
    training, watched, judged = divide(walks, args)
    assert {w.name for w in judged} == {"w3", "w7"} and watched is judged and len(training) == 8
    training, watched, judged = divide(walks, dataclasses.replace(args, patience=3))
    parts = [{w.name for w in part} for part in (training, watched, judged)]
    assert [len(p) for p in parts] == [6, 2, 2] and len(set.union(*parts)) == 10
    names.write_text("w3\nw99\n")
    with pytest.raises(UserError, match="line 2.*'w99'"):
        named_walks(names, walks)
    names.write_text("\n")
    with pytest.raises(UserError, match="names no walk"):
        named_walks(names, walks)
    names.write_text("\n".join(w.name for w in walks))
    with pytest.raises(UserError, match="leave some"):
        divide(walks, args)


@pytest.mark.parametrize("listed", ["walk", "walk+0", "walk+1/"])
def test_a_named_walk_is_held_out_with_all_its_pieces(tmp_path, listed):
    walks = [
        walk(name, np.zeros((9, 2)), np.zeros(9))
        for name in ("walk+0", "walk+1", "walk1", "other+0")
    ]
    names = tmp_path / "names.txt"
    names.write_text(listed)
    training, _, judged = divide(walks, PretrainArgs((str(tmp_path),), tmp_path, held_out=names))
    assert [w.name for w in judged] == ["walk+0", "walk+1"] and [w.name for w in training] == [
        "walk1",
        "other+0",
    ]
    names.write_text("walk2+0")
    with pytest.raises(UserError, match="line 1.*'walk2.0'"):
        named_walks(names, walks)
