"""RegNet, with and without weighed channels: the mean of its last map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.maps import layers as maps
from vitrine.services.encoders.graphs.maps.resnet import after_stages, stages
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_EPS = 1e-5


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    tensors = Tensors(weights).under_first(("", "regnet."), "embedder.embedder.convolution.weight")
    channels = keys.whole("embedding_size", 32)
    source = layers.pixels(size)
    names = "embedder.embedder.convolution", "embedder.embedder.normalization"
    x = maps.normed_convolution(source, tensors, names, maps.Shape(3, channels, 3, 2), _EPS)
    x = layers.activation(x, keys.word("hidden_act", "relu"))
    stride = 2 if keys.flag("downsample_in_first_stage", True) else 1
    blocks = stages(keys, (128, 192, 512, 1088), (2, 6, 12, 2))
    return after_stages(x, source, tensors, keys, channels, blocks, stride, _block)


def _block(
    x: ov.Node, weights: Tensors, inputs: int, outputs: int, stride: int, keys: Config, act: str
) -> ov.Node:
    def convolve(y: ov.Node, name: str, shape: maps.Shape) -> ov.Node:
        names = f"{name}.convolution", f"{name}.normalization"
        return maps.normed_convolution(y, weights, names, shape, _EPS)

    groups = max(1, outputs // keys.whole("groups_width", 64))
    y = layers.activation(convolve(x, "layer.0", maps.Shape(inputs, outputs)), act)
    y = layers.activation(convolve(y, "layer.1", maps.Shape(outputs, outputs, 3, stride, groups)), act)
    last = "layer.2"
    if keys.word("layer_type", "y") == "y":
        names = "layer.2.attention.0", "layer.2.attention.2"
        narrow = round(inputs / 4)
        y = ops.multiply(y, maps.squeeze_and_excite(y, weights, names, outputs, narrow, "relu"))
        last = "layer.3"
    y = convolve(y, last, maps.Shape(outputs, outputs))
    if inputs != outputs or stride != 1:
        x = convolve(x, "shortcut", maps.Shape(inputs, outputs, 1, stride))
    return layers.activation(ops.add(x, y), act)
