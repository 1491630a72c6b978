"""What all searches share: their options, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from vitrine.services.category.word_conditions import WordConditions
from vitrine.services.domain import EncoderSpec, Fields, Hit
from vitrine.services.errors import BadRequest
from vitrine.services.vector_store.base import MAX_LIMIT

if TYPE_CHECKING:  # conditions that are not of words alone bring pydantic
    from vitrine.services.category.filters import Conditions

AnyConditions: TypeAlias = "Conditions | WordConditions"


@dataclass(frozen=True)
class SearchOptions:
    """Options that all searches share.

    ``using``: the named vector; None is the category's default. ``min_similarity`` in -1..1 keeps hits at or
    above it, within 0.0001 (``vitrine.services.vector_store.similarity``). ``diversity`` in 0..1 re-ranks by
    maximal marginal relevance; None: by similarity alone. ``limit`` in 1..10,000.
    """

    using: str | None = None
    conditions: AnyConditions | None = None
    limit: int = 10
    offset: int = 0
    min_similarity: float | None = None
    diversity: float | None = None
    with_vectors: bool = False
    exact: bool = False
    fields: Fields = True
    """What hits have of their payloads."""
    collapse: bool = False
    """One hit for each group of near-duplicates; ``limit`` and ``offset`` count those."""

    @property
    def is_plain(self) -> bool:
        """Whether one question to the engine gives the answer."""
        return self.diversity is None and not self.collapse

    def check(self) -> None:
        """Raise ``BadRequest`` for what is out of its range."""
        check_limit(self.limit, self.offset)
        if self.diversity is not None and not 0 <= self.diversity <= 1:
            raise BadRequest(f"diversity must be in 0..1, not {self.diversity}.")


DEFAULTS = SearchOptions()


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first; the encoder behind them; milliseconds spent encoding texts and pictures and asking
    the engine, of all searches that were asked together."""

    hits: tuple[Hit, ...]
    encoder: EncoderSpec
    encode_ms: float
    search_ms: float
    similar: Mapping[str, int] = field(default_factory=dict)
    """With ``collapse``: by id, how many near-duplicates of a hit were left out."""


def check_limit(limit: int, offset: int = 0) -> None:
    """Raise ``BadRequest`` unless a page can be that long and that deep."""
    if not 1 <= limit <= MAX_LIMIT or offset < 0 or offset + limit > MAX_LIMIT:
        raise BadRequest(
            f"limit and offset + limit must be in 1..{MAX_LIMIT}; page deeper with a cursor.",
            limit=limit,
            offset=offset,
        )
