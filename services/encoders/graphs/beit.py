"""BEiT, DiT and data2vec's images: patches whose attention knows how far they are from one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours, check_size
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

_DEFAULT = Tower(width=768, hidden=3072, layers=12, heads=12, eps=1e-12, activation="gelu")
_TABLE = "relative_position_bias.relative_position_bias_table"


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker."""
    keys = Config(config)
    check_colours(keys)
    check_size(size, keys.pair("image_size", 224))
    tower = Tower.of(keys, _DEFAULT)
    width = tower.width
    patch = keys.pair("patch_size", 16)
    grid = (size[0] // patch[0], size[1] // patch[1])
    tensors = Tensors(weights).under_first(("", "beit.", "data2vec_vision."), "embeddings.cls_token")
    source = layers.pixels(size)
    x = layers.patches(source, tensors, "embeddings.patch_embeddings.projection", patch, width)
    first = tensors("embeddings.cls_token", 1, 1, width)[0]
    if keys.flag("use_absolute_position_embeddings", False):
        places = tensors("embeddings.position_embeddings", 1, 1 + grid[0] * grid[1], width)
        x = ops.add(x, layers.constant(places[:, 1:]))
        first = first + places[0, :1]
    x = layers.before(x, first)
    shared = None
    if keys.flag("use_shared_relative_position_bias", False):
        shared = _distances(tensors.under("encoder."), grid, tower.heads)
    for number in range(tower.layers):
        x = _layer(x, tensors.under(f"encoder.layer.{number}."), keys, tower, grid, shared)
    x = _pool(x, tensors, keys, tower)
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), width, "mean")


def _layer(
    x: ov.Node,
    layer: Tensors,
    keys: Config,
    tower: Tower,
    grid: tuple[int, int],
    shared: NDArray[np.float32] | None,
) -> ov.Node:
    added = shared
    if keys.flag("use_relative_position_bias", False):
        own = _distances(layer.under("attention.attention."), grid, tower.heads)
        added = own if shared is None else own + shared
    names = [f"attention.attention.{name}" for name in ("query", "key", "value")]
    names.append("attention.output.dense")
    scale = keys.number("layer_scale_init_value", 0.1) > 0
    y = layers.layer_norm(x, layer, "layernorm_before", tower.width, tower.eps)
    y = layers.attention(
        y,
        layer,
        names,
        tower,
        added=None if added is None else layers.constant(added),
        biases=(True, False, True, True),
    )
    x = ops.add(x, layers.scaled(y, layer, "lambda_1", tower.width) if scale else y)
    y = layers.layer_norm(x, layer, "layernorm_after", tower.width, tower.eps)
    y = layers.perceptron(y, layer, ("intermediate.dense", "output.dense"), tower)
    return ops.add(x, layers.scaled(y, layer, "lambda_2", tower.width) if scale else y)


def _distances(weights: Tensors, grid: tuple[int, int], heads: int) -> NDArray[np.float32]:
    """Return (1, heads, t, t): what is added for each pair of tokens, the class token being the first.

    The table has a row for each way from one patch to another, then one for ways from the class token, to it,
    and from it to itself.
    """
    rows, columns = grid
    if rows != columns:  # transformers reads such a table in another order than it was trained in
        raise ModelUnavailable(
            f"The model reads images of {rows} times {columns} patches by their distances, which is built "
            "here for squares alone."
        )
    ways = (2 * rows - 1) * (2 * columns - 1)
    table = weights(_TABLE, ways + 3, heads)
    y, x = (axis.ravel() for axis in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
    down = y[:, None] - y[None] + rows - 1
    across = x[:, None] - x[None] + columns - 1
    index = np.empty((rows * columns + 1,) * 2, np.int64)
    index[1:, 1:] = down * (2 * columns - 1) + across
    index[0] = ways
    index[1:, 0] = ways + 1
    index[0, 0] = ways + 2
    return np.ascontiguousarray(table[index].transpose(2, 0, 1))[None]


def _pool(x: ov.Node, tensors: Tensors, keys: Config, tower: Tower) -> ov.Node:
    """Return the mean of the patches.

    Models that were trained to pool so have their last norm behind the mean, others before it. One that was
    saved again may carry a norm that nobody trained, which is left out.
    """
    if not keys.flag("use_mean_pooling", True):
        x = layers.layer_norm(x, tensors, "layernorm", tower.width, tower.eps)
        return layers.mean_of_tokens(x, first=1)
    mean = layers.mean_of_tokens(x, first=1)
    bias = tensors.optional("pooler.layernorm.bias", tower.width)
    if bias is None or not bias.any():
        return mean
    return layers.layer_norm(mean, tensors, "pooler.layernorm", tower.width, tower.eps)
