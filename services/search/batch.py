"""Several searches of one category at once: texts are encoded together, vectors of examples are read
together, and the engine is asked once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from vitrine.services.category.catalog import Category
from vitrine.services.domain import Embedding, Embeddings, EncoderSpec, Fuse, Near, Query, Recommend
from vitrine.services.errors import BadRequest
from vitrine.services.search.searcher import (
    Searcher,
    SearchOptions,
    SearchResult,
    encoder_for_text,
    fused_names,
    unit,
)

Thing = TypeVar("Thing", bound=Hashable)


@dataclass(frozen=True)
class Ask:
    """One search of several: by one of ``text``, ``id``, ``vector``, ``image`` (the bytes of a file) and
    ``positive`` (with ``negative``) ids. ``fused``: the named vectors whose rankings are fused, with
    ``id``."""

    options: SearchOptions
    text: str | None = None
    id: str | None = None
    vector: Sequence[float] | Embedding | None = None
    image: bytes | None = None
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()

    @property
    def examples(self) -> tuple[str, ...]:
        """The images of the category that it asks by; they are left out of the answer."""
        return (*self.positive, *self.negative) if self.id is None else (self.id,)


def search_all(searcher: Searcher, category: str, asks: Sequence[Ask]) -> list[SearchResult]:
    """Return the answer to each of ``asks``, as the methods of the ``Searcher`` give it, or raise what they
    raise: one that is wrong refuses all.

    ``encode_ms`` and ``search_ms`` of each are those of all together. Searches with ``diversity`` or
    ``collapse`` ask the engine more than once, each for itself.
    """
    cat = searcher.catalog.get(category)
    started = time.perf_counter()
    specs = [_spec(cat, ask) for ask in asks]
    vectors = _Vectors.of(searcher, cat, asks, specs)
    queries = [
        searcher.query_of(cat, spec, vectors.question(cat, ask, spec), ask.options, ask.examples)
        for ask, spec in zip(asks, specs, strict=True)
    ]
    encode_ms = _ms(started) if any(ask.text or ask.image for ask in asks) else 0.0
    started = time.perf_counter()
    results = _read(searcher, cat, asks, specs, queries)
    search_ms = _ms(started)
    return [replace(result, encode_ms=encode_ms, search_ms=search_ms) for result in results]


def _read(
    searcher: Searcher,
    cat: Category,
    asks: Sequence[Ask],
    specs: Sequence[EncoderSpec],
    queries: Sequence[Query],
) -> list[SearchResult]:
    together = [number for number, ask in enumerate(asks) if ask.options.is_plain]
    found = searcher.vectors.query_batch(cat.name, [queries[number] for number in together])
    hits = dict(zip(together, found, strict=True))
    return [
        SearchResult(tuple(hits[number]), spec, 0.0, 0.0)
        if number in hits
        else searcher.read(cat, spec, query, ask.options)
        for number, (ask, spec, query) in enumerate(zip(asks, specs, queries, strict=True))
    ]


@dataclass(frozen=True)
class _Vectors:
    """The vectors that the searches ask by: of texts, pictures and stored images, each by named vector."""

    texts: dict[tuple[str, str], Embedding]
    images: dict[tuple[str, bytes], Embedding]
    stored: dict[tuple[str, str], Embedding]

    @classmethod
    def of(
        cls, searcher: Searcher, cat: Category, asks: Sequence[Ask], specs: Sequence[EncoderSpec]
    ) -> _Vectors:
        pairs = list(zip(specs, asks, strict=True))
        by_name = {spec.name: spec for spec in (*cat.encoders, *specs)}
        ids = ((name, id) for spec, ask in pairs for name in _names(cat, spec, ask) for id in ask.examples)
        return cls(
            _each(
                ((spec.name, ask.text) for spec, ask in pairs if ask.text is not None),
                lambda name, texts: searcher.encode_texts(cat, by_name[name], texts),
            ),
            _each(
                ((spec.name, ask.image) for spec, ask in pairs if ask.image is not None),
                lambda name, images: searcher.encode_images(by_name[name], images),
            ),
            _each(ids, lambda name, some: searcher.embeddings(cat.name, some, name)),
        )

    def question(self, cat: Category, ask: Ask, spec: EncoderSpec) -> Near | Recommend | Fuse:
        if ask.text is not None:
            return Near(self.texts[spec.name, ask.text])
        if ask.image is not None:
            return Near(self.images[spec.name, ask.image])
        if ask.vector is not None:
            return Near(unit(ask.vector))
        if ask.fused and ask.id is not None:
            return Fuse(
                {name: self.stored[name, ask.id] for name in fused_names(cat, ask.fused, ask.options)}
            )
        if ask.id is not None:
            return Near(self.stored[spec.name, ask.id])
        if not ask.positive:
            raise BadRequest("Each search asks by one of text, id, vector, image and positive.")
        import numpy as np

        return Recommend(
            np.stack([self.stored[spec.name, id] for id in ask.positive]),
            np.stack([self.stored[spec.name, id] for id in ask.negative]) if ask.negative else None,
        )


def _each(
    wanted: Iterable[tuple[str, Thing]], encode: Callable[[str, list[Thing]], Embeddings]
) -> dict[tuple[str, Thing], Embedding]:
    """Return the vector of each (named vector, thing), each thing once, all things of a name together."""
    by_name: defaultdict[str, dict[Thing, None]] = defaultdict(dict)
    for name, thing in wanted:
        by_name[name][thing] = None
    return {
        (name, thing): row
        for name, things in by_name.items()
        for thing, row in zip(things, encode(name, list(things)), strict=True)
    }


def _spec(cat: Category, ask: Ask) -> EncoderSpec:
    if ask.fused:
        return cat.encoder(ask.fused[0])
    using = ask.options.using
    return encoder_for_text(cat) if using is None and ask.text is not None else cat.encoder(using)


def _names(cat: Category, spec: EncoderSpec, ask: Ask) -> list[str]:
    return fused_names(cat, ask.fused, ask.options) if ask.fused else [spec.name]


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
