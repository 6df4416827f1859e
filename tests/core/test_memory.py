import pytest

from s2e.core import memory
from s2e.core.errors import UserError
from s2e.core.memory import GIB, available_bytes, require_memory


def test_what_is_free_is_known_here():
    free = available_bytes()
    assert free is None or 0 < free < 1 << 50


def test_a_count_that_does_not_fit_is_refused_with_one_that_does(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * GIB)
    require_memory("--envs", 100, GIB / 100)
    with pytest.raises(
        UserError,
        match=r"--envs 200000 needs some 2,000.1 GiB of memory, and 8.0 GiB are free: give at most "
        r"790$",
    ):
        require_memory("--envs", 200_000, GIB / 100, rest=0.1 * GIB)
    with pytest.raises(UserError, match="too little even for one"):
        require_memory("--envs", 1, 9 * GIB)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    require_memory("--envs", 200_000, GIB)
