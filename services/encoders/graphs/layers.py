"""The layers that networks of several families share, as nodes of an OpenVINO graph.

``x`` is a node's output: tokens (n, tokens, width), or maps (n, channels, height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from vitrine.services.encoders.graphs.configs import Tower
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.errors import ModelUnavailable


def constant(values: NDArray[Any]) -> ov.Node:
    """Return an array as a node, without a copy where the array lies in memory as the graph wants it.

    Halves (float16, or bfloat16 as uint16) stay halves in memory and are float32 in what the graph computes.
    """
    array = np.ascontiguousarray(values) if values.ndim else values
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    shared = bool(array.ndim) and array.flags.aligned
    if array.dtype == np.uint16:
        bits = ov.Tensor(array, ov.Shape(array.shape), ov.Type.bf16)
        return _widened(ops.constant(bits, shared_memory=shared))
    node = ops.constant(array, shared_memory=shared)
    return _widened(node) if array.dtype == np.float16 else node


def _widened(halves: ov.Node) -> ov.Node:
    """Return halves as float32, marked as openvino's own compressed files are.

    Without the mark openvino keeps a float32 copy of them beside the one that it packs for its products.
    """
    node = ops.convert(halves, "f32")
    node.get_rt_info()["decompression_0"] = True
    return node


def number(value: float) -> ov.Node:
    """Return a float32 number."""
    return ops.constant(np.float32(value))


def whole(value: int) -> ov.Node:
    """Return an int64 number without dimensions."""
    return ops.constant(np.int64(value))


def wholes(*values: int) -> ov.Node:
    """Return a list of int64 numbers."""
    return ops.constant(np.array(values, np.int64))


def pixels(size: tuple[int, int]) -> ov.Node:
    """Return the input of an image tower: (n, 3, height, width) float32."""
    return ops.parameter([-1, 3, *size], np.float32, "pixels")


def model(x: ov.Node, source: ov.Node, name: str) -> ov.Model:
    """Return the graph from an input to rows (n, dim), which are brought to length 1."""
    return ov.Model([ops.normalize_l2(x, wholes(1), 1e-12, "max")], [source], name)


def linear(
    x: ov.Node, weights: Tensors, name: str, inputs: int, outputs: int, *, bias: bool = True
) -> ov.Node:
    """Return ``x`` times a matrix, plus a bias."""
    y = ops.matmul(x, constant(weights.stored(f"{name}.weight", outputs, inputs)), False, True)
    return ops.add(y, constant(weights(f"{name}.bias", outputs))) if bias else y


def layer_norm(x: ov.Node, weights: Tensors, name: str, width: int, eps: float) -> ov.Node:
    """Return tokens of mean 0 and variance 1 over their numbers, scaled and shifted."""
    y = ops.mvn(x, wholes(-1), True, eps, "inside_sqrt")
    scaled = ops.multiply(y, constant(weights(f"{name}.weight", width)))
    return ops.add(scaled, constant(weights(f"{name}.bias", width)))


def activation(x: ov.Node, name: str) -> ov.Node:
    """Return an activation by the name that transformers gives it."""
    if name == "quick_gelu":
        return ops.swish(x, number(1.702))
    simple: dict[str, Callable[[ov.Node], ov.Node]] = {
        "gelu": lambda x: ops.gelu(x, "erf"),
        "gelu_python": lambda x: ops.gelu(x, "erf"),
        "gelu_new": lambda x: ops.gelu(x, "tanh"),
        "gelu_fast": lambda x: ops.gelu(x, "tanh"),
        "gelu_pytorch_tanh": lambda x: ops.gelu(x, "tanh"),
        "silu": ops.swish,
        "swish": ops.swish,
        "relu": ops.relu,
        "relu6": lambda x: ops.clamp(x, 0.0, 6.0),
        "hard_swish": ops.hswish,
        "hardswish": ops.hswish,
        "mish": ops.mish,
        "sigmoid": ops.sigmoid,
        "tanh": ops.tanh,
        "linear": lambda x: x,
    }
    if name not in simple:
        raise ModelUnavailable(f"The model asks for the activation {name}, which is not known here.")
    return simple[name](x)


def perceptron(x: ov.Node, weights: Tensors, names: tuple[str, str], tower: Tower) -> ov.Node:
    """Return two linear layers with an activation between them."""
    y = activation(linear(x, weights, names[0], tower.width, tower.hidden), tower.activation)
    return linear(y, weights, names[1], tower.hidden, tower.width)


def split_heads(x: ov.Node, heads: int, width: int) -> ov.Node:
    """Return tokens (n, t, width) as (n, heads, t, width / heads)."""
    return ops.transpose(ops.reshape(x, wholes(0, 0, heads, width // heads), True), wholes(0, 2, 1, 3))


def join_heads(x: ov.Node, width: int) -> ov.Node:
    """Return (n, heads, t, width / heads) as tokens (n, t, width)."""
    return ops.reshape(ops.transpose(x, wholes(0, 2, 1, 3)), wholes(0, 0, width), True)


def attention(
    x: ov.Node,
    weights: Tensors,
    names: Sequence[str],
    tower: Tower,
    *,
    causal: bool = False,
    turn: Callable[[ov.Node], ov.Node] | None = None,
    added: ov.Node | None = None,
    biases: Sequence[bool] = (True, True, True, True),
) -> ov.Node:
    """Return self-attention; ``names`` are those of the queries', keys', values' and the last linear layer,
    ``biases`` says which of them have one.

    ``causal``: a token sees itself and what is before it. ``turn`` turns queries and keys by their place.
    ``added`` (1, heads, t, t) is added to their products.
    """
    width, heads = tower.width, tower.heads
    query, key, value = (
        split_heads(linear(x, weights, name, width, width, bias=bias), heads, width)
        for name, bias in zip(names[:3], biases, strict=False)
    )
    if turn is not None:
        query, key = turn(query), turn(key)
    mixed = (
        ops.scaled_dot_product_attention(query, key, value, causal=causal)
        if added is None
        else ops.scaled_dot_product_attention(query, key, value, added)
    )
    return linear(join_heads(mixed, width), weights, names[3], width, width, bias=biases[3])


def patches(
    x: ov.Node, weights: Tensors, name: str, patch: tuple[int, int], width: int, *, bias: bool = True
) -> ov.Node:
    """Return the tokens of an image, one a patch, row by row; what is beyond the last whole patch is cut."""
    kernel = constant(weights(f"{name}.weight", width, 3, *patch))
    y = ops.convolution(x, kernel, list(patch), [0, 0], [0, 0], [1, 1])
    tokens = ops.transpose(ops.reshape(y, wholes(0, width, -1), True), wholes(0, 2, 1))
    return ops.add(tokens, constant(weights(f"{name}.bias", width))) if bias else tokens


def before(x: ov.Node, tokens: NDArray[np.float32]) -> ov.Node:
    """Return tokens with the same (k, width) ``tokens`` put before those of every image."""
    count, width = tokens.shape
    shape = ops.concat([ops.gather(ops.shape_of(x), wholes(0), whole(0)), wholes(count, width)], 0)
    return ops.concat([ops.broadcast(constant(tokens[None]), shape), x], 1)


def token(x: ov.Node, place: int) -> ov.Node:
    """Return (n, width): the token at a place, counted from the end where it is negative."""
    return ops.gather(x, whole(place), whole(1))


def mean_of_tokens(x: ov.Node, first: int = 0) -> ov.Node:
    """Return (n, width): the mean of the tokens from place ``first`` on."""
    if first:
        x = ops.slice(x, wholes(first), wholes(np.iinfo(np.int32).max), wholes(1), wholes(1))
    return ops.reduce_mean(x, wholes(1), False)


def scaled(x: ov.Node, weights: Tensors, name: str, width: int) -> ov.Node:
    """Return tokens with each of their numbers times a weight of its own."""
    return ops.multiply(x, constant(weights(name, width)))
