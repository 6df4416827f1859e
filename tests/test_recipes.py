"""The recipes in runs/, with stand-ins for the commands: what they start, and that finished stages
are gone on with."""

import os
import subprocess
from pathlib import Path

import pytest

RUNS = Path(__file__).parents[1] / "runs"
STAND_IN = """#!/bin/sh
echo "${0##*/}" "$@"
case ${0##*/} in
s2e-ppo | s2e-pretrain) mkdir -p "$2/checkpoints" && echo 1 >"$2/checkpoints/last" ;;
esac
"""


@pytest.mark.parametrize(("recipe", "trained"), [("laptop.sh", 2), ("experience.sh", 3)])
def test_a_recipe_starts_stages_and_goes_on_with_them(tmp_path, recipe, trained):
    for name in ("s2e-data", "s2e-pretrain", "s2e-ppo", "s2e-bench"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    # of a stage that was killed before its first checkpoint
    (tmp_path / "out" / "seen").mkdir(parents=True)
    words, more = ["sh", RUNS / recipe, "out"], {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    first, again = (
        subprocess.run(
            words, cwd=tmp_path, env=more, check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for _ in range(2)
    )
    stages = [line for line in first if line.startswith(("s2e-pretrain", "s2e-ppo"))]
    assert len(stages) == trained and not any("--resume" in line for line in stages)
    resumed = [
        line.removesuffix(" --resume")
        for line in again
        if line.startswith(("s2e-pretrain", "s2e-ppo"))
    ]
    assert resumed == stages and all(f"{line} --resume" in again for line in stages)
    assert first[-1].startswith("s2e-bench") and first[-1] == again[-1]
