"""Find near-duplicates among images as they arrive: each new one against those that are stored, and those
that come with it.

One query asks for the nearest by embedding; then the pictures are compared as in ``find_duplicates``.
Groups are not touched: they change when duplicates are looked for the next time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitrine.indexer.enrich.duplicates.candidates import Images
from vitrine.indexer.enrich.duplicates.compare.comparison import Thresholds
from vitrine.indexer.enrich.duplicates.compare.orb_prefilter import likely_turn
from vitrine.indexer.enrich.duplicates.pair_cache import PairCache
from vitrine.indexer.enrich.duplicates.pictures import Pictures
from vitrine.indexer.job.items import Item
from vitrine.indexer.job.plan import BatchPlan
from vitrine.indexer.job.report import NearDuplicate, NearDuplicates
from vitrine.services.artifacts.duplicates import COPIES, ordered
from vitrine.services.category.catalog import Category
from vitrine.services.domain import Embedding, Hit, Near, Query
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.similarity import at_least

NEIGHBOURS = 8
"""How many of the nearest images are looked at."""
_SIMILARITY = 0.8
_FIELDS = ("object_key", "sha256", "phash", "width", "height")
_NOTHING_STORED = Images((), np.empty(0, np.uint64), np.empty((0, 0), np.float32))


@dataclass(frozen=True, eq=False)
class _Known:
    """An image that a new one may be a copy of. ``place``: the place of its picture."""

    id: str
    place: int
    pixels: int
    similarity: float


class NewImageComparer:
    """Compares new images of a category with those that are there, and with each other; an ``OnArrival``."""

    def __init__(self, runtime: Runtime, category: Category, what: NearDuplicates) -> None:
        """Compare with what to do about copies: tell or skip."""
        self.notes: list[str] = []
        self._runtime = runtime
        self._category = category
        self._what = what
        self._using = category.encoder().name

    @property
    def using(self) -> Collection[str]:
        return (self._using,)

    def apply(self, plan: BatchPlan) -> None:
        """Do nothing: groups change when duplicates are looked for the next time."""

    def prepare(self, items: Sequence[Item]) -> None:
        """Note on new items which image they are a near-duplicate of, and drop copies if they are not wanted.
        Another version of an image, such as a form filled otherwise, is never dropped, nor a copy that has
        more pixels than what is there.

        Nothing is a near-duplicate of an item that is dropped. Items without the category's default vector
        are not compared, nor pairs that people dismissed.
        """
        items = [item for item in items if not item.known]
        firsts = {
            item.id: item
            for item in reversed(items)
            if self._using in item.vectors and item.facts is not None
        }
        new = [item for item in items if firsts.get(item.id) is item]
        if not new:
            return
        dismissed = self._runtime.duplicates.dismissed(self._category.name)
        payloads, known = self._neighbours(new)
        given = {len(payloads) + number: item.data for number, item in enumerate(new)}
        pictures = Pictures(self._runtime, payloads, given=given)
        cache = PairCache(_NOTHING_STORED, pictures, Thresholds())
        kept: list[tuple[_Known, Embedding]] = []
        for number, item in enumerate(new):
            vector = _unit(item.vectors[self._using])
            among = [replace(one, similarity=float(vector @ row)) for one, row in kept]
            near = [one for one in (*known[item.id], *among) if at_least(one.similarity, _SIMILARITY)]
            near = [one for one in near if ordered(one.id, item.id) not in dismissed]
            near.sort(key=lambda one: -one.similarity)
            place = len(payloads) + number
            item.near = self._nearest(pictures, cache, item, place, near[:NEIGHBOURS])
            item.dropped = self._what == "skip" and any(
                one.pixels >= _pixels(item)
                for one in near
                if item.near and item.near.id == one.id and item.near.kind in COPIES
            )
            if not item.dropped:
                kept.append((_Known(item.id, place, _pixels(item), 1.0), vector))
        for item in items:
            if item.id in firsts:
                item.near, item.dropped = firsts[item.id].near, firsts[item.id].dropped

    def _neighbours(self, items: Sequence[Item]) -> tuple[list[dict[str, Any]], dict[str, list[_Known]]]:
        """Return the payloads of stored images, and by item the nearest of them."""
        queries = [
            Query(
                Near(_unit(item.vectors[self._using])),
                self._using,
                limit=NEIGHBOURS,
                min_similarity=_SIMILARITY,
                exclude=(item.id,),
                with_payload=_FIELDS,
            )
            for item in items
        ]
        places: dict[str, int] = {}
        payloads: list[dict[str, Any]] = []
        known: dict[str, list[_Known]] = {}
        for item, hits in zip(
            items, self._runtime.vectors.query_batch(self._category.name, queries), strict=True
        ):
            for hit in hits:
                if hit.id not in places:
                    places[hit.id] = len(payloads)
                    payloads.append(dict(hit.payload))
            known[item.id] = [_stored(hit, places[hit.id]) for hit in hits]
        return payloads, known

    def _nearest(
        self, pictures: Pictures, cache: PairCache, item: Item, place: int, near: Sequence[_Known]
    ) -> NearDuplicate | None:
        """Return the nearest image that this is a copy of, of as many pixels if there is one; else the
        nearest that it is a version of."""
        mine = pictures.sketch(place, flips=False) if near else None
        smaller: NearDuplicate | None = None
        version: NearDuplicate | None = None
        for one in near:
            theirs = pictures.sketch(one.place, flips=False)
            if mine is None or theirs is None or likely_turn(theirs, mine) is None:
                continue
            if copy := cache.copy(one.place, place):
                found = NearDuplicate(one.id, copy.kind, round(copy.similarity, 4))
                if one.pixels >= _pixels(item):
                    return found
                smaller = smaller or found
                continue
            verdict = cache.compare(one.place, place)
            if version is None and verdict.same:
                version = NearDuplicate(one.id, verdict.kind, round(verdict.similarity, 4))
        return smaller or version


def _stored(hit: Hit, place: int) -> _Known:
    pixels = int(hit.payload.get("width") or 0) * int(hit.payload.get("height") or 0)
    return _Known(hit.id, place, pixels, hit.similarity or 0.0)


def _unit(vector: Embedding) -> Embedding:
    row = np.asarray(vector, np.float32)
    unit: Embedding = row / max(float(np.linalg.norm(row)), 1e-12)
    return unit


def _pixels(item: Item) -> int:
    return item.facts.width * item.facts.height if item.facts is not None else 0
