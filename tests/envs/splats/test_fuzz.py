"""Damaged files give splats or a `UserError`: a short campaign for each reader, and every input
that once did otherwise."""

import pytest

from tests.envs.splats import fuzz


@pytest.mark.parametrize("reader", list(fuzz.READERS))
def test_valid_files_are_read(tmp_path, reader):
    for case in fuzz.corpus(reader):
        assert fuzz.run(case, reader, tmp_path / "case") == ("read", "")


@pytest.mark.filterwarnings("error", "ignore::s2e.envs.splats.formats.whole.SplatWarning")
@pytest.mark.parametrize("reader", list(fuzz.READERS))
def test_a_few_hundred_damaged_files(tmp_path, reader):
    counts = fuzz.campaign(reader, seed=7, folder=tmp_path / "case", out=None, cases=150)
    assert counts["refused"] > 30 and counts["read"] > 5 and not counts["found"], counts


@pytest.mark.filterwarnings("error", "ignore::s2e.envs.splats.formats.whole.SplatWarning")
@pytest.mark.parametrize("path", sorted(fuzz.SEEDS.iterdir()), ids=lambda path: path.name)
def test_what_once_went_wrong(tmp_path, path):
    reader = next(
        name for name in sorted(fuzz.READERS, key=len, reverse=True) if path.name.startswith(name)
    )
    outcome, why = fuzz.run((path.suffix, path.read_bytes()), reader, tmp_path / "case")
    assert outcome != "found", why
