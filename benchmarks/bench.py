"""`s2e-bench`: closed-loop evaluation in Gaussian-splat scenes.

What it can be asked for is in `args.py`.

Every episode is written in the scene's episode file; nothing is sampled here. Contacts are counted
and block the robot, they do not end an episode; success is coming within 1.0 m of the goal before
the time limit. Finished episodes are appended to episodes.jsonl at once, so an interrupted
benchmark continues where it stopped.
"""

import dataclasses
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from s2e import __version__
from s2e.benchmarks.agents import BASELINES, Planning, advice_of, baseline_of, make_agent
from s2e.benchmarks.args import BenchArgs, check_words, main
from s2e.benchmarks.failures import CAUSES
from s2e.benchmarks.films import FILMED, Film, choose_filmed, choose_kept
from s2e.benchmarks.metrics import differences, format_table, summarise
from s2e.benchmarks.origins import origin_of
from s2e.benchmarks.report import write_report
from s2e.benchmarks.runner import episode_worlds, run
from s2e.core import dist
from s2e.core.commandline import as_json
from s2e.core.errors import UserError, choose_device, require
from s2e.core.files import json_lines, read_json, sha256, write_whole
from s2e.core.lock import hold, release
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.scan.plan import top_down
from s2e.envs.scenes.episodes import SETTINGS, SOCIAL, check_episodes, read_episodes
from s2e.envs.scenes.files import SUITES, episodes_file, load_scene, scene_folder
from s2e.planner import Thinker, parse_planner
from s2e.policy.checkpoint import find_checkpoint, load_networks, read_policy_config
from s2e.policy.config import PRESETS

PROTOCOL = 2
"""How episodes are driven and judged, with gs_urban's files (assets/gs_urban/suite.json): figures
of another protocol are not compared with these. 1 was before the scenes shipped as files."""


def run_episodes(
    args: BenchArgs,
    policy: str,
    where: str,
    scene: Scene,
    episodes: list[Episode],
    jsonl: Path,
    filmed: int,
) -> dict[str, Film]:
    """Runs episodes side by side, one world each; appends a line for each when it ends. Returns
    films of `filmed` of them.
    """
    name = f"{where} {Path(policy).name}"
    # before what is built takes its time
    bar = tqdm(total=len(episodes), desc=name, unit="episode", miniters=0, disable=None)
    if bar.disable:
        print(f"{name}: {len(episodes)} episodes", file=sys.stderr, flush=True)
    baseline = baseline_of(policy)
    config = (
        PRESETS["laptop"]
        if baseline
        else read_policy_config(find_checkpoint(policy) / "config.json")
    )
    worlds = episode_worlds(
        scene,
        episodes,
        config,
        draw=baseline is None,
        robot=args.robot,
        physics=args.physics,
        splat_backend=args.splat_backend,
    )
    advice = None
    if baseline is None:
        advice = advice_of(planning_of(args), worlds, config, episodes)
    agent = make_agent(policy, worlds, args.device, args.recovery, advice)
    films = {w: Film() for w in choose_filmed(episodes, 0 if baseline else filmed)}
    world_of = {e.id: w for w, e in enumerate(episodes)}

    def watch(observation: dict[str, np.ndarray], live: np.ndarray) -> None:
        for w in films.keys() & set(live.tolist()):
            films[w].add(observation["rgb"][w])
        bar.set_postfix_str(f"{worlds.clock[live].max():.0f} s driven", refresh=False)
        bar.update(0)

    with bar:
        for record in run(worlds, agent, episodes, watch):
            line = {"scene": where} | record
            if advice:
                line["planner"] = advice.asked(world_of[record["id"]])
            with on_disk(jsonl), jsonl.open("a") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
            bar.update()
    if advice:
        advice.close()
        said = advice.thinker.statistics()
        note_slower(said.latencies_s, advice.runtime.timing.latency_s or 0.0)
        note_unrecorded(said.counts)
    return {episodes[w].id: film for w, film in films.items()}


