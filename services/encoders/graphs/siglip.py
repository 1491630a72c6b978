"""SigLIP, and SigLIP2 of a fixed size of images: both towers, or the images' alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.clip import stack, tower_alone
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours, check_size
from vitrine.services.encoders.graphs.graph import EncoderGraph, Pooling, TextTower
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_DEFAULT = Tower(width=768, hidden=3072, layers=12, heads=12, eps=1e-6, activation="gelu_pytorch_tanh")


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker."""
    keys = Config(config)
    tensors = Tensors(weights)
    dual = keys.word("model_type", "siglip") == "siglip"
    images = keys.section("vision_config") if dual else keys
    tower = Tower.of(images, _DEFAULT)
    image, pooling = _image_tower(tensors, images, tower, size)
    texts = dual and not images_only and not tower_alone(config)
    text = _text_tower(tensors, keys.section("text_config"), tower.width) if texts else None
    tensors.complete()
    return EncoderGraph(image, tower.width, pooling, text)


def _image_tower(
    tensors: Tensors, images: Config, tower: Tower, size: tuple[int, int]
) -> tuple[ov.Model, Pooling]:
    """Return the graph from pixels to rows, and what they are."""
    check_colours(images)
    check_size(size, images.pair("image_size", 224))
    patch, width = images.pair("patch_size", 16), tower.width
    weights = tensors.under_first(("vision_model.", ""), "embeddings.patch_embedding.weight")
    count = (size[0] // patch[0]) * (size[1] // patch[1])
    source = layers.pixels(size)
    x = layers.patches(source, weights, "embeddings.patch_embedding", patch, width)
    places = weights("embeddings.position_embedding.weight", count, width)
    x = stack(ops.add(x, layers.constant(places[None])), weights, tower)
    x = layers.layer_norm(x, weights, "post_layernorm", width, tower.eps)
    if not images.flag("vision_use_head", True):
        return layers.model(layers.mean_of_tokens(x), source, "image"), "mean"
    return layers.model(_head(x, weights.under("head."), tower), source, "image"), "head"


def _head(x: ov.Node, weights: Tensors, tower: Tower) -> ov.Node:
    """Return (n, width): what a learned question, the same for all images, finds in their tokens.

    Queries, keys and values share one matrix, as torch's MultiheadAttention keeps them.
    """
    width, heads = tower.width, tower.heads
    matrix = weights("attention.in_proj_weight", 3 * width, width)
    bias = weights("attention.in_proj_bias", 3 * width)
    asked = weights("probe", 1, 1, width)[0] @ matrix[:width].T + bias[:width]
    each = ops.gather(ops.shape_of(x), layers.wholes(0), layers.whole(0))
    query = ops.broadcast(
        layers.constant(asked.reshape(1, heads, 1, width // heads)),
        ops.concat([each, layers.wholes(heads, 1, width // heads)], 0),
    )
    key, value = (
        layers.split_heads(
            ops.add(ops.matmul(x, layers.constant(matrix[part]), False, True), layers.constant(bias[part])),
            heads,
            width,
        )
        for part in (slice(width, 2 * width), slice(2 * width, 3 * width))
    )
    found = layers.join_heads(ops.scaled_dot_product_attention(query, key, value), width)
    y = layers.linear(layers.token(found, 0), weights, "attention.out_proj", width, width)
    z = layers.layer_norm(y, weights, "layernorm", width, tower.eps)
    return ops.add(y, layers.perceptron(z, weights, ("mlp.fc1", "mlp.fc2"), tower))


def _text_tower(tensors: Tensors, texts: Config, dim: int) -> TextTower:
    """Return the graph from ids to rows: the last token of a text that is padded to its full length."""
    tower = Tower.of(texts, _DEFAULT)
    length, width = texts.whole("max_position_embeddings", 64), tower.width
    weights = tensors.under("text_model.")
    ids = ops.parameter([-1, length], np.int64, "ids")
    words = weights.stored("embeddings.token_embedding.weight", texts.whole("vocab_size", 32000), width)
    places = weights("embeddings.position_embedding.weight", length, width)
    x = ops.gather(layers.constant(words), ids, layers.whole(0))
    x = stack(ops.add(x, layers.constant(places[None])), weights, tower)
    x = layers.layer_norm(layers.token(x, -1), weights, "final_layer_norm", width, tower.eps)
    x = layers.linear(x, weights, "head", width, texts.whole("projection_size", width))
    return TextTower(layers.model(x, ids, "text"), length, full=True, lower_case=True)
