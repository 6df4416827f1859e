"""A policy as ONNX graphs: from whole histories of frames, and one frame at a time with the older
frames' tokens kept outside.

    whole  frames (B, history, H, W, 3) uint8, oldest first; goal (B, 3); ego (B, 3); robot (B, 6)
    step   frame (B, H, W, 3) uint8; older (B, history - 1, C), what earlier steps gave as `token`,
           oldest first; goal; ego; robot
    both   waypoints (B, M, T, 2) metres; scores (B, M) probabilities; log_std (B, M, T, 2) log
           metres; rho (B, M, T); speed (B, M) m/s
    step   also token (B, C), to be kept

A policy that knows its odometry has one more input, odometry (B, ODOMETRY), and one more output,
free_space (B, RAYS) in metres, from which the next odometry is made
(`s2e.core.observation.Odometry`). `goal`, `ego`, `robot` and `odometry` are the tokens of
`s2e.core.observation`; a row with a NaN in it is unknown: a goal to explore without, a motion or a
robot that nobody knows. Features are rounded to float16 where the library rounds them, so kept and
fresh ones are the same numbers.
"""

import io
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import s2e
from s2e.core.errors import UserError, require
from s2e.core.files import write_whole
from s2e.core.observation import (
    ODOMETRY_AGO_S,
    RAYS,
    ego_state,
    goal_token,
    odometry_token,
    robot_token,
)
from s2e.policy.agent import Inputs, encode, forward
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import OnnxNet, VisualNet, onnx_session
from s2e.policy.network import S2EPolicy

OUTPUTS = ("waypoints", "scores", "log_std", "rho", "speed")
TOLERANCE = 1e-4
OPSET = 17


