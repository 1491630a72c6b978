"""Train the tagger that fills ``quality`` from what a category and its users say, and put it into service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.errors import BadRequest, BadSource
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.saving import save_heads
from vitrine.services.values.delimited import named_rows
from vitrine.services.values.words import composed
from vitrine.training.taggers.examples import read_columns
from vitrine.training.taggers.quality import quality_from_preferences, quality_from_ratings


def train_quality(
    runtime: Runtime,
    category: str,
    *,
    ratings: str | None = None,
    low: float = 1.0,
    high: float = 10.0,
    pairs: Path | None = None,
    using: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> TagHead:
    """Train the tagger that fills ``quality``, and put it into service.

    From ``ratings``, a payload field such as metadata.rating with numbers in ``low``..``high``, or from
    ``pairs``, a CSV with the columns better and worse (ids or file names). ``note`` is given what is left
    out. ``BadRequest`` unless one of both is named, ``TooFewExamples``, ``UnknownVector``.
    """
    found = runtime.catalog.get(category)
    if ratings is not None and pairs is None:
        head = _rated(runtime, found, using, ratings, low, high, note)
    elif pairs is not None and ratings is None:
        head = _preferred(runtime, found, using, pairs, note)
    else:
        raise BadRequest(
            "Say where the ratings are (--ratings metadata.COLUMN) or where the preferences are "
            "(--pairs FILE.csv)."
        )
    (saved,) = save_heads(runtime, found, [head])
    return saved


def read_preferences(
    path: Path, ids: Sequence[str], names: Mapping[str, str]
) -> tuple[list[tuple[int, int]], int]:
    """Read a CSV with the columns better and worse: rows (better, worse) by id or file name (``names``: id by
    name), and how many pairs were unknown.

    ``BadRequest`` for a file that is no such CSV.
    """
    row = {one: number for number, one in enumerate(ids)}
    row |= {name: row[one] for name, one in names.items() if one in row and name not in row}
    try:
        said = [
            (composed(cells["better"]), composed(cells["worse"]))
            for _, cells in named_rows(path, ("better", "worse"))
        ]
    except BadSource as error:
        raise BadRequest(error.message, **error.details) from error
    known = [
        (row[better], row[worse])
        for better, worse in said
        if better in row and worse in row and row[better] != row[worse]
    ]
    return known, len(said) - len(known)


def _rated(
    runtime: Runtime,
    category: Category,
    using: str | None,
    field: str,
    low: float,
    high: float,
    note: Callable[[str], None],
) -> TagHead:
    ids, x, values = read_columns(runtime.vectors, category, using, (field, "phash"))
    rows = [
        row
        for row, (rating, _) in enumerate(values)
        if isinstance(rating, int | float) and not isinstance(rating, bool)
    ]
    if len(rows) < len(ids):
        note(f"{len(ids) - len(rows)} of {len(ids)} images have no number in {field}.")
    note(f"Fitting to {len(rows)} ratings; ten thousand take a quarter of a minute.")
    return quality_from_ratings(
        category.encoder(using),
        [ids[row] for row in rows],
        x[np.array(rows, np.intp)],
        np.array([values[row][0] for row in rows], np.float64),
        low=low,
        high=high,
        groups=[str(values[row][1] or ids[row]) for row in rows],
    )


def _preferred(
    runtime: Runtime, category: Category, using: str | None, pairs: Path, note: Callable[[str], None]
) -> TagHead:
    ids, x, values = read_columns(runtime.vectors, category, using, ("filename", "phash"))
    often = Counter(str(name) for name, _ in values)
    named = zip(ids, values, strict=True)
    names = {str(name): one for one, (name, _) in named if name and often[str(name)] == 1}
    rows, unknown = read_preferences(pairs, ids, names)
    if unknown:
        note(
            f"{unknown} pairs name images that are not there, a file name that several have, or the "
            "same image twice."
        )
    groups = [str(phash or one) for one, (_, phash) in zip(ids, values, strict=True)]
    note(f"Fitting to {len(rows)} pairs; five thousand take a quarter of a minute.")
    return quality_from_preferences(category.encoder(using), ids, x, rows, groups=groups)
