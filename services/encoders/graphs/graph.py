"""What a family of graphs makes of a model folder: its towers as OpenVINO models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:  # openvino takes half a second to import
    import openvino as ov

    from vitrine.services.encoders.graphs.weights import Weights

Pooling = Literal["projected", "pooler", "cls", "mean", "head", "summary"]
"""What of a network's output is the embedding: CLIP's projection, a pooler with trained weights, the class
token after the last norm, the mean of patches (or of the map), SigLIP's attention head, a summary token."""


@dataclass(frozen=True)
class TextTower:
    """The texts' side of a dual model.

    ``model``: input ``ids`` (n, t) int64, padded on the right; output (n, dim) float32 of length 1.
    ``length``: the most tokens of a text. ``full``: every text is padded to ``length``, as SigLIP was
    trained; else to the longest of its batch. ``lower_case``: texts are lower-cased first.
    """

    model: ov.Model
    length: int
    full: bool = False
    lower_case: bool = False


@dataclass(frozen=True)
class EncoderGraph:
    """The towers of one encoder in float32, weights included.

    ``image``: input ``pixels`` (n, 3, height, width) float32, normalised as the preprocessing says; output
    (n, dim) float32 of length 1. ``convolutional``: it convolves all the way, so rounding to bfloat16 costs
    more.
    """

    image: ov.Model
    dim: int
    pooling: Pooling
    text: TextTower | None = None
    convolutional: bool = False


class GraphMaker(Protocol):
    """One kind of network: knows its config and builds the graph from named weights."""

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Return whether this is the kind of network that a folder's config describes."""
        ...

    def build(
        self, config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
    ) -> EncoderGraph:
        """Return the graph for images of ``size`` (height, width). ``images_only`` leaves out the texts'
        side, whose weights may then be missing.

        Raises ModelUnavailable where weights are missing, of other shapes than the config says, or quantised,
        and where the config asks for something that has no graph.
        """
        ...
