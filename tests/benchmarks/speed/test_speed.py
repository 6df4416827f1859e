from s2e.benchmarks.speed.command import SpeedArgs, rank_steps


def test_a_rank_updates_and_says_how_fast(capsys):
    rank_steps(SpeedArgs(envs=2, scenes=1, seconds=0.1))
    assert float(capsys.readouterr().out.split()[-1]) > 0
