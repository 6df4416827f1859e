"""Simulated people beside real ones: fits speeds, groups and densities to recordings, and draws how
well the crowd matches them.

python -m s2e.benchmarks.speed.crowd --tracks DIR     DIR/eth/obsmat.txt and DIR/hotel/obsmat.txt

Every recorded person enters the simulation where and when they were first seen, heads for where
they were last seen, and has an own speed drawn from the fit, the group that the recording shows,
and nobody's track: what they do on the way is the simulation's.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import ks_2samp, wasserstein_distance

from s2e.core.errors import optional, run_command
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Walker
from s2e.envs.people.crowd import Robots, Walkable, step_crowd
from s2e.envs.people.people import GROUP_PACE, SPEED_MS, People
from s2e.envs.people.roadmap import Roadmaps
from s2e.envs.people.tracks import ANNOTATED_S, Tracks, read_tracks

WALKS_MS = 0.5  # a median speed below is standing
NEAR_M = 2.0  # radius of the local density
MARGIN_M = 3.0  # free ground around the recorded one
DT = 0.1


@dataclass(frozen=True)
class CrowdArgs:
    """Compare the crowd with recorded people."""

    tracks: Path
    """Folder with eth/obsmat.txt and hotel/obsmat.txt."""
    out: Path | None = None
    """Picture to write, e.g. docs/crowd.png."""


def sampled(tracks: Tracks) -> list[np.ndarray]:
    """(K, 5) track, x, y, vx, vy for each annotated instant."""
    size = np.diff(tracks.first)
    who = np.repeat(np.arange(len(size)), size)
    when = (
        np.rint(np.repeat(tracks.start_s, size) / ANNOTATED_S).astype(int)
        + np.arange(len(who))
        - np.repeat(tracks.first[:-1], size)
    )
    rows = np.column_stack([who, tracks.points])
    order = np.argsort(when, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(when[order])) + 1)


def speeds_of(tracks: Tracks) -> np.ndarray:
    """(T,) each one's median speed, m/s."""
    pieces = [tracks.points[a:b, 2:] for a, b in zip(tracks.first, tracks.first[1:])]
    return np.array([np.median(np.linalg.norm(p, axis=1)) for p in pieces])


def groups_of(tracks: Tracks, speeds: np.ndarray) -> np.ndarray:
    """(T,) the number of each one's group, -1 alone: walked within 1.6 m and 0.35 m/s of each other
    for 3 s or more, in the median.
    """
    pairs: dict[tuple[int, int], list] = {}
    for rows in sampled(tracks):
        for i, j in KDTree(rows[:, 1:3]).query_pairs(6.0):
            pairs.setdefault((int(rows[i, 0]), int(rows[j, 0])), []).append(
                rows[i, 1:] - rows[j, 1:]
            )
    group = np.arange(len(speeds))
    for (i, j), apart in pairs.items():
        far, drift = np.median(np.linalg.norm(np.array(apart).reshape(-1, 2, 2), axis=2), axis=0)
        if (
            min(speeds[i], speeds[j]) > WALKS_MS
            and len(apart) * ANNOTATED_S >= 3.0
            and far < 1.6
            and drift < 0.35
        ):
            group[group == group[j]] = group[i]
    sizes = np.bincount(group, minlength=len(group))
    return np.where(sizes[group] > 1, group, -1)


