"""The layers that networks on maps share, as nodes of an OpenVINO graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.tensors import Tensors

Padding = tuple[int, int, int, int]
"""Zeros above, left of, below and right of a map."""


@dataclass(frozen=True)
class Shape:
    """A convolution: channels in and out, a square kernel, steps, groups of channels."""

    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1

    @property
    def weights(self) -> tuple[int, int, int, int]:
        return self.outputs, self.inputs // self.groups, self.kernel, self.kernel

    @property
    def around(self) -> Padding:
        """The padding that keeps a map's size, but for the stride, where the kernel is odd."""
        return (self.kernel // 2 * self.dilation,) * 4


def extent(x: ov.Node) -> tuple[int, int]:
    """Return the (height, width) of maps, which a graph of one image size knows."""
    shape = x.get_output_partial_shape(0)
    return shape[2].get_length(), shape[3].get_length()


def padding_of_tensorflow(size: tuple[int, int], shape: Shape) -> Padding:
    """Return the padding that TensorFlow calls SAME: the odd zero goes below and to the right."""
    whole = [
        max(shape.kernel - (length % shape.stride or shape.stride), 0) * shape.dilation for length in size
    ]
    before = [total // shape.dilation // 2 * shape.dilation for total in whole]
    return before[0], before[1], whole[0] - before[0], whole[1] - before[1]


def convolve(
    x: ov.Node,
    kernel: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    shape: Shape,
    padding: Padding | None = None,
) -> ov.Node:
    """Return maps convolved; ``padding`` is ``shape.around`` if not given."""
    top, left, bottom, right = shape.around if padding is None else padding
    steps = [shape.stride] * 2, [top, left], [bottom, right], [shape.dilation] * 2
    if shape.groups == 1:
        y = ops.convolution(x, layers.constant(kernel), *steps)
    else:
        grouped = kernel.reshape(shape.groups, -1, *kernel.shape[1:])
        y = ops.group_convolution(x, layers.constant(grouped), *steps)
    return y if bias is None else ops.add(y, layers.constant(bias.reshape(1, -1, 1, 1)))


def convolution(
    x: ov.Node,
    weights: Tensors,
    name: str,
    shape: Shape,
    *,
    bias: bool = True,
    padding: Padding | None = None,
) -> ov.Node:
    """Return maps convolved by the weights of a name."""
    kernel = weights(f"{name}.weight", *shape.weights)
    return convolve(x, kernel, weights(f"{name}.bias", shape.outputs) if bias else None, shape, padding)


def normed_convolution(
    x: ov.Node,
    weights: Tensors,
    names: tuple[str, str],
    shape: Shape,
    eps: float,
    *,
    padding: Padding | None = None,
) -> ov.Node:
    """Return maps convolved without bias, then normalised by the statistics of a BatchNorm.

    The norm is folded into the convolution: both are linear.
    """
    kernel = weights(f"{names[0]}.weight", *shape.weights)
    factor, offset = norm_statistics(weights, names[1], shape.outputs, eps)
    return convolve(x, kernel * factor.reshape(-1, 1, 1, 1), offset, shape, padding)


def norm_statistics(
    weights: Tensors, name: str, channels: int, eps: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return by what a BatchNorm multiplies each channel at inference, and what it then adds."""
    mean, variance = weights(f"{name}.running_mean", channels), weights(f"{name}.running_var", channels)
    factor = weights(f"{name}.weight", channels) / np.sqrt(variance.astype(np.float64) + eps)
    offset = weights(f"{name}.bias", channels) - mean * factor
    return factor.astype(np.float32), offset.astype(np.float32)


def map_norm(x: ov.Node, weights: Tensors, name: str, channels: int, eps: float) -> ov.Node:
    """Return maps whose channels at each place have mean 0 and variance 1, scaled and shifted."""
    return channels_first(layers.layer_norm(channels_last(x), weights, name, channels, eps))


def channels_last(x: ov.Node) -> ov.Node:
    """Return maps as (n, height, width, channels)."""
    return ops.transpose(x, layers.wholes(0, 2, 3, 1))


def channels_first(x: ov.Node) -> ov.Node:
    """Return (n, height, width, channels) as maps."""
    return ops.transpose(x, layers.wholes(0, 3, 1, 2))


def mean_of_map(x: ov.Node) -> ov.Node:
    """Return (n, channels): the mean over all places."""
    return ops.reduce_mean(x, layers.wholes(2, 3), False)


def squeeze_and_excite(
    x: ov.Node, weights: Tensors, names: tuple[str, str], channels: int, narrow: int, activation: str
) -> ov.Node:
    """Return (n, channels, 1, 1): how much each channel counts, 0 to 1, judged by the means of all."""
    mean = ops.reduce_mean(x, layers.wholes(2, 3), True)
    y = convolution(mean, weights, names[0], Shape(channels, narrow))
    y = convolution(layers.activation(y, activation), weights, names[1], Shape(narrow, channels))
    return ops.sigmoid(y)
