"""Embed images of a category from their pictures in the object store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

from vitrine.indexer.job.encoding import encoded
from vitrine.indexer.job.workers import (
    ENCODING,
    MAX_BATCH_BYTES,
    SLICE_SECONDS,
    Pace,
    in_batches,
    in_order,
    open_pool,
)
from vitrine.services.domain import Embedding, Hit
from vitrine.services.encoders.batching import BatchedEncoder, Prepared
from vitrine.services.encoders.compiled.choose import core_count
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.images.open import content_hash, open_image
from vitrine.services.runtime import Runtime

FIELDS = ("object_key", "sha256")
"""The payload fields that a picture is found by."""
SLICE = 32
"""Pictures encoded at a time."""
_READERS, _READ_AHEAD = 4, 16


@dataclass(eq=False)
class StoredImage:
    """One image of a category on its way to an embedding: ``row`` in the end, or the ``reason`` why there is
    none."""

    id: str
    key: str
    sha256: str
    data: bytes = b""
    prepared: Prepared | None = None
    row: Embedding | None = None
    reason: str = ""

    @property
    def size(self) -> int:
        return len(self.data)


def embed_stored(
    runtime: Runtime,
    encoder: BatchedEncoder,
    hits: Iterable[Hit],
    stop: threading.Event | None = None,
    halted: threading.Event | None = None,
) -> Generator[StoredImage]:
    """Embed images of a category from their pictures in the object store, in order. ``hits`` carry the
    payload ``FIELDS``.

    Reading, decoding and encoding overlap, and never run far ahead of who takes the results. What is on its
    way when ``stop`` or ``halted`` is set is left out.
    """
    events = [event for event in (stop, halted) if event is not None]

    def ending() -> bool:
        return any(event.is_set() for event in events)

    work = _Work(runtime, encoder, ending, Pace(SLICE, SLICE_SECONDS))
    with ExitStack() as stack:
        readers, encoding = open_pool(stack, "readers", _READERS), open_pool(stack, "encoder", ENCODING)
        decoders = open_pool(stack, "decoders", core_count(runtime.settings.threads))
        read = in_order(readers, work.read, hits, _READ_AHEAD)
        decoded = in_order(decoders, work.decode, read, SLICE)
        slices = in_batches(decoded, work.pace, MAX_BATCH_BYTES, SLICE_SECONDS)
        for image in chain.from_iterable(in_order(encoding, work.encode, slices, ENCODING)):
            if image.row is not None or image.reason:
                yield image


@dataclass(frozen=True)
class _Work:
    """The three steps of each image."""

    runtime: Runtime
    encoder: BatchedEncoder
    ending: Callable[[], bool]
    pace: Pace

    def read(self, hit: Hit) -> StoredImage:
        """Read the bytes, and check that they are still those that the image is called by."""
        image = StoredImage(
            hit.id, str(hit.payload.get("object_key", "")), str(hit.payload.get("sha256", ""))
        )
        if self.ending():
            return image
        try:
            image.data = self.runtime.objects.get(image.key)
        except (NotFound, BadRequest):
            image.reason = "image_missing"
        else:
            if image.sha256 and content_hash(image.data) != image.sha256:
                image.reason, image.data = "damaged_image", b""
        return image

    def decode(self, image: StoredImage) -> StoredImage:
        """Decode the pixels for the encoder."""
        data, image.data = image.data, b""
        if image.reason or self.ending():
            return image
        runtime, target = self.runtime, self.encoder.spec.preprocessing.target
        try:
            opened = open_image(
                data, target=target, limits=runtime.limits, budget=runtime.budget, sha256=image.sha256 or None
            )
            image.prepared = self.encoder.prepare(opened.image)
        except ImageRefused as error:
            image.reason = error.reason
        except Exception:  # of a decoder or of the encoder's fitting, for this picture
            image.reason = "damaged_image"
        return image

    def encode(self, batch: list[StoredImage]) -> list[StoredImage]:
        """Compute the embeddings of a batch."""
        going = [image for image in batch if image.prepared is not None]
        with self.pace.turn():
            if not going or self.ending():
                return batch
            started = time.monotonic()
            rows = encoded(self.encoder, [image.prepared for image in going if image.prepared is not None])
            self.pace.note(len(going), time.monotonic() - started)
        for image, row in zip(going, rows, strict=True):
            image.prepared = None
            if isinstance(row, str):
                image.reason = "bad_vector"
            else:
                image.row = row
        return batch
