import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors import SafetensorError

import s2e
from s2e.core import files
from s2e.core.errors import UserError
from s2e.core.observation import goal_token
from s2e.policy import export, graphs, hub
from s2e.policy.agent import Agent
from s2e.policy.checkpoint import load_networks, policy_state, save_checkpoint
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet, onnx_session, visual_net
from s2e.policy.export import ExportArgs, export_folder
from s2e.policy.navigator import Navigator
from s2e.policy.network import S2EPolicy

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {
    "dim": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "height_px": 32,
    "width_px": 64,
    "stride": 8,
    "channels": 40,
}


def networks(adapters=False, seed=0, **fields):
    torch.manual_seed(seed)
    config = PolicyConfig(**{**SMALL, **fields})
    policy, net = S2EPolicy(config), FeatureNet(config)
    for mask in (policy.goal_mask, policy.ego_mask, policy.robot_mask):
        torch.nn.init.normal_(mask)
    if adapters:
        policy.add_adapters()
        for name, parameter in policy.named_parameters():
            if ".zero_" in name or name.startswith("reader."):
                torch.nn.init.normal_(parameter, std=0.1)
    return policy.eval(), net.eval()


def write_run(folder, pair, stage="pretrain"):
    policy, net = pair
    config = {"stage": stage, "policy": policy.config.to_dict()}
    save_checkpoint(
        folder / "checkpoints" / "00000007", config, policy_state(policy, net), {}, {"step": 7}
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("out") / "run", networks())
    (folder / "config.json").write_text(
        json.dumps(
            {"data": ["/home/someone/secret/go2", "walks"], "out": "/home/someone/x", "lr": 0.001}
        )
    )
    lines = [
        {"step": 5, "validation/loss": 0.5, "train/loss": 3},
        {"step": 7, "validation/loss": 0.25},
        # judged at the end: the weights that the run chose
        {"step": 9, "validation/loss": 0.1, "held_out/ade_m": 0.125},
    ]
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(x) + "\n" for x in lines) + '{"step": 7, "held'
    )
    (folder / "printed.txt").write_text(
        "s2e  0.148\nskipped x: /home/someone/secret/go2 is broken\ncheckpoint: here\n"
    )
    return folder


@pytest.mark.parametrize(
    ("fields", "adapters"),
    [
        ({}, False),
        ({"newest": "grid"}, True),
        ({"reader": True}, True),
        ({"newest": "pooled", "history": 2, "free_space": True}, False),
    ],
)
def test_graphs_say_what_torch_says(fields, adapters):
    policy, net = networks(adapters, **fields)
    whole, step = graphs.Whole(policy, net).eval(), graphs.Step(policy, net).eval()
    # of which some have no goal, no motion, no robot
    samples = graphs.sample_inputs(policy.config, 5)
    later = graphs.step_inputs(whole, samples)
    assert all(
        np.isnan(samples[name]).any()
        for name in ("goal", "ego", "robot", *(["odometry"] if policy.config.reader else []))
    )
    ways = {}
    for module, inputs in ((whole, samples), (step, later)):
        graph = graphs.traced(module, {k: v[:2] for k, v in inputs.items()})
        # five rows: other than were traced
        assert graphs.worst_difference(graph, module, inputs) < graphs.TOLERANCE
        ways[module] = onnx_session(graph).run(None, inputs)
    m, t = policy.config.anchors, policy.config.waypoints
    assert [x.shape for x in ways[whole]] == [(5, m, t, 2), (5, m), (5, m, t, 2), (5, m, t), (5, m)]
    assert ways[step][5].shape == (5, policy.config.channels)
    for a, b in zip(ways[whole], ways[step]):
        np.testing.assert_allclose(a, b, atol=2e-4)