class _Graph(nn.Module):
    """What both graphs share.

    Args:
        policy, net: in eval mode.
        rounds: round features to float16, as the library does; without it the rest can be compared
            to the last digits.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = OUTPUTS

    def __init__(self, policy: S2EPolicy, net: VisualNet, rounds: bool = True):
        super().__init__()
        self.policy, self.net, self.rounds = policy, net, rounds
        if policy.config.reader:
            self.inputs = (*self.inputs, "odometry")
            self.outputs = (*self.outputs, "free_space") if policy.remembers else self.outputs

    def _answer(
        self,
        features: torch.Tensor,
        older: torch.Tensor,
        goal: torch.Tensor,
        ego: torch.Tensor,
        robot: torch.Tensor,
        odometry: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """The outputs but for `token`."""
        hidden = goal.isnan().any(-1), ego.isnan().any(-1)
        inputs = Inputs(features, older, goal.nan_to_num(), ego.nan_to_num(), robot, *hidden)
        if odometry is not None:
            odometry = torch.where(odometry.isnan().any(-1, keepdim=True), 0.0, odometry)
        context, modes = forward(self.policy, inputs, odometry)
        dt = self.policy.config.waypoint_dt_s
        log_std = modes.log_std + (modes.speed * dt).log()[..., None, None]
        answer = modes.metric(dt), modes.logits.softmax(-1), log_std, modes.rho, modes.speed
        if not self.policy.remembers:
            return answer
        return (*answer, self.policy.free_space(context).exp())


class Whole(_Graph):
    """The `whole` graph in torch: see the module's docstring for inputs and outputs."""

    inputs = ("frames", "goal", "ego", "robot")

    def forward(self, frames: torch.Tensor, *about: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Encodes all frames."""
        return self._answer(*self.tokens(frames), *about)

    def tokens(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of frames (B, history, H, W, 3) the features of the newest ones and what is kept of the
        older ones (B, history - 1, C).
        """
        history = self.policy.config.history
        return encode(self.net, frames.flatten(0, -4), history, history, self.rounds)


class Step(_Graph):
    """The `step` graph in torch: see the module's docstring for inputs and outputs."""

    inputs, outputs = ("frame", "older", "goal", "ego", "robot"), (*OUTPUTS, "token")

    def forward(
        self, frame: torch.Tensor, older: torch.Tensor, *about: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Encodes the newest frame alone; the frame is its own history of two."""
        features, token = encode(self.net, frame, 1, 2, self.rounds)
        answer = self._answer(features, older, *about)
        return (*answer[: len(OUTPUTS)], token[:, 0], *answer[len(OUTPUTS) :])


def sample_inputs(config: PolicyConfig, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of the whole graph to compare and time with: drawn streets that come nearer, and every
    kind of unknown.
    """
    rng = np.random.default_rng(seed)
    inputs = {
        "frames": np.stack([_street(rng, config) for _ in range(count)]),
        "goal": goal_token(rng.uniform(-12, 12, (count, 2)), config.goal_clip_m),
        "ego": ego_state(rng.uniform(0, 2, count), rng.uniform(-1, 1, count)),
        "robot": robot_token(
            rng.uniform((0.3, 0.2, 0.5, 0.5, 0.2, 50), (1.2, 0.8, 3, 2, 1.5, 120), (count, 6))
        ),
    }
    unknown = ["robot", "goal", "ego"]
    if config.reader:
        ago = rng.normal(0, 1, (count, len(ODOMETRY_AGO_S), 3))
        seen = rng.normal(0, 3, (count, RAYS, 2))
        inputs["odometry"] = odometry_token(
            np.zeros((count, 3)), ago, rng.normal(0, 1, (count, 2)), seen
        )
        unknown.append("odometry")
    for k, name in enumerate(unknown):  # the first row knows everything
        inputs[name][1 + k :: 4] = np.nan
    return inputs


def _street(rng: np.random.Generator, config: PolicyConfig) -> np.ndarray:
    """(history, H, W, 3) uint8: a sky, a ground, and boxes that grow from frame to frame; with
    noise.
    """
    y, x = np.meshgrid(
        np.linspace(0, 1, config.height_px), np.linspace(-0.5, 0.5, config.width_px), indexing="ij"
    )
    sky, ground = rng.uniform(80, 255, (2, 3))
    place, size, tall = (
        rng.uniform(-0.5, 0.5, 6),
        rng.uniform(0.02, 0.2, 6),
        rng.uniform(0.1, 0.5, 6),
    )
    colours = rng.uniform(0, 255, (6, 3))
    frames = []
    for grown in 1 + 0.1 * np.arange(config.history):
        image = np.where(
            (y < 0.5)[..., None], sky * (1 - 0.5 * y[..., None]), ground * y[..., None]
        )
        for k in range(6):
            inside = (abs(x - place[k] * grown) < size[k] * grown) & (
                abs(y - 0.55) < tall[k] * grown / 2
            )
            image[inside] = colours[k] * (0.8 + 0.4 * x[inside, None])
        frames.append(np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


def step_inputs(whole: Whole, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The step graph's inputs for the last frames of the whole graph's."""
    frames = inputs["frames"]
    with torch.inference_mode():
        older = whole.tokens(torch.from_numpy(frames))[1].numpy()
    return {
        "frame": frames[:, -1],
        "older": older,
        **{k: v for k, v in inputs.items() if k != "frames"},
    }


def in_torch(module: nn.Module, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """A graph's outputs by torch."""
    with torch.inference_mode():
        return [x.numpy() for x in module(*(torch.from_numpy(v) for v in inputs.values()))]


def traced(module: _Graph, inputs: Mapping[str, np.ndarray]) -> bytes:
    """The ONNX graph of a module, for any batch size; `inputs` are samples."""
    import onnx

    # One row is traced: the constants that the trace makes of its size then broadcast to any batch.
    rows = [torch.from_numpy(v[:1]) for v in inputs.values()]
    model = (
        _with_encoder(module, rows)
        if isinstance(module.net, OnnxNet)
        else _trace(module, rows, OPSET)
    )
    model.producer_name, model.producer_version, model.doc_string = (
        "s2e",
        s2e.__version__,
        __doc__ or "",
    )
    del model.metadata_props[:]
    onnx.helper.set_model_props(
        model, {"s2e.policy.network": json.dumps(module.policy.config.to_dict())}
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _trace(module: _Graph, rows: list[torch.Tensor], opset: int) -> Any:
    import onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(rows),
            buffer,  # pyright: ignore[reportArgumentType]
            dynamo=False,
            opset_version=opset,
            input_names=list(module.inputs),
            output_names=list(module.outputs),
            dynamic_axes={
                name: {0: "batch" if k else "images"}
                for k, name in enumerate((*module.inputs, *module.outputs))
            },
        )
    return onnx.load_from_string(buffer.getvalue())


def _with_encoder(module: _Graph, rows: list[torch.Tensor]) -> Any:
    """The graph of a user's ONNX encoder with what follows it: that is traced from features on, and
    the two are joined.
    """
    import onnx
    from onnx import compose, helper

    net, config = module.net, module.policy.config
    assert isinstance(net, OnnxNet)
    encoder = onnx.load_from_string(net.onnx.cpu().numpy().tobytes())
    opset = next(x.version for x in encoder.opset_import if x.domain in ("", "ai.onnx"))
    if not 14 <= opset <= 20:  # what torch can trace
        encoder, opset = onnx.version_converter.convert_version(encoder, OPSET), OPSET
    after = type(module)(module.policy, net, module.rounds)
    after.net = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    images = rows[0].flatten(0, -4)
    grid = config.height_px // config.stride, config.width_px // config.stride
    features = torch.zeros(len(images), *grid, config.channels)  # traced: values do not matter
    tail = _trace(after, [features, *rows[1:]], opset)

    encoder = compose.add_prefix(encoder, "encoder.")
    first, graph = module.inputs[0], encoder.graph
    constants = {tensor.name for tensor in graph.initializer}
    (given,) = [value.name for value in graph.input if value.name not in constants]
    shape = ["batch", *rows[0].shape[1:]]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(first, onnx.TensorProto.UINT8, shape))
    size = helper.make_tensor(
        "encoder.size", onnx.TensorProto.INT64, [4], [-1, config.height_px, config.width_px, 3]
    )
    graph.initializer.append(size)
    graph.node.insert(0, helper.make_node("Reshape", [first, "encoder.size"], [given]))
    seen = graph.output[0].name
    graph.node.append(
        helper.make_node("Cast", [seen], ["encoder.features"], to=onnx.TensorProto.FLOAT)
    )
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("encoder.features", onnx.TensorProto.FLOAT, None)
    )
    encoder.ir_version = tail.ir_version = max(encoder.ir_version, tail.ir_version)
    tail = compose.add_prefix(tail, "policy.", rename_inputs=False, rename_outputs=False)
    return compose.merge_models(encoder, tail, io_map=[("encoder.features", first)])


def worst_difference(graph: bytes, module: _Graph, inputs: Mapping[str, np.ndarray]) -> float:
    """The largest difference of any number between onnxruntime and torch, of numbers above 1
    relative; infinite where one is missing.

    A `token` is float16: it may be the neighbour of torch's, and counts only beyond that.
    """
    worst = 0.0
    for name, a, b in zip(
        module.outputs,
        onnx_session(graph, threads=1).run(None, dict(inputs)),
        in_torch(module, inputs),
        strict=True,
    ):
        error = np.abs(a - b) / np.maximum(1, np.abs(b))
        if name == "token" and module.rounds:
            error = np.maximum(error - 2.0**-10, 0)
        worst = max(worst, float(error.max())) if np.isfinite(error).all() else float("inf")
    return worst


def check_parity(graph: bytes, module: _Graph, inputs: Mapping[str, np.ndarray], where: str) -> str:
    """Says how far a graph is from torch; refuses one that is not the same within `TOLERANCE`.

    The two encoders differ in the last digit of float32, and a feature on the border of two float16
    numbers is then rounded apart. If that is what exceeds the tolerance, the same graph without
    rounding does not.

    Raises:
        UserError: it differs.
    """
    worst = worst_difference(graph, module, inputs)
    told = f"differs from torch by {worst:.1e} at most"
    if worst > TOLERANCE:
        exact = type(module)(module.policy, module.net, rounds=False).eval()
        rest = worst_difference(traced(exact, inputs), exact, inputs)
        told += f", {rest:.1e} without the rounding of features"
        good = rest <= TOLERANCE and worst <= 100 * TOLERANCE
        require(
            good,
            f"{where}: {told}; {TOLERANCE:.0e} is allowed, so it was not written; report this "
            "policy's config.json",
        )
    return told


def refuse_foreign(path: Path) -> None:
    """Only a graph of ours may be replaced: its producer is among an ONNX file's first fields."""
    if not path.exists():
        return
    ours = False
    if path.is_file():
        with path.open("rb") as file:
            ours = b"s2e" in file.read(32)
    if not ours:
        raise UserError(
            f"{path}: exists and was not written by s2e-export; give another name or remove it"
        )


def write_graph(path: Path, graph: bytes) -> None:
    """Writes an ONNX file, whole or not at all; never over a file that is not a graph of ours."""
    refuse_foreign(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, graph)
    except OSError as error:
        raise UserError(
            f"{path}: not written ({error}); free some space, or give another name"
        ) from None


def median_p95_ms(call: Callable[[], object], runs: int) -> tuple[float, float]:
    """How long a call takes: median and 95th percentile over `runs` calls, in milliseconds, after
    three that do not count.
    """
    for _ in range(3):
        call()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times) * 1e3), float(np.quantile(times, 0.95) * 1e3)


