"""Does a test notice when a line is wrong? `make mutants`: python -m tools.mutants.

cosmic-ray, because it mutates any line, also of kernels under `@njit` (mutmut 3 skips functions
that are decorated), and keeps what it has found out in an sqlite session, so that a run that was
stopped goes on. It mutates files in place: here those of a copy of the tree.
"""

import argparse
import ast
import hashlib
import multiprocessing
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cosmic_ray.commands
import cosmic_ray.mutating
import hypothesis  # noqa: F401  forks have it, see `in_fork`
import numba
import onnxruntime  # noqa: F401
import pytest
import scipy.spatial
import scipy.stats  # noqa: F401
import stable_baselines3  # noqa: F401
import torch  # noqa: F401
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out/mutants"
TREE = OUT / "tree"

GUARDS = {
    "s2e/policy/mixture.py": "policy/test_mixture.py",
    "s2e/core/observation.py": "core/test_observation.py",
    "s2e/policy/agent.py": "policy/test_agent.py",
    "envs/rewards.py": "envs/test_rewards.py",
    "benchmarks/metrics.py": "benchmarks/test_metrics.py",
    "envs/robots/kinematic.py": "envs/robots/test_kinematic.py envs/robots/test_kinds.py",
    "envs/robots/collision.py": "envs/robots/test_collision.py",
    "envs/robots/controller.py": "envs/robots/test_controller.py envs/robots/test_kinds.py",
    "s2e/policy/anchors.py": "policy/test_anchors.py",
    "rl/ppo.py": "rl/test_update.py",
    "pretrain/samples.py": "pretrain/test_samples.py laws/test_turned_world.py",
    "rl/coach.py": "rl/test_ghost.py rl/test_coach.py",
    "envs/geometry/camera.py": "envs/geometry/test_camera.py",
    "envs/splats/transform.py": "envs/scan/test_transform.py envs/scan/test_clean.py",
    "pretrain/metrics.py": "pretrain/test_metrics.py",
    "s2e/core/dist.py": "core/test_dist.py test_distributed.py",
    "s2e/policy/network.py": "policy/test_network.py",
    "envs/worlds.py": "envs/test_worlds.py",
    "envs/rays.py": "envs/test_rays.py",
    "pretrain/batches.py": "pretrain/test_batches.py",
    "envs/scenes/episodes.py": "envs/scenes/test_episodes.py envs/scenes/test_placing.py",
    "envs/splats/views.py": "envs/splats/test_raster.py",
    "envs/splats/project.py": "envs/splats/test_reference.py envs/splats/test_raster.py",
    "rl/lessons.py": "rl/test_lessons.py",
    "rl/sense.py": "rl/test_ppo.py rl/test_ranks.py",
    "rl/policy.py": "rl/test_policy.py rl/test_ppo.py",
    "rl/train.py": "rl/test_ppo.py rl/test_reward.py",
    "s2e/policy/navigator.py": "policy/test_navigator.py",
    "pretrain/train.py": "pretrain/test_train.py",
}
"""Module to the tests that guard it, below tests/: most important first."""

FRESH = ("envs/splats/project.py",)
"""Modules whose kernels, or numbers, kernels of other files have compiled into themselves: numba
would take those from its cache, with what was right in them. So each mutant gets a cache of its
own. Elsewhere a mutated file is compiled anew because its time has changed."""

# One wrong operator for each right one and, of comparisons, the edge as well: more would only
# repeat what these say.
OPERATORS = re.compile(
    "core/(ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul"
    "|RShift_LShift|LShift_RShift|BitOr_BitAnd|BitAnd_BitOr|BitXor_BitAnd)"
    "|ReplaceComparisonOperator_(Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt"
    "|Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is)"
    "|ReplaceUnaryOperator_Delete_(USub|Invert|Not)|AddNot|ReplaceTrueWithFalse"
    "|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue"
    "|ReplaceContinueWithBreak|NumberReplacer|ZeroIterationForLoop)"
)

EXAMPLES = ("_example",)
"""Functions whose numbers are examples: others would do."""


