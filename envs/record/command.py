"""`s2e-data`: record, convert and check navigation video; what it can be asked for is in
`data_args.py`.
"""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s2e.core.errors import UserError, require
from s2e.core.lock import check_place
from s2e.core.memory import require_memory
from s2e.envs.record.args import Check, Convert, Reading, Record, Stats, StillsArgs, main
from s2e.envs.record.stills import VIEWS, record_stills
from s2e.envs.record.walks import Settings, record
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.vector import worlds_bytes
from s2e.video.check import Row, check_walks, kept, span, table_of
from s2e.video.convert import Conversion, convert
from s2e.video.files import lines_of
from s2e.video.options import ReadOptions
from s2e.video.readers.formats import NoWalks, read_walks
from s2e.video.readers.remote import is_url, shown
from s2e.video.stats import draw, measure, table
from s2e.video.stills import is_stills, read_stills
from s2e.video.stills import table as stills_table
from s2e.video.walk import Body, Skipped, Walk

MOST_SAID = 10
"""Stills left out whose reasons are printed."""


def _record(args: Record) -> None:
    require_memory("--envs", args.envs, *worlds_bytes(args.scenes, own=False))
    same = {f.name: getattr(args, f.name) for f in fields(Settings)}
    counts = record(args.out, args.frames, Settings(**same), args.resume)
    failed = ", ".join(f"{robot} {n}" for robot, n in sorted(counts.failed.items()))
    left = f"{sum(counts.failed.values())} failed drives left out" + (
        f" ({failed})" if failed else ""
    )
    print(f"{args.out}: {counts.walks} walks, {counts.frames} frames; {left}")


def _stills(args: StillsArgs) -> None:
    same = {f.name: getattr(args, f.name) for f in fields(Settings) if hasattr(args, f.name)}
    count = record_stills(args.out, args.frames, Settings(envs=VIEWS, **same), args.resume)
    print(f"{args.out}: {count} stills")


def _options(args: Reading) -> ReadOptions:
    return ReadOptions(args.hz, args.image, args.poses, args.scale)


def _check(args: Check) -> None:
    options = _options(args)
    if args.json is not None:
        check_place(args.json.absolute().parent, "--json")
    rows, found, first = [], [], {}
    still = [path for path in args.data if is_stills(path)]
    paths = [path for path in args.data if path not in still]
    alone, usable = len(args.data) == 1, 0
    for path in still:
        usable += _check_stills(path, found, alone, args.json)
    for path in paths:
        walks, skipped, error = _read(path, options, alone)
        name = shown(path)
        row = Row(name, walks=len(walks) + sum(s.walks for s in skipped))
        for text, place in [(s.reason, str(s.source)) for s in skipped] or [(str(error), name)] * (
            error is not None
        ):
            found.append(
                {
                    "data": path,
                    "walk": name if is_url(path) else place,
                    "kind": "unreadable",
                    "text": text,
                    "drop": True,
                }
            )
        notes = []
        with tqdm(
            total=sum(map(len, walks)),
            desc=f"check {_last(path)}",
            unit="frame",
            disable=None,
            leave=False,
        ) as bar:
            for walk, findings in check_walks(walks, bar.update, first):
                row.count(walk, kept(walk, findings))
                for finding in findings:
                    found.append({"data": path, **asdict(finding)})
                    if finding.drop:
                        _say(f"left out {name}: {walk.name}: {span(finding)}{finding.text}")
                    else:
                        notes.append((f"{name}: {walk.name}", f"{span(finding)}{finding.text}"))
        _say_notes(notes)
        rows.append(row)
        if error and alone:
            _write_json(args.json, found)
            raise error
    if rows:
        print("\n".join(table_of(rows)))
    _write_json(args.json, found)
    require(
        usable > 0 or any(r.kept_frames for r in rows), "no walk is usable; the reasons are above"
    )


def _check_stills(path: str, found: list[dict[str, Any]], alone: bool, file: Path | None) -> int:
    """Says what a dataset of stills holds and what of it is left out, which is added to `found`;
    returns how many are usable.
    """
    name = shown(path)
    try:
        stills, left_out = read_stills([path])
    except UserError as error:
        found.append(
            {"data": path, "walk": name, "kind": "unreadable", "text": str(error), "drop": True}
        )
        if alone:
            _write_json(file, found)
            raise
        _say(f"left out {error}")
        return 0
    good = []
    with tqdm(
        total=sum(map(len, stills)),
        desc=f"check {_last(path)}",
        unit="still",
        disable=None,
        leave=False,
    ) as bar:
        for shard in stills:
            whole, broken = shard.readable(bar.update)
            good.append(whole)
            left_out += broken
    found += [
        {"data": path, "walk": str(e.source), "kind": "unreadable", "text": e.reason, "drop": True}
        for e in left_out
    ]
    for entry in left_out[:MOST_SAID]:
        _say(f"left out {entry.reason}")
    if len(left_out) > MOST_SAID:
        _say(f"left out {len(left_out) - MOST_SAID} more; --json FILE has every one")
    if sum(map(len, good)):
        print(f"{name}: {stills_table(good, len(left_out))}")
    return sum(map(len, good))


