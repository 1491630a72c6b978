"""SegFormer's encoder: the mean of its last map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.maps import layers as maps
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_EPS = 1e-5  # of all norms, whatever the config says


@dataclass(frozen=True)
class _Stage:
    """A stage's first convolution, its layers and how much smaller the map of keys and values is."""

    patch: maps.Shape
    tower: Tower
    reduction: int


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    tensors = Tensors(weights).under_first(("", "segformer."), "encoder.patch_embeddings.0.proj.weight")
    source = layers.pixels(size)
    x, width = source, 3
    for number, stage in enumerate(_stages(keys)):
        width = stage.tower.width
        name = f"encoder.patch_embeddings.{number}"
        x = maps.convolution(x, tensors, f"{name}.proj", stage.patch)
        extent = maps.extent(x)
        x = layers.layer_norm(_tokens(x, width), tensors, f"{name}.layer_norm", width, _EPS)
        for place in range(stage.tower.layers):
            x = _layer(x, tensors.under(f"encoder.block.{number}.{place}."), stage, extent)
        x = layers.layer_norm(x, tensors, f"encoder.layer_norm.{number}", width, _EPS)
        x = _map(x, width, extent)
    tensors.complete()
    return EncoderGraph(layers.model(maps.mean_of_map(x), source, "image"), width, "mean")


def _stages(keys: Config) -> list[_Stage]:
    found, inputs = list[_Stage](), 3
    for width, depth, heads, ratio, kernel, stride, reduction in zip(
        keys.wholes("hidden_sizes", (32, 64, 160, 256)),
        keys.wholes("depths", (2, 2, 2, 2)),
        keys.wholes("num_attention_heads", (1, 2, 5, 8)),
        keys.wholes("mlp_ratios", (4, 4, 4, 4)),
        keys.wholes("patch_sizes", (7, 3, 3, 3)),
        keys.wholes("strides", (4, 2, 2, 2)),
        keys.wholes("sr_ratios", (8, 4, 2, 1)),
        strict=False,
    ):
        tower = Tower(width, width * ratio, depth, heads, _EPS, keys.word("hidden_act", "gelu"))
        tower.check()
        found.append(_Stage(maps.Shape(inputs, width, kernel, stride), tower, reduction))
        inputs = width
    return found


def _layer(x: ov.Node, weights: Tensors, stage: _Stage, size: tuple[int, int]) -> ov.Node:
    tower, width = stage.tower, stage.tower.width
    y = layers.layer_norm(x, weights, "layer_norm_1", width, _EPS)
    x = ops.add(x, _attend(y, weights.under("attention."), stage, size))
    y = layers.layer_norm(x, weights, "layer_norm_2", width, _EPS)
    y = _map(layers.linear(y, weights, "mlp.dense1", width, tower.hidden), tower.hidden, size)
    shape = maps.Shape(tower.hidden, tower.hidden, 3, groups=tower.hidden)
    y = _tokens(maps.convolution(y, weights, "mlp.dwconv.dwconv", shape), tower.hidden)
    y = layers.activation(y, tower.activation)
    return ops.add(x, layers.linear(y, weights, "mlp.dense2", tower.hidden, width))


def _attend(x: ov.Node, weights: Tensors, stage: _Stage, size: tuple[int, int]) -> ov.Node:
    """Return what every token finds in a smaller map of them all."""
    width, heads = stage.tower.width, stage.tower.heads
    fewer = x
    if stage.reduction > 1:
        shape = maps.Shape(width, width, stage.reduction, stage.reduction)
        y = maps.convolution(_map(x, width, size), weights, "self.sr", shape, padding=(0, 0, 0, 0))
        fewer = layers.layer_norm(_tokens(y, width), weights, "self.layer_norm", width, _EPS)
    query, key, value = (
        layers.split_heads(layers.linear(tokens, weights, f"self.{name}", width, width), heads, width)
        for name, tokens in (("query", x), ("key", fewer), ("value", fewer))
    )
    y = layers.join_heads(ops.scaled_dot_product_attention(query, key, value), width)
    return layers.linear(y, weights, "output.dense", width, width)


def _tokens(x: ov.Node, width: int) -> ov.Node:
    """Return maps as tokens (n, places, width), row by row."""
    return ops.transpose(ops.reshape(x, layers.wholes(0, width, -1), True), layers.wholes(0, 2, 1))


def _map(x: ov.Node, width: int, size: tuple[int, int]) -> ov.Node:
    """Return tokens as maps of (rows, columns)."""
    return ops.reshape(ops.transpose(x, layers.wholes(0, 2, 1)), layers.wholes(0, width, *size), True)