def planning_of(args: BenchArgs) -> Planning:
    """Who advises, as the options say."""
    return Planning(
        args.planner,
        args.planner_weight,
        args.planner_fusion,
        args.planner_latency,
        args.planner_record,
    )


def note_slower(took_s: Sequence[float], declared_s: float) -> None:
    """Says where a planner took longer, of wall time, than is declared."""
    p50, p95 = np.percentile(took_s, [50, 95]) if len(took_s) else (0.0, 0.0)
    if p95 > declared_s:
        print(
            f"note: the planner took {p50:.1f} s in the median and {p95:.1f} s at 95 % for an "
            f"answer; {declared_s:g} s are declared (--planner-latency)",
            file=sys.stderr,
        )


def note_unrecorded(counts: dict[str, int]) -> None:
    """Says where a recording lacks answers."""
    if missing := counts.get("unrecorded", 0):
        print(
            f"note: {missing} of {counts['asked']} questions are not in the recording, and got no "
            "advice; episodes, policy and options are to be those of --planner-record",
            file=sys.stderr,
        )


def read_records(jsonl: Path) -> list[dict]:
    """The finished episodes of a results folder; a line cut by a kill is dropped."""
    if not jsonl.exists():
        return []
    lines = json_lines(jsonl.read_bytes())
    return list(
        {key(record): record for record in lines if {"scene", "id"} <= set(record)}.values()
    )


def key(record: dict) -> tuple[str, str]:
    """What tells episodes apart."""
    return record["scene"], record["id"]


def every_record(folder: Path) -> list[dict]:
    """The finished episodes of all ranks, each once."""
    return list(
        {
            key(r): r for path in sorted(folder.glob("episodes*.jsonl")) for r in read_records(path)
        }.values()
    )


def fingerprint(args: BenchArgs, policy: str) -> str:
    """What the results depend on: the scenes, their episodes, and the policy's weights. Other
    contents are another question.
    """
    files = [
        scene_folder(scene) / name
        for scene in chosen_scenes(args)
        for name in ("scene.json", "episodes.json")
    ]
    baseline = baseline_of(policy)
    files += baseline.files() if baseline else [find_checkpoint(policy) / "model.safetensors"]
    return hashlib.sha256(b"".join(bytes.fromhex(sha256(f)) for f in files)).hexdigest()


def chosen_scenes(args: BenchArgs) -> tuple[str, ...]:
    """The scenes that `--scene` stands for."""
    return SUITES.get(args.scene, (args.scene,))


def chosen_episodes(args: BenchArgs, scene: str) -> list[Episode]:
    """The episodes of a scene that were asked for; a note says where there are fewer."""
    listed = read_episodes(episodes_file(scene))
    social = any(e.setting == SOCIAL for e in listed)
    wanted = (SOCIAL,) if social else SETTINGS
    wanted = wanted if args.setting == "all" else (args.setting,)
    chosen = []
    for setting in wanted:
        of_setting = [e for e in listed if e.setting == setting]
        chosen += of_setting[: args.episodes or None]
    if not chosen:
        raise UserError(f"{scene}: episodes.json has no episode of setting {args.setting}")
    if len(chosen) < args.episodes * len(wanted):
        print(
            f"note: {scene} lists {len(chosen)} of the {args.episodes * len(wanted)} episodes that "
            "--episodes asks for",
            file=sys.stderr,
        )
    return chosen


def picture(scene: Scene) -> np.ndarray:
    """(H, W, 3) uint8 the ground from above, without roofs and crowns; a large place is drawn
    coarser.
    """
    grid, ground = scene.occupancy.grid, scene.ground
    highest = 0.0 if ground is None or grid.all() else float(ground.height[~grid].max())
    return top_down(
        scene,
        min(12.0, 1600.0 / (max(grid.shape) * scene.occupancy.resolution)),
        below_m=highest + 2.5,
    )


