import io
import warnings
from dataclasses import replace

import numpy as np
import onnx
import onnx.helper as oh
import pytest
import torch
from torch import nn

from s2e.core.errors import UserError
from s2e.policy.agent import Agent, Inputs, encode, forward
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.encoder import FeatureNet, FrozenEncoder, OnnxNet, visual_net
from s2e.policy.network import S2EPolicy

SMALL = PolicyConfig(64, 96)
OWN = replace(
    SMALL, encoder="mine.onnx", stride=32, channels=5, dim=32, encoder_layers=1, decoder_layers=1
)


class Patches(nn.Module):
    """A user's encoder: normalisation inside, channels last."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 32, 32)

    def forward(self, images):
        return self.conv(images.permute(0, 3, 1, 2).float() / 255).permute(0, 2, 3, 1)


def exported(net, dtype=torch.uint8, dynamic=True):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"picture": {0: "batch"}, "out": {0: "batch"}} if dynamic else None
        example = torch.zeros(1, 64, 96, 3, dtype=dtype)
        torch.onnx.export(
            net,
            (example,),
            buffer,  # pyright: ignore[reportArgumentType]
            dynamo=False,
            input_names=["picture"],
            output_names=["out"],
            dynamic_axes=axes,
        )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def patches():
    return exported(Patches())


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, 64, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "grey", "unit"),
    [
        ("efficientnet-lite0", (127, 127, 127), (128, 128, 128)),
        ("efficientnet-b0", (124, 116, 104), (58.395, 57.12, 57.375)),
    ],
)
def test_images_are_normalised_channel_by_channel_in_rgb(name, grey, unit):
    """What the published weights were trained on: lite0's own range, ImageNet's mean (.485, .456,
    .406) and deviation for B0."""
    net = FeatureNet(replace(SMALL, encoder=name))
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    seen = []
    first.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    image = np.broadcast_to(np.array(grey, np.uint8), (1, 64, 96, 3)).copy()
    image[0, 8:, :, 0] = grey[0] + 20  # redder below
    net(torch.from_numpy(image))
    top, bottom = seen[0][0, :, 2, 2], seen[0][0, :, -3, 2]
    assert (
        top.abs().max() < 0.02
        and bottom[0] == pytest.approx(20 / unit[0], abs=0.02)
        and bottom[1:].abs().max() < 0.02
    )


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-b0"])
@pytest.mark.parametrize(("stride", "channels"), [(8, 40), (16, 112), (32, 320)])
def test_stages_and_their_gradients(name, stride, channels):
    config = replace(SMALL, encoder=name, stride=stride, channels=channels, train_encoder=True)
    torch.manual_seed(0)
    net = FeatureNet(config).train()
    features = net(torch.from_numpy(pictures(2)))
    assert (
        features.shape == (2, 64 // stride, 96 // stride, channels)
        and features.dtype == torch.float32
    )
    features.square().mean().backward()
    for parameter, p in net.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize(
    ("newest", "stride", "channels"), [("grid", 8, 40), ("columns", 16, 112), ("pooled", 32, 320)]
)
def test_tokens_of_every_kind_reach_the_policy(newest, stride, channels):
    config = replace(
        SMALL,
        stride=stride,
        channels=channels,
        newest=newest,
        dim=32,
        encoder_layers=1,
        decoder_layers=1,
    )
    net = visual_net(config)
    policy = S2EPolicy(config).eval()
    tokens = {"columns": 96 // stride, "grid": (64 // stride) * (96 // stride), "pooled": 1}[newest]
    agent, robot = Agent(policy, net, 2), np.ones((2, 6), np.float32)
    context, odometry = agent.see(
        pictures(2), np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), robot
    )
    assert context.shape == (2, tokens + 4 + 3, 32) and np.isfinite(context).all()
    assert agent.decide(context, odometry).trajectories.shape == (2, 8, 10, 2)
    seen = policy.newest_tokens(torch.from_numpy(agent.encode(pictures(2))[0]).float())
    assert seen.shape == (2, *policy.newest_shape)


def test_training_the_encoder_moves_its_statistics_and_evaluation_does_not():
    config = PolicyConfig(
        32, 32, encoder="efficientnet-b0", stride=8, channels=40, train_encoder=True
    )
    torch.manual_seed(0)
    net = visual_net(config)
    assert not net.training
    images = torch.from_numpy(pictures(4)[:, :32, :32])
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(images)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    net.train()
    for _ in range(100):
        with torch.no_grad():
            trained = net(images)
    assert not torch.equal(net.state_dict()["norm.running_mean"], before["norm.running_mean"])
    with torch.no_grad():  # statistics of an encoder from scratch arrive in a hundred steps
        evaluated = net.eval()(images)
    assert (evaluated - trained).abs().mean() < 0.1 * trained.abs().mean()


def test_trained_encoder_learns_through_the_policy():
    """With train_encoder the loss reaches the stem, and one step changes the features."""
    config = replace(
        SMALL,
        stride=32,
        channels=320,
        newest="pooled",
        train_encoder=True,
        dim=32,
        encoder_layers=1,
        decoder_layers=1,
    )
    torch.manual_seed(0)
    net, policy = FeatureNet(config).train(), S2EPolicy(config)
    newest, older = encode(net, torch.from_numpy(pictures(5)), 5, 5)
    vectors, robot = torch.ones(1, 3), torch.ones(1, 6)
    _, modes = forward(policy, Inputs(newest, older, vectors, vectors, robot))
    modes.mean.square().sum().backward()
    assert net.stem.weight.grad is not None and net.stem.weight.grad.abs().sum() > 0


def test_frozen_b0_without_weights_is_refused(tmp_path):
    config = replace(SMALL, encoder="efficientnet-b0")
    with pytest.raises(UserError, match="state dict"):
        visual_net(config)
    trained = FeatureNet(config)
    again = visual_net(config, state=trained.state_dict())
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in again.state_dict().items())
    with pytest.raises(UserError, match=r"run/7: does not fit config\.json"):
        visual_net(config, state={"stem.weight": torch.zeros(1)}, where="run/7")


def test_own_encoder_runs_from_its_file_and_from_a_checkpoint(patches, tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(patches)
    config = replace(OWN, encoder=str(path))
    net = visual_net(config)
    encoder = FrozenEncoder(net, config)
    with torch.no_grad():
        expected = Patches()(torch.from_numpy(pictures(5))).numpy()
    np.testing.assert_allclose(encoder(pictures(5), batch=2)[0], expected, atol=1e-3)
    np.testing.assert_allclose(net(torch.from_numpy(pictures(5))).numpy(), expected, atol=1e-5)

    state = net.state_dict()
    path.unlink()  # a checkpoint brings the encoder: its file need not be there
    carried = PolicyConfig.from_dict(config.to_dict(), "config.json")
    assert carried.encoder == "mine.onnx" and carried == OWN
    again = visual_net(carried, state=state)
    for a, b in zip(FrozenEncoder(again, carried)(pictures(5)), encoder(pictures(5)), strict=True):
        np.testing.assert_array_equal(a, b)
    again.load_state_dict(state)

    agent = Agent(S2EPolicy(carried).eval(), again, 2, chunk=4)
    robot = np.full((2, 6), np.nan, np.float32)
    context, _ = agent.see(
        pictures(2), np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), robot
    )
    assert np.isfinite(context).all()


def test_own_encoder_of_another_shape_or_type_is_refused(patches, tmp_path):
    def refused(data, match, **changes):
        with pytest.raises(UserError, match=match):
            OnnxNet(replace(OWN, **changes), data, "mine.onnx")

    refused(patches, r"\(2, 2, 3, 5\); stride 32 and 7 channels mean \(2, 2, 3, 7\)", channels=7)
    refused(patches, "set stride and channels", stride=16)
    refused(patches, "does not run|give", height_px=32)
    refused(exported(Patches(), torch.float32), r"inputs \['FLOAT'\]")
    refused(exported(Patches(), dynamic=False), "dynamic batch axis")
    refused(b"", "inputs")
    refused(b"\xff" * 100, "not an ONNX file")
    refused(patches[:-50], "mine.onnx")
    with pytest.raises(UserError, match="not readable"):
        visual_net(replace(OWN, encoder=str(tmp_path / "none.onnx")))
    with pytest.raises(UserError, match="ONNX encoder that its config"):
        visual_net(OWN, state={"stem.weight": torch.zeros(1)})
    with pytest.raises(UserError, match="weights inside"):
        visual_net(OWN, weights=tmp_path / "w.pth")
    with pytest.raises(UserError, match="stays frozen"):
        replace(OWN, train_encoder=True).check("here")
    with pytest.raises(ValueError, match="visual_net"):
        FeatureNet(OWN)


@pytest.mark.parametrize("hidden", ["initializer", "attribute", "subgraph"])
def test_tensors_in_other_files_are_refused(patches, hidden, tmp_path):
    """ONNX Runtime would read whatever file a tensor names."""
    tensor = onnx.TensorProto(name="secret", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret.bin")
    model = onnx.load_model_from_string(patches)
    if hidden == "initializer":
        model.graph.initializer.append(tensor)
    else:
        node = oh.make_node("Constant", [], ["secret_out"], value=tensor)
        if hidden == "subgraph":
            inner = oh.make_graph(
                [node],
                "then",
                [],
                [oh.make_tensor_value_info("secret_out", onnx.TensorProto.FLOAT, [4])],
            )
            node = oh.make_node(
                "If", ["condition"], ["chosen"], then_branch=inner, else_branch=inner
            )
        model.graph.node.append(node)
    with pytest.raises(UserError, match="'secret' lies in another file"):
        OnnxNet(OWN, model.SerializeToString(), "mine.onnx")


def test_presets_make_their_encoders():
    for name, config in PRESETS.items():
        config.check(name)
        assert isinstance(visual_net(config), FeatureNet)
