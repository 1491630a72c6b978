"""Group tagger heads so that one matrix product scores each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import DIGITS, HeadSet, TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.domain import Embeddings
from vitrine.services.taggers.classify import encoder_of


def by_vector(category: Category, heads: Iterable[TagHead]) -> dict[str, HeadSet]:
    """Return the heads by the named vector that they read. Raises ``TaggerMismatch`` for one whose encoder
    the category has no longer."""
    groups: defaultdict[str, list[TagHead]] = defaultdict(list)
    for head in heads:
        groups[encoder_of(category, head).name].append(head)
    return {name: HeadSet(group) for name, group in groups.items()}


def rounded_scores(heads: HeadSet, embeddings: Embeddings) -> list[list[float]]:
    """Return scores as they are stored: a row for each embedding, a column for each head, to ``DIGITS``
    decimal places."""
    scores: NDArray[Any] = heads.scores(embeddings).astype(np.float64)
    rows: list[list[float]] = np.round(scores, DIGITS).tolist()
    return rows
