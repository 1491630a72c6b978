"""One search over several categories. Only similarities by one encoder can be compared, so it is asked by one
that the categories have in common; what is asked by is encoded once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vitrine.services.category.manifest import Category
from vitrine.services.domain import EncoderSpec, Fields, Hit
from vitrine.services.errors import (
    BadRequest,
    BadVector,
    EncoderMismatch,
    NotFound,
    StoreDamaged,
    UnknownField,
    UnknownVector,
    UnsupportedQuery,
    VitrineError,
)
from vitrine.services.search.options import SearchOptions, SearchResult
from vitrine.services.search.questions import Ask, ByVector, Picture, Question, Sent, Text, Vectors
from vitrine.services.search.searcher import Search, Searcher

if TYPE_CHECKING:
    from vitrine.services.columns.store import ColumnStore

_OF_ONE = (
    BadRequest, BadVector, EncoderMismatch, NotFound, StoreDamaged, UnknownField, UnknownVector,
    UnsupportedQuery,
)  # fmt: skip
"""What keeps one category from answering, and no other."""


@dataclass(frozen=True)
class Share:
    """What one category has of an answer: how many of the ``hits``; of how many in all (``total``), where
    that was asked for; with ``collapse``, by id of a hit, how many near-duplicates of it were left out."""

    category: str
    hits: int
    total: int | None = None
    similar: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Merged:
    """Hits with their categories, best first; the encoder behind them; the categories that were searched, and
    why others were not; milliseconds."""

    hits: tuple[tuple[str, Hit], ...]
    encoder: EncoderSpec
    shares: tuple[Share, ...]
    left_out: Mapping[str, VitrineError]
    encode_ms: float
    search_ms: float


def search_several(
    searcher: Searcher,
    columns: ColumnStore,
    search: Search,
    names: Sequence[str] | None = None,
    *,
    home: str | None = None,
    fields: Callable[[Category], Fields] = lambda cat: True,
    total: bool = False,
) -> Merged:
    """Return the hits of a search in these categories, merged by similarity.

    ``names`` None: of all categories those that can answer, by the encoder that most of them have; the others
    are left out. ``home``: the category of the images that are asked by, which are left out of its own hits
    alone. ``fields``: what hits of a category have of their payloads, in place of the option. ``BadRequest``
    where named categories have no encoder in common, and as of ``Searcher.search``; no ``diversity``.
    """
    named = names is not None
    own = None if home is None else searcher.catalog.get(home)
    cats = (
        searcher.catalog.list() if names is None else [searcher.catalog.get(n) for n in dict.fromkeys(names)]
    )
    if not cats:
        raise NotFound("There is no category yet: create one, and add images to it.")
    able, left_out = _able(cats if own is None else [own, *cats], search, strict=named)
    left_out |= {} if named else searcher.catalog.unreadable()
    if own is not None and own.name in left_out:
        raise left_out[own.name]
    if not able:
        raise next(iter(left_out.values()))
    specs, others = _one_encoder(cats, able, own, strict=named)
    left_out |= others
    asked_in = own or next(cat for cat in cats if cat.name in specs)
    asked_by = specs[asked_in.name]
    vectors, encode_ms = searcher.vectors_of(asked_in, asked_by, search.question)
    started = time.perf_counter()
    found: dict[str, tuple[SearchResult, int | None]] = {}
    returned: dict[str, Fields] = {}
    for cat in [cat for cat in cats if cat.name in specs]:
        left = search.question.left_out if cat.name == home else ()
        question = _Encoded(search.question, asked_by, vectors, specs[cat.name], left)
        try:
            returned[cat.name] = fields(cat)
            found[cat.name] = _answer(searcher, columns, cat, question, search.options, total)
        except _OF_ONE as error:
            if named:
                raise
            left_out[cat.name] = error
    if not found:
        raise next(iter(left_out.values()))
    hits = _page(searcher, found, specs, returned, search.options)
    counts = Counter(name for name, _ in hits)
    shown = {(name, hit.id) for name, hit in hits}
    shares = tuple(
        Share(name, counts[name], whole, {id: n for id, n in result.similar.items() if (name, id) in shown})
        for name, (result, whole) in found.items()
    )
    search_ms = round((time.perf_counter() - started) * 1000, 3)
    return Merged(tuple(hits), asked_by, shares, left_out, encode_ms, search_ms)


@dataclass(frozen=True, eq=False)
class _Encoded(Question):
    """A question that was encoded by ``asked_by``, asked of the vectors ``spec`` of another category, which
    are of the same encoder."""

    question: Question
    asked_by: EncoderSpec
    vectors: Vectors
    spec: EncoderSpec
    excluded: tuple[str, ...]

    def encoder(self, cat: Category, using: str | None) -> EncoderSpec:
        return self.spec

    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Ask:
        return self.question.ask(self.asked_by, self.vectors)

    @property
    def left_out(self) -> tuple[str, ...]:
        return self.excluded


def _able(
    cats: Iterable[Category], search: Search, *, strict: bool
) -> tuple[dict[str, list[EncoderSpec]], dict[str, VitrineError]]:
    """Return the encoders of each category that can answer, the one it would be asked by first, and why
    others cannot, which ``strict`` raises."""
    able, errors = dict[str, list[EncoderSpec]](), dict[str, VitrineError]()
    for cat in cats:
        try:
            first = search.question.encoder(cat, search.options.using)
            if error := _objection(cat, first, search.question):
                raise error
        except _OF_ONE as error:
            if strict:
                raise
            errors[cat.name] = error
            continue
        others = cat.encoders if search.options.using is None else ()
        able[cat.name] = [first] + [
            spec for spec in others if spec != first and not _objection(cat, spec, search.question)
        ]
    return able, errors


def _objection(cat: Category, spec: EncoderSpec, question: Question) -> VitrineError | None:
    """Return why an encoder cannot be asked this; None where it can."""
    kinds = {type(thing) for _, thing in question.things(cat, spec)}
    if Text in kinds and "text" not in spec.modalities:
        return UnsupportedQuery(
            f"The encoder {spec.name!r} of category {cat.name!r} reads no text.", using=spec.name
        )
    if kinds & {Picture, Sent} and "image" not in spec.modalities:
        return UnsupportedQuery(
            f"The vectors {spec.name!r} of category {cat.name!r} were taken over from another system: no "
            "picture can be encoded for them here.",
            using=spec.name,
        )
    if isinstance(question, ByVector) and len(question.vector) != spec.dim:
        return BadVector(
            f"The vector has {len(question.vector)} components, those of {cat.name!r} have {spec.dim}.",
            using=spec.name,
        )
    return None


def _one_encoder(
    cats: Sequence[Category], able: Mapping[str, list[EncoderSpec]], own: Category | None, *, strict: bool
) -> tuple[dict[str, EncoderSpec], dict[str, VitrineError]]:
    """Return the encoder of each category, the same for all, and why other categories are left out: that is
    the encoder that most have; of several the one that most would be asked by, or else the first."""
    asked = [able[own.name]] if own else able.values()
    candidates = {_identity(spec): spec for specs in asked for spec in specs}
    have = Counter(key for specs in able.values() for key in {_identity(spec) for spec in specs})
    first = Counter(_identity(specs[0]) for specs in able.values())
    best = max(candidates, key=lambda key: (have[key], first[key]))
    chosen = {
        name: spec for name, specs in able.items() for spec in reversed(specs) if _identity(spec) == best
    }
    others = [cat.name for cat in cats if cat.name in able and cat.name not in chosen]
    errors: dict[str, VitrineError] = {}
    for name in others:
        message = (
            f"Category {name!r} does not have the encoder that the others are searched by "
            f"({candidates[best].name}): similarities of different encoders cannot be compared. Search it "
            "alone, or name an encoder that all have in using."
        )
        if strict:
            raise BadRequest(message, category=name)
        errors[name] = EncoderMismatch(message, category=name)
    return chosen, errors


def _identity(spec: EncoderSpec) -> Hashable:
    return (*spec.fingerprint, spec.pooling)


def _answer(
    searcher: Searcher,
    columns: ColumnStore,
    cat: Category,
    question: Question,
    options: SearchOptions,
    total: bool,
) -> tuple[SearchResult, int | None]:
    """Return the hits of one category that may be on the page, without payloads, and how many there are."""
    deep = replace(
        options, limit=options.offset + options.limit, offset=0, fields=(), with_vectors=False, using=None
    )
    if not total:
        return searcher.search(cat.name, question, deep), None
    from vitrine.services.search.whole.totals import search_with_total

    return search_with_total(searcher, columns, cat.name, Search(question, deep))


def _page(
    searcher: Searcher,
    found: Mapping[str, tuple[SearchResult, int | None]],
    specs: Mapping[str, EncoderSpec],
    returned: Mapping[str, Fields],
    options: SearchOptions,
) -> list[tuple[str, Hit]]:
    """Return the hits of the page, with what is returned of them; those deleted just now are left out."""
    every = [(name, hit) for name, (result, _) in found.items() for hit in result.hits]
    every.sort(key=lambda pair: (-(pair[1].similarity or 0.0), pair[0], pair[1].id))
    page = every[options.offset : options.offset + options.limit]
    full: dict[tuple[str, str], Hit] = {}
    for name in dict.fromkeys(name for name, _ in page):
        hits = searcher.vectors.retrieve(
            name,
            [hit.id for other, hit in page if other == name],
            with_payload=returned[name],
            with_vectors=(specs[name].name,) if options.with_vectors else (),
        )
        full.update(((name, hit.id), hit) for hit in hits if hit is not None)
    return [
        (name, replace(full[name, hit.id], similarity=hit.similarity))
        for name, hit in page
        if (name, hit.id) in full
    ]
