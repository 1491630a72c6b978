"""Near-duplicates among images as they arrive: each new one against those that are there, and those that come with it.

One query asks for the nearest by embedding; the verdict is that of ``find_duplicates``, on the pictures. Groups are not touched:
they change when duplicates are looked for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from indexer.duplicates.pictures import Pictures
from indexer.duplicates.sketch import likely_turn
from indexer.duplicates.verdict import compare
from indexer.items import Item
from indexer.report import NearDuplicate, NearDuplicates
from services.catalog import Category
from services.domain import Embedding, Near, Query
from services.duplicates import ordered
from services.perceptual_hashes import parse_hashes, telling
from services.runtime import Runtime
from services.similarity import at_least

NEIGHBOURS = 8
"""So many of the nearest are looked at."""
_SIMILARITY = 0.8
_FIELDS = ("object_key", "sha256", "phash")
_BITS, _CERTAIN = 4, 0.9
"""Without OpenCV: hashes no further apart and embeddings no less similar. Both, since what is skipped is not stored."""


@dataclass(frozen=True, eq=False)
class _Known:
    """An image that a new one may be a copy of. ``place``: of its picture."""

    id: str
    place: int
    phash: str
    similarity: float


class Arrivals:
    """Compares new images of a category. For one thread, while the category is being written."""

    def __init__(self, runtime: Runtime, category: Category, what: NearDuplicates) -> None:
        """``what``: tell or skip."""
        self._runtime = runtime
        self._category = category
        self._what = what
        self._using = category.encoder().name
        self._look = find_spec("cv2") is not None

    def compare(self, items: Sequence[Item]) -> None:
        """Note on new items which image they are a near-duplicate of, and drop them if they are not wanted.

        Nothing is a near-duplicate of an item that is dropped. Items without the category's default vector are not compared, nor
        pairs that people dismissed.
        """
        firsts = {item.id: item for item in reversed(items) if self._using in item.vectors and item.facts is not None}
        new = [item for item in items if firsts.get(item.id) is item]
        if not new:
            return
        dismissed = self._runtime.duplicates.dismissed(self._category.name)
        payloads, known = self._neighbours(new)
        given = {len(payloads) + number: item.data for number, item in enumerate(new)}
        pictures = Pictures(self._runtime, payloads, given=given) if self._look else None
        kept: list[tuple[_Known, Embedding]] = []
        for number, item in enumerate(new):
            vector = _unit(item.vectors[self._using])
            beside = [_Known(one.id, one.place, one.phash, float(vector @ row)) for one, row in kept]
            near = [one for one in (*known[item.id], *beside) if at_least(one.similarity, _SIMILARITY)]
            near = [one for one in near if ordered(one.id, item.id) not in dismissed]
            near.sort(key=lambda one: -one.similarity)
            place = len(payloads) + number
            item.near = self._first_copy(pictures, item, place, near[:NEIGHBOURS])
            item.dropped = item.near is not None and self._what == "skip"
            if not item.dropped:
                kept.append((_Known(item.id, place, _phash(item), 1.0), vector))
        for item in items:
            if item.id in firsts:
                item.near, item.dropped = firsts[item.id].near, firsts[item.id].dropped

    def _neighbours(self, items: Sequence[Item]) -> tuple[list[dict[str, Any]], dict[str, list[_Known]]]:
        """Payloads of stored images, and by item the nearest of them."""
        queries = [
            Query(Near(_unit(item.vectors[self._using])), self._using, limit=NEIGHBOURS, min_similarity=_SIMILARITY,
                  exclude=(item.id,), with_payload=_FIELDS)
            for item in items
        ]  # fmt: skip
        places: dict[str, int] = {}
        payloads: list[dict[str, Any]] = []
        known: dict[str, list[_Known]] = {}
        for item, hits in zip(items, self._runtime.vectors.query_batch(self._category.name, queries), strict=True):
            for hit in hits:
                if hit.id not in places:
                    places[hit.id] = len(payloads)
                    payloads.append(dict(hit.payload))
            known[item.id] = [
                _Known(hit.id, places[hit.id], str(hit.payload.get("phash") or "0"), hit.similarity or 0.0) for hit in hits
            ]
        return payloads, known

    def _first_copy(self, pictures: Pictures | None, item: Item, place: int, near: Sequence[_Known]) -> NearDuplicate | None:
        """The nearest that it is a copy of."""
        if pictures is None:
            found = (one for one in near if at_least(one.similarity, _CERTAIN) and _hashes_agree(one.phash, _phash(item)))
            return next((NearDuplicate(one.id, "unseen", round(one.similarity, 4)) for one in found), None)
        mine = pictures.sketch(place, flips=False) if near else None
        for one in near:
            theirs = pictures.sketch(one.place, flips=False)
            if mine is None or theirs is None or likely_turn(theirs, mine) is None:
                continue
            first, second = pictures.seen(one.place), pictures.seen(place)
            if first is None or second is None:
                continue
            verdict = compare(first, second)
            if verdict.same:
                again = verdict.kind == "identical" and not pictures.same_pixels(one.place, place)
                return NearDuplicate(one.id, "resized" if again else verdict.kind, round(verdict.similarity, 4))
        return None


def _unit(vector: Embedding) -> Embedding:
    row = np.asarray(vector, np.float32)
    unit: Embedding = row / max(float(np.linalg.norm(row)), 1e-12)
    return unit


def _phash(item: Item) -> str:
    return item.facts.phash if item.facts is not None else "0"


def _hashes_agree(one: str, other: str) -> bool:
    hashes = parse_hashes([one, other])
    return bool(telling(hashes).all()) and int(hashes[0] ^ hashes[1]).bit_count() <= _BITS
