"""The vectors that searches ask by: texts and pictures are encoded, those of images of the category are read;
each once, and all of a kind together."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitrine.services.category.manifest import Category
from vitrine.services.domain import Embedding, Embeddings, EncoderSpec
from vitrine.services.errors import BadRequest, BadVector, NotFound, UnsupportedQuery
from vitrine.services.search.questions import Picture, Sent, Stored, Text, Thing, Vectors, Wanted
from vitrine.services.vector_store.base import VectorStore, check_ids
from vitrine.services.vector_store.checks import vector_of

if TYPE_CHECKING:  # a search by id needs no pictures and no encoders
    from vitrine.services.encoders.pool import EncoderPool
    from vitrine.services.images.budget import DecodeBudget, ImageLimits
    from vitrine.services.search.same_vectors import SameVectors
    from vitrine.services.search.sent_pictures import SentPictures


@dataclass(frozen=True, eq=False)
class QueryVectors:
    """Finds them. ``encoders`` gives the pool, which is not made before something is encoded."""

    vectors: VectorStore
    encoders: Callable[[], EncoderPool]
    limits: ImageLimits
    budget: DecodeBudget
    same_vectors: SameVectors
    sent: SentPictures

    def find(self, cat: Category, wanted: Iterable[Wanted]) -> tuple[Vectors, float]:
        """Return the vectors of what is wanted, and the milliseconds that encoding took. ``NotFound``,
        ``ImageRefused``, ``UnsupportedQuery``, ``EncoderMismatch``, ``BadRequest``."""
        groups: defaultdict[tuple[str, type[Thing]], dict[Thing, None]] = defaultdict(dict)
        for name, thing in wanted:
            groups[name, type(thing)][thing] = None
        found: dict[Wanted, Embedding] = {}
        encode_ms = 0.0
        for (name, kind), things in groups.items():
            started = time.perf_counter()
            rows = self._rows(cat, name, list(things))
            if kind is not Stored:
                encode_ms += (time.perf_counter() - started) * 1000
            found.update(((name, thing), row) for thing, row in zip(things, rows, strict=True))
        return found, round(encode_ms, 3)

    def stored(self, cat: Category, ids: Sequence[str], using: str) -> list[Embedding]:
        """Return the stored vectors of images, in the order of ``ids``. ``NotFound`` for an image that is not
        there or lacks the vector."""
        hits = self.vectors.retrieve(
            cat.name, [checked_id(id) for id in ids], with_payload=False, with_vectors=(using,)
        )
        return [vector_of(cat.name, id, hit, using) for id, hit in zip(ids, hits, strict=True)]

    def _rows(self, cat: Category, name: str, things: list[Thing]) -> Sequence[Embedding] | Embeddings:
        """Return the vectors of things of one kind."""
        ids = [thing.id for thing in things if isinstance(thing, Stored)]
        texts = [thing.text for thing in things if isinstance(thing, Text)]
        files = [thing.data for thing in things if isinstance(thing, Picture)]
        sent = [thing.sha256 for thing in things if isinstance(thing, Sent)]
        if ids:
            return self.stored(cat, ids, name)
        spec = next(spec for spec in cat.encoders if spec.name == name)
        if sent:
            return self._sent(cat, spec, sent)
        return self._texts(cat, spec, texts) if texts else self._pictures(cat, spec, files)

    def _texts(self, cat: Category, spec: EncoderSpec, texts: list[str]) -> Embeddings:
        from vitrine.services.encoders.base import TextEncoder

        if not all(text.strip() for text in texts):
            raise BadRequest("The text is empty: describe what to look for.")
        encoder = self.encoders().for_category(spec) if "text" in spec.modalities else None
        if not isinstance(encoder, TextEncoder):
            able = ", ".join(other.name for other in cat.encoders if "text" in other.modalities)
            raise UnsupportedQuery(
                f"The encoder {spec.name!r} reads no text. "
                + (
                    f"Search by text with using={able}."
                    if able
                    else "Add a CLIP-family encoder to search by text."
                ),
                using=spec.name,
            )
        return encoder.encode_texts(texts)

    def _sent(self, cat: Category, spec: EncoderSpec, hashes: list[str]) -> list[Embedding]:
        """Return the vectors of pictures that were sent before; each is encoded once."""
        known = {sha256: self.sent.known_vector(spec, sha256) for sha256 in hashes}
        lacking = [sha256 for sha256, vector in known.items() if vector is None]
        found = {sha256: vector for sha256, vector in known.items() if vector is not None}
        if lacking:
            rows = self._pictures(cat, spec, [self.sent.read(sha256) for sha256 in lacking])
            for sha256, row in zip(lacking, rows, strict=True):
                found[sha256] = row
                self.sent.remember_vector(spec, sha256, row)
        return [found[sha256] for sha256 in hashes]

    def _pictures(self, cat: Category, spec: EncoderSpec, files: list[bytes]) -> Embeddings:
        from vitrine.services.images.open import open_image

        target = spec.preprocessing.target
        opened = [open_image(data, target=target, limits=self.limits, budget=self.budget) for data in files]
        encoder = self.encoders().for_category(spec)
        self.same_vectors.check_query(cat, spec, encoder)
        return encoder.encode_images([each.image for each in opened])


def checked_id(id: str) -> str:
    """Return the id. ``NotFound`` if no image can have it."""
    try:
        check_ids([id])
    except BadVector as error:
        raise NotFound(f"There is no image {id!r}: ids are UUIDs in lower case.", id=id) from error
    return id
