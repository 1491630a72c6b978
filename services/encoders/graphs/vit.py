"""ViT, and what is built like it: DeiT, DINO, MSN and the encoder of MAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours, check_size
from vitrine.services.encoders.graphs.graph import EncoderGraph, Pooling
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_DEFAULT = Tower(width=768, hidden=3072, layers=12, heads=12, eps=1e-12, activation="gelu")
_MSN = Tower(width=768, hidden=3072, layers=12, heads=12, eps=1e-6, activation="gelu")
_PREFIXES = ("", "vit.", "deit.", "vit_msn.")
_FIRST_LAYER = "encoder.layer.0.layernorm_before.weight"


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker."""
    keys = Config(config)
    kind = keys.word("model_type", "vit")
    check_colours(keys)
    check_size(size, keys.pair("image_size", 224))
    tower = Tower.of(keys, _MSN if kind == "vit_msn" else _DEFAULT)
    root = Tensors(weights)
    tensors = root.under_first(_PREFIXES, "embeddings.cls_token")
    source = layers.pixels(size)
    x = _embed(source, tensors, tower, size, keys.pair("patch_size", 16))
    # transformers 5 saves the layers of MSN's classifier without the prefix
    bare = not tensors.has(_FIRST_LAYER) and root.has(_FIRST_LAYER)
    x = _stack(x, root if bare else tensors, tower, keys.flag("qkv_bias", True))
    x = layers.layer_norm(x, tensors, "layernorm", tower.width, tower.eps)
    x, dim, pooling = _pool(x, tensors, keys, tower, kind)
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), dim, pooling)


def _embed(
    source: ov.Node, tensors: Tensors, tower: Tower, size: tuple[int, int], patch: tuple[int, int]
) -> ov.Node:
    """Return the tokens of patches behind the class token, and behind DeiT's distillation token."""
    names = [
        name
        for name in ("cls_token", "distillation_token")
        if name == "cls_token" or tensors.has(f"embeddings.{name}")
    ]
    count = (size[0] // patch[0]) * (size[1] // patch[1])
    places = tensors("embeddings.position_embeddings", 1, len(names) + count, tower.width)
    first = np.concatenate([tensors(f"embeddings.{name}", 1, 1, tower.width)[0] for name in names])
    x = layers.patches(source, tensors, "embeddings.patch_embeddings.projection", patch, tower.width)
    x = ops.add(x, layers.constant(places[:, len(names) :]))
    return layers.before(x, first + places[0, : len(names)])


def _stack(x: ov.Node, weights: Tensors, tower: Tower, bias: bool) -> ov.Node:
    """Return tokens after the layers of a ViT."""
    for number in range(tower.layers):
        layer = weights.under(f"encoder.layer.{number}.")
        names = [f"attention.attention.{name}" for name in ("query", "key", "value")]
        y = layers.layer_norm(x, layer, "layernorm_before", tower.width, tower.eps)
        names.append("attention.output.dense")
        x = ops.add(x, layers.attention(y, layer, names, tower, biases=(bias, bias, bias, True)))
        y = layers.layer_norm(x, layer, "layernorm_after", tower.width, tower.eps)
        x = ops.add(x, layers.perceptron(y, layer, ("intermediate.dense", "output.dense"), tower))
    return x


def _pool(
    x: ov.Node, tensors: Tensors, keys: Config, tower: Tower, kind: str
) -> tuple[ov.Node, int, Pooling]:
    """Return the rows, their length, and what they are.

    A model that was saved again often carries a pooler that nobody trained: random weights, a bias of zero.
    Its rows would be noise, so the class token is taken instead. MAE trains its patches, not its class token.
    """
    if kind == "vit_mae":
        return layers.mean_of_tokens(x, first=1), tower.width, "mean"
    x = layers.token(x, 0)
    dim = keys.whole("pooler_output_size", tower.width)
    bias = tensors.optional("pooler.dense.bias", dim)
    if bias is None or not bias.any():
        return x, tower.width, "cls"
    pooled = layers.linear(x, tensors, "pooler.dense", tower.width, dim)
    return layers.activation(pooled, keys.word("pooler_act", "tanh")), dim, "pooler"
