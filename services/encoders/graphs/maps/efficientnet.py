"""EfficientNet: the mean of its last map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.maps import layers as maps
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

_FIRST, _LAST = 32, 1280


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    if (how := keys.word("pooling_type", "mean")) != "mean":
        raise ModelUnavailable(f"The model pools by {how}, which is not built here.")
    tensors = Tensors(weights).under_first(("", "efficientnet."), "embeddings.convolution.weight")
    net = _Net(keys, tensors, keys.number("batch_norm_eps", 0.001), keys.word("hidden_act", "swish"))
    channels = net.rounded(_FIRST)
    source = layers.pixels(size)
    names = "embeddings.convolution", "embeddings.batchnorm"
    x = net.convolve(source, tensors, names, maps.Shape(3, channels, 3, 2), padding=(0, 0, 1, 1))
    for number, block in enumerate(net.blocks()):
        x = net.block(x, tensors.under(f"encoder.blocks.{number}."), block)
        channels = block.outputs
    last = net.rounded(_LAST)
    x = net.convolve(x, tensors, ("encoder.top_conv", "encoder.top_bn"), maps.Shape(channels, last))
    tensors.complete()
    return EncoderGraph(layers.model(maps.mean_of_map(x), source, "image"), last, "mean", convolutional=True)


@dataclass(frozen=True)
class _Block:
    """``squeezed`` channels say how much each channel counts; ``even``: maps of an even size are halved."""

    inputs: int
    wide: int
    outputs: int
    kernel: int
    stride: int
    squeezed: int
    first: bool
    even: bool


@dataclass(frozen=True)
class _Net:
    """What all blocks share."""

    keys: Config
    weights: Tensors
    eps: float
    activation: str

    def rounded(self, channels: int) -> int:
        """Return a count of channels for this width of the network, one that the divisor divides."""
        divisor = self.keys.whole("depth_divisor", 8)
        asked = channels * self.keys.number("width_coefficient", 2.0)
        found = max(divisor, int(asked + divisor / 2) // divisor * divisor)
        return found + divisor if found < 0.9 * asked else found

    def blocks(self) -> list[_Block]:
        keys, found = self.keys, list[_Block]()
        unadjusted = keys.wholes("depthwise_padding", (), least=0)
        for inputs, outputs, kernel, stride, ratio, repeats in zip(
            keys.wholes("in_channels", (32, 16, 24, 40, 80, 112, 192)),
            keys.wholes("out_channels", (16, 24, 40, 80, 112, 192, 320)),
            keys.wholes("kernel_sizes", (3, 3, 5, 3, 5, 5, 3)),
            keys.wholes("strides", (1, 2, 2, 2, 1, 2, 1)),
            keys.wholes("expand_ratios", (1, 6, 6, 6, 6, 6, 6)),
            keys.wholes("num_block_repeats", (1, 2, 2, 3, 3, 4, 1)),
            strict=True,
        ):
            for place in range(math.ceil(keys.number("depth_coefficient", 3.1) * repeats)):
                narrow = self.rounded(outputs if place else inputs)
                found.append(
                    _Block(
                        narrow,
                        narrow * ratio,
                        self.rounded(outputs),
                        kernel,
                        1 if place else stride,
                        max(1, int(narrow * keys.number("squeeze_expansion_ratio", 0.25))),
                        first=place == 0,
                        even=len(found) not in unadjusted,
                    )
                )
        return found

    def convolve(
        self,
        x: ov.Node,
        weights: Tensors,
        names: tuple[str, str],
        shape: maps.Shape,
        *,
        padding: maps.Padding | None = None,
        active: bool = True,
    ) -> ov.Node:
        y = maps.normed_convolution(x, weights, names, shape, self.eps, padding=padding)
        return layers.activation(y, self.activation) if active else y

    def block(self, x: ov.Node, weights: Tensors, block: _Block) -> ov.Node:
        """Return maps made wider, convolved channel by channel, weighed, made narrow again."""
        y = x
        if block.wide != block.inputs:
            names = "expansion.expand_conv", "expansion.expand_bn"
            y = self.convolve(y, weights, names, maps.Shape(block.inputs, block.wide))
        middle = maps.Shape(block.wide, block.wide, block.kernel, block.stride, block.wide)
        half = block.kernel // 2
        halved = block.stride == 2 and block.even
        names = "depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"
        y = self.convolve(
            y, weights, names, middle, padding=(half - 1, half - 1, half, half) if halved else None
        )
        weight = maps.squeeze_and_excite(
            y,
            weights.under("squeeze_excite."),
            ("reduce", "expand"),
            block.wide,
            block.squeezed,
            self.activation,
        )
        names = "projection.project_conv", "projection.project_bn"
        y = self.convolve(
            ops.multiply(y, weight), weights, names, maps.Shape(block.wide, block.outputs), active=False
        )
        return ops.add(x, y) if block.stride == 1 and not block.first else y
