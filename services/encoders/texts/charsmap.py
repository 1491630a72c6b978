"""How SentencePiece replaces characters before it splits a text, such as wide letters by plain ones.

The map is a double array (Darts) that is read here as it lies in a model's file. tokenizers has a reader too,
Precompiled, but that takes the shortest key that fits where SentencePiece takes the longest, and so loses
accents that are written as characters of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property

_LEAF = 1 << 31
_LABEL, _HAS_LEAF = _LEAF | 0xFF, 1 << 8


class Charsmap:
    """The map of a model's file; ``data`` is empty where nothing is replaced. IndexError or struct.error
    where it is damaged."""

    def __init__(self, data: bytes) -> None:
        self._units: tuple[int, ...] = ()
        self._texts = b""
        if data:
            (size,) = struct.unpack_from("<I", data)
            if size % 4 or 4 + size > len(data):
                raise IndexError(size)
            self._units = struct.unpack_from(f"<{size // 4}I", data, 4)
            self._texts = data[4 + size :]

    def chunks(self, text: str) -> Iterator[str]:
        """Yield the text in pieces: what replaces a key, or a single character."""
        if not self._units:
            yield from text
            return
        at = 0
        while at < len(text):
            if text[at] in self._plain:
                yield text[at]
                at += 1
                continue
            length, start = self._longest(text, at)
            if not length:
                yield text[at]
                at += 1
                continue
            yield self._texts[start : self._texts.index(b"\0", start)].decode("utf-8", "replace")
            at += length

    @cached_property
    def _plain(self) -> frozenset[str]:
        """The ASCII characters with which no key begins: most of most texts."""
        root = _offset(self._units[0])
        return frozenset(chr(code) for code in range(128) if self._unit(root ^ code) & _LABEL != code)

    def _unit(self, place: int) -> int:
        return self._units[place] if place < len(self._units) else _LEAF

    def _longest(self, text: str, at: int) -> tuple[int, int]:
        """Return the number of characters of the longest key that begins here, 0 for none, and where its
        replacement lies."""
        found = (0, 0)
        node = _offset(self._units[0])
        for index in range(at, len(text)):
            unit = 0
            for byte in text[index].encode("utf-8", "replace"):
                place = node ^ byte
                unit = self._unit(place)
                if unit & _LABEL != byte:
                    return found
                node = place ^ _offset(unit)
            if unit & _HAS_LEAF:
                found = index + 1 - at, self._units[node] & ~_LEAF
        return found


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & (1 << 9)) >> 6)
