from __future__ import annotations

import numpy as np
import pytest

from tests.indexer.pictures import CATEGORY, picture
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.indexer.job.same_vectors import check_same_vectors
from vitrine.services.domain import Embeddings
from vitrine.services.errors import EncoderMismatch, NotFound
from vitrine.services.runtime import Runtime


def stored(runtime: Runtime) -> tuple[str, list[str], Embeddings]:
    (spec,) = runtime.catalog.get(CATEGORY).encoders
    hits = runtime.vectors.scroll(CATEGORY, with_vectors=(spec.name,)).hits
    return spec.name, [hit.id for hit in hits], np.stack([hit.vectors[spec.name] for hit in hits])


def turned(rows: Embeddings, cosine: float) -> Embeddings:
    """Rows of length 1 with this cosine to the given ones."""
    side = np.roll(rows, 1, axis=1)
    side -= (side * rows).sum(1, keepdims=True) * rows
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return (cosine * rows + np.sqrt(1 - cosine**2) * side).astype(np.float32)


def test_an_encoder_that_gives_other_vectors_than_the_stored_ones_is_refused(runtime: Runtime) -> None:
    check_same_vectors(runtime, CATEGORY)  # empty
    index_uploads(runtime, CATEGORY, [Upload(f"{number}.png", picture(number)) for number in range(3)])
    check_same_vectors(runtime, CATEGORY)
    name, ids, rows = stored(runtime)
    runtime.vectors.update_vectors(CATEGORY, ids, name, turned(rows, 0.998))
    check_same_vectors(runtime, CATEGORY)
    runtime.vectors.update_vectors(CATEGORY, ids, name, turned(rows, 0.99))
    with pytest.raises(EncoderMismatch, match=r"cosine of 0\.99.*another name"):
        check_same_vectors(runtime, CATEGORY)


def test_images_without_a_file_say_nothing(runtime: Runtime) -> None:
    index_uploads(runtime, CATEGORY, [Upload(f"{number}.png", picture(number)) for number in range(3)])
    name, ids, rows = stored(runtime)
    runtime.vectors.update_vectors(CATEGORY, ids, name, turned(rows, 0.5))
    for hit in runtime.vectors.scroll(CATEGORY).hits:
        runtime.objects.delete(hit.payload["object_key"])
    check_same_vectors(runtime, CATEGORY)


def test_a_category_that_is_not_there(runtime: Runtime) -> None:
    with pytest.raises(NotFound):
        check_same_vectors(runtime, "nothing")
