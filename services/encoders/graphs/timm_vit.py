"""ViTs in timm's own layout: plain ones, DeiT III, CLIP's image towers, DINOv2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from vitrine.services.encoders.graphs import layers
from vitrine.services.encoders.graphs.configs import Config, Tower, check_size
from vitrine.services.encoders.graphs.graph import EncoderGraph, Pooling
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

_ARCHITECTURE = re.compile(
    r"(?:vit|deit3?)_(?P<size>tiny|small|base|large|huge)_patch\d+_"
    r"(?:(?P<clip>clip_(?P<quick>quickgelu_)?)?\d+|(?:reg4_)?dinov2)"
)
_SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12), "large": (1024, 16), "huge": (1280, 16)}
"""Width and heads: the config names a size, and weights do not show heads."""
_KNOWN = re.compile(
    r"(cls_token|reg_token|pos_embed|patch_embed\.proj\.\w+|(norm|norm_pre|fc_norm|head)\.\w+"
    r"|blocks\.\d+\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.(weight|bias)"
    r"|blocks\.\d+\.ls[12]\.gamma)"
)


@dataclass(frozen=True)
class _Kind:
    """What the weights do not show of an architecture."""

    width: int
    heads: int
    eps: float
    activation: str


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker."""
    keys = Config(config)
    kind = _kind(keys)
    if unknown := [name for name in weights.names if not _KNOWN.fullmatch(name)]:
        raise ModelUnavailable(
            f"{weights.folder} has weights called {unknown[0]}, which a plain ViT of timm has not: this kind "
            "is not built here."
        )
    _, *wanted = keys.section("pretrained_cfg").wholes("input_size", (3, 224, 224))
    check_size(size, (wanted[0], wanted[1]))
    tensors, width = Tensors(weights), kind.width
    depth = len({name.split(".")[1] for name in weights.names if name.startswith("blocks.")})
    hidden = weights.shape("blocks.0.mlp.fc1.weight")[0] if depth else 4 * width
    tower = Tower(width, hidden, depth, kind.heads, kind.eps, kind.activation)
    source = layers.pixels(size)
    x = _embed(source, tensors, weights, width, size)
    if tensors.has("norm_pre.weight"):
        x = layers.layer_norm(x, tensors, "norm_pre", width, kind.eps)
    for number in range(depth):
        x = _layer(x, tensors.under(f"blocks.{number}."), tower)
    prefix = 1 + (weights.shape("reg_token")[1] if weights.has("reg_token") else 0)
    x, pooling = _pool(x, tensors, keys, tower, prefix)
    tensors.complete()
    return EncoderGraph(layers.model(x, source, "image"), width, pooling)


def _kind(keys: Config) -> _Kind:
    name = keys.word("architecture", "")
    found = _ARCHITECTURE.fullmatch(name)
    if found is None:
        raise ModelUnavailable(
            f"The model is timm's {name}, which is not built here: of timm's, ViT, DeiT III, the image "
            "towers of CLIP and DINOv2 are. Use one of them, or the same model in transformers' layout."
        )
    args = keys.section("model_args")
    width, heads = _SIZES[found["size"]]
    if odd := sorted(set(args.values) - {"embed_dim", "num_heads", "depth", "img_size", "num_classes"}):
        raise ModelUnavailable(f"The timm model was made with {odd[0]}, which is not built here.")
    return _Kind(
        args.whole("embed_dim", width),
        args.whole("num_heads", heads),
        1e-5 if found["clip"] else 1e-6,
        "quick_gelu" if found["quick"] else "gelu",
    )


def _embed(source: ov.Node, tensors: Tensors, weights: Weights, width: int, size: tuple[int, int]) -> ov.Node:
    """Return the tokens: class token, registers, patches; registers and, in newer models, the class token
    have no position."""
    shape = weights.shape("patch_embed.proj.weight") if weights.has("patch_embed.proj.weight") else ()
    patch = shape[2:] if len(shape) == 4 else (16, 16)
    count = (size[0] // patch[0]) * (size[1] // patch[1])
    first = tensors("cls_token", 1, 1, width)[0]
    placed = 1 if weights.has("pos_embed") and weights.shape("pos_embed")[1] == count + 1 else 0
    places = tensors("pos_embed", 1, placed + count, width)
    if placed:
        first = first + places[0, :1]
    if weights.has("reg_token"):
        first = np.concatenate([first, tensors("reg_token", 1, weights.shape("reg_token")[1], width)[0]])
    bias = not tensors.has("norm_pre.weight")
    x = layers.patches(source, tensors, "patch_embed.proj", (patch[0], patch[1]), width, bias=bias)
    return layers.before(ops.add(x, layers.constant(places[:, placed:])), first)


def _layer(x: ov.Node, weights: Tensors, tower: Tower) -> ov.Node:
    width = tower.width
    y = layers.layer_norm(x, weights, "norm1", width, tower.eps)
    stacked = layers.linear(y, weights, "attn.qkv", width, 3 * width)
    parts = ops.split(stacked, layers.whole(-1), 3)
    query, key, value = (layers.split_heads(parts.output(at), tower.heads, width) for at in range(3))
    y = layers.join_heads(ops.scaled_dot_product_attention(query, key, value), width)
    y = layers.linear(y, weights, "attn.proj", width, width)
    x = ops.add(x, layers.scaled(y, weights, "ls1.gamma", width) if weights.has("ls1.gamma") else y)
    y = layers.layer_norm(x, weights, "norm2", width, tower.eps)
    y = layers.perceptron(y, weights, ("mlp.fc1", "mlp.fc2"), tower)
    return ops.add(x, layers.scaled(y, weights, "ls2.gamma", width) if weights.has("ls2.gamma") else y)


def _pool(x: ov.Node, tensors: Tensors, keys: Config, tower: Tower, prefix: int) -> tuple[ov.Node, Pooling]:
    """Return the rows that timm gives without its classifier."""
    how = keys.word("global_pool", keys.section("pretrained_cfg").word("global_pool", "token"))
    if how not in ("token", "avg"):
        raise ModelUnavailable(f"The timm model pools by {how}, which is not built here.")
    if tensors.has("fc_norm.weight"):  # the last norm stands behind the mean
        return layers.layer_norm(_pooled(x, how, prefix), tensors, "fc_norm", tower.width, tower.eps), (
            "mean" if how == "avg" else "cls"
        )
    x = layers.layer_norm(x, tensors, "norm", tower.width, tower.eps)
    return _pooled(x, how, prefix), "mean" if how == "avg" else "cls"


def _pooled(x: ov.Node, how: str, prefix: int) -> ov.Node:
    return layers.token(x, 0) if how == "token" else layers.mean_of_tokens(x, first=prefix)
