"""Check that the encoders found here still give the vectors that a category holds."""

from __future__ import annotations

from vitrine.indexer.sources.records import ADOPTED
from vitrine.services.runtime import Runtime


def check_same_vectors(runtime: Runtime, category: str, *, once: bool = False) -> None:
    """Embed some images of a category once more by each encoder in service, and compare with their stored
    vectors: see services/search/same_vectors.py.

    ``once``: an encoder that this process has compared is left out. Raises ``EncoderMismatch``, ``NotFound``
    (category), ``ModelUnavailable``.
    """
    cat = runtime.catalog.get(category)
    for spec in cat.active_encoders:
        if spec.revision != ADOPTED:
            (runtime.same_vectors.check_once if once else runtime.same_vectors.check)(cat, spec)
