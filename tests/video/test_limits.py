"""What a file may claim has a bound in every reader, and beyond it the walk is refused in one line,
not read.

The bounds are far above what any recording has, so each is lowered here until the same small walk
is beyond it.
"""

import importlib

import pytest

from s2e.core.errors import UserError
from s2e.video.options import ReadOptions
from tests.video.bag_files import Scene
from tests.video.writers import POSE_T, TIMES, WRITERS

LIMITS = [
    ("gnm", "s2e.core.unpickle.MAX_BYTES", 100, "too many for a walk's poses"),
    ("gnm", "s2e.core.unpickle.MOST_NUMBERS", 20, "too many numbers"),
    ("gnm", "s2e.video.frames.MAX_PIXELS", 32 * 24 - 1, "32 x 24 pixels are too many"),
    ("posed", "s2e.video.readers.poses._MAX_TEXT", 100, "bytes are too many for poses"),
    ("posed", "s2e.video.readers.poses._MAX_VALUE", 1.0, "not finite or beyond 1;"),
    ("posed", "s2e.video.readers.posed._MAX_TEXT", 100, "bytes are too many for a list of times"),
    ("lerobot", "s2e.video.readers.lerobot._MAX_TEXT", 100, "larger than 100 bytes"),
    ("lerobot", "s2e.video.readers.parquet._MAX_ROWS", 19, "20 rows; at most 19"),
    ("lerobot", "s2e.video.readers.parquet._MAX_VALUES", 19, "numbers in one group of rows"),
    ("recon", "s2e.video.readers.recon._MAX_BYTES", 300, "too big for the poses"),
    ("recon", "s2e.video.readers.recon.MAX_PIXELS", 300, "bytes an image, which are too many"),
    ("shards", "s2e.video.readers.shards.MAX_SAMPLE", 4000, "larger than 0 MB"),
    ("shards", "s2e.video.readers.shards.MAX_JSON", 100, "no description of a walk"),
    ("shards", "s2e.video.readers.tar.MAX_MEMBER", 100, "100 bytes at most"),
    ("ros1", "s2e.video.readers.ros_images.MAX_PIXELS", 32 * 24 - 1, ""),
]


def said(path, read) -> list[str]:
    """Everything that is refused, until each frame has been read."""
    try:
        walks, skipped = read(path, ReadOptions())
        reasons = [s.reason for s in skipped]
        for walk in walks:
            assert len(list(walk.frames.images(range(len(walk))))) == 20
    except UserError as error:
        reasons = [str(error)]
    return reasons


@pytest.mark.parametrize(
    ("format", "limit", "most", "words"),
    LIMITS,
    ids=[row[1].removeprefix("s2e.") for row in LIMITS],
)
def test_what_is_beyond_a_limit_is_refused(tmp_path, monkeypatch, format, limit, most, words):
    write, read = WRITERS[format]
    path = write(
        tmp_path / format,
        Scene(image_t=TIMES, pose_t=POSE_T, compressed="" if format == "ros1" else "jpeg"),
    )
    assert said(path, read) == []
    module, _, name = limit.rpartition(".")
    assert getattr(importlib.import_module(module), name) > 1e5
    monkeypatch.setattr(f"{module}.{name}", most)
    reasons = said(path, read)
    assert reasons and all(words in reason and "\n" not in reason for reason in reasons), reasons
