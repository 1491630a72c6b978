"""Search in a category, one question or several at once, and list its images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from vitrine.services.artifacts.clusters import ClusterStore
from vitrine.services.artifacts.duplicates import DuplicateStore
from vitrine.services.artifacts.maps import MapStore
from vitrine.services.artifacts.taggers import TaggerStore, score_field
from vitrine.services.category.catalog import Catalog, Category
from vitrine.services.category.field_names import find_field
from vitrine.services.category.word_conditions import WordConditions
from vitrine.services.domain import (
    Embeddings,
    EncoderSpec,
    Fields,
    Fuse,
    Hit,
    NearPoint,
    OrderBy,
    Page,
    Query,
    Random,
)
from vitrine.services.errors import BadRequest
from vitrine.services.filters.conditions import Filter
from vitrine.services.search.collapse import collapsed, with_group, without_group
from vitrine.services.search.options import DEFAULTS, AnyConditions, SearchOptions, SearchResult, check_limit
from vitrine.services.search.query_vectors import QueryVectors, checked_id
from vitrine.services.search.questions import Ask, Question, Vectors
from vitrine.services.search.score_validity import (
    index_sources,
    is_score,
    narrowed,
    unsettled_sources,
)
from vitrine.services.search.usable_fields import check_indexed
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.checks import no_image
from vitrine.services.vector_store.fields import filter_fields

if TYPE_CHECKING:
    from vitrine.services.encoders.pool import EncoderPool
    from vitrine.services.images.budget import DecodeBudget, ImageLimits
    from vitrine.services.search.same_vectors import SameVectors
    from vitrine.services.search.sent_pictures import SentPictures


@dataclass(frozen=True)
class Search:
    """One search of several."""

    question: Question
    options: SearchOptions = DEFAULTS


@dataclass(frozen=True, eq=False)
class Searcher:
    """Searches and lists categories. Thread-safe. ``encoders`` gives the pool, which is not made before a
    search needs it.

    All methods raise ``NotFound`` (no such category), ``UnknownVector``, ``UnknownField``, ``BadRequest``
    (options out of range).
    """

    catalog: Catalog
    vectors: VectorStore
    encoders: Callable[[], EncoderPool]
    taggers: TaggerStore
    clusters: ClusterStore
    duplicates: DuplicateStore
    maps: MapStore
    limits: ImageLimits
    budget: DecodeBudget
    same_vectors: SameVectors
    sent: SentPictures

    def search(self, category: str, question: Question, options: SearchOptions = DEFAULTS) -> SearchResult:
        """Return the answer to one question (``vitrine.services.search.questions``). Raises what the kind of
        question says."""
        return self.search_all(category, [Search(question, options)])[0]

    def search_all(self, category: str, searches: Sequence[Search]) -> list[SearchResult]:
        """Return the answer to each of several searches, the same as alone; one that is wrong refuses all.

        Texts and pictures are encoded together, and the engine is asked once. Searches with ``diversity`` or
        ``collapse`` ask the engine more than once, each for itself. ``encode_ms`` and ``search_ms`` of each
        are those of all together.
        """
        cat = self.catalog.get(category)
        specs, queries, encode_ms = self.prepare(cat, searches)
        started = time.perf_counter()
        answers = self._answers(cat, searches, queries)
        search_ms = round((time.perf_counter() - started) * 1000, 3)
        return [
            SearchResult(tuple(hits), spec, encode_ms, search_ms, similar)
            for spec, (hits, similar) in zip(specs, answers, strict=True)
        ]

    def prepare(
        self, cat: Category, searches: Sequence[Search]
    ) -> tuple[list[EncoderSpec], list[Query], float]:
        """Return the encoder of each search, and what the engine is asked, without ``diversity`` and
        ``collapse``; and the milliseconds that encoding took."""
        specs = [one.question.encoder(cat, one.options.using) for one in searches]
        things = [one.question.needed(cat, spec) for one, spec in zip(searches, specs, strict=True)]
        vectors, encode_ms = self._query_vectors.find(cat, (each for some in things for each in some))
        queries = [
            self._query(cat, spec, one.question.ask(spec, {each: vectors[each] for each in some}), one)
            for one, spec, some in zip(searches, specs, things, strict=True)
        ]
        return specs, queries, encode_ms

    def vectors_of(self, cat: Category, spec: EncoderSpec, question: Question) -> tuple[Vectors, float]:
        """Return the vectors of what a question asks by, by one encoder of a category, and the milliseconds
        that encoding took."""
        return self._query_vectors.find(cat, question.things(cat, spec))

    def listing(
        self,
        category: str,
        conditions: AnyConditions | None,
        *,
        order_by: OrderBy | None = None,
        limit: int = 50,
        cursor: str | None = None,
        with_vectors: bool = False,
        fields: Fields = True,
    ) -> Page:
        """Return a page of the images that meet the conditions, in order of id or of an indexed number or
        date. ``fields``: what hits have of their payloads."""
        cat = self.catalog.get(category)
        check_limit(limit)
        if order_by is not None:
            order_by = replace(order_by, field=find_field(order_by.field, cat.indexes))
            check_indexed(cat, order_by.field, ("integer", "float", "datetime"), "ordered by")
        return self.vectors.scroll(
            cat.name,
            filter=self.to_filter(cat, conditions, *([order_by.field] if order_by else [])),
            order_by=order_by,
            limit=limit,
            cursor=cursor,
            with_payload=fields,
            with_vectors=tuple(spec.name for spec in cat.encoders) if with_vectors else (),
        )

    def random(
        self, category: str, conditions: AnyConditions | None, *, limit: int = 50, fields: Fields = True
    ) -> list[Hit]:
        """Return a random sample of the images that meet the conditions. ``fields``: what hits have of their
        payloads."""
        cat = self.catalog.get(category)
        check_limit(limit)
        wanted = self.to_filter(cat, conditions)
        return self.vectors.query(cat.name, Query(Random(), filter=wanted, limit=limit, with_payload=fields))

    def image(self, category: str, id: str, *, with_vectors: bool = False) -> Hit:
        """Return one image. ``NotFound``."""
        cat = self.catalog.get(category)
        names = tuple(spec.name for spec in cat.encoders) if with_vectors else ()
        hit = self.vectors.retrieve(cat.name, [checked_id(id)], with_vectors=names)[0]
        if hit is None:
            raise no_image(category, id)
        return hit

    def embeddings(self, category: str, ids: Sequence[str], using: str | None = None) -> Embeddings:
        """Return the stored vectors of images, (n, dim), in the order of ``ids``. ``NotFound`` for an image
        that is not there or lacks the vector."""
        import numpy as np

        cat = self.catalog.get(category)
        spec = cat.encoder(using)
        rows = self._query_vectors.stored(cat, ids, spec.name)
        return np.stack(rows) if rows else np.empty((0, spec.dim), np.float32)

    def count(self, category: str, conditions: AnyConditions | None = None) -> int:
        """Return the exact number of images that meet the conditions."""
        cat = self.catalog.get(category)
        return self.vectors.count(cat.name, self.to_filter(cat, conditions) if conditions else None)

    def to_filter(self, cat: Category, conditions: AnyConditions | None, *fields: str) -> Filter | None:
        """Return the conditions as a filter. Cluster runs and maps in them are those in service; scores in
        them, and in the ``fields`` that are ordered by or counted, count only if the tagger in service gave
        them. Queries without scores, and those on settled tags, pay nothing for it."""
        if conditions is None or isinstance(conditions, WordConditions):
            chosen = None if conditions is None else conditions.to_filter()
        else:
            resolved = self.maps.resolve(cat.name, self.clusters.resolve(cat.name, conditions))
            chosen = resolved.to_filter(cat.indexes)
        scores = {field for field in (*filter_fields(chosen), *fields) if is_score(field)}
        unsettled = self.taggers.unsettled(cat.name) if scores else {}
        asked = {tag: who for tag, who in unsettled.items() if score_field(tag) in scores}
        if not asked:
            return chosen
        index_sources(self.catalog, cat.name, asked)
        return narrowed(chosen, unsettled_sources(asked), *fields)

    @property
    def _query_vectors(self) -> QueryVectors:
        return QueryVectors(
            self.vectors, self.encoders, self.limits, self.budget, self.same_vectors, self.sent
        )

    def _query(self, cat: Category, spec: EncoderSpec, ask: Ask, search: Search) -> Query:
        """Return what the engine is asked, without ``diversity`` and ``collapse``."""
        options = search.options
        options.check()
        if isinstance(ask, NearPoint):
            checked_id(ask.id)
        if isinstance(ask, Fuse) and (options.diversity is not None or options.min_similarity is not None):
            raise BadRequest(
                "Fused hits have ranks instead of similarities: leave out diversity and min_similarity."
            )
        return Query(
            ask,
            using=spec.name,
            filter=self.to_filter(cat, options.conditions),
            limit=options.limit,
            offset=options.offset,
            min_similarity=options.min_similarity,
            exclude=search.question.left_out,
            with_payload=with_group(options.fields) if options.collapse else options.fields,
            with_vectors=(spec.name,) if options.with_vectors else (),
            exact=options.exact,
        )

    def _answers(
        self, cat: Category, searches: Sequence[Search], queries: Sequence[Query]
    ) -> list[tuple[list[Hit], dict[str, int]]]:
        """Return the hits of each search, and how many near-duplicates of them were left out."""
        plain = [query for one, query in zip(searches, queries, strict=True) if one.options.is_plain]
        found = iter(self.vectors.query_batch(cat.name, plain) if plain else ())
        return [
            (next(found), {}) if one.options.is_plain else self._revised(cat, query, one.options)
            for one, query in zip(searches, queries, strict=True)
        ]

    def _revised(
        self, cat: Category, query: Query, options: SearchOptions
    ) -> tuple[list[Hit], dict[str, int]]:
        """Return the hits with ``diversity`` and ``collapse``."""
        read = partial(self.vectors.query, cat.name)
        if options.diversity is not None:
            from vitrine.services.search.diversity import diversified

            read = partial(diversified, self.vectors, cat.name, diversity=options.diversity)
        if options.collapse:
            key = self.duplicates.collapsing_key(cat.name)
            hits, similar = collapsed(self.vectors, cat.name, query, key, read)
            return without_group(hits, options.fields), similar
        return read(query), {}