def latency_table(
    graphs: Mapping[str, bytes],
    modules: Mapping[str, nn.Module],
    inputs: Mapping[str, dict],
    runs: int,
) -> str:
    """Milliseconds a call of one row, torch and onnxruntime, on one thread and on all cores."""
    cores, before = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        torch.get_num_threads(),
    )
    counts = sorted({1, cores})
    rows = {}
    for kind, samples in inputs.items():
        one = {k: v[:1] for k, v in samples.items()}
        for threads in counts:
            torch.set_num_threads(threads)
            run = onnx_session(graphs[kind], threads=threads).run
            rows.setdefault(f"torch, {kind}", []).append(
                median_p95_ms(lambda m=modules[kind], x=one: in_torch(m, x), runs)
            )
            rows.setdefault(f"ONNX Runtime, {kind}", []).append(
                median_p95_ms(lambda f=run, x=one: f(None, x), runs)
            )
    torch.set_num_threads(before)
    lines = [
        f"{'milliseconds, median (95 %)':28}"
        + "".join(f"{f'{n} threads' if n > 1 else '1 thread':>20}" for n in counts)
    ]
    lines += [
        f"{name:28}" + "".join(f"{f'{m:.1f} ({p:.1f})':>20}" for m, p in cells)
        for name, cells in rows.items()
    ]
    return "\n".join(lines)
