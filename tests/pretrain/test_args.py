import dataclasses
import json

import pytest

from s2e.core.errors import UserError
from s2e.pretrain.args import PretrainArgs, as_json, check, policy_config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hz", 0),
        ("scale", -1),
        ("steps", -1),
        ("batch", 0),
        ("anchors", 0),
        ("ema", 1.0),
        ("warmup", 1.0),
        ("clip", float("nan")),
        ("fraction", 0.0),
        ("free_space", -1.0),
        ("hide_robot", 1.0),
        ("lr", float("inf")),
        ("patience", -1),
        ("seed", -1),
        ("loss", "regression"),
    ],
)
def test_numbers_that_cannot_work_are_refused(tmp_path, name, value):
    args = dataclasses.replace(PretrainArgs((tmp_path,), tmp_path), **{name: value})
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
        check(args)


def test_the_config_keeps_no_key_of_a_url(tmp_path):
    args = PretrainArgs(
        ("https://me:pass@host/a-{00..03}.tar?token=secret", "walks?", "hf://org/set/*.tar"),
        tmp_path,
    )
    assert as_json(args, 1)["data"] == [
        "https://host/a-{00..03}.tar",
        "walks?",
        "hf://org/set/*.tar",
    ]
    assert not any(word in json.dumps(as_json(args, 1)) for word in ("secret", "pass@"))


def test_patience_needs_validations(tmp_path):
    with pytest.raises(UserError, match="--validate-every"):
        check(PretrainArgs((tmp_path,), tmp_path, patience=2, validate_every=0))


def test_the_command_line_changes_the_preset(tmp_path):
    args = PretrainArgs(
        (tmp_path,),
        tmp_path,
        preset="paper",
        stride=8,
        newest="grid",
        train_encoder=False,
        free_space=0.1,
        anchors=3,
    )
    config = policy_config(args)
    assert (config.stride, config.channels, config.newest, config.train_encoder) == (
        8,
        40,
        "grid",
        False,
    )
    assert config.free_space and config.anchors == 3 and config.dim == 768 and args.peak_lr == 1e-4
