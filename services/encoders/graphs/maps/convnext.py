"""ConvNeXt and its second version: the norm of the mean of the last map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.maps import layers as maps
from vitrine.services.encoders.graphs.maps.resnet import stages
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_EPS = 1e-6  # of all norms but the last, whatever the config says


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    second = keys.word("model_type", "convnext") == "convnextv2"
    tensors = Tensors(weights).under_first(
        ("", "convnextv2." if second else "convnext."), "embeddings.patch_embeddings.weight"
    )
    source = layers.pixels(size)
    sizes = stages(keys, (96, 192, 384, 768), (3, 3, 9, 3))
    channels = sizes[0][0]
    patch = keys.pair("patch_size", 4)[0]
    shape = maps.Shape(3, channels, patch, patch)
    x = maps.convolution(source, tensors, "embeddings.patch_embeddings", shape, padding=(0, 0, 0, 0))
    x = maps.map_norm(x, tensors, "embeddings.layernorm", channels, _EPS)
    for number, (outputs, depth) in enumerate(sizes):
        stage = tensors.under(f"encoder.stages.{number}.")
        if number:
            x = maps.map_norm(x, stage, "downsampling_layer.0", channels, _EPS)
            shape = maps.Shape(channels, outputs, 2, 2)
            x = maps.convolution(x, stage, "downsampling_layer.1", shape, padding=(0, 0, 0, 0))
            channels = outputs
        for place in range(depth):
            x = _block(x, stage.under(f"layers.{place}."), channels, keys, second)
    x = layers.layer_norm(
        maps.mean_of_map(x), tensors, "layernorm", channels, keys.number("layer_norm_eps", 1e-12)
    )
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), channels, "mean", convolutional=True)


def _block(x: ov.Node, weights: Tensors, channels: int, keys: Config, second: bool) -> ov.Node:
    y = maps.convolution(x, weights, "dwconv", maps.Shape(channels, channels, 7, groups=channels))
    y = layers.layer_norm(maps.channels_last(y), weights, "layernorm", channels, _EPS)
    y = layers.linear(y, weights, "pwconv1", channels, 4 * channels)
    y = layers.activation(y, keys.word("hidden_act", "gelu"))
    if second:
        y = _respond(y, weights, 4 * channels)
    y = layers.linear(y, weights, "pwconv2", 4 * channels, channels)
    if not second and keys.number("layer_scale_init_value", 1e-6) > 0:
        y = layers.scaled(y, weights, "layer_scale_parameter", channels)
    return ops.add(x, maps.channels_first(y))


def _respond(x: ov.Node, weights: Tensors, channels: int) -> ov.Node:
    """Return (n, height, width, channels) plus itself times how strong each channel is beside the others."""
    strength = ops.reduce_l2(x, layers.wholes(1, 2), True)
    mean = ops.add(ops.reduce_mean(strength, layers.wholes(-1), True), layers.number(1e-6))
    y = ops.multiply(x, ops.divide(strength, mean))
    y = ops.multiply(y, layers.constant(weights("grn.weight", 1, 1, 1, channels)))
    return ops.add(ops.add(y, layers.constant(weights("grn.bias", 1, 1, 1, channels))), x)
