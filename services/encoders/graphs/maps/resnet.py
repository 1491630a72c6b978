"""ResNet: the mean of its last map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.maps import layers as maps
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_EPS = 1e-5
_REDUCTION = 4
Block = Callable[[ov.Node, Tensors, int, int, int, Config, str], ov.Node]
"""From maps, weights, channels in and out, stride, config and activation to the maps of the next block."""


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    tensors = Tensors(weights).under_first(("", "resnet."), "embedder.embedder.convolution.weight")
    act = keys.word("hidden_act", "relu")
    channels = keys.whole("embedding_size", 64)
    source = layers.pixels(size)
    names = "embedder.embedder.convolution", "embedder.embedder.normalization"
    x = maps.normed_convolution(source, tensors, names, maps.Shape(3, channels, 7, 2), _EPS)
    x = ops.max_pool(layers.activation(x, act), [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    stride = 2 if keys.flag("downsample_in_first_stage", False) else 1
    blocks = stages(keys, (256, 512, 1024, 2048), (3, 4, 6, 3))
    return after_stages(x, source, tensors, keys, channels, blocks, stride, _block)


def stages(keys: Config, channels: tuple[int, ...], depths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return (channels, count of blocks) of each stage, from a config or these defaults."""
    return list(zip(keys.wholes("hidden_sizes", channels), keys.wholes("depths", depths), strict=False))


def after_stages(
    x: ov.Node,
    source: ov.Node,
    weights: Tensors,
    keys: Config,
    channels: int,
    blocks: Sequence[tuple[int, int]],
    first_stride: int,
    block: Block,
) -> EncoderGraph:
    """Return the graph whose blocks begin with ``x``, maps of this many channels: ResNet's and RegNet's.

    ``blocks``: channels and count of blocks of each stage, of which the first halves the map (that of
    the first stage where ``first_stride`` is 2)."""
    act = keys.word("hidden_act", "relu")
    for number, (outputs, depth) in enumerate(blocks):
        stride = 2 if number else first_stride
        for place in range(depth):
            part = weights.under(f"encoder.stages.{number}.layers.{place}.")
            x = block(x, part, channels, outputs, 1 if place else stride, keys, act)
            channels = outputs
    weights.complete()
    return EncoderGraph(
        layers.model(maps.mean_of_map(x), source, "image"), channels, "mean", convolutional=True
    )


def _block(
    x: ov.Node, weights: Tensors, inputs: int, outputs: int, stride: int, keys: Config, act: str
) -> ov.Node:
    """Return maps plus what two or three convolutions make of them."""
    if keys.word("layer_type", "bottleneck") == "bottleneck":
        narrow = outputs // _REDUCTION
        early = keys.flag("downsample_in_bottleneck", False)
        shapes = [
            maps.Shape(inputs, narrow, 1, stride if early else 1),
            maps.Shape(narrow, narrow, 3, 1 if early else stride),
            maps.Shape(narrow, outputs),
        ]
    else:
        shapes = [maps.Shape(inputs, outputs, 3, stride), maps.Shape(outputs, outputs, 3)]
    y = x
    for number, shape in enumerate(shapes):
        names = f"layer.{number}.convolution", f"layer.{number}.normalization"
        # transformers gives the config's activation to the block's end alone
        y = maps.normed_convolution(y, weights, names, shape, _EPS)
        y = ops.relu(y) if number + 1 < len(shapes) else y
    if inputs != outputs or stride != 1:
        names = "shortcut.convolution", "shortcut.normalization"
        x = maps.normed_convolution(x, weights, names, maps.Shape(inputs, outputs, 1, stride), _EPS)
    return layers.activation(ops.add(x, y), act)
