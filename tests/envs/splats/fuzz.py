"""Feeds damaged files to a reader of splats:
`python tests/envs/splats/fuzz.py READER --seconds 600 --seed N`.

READER is ply, compressed_ply, spz, splat or sog. Whatever comes in, a reader must give finite
splats or a `UserError` of one line, within 5 s and 2 GiB, without a warning, and write nothing.
Inputs that do otherwise are kept under --out; what was mended since lies in `seeds`, and the tests
read it again.
"""

import argparse
import hashlib
import io
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

if __name__ == "__main__":  # run as a script from the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.any import read_splats
from s2e.envs.splats.formats.compressed_ply import read_compressed_ply
from s2e.envs.splats.formats.dotsplat import read_dotsplat
from s2e.envs.splats.formats.ply import read_ply
from s2e.envs.splats.formats.sog import read_sog
from s2e.envs.splats.formats.spz import read_spz
from s2e.envs.splats.formats.whole import SplatWarning
from tests.envs.splats import mutations, samples

SEEDS = Path(__file__).parent / "seeds"
SECONDS, BYTES = 5.0, 2 << 30
READERS = {
    "ply": read_ply,
    "compressed_ply": read_compressed_ply,
    "spz": read_spz,
    "splat": read_dotsplat,
    "sog": read_sog,
}
Case = tuple[str, bytes]
"""File ending and bytes; the ending .folder is a zip that is unpacked into a folder first."""


class TooLong(BaseException):
    """A case took more than its time; not an `Exception`, so that no reader catches it."""


def corpus(reader: str) -> list[Case]:
    """Small valid files to damage."""
    made = [samples.make_splats(k, 5 + k, k, antialiased=k == 4) for k in (1, 4, 9, 16)]
    if reader == "ply":
        return [(".ply", samples.plain_ply(splats)) for splats in made]
    if reader == "compressed_ply":
        return [
            (".ply", samples.compressed_ply(splats, "antialiased 1", colours))
            for splats in made
            for colours in (True, False)
        ]
    if reader == "splat":
        return [(".splat", samples.dotsplat(splats)) for splats in made]
    if reader == "spz":
        return [
            (".spz", samples.spz(splats, version)) for splats in made for version in (1, 2, 3, 4)
        ]
    archives = [samples.sog_files(splats) for splats in made]
    packed = [(".sog", samples.zipped(files, zipfile.ZIP_DEFLATED)) for files in archives[:2]]
    return [
        *packed,
        *((".sog", samples.zipped(files)) for files in archives),
        *((".folder", samples.zipped(f)) for f in archives),
    ]


def put(case: Case, folder: Path) -> Path:
    """Writes a case into an empty folder."""
    ending, data = case
    path = folder / f"case{ending}"
    if ending != ".folder":
        path.write_bytes(data)
        return path
    path.mkdir()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name == Path(name).name and name not in ("", ".", ".."):
                (path / name).write_bytes(archive.read(name))
    return path


def judge(splats: Splats) -> str:
    """What is wrong with splats; nothing if they are fit for use."""
    arrays = {"means": 3, "quats": 4, "scales": 3}
    count = len(splats.opacities)
    if count == 0 or splats.sh.shape not in [(count, k, 3) for k in (1, 4, 9, 16)]:
        return f"shape {splats.sh.shape}"
    for name in (*arrays, "opacities", "sh"):
        values = getattr(splats, name)
        if (
            values.dtype != np.float32
            or not np.isfinite(values).all()
            or (name in arrays and values.shape != (count, arrays[name]))
        ):
            return (
                f"{name}: {values.dtype} {values.shape}, finite {bool(np.isfinite(values).all())}"
            )
    unit = np.abs(np.linalg.norm(splats.quats, axis=1) - 1).max() < 1e-3
    return (
        ""
        if unit and (splats.scales >= 0).all() and (abs(splats.opacities - 0.5) <= 0.5).all()
        else "out of range"
    )


def run(case: Case, reader: str, folder: Path) -> tuple[str, str]:
    """Reads one case: ("read" | "refused" | "found", why). `folder` is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = put(case, folder)
    before = sorted(folder.rglob("*"))
    started = time.monotonic()
    outcome, why = "found", ""
    for read in (read_splats, READERS[reader]):
        try:
            why = judge(read(path))
            outcome = "found" if why else "read"
        except UserError as error:
            why = str(error)
            outcome = (
                "refused" if "\n" not in why and str(path) in why and len(why) < 1000 else "found"
            )
        except (Exception, TooLong):
            outcome, why = "found", traceback.format_exc()
        if outcome == "found":
            break
    if time.monotonic() - started > SECONDS:
        return "found", f"took {time.monotonic() - started:.1f} s"
    if sorted(folder.rglob("*")) != before:
        return "found", "something was written"
    return outcome, why


def _limit() -> None:
    """Bounds memory and the time of a case, and makes warnings errors."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

    def stop(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", SplatWarning)  # that rows were dropped


def campaign(
    reader: str,
    seed: int,
    folder: Path,
    out: Path | None,
    seconds: float = np.inf,
    cases: float = np.inf,
) -> Counter:
    """Damages and reads until the time or the number of cases is reached; counts outcomes, writes
    what was found to `out`."""
    rng = np.random.default_rng([seed, *reader.encode()])
    valid = corpus(reader)
    counts: Counter = Counter()
    started, current = time.monotonic(), None if out is None else out / f"{reader}-running"
    while time.monotonic() - started < seconds and sum(counts.values()) < cases:
        case = mutations.damage(reader, valid, rng)
        if current is not None:  # what kills the process stays here
            current.write_bytes(case[1])
        if out is not None:
            signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
        outcome, why = run(case, reader, folder)
        if out is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        counts[outcome] += 1
        if outcome == "found":
            print(f"found: {why[-3000:]}", file=sys.stderr)
            counts[f"found: {why.strip().splitlines()[-1][:120]}"] += 1
            if out is not None:
                (out / f"{reader}-{hashlib.sha256(case[1]).hexdigest()[:12]}{case[0]}").write_bytes(
                    case[1]
                )
    if current is not None:
        current.unlink(missing_ok=True)
    return counts


def main() -> None:
    """Runs one reader's campaign and prints a line about it; exit code 1 when something was
    found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-found"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # imports happen before memory is limited
    run(corpus(options.reader)[0], options.reader, Path(tempfile.mkdtemp()))
    _limit()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as folder:
        counts = campaign(
            options.reader,
            options.seed,
            Path(folder) / "case",
            options.out,
            seconds=options.seconds,
        )
    taken = time.monotonic() - started
    total = counts["read"] + counts["refused"] + counts["found"]
    print(
        f"{options.reader}: {total} cases, {counts['refused']} refused, {counts['read']} read, "
        f"{counts['found']} found, "
        f"seed {options.seed}, {taken:.0f} s, {total / taken:.0f} cases/s"
    )
    raise SystemExit(1 if counts["found"] else 0)


if __name__ == "__main__":
    main()