def encoder_file(path, opset):
    """A tiny encoder: 16x16 patches of the image, through a convolution."""
    helper, kind = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).normal(0, 0.002, (6, 3, 16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["in"], ["float"], to=kind.FLOAT),
        helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2]),
        # a name that the policy uses as well
        helper.make_node("Conv", ["first", "goal"], ["out"], strides=[16, 16]),
        helper.make_node("Transpose", ["out"], ["waypoints"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("in", kind.UINT8, ["n", None, None, 3])],
        [helper.make_tensor_value_info("waypoints", kind.FLOAT, ["n", None, None, 6])],
        [onnx.numpy_helper.from_array(weights, "goal")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path
    )
    return str(path)


@pytest.mark.parametrize("opset", [13, 18])
def test_an_encoder_of_the_users_goes_into_the_graphs(tmp_path, opset):
    torch.manual_seed(0)
    config = PolicyConfig(
        **{
            **SMALL,
            "encoder": encoder_file(tmp_path / "mine.onnx", opset),
            "stride": 16,
            "channels": 6,
            "newest": "grid",
        }
    )
    pair = S2EPolicy(config).eval(), visual_net(config)
    samples = graphs.sample_inputs(config, 4)
    whole, step = graphs.Whole(*pair).eval(), graphs.Step(*pair).eval()
    for module, inputs in ((whole, samples), (step, graphs.step_inputs(whole, samples))):
        graph = graphs.traced(module, inputs)
        assert graphs.worst_difference(graph, module, inputs) < graphs.TOLERANCE
        assert [x.name for x in onnx_session(graph).get_inputs()] == list(module.inputs)
    out, _ = quietly(write_run(tmp_path / "run", pair), tmp_path / "shared", half=True)
    (tmp_path / "mine.onnx").unlink()
    assert s2e.load_policy(out).act(np.zeros((60, 80, 3), np.uint8)).score > 0
    assert "mine.onnx" in (out / "README.md").read_text()


def test_the_step_graph_drives_like_the_library():
    pair = networks()
    navigator = Navigator(Agent(*pair))
    samples = graphs.sample_inputs(pair[0].config, 1)
    step = graphs.Step(*pair).eval()
    run = onnx_session(graphs.traced(step, graphs.step_inputs(graphs.Whole(*pair), samples))).run
    unknown, older = np.full((1, 6), np.nan, np.float32), None
    for frame in samples["frames"][0]:
        plan = navigator.act(frame, goal=(3.0, -1.0))
        rest = {
            "goal": goal_token(np.array([[3.0, -1.0]]), 10.0),
            "ego": unknown[:, :3],
            "robot": unknown,
        }
        if older is None:  # the robot stood here before: its first token, four times
            blank = np.zeros((1, 4, 40), np.float32)
            older = np.repeat(
                run(["token"], {"frame": frame[None], "older": blank, **rest})[0][:, None], 4, 1
            )
        waypoints, scores, *_, token = run(None, {"frame": frame[None], "older": older, **rest})
        np.testing.assert_allclose(waypoints[0], plan.candidates, atol=1e-4)
        np.testing.assert_allclose(scores[0], plan.scores, atol=1e-4)
        older = np.concatenate([older[:, 1:], token[:, None]], 1)


def test_a_graph_that_says_something_else_is_refused(tmp_path):
    pair, others = networks(history=2), networks(history=2, seed=1)
    module, other = graphs.Whole(*pair).eval(), graphs.Whole(*others).eval()
    samples = graphs.sample_inputs(pair[0].config, 2)
    with pytest.raises(UserError, match="differs from torch"):
        graphs.check_parity(graphs.traced(other, samples), module, samples, "x.onnx")


def test_deviations_are_those_of_the_mixture():
    from s2e.policy.mixture import WaypointMixture

    policy, net = networks(history=1)
    samples = graphs.sample_inputs(policy.config, 1)
    waypoints, scores, log_std, rho, speed = graphs.in_torch(graphs.Whole(policy, net), samples)
    features = (
        torch.from_numpy(np.asarray(net(torch.from_numpy(samples["frames"][:, 0])).detach()))
        .half()
        .float()
    )
    rest = [torch.from_numpy(samples[k]) for k in ("goal", "ego", "robot")]
    with torch.no_grad():
        modes = policy.decode(
            policy.context(policy.newest_tokens(features), torch.zeros(1, 0, 40), *rest)
        )
    mixture = WaypointMixture.at(modes, 4, 0.2)
    np.testing.assert_allclose(waypoints[:, :, 4], mixture.mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(log_std[:, :, 4], mixture.log_std.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.log(scores), mixture.log_weight.numpy(), atol=1e-5)
    np.testing.assert_allclose(rho[:, :, 4], mixture.rho.numpy(), atol=1e-5)
    assert (speed > 0).all()


def test_s2e_export_as_a_user_runs_it(run, tmp_path):
    command = [
        sys.executable,
        "-m",
        "s2e.policy.export",
        str(run),
        "--onnx",
        "p.onnx",
        "--folder",
        "shared",
        "--half",
        "--runs",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=_environment())
    assert done.returncode == 0, done.stderr
    for said in (
        "p.onnx",
        "p_step.onnx",
        "differs from torch by",
        "ONNX Runtime, step",
        "shared",
        "read back",
    ):
        assert said in done.stdout
    model = onnx.load(tmp_path / "p_step.onnx")
    assert model.producer_name == "s2e" and [x.name for x in model.graph.output][:2] == [
        "waypoints",
        "scores",
    ]
    assert json.loads(model.metadata_props[0].value)["dim"] == 32
    assert s2e.load_policy(tmp_path / "shared").act(np.zeros((60, 80, 3), np.uint8)).score > 0


def _environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def quietly(*arguments, **options):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        result = export_folder(*arguments, **options)
    return result, text.getvalue()


@pytest.mark.parametrize("half", [False, True])
def test_a_folder_is_the_policy(run, tmp_path, half):
    out, told = quietly(run, tmp_path / "deep" / "shared", half=half)
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert [p.name for p in out.parent.iterdir()] == ["shared"] and "MB" in told
    samples = graphs.sample_inputs(PolicyConfig(**SMALL), 3)
    a, b = (graphs.in_torch(graphs.Whole(*load_networks(p)), samples) for p in (run, out))
    for x, y in zip(a, b):
        np.testing.assert_allclose(x, y, atol=1e-3 if half else 0)
    assert all(v.dtype == torch.float32 for v in load_networks(out)[0].parameters())


def test_a_card_says_what_is_known_and_nothing_private(run, tmp_path):
    out, _ = quietly(run, tmp_path / "shared", licence="mit")
    card, config = (out / "README.md").read_text(), json.loads((out / "config.json").read_text())
    assert (
        card.startswith("---\nlicense: mit\nlibrary_name: s2e\n")
        and 's2e.load_policy("shared")' in card
    )
    for said in (
        "| lr | 0.001 |",
        "| data | go2, walks |",
        "| validation/loss | 0.25 |",
        "| held_out/ade_m | 0.125 |",
        "s2e  0.148",
        "float32",
        "0.2 s apart",
    ):
        assert said in card
    for private in ("someone", "secret", "/home", "checkpoint: here"):
        assert private not in card and private not in json.dumps(config)
    again, _ = quietly(out, tmp_path / "again")  # what is known travels with the folder
    assert (again / "README.md").read_text() == card.replace("shared", "again").replace(
        "license: mit", "license: apache-2.0"
    ).replace("Weights: mit", "Weights: apache-2.0")
    bare, _ = quietly(
        write_run(tmp_path / "bare", networks(True), "ppo") / "checkpoints" / "00000007",
        tmp_path / "bare-shared",
    )
    assert (
        "Not known" in (bare / "README.md").read_text()
        and "PPO" in (bare / "README.md").read_text()
    )


def test_only_exports_are_replaced(run, tmp_path):
    out, _ = quietly(run, tmp_path / "shared")
    before = (out / "model.safetensors").read_bytes()
    quietly(run, out, half=True)
    assert (out / "model.safetensors").read_bytes() != before
    (tmp_path / "empty").mkdir()
    quietly(run, tmp_path / "empty")
    (out / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "README.md").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for place in ("shared", "file", "theirs", "link"):
        with pytest.raises(UserError, match=place):
            quietly(run, tmp_path / place)
    with pytest.raises(UserError, match="notes.txt"):
        quietly(run, out)
    assert (out / "notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "x.onnx").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"x\.onnx"):
        graphs.write_graph(tmp_path / "x.onnx", b"")


def test_a_failed_write_leaves_nothing(run, tmp_path, monkeypatch):
    out, _ = quietly(run, tmp_path / "shared")
    before = (out / "model.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    def full_too(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    for module, name, refuses in ((files, "fsync", full), (export, "save_file", full_too)):
        with monkeypatch.context() as patched, pytest.raises(UserError, match="No space"):
            patched.setattr(module, name, refuses)
            quietly(run, out)
    assert [p.name for p in tmp_path.iterdir()] == ["shared"] and (
        out / "model.safetensors"
    ).read_bytes() == before


def test_half_refuses_what_does_not_fit():
    tensors = {"policy.big": torch.full((2, 2), 1e5), "policy.count": torch.tensor(3)}
    tensors |= {"encoder.kernel": torch.ones(2, 2), "encoder.bias": torch.ones(2)}
    with pytest.raises(UserError, match=r"policy\.big"):
        export.stored(tensors, True)
    assert export.stored(tensors, False)["policy.big"].dtype == torch.float32
    tensors["policy.big"] /= 2
    kept = export.stored(tensors, True)
    assert [v.dtype for v in kept.values()] == [
        torch.float16,
        torch.int64,
        torch.float16,
        torch.float32,
    ]


def test_the_command_refuses_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["s2e-export", str(tmp_path / "none"), "--folder", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as caught:
        export.main()
    assert caught.value.code == 2 and capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing to export"),
        ({"onnx": Path("p.onnx"), "half": True}, "--folder"),
        ({"onnx": Path("p.pt")}, r"\.onnx"),
        ({"onnx": Path("p.onnx"), "runs": -1}, "--runs"),
        ({"folder": Path("p"), "push": "name"}, "owner/name"),
        ({"folder": Path("p"), "license": "a\nb"}, "--license"),
    ],
)
def test_bad_options(run, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        export.export(ExportArgs(run=str(run), **options))
    assert not list(tmp_path.iterdir())


def test_push_without_its_library_says_so_before_the_work(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match='pip install "huggingface-hub'):
        export.export(ExportArgs(run=str(run), folder=tmp_path / "shared", push="owner/name"))
    assert not list(tmp_path.iterdir())


def test_push_uploads_the_folder(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        hub, "push", lambda folder, name: f"https://huggingface.co/{name}#{folder.name}"
    )
    export.export(ExportArgs(run=str(run), folder=tmp_path / "shared", push="owner/name"))
    assert "https://huggingface.co/owner/name#shared: uploaded" in capsys.readouterr().out
