"""Colours for the values on a map: a few for words, a scale for numbers and dates. All of them for every kind
of sight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.maps.values import Value
from vitrine.services.values.dates import read_date

TOP = 12
# Twelve colours that stay apart under the common kinds of colour blindness: mkweb.bcgsc.ca/colorblind
# (Krzywinski)
COLOURS = (
    "#9F0162",
    "#009F81",
    "#FF5AAF",
    "#00C2F9",
    "#8400CD",
    "#FF6E3A",
    "#008DF9",
    "#FFC33B",
    "#00735C",
    "#FFB2FD",
    "#A40122",
    "#00FCCF",
)
OTHER, NOTHING = "#8b8b94", "#dcdce0"
SCALE = "viridis"
"""Even in lightness, and to be read in grey."""
_DAY = 86_400.0


@dataclass(frozen=True)
class Entry:
    """A line of the legend."""

    label: str
    colour: str
    count: int


@dataclass(frozen=True, eq=False)
class Colouring:
    """``number``: for each point the entry it belongs to; on a scale (``kind`` not words) 0 for those with a
    value, 1 without.

    ``scale``: the numbers, NaN where there is none; dates as days since 1970.
    """

    kind: Literal["words", "numbers", "dates"]
    entries: tuple[Entry, ...]
    number: NDArray[np.int64]
    scale: NDArray[np.float64]


def colouring(
    values: Sequence[Value], *, dates: bool = False, labels: Mapping[str, str] | None = None
) -> Colouring:
    """Colours for one value a point. Texts, truths and up to twelve whole numbers are words: the twelve most
    frequent have a colour each, the rest is "other". Other numbers, and texts that are dates, are on a
    scale."""
    known: Counter[Value] = Counter(value for value in values if value is not None)
    if dates and known:
        return _on_scale("dates", [None if value is None else _days(str(value)) for value in values])
    numbers = [value for value in known if isinstance(value, int | float) and not isinstance(value, bool)]
    if (
        numbers
        and len(numbers) == len(known)
        and (len(known) > TOP or not all(isinstance(n, int) for n in numbers))
    ):
        return _on_scale("numbers", [None if value is None else float(value) for value in values])
    return _in_words(values, known, labels or {}, in_order=bool(numbers) and len(numbers) == len(known))


def _in_words(
    values: Sequence[Value], known: Counter[Value], labels: Mapping[str, str], in_order: bool
) -> Colouring:
    top = [value for value, _ in sorted(known.items(), key=lambda item: (-item[1], str(item[0])))[:TOP]]
    if in_order:
        top.sort(key=lambda value: value if isinstance(value, int) else 0)
    entries = [
        Entry(labels.get(str(value), str(value)), COLOURS[at], known[value]) for at, value in enumerate(top)
    ]
    number_of = {value: at for at, value in enumerate(top)}
    rest = len(known) - len(top)
    if rest:
        entries.append(
            Entry(f"other ({rest:,} more)", OTHER, sum(known.values()) - sum(known[value] for value in top))
        )
    without = sum(value is None for value in values)
    if without:
        entries.append(Entry("no value", NOTHING, without))
    last = len(entries) - 1
    other = len(top)
    number = np.array([last if value is None else number_of.get(value, other) for value in values], np.int64)
    return Colouring("words", tuple(entries), number, np.full(len(values), np.nan))


def _on_scale(kind: Literal["numbers", "dates"], numbers: Sequence[float | None]) -> Colouring:
    scale = np.array([np.nan if number is None else number for number in numbers], float)
    without = np.isnan(scale)
    entries = (
        Entry("with a value", COLOURS[0], int((~without).sum())),
        Entry("no value", NOTHING, int(without.sum())),
    )
    return Colouring(kind, entries, without.astype(np.int64), scale)


def _days(text: str) -> float | None:
    try:
        return read_date(text).first.timestamp() / _DAY
    except ValueError:
        return None
