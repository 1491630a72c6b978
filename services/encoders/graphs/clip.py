"""CLIP in transformers' layout: both towers, or the images' alone with or without its projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_colours, check_size
from vitrine.services.encoders.graphs.graph import EncoderGraph, TextTower
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

_VISION = Tower(width=768, hidden=3072, layers=12, heads=12, eps=1e-5, activation="quick_gelu")
_TEXT = Tower(width=512, hidden=2048, layers=12, heads=8, eps=1e-5, activation="quick_gelu")
_HIGHEST = 2
"""The end token of old configs, which was wrong: texts end at their highest id instead."""


@dataclass(frozen=True)
class ImageSide:
    """The images' tower; ``size`` and ``patch`` are (height, width), ``projected`` the length of the rows
    that a last matrix makes, None where there is none."""

    tower: Tower
    size: tuple[int, int]
    patch: tuple[int, int]
    projected: int | None


@dataclass(frozen=True)
class TextSide:
    """The texts' tower: how many ids and places there are, which ids end a text, how long the rows become."""

    tower: Tower
    ids: int
    length: int
    ends: tuple[int, ...]
    projected: int


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker."""
    keys = Config(config)
    tensors = Tensors(weights)
    dual = keys.word("model_type", "clip") == "clip"
    images = keys.section("vision_config") if dual else keys
    check_colours(images)
    whole = dual and not tower_alone(config)
    projected = whole or tensors.has("visual_projection.weight")
    side = ImageSide(
        Tower.of(images, _VISION),
        images.pair("image_size", 224),
        images.pair("patch_size", 32),
        keys.whole("projection_dim", 512) if projected else None,
    )
    image = image_tower(tensors, side, size)
    text = text_tower(tensors, text_side(keys)) if whole and not images_only else None
    tensors.complete()
    return EncoderGraph(image, side.projected or side.tower.width, "projected" if projected else "cls", text)


def tower_alone(config: Mapping[str, Any]) -> bool:
    """Return whether a dual's config lies beside its images' tower alone, as a classifier is saved."""
    architecture = str((config.get("architectures") or [""])[0])
    return architecture.endswith(("ForImageClassification", "VisionModel", "VisionModelWithProjection"))


def text_side(config: Config) -> TextSide:
    """Return the texts' tower of a dual's config."""
    texts = config.section("text_config")
    end = texts.values.get("eos_token_id")
    ends = texts.wholes("eos_token_id", (), least=0) if isinstance(end, list) else None
    return TextSide(
        Tower.of(texts, _TEXT),
        texts.whole("vocab_size", 49408),
        texts.whole("max_position_embeddings", 77),
        ends or (texts.whole("eos_token_id", 49407, least=0),),
        config.whole("projection_dim", 512),
    )


def image_tower(tensors: Tensors, side: ImageSide, size: tuple[int, int]) -> ov.Model:
    """Return the graph from pixels to rows: the class token after the last norm, projected."""
    check_size(size, side.size)
    anchor = "embeddings.class_embedding"
    weights = tensors.under_first(("vision_model.", "", "clip.vision_model."), anchor)
    tower, width = side.tower, side.tower.width
    count = (size[0] // side.patch[0]) * (size[1] // side.patch[1])
    places = weights("embeddings.position_embedding.weight", count + 1, width)
    first = weights(anchor, width) + places[0]
    source = layers.pixels(size)
    x = layers.patches(source, weights, "embeddings.patch_embedding", side.patch, width, bias=False)
    x = layers.before(ops.add(x, layers.constant(places[None, 1:])), first[None])
    x = stack(layers.layer_norm(x, weights, "pre_layrnorm", width, tower.eps), weights, tower)
    x = layers.layer_norm(layers.token(x, 0), weights, "post_layernorm", width, tower.eps)
    if side.projected is not None:
        x = layers.linear(x, tensors, "visual_projection", width, side.projected, bias=False)
    return layers.model(x, source, "image")


def text_tower(tensors: Tensors, side: TextSide) -> TextTower:
    """Return the graph from ids to rows: the token that ends the text, projected."""
    weights = tensors.under_first(("text_model.", "clip.text_model.", ""), "final_layer_norm.weight")
    tower, width = side.tower, side.tower.width
    ids = ops.parameter([-1, -1], np.int64, "ids")
    count = ops.gather(ops.shape_of(ids), layers.wholes(1), layers.whole(0))
    table = layers.constant(weights("embeddings.position_embedding.weight", side.length, width))
    places = ops.slice(table, layers.wholes(0), count, layers.wholes(1), layers.wholes(0))
    words = layers.constant(weights.stored("embeddings.token_embedding.weight", side.ids, width))
    x = ops.add(ops.gather(words, ids, layers.whole(0)), places)
    x = stack(x, weights, tower, causal=True)
    # the norm is over each token alone, so that only the last of a text needs it
    x = ops.squeeze(ops.gather(x, _last_place(ids, count, side.ends), layers.whole(1), 1), layers.wholes(1))
    x = layers.layer_norm(x, weights, "final_layer_norm", width, tower.eps)
    x = layers.linear(x, tensors, "text_projection", width, side.projected, bias=False)
    return TextTower(layers.model(x, ids, "text"), side.length)


def _last_place(ids: ov.Node, count: ov.Node, ends: tuple[int, ...]) -> ov.Node:
    """Return (n, 1): the place of the first end token; 0 where there is none.

    TopK would not promise the first of equals, and padding may be by end tokens.
    """
    if ends == (_HIGHEST,):
        hit = ops.equal(ids, ops.reduce_max(ids, layers.wholes(1), True))
    else:
        hit = ops.equal(ids, layers.whole(ends[0]))
        for end in ends[1:]:
            hit = ops.logical_or(hit, ops.equal(ids, layers.whole(end)))
    places = ops.range(layers.whole(0), ops.squeeze(count, layers.wholes(0)), layers.whole(1), "i64")
    # not a larger number for "none": the processor's plugin may reduce whole numbers as floats
    first = ops.reduce_min(
        ops.select(hit, ops.unsqueeze(places, layers.wholes(0)), count), layers.wholes(1), True
    )
    return ops.select(ops.equal(first, count), layers.whole(0), first)


def stack(x: ov.Node, weights: Tensors, tower: Tower, *, causal: bool = False) -> ov.Node:
    """Return tokens after the layers that CLIP's and SigLIP's towers are made of."""
    for number in range(tower.layers):
        layer = weights.under(f"encoder.layers.{number}.")
        names = [f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")]
        y = layers.layer_norm(x, layer, "layer_norm1", tower.width, tower.eps)
        x = ops.add(x, layers.attention(y, layer, names, tower, causal=causal))
        y = layers.layer_norm(x, layer, "layer_norm2", tower.width, tower.eps)
        x = ops.add(x, layers.perceptron(y, layer, ("mlp.fc1", "mlp.fc2"), tower))
    return x