@dataclass
class Guarded:
    """A module, its session file and its tests."""

    module: str

    @property
    def tests(self) -> list[str]:
        """Their files."""
        return [f"tests/{name}" for name in GUARDS[self.module].split()]

    @property
    def session(self) -> Path:
        """Where results are kept."""
        return OUT / (self.module.removesuffix(".py").replace("/", ".") + ".sqlite")

    @property
    def command(self) -> str:
        """The arguments of pytest, with a word before them, see `in_fork`."""
        cache = "fresh" if self.module in FRESH else "kept"
        return shlex.join([cache, "-x", "-q", "-p", "no:cacheprovider", *self.tests])


def copy_tree() -> None:
    """Makes the copy what the checkout is. Files that did not change keep their times, so that
    kernels stay compiled.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = {name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)}
    for name in sorted(names):
        here, there = ROOT / name, TREE / name
        if there.is_symlink() or (there.exists() and here.read_bytes() == there.read_bytes()):
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(here, there, follow_symlinks=False)
    for path in TREE.rglob("*.py"):  # a test or module that is gone would still be imported
        if str(path.relative_to(TREE)) not in names:
            path.unlink()


def meaningless(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where (line, column) a mutant says nothing: annotations (`A | B`), decorators,
    words for people.
    """
    parts = [
        part
        for node in ast.walk(ast.parse(source))
        for part in [
            *(getattr(node, name, None) for name in ("annotation", "returns", "exc")),
            *getattr(node, "decorator_list", ()),
            node if isinstance(node, ast.JoinedStr) else None,
        ]
        if isinstance(part, ast.expr)
    ]
    return [((p.lineno, p.col_offset), (p.end_lineno or 0, p.end_col_offset or 0)) for p in parts]


def place(item: WorkItem) -> tuple:
    """What a mutant is known by from run to run: its session's id is drawn anew."""
    mutation = item.mutations[0]
    return mutation.start_pos, mutation.operator_name, mutation.occurrence


def drawn(items: tuple[WorkItem, ...], source: str, count: int | None) -> list[WorkItem]:
    """The mutants that mean something, `count` of them by seeded chance: a larger count has those
    of a smaller one.
    """
    spans = meaningless(source)

    def means_something(mutation: MutationSpec) -> bool:
        inside = (start <= mutation.start_pos < end for start, end in spans)
        return (
            OPERATORS.fullmatch(mutation.operator_name) is not None
            and mutation.definition_name not in EXAMPLES
            and not any(inside)
        )

    kept = sorted((item for item in items if means_something(item.mutations[0])), key=place)
    random.Random(0).shuffle(kept)
    return kept[:count]


