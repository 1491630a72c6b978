"""Colours for the values on a map: twelve for words, a scale for numbers and dates. The colour-blind can tell
them apart."""

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
COLOURS = (
    "#9F0162", "#009F81", "#FF5AAF", "#00C2F9", "#8400CD", "#FF6E3A",
    "#008DF9", "#FFC33B", "#00735C", "#FFB2FD", "#A40122", "#00FCCF",
)  # fmt: skip
"""They differ under the common kinds of colour blindness: mkweb.bcgsc.ca/colorblind (Krzywinski)."""
OTHER, NOTHING = "#8b8b94", "#dcdce0"
SCALE = "viridis"
"""Its lightness grows evenly, so that it can be read in grey."""
_DAY = 86_400.0


@dataclass(frozen=True)
class Entry:
    """A line of the legend."""

    label: str
    colour: str
    count: int


@dataclass(frozen=True, eq=False)
class Colouring:
    """The colours of all points: ``number``, the entry of the legend of each (on a scale 0 with a value, 1
    without), and ``scale``, the numbers (NaN: none; dates as days since 1970)."""

    kind: Literal["words", "numbers", "dates"]
    entries: tuple[Entry, ...]
    number: NDArray[np.int64]
    scale: NDArray[np.float64]


def colouring(
    values: Sequence[Value], *, dates: bool = False, labels: Mapping[str, str] | None = None
) -> Colouring:
    """Return the colours for one value a point. Texts, truths and up to twelve whole numbers are words: the
    twelve most frequent get a colour each, the rest is "other". Other numbers, and with ``dates`` all values,
    are on a scale."""
    known: Counter[Value] = Counter(value for value in values if value is not None)
    if dates and known:
        return _on_scale("dates", [None if value is None else _days(str(value)) for value in values])
    types = {type(value) for value in known}
    numeric = bool(types) and types <= {int, float}
    if numeric and (len(known) > TOP or float in types):
        return _on_scale("numbers", [None if value is None else float(value) for value in values])
    return _in_words(values, known, labels or {}, in_order=numeric)


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
    if rest := len(known) - len(top):
        others = known.total() - sum(known[value] for value in top)
        entries.append(Entry(f"other ({rest:,} more)", OTHER, others))
    if without := len(values) - known.total():
        entries.append(Entry("no value", NOTHING, without))
    last, other = len(entries) - 1, len(top)
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
