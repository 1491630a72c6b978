"""Search in a category: by image, text, id, vector, examples or several vectors, and lists, counts and
facets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from vitrine.services.artifacts.clusters import ClusterStore
from vitrine.services.artifacts.duplicates import DuplicateStore
from vitrine.services.artifacts.maps import MapStore
from vitrine.services.artifacts.taggers import TaggerStore, score_field
from vitrine.services.category.catalog import Catalog, Category
from vitrine.services.category.field_names import find_field
from vitrine.services.category.fields import INTERNAL
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import (
    Embedding,
    Embeddings,
    EncoderSpec,
    Facet,
    Fuse,
    Hit,
    Near,
    OrderBy,
    Page,
    Query,
    Random,
    Recommend,
)
from vitrine.services.encoders.base import TextEncoder
from vitrine.services.errors import BadRequest, BadVector, NotFound, UnknownField, UnsupportedQuery
from vitrine.services.filters.conditions import Filter, Range
from vitrine.services.search.collapse import collapsed
from vitrine.services.search.score_validity import (
    index_sources,
    is_score,
    narrowed,
    unsettled_sources,
)
from vitrine.services.values.field_paths import value_at
from vitrine.services.values.kinds import HELD
from vitrine.services.vector_store.base import MAX_LIMIT, VectorStore, check_ids
from vitrine.services.vector_store.fields import COUNTABLE, filter_fields

if TYPE_CHECKING:  # a listing needs no arrays, no pictures and no encoders
    import numpy as np

    from vitrine.services.encoders.pool import EncoderPool
    from vitrine.services.images.budget import DecodeBudget, ImageLimits

MAX_BINS = 200
CLUSTER_FIELD = ("cluster.", "cluster:")
"""Before the name of a run, where a field is asked for."""
NO_CONDITIONS = Conditions()


@dataclass(frozen=True)
class SearchOptions:
    """Options that all searches share.

    ``using``: the named vector; None is the category's default. ``min_similarity`` in -1..1 keeps hits at or
    above it, within 0.0001 (``vitrine.services.vector_store.similarity``). ``diversity`` in 0..1 re-ranks by
    maximal marginal relevance; None: by similarity alone. ``limit`` in 1..10,000.
    """

    using: str | None = None
    conditions: Conditions = NO_CONDITIONS
    limit: int = 10
    offset: int = 0
    min_similarity: float | None = None
    diversity: float | None = None
    with_vectors: bool = False
    exact: bool = False
    collapse: bool = False
    """One hit for each group of near-duplicates; ``limit`` and ``offset`` count those."""

    @property
    def is_plain(self) -> bool:
        """Whether one question to the engine gives the answer."""
        return self.diversity is None and not self.collapse


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first; the encoder behind them; milliseconds spent encoding the query and asking the
    engine."""

    hits: tuple[Hit, ...]
    encoder: EncoderSpec
    encode_ms: float
    search_ms: float
    similar: Mapping[str, int] = field(default_factory=dict)
    """With ``collapse``: by id, how many near-duplicates of a hit were left out."""


@dataclass(frozen=True)
class Bin:
    """Images with ``lower <= value < upper``; the last bin of a histogram includes its upper edge."""

    lower: float
    upper: float
    count: int


