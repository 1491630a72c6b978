"""Columns as bytes: a header in JSON, and little-endian arrays that a page uses as they are.

Four bytes with the length of the header, the header, and the arrays, each from a multiple of 8. The codes of
words are their ranks by frequency, from 1; 0 is for rows without a value.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from vitrine.services.columns.column import Column, Mask

_ALIGNED: Final = 8
_COLOUR: Final = 3
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Packed:
    """One array under a name. ``values``: the words of its codes. ``width``: numbers a row."""

    name: str
    array: NDArray[Any]
    values: Sequence[str | bool] | None = None
    width: int = 1


def packed_bytes(rows: int, version: str, columns: Sequence[Packed]) -> bytes:
    """Return the whole answer."""
    described, parts, offset = [], [], 0
    for column in columns:
        data = column.array.tobytes()
        padding = -len(data) % _ALIGNED
        tree = {"name": column.name, "type": column.array.dtype.name, "offset": offset}
        tree |= {"missing": None} if column.values is None else {"values": column.values}
        described.append(tree if column.width == 1 else {**tree, "length": column.width})
        parts += [data, b"\0" * padding]
        offset += len(data) + padding
    header = orjson.dumps({"rows": rows, "version": version, "columns": described})
    header += b" " * (-(4 + len(header)) % _ALIGNED)
    return b"".join((struct.pack("<I", len(header)), header, *parts))


def packed_words(name: str, column: Column, *, last: bool = False) -> Packed:
    """Return the codes of words or truths; of several values in a row the first, or the ``last``."""
    items, has = column.last_items() if last else column.first_items()
    counts = np.bincount(items[has], minlength=len(column.words))
    order = np.lexsort((column.words.ranks, -counts))
    order = order[: int(np.count_nonzero(counts))]
    codes = np.zeros(max(1, len(counts)), np.uint32)
    codes[order] = np.arange(1, len(order) + 1)
    kind = np.uint8 if len(order) < 2**8 else np.uint16 if len(order) < 2**16 else np.uint32
    values = [column.words.values[code] for code in order.tolist()]
    return Packed(name, np.where(has, codes[items], 0).astype(kind), values)


def packed_numbers(name: str, column: Column, valid: Mask | None = None) -> Packed:
    """Return numbers as float32, or dates as seconds since 1970 in float64, which alone holds them; NaN where
    there is none, or where it does not count."""
    items, has = column.first_items()
    has = has if valid is None else has & valid
    if column.kind == "datetime":
        return Packed(name, np.where(has, items / _MICROSECONDS, np.nan))
    return Packed(name, np.where(has, items, np.nan).astype(np.float32))


def packed_ratio(name: str, over: Column, under: Column) -> Packed:
    """Return the one number by the other as float32; NaN where one of them is missing."""
    (above, has_above), (below, has_below) = over.first_items(), under.first_items()
    has = has_above & has_below & (below > 0)
    return Packed(name, (np.where(has, above, np.nan) / np.where(has, below, 1)).astype(np.float32))


def packed_colours(name: str, column: Column) -> Packed:
    """Return colours such as ``#b04a2f`` as red, green and blue, uint8; black where there is none."""
    items, has = column.first_items()
    table = np.zeros((max(1, len(column.words)), _COLOUR), np.uint8)
    for code, word in enumerate(column.words.values):
        digits = str(word).removeprefix("#")
        if len(digits) == 2 * _COLOUR:
            table[code] = list(bytes.fromhex(digits))
    return Packed(name, np.where(has[:, None], table[items], 0).astype(np.uint8), width=_COLOUR)


def packed_mask(mask: Mask) -> bytes:
    """Return a bit a row: bit r % 8, the least significant first, of byte r // 8."""
    return np.packbits(mask, bitorder="little").tobytes()
