import os
import subprocess
import sys

import pytest

from s2e.envs.warm import _forget


def test_kernels_of_other_sources_are_dropped_and_nothing_else(tmp_path):
    """A kernel that calls one of another file would go on with that one as it was."""
    ours = [
        "envs_1f/kinematic._step-1.py311.nbi",
        "splats_2e/blend._go-2.py311.1.nbc",
        "s2e-0123.compiled",
    ]
    others = ["x_3d/k.nbi", "envs_1f/notes.txt"]
    for name in ours + others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    _forget(tmp_path)
    assert sorted(
        str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()
    ) == sorted(others)


@pytest.mark.slow
def test_the_first_run_compiles_once_and_says_so(tmp_path):
    code = "from s2e.envs.warm import warm_up; warm_up()"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [r.returncode for r in runs] == [0, 0]
    assert "compiling kernels" in runs[0].stderr and runs[1].stderr == ""
    assert list(tmp_path.glob("*.compiled"))
