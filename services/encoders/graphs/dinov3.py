"""DINOv3's ViTs, which know places by turning queries and keys instead of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_DEFAULT = Tower(width=384, hidden=1536, layers=12, heads=6, eps=1e-5, activation="gelu")


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size."""
    keys = Config(config)
    check_colours(keys)
    tower = Tower.of(keys, _DEFAULT)
    width = tower.width
    patch = keys.pair("patch_size", 16)
    tensors = Tensors(weights).under_first(("", "dinov3_vit.", "model."), "embeddings.cls_token")
    registers = keys.whole("num_register_tokens", 0, least=0)
    first = [tensors("embeddings.cls_token", 1, 1, width)[0]]
    if registers:
        first.append(tensors("embeddings.register_tokens", 1, registers, width)[0])
    source = layers.pixels(size)
    x = layers.patches(source, tensors, "embeddings.patch_embeddings", patch, width)
    x = layers.before(x, np.concatenate(first))
    turn = _turning(
        (size[0] // patch[0], size[1] // patch[1]),
        1 + registers,
        width // tower.heads,
        keys.number("rope_theta", 100.0),
    )
    names = ("layer.", "model.layer.", "encoder.layer.")
    stack = tensors.under_first(names, "0.norm1.weight")
    for number in range(tower.layers):
        x = _layer(x, stack.under(f"{number}."), keys, tower, turn)
    x = layers.layer_norm(layers.token(x, 0), tensors, "norm", width, tower.eps)
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), width, "cls")


def _layer(
    x: ov.Node, layer: Tensors, keys: Config, tower: Tower, turn: Callable[[ov.Node], ov.Node]
) -> ov.Node:
    biases = [keys.flag(f"{name}_bias", name != "key") for name in ("query", "key", "value", "proj")]
    y = layers.layer_norm(x, layer, "norm1", tower.width, tower.eps)
    names = [f"attention.{name}_proj" for name in "qkvo"]
    y = layers.attention(y, layer, names, tower, turn=turn, biases=biases)
    x = ops.add(x, layers.scaled(y, layer, "layer_scale1.lambda1", tower.width))
    y = layers.layer_norm(x, layer, "norm2", tower.width, tower.eps)
    bias = keys.flag("mlp_bias", True)
    up = layers.linear(y, layer, "mlp.up_proj", tower.width, tower.hidden, bias=bias)
    if keys.flag("use_gated_mlp", False):
        gate = layers.linear(y, layer, "mlp.gate_proj", tower.width, tower.hidden, bias=bias)
        up = ops.multiply(layers.activation(gate, tower.activation), up)
    else:
        up = layers.activation(up, tower.activation)
    y = layers.linear(up, layer, "mlp.down_proj", tower.hidden, tower.width, bias=bias)
    return ops.add(x, layers.scaled(y, layer, "layer_scale2.lambda1", tower.width))


def _turning(grid: tuple[int, int], first: int, width: int, base: float) -> Callable[[ov.Node], ov.Node]:
    """Return what turns queries or keys (n, heads, tokens, width) by the places of their patches.

    A place is (y, x) in -1..1 at the middle of a patch. The ``first`` tokens are no patches and stay as they
    are: cosine 1, sine 0.
    """
    rows, columns = ((np.arange(length) + 0.5) / length * 2 - 1 for length in grid)
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2, 1)
    angles = 2 * np.pi * places / base ** np.arange(0, 1, 4 / width)
    angles = np.tile(angles.reshape(len(places), width // 2), (1, 2))
    cosine = np.concatenate([np.ones((first, width)), np.cos(angles)]).astype(np.float32)
    sine = np.concatenate([np.zeros((first, width)), np.sin(angles)]).astype(np.float32)

    def turn(x: ov.Node) -> ov.Node:
        halves = ops.split(x, layers.whole(-1), 2)
        turned = ops.concat([ops.negative(halves.output(1)), halves.output(0)], -1)
        straight = ops.multiply(x, layers.constant(cosine[None, None]))
        return ops.add(straight, ops.multiply(turned, layers.constant(sine[None, None])))

    return turn
