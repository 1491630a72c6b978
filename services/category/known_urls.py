"""Find the images of a category that were downloaded from given URLs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vitrine.services.category.catalog import Category
from vitrine.services.domain import Payload
from vitrine.services.filters.conditions import Filter, MatchAny
from vitrine.services.vector_store.base import MAX_LIMIT, VectorStore

FIELD = "urls"
MAX_URLS = 16
"""An image remembers so many: a server that has one picture for all that is missing would give it
thousands."""


def known_urls(vectors: VectorStore, category: Category, urls: Sequence[str]) -> dict[str, Payload]:
    """Return by URL what the category knows of its image: ``sha256`` and ``object_key``. URLs are in their
    normal form; those that no image came from are left out."""
    if FIELD not in category.indexes or not urls:
        return {}
    page = vectors.scroll(
        category.name,
        filter=Filter(must=(MatchAny(FIELD, tuple(urls)),)),
        limit=MAX_LIMIT,
        with_payload=(FIELD, "sha256", "object_key"),
    )
    found: dict[str, Payload] = {}
    for hit in page.hits:
        payload: Mapping[str, object] = hit.payload
        for url in hit.payload.get(FIELD, ()):
            found.setdefault(str(url), dict(payload))
    return {url: found[url] for url in urls if url in found}
