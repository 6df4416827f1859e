import dataclasses

import numpy as np
import pytest
import torch

from s2e.core.errors import UserError
from s2e.policy.config import PRESETS
from s2e.policy.encoder import FeatureNet, FrozenEncoder
from s2e.pretrain.tokens import FrameStore, TokenStore
from s2e.video.frames import decode, jpeg
from s2e.video.readers.formats import read_walks
from tests.video.walk_files import make_walk

CONFIG = dataclasses.replace(PRESETS["laptop"], height_px=32, width_px=64)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return FeatureNet(CONFIG).eval()


@pytest.fixture
def walks(tmp_path):
    for i, length in enumerate((9, 70, 12)):
        make_walk(tmp_path / "data" / f"w{i}", length, seed=i)
    return read_walks([tmp_path / "data"])[0]


def counted(store):
    calls, encode = [], store.encoder
    store.encoder = lambda images: (calls.append(len(images)), encode(images))[1]
    return calls


def test_tokens_are_what_the_encoder_says(net, walks, tmp_path):
    store = TokenStore(net, CONFIG, tmp_path)
    first, good, skipped = store.add(walks)
    assert good == walks and not skipped
    encoder = FrozenEncoder(net, CONFIG)
    for walk, begin in zip(walks, first, strict=True):
        features, pooled = encoder(np.stack(list(walk.images(32, 64))))
        newest, older = store.tokens(begin + np.array([[0, 3, 5], [1, 2, 8]]))
        np.testing.assert_array_equal(newest, features[[5, 8]])
        np.testing.assert_array_equal(older, pooled[[[0, 3], [1, 2]]])


def test_nothing_is_encoded_twice(net, walks, tmp_path):
    before = TokenStore(net, CONFIG, tmp_path).add(walks[:2])[0]
    store = TokenStore(net, CONFIG, tmp_path)
    calls = counted(store)
    first, _, _ = store.add(walks)
    assert sum(calls) == 12 and (first[:2] == before).all()
    # the same frames under another name
    copy = make_walk(tmp_path / "copy" / "elsewhere", 12, seed=2)
    assert len(copy) == 12
    store.add(read_walks([tmp_path / "copy"])[0])
    assert sum(calls) == 12


def test_another_encoder_or_changed_frames_are_encoded_anew(net, walks, tmp_path):
    one = TokenStore(net, CONFIG, tmp_path)
    one.add(walks)
    other = FeatureNet(CONFIG).eval()
    with torch.no_grad():
        other.stem.weight += 0.1
    two = TokenStore(other, CONFIG, tmp_path)
    assert two.book.folder != one.book.folder
    make_walk(tmp_path / "data" / "w0", 9, seed=77)
    calls = counted(one)
    one.add(read_walks([tmp_path / "data"])[0])
    assert sum(calls) == 9


def test_what_a_kill_leaves_is_repaired(net, walks, tmp_path):
    store = TokenStore(net, CONFIG, tmp_path)
    store.add(walks)
    newest, _ = store.tokens(np.array([[80, 81]]))
    lines = store.book.index.read_text().splitlines()
    # a cut line, and half a walk of bytes
    store.book.index.write_text("\n".join([*lines[:-1], lines[-1][:20]]))
    with store.book.path.open("r+b") as file:
        file.truncate(store.book.path.stat().st_size - 1000)
    again = TokenStore(net, CONFIG, tmp_path)
    first, _, _ = again.add(walks)
    assert first[2] == 79
    np.testing.assert_array_equal(again.tokens(np.array([[80, 81]]))[0], newest)
    calls = counted(again)
    again.add(walks)
    assert not calls


def test_a_walk_with_a_broken_frame_is_left_out(net, walks, tmp_path):
    path = tmp_path / "data" / "w1" / "66.jpg"
    path.write_bytes(path.read_bytes()[:90])
    store = TokenStore(net, CONFIG, tmp_path)
    first, good, skipped = store.add(walks)
    assert (
        [w.name for w in good] == ["w0", "w2"]
        and "66.jpg" in skipped[0].reason
        and list(first) == [0, 9]
    )
    with pytest.raises(UserError, match="no walk has readable frames"):
        TokenStore(net, CONFIG, tmp_path / "fresh").add([walks[1]])


def test_a_place_that_cannot_be_written_is_named(net, walks, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="S2E_CACHE"):
        TokenStore(net, CONFIG, tmp_path / "file").add(walks)


def test_frames_come_back_at_the_policys_size(walks, tmp_path):
    # the second finds them there
    for store in FrameStore(CONFIG, tmp_path), FrameStore(CONFIG, tmp_path):
        first, good, _ = store.add(walks)
        assert list(first) == [0, 9, 79] and len(good) == 3
        images = store.images(first[:, None] + np.array([[0, 8]]))
        assert images.shape == (6, 32, 64, 3) and images.dtype == np.uint8
        truth = np.stack([list(w.images(32, 64))[k] for w in walks for k in (0, 8)]).astype(int)
        through = [decode(jpeg(image.astype(np.uint8), 95), "") for image in truth]
        np.testing.assert_array_equal(images, through)
        assert np.abs(images - truth).mean() < 12  # JPEG of noise


def test_two_stores_at_once_share_their_work(net, walks, tmp_path):
    one, two = TokenStore(net, CONFIG, tmp_path), TokenStore(net, CONFIG, tmp_path)
    with one.book:  # has read the list before the other writes
        first = two.add(walks)[0]
        calls = counted(one)
        _, held = one.book.entries, list(walks)
        for walk in held:
            one.book.write(walk, lambda walk=walk: one._encoded(walk), dict)
        assert not calls and [one.book.entries[one.book.digest(w)]["first"] for w in held] == list(
            first
        )


def test_a_line_never_names_the_data_of_another_walk(net, walks, tmp_path):
    store = TokenStore(net, CONFIG, tmp_path)
    store.add(walks)
    with store.book.path.open("r+b") as file:
        file.truncate(80 * store.width * 2)  # the last walk has lost its end
    other = TokenStore(net, CONFIG, tmp_path)
    make_walk(tmp_path / "new" / "w", 30, seed=9)
    other.add(read_walks([tmp_path / "new"])[0])  # is written where the last walk was
    again = TokenStore(net, CONFIG, tmp_path)
    calls = counted(again)
    first, _, _ = again.add(walks)
    assert sum(calls) == 12 and first[2] == 79 + 30
