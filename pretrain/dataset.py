"""From the command line's datasets to the samples of a run: what is trained on, what is watched,
what is judged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.core.cache import cache
from s2e.core.errors import UserError, require
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import VisualNet
from s2e.pretrain.args import PretrainArgs
from s2e.pretrain.samples import Samples, make_samples, split_walks
from s2e.pretrain.stills import StillSamples, split_scenes, still_samples
from s2e.pretrain.tokens import FrameStore, TokenStore
from s2e.video.files import lines_of
from s2e.video.options import ReadOptions
from s2e.video.readers.formats import read_walks
from s2e.video.resample import trajectory
from s2e.video.stills import Stills, read_stills
from s2e.video.walk import Skipped, Walk


@dataclass(frozen=True)
class Data:
    """The samples of a run, and where their frames are.

    Attributes:
        training: what is learned from. watched: for the validation loss. judged: for the result;
            the same samples as `watched`, unless --held-out and --patience are given both: a run
            that stops when it is best on some walks must be judged on others.
        stills: what free space is learned from. unseen: those that it is judged by; None where
            there are none.
        store: tokens of the frames (frozen encoder) or the frames (trained encoder).
    """

    training: Samples
    watched: Samples
    judged: Samples
    store: TokenStore | FrameStore
    stills: StillSamples | None = None
    unseen: StillSamples | None = None


def load_data(
    args: PretrainArgs, config: PolicyConfig, net: VisualNet, say: Callable[[str], None]
) -> Data:
    """Reads the walks, encodes what is not in the cache yet, divides them; says what was left out.

    Raises:
        UserError: no good walk, none long enough, or no free space to learn.
    """
    walks, skipped = read_walks(args.data, ReadOptions(args.hz, args.image, args.poses, args.scale))
    store = (
        FrameStore(config, cache())
        if config.train_encoder
        else TokenStore(net, config, cache(), args.device)
    )
    stills, dropped = read_stills(args.stills) if args.stills else ([], [])
    places, good, unreadable = store.add([*walks, *stills])
    if len(good) < len(walks) + len(stills) and any(not _has(good, s) for s in stills):
        # a shard with a broken frame loses that frame, not all of them
        stills, more = _mended(stills, good)
        dropped, unreadable = (
            dropped + more,
            [u for u in unreadable if u.source not in {s.source for s in stills}],
        )
        places, good, _ = store.add([*walks, *stills])
    first = {id(film): place for film, place in zip(good, places, strict=True)}
    walks = [w for w in walks if id(w) in first]
    require(
        len(walks) > 0,
        f"no walk has readable frames; the first: {unreadable[0].reason if unreadable else ''}",
    )
    for line in lines_of([(walk.name, fact) for walk in walks for fact in walk.notes]):
        say(line)
    for entry in skipped + unreadable:
        say(f"skipped {entry.source.name}: {entry.reason}")
    training, watched, judged = divide(walks, args)
    say(
        f"{len(walks)} walks, {sum(map(len, walks))} frames, "
        f"{sum(s.walks for s in [*skipped, *unreadable])} skipped; "
        f"{len(training)} to train on, {len(judged)} held out"
        + (f", {len(watched)} to watch for early stopping" if watched is not judged else "")
    )

    def samples(part: list[Walk], what: str) -> Samples:
        made = make_samples(part, config, np.array([first[id(w)] for w in part]))
        seconds = config.waypoints * config.waypoint_dt_s
        require(
            len(made) > 0,
            f"{part[0].source}: no walk {what} is longer than the predicted {seconds:g} s; give "
            "longer ones",
        )
        return made

    train = samples(training, "to train on")
    if args.free_space and np.isnan(train.free_space).all():
        raise UserError(
            f"--free-space {args.free_space:g}: no training walk has free space; add some of "
            "s2e-data record, or drop it"
        )
    watch = samples(watched, "held out")
    judge = watch if watched is judged else samples(judged, "held out")
    if not stills:
        return Data(train, watch, judge, store)
    every, scene = still_samples(stills, np.array([first[id(s)] for s in stills]))
    learned, unseen = split_scenes(scene, every.look, args.validation, args.seed)
    say(
        f"{len(every)} stills, {len(dropped)} dropped; {len(learned)} to train on, {len(unseen)} "
        "of scenes held out"
    )
    for entry in dropped[:3]:
        say(f"dropped {entry.reason}")
    if len(dropped) > 3:
        say(f"and {len(dropped) - 3} more")
    return Data(train, watch, judge, store, every.part(learned), every.part(unseen))


def _has(films: Sequence[Walk | Stills], film: Walk | Stills) -> bool:
    return any(film is other for other in films)


def _mended(
    stills: list[Stills], good: Sequence[Walk | Stills]
) -> tuple[list[Stills], list[Skipped]]:
    """The shards without the frames that cannot be decoded, and these."""
    kept: list[Stills] = []
    bad: list[Skipped] = []
    for shard in stills:
        whole, broken = (shard, []) if _has(good, shard) else shard.readable()
        kept += [whole] if len(whole) else []
        bad += broken
    return kept, bad


def divide(walks: Sequence[Walk], args: PretrainArgs) -> tuple[list[Walk], list[Walk], list[Walk]]:
    """Walks to train on, to watch and to judge by; whole walks with all their pieces, never frames
    of one in two parts.
    """
    if args.held_out is None:
        training, watched = split_walks(walks, args.validation, args.seed)
        judged = watched
    else:
        named = named_walks(args.held_out, walks)
        judged = [w for w in walks if trajectory(w.name) in named]
        training = [w for w in walks if trajectory(w.name) not in named]
        require(len(training) > 0, f"{args.held_out}: names every walk; leave some to train on")
        watched = judged
        if args.patience:
            training, watched = split_walks(training, args.validation, args.seed)
    return share(training, args.fraction, args.seed), watched, judged


def named_walks(path: Path, walks: Sequence[Walk]) -> set[str]:
    """The names that a file lists, one a line, as GNM's traj_names.txt does; a piece (`walk+0`)
    stands for the whole `walk`.

    Raises:
        UserError: the file is not readable text, empty, or names a walk that is not there.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--held-out {path}: not readable ({error}); give a text file with names of walks, one "
            "a line"
        ) from None
    have = {trajectory(w.name) for w in walks}
    names = {
        name: number for number, line in enumerate(lines, 1) if (name := line.strip().rstrip("/"))
    }
    require(bool(names), f"--held-out {path}: names no walk; give one name a line")
    known = ", ".join(sorted(have)[:3])
    for name, number in names.items():
        require(
            trajectory(name) in have,
            f"--held-out {path}: line {number}: no walk is called {name!r}; there is {known}...",
        )
    return {trajectory(name) for name in names}


def share(walks: list[Walk], fraction: float, seed: int) -> list[Walk]:
    """The part of the walks that a data sweep uses, one at least, with all its pieces: smaller
    fractions are inside larger ones.
    """
    # Pieces go by name; whole walks one by one, since two datasets may give them equal names.
    groups = [i if (whole := trajectory(w.name)) == w.name else whole for i, w in enumerate(walks)]
    every = list(dict.fromkeys(groups))
    order = np.random.default_rng([seed, 3]).permutation(len(every))
    kept = {every[i] for i in order[: max(1, round(fraction * len(every)))]}
    return [w for w, group in zip(walks, groups, strict=True) if group in kept]
