"""MobileNetV2: the mean of its last map."""

from __future__ import annotations

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

_CHANNELS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
_STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
_LAST = 1280


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    net = _Net(
        Tensors(weights).under_first(("", "mobilenet_v2."), "conv_1x1.convolution.weight"),
        keys.number("layer_norm_eps", 0.001),
        keys.word("hidden_act", "relu6"),
        keys.flag("tf_padding", True),
        keys.whole("depth_divisible_by", 8),
        keys.whole("min_depth", 8),
    )
    depth, expansion = keys.number("depth_multiplier", 1.0), keys.number("expand_ratio", 6.0)
    channels = [net.rounded(round(count * depth)) for count in _CHANNELS]
    source = layers.pixels(size)
    x = net.stem(
        source, net.rounded(round(32 * depth)), channels[0], keys.flag("first_layer_is_expansion", True)
    )
    most, reached, dilation = keys.whole("output_stride", 32), 2, 1
    for number, stride in enumerate(_STRIDES):
        inputs, outputs = channels[number], channels[number + 1]
        wide = net.rounded(round(inputs * expansion))
        if reached == most:  # maps stay this large, and later kernels reach as far by their gaps
            middle = maps.Shape(wide, wide, 3, 1, wide, dilation)
            dilation *= stride
        else:
            middle = maps.Shape(wide, wide, 3, stride, wide)
            reached *= stride
        x = net.block(x, f"layer.{number}.", maps.Shape(inputs, wide), middle, maps.Shape(wide, outputs))
    fine = keys.flag("finegrained_output", True) and depth < 1
    last = _LAST if fine else net.rounded(round(_LAST * depth))
    x = net.convolve(x, "conv_1x1", maps.Shape(channels[-1], last))
    net.weights.complete()
    image = layers.model(maps.mean_of_map(x), source, "image")
    return EncoderGraph(image, last, "mean", convolutional=True)


@dataclass(frozen=True)
class _Net:
    """What all convolutions share."""

    weights: Tensors
    eps: float
    activation: str
    tensorflow: bool
    divisor: int
    least: int

    def rounded(self, channels: int) -> int:
        """Return a count of channels that the divisor divides, not below nine tenths of what was asked."""
        found = max(self.least, int(channels + self.divisor / 2) // self.divisor * self.divisor)
        return found + self.divisor if found < 0.9 * channels else found

    def convolve(self, x: ov.Node, name: str, shape: maps.Shape, *, active: bool = True) -> ov.Node:
        padding = maps.padding_of_tensorflow(maps.extent(x), shape) if self.tensorflow else shape.around
        names = f"{name}.convolution", f"{name}.normalization"
        y = maps.normed_convolution(x, self.weights, names, shape, self.eps, padding=padding)
        return layers.activation(y, self.activation) if active else y

    def stem(self, x: ov.Node, wide: int, outputs: int, plain: bool) -> ov.Node:
        x = self.convolve(x, "conv_stem.first_conv", maps.Shape(3, wide, 3, 2))
        if not plain:
            x = self.convolve(x, "conv_stem.expand_1x1", maps.Shape(wide, wide))
        x = self.convolve(x, "conv_stem.conv_3x3", maps.Shape(wide, wide, 3, groups=wide))
        return self.convolve(x, "conv_stem.reduce_1x1", maps.Shape(wide, outputs), active=False)

    def block(
        self, x: ov.Node, name: str, first: maps.Shape, middle: maps.Shape, last: maps.Shape
    ) -> ov.Node:
        """Return maps made wider, convolved channel by channel, made narrow again."""
        y = self.convolve(x, f"{name}expand_1x1", first)
        y = self.convolve(y, f"{name}conv_3x3", middle)
        y = self.convolve(y, f"{name}reduce_1x1", last, active=False)
        return ops.add(x, y) if middle.stride == 1 and first.inputs == last.outputs else y
