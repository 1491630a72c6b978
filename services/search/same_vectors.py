"""Check that an encoder still gives the vectors that a category holds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vitrine.services.errors import BadRequest, EncoderMismatch, ImageRefused, NotFound, Unavailable

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.domain import Embedding, EncoderSpec, Hit
    from vitrine.services.encoders.batching import BatchedEncoder
    from vitrine.services.encoders.pool import EncoderPool
    from vitrine.services.images.budget import DecodeBudget, ImageLimits
    from vitrine.services.object_store.base import ObjectStore
    from vitrine.services.vector_store.base import VectorStore

LEAST = 0.995
"""Least cosine of an image's vector to the one that is stored. Runtimes and number formats that may be mixed
keep it (float32 0.99999, bfloat16 0.997 at worst); another pooling or preprocessing does not come near it."""
_IMAGES = 3
_PROJECTED = "projected"
"""The pooling of CLIP and its relatives, which no version did otherwise."""


@dataclass(frozen=True, eq=False)
class SameVectors:
    """Embeds some images of a category once more and compares with their stored vectors. Thread-safe.

    A revision says which weights an encoder has, not how they are run: by which runtime, in which number
    format, with which version of Vitrine. Images whose file is missing or unreadable are left out.
    """

    vectors: VectorStore
    objects: ObjectStore
    encoders: Callable[[], EncoderPool]
    limits: Callable[[], ImageLimits]
    budget: Callable[[], DecodeBudget]
    _compared: set[tuple[str, str, str]] = field(default_factory=set)

    def check(self, cat: Category, spec: EncoderSpec) -> None:
        """Raise ``EncoderMismatch`` where the median cosine is below ``LEAST``; ``ModelUnavailable``."""
        page = self.vectors.scroll(
            cat.name, limit=_IMAGES, with_payload=("object_key", "sha256"), with_vectors=(spec.name,)
        )
        stored = [hit for hit in page.hits if spec.name in hit.vectors]
        if not stored:
            return
        encoder = self.encoders().for_category(spec)
        rows = [(self._embedded(encoder, hit), hit.vectors[spec.name]) for hit in stored]
        cosines = [float(row @ vector) for row, vector in rows if row is not None]
        if cosines and (cosine := statistics.median(cosines)) < LEAST:
            raise _mismatch(cat.name, spec.name, cosine)
        self._compared.add(_key(cat.name, spec))

    def check_once(self, cat: Category, spec: EncoderSpec) -> None:
        """As ``check``, but only until this process has found images to compare with."""
        if _key(cat.name, spec) not in self._compared:
            self.check(cat, spec)

    def check_query(self, cat: Category, spec: EncoderSpec, encoder: BatchedEncoder) -> None:
        """Check once what answers a query by a picture, where the category does not say how the encoder's
        vectors were pooled, as those of 0.5 and earlier do not, and this version says how it pools. What
        cannot be read now is compared another time."""
        if spec.pooling is None and encoder.spec.pooling not in (None, _PROJECTED):
            with suppress(Unavailable):
                self.check_once(cat, spec)

    def forget(self, category: str) -> None:
        """Compare anew: the category was deleted, and another may get its name."""
        self._compared.difference_update({key for key in tuple(self._compared) if key[0] == category})

    def _embedded(self, encoder: BatchedEncoder, hit: Hit) -> Embedding | None:
        """Return the vector of a stored image; None where its file is not what it was, or not readable."""
        from vitrine.services.images.open import content_hash, open_image

        try:
            data = self.objects.get(str(hit.payload.get("object_key", "")))
            sha256 = str(hit.payload.get("sha256", ""))
            if sha256 and content_hash(data) != sha256:
                return None
            target = encoder.spec.preprocessing.target
            opened = open_image(data, target=target, limits=self.limits(), budget=self.budget())
        except (NotFound, BadRequest, ImageRefused):
            return None
        row: Embedding = encoder.encode_images([opened.image])[0]
        return row


def _key(category: str, spec: EncoderSpec) -> tuple[str, str, str]:
    return category, spec.name, spec.revision


def _mismatch(category: str, using: str, cosine: float) -> EncoderMismatch:
    return EncoderMismatch(
        f"The encoder {using} gives other vectors here than those that {category} holds: for "
        f"images that are there, a cosine of {cosine:.3f} instead of at least "
        f"{LEAST}. `vitrine encoder check` shows how it runs here (VITRINE_RUNTIME, "
        "VITRINE_PRECISION); to go on with the new vectors, add the encoder under another name "
        "(`category add-encoder`, then `category fill`).",
        using=using,
        expected=f">= {LEAST}",
        found=f"{cosine:.4f}",
    )
