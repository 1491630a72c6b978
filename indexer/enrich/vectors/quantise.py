"""Quantise a category's encoder to int8 on the category's own pictures, and judge it by their neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from vitrine.services.category.manifest import Category
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.compiled.encoder import OpenVinoEncoder
from vitrine.services.encoders.compiled.quantise import Judgement, keep_int8, quantised, recall_of_neighbours
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.extras import require_extra
from vitrine.services.images.open import open_image
from vitrine.services.runtime import Runtime

MOST_IMAGES = 300
LEAST_IMAGES = 30
Tell = Callable[[str], object]


def quantise_encoder(
    runtime: Runtime,
    category: Category,
    using: str | None = None,
    *,
    images: int = MOST_IMAGES,
    keep: bool = False,
    tell: Tell = lambda line: None,
) -> tuple[Judgement, bool]:
    """Return how int8 compares with float32 on up to ``images`` pictures, and whether it was kept.

    It is kept where it is equal, and anyway with ``keep``; from then on ``VITRINE_PRECISION=int8`` runs it.
    ``tell`` is given lines on what is being done. Raises BadRequest for an encoder that OpenVINO does not
    run, or a category with fewer than 30 pictures, MissingExtra without NNCF.
    """
    spec = category.encoder(using)
    loader = replace(runtime.encoders.loader, precision="float32", runtime="openvino")
    encoder = loader.load(EncoderReference(spec.name, spec.model, spec.revision))
    if not isinstance(encoder, OpenVinoEncoder) or loader.cache is None:
        raise BadRequest(
            f"The encoder {spec.name} is not run by OpenVINO from its weights: it cannot be quantised.",
            using=spec.name,
        )
    require_extra("nncf", "train")  # said before the pictures are read, not after
    tell(f"Reading up to {images} pictures.")
    pixels = list(islice(_pixels(runtime, category, encoder, spec), images))
    if len(pixels) < LEAST_IMAGES:
        raise BadRequest(
            f"{category.name} has {len(pixels)} pictures that can be read: to judge int8 by their neighbours "
            f"takes {LEAST_IMAGES}."
        )
    tell(f"Quantising on {len(pixels)} pictures: this takes a minute or more.")
    small = quantised(encoder.image_graph, pixels)
    tell("Comparing neighbours.")
    exact, exact_rate = _timed(encoder, pixels)
    rounded, rounded_rate = _timed(encoder.with_image_graph(small), pixels)
    cosines = (exact * rounded).sum(axis=1)
    judged = Judgement(
        len(pixels),
        round(recall_of_neighbours(exact, rounded), 4),
        round(float(cosines.min()), 6),
        round(float(cosines.mean()), 6),
        round(exact_rate, 1),
        round(rounded_rate, 1),
    )
    kept = judged.equal or keep
    if kept:
        keep_int8(loader.cache, encoder.spec, small, judged)
    return judged, kept


def _pixels(
    runtime: Runtime, category: Category, encoder: OpenVinoEncoder, spec: EncoderSpec
) -> Iterator[Pixels]:
    """Yield the category's pictures fitted to the encoder, in the order of their ids, which are random."""
    target = spec.preprocessing.target
    for batch in read_all(runtime.vectors, category.name, spec.name, fields=("object_key",)):
        for payload in batch.payloads:
            try:
                data = runtime.objects.get(str(payload.get("object_key", "")))
                opened = open_image(data, target=target, limits=runtime.limits, budget=runtime.budget)
            except (NotFound, BadRequest, ImageRefused):
                continue
            yield encoder.prepare(opened.image)


def _timed(encoder: OpenVinoEncoder, pixels: list[Pixels]) -> tuple[Embeddings, float]:
    """Return the pictures' embeddings, and images a second."""
    encoder.encode_pixels(pixels[:4])  # compiles
    started = time.perf_counter()
    rows = encoder.encode_pixels(pixels)
    return rows, len(pixels) / (time.perf_counter() - started)
