import json
import sys

import pytest

from tests.processes import run_here

OWN = """
from s2e.envs.rewards import RewardTerm

def slow_near_people(step):
    return -0.1 * step.speed * (step.person_gap < 2.0)

hug_right = RewardTerm(lambda step: step.waypoint[:, 1], weight=-0.05, name="hug_right")

def of_three(step):
    return step.speed / (len(step.speed) - 2)
"""


@pytest.fixture
def ppo(tmp_path, monkeypatch):
    """Runs the command in a folder that Python does not look into by itself, as installed."""
    (tmp_path / "my_terms.py").write_text(OWN)
    fixed = "--sense rays --envs 2 --horizon 4 --scenes 1 --people 2 --robot jackal --device cpu"

    def run(*words):
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
            patch.delitem(sys.modules, "my_terms", raising=False)
            done = run_here("s2e.rl.train", *fixed.split(), *words)
            sys.modules.pop("my_terms", None)
        return done

    return run


def test_a_term_of_ones_own_is_paid_logged_and_kept_by_a_resumed_run(tmp_path, ppo):
    words = ["--out", "run", "--reward", "compact,my_terms:slow_near_people,my_terms:hug_right"]
    begun = ppo(*words, "--steps", "8")
    assert begun.returncode == 0, begun.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["reward"] == words[-1]
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    logged = json.loads(line)
    assert {"reward/arrive", "reward/slow_near_people", "reward/hug_right"} <= set(logged)
    other = ppo("--out", "run", "--steps", "16", "--resume", "--reward", "compact")
    assert other.returncode == 2 and "reward was 'compact,my_terms" in other.stderr
    again = ppo(*words, "--steps", "16", "--resume")
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_what_a_term_of_ones_own_does_wrong_is_one_line(tmp_path, ppo):
    absent = ppo("--out", "run", "--reward", "my_terms:nothing")
    assert absent.returncode == 2 and not (tmp_path / "run").exists()
    assert "error: --reward my_terms:nothing: my_terms has no nothing; it has" in absent.stderr
    wrong = ppo("--out", "run", "--reward", "my_terms:of_three")
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr, "found as worlds run"
    assert "error: --reward my_terms:of_three: gives" in wrong.stderr and "in world" in wrong.stderr
