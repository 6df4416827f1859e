"""What a policy's context says of free space, read against stills:
`python -m experiments.seeing --policy P --stills DIR`.

Any policy with a free-space head, any dataset of `s2e-data stills`. The goal and the robot's motion
are hidden, and the history is the same frame again and again, as at the beginning of an episode.
Stills that the policy was trained on are not told from others.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from tqdm import tqdm

from s2e.core.errors import UserError, choose_device, require, run_command
from s2e.policy.agent import Inputs, attend
from s2e.policy.checkpoint import load_networks
from s2e.policy.encoder import FrozenEncoder, VisualNet
from s2e.policy.network import S2EPolicy
from s2e.pretrain.stills import format_seeing, seeing_by_look, still_batch, still_samples
from s2e.video.stills import Stills, read_stills

BATCH = 64


@dataclass(frozen=True)
class Args:
    """Read free space from policies' context tokens."""

    policy: tuple[str, ...]
    """Runs, checkpoints, exported folders or shipped policies."""
    stills: tuple[str, ...]
    """Datasets of stills, each read apart: folders, shards or URLs."""
    most: int = 4000
    """Stills to read of each, spread over all; 0 is all of them."""
    json: Path | None = None
    """Also write the figures into this file."""
    device: str = "auto"
    """Torch device: auto (CUDA where there is one), cpu or cuda."""


@torch.no_grad()
def read_policy(
    policy: S2EPolicy, net: VisualNet, shards: list[Stills], most: int, device: str
) -> dict[str, dict[str, float]]:
    """`seeing` of a policy by look, of at most `most` stills (0: all).

    Raises:
        UserError: a frame cannot be read.
    """
    config, policy = policy.config, policy.eval().to(device)
    encoder = FrozenEncoder(net, config, device)
    samples, _ = still_samples(shards, np.cumsum([0, *map(len, shards)])[:-1])
    index = np.unique(
        np.linspace(0, len(samples) - 1, min(most or len(samples), len(samples)))
        .round()
        .astype(int)
    )
    owner = np.repeat(np.arange(len(shards)), [len(s) for s in shards])[index]
    first = np.cumsum([0, *map(len, shards)])
    said = []
    with tqdm(total=len(index), desc="seeing", unit="still", disable=None, leave=False) as bar:
        for number, shard in enumerate(shards):
            own = index[owner == number]
            for start in range(0, len(own), BATCH):
                which = own[start : start + BATCH]
                part = shard.part(which - first[number])
                frames = np.stack(list(part.images(config.height_px, config.width_px)))
                newest, older = (torch.from_numpy(t).float().to(device) for t in encoder(frames))
                older = older[:, None].expand(-1, config.history - 1, -1)
                batch, hide = still_batch(samples, which, config, None)
                vectors = [v.to(device) for v in (batch.goal, batch.ego, batch.robot, *hide)]
                context = attend(policy, Inputs(newest, older, *vectors))
                said.append(policy.free_space(context).cpu().numpy())
                bar.update(len(which))
    return seeing_by_look(np.concatenate(said), samples.free_space[index], samples.look[index])


def _main(args: Args) -> None:
    require(bool(args.policy) and bool(args.stills), "give --policy and --stills")
    require(args.most >= 0, f"--most is {args.most}; 0 or more stills")
    device = choose_device(args.device)
    found = []
    data = {path: read_stills([path])[0] for path in args.stills}
    for name in args.policy:
        policy, net = load_networks(name)
        require(policy.config.free_space, f"{name}: has no free-space head; pretrain with --stills")
        for path, shards in data.items():
            rows = read_policy(policy, net, shards, args.most, device)
            print(f"{name} in {Path(path).name or path}\n{format_seeing(rows)}")
            found += [
                {"policy": name, "stills": path, "look": look, **row} for look, row in rows.items()
            ]
    if args.json is not None:
        try:
            args.json.write_text("".join(json.dumps(row) + "\n" for row in found))
        except OSError as error:
            raise UserError(
                f"{args.json}: cannot be written ({error.strerror or error}); give another --json"
            ) from None


def main() -> None:
    """Entry point."""
    run_command(lambda: _main(tyro.cli(Args, description=__doc__)))


if __name__ == "__main__":
    main()