def _read(
    path: str, options: ReadOptions, alone: bool
) -> tuple[list[Walk], list[Skipped], UserError | None]:
    """Walks of one dataset, the bad ones, and the error where none is good; says what is left out.

    An error that is about to end the command, as there is no other dataset (`alone`), is not said
    twice.
    """
    try:
        walks, skipped = read_walks([path], options)
        error = None
    except UserError as why:
        walks, skipped, error = [], why.skipped if isinstance(why, NoWalks) else [], why
    if error and not skipped and not alone:
        _say(f"left out {error}")
    for entry in skipped if walks or not alone or len(skipped) > 1 else []:
        # `Path` makes one slash of a URL's two; the reason names the shard.
        place = "" if is_url(path) else f"{entry.source}: "
        _say(f"left out {place}{entry.reason.removeprefix(place)}")
    return walks, skipped, error


def _last(path: str) -> str:
    """A dataset's short name."""
    return Path(path.split("?")[0] if is_url(path) else path).name or path


def _say(text: str) -> None:
    tqdm.write(
        "\n".join(
            textwrap.wrap(
                text, 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
            )
        )
    )


def _say_notes(notes: Sequence[tuple[str, str]]) -> None:
    """Notes of (where, text); those of many walks once."""
    for line in lines_of(notes):
        _say(line)


def _write_json(file: Path | None, found: Sequence[dict[str, Any]]) -> None:
    if file is None:
        return
    try:
        file.write_text("".join(json.dumps(f) + "\n" for f in found))
    except OSError as error:
        raise UserError(
            f"{file}: cannot be written ({error.strerror or error}); give another --json"
        ) from None


def _convert(args: Convert) -> None:
    options = _options(args)
    sources = [path if is_url(path) else Path(path) for path in args.data]
    size = args.height, args.width
    settings = Conversion(args.to, args.to_hz, args.keep_all, *size, args.shard_mb, _body(args))
    report = convert(sources, args.out, settings, options)
    for text in report.left_out:
        _say(f"left out {text}")
    _say_notes([(walk, note) for walk, _, note in (text.partition(": ") for text in report.notes)])
    many = (
        f"{report.walks} walks in {report.pieces} pieces"
        if report.pieces > report.walks
        else f"{report.walks} walks"
    )
    rates = [f"{hz:.3g}" for hz in sorted(report.hz)]
    hz = f" at {' to '.join(dict.fromkeys(rates[:1] + rates[-1:]))} Hz" if rates else ""
    print(
        f"{args.out}: {many}, {report.frames} frames{hz}, {report.seconds / 60:.1f} minutes, "
        f"{report.metres / 1000:.2f} km"
    )


def _body(args: Convert) -> Body:
    require(not args.camera_height <= 0, f"--camera-height is {args.camera_height}; metres above 0")
    require(not (args.hfov <= 0 or args.hfov > 360), f"--hfov is {args.hfov}; degrees, up to 360")
    robot = ROBOTS.get(args.robot)
    if robot is None:
        return Body(args.robot, camera_height_m=args.camera_height, camera_hfov_deg=args.hfov)
    # a robot's camera here is one of ours: a real one's must be told
    camera = (args.camera_height, args.hfov)
    return Body(robot.name, robot.length, robot.width, robot.v_max, robot.omega_max, *camera)


def _stats(args: Stats) -> None:
    options = _options(args)
    check_place(args.out.absolute().parent)
    datasets, alone = {}, len(args.data) == 1
    for path in args.data:
        walks, _, error = _read(path, options, alone)
        if error and alone:
            raise error
        if walks:
            _say_notes(
                [(f"{shown(path)}: {walk.name}", fact) for walk in walks for fact in walk.notes]
            )
            name = _last(path)
            datasets[name if name not in datasets else shown(path)] = walks
    require(bool(datasets), "no walk is usable; the reasons are above")
    measured = {name: measure(walks) for name, walks in datasets.items()}
    print("\n".join(table(measured)))
    draw(datasets, measured, args.out)
    print(f"drawn: {args.out}")


def run(args: Record | StillsArgs | Convert | Check | Stats) -> None:
    """Does what was asked for."""
    run_of: dict[type, Any] = {
        Record: _record,
        StillsArgs: _stills,
        Convert: _convert,
        Check: _check,
        Stats: _stats,
    }
    run_of[type(args)](args)


if __name__ == "__main__":
    main()