def figures(frames: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Speed, distance to the nearest other, and others within `NEAR_M`, for everybody at every
    instant.
    """
    speed, nearest, others = [], [], []
    for rows in frames:
        speed.append(np.linalg.norm(rows[:, 3:5], axis=1))
        tree = KDTree(rows[:, 1:3])
        distance = tree.query(rows[:, 1:3], 2)[0][:, 1]
        nearest.append(distance[np.isfinite(distance)])
        others.append(np.array([len(n) - 1 for n in tree.query_ball_point(rows[:, 1:3], NEAR_M)]))
    return {
        "speed": np.concatenate(speed),
        "nearest": np.concatenate(nearest),
        "others": np.concatenate(others),
    }


def densities(frames: list[np.ndarray]) -> np.ndarray:
    """People per square metre of ground that anybody used (cells of 0.5 m), at every instant with
    people.
    """
    cells = np.unique(np.floor(np.concatenate([r[:, 1:3] for r in frames]) / 0.5), axis=0)
    return np.array([len(r) for r in frames]) / (0.25 * len(cells))


def simulate(
    tracks: Tracks, speeds: np.ndarray, groups: np.ndarray, seed: int = 0
) -> list[np.ndarray]:
    """As `sampled`, of simulated people on open ground."""
    rng, low, high = (
        np.random.default_rng(seed),
        tracks.points[:, :2].min(0) - MARGIN_M,
        tracks.points[:, :2].max(0) + MARGIN_M,
    )
    columns, rows = np.ceil((high - low) / 0.2).astype(int)
    fields, maps = (
        DistanceFields.pack([Occupancy(np.zeros((rows, columns), bool), low, 0.2)]),
        Roadmaps.empty(1),
    )
    starts, ends = tracks.points[tracks.first[:-1], :2], tracks.points[tracks.first[1:] - 1, :2]
    leave = tracks.start_s + ANNOTATED_S * (np.diff(tracks.first) - 1)
    own = np.clip(rng.normal(*SPEED_MS, len(speeds)), 0.5, 2.2)
    # a group has one speed
    own = np.where(groups >= 0, GROUP_PACE * own[np.maximum(groups, 0)], own)
    people, who, one = People.empty(1, 96), np.full(96, -1), People.empty(1, 1)
    frames, arriving, none = (
        [],
        list(np.argsort(tracks.start_s, kind="stable")),
        np.zeros(1, dtype=int),
    )
    for step in range(int(tracks.duration_s / DT)):
        time = step * DT
        while arriving and tracks.start_s[arriving[0]] <= time:
            k = arriving.pop(0)
            kind = "group" if groups[k] >= 0 else "walk" if speeds[k] > WALKS_MS else "stand"
            one.place(
                0,
                [
                    Walker(
                        tuple(starts[k]),
                        tuple(ends[k]),
                        float(own[k]),
                        int(k),
                        kind,
                        int(groups[k]),
                    )
                ],
            )
            slot = int(np.argmin(people.active[0]))
            people.real[0, slot], people.whole[0, slot], people.active[0, slot] = (
                one.real[0, 0],
                one.whole[0, 0],
                True,
            )
            who[slot] = k
        step_crowd(
            people,
            np.array([time]),
            Robots(np.full((1, 3), -1e3), np.zeros((1, 2)), np.zeros((1, 1)), np.ones(1)),
            Walkable(fields, maps, none),
            DT,
        )
        stands = speeds[np.maximum(who, 0)] <= WALKS_MS
        gone = np.where(stands, time >= leave[np.maximum(who, 0)], people.leg[0] > 1)
        people.active[0] &= ~gone
        here = np.flatnonzero(people.active[0])
        if step % round(ANNOTATED_S / DT) == 0 and len(here):
            frames.append(
                np.column_stack([who[here], people.position[0, here], people.velocity[0, here]])
            )
    return frames


def compare(folder: Path) -> dict[str, dict]:
    """Fits and compares each recording."""
    results = {}
    for name in ("eth", "hotel"):
        tracks = read_tracks(folder / name / "obsmat.txt")
        speeds = speeds_of(tracks)
        groups, frames = groups_of(tracks, speeds), sampled(tracks)
        walking = speeds > WALKS_MS
        results[name] = {
            "real": figures(frames),
            "simulated": figures(simulate(tracks, speeds, groups)),
            "walking": speeds[walking],
            "stand": 1 - walking.mean(),
            "grouped": (groups[walking] >= 0).mean(),
            "spacing": np.median(figures(frames)["nearest"]),
            "density": densities(frames),
        }
    return results


def report(results: dict[str, dict]) -> None:
    """Prints the fit and the distances."""
    print(
        "recording  walking people  own speed m/s  in groups  standing  nearest m  people/m2 5 %  "
        "50 %  95 %"
    )
    every = np.concatenate([r["walking"] for r in results.values()])
    for name, r in results.items():
        low, middle, high = np.percentile(r["density"], [5, 50, 95])
        mean, sd = r["walking"].mean(), r["walking"].std()
        print(
            f"{name:9s}  {len(r['walking']):14d}  {mean:.2f} +- {sd:.2f}   {r['grouped']:9.2f}  "
            f"{r['stand']:8.2f}  {r['spacing']:9.2f}"
            f"  {low:13.3f}  {middle:4.3f} {high:.3f}"
        )
    print(f"both       {len(every):14d}  {every.mean():.2f} +- {every.std():.2f}")
    for name, r in results.items():
        for what in ("speed", "nearest"):
            real, ours = r["real"][what], r["simulated"][what]
            print(
                f"{name}: {what}: median {np.median(real):.2f} real, {np.median(ours):.2f} "
                "simulated; "
                f"Wasserstein {wasserstein_distance(real, ours):.3f}, KS "
                f"{ks_2samp(real, ours)[0]:.3f}"
            )


def draw(results: dict[str, dict], out: Path) -> None:
    """Speeds, nearest distances, and speed against local density: real and simulated."""
    optional("matplotlib", "the picture of --out", "dev").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.6), constrained_layout=True)
    for line, (name, r) in zip(axes, results.items()):
        for label, colour in (("real", "#444444"), ("simulated", "#d9730d")):
            f = r[label]
            shape = {
                "density": True,
                "histtype": "step",
                "color": colour,
                "label": label,
                "linewidth": 1.6,
            }
            line[0].hist(f["speed"], np.arange(0, 3.01, 0.1), **shape)
            line[1].hist(f["nearest"], np.arange(0, 6.01, 0.2), **shape)
            count = np.arange(7)
            walks = f["speed"] > 0.3
            mean = [
                np.mean(f["speed"][walks & (f["others"] == k)])
                if (walks & (f["others"] == k)).sum() > 20
                else np.nan
                for k in count
            ]
            line[2].plot((count + 1) / (np.pi * NEAR_M**2), mean, "o-", color=colour, label=label)
        line[0].set(title=f"{name}: speed", xlabel="m/s", ylabel="share")
        line[1].set(title=f"{name}: nearest person", xlabel="m")
        line[2].set(
            title=f"{name}: speed of who walks",
            xlabel="people per m$^2$ within 2 m",
            ylabel="m/s",
            ylim=(0, 2),
        )
        line[0].legend(frameon=False)
    figure.savefig(out, dpi=80)
    plt.close(figure)


def main(args: CrowdArgs) -> None:
    """Fits, prints, and draws where asked to."""
    results = compare(args.tracks)
    report(results)
    if args.out:
        draw(results, args.out)
        print(f"wrote {args.out}")


if __name__ == "__main__":
    import tyro

    run_command(lambda: main(tyro.cli(CrowdArgs)))
