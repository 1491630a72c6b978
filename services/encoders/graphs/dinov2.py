"""DINOv2, with and without registers, with either kind of perceptron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.positions import stretch
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. Images may be of any size: the positions are stretched for it."""
    keys = Config(config)
    check_colours(keys)
    registers = keys.word("model_type", "dinov2") == "dinov2_with_registers"
    tower = _tower(keys)
    tensors = Tensors(weights).under_first(
        ("", "dinov2_with_registers." if registers else "dinov2."), "embeddings.cls_token"
    )
    source = layers.pixels(size)
    x = _embed(source, tensors, keys, tower.width, size, registers)
    for number in range(tower.layers):
        x = _layer(x, tensors.under(f"encoder.layer.{number}."), keys, tower)
    x = layers.layer_norm(layers.token(x, 0), tensors, "layernorm", tower.width, tower.eps)
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), tower.width, "cls")


def _tower(keys: Config) -> Tower:
    width = keys.whole("hidden_size", 768)
    hidden = int(width * keys.number("mlp_ratio", 4.0))
    if keys.flag("use_swiglu_ffn", False):
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
    tower = Tower(
        width,
        hidden,
        keys.whole("num_hidden_layers", 12),
        keys.whole("num_attention_heads", 12),
        keys.number("layer_norm_eps", 1e-6),
        keys.word("hidden_act", "gelu"),
    )
    tower.check()
    return tower


def _embed(
    source: ov.Node, tensors: Tensors, keys: Config, width: int, size: tuple[int, int], registers: bool
) -> ov.Node:
    """Return the tokens: the class token, registers (which have no position), patches."""
    patch = keys.pair("patch_size", 16 if registers else 14)
    trained = keys.pair("image_size", 224)
    count = (trained[0] // patch[0]) * (trained[1] // patch[1])
    table = tensors("embeddings.position_embeddings", 1, count + 1, width)[0]
    first: list[NDArray[np.float32]] = [tensors("embeddings.cls_token", 1, 1, width)[0] + table[:1]]
    if registers:
        first.append(
            tensors("embeddings.register_tokens", 1, keys.whole("num_register_tokens", 4, least=0), width)[0]
        )
    grid = (size[0] // patch[0], size[1] // patch[1])
    places = table[1:]
    if grid[0] * grid[1] != count or size[0] != size[1]:
        places = stretch(places, grid, smooth=registers)
    x = layers.patches(source, tensors, "embeddings.patch_embeddings.projection", patch, width)
    return layers.before(ops.add(x, layers.constant(places[None])), np.concatenate(first))


def _layer(x: ov.Node, layer: Tensors, keys: Config, tower: Tower) -> ov.Node:
    bias = keys.flag("qkv_bias", True)
    names = [f"attention.attention.{name}" for name in ("query", "key", "value")]
    y = layers.layer_norm(x, layer, "norm1", tower.width, tower.eps)
    y = layers.attention(y, layer, [*names, "attention.output.dense"], tower, biases=(bias, bias, bias, True))
    x = ops.add(x, layers.scaled(y, layer, "layer_scale1.lambda1", tower.width))
    y = layers.layer_norm(x, layer, "norm2", tower.width, tower.eps)
    if keys.flag("use_swiglu_ffn", False):
        halves = ops.split(
            layers.linear(y, layer, "mlp.weights_in", tower.width, 2 * tower.hidden), layers.whole(-1), 2
        )
        y = ops.multiply(ops.swish(halves.output(0)), halves.output(1))
        y = layers.linear(y, layer, "mlp.weights_out", tower.hidden, tower.width)
    else:
        y = layers.perceptron(y, layer, ("mlp.fc1", "mlp.fc2"), tower)
    return ops.add(x, layers.scaled(y, layer, "layer_scale2.lambda1", tower.width))