def unique_names(policies: tuple[str, ...]) -> list[str]:
    """A short name for each policy, safe as a folder's name."""
    names: list[str] = []
    for policy in policies:
        name = (
            policy if policy in BASELINES else re.sub(r"[^\w.-]", "_", Path(policy).resolve().name)
        )
        while name in names:
            name += "-2"
        names.append(name)
    return names


def check(args: BenchArgs) -> None:
    """Refuses what cannot be run, before anything is."""
    check_words(args)
    for where in chosen_scenes(args):
        if not os.path.isdir(scene_folder(where)):
            load_scene(where)  # which says that it is not there, and what is meant perhaps
    baselines = {policy: baseline_of(policy) for policy in args.policy}
    learned = [policy for policy, baseline in baselines.items() if baseline is None]
    alone = "--planner advises learned policies, and --policy names none; add a run folder"
    require(args.planner == "none" or bool(learned), alone)
    planner = parse_planner(args.planner, args.planner_record)
    for policy in learned:
        load_networks(policy)
    for baseline in baselines.values():
        if baseline is not None:
            baseline.check(args.robot)
    if planner is not None:
        ask_once(args, planner)


def ask_once(args: BenchArgs, planner: Thinker) -> None:
    """Asks a planner before anything is built, since a run without its answers is the bare
    policy's; closes it.
    """
    wrong = planner.problem() if args.planner_weight > 0 else ""
    planner.close()
    if not wrong:
        return
    said = f"--planner {args.planner} {wrong}"
    remedy = "see that the server runs, that URL and model are right, and for a key S2E_API_KEY"
    require(not args.planner_required, f"{said}; {remedy}, or leave --planner-required out")
    if int(os.environ.get("RANK", "0")) == 0:
        print(
            f"warning: {said}; as long as it does not, the figures are the bare policy's: {remedy}",
            file=sys.stderr,
        )


