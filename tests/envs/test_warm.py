import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_first_run_compiles_once_and_says_so(tmp_path):
    code = "from s2e.envs.warm import warm_up; warm_up()"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True) for _ in range(2)]
    assert [r.returncode for r in runs] == [0, 0]
    assert "compiling kernels" in runs[0].stderr and runs[1].stderr == ""
    assert list(tmp_path.glob("*.compiled"))
