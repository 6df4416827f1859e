"""Ray policies that have learned nothing, as files."""

import dataclasses
import json

import torch
from safetensors.torch import save_file

from s2e.envs.rays import (
    RayPolicy,
)


def save(folder, config, seed=0):
    folder.mkdir()
    torch.manual_seed(seed)
    policy = RayPolicy(config)
    (folder / "config.json").write_text(json.dumps({"rays": dataclasses.asdict(config)}))
    save_file(
        {f"rays.{k}": v for k, v in policy.state_dict().items()}, folder / "model.safetensors"
    )
    return policy