@dataclass(frozen=True, eq=False)
class Searcher:
    """Searches categories. Thread-safe. ``encoders`` gives the pool, which is not made before a search needs
    it.

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

    def by_image(self, category: str, data: bytes, options: SearchOptions) -> SearchResult:
        """Return the images most similar to a picture, given as the bytes of an image file. ``ImageRefused``
        if it cannot be read as one."""
        cat = self.catalog.get(category)
        started = time.perf_counter()
        spec = cat.encoder(options.using)
        vector = self.encode_images(spec, [data])[0]
        return self._ask(cat, spec, Near(vector), options, encode_ms=_ms(started))

    def by_text(self, category: str, text: str, options: SearchOptions) -> SearchResult:
        """Return the images most similar to a text. ``UnsupportedQuery`` if the encoder reads no text."""
        cat = self.catalog.get(category)
        spec = encoder_for_text(cat) if options.using is None else cat.encoder(options.using)
        started = time.perf_counter()
        vector = self.encode_texts(cat, spec, [text])[0]
        return self._ask(cat, spec, Near(vector), options, encode_ms=_ms(started))

    def encode_texts(self, cat: Category, spec: EncoderSpec, texts: Sequence[str]) -> Embeddings:
        """Return the vectors of texts, (n, dim). ``BadRequest`` for an empty one, ``UnsupportedQuery`` if the
        encoder reads no text."""
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
        return encoder.encode_texts(list(texts))

    def by_id(self, category: str, id: str, options: SearchOptions) -> SearchResult:
        """Return the images most similar to an image of the category, without that image. Needs no encoder.
        ``NotFound``."""
        cat = self.catalog.get(category)
        spec = cat.encoder(options.using)
        vector = self._stored(cat, [id], spec.name)[0]
        return self._ask(cat, spec, Near(vector), options, (id,))

    def by_vector(
        self, category: str, vector: Sequence[float] | Embedding, options: SearchOptions
    ) -> SearchResult:
        """Return the images most similar to a vector of the encoder's dimension, which is normalised here.
        ``BadVector`` if it is zero or not finite."""
        cat = self.catalog.get(category)
        return self._ask(cat, cat.encoder(options.using), Near(unit(vector)), options)

    def by_examples(
        self,
        category: str,
        positive: Sequence[str | bytes],
        negative: Sequence[str | bytes],
        options: SearchOptions,
    ) -> SearchResult:
        """Return the images like the positive and unlike the negative examples; each is an id of the category
        or the bytes of an image file.

        Looks near 2 mean(positive) - mean(negative), Qdrant's AVERAGE_VECTOR. Examples of the category are
        left out.
        """
        if not positive:
            raise BadRequest("Give at least one positive example.")
        cat = self.catalog.get(category)
        spec = cat.encoder(options.using)
        started = time.perf_counter()
        wanted, unwanted = self._examples(cat, spec, positive), self._examples(cat, spec, negative)
        encode_ms = _ms(started)
        ids = tuple(example for example in (*positive, *negative) if isinstance(example, str))
        ask = Recommend(wanted, unwanted if len(unwanted) else None)
        return self._ask(cat, spec, ask, options, ids, encode_ms)

    def by_fusion(self, category: str, id: str, using: Sequence[str], options: SearchOptions) -> SearchResult:
        """Return the images like an image of the category by several named vectors at once, by reciprocal
        rank fusion. ``NotFound``.

        A hit's ``similarity`` is its fusion score; ``diversity`` and ``min_similarity`` are refused.
        """
        cat = self.catalog.get(category)
        vectors = {name: self._stored(cat, [id], name)[0] for name in fused_names(cat, using, options)}
        return self._ask(cat, cat.encoder(next(iter(vectors))), Fuse(vectors), options, (id,))

    def listing(
        self,
        category: str,
        conditions: Conditions,
        *,
        order_by: OrderBy | None = None,
        limit: int = 50,
        cursor: str | None = None,
        with_vectors: bool = False,
        fields: tuple[str, ...] | None = None,
    ) -> Page:
        """Return a page of the images that meet the conditions, in order of id or of an indexed number or
        date. ``fields``: return only these of the payload."""
        cat = self.catalog.get(category)
        _check_limit(limit, 0)
        if order_by is not None:
            order_by = replace(order_by, field=find_field(order_by.field, cat.indexes))
            _indexed(cat, order_by.field, ("integer", "float", "datetime"), "ordered by")
        return self.vectors.scroll(
            cat.name,
            filter=self.to_filter(cat, conditions, *([order_by.field] if order_by else [])),
            order_by=order_by,
            limit=limit,
            cursor=cursor,
            with_payload=True if fields is None else fields,
            with_vectors=tuple(spec.name for spec in cat.encoders) if with_vectors else (),
        )

    def random(self, category: str, conditions: Conditions, *, limit: int = 50) -> list[Hit]:
        """Return a random sample of the images that meet the conditions."""
        cat = self.catalog.get(category)
        _check_limit(limit, 0)
        return self.vectors.query(
            cat.name, Query(Random(), filter=self.to_filter(cat, conditions), limit=limit)
        )

    def image(self, category: str, id: str, *, with_vectors: bool = False) -> Hit:
        """Return one image. ``NotFound``."""
        cat = self.catalog.get(category)
        names = tuple(spec.name for spec in cat.encoders) if with_vectors else ()
        hit = self.vectors.retrieve(cat.name, [_checked(id)], with_vectors=names)[0]
        if hit is None:
            raise _no_image(category, id)
        return hit

    def embeddings(self, category: str, ids: Sequence[str], using: str | None = None) -> Embeddings:
        """Return the stored vectors of images, (n, dim), in the order of ``ids``. ``NotFound`` for an image
        that is not there or lacks the vector."""
        import numpy as np

        cat = self.catalog.get(category)
        spec = cat.encoder(using)
        rows = self._stored(cat, ids, spec.name)
        return np.stack(rows) if rows else np.empty((0, spec.dim), np.float32)

    def count(self, category: str, conditions: Conditions | None = None) -> int:
        """Return the exact number of images that meet the conditions."""
        cat = self.catalog.get(category)
        return self.vectors.count(cat.name, self.to_filter(cat, conditions) if conditions else None)

    def facets(self, category: str, field: str, conditions: Conditions, *, limit: int = 100) -> list[Facet]:
        """Return the most frequent values of a keyword, integer or bool field among the images that meet the
        conditions.

        Of ``cluster.<run>`` (or ``cluster:<run>``) these are the ids of its nodes, each with the images below
        it.
        """
        cat = self.catalog.get(category)
        _check_limit(limit, 0)
        if field.startswith(CLUSTER_FIELD):
            field = self.clusters.get(category, field[len(CLUSTER_FIELD[0]) :]).payload_field
        field = find_field(field, cat.indexes)
        if cat.indexes.get(field) not in COUNTABLE:
            runs = (f"{CLUSTER_FIELD[0]}{run.run}" for run in self.clusters.in_service(category))
            raise _unfit(cat, field, COUNTABLE, "counted by value", runs)
        return self.vectors.facet(cat.name, field, filter=self.to_filter(cat, conditions), limit=limit)

    def histogram(
        self,
        category: str,
        field: str,
        conditions: Conditions,
        *,
        bins: int = 10,
        lower: float | None = None,
        upper: float | None = None,
    ) -> list[Bin]:
        """Return the numbers of images by value of a number, in ``bins`` equal bins from ``lower`` to
        ``upper`` (0..1 for scores and quality, else the least and greatest value found)."""
        import numpy as np

        cat = self.catalog.get(category)
        if not 1 <= bins <= MAX_BINS:
            raise BadRequest(f"bins must be in 1..{MAX_BINS}, not {bins}.")
        field = find_field(field, cat.indexes)
        _indexed(cat, field, ("integer", "float"), "counted in bins")
        chosen = self.to_filter(cat, conditions, field)
        if is_score(field):
            lower, upper = 0.0 if lower is None else lower, 1.0 if upper is None else upper
        lower = self._extreme(cat, field, conditions, descending=False) if lower is None else lower
        upper = self._extreme(cat, field, conditions, descending=True) if upper is None else upper
        if lower is None or upper is None:
            return []
        if not lower <= upper or not np.isfinite(upper - lower):
            raise BadRequest(
                f"The edges {lower} and {upper} do not bound a range: give finite numbers, the lower first."
            )
        return self._bins(
            cat,
            field,
            chosen,
            np.linspace(lower, upper, bins + 1) if upper > lower else np.array([lower, upper]),
        )

    def to_filter(self, cat: Category, conditions: Conditions, *fields: str) -> Filter | None:
        """Return the conditions as a filter. Cluster runs and maps in them are those in service; scores in
        them, and in the ``fields`` that are ordered by or counted, count only if the tagger in service gave
        them. Queries without scores, and those on settled tags, pay nothing for it."""
        resolved = self.maps.resolve(cat.name, self.clusters.resolve(cat.name, conditions))
        chosen = resolved.to_filter(cat.indexes)
        scores = {field for field in (*filter_fields(chosen), *fields) if is_score(field)}
        unsettled = self.taggers.unsettled(cat.name) if scores else {}
        asked = {tag: who for tag, who in unsettled.items() if score_field(tag) in scores}
        if not asked:
            return chosen
        index_sources(self.catalog, cat.name, asked)
        return narrowed(chosen, unsettled_sources(asked), *fields)

    def _bins(
        self,
        cat: Category,
        field: str,
        chosen: Filter | None,
        edges: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> list[Bin]:
        found = []
        for number, (low, high) in enumerate(pairwise(edges.tolist()), 1):
            last = number == len(edges) - 1
            span = Range(field, gte=low, lte=high if last else None, lt=None if last else high)
            both = Filter(must=(span,) if chosen is None else (span, chosen))
            found.append(Bin(low, high, self.vectors.count(cat.name, both)))
        return found

    def _extreme(
        self, cat: Category, field: str, conditions: Conditions, *, descending: bool
    ) -> float | None:
        query = Query(OrderBy(field, descending), filter=self.to_filter(cat, conditions, field), limit=1)
        hits = self.vectors.query(cat.name, query)
        values = [_number(hits[0].payload, field, descending)] if hits else []
        return values[0] if values else None

    def encode_images(self, spec: EncoderSpec, files: Sequence[bytes]) -> Embeddings:
        """Return the vectors of pictures, (n, dim), given as the bytes of image files. ``ImageRefused``."""
        from vitrine.services.images.open import open_image

        target = spec.preprocessing.target
        opened = [open_image(data, target=target, limits=self.limits, budget=self.budget) for data in files]
        return self.encoders().for_category(spec).encode_images([each.image for each in opened])

    def _examples(self, cat: Category, spec: EncoderSpec, examples: Sequence[str | bytes]) -> Embeddings:
        import numpy as np

        ids = [example for example in examples if isinstance(example, str)]
        stored = dict(zip(ids, self._stored(cat, ids, spec.name), strict=True))
        rows = [stored[e] if isinstance(e, str) else self.encode_images(spec, [e])[0] for e in examples]
        return np.stack(rows) if rows else np.empty((0, spec.dim), np.float32)

    def _stored(self, cat: Category, ids: Sequence[str], using: str) -> list[Embedding]:
        hits = self.vectors.retrieve(
            cat.name, [_checked(id) for id in ids], with_payload=False, with_vectors=(using,)
        )
        for id, hit in zip(ids, hits, strict=True):
            if hit is None:
                raise _no_image(cat.name, id)
            if using not in hit.vectors:
                raise NotFound(
                    f"Image {id} has no vector {using!r} yet: index its category again.", id=id, using=using
                )
        return [hit.vectors[using] for hit in hits if hit is not None]

    def _ask(
        self,
        cat: Category,
        spec: EncoderSpec,
        ask: Near | Recommend | Fuse,
        options: SearchOptions,
        exclude: tuple[str, ...] = (),
        encode_ms: float = 0.0,
    ) -> SearchResult:
        query = self.query_of(cat, spec, ask, options, exclude)
        return self.read(cat, spec, query, options, encode_ms)

    def query_of(
        self,
        cat: Category,
        spec: EncoderSpec,
        ask: Near | Recommend | Fuse,
        options: SearchOptions,
        exclude: tuple[str, ...] = (),
    ) -> Query:
        """Return what the engine is asked, without ``diversity`` and ``collapse``."""
        _check_limit(options.limit, options.offset)
        if options.diversity is not None and not 0 <= options.diversity <= 1:
            raise BadRequest(f"diversity must be in 0..1, not {options.diversity}.")
        return Query(
            ask,
            using=spec.name,
            filter=self.to_filter(cat, options.conditions),
            limit=options.limit,
            offset=options.offset,
            min_similarity=options.min_similarity,
            exclude=exclude,
            with_vectors=(spec.name,) if options.with_vectors else (),
            exact=options.exact,
        )

    def read(
        self,
        cat: Category,
        spec: EncoderSpec,
        query: Query,
        options: SearchOptions,
        encode_ms: float = 0.0,
    ) -> SearchResult:
        """Return the answer to a query of ``query_of``, with ``diversity`` and ``collapse``."""
        started = time.perf_counter()
        similar: dict[str, int] = {}
        read = partial(self.vectors.query, cat.name)
        if options.diversity is not None:
            from vitrine.services.search.diversity import diversified

            read = partial(diversified, self.vectors, cat.name, diversity=options.diversity)
        if options.collapse:
            key = self.duplicates.collapsing_key(cat.name)
            hits, similar = collapsed(self.vectors, cat.name, query, key, read)
        else:
            hits = read(query)
        return SearchResult(tuple(hits), spec, encode_ms, _ms(started), similar)


def unit(vector: Sequence[float] | Embedding) -> Embedding:
    """Return the vector divided by its L2 norm, float32. ``BadVector`` if it is not flat, not finite, or
    zero."""
    import numpy as np

    wide = np.asarray(vector, dtype=np.float64)
    largest = np.abs(wide).max() if wide.ndim == 1 and wide.size else 0.0
    if not np.isfinite(largest) or largest == 0:
        raise BadVector("The vector must be a flat list of finite numbers, not all zero.")
    wide = wide / largest  # squares of large numbers overflow
    scaled: Embedding = (wide / np.linalg.norm(wide)).astype(np.float32)
    return scaled


def _check_limit(limit: int, offset: int) -> None:
    if not 1 <= limit <= MAX_LIMIT or offset < 0 or offset + limit > MAX_LIMIT:
        raise BadRequest(
            f"limit and offset + limit must be in 1..{MAX_LIMIT}; page deeper with a cursor.",
            limit=limit,
            offset=offset,
        )


def _indexed(cat: Category, field: str, kinds: tuple[str, ...], use: str) -> None:
    if cat.indexes.get(field) not in kinds:
        raise _unfit(cat, field, kinds, use)


def _unfit(
    cat: Category, field: str, kinds: tuple[str, ...], use: str, others: Iterable[str] = ()
) -> UnknownField:
    """Return the error that names the fields that can be used so: fields of these kinds, and the ``others``.
    Fields of runs and maps are left out: their keys are internal, and stay indexed when they are replaced."""
    able = (name for name, its in cat.indexes.items() if its in kinds)
    fitting = (name for name in able if name.partition(".")[0] not in INTERNAL)
    kind = cat.indexes.get(field)
    what = "has no index" if kind is None else f"holds {HELD[kind]}"
    known = ", ".join(sorted([*fitting, *others]))
    return UnknownField(f"{field!r} {what}, so it cannot be {use}. These can: {known}.", field=field)


def _number(payload: dict[str, object], field: str, largest: bool) -> float:
    value = value_at(payload, field)
    values = [float(v) for v in (value if isinstance(value, list) else [value])]
    return max(values) if largest else min(values)


def _checked(id: str) -> str:
    try:
        check_ids([id])
    except BadVector as error:
        raise NotFound(f"There is no image {id!r}: ids are UUIDs in lower case.", id=id) from error
    return id


def _no_image(category: str, id: str) -> NotFound:
    return NotFound(f"There is no image {id} in category {category!r}.", category=category, id=id)


def fused_names(cat: Category, using: Sequence[str], options: SearchOptions) -> list[str]:
    """Return the named vectors whose rankings are fused. ``BadRequest`` for fewer than two, or for options
    that take similarities."""
    names = list(dict.fromkeys(cat.encoder(name).name for name in using))
    if len(names) < 2:
        raise BadRequest("Fusion takes at least two named vectors.")
    if options.diversity is not None or options.min_similarity is not None:
        raise BadRequest(
            "Fused hits have ranks instead of similarities: leave out diversity and min_similarity."
        )
    return names


def encoder_for_text(cat: Category) -> EncoderSpec:
    """Return the default encoder, or else the first that reads text: promoting an encoder of images alone
    must not end text search."""
    default = cat.encoder()
    return next((spec for spec in (default, *cat.encoders) if "text" in spec.modalities), default)


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
