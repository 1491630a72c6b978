"""Load a model folder as a graph that is built from its weights: no torch, no transformers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.compiled.choose import core_count
from vitrine.services.encoders.compiled.encoder import OpenVinoEncoder, OpenVinoTextEncoder
from vitrine.services.encoders.compiled.library import return_memory
from vitrine.services.encoders.compiled.tower import Streams, Tower, reads_pixels, weight_bytes
from vitrine.services.encoders.folders.layout import read_layout
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.encoders.precision import Precision
from vitrine.services.encoders.preprocess import read_preprocessing
from vitrine.services.encoders.pretrained import refuse_adapted
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel

if TYPE_CHECKING:
    import openvino as ov

    from vitrine.services.encoders.graphs.graph import GraphMaker
    from vitrine.services.encoders.load import EncoderLoader

_log = logging.getLogger("vitrine.encoders")
SLICE = 8
"""Inputs a pass. One thread multiplies eight images' matrices as fast as thirty-two's, and holds a quarter of
the memory."""
CONVOLUTIONAL_SLICE = 4
"""The same for networks that convolve all the way, whose first maps take megabytes an image."""
_LARGE = 100_000_000
"""Weights in float32, in bytes, from which fewer than _FEW inputs go one by one: see Streams. Slices of eight
take a ViT-B/32 a fifth less processor time an image than slices of one, and 350 MB for their weights."""
_FEW = 4


def load_graph(
    reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader, maker: GraphMaker
) -> OpenVinoEncoder:
    """Return the encoder of a folder in float32. Nothing is compiled yet.

    Raises ModelUnavailable where the folder is incomplete or damaged, and where its config asks for what the
    maker cannot build.
    """
    layout = read_layout(found.folder)
    preprocessing = loader.preprocessing or read_preprocessing(layout.path)
    weights = Weights(layout.weights)
    refuse_adapted(layout.path, weights.names)
    graph = maker.build(layout.config, weights, input_size(preprocessing), images_only=loader.images_only)

    def release() -> None:
        weights.release()
        return_memory()

    def tower(model: ov.Model) -> Tower:
        largest = CONVOLUTIONAL_SLICE if graph.convolutional else SLICE
        few = _FEW if weight_bytes(model) > _LARGE else 0
        slices: Mapping[Precision, int] = {"float32": largest, "bfloat16": largest}
        streams = Streams(core_count(loader.threads), slices, {"float32": few})
        return Tower(model, graph.dim, streams, release)

    image = tower(reads_pixels(graph.image, preprocessing))
    spec = EncoderSpec(
        reference.name,
        reference.model,
        found.revision,
        graph.dim,
        ("image", "text") if graph.text else ("image",),
        preprocessing,
        graph.pooling,
    )
    int8 = _int8(loader, spec)
    rounds = not graph.convolutional
    quantised = tower(int8) if int8 is not None else None
    if graph.text is None:
        return OpenVinoEncoder(spec, image, rounds=rounds, int8=quantised)
    from vitrine.services.encoders.texts.read import read_tokenizer

    text = graph.text
    tokenize = read_tokenizer(layout.path, length=text.length, full=text.full, lower_case=text.lower_case)
    return OpenVinoTextEncoder(spec, image, tower(text.model), tokenize, rounds=rounds, int8=quantised)


def _int8(loader: EncoderLoader, spec: EncoderSpec) -> ov.Model | None:
    """Return the quantised graph where int8 is wanted and there is one."""
    if loader.precision != "int8":
        return None
    from vitrine.services.encoders.compiled.quantise import find_int8

    kept = find_int8(loader.cache, spec)
    if isinstance(kept, str):
        _log.warning("%s does not run in int8, for which there is no graph: %s.", spec.name, kept)
        return None
    return kept[0]


def input_size(preprocessing: Preprocessing) -> tuple[int, int]:
    """Return (height, width) of the images that the model gets."""
    if preprocessing.crop is not None:
        return preprocessing.crop
    assert isinstance(preprocessing.resize, tuple)  # without a crop, images are resized to one size
    return preprocessing.resize
