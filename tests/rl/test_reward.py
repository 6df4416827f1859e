import json
import subprocess
import sys

OWN = """
from s2e.envs.rewards import RewardTerm

def slow_near_people(step):
    return -0.1 * step.speed * (step.person_gap < 2.0)

hug_right = RewardTerm(lambda step: step.waypoint[:, 1], weight=-0.05, name="hug_right")

def of_three(step):
    return step.speed / (len(step.speed) - 2)
"""


def ppo(folder, *words):
    """Runs the command in a folder."""
    code = "import sys; sys.path.remove(''); from s2e.rl.train import main; main()"  # as installed
    fixed = "--sense rays --envs 2 --horizon 4 --scenes 1 --people 2 --robot jackal --device cpu"
    return subprocess.run(
        [sys.executable, "-c", code, *fixed.split(), *words],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_a_term_of_ones_own_is_paid_logged_and_kept_by_a_resumed_run(tmp_path):
    (tmp_path / "my_terms.py").write_text(OWN)
    words = ["--out", "run", "--reward", "compact,my_terms:slow_near_people,my_terms:hug_right"]
    begun = ppo(tmp_path, *words, "--steps", "8")
    assert begun.returncode == 0, begun.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["reward"] == words[-1]
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    logged = json.loads(line)
    assert {"reward/arrive", "reward/slow_near_people", "reward/hug_right"} <= set(logged)
    other = ppo(tmp_path, "--out", "run", "--steps", "16", "--resume", "--reward", "compact")
    assert other.returncode == 2 and "reward was 'compact,my_terms" in other.stderr
    again = ppo(tmp_path, *words, "--steps", "16", "--resume")
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_what_a_term_of_ones_own_does_wrong_is_one_line(tmp_path):
    (tmp_path / "my_terms.py").write_text(OWN)
    absent = ppo(tmp_path, "--out", "run", "--reward", "my_terms:nothing")
    assert absent.returncode == 2 and not (tmp_path / "run").exists()
    assert "error: --reward my_terms:nothing: my_terms has no nothing; it has" in absent.stderr
    wrong = ppo(tmp_path, "--out", "run", "--reward", "my_terms:of_three")
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr, "found as worlds run"
    assert "error: --reward my_terms:of_three: gives" in wrong.stderr and "in world" in wrong.stderr
