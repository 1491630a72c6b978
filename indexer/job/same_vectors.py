"""Check that the encoders found here still give the vectors that a category holds."""

from __future__ import annotations

import statistics

from vitrine.indexer.job.stored_images import FIELDS, embed_stored
from vitrine.indexer.sources.records import ADOPTED
from vitrine.services.errors import EncoderMismatch
from vitrine.services.runtime import Runtime

LEAST = 0.995
"""Least cosine of an image's vector to the one that is stored. Runtimes and number formats that may be mixed
keep it (float32 0.99999, bfloat16 0.997 at worst); another pooling or preprocessing does not come near it."""
_IMAGES = 3


def check_same_vectors(runtime: Runtime, category: str) -> None:
    """Embed some images of a category once more, and compare with their stored vectors.

    A revision says which weights an encoder has, not how they are run: by which runtime, in which number
    format, with which version of Vitrine. Images whose file is missing or unreadable are left out. Raises
    ``EncoderMismatch`` where the median cosine is below ``LEAST``, ``NotFound`` (category),
    ``ModelUnavailable``.
    """
    cat = runtime.catalog.get(category)
    for spec in cat.active_encoders:
        if spec.revision == ADOPTED:
            continue
        page = runtime.vectors.scroll(category, limit=_IMAGES, with_payload=FIELDS, with_vectors=(spec.name,))
        stored = {hit.id: hit for hit in page.hits if spec.name in hit.vectors}
        if not stored:
            continue
        found = embed_stored(runtime, runtime.encoders.for_category(spec), stored.values())
        cosines = [
            float(image.row @ stored[image.id].vectors[spec.name]) for image in found if image.row is not None
        ]
        cosine = statistics.median(cosines) if cosines else 1.0
        if cosine < LEAST:
            raise EncoderMismatch(
                f"The encoder {spec.name} gives other vectors here than those that {category} holds: for "
                f"images that are there, a cosine of {cosine:.3f} instead of at least "
                f"{LEAST}. `vitrine encoder check` shows how it runs here (VITRINE_RUNTIME, "
                "VITRINE_PRECISION); to go on with the new vectors, add the encoder under another name "
                "(`category add-encoder`, then `category fill`).",
                using=spec.name,
                expected=f">= {LEAST}",
                found=f"{cosine:.4f}",
            )
