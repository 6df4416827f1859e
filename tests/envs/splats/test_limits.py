"""What a file of splats may claim has a bound in every reader, and beyond it the file is refused in
one line. The bounds are far above what any capture has, so each is lowered until the same small
file is beyond it.
"""

import struct
from dataclasses import replace

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.splats.formats.any import read_splats
from tests.envs.splats import samples
from tests.envs.splats.made_files import put, refused

SPLATS = samples.make_splats(3, 40, 4)
LIMITS = [
    ("ply", "ply_header._MAX_HEADER", 100, "header"),
    ("compressed_ply", "ply_header._MAX_HEADER", 100, "header"),
    ("sog", "sog._MAX_META", 100, "meta.json"),
    ("sog", "sog._MAX_DIRECTORY", 100, "its list of contents takes"),
    ("spz", "spz._MAX_EXTENSIONS", 3, "more than its header claims"),
    ("spz4", "spz._MAX_EXTENSIONS", 3, "12 bytes of extensions"),
    ("tiles", "any.MOST", 1, "at most 1 tiles"),
]


def written(folder, kind):
    """A small file of a kind, which is read."""
    axes = struct.pack("<III", 0xADBE0003, 4, 4)
    match kind:
        case "ply":
            return put(folder, "a.ply", samples.plain_ply(SPLATS))
        case "compressed_ply":
            return put(folder, "a.ply", samples.compressed_ply(SPLATS))
        case "sog":
            return put(folder, "a.sog", samples.zipped(samples.sog_files(SPLATS)))
        case "spz":
            return put(folder, "a.spz", samples.spz(SPLATS, 3, flags=2, extensions=axes))
        case "spz4":
            return put(folder, "a.spz", samples.spz(SPLATS, 4, flags=2, extensions=axes))
    for k in range(2):
        beside = replace(SPLATS, means=SPLATS.means + np.array([100 * k, 0, 0], np.float32))
        put(folder, f"tile_{k}.ply", samples.plain_ply(beside))
    return folder


@pytest.mark.filterwarnings("ignore::s2e.envs.splats.formats.whole.SplatWarning")
@pytest.mark.parametrize(("kind", "limit", "most", "words"), LIMITS)
def test_what_is_beyond_a_limit_is_refused(tmp_path, monkeypatch, kind, limit, most, words):
    path = written(tmp_path, kind)
    try:
        read_splats(path)
    except UserError as error:
        pytest.fail(f"within the limit it is read: {error}")
    monkeypatch.setattr(f"s2e.envs.splats.formats.{limit}", most)
    refused(path, words)