def bench(args: BenchArgs) -> None:
    """The whole command."""
    args = dataclasses.replace(args, device=choose_device(args.device))
    check(args)
    rank, world = dist.start(args.device)
    names = unique_names(args.policy)
    folders = [args.out if len(names) == 1 else args.out / name for name in names]
    for folder in {args.out, *folders} if rank == 0 else ():
        hold(folder)
    dist.barrier()  # no rank touches a folder before rank 0 holds it
    scenes = {
        where: load_scene(where)
        for where in tqdm(
            chosen_scenes(args), desc="scenes", unit="scene", disable=None, leave=False
        )
    }
    episodes = {where: chosen_episodes(args, where) for where in scenes}
    for where, listed in episodes.items():
        check_episodes(scene_folder(where) / "episodes.json", scenes[where], listed)
    summaries, records, clips = [], {}, {}
    for policy, name, folder in zip(args.policy, names, folders, strict=True):
        jsonl = open_results(
            folder, dataclasses.replace(args, policy=(policy,)), fingerprint(args, policy), rank
        )
        done = {key(r) for r in every_record(folder)}
        dist.barrier()  # nobody writes before all have read what is done
        shown: set[str] = set()  # causes of failure that have a clip
        for k, (where, scene) in enumerate(scenes.items()):
            left = [e for e in episodes[where][rank::world] if (where, e.id) not in done]
            if left:
                planned = args.clips if len(scenes) == 1 else int(k < args.clips)
                more = FILMED if args.clips and not shown.issuperset(CAUSES) else 0
                films = run_episodes(
                    args, policy, where, scene, left, jsonl, 0 if rank else max(planned, more)
                )
                ended = {r["id"]: r for r in read_records(jsonl) if r["scene"] == where}
                kept = choose_kept(list(films), ended, planned, shown)
                clips |= {
                    f"{name}, {where}, {id}: {outcome}": films[id].images()
                    for id, outcome in kept.items()
                }
        dist.barrier()
        if rank == 0:
            wanted = {(where, e.id) for where, listed in episodes.items() for e in listed}
            records[name] = [r for r in every_record(folder) if key(r) in wanted]
            lost = len(wanted) - len(records[name])
            require(
                lost == 0,
                f"{folder}: {lost} of {len(wanted)} episodes have no record; run the same command "
                "again",
            )
            version = f"{__version__}, protocol {PROTOCOL}"
            summary = summarise(
                records[name], args.scene, name, args.seed, version, baseline_of(policy) is None
            )
            with on_disk(folder / "summary.json"):
                write_whole(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
            summaries.append(summary)
    if rank == 0:
        report = args.out / "report.html"
        conditions = {
            "robot": args.robot,
            "physics": args.physics,
            "splats": args.splat_backend,
            "planner": args.planner,
        }
        conditions["contacts"] = "counted; they block, they do not end an episode"
        helped = (
            "where a policy is told to drive and stands, it backs off and turns away (not "
            "zero, straight, expert)"
        )
        conditions["recovery"] = (
            helped if args.recovery else "none: who stands in a jam gets out of it alone"
        )
        conditions |= {
            name: b.about for name, b in zip(names, map(baseline_of, args.policy), strict=True) if b
        }
        grounds = {where: (scene.occupancy, picture(scene)) for where, scene in scenes.items()}
        compared = differences(
            {s["policy"]: records[s["policy"]] for s in summaries if s["learned"]}, args.seed
        )
        with on_disk(report):
            if len(names) > 1:
                write_whole(args.out / "config.json", json.dumps(as_json(args), indent=2) + "\n")
            if compared:
                lines = json.dumps(
                    [dataclasses.asdict(d) | {"apart": d.apart} for d in compared], indent=2
                )
                write_whole(args.out / "comparisons.json", lines + "\n")
            made = [
                (n, p)
                for n, p in zip(names, args.policy, strict=True)
                if (b := baseline_of(p)) is None or b.files()
            ]
            origins = {name: found for name, policy in made if (found := origin_of(policy))}
            write_report(report, summaries, records, grounds, clips, conditions, compared, origins)
        print(format_table(summaries, compared))
        print(f"report: {report}")
    for folder in {args.out, *folders}:
        release(folder)
    dist.finish()


@contextmanager
def on_disk(file: Path) -> Iterator[None]:
    """While a results file is written: where the disk refuses, this is said, and how to go on.

    Raises:
        UserError: the disk refused. Episodes that are on it whole are kept; `open_results` cuts off
            what was written of the last.
    """
    try:
        yield
    except OSError as error:
        remedy = (
            "free some space and give the same command again: the episodes that are finished "
            "are kept"
        )
        raise UserError(f"{file}: not written ({error}); {remedy}") from None


QUESTION = (
    "policy",
    "planner",
    "planner_weight",
    "planner_fusion",
    "planner_latency",
    "robot",
    "recovery",
    "physics",
    "splat_backend",
    "files",
)
"""What of a config.json results depend on; the scenes, settings and episodes may become more."""


def open_results(folder: Path, args: BenchArgs, files: str, rank: int) -> Path:
    """The episodes file of this rank, cut back to its last whole line; a folder with results of
    another question is refused.

    Args:
        folder: of a policy's results. args: of this policy alone. files: see `fingerprint`. rank:
            of this process.
    """
    jsonl = folder / ("episodes.jsonl" if rank == 0 else f"episodes-{rank}.jsonl")
    asked = as_json(args) | {"files": files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        unknown = "of what the results are is not known: give another --out, or delete the folder"
        before = read_json(config, unknown) if rank == 0 and config.exists() else asked
        new = {"planner_fusion": "score", "planner_latency": None}  # older folders have none
        if any((new | before).get(name) != asked[name] for name in QUESTION):
            raise UserError(
                f"{folder}: holds results of another question or of other weights; give another "
                "--out or delete it"
            )
        if rank == 0 and (before != asked or not config.exists()):
            write_whole(config, json.dumps(asked, indent=2) + "\n")
        if jsonl.exists():
            # else the next record would be written onto what a kill left of the last
            with jsonl.open("r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
    except OSError as error:
        raise UserError(
            f"{folder}: results cannot be written there ({error}); give another --out"
        ) from None
    return jsonl


if __name__ == "__main__":
    main()
