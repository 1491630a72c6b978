"""The images that a change names, as the store has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vitrine.services.category.catalog import Catalog
from vitrine.services.category.journal import Journal
from vitrine.services.domain import Fields, Hit
from vitrine.services.errors import BadVector, NotFound
from vitrine.services.vector_store.base import VectorStore, check_ids

SLICE = 1_000
"""Images that are read and written at a time. Whoever changes an image meanwhile waits for as long."""


@dataclass(frozen=True)
class Found:
    """Those of the images that there are, and the ids of the others."""

    hits: list[Hit]
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Images:
    """The images of all categories."""

    catalog: Catalog
    vectors: VectorStore
    journal: Journal

    def check(self, category: str, ids: Sequence[str]) -> None:
        """Raise ``NotFound`` if there is no such category, or if one of these can be no image's id."""
        self.catalog.get(category)
        try:
            check_ids(ids)
        except BadVector as error:
            raise NotFound(error.message, **error.details) from error

    def find(
        self, category: str, ids: Sequence[str], fields: Fields = True, *, vectors: Iterable[str] = ()
    ) -> Found:
        """Return the images with these fields of the payload and these named vectors."""
        hits = self.vectors.retrieve(category, ids, with_payload=fields, with_vectors=tuple(vectors))
        missing = [id for id, hit in zip(ids, hits, strict=True) if hit is None]
        return Found([hit for hit in hits if hit is not None], missing)

    def count_anew(self, category: str) -> None:
        """Store in the manifest how many images there are now."""
        self.catalog.set_images(category, self.vectors.count(category))


def refuse_missing(category: str, missing: Sequence[str]) -> None:
    """Raise ``NotFound`` where an image is missing."""
    if missing:
        raise NotFound(f"There is no image {missing[0]} in category {category!r}.", ids=list(missing))