def run_pytest(arguments: list[str], fresh: bool, said: Path) -> None:
    """In a fork: the tests of the copy, what they say into a file; exits as pytest does."""
    os.setpgrp()  # not a session: on Linux a new one would leave the priority of `nice` behind
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(TREE)
    sys.path[:] = [str(TREE), *(p for p in sys.path if p not in ("", str(ROOT)))]
    os.environ |= {"PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    if fresh:
        os.environ["NUMBA_CACHE_DIR"] = str(said.parent)
    numba.config.reload_config()  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(int(pytest.main(arguments)))


def in_fork(command: str, timeout: float) -> tuple[TestOutcome, str]:
    """cosmic-ray's `run_tests` in a fork of this process, which has torch and numba loaded: that is
    most of what fast tests wait for. The command's first word says whether kernels are compiled
    afresh.
    """
    cache, *arguments = shlex.split(command)
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.txt"
        process = multiprocessing.get_context("fork").Process(
            target=run_pytest, args=(arguments, cache == "fresh", said)
        )
        process.start()
        try:
            process.join(timeout)
        finally:  # also after Ctrl-C
            if process.is_alive() and process.pid:
                os.killpg(process.pid, signal.SIGKILL)
                process.join()
        text = said.read_text(errors="replace")[-20_000:] if said.exists() else ""
    killed = process.exitcode != 0
    return TestOutcome.KILLED if killed else TestOutcome.SURVIVED, text


def digest(paths: list[str]) -> str:
    """SHA-256 of files of the copy: the checkout may be edited while mutants run."""
    return hashlib.sha256(b"\0".join((TREE / p).read_bytes() for p in paths)).hexdigest()


def results(db: WorkDB, guarded: Guarded) -> dict[str, WorkResult]:
    """What is known of mutants, by their id. A survivor of tests that have changed since is not
    known; whoever was killed stays so.
    """
    tests = digest(guarded.tests)
    known: Any = dict(db.results)
    return {k: r for k, r in known.items() if r.is_killed or (r.output or "").startswith(tests)}


def examine(guarded: Guarded, count: int | None) -> None:
    """Runs the mutants of one module that are not known yet."""
    source = (TREE / guarded.module).read_text()
    stamp = guarded.session.with_suffix(".sha256")
    if not stamp.exists() or stamp.read_text() != digest([guarded.module]):
        guarded.session.unlink(missing_ok=True)  # other lines, other mutants
    with use_db(guarded.session) as db:
        if not db.num_work_items:
            cosmic_ray.commands.init([Path(guarded.module)], db, {})
            stamp.write_text(digest([guarded.module]))
        known = results(db, guarded)
        todo = [i for i in drawn(db.work_items, source, count) if i.job_id not in known]
        if not todo:
            return
        began = time.monotonic()
        outcome, text = in_fork(guarded.command, 3600)
        if outcome == TestOutcome.KILLED:
            print(text[-3000:])
            raise SystemExit(f"{guarded.module}: its tests fail without a mutant, see above")
        timeout = 30 + 5 * (time.monotonic() - began)
        tests = digest(guarded.tests)
        for item in tqdm(todo, desc=guarded.module, unit="mutant"):
            result = cosmic_ray.mutating.mutate_and_test(item.mutations, guarded.command, timeout)
            text = f"{tests}\n{result.output}"
            db.set_result(
                item.job_id,
                WorkResult(result.worker_outcome, text, result.test_outcome, result.diff),
            )


def report(count: int | None) -> str:
    """A table of every module that has been examined, then the survivors."""
    from s2e.benchmarks.metrics import wilson  # here: forks have to import the copy's own

    def row(name: str, killed: int, trials: int) -> str:
        low, high = wilson(killed, trials)
        return f"| {name} | {trials} | {killed} | {killed / trials:.2f} [{low:.2f}, {high:.2f}] |"

    rows, survivors, every = [], [], []
    for module in GUARDS:
        guarded = Guarded(module)
        if not guarded.session.exists():
            continue
        with use_db(guarded.session) as db:
            known = results(db, guarded)
            items = drawn(db.work_items, (TREE / module).read_text(), count)
            found = [(item, known[item.job_id]) for item in items if item.job_id in known]
        if not found:
            continue
        every += [result.is_killed for _, result in found]
        rows.append(row(module, sum(result.is_killed for _, result in found), len(found)))
        for item, result in sorted(found, key=lambda pair: place(pair[0])):
            if not result.is_killed:
                changed = [
                    x for x in (result.diff or "").split("\n") if re.match(r"[-+](?![-+])", x)
                ]
                line = item.mutations[0].start_pos[0]
                survivors.append("\n".join([f"{module}:{line}", *changed]))
    if not every:
        return "no mutant has been examined yet"
    head = ["| module | mutants | killed | share [95 %] |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, row("all", sum(every), len(every)), "", *survivors])


def main() -> None:
    """Examines the named modules, or all, and says who survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="as in the table of this file; all without")
    parser.add_argument("--mutants", type=int, help="how many of each module, by seeded chance")
    options = parser.parse_args()
    unknown = set(options.modules) - set(GUARDS)
    if unknown:
        parser.error(f"not in the table of tools/mutants.py: {', '.join(sorted(unknown))}")
    OUT.mkdir(parents=True, exist_ok=True)
    copy_tree()
    os.chdir(TREE)  # cosmic-ray mutates what lies below the current folder
    cosmic_ray.mutating.run_tests = in_fork
    try:
        for module in options.modules or GUARDS:
            examine(Guarded(module), options.mutants)
    except KeyboardInterrupt:
        print("stopped; the same command goes on")
    text = report(options.mutants)
    (OUT / "report.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
