"""Swin: attention within windows that are shifted from layer to layer; the mean of the last tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

_NEVER = -100.0
"""What is added where a token must not see another: the share that is left of it is as good as none."""
_MERGE_EPS = 1e-5


@dataclass(frozen=True)
class _Grid:
    """A map's (rows, columns), rounded up to whole windows, and by how much the windows are shifted."""

    size: tuple[int, int]
    window: int
    shift: int

    @property
    def padded(self) -> tuple[int, int]:
        rows, columns = (-(-length // self.window) * self.window for length in self.size)
        return rows, columns


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size whose maps hold a window."""
    keys = Config(config)
    check_colours(keys)
    tensors = Tensors(weights).under_first(("", "swin."), "embeddings.norm.weight")
    patch, width = keys.pair("patch_size", 4), keys.whole("embed_dim", 96)
    eps = keys.number("layer_norm_eps", 1e-5)
    if size[0] % patch[0] or size[1] % patch[1] or keys.flag("use_absolute_embeddings", False):
        raise ModelUnavailable(
            "This Swin has a table of positions, or patches that do not fill its images: that is not built."
        )
    source = layers.pixels(size)
    x = layers.patches(source, tensors, "embeddings.patch_embeddings.projection", patch, width)
    x = layers.layer_norm(x, tensors, "embeddings.norm", width, eps)
    grid = size[0] // patch[0], size[1] // patch[1]
    depths = keys.wholes("depths", (2, 2, 6, 2))
    heads = keys.wholes("num_heads", (3, 6, 12, 24))
    for number, depth in enumerate(depths):
        stage = tensors.under(f"encoder.layers.{number}.")
        hidden = int(width * keys.number("mlp_ratio", 4.0))
        tower = Tower(width, hidden, depth, heads[number], eps, keys.word("hidden_act", "gelu"))
        tower.check()
        for place in range(depth):
            x = _layer(
                x, stage.under(f"blocks.{place}."), keys, tower, _grid(keys, grid, shifted=place % 2 == 1)
            )
        if number + 1 < len(depths):
            x = _merge(x, stage.under("downsample."), grid, width)
            grid = (grid[0] + 1) // 2, (grid[1] + 1) // 2
            width *= 2
    x = layers.mean_of_tokens(layers.layer_norm(x, tensors, "layernorm", width, eps))
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), width, "mean")


def _grid(keys: Config, size: tuple[int, int], *, shifted: bool) -> _Grid:
    window = keys.whole("window_size", 7)
    if min(size) < window:
        raise ModelUnavailable(
            f"A map of {size[0]} times {size[1]} tokens is smaller than this Swin's windows of {window}: its "
            "images are too small."
        )
    return _Grid(size, window, window // 2 if shifted and min(size) > window else 0)


def _layer(x: ov.Node, weights: Tensors, keys: Config, tower: Tower, grid: _Grid) -> ov.Node:
    width, (rows, columns) = tower.width, grid.size
    high, wide = grid.padded
    y = layers.layer_norm(x, weights, "layernorm_before", width, tower.eps)
    y = ops.reshape(y, layers.wholes(0, rows, columns, width), True)
    y = _pad(y, high - rows, wide - columns)
    if grid.shift:
        y = ops.roll(y, layers.wholes(-grid.shift, -grid.shift), layers.wholes(1, 2))
    y = _attend(y, weights.under("attention."), keys, tower, grid)
    if grid.shift:
        y = ops.roll(y, layers.wholes(grid.shift, grid.shift), layers.wholes(1, 2))
    y = ops.slice(
        y, layers.wholes(0, 0), layers.wholes(rows, columns), layers.wholes(1, 1), layers.wholes(1, 2)
    )
    x = ops.add(x, ops.reshape(y, layers.wholes(0, rows * columns, width), True))
    y = layers.layer_norm(x, weights, "layernorm_after", width, tower.eps)
    return ops.add(x, layers.perceptron(y, weights, ("intermediate.dense", "output.dense"), tower))


def _attend(x: ov.Node, weights: Tensors, keys: Config, tower: Tower, grid: _Grid) -> ov.Node:
    """Return maps (n, high, wide, width) after attention within each window."""
    width, heads, side = tower.width, tower.heads, grid.window
    high, wide = grid.padded
    down, across, each = high // side, wide // side, width // tower.heads
    x = ops.reshape(x, layers.wholes(0, down, side, across, side, width), True)
    x = ops.transpose(x, layers.wholes(0, 1, 3, 2, 4, 5))
    x = ops.reshape(x, layers.wholes(0, down * across, side * side, width), True)
    bias = keys.flag("qkv_bias", True)
    query, key, value = (
        ops.transpose(
            ops.reshape(
                layers.linear(x, weights, f"self.{name}", width, width, bias=bias),
                layers.wholes(0, 0, 0, heads, each),
                True,
            ),
            layers.wholes(0, 1, 3, 2, 4),
        )
        for name in ("query", "key", "value")
    )
    products = ops.matmul(ops.multiply(query, layers.number(each**-0.5)), key, False, True)
    table = weights("self.relative_position_bias_table", (2 * side - 1) ** 2, heads)
    added = table[_ways(side)].transpose(2, 0, 1)[None, None]
    if grid.shift:
        added = added + _seams(grid)[None, :, None]
    shares = ops.softmax(ops.add(products, layers.constant(np.ascontiguousarray(added))), -1)
    y = ops.transpose(ops.matmul(shares, value, False, False), layers.wholes(0, 1, 3, 2, 4))
    y = ops.reshape(y, layers.wholes(0, 0, 0, width), True)
    y = layers.linear(y, weights, "output.dense", width, width)
    y = ops.reshape(y, layers.wholes(0, down, across, side, side, width), True)
    y = ops.transpose(y, layers.wholes(0, 1, 3, 2, 4, 5))
    return ops.reshape(y, layers.wholes(0, high, wide, width), True)


def _ways(side: int) -> NDArray[np.int64]:
    """Return (t, t): the row of the table for the way from one token of a window to another."""
    y, x = (axis.ravel() for axis in np.mgrid[:side, :side])
    down, across = y[:, None] - y[None] + side - 1, x[:, None] - x[None] + side - 1
    ways: NDArray[np.int64] = down * (2 * side - 1) + across
    return ways


def _seams(grid: _Grid) -> NDArray[np.float32]:
    """Return (windows, t, t): what keeps apart tokens that only shifting round the edge brought together."""
    high, wide = grid.padded
    side, shift = grid.window, grid.shift
    rows, columns = (
        np.searchsorted([length - side, length - shift], np.arange(length), side="right")
        for length in (high, wide)
    )
    regions = rows[:, None] * 3 + columns[None]
    parted = regions.reshape(high // side, side, wide // side, side).transpose(0, 2, 1, 3)
    windows = parted.reshape(-1, side * side)
    return np.where(windows[:, :, None] == windows[:, None], 0.0, _NEVER).astype(np.float32)


def _merge(x: ov.Node, weights: Tensors, grid: tuple[int, int], width: int) -> ov.Node:
    """Return a quarter of the tokens, each made of four neighbours, twice as wide."""
    rows, columns = grid
    x = ops.reshape(x, layers.wholes(0, rows, columns, width), True)
    x = _pad(x, rows % 2, columns % 2)
    high, wide = rows + rows % 2, columns + columns % 2
    parts = [
        ops.slice(
            x, layers.wholes(row, column), layers.wholes(high, wide), layers.wholes(2, 2), layers.wholes(1, 2)
        )
        for column in range(2)
        for row in range(2)
    ]
    count = (high // 2) * (wide // 2)
    x = ops.reshape(ops.concat(parts, -1), layers.wholes(0, count, 4 * width), True)
    x = layers.layer_norm(x, weights, "norm", 4 * width, _MERGE_EPS)
    return layers.linear(x, weights, "reduction", 4 * width, 2 * width, bias=False)


def _pad(x: ov.Node, below: int, right: int) -> ov.Node:
    """Return (n, rows, columns, width) with rows of zeros below and columns of zeros to the right."""
    if not below and not right:
        return x
    return ops.pad(
        x, layers.wholes(0, 0, 0, 0), layers.wholes(0, below, right, 0), "constant", layers.number(0)
    )
