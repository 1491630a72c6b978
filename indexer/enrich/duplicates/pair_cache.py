"""Compare pairs of pictures of a category: each picture is read once, within a bound, and each pair compared
once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from vitrine.indexer.enrich.duplicates.candidates import Images
from vitrine.indexer.enrich.duplicates.compare.comparison import Comparison, Thresholds, compare
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import PreparedPicture, best_turn, turned
from vitrine.indexer.enrich.duplicates.compare.residual import SURE, difference, may_be_one
from vitrine.indexer.enrich.duplicates.compare.whole import Whole
from vitrine.indexer.enrich.duplicates.pictures import Pictures
from vitrine.services.errors import VitrineError

KEPT = 600
"""Pictures ready to be compared that are held at a time: up to 330 KB each."""
KEPT_PIXELS = 40_000_000
"""Pixels of pictures at full resolution that are held at a time: 6 bytes each."""
_NEAR_BITS, _NEAR_SIMILARITY = 4, 0.95
"""Without the pictures: hashes or embeddings this near make a duplicate, twice as far apart they may share a
group."""

_DIFFERENT = Comparison("look-alike", -1.0)

Pair = tuple[int, int]
"""Positions, the lesser first."""
Judged = TypeVar("Judged")


class PairCache:
    """Compares pairs of positions in ``images``; without ``pictures`` by hashes and embeddings alone.
    Thread-safe.

    ``turns``: how the second of a pair may be turned, where that is known; ``flips``: look for it otherwise.
    ``failed``: pairs on which a library failed; they count as different. At worst two threads compute the
    same.
    """

    def __init__(
        self,
        images: Images,
        pictures: Pictures | None,
        thresholds: Thresholds,
        *,
        turns: Mapping[Pair, str] | None = None,
        flips: bool = False,
    ) -> None:
        self._images = images
        self._pictures = pictures
        self._thresholds = thresholds
        self._turns = turns or {}
        self._flips = flips
        self._seen: OrderedDict[tuple[int, str], PreparedPicture | None] = OrderedDict()
        self._whole: OrderedDict[int, Whole | None] = OrderedDict()
        self._verdicts: dict[Pair, Comparison] = {}
        self.failed: set[Pair] = set()
        self._lock = threading.Lock()

    def compare(self, one: int, other: int) -> Comparison:
        """Compare two different images, in any order: do they show the same, edited or not?"""
        pair = (min(one, other), max(one, other))
        if pair not in self._verdicts:
            self._verdicts[pair] = (
                self._guarded(*pair, self._compare, _DIFFERENT) if self.looks else self._by_numbers(*pair)
            )
        return self._verdicts[pair]

    def copy(self, one: int, other: int) -> Comparison | None:
        """Compare every pixel: identical or resized if the two are one picture, otherwise None."""
        return self._guarded(one, other, self._copy, None)

    def is_grey(self, place: int) -> bool:
        """Return whether a picture has no colours; False for one that was not looked at."""
        seen = self._picture(place)
        return seen is not None and seen.is_grey

    @property
    def looks(self) -> bool:
        """Whether the pictures are compared."""
        return self._pictures is not None

    @property
    def judged(self) -> int:
        """The number of pairs that were compared."""
        return len(self._verdicts)

    def may_share(self, one: int, other: int) -> bool:
        """Return whether two copies of a third may be in one group.

        They need not be as near each other as each is to the third, but similar, or show the same features: a
        blurred copy and a cropped one.
        """
        found, given = self.compare(one, other), self._thresholds
        return found.same or found.similarity >= given.radius or found.inliers >= given.inliers

    def closeness(self, one: int, other: int) -> float:
        """Return the cosine similarity of their stored embeddings."""
        return float(self._images.embeddings[one] @ self._images.embeddings[other])

    def _guarded(self, one: int, other: int, judge: Callable[[int, int], Judged], failed: Judged) -> Judged:
        """Return what ``judge`` says of a pair, or ``failed`` where a library raises on it: odd pictures must
        not end the comparison of all others."""
        try:
            return judge(one, other)
        except VitrineError:
            raise
        except Exception:
            self.failed.add((min(one, other), max(one, other)))
            return failed

    def _copy(self, one: int, other: int) -> Comparison | None:
        first, second = self._picture(one), self._picture(other)
        if first is None or second is None or not may_be_one(first, second):
            return None
        found = self.compare(one, other)
        if not found.same or found.turn:
            return None
        whole, copy = self._at_full_size(one), self._at_full_size(other)
        if whole is None or copy is None:
            return None
        apart = difference(whole, copy)
        return replace(found, kind="resized" if apart else "identical") if apart < SURE else None

    def _compare(self, one: int, other: int) -> Comparison:
        known = self._turns.get((one, other), "")
        if known and (laid := self._laid(one, other, known)).same:
            return laid
        found = self._laid(one, other)
        first, second = self._picture(one), self._picture(other)
        if not self._flips or found.same or known or first is None or second is None:
            return found
        turn = best_turn(first, second)
        laid = self._laid(one, other, turn) if turn else found
        return laid if laid.same else found

    def _laid(self, one: int, other: int, turn: str = "") -> Comparison:
        first, second = self._picture(one), self._picture(other, turn)
        if first is None or second is None:
            return _DIFFERENT
        found = compare(first, second, self._thresholds)
        return replace(found, turn=turn) if turn and found.same else found

    def _by_numbers(self, one: int, other: int) -> Comparison:
        bits = int(self._images.hashes[one] ^ self._images.hashes[other]).bit_count()
        similarity = self.closeness(one, other)
        same = bits <= _NEAR_BITS or similarity >= _NEAR_SIMILARITY
        near = bits <= 2 * _NEAR_BITS or similarity >= 2 * _NEAR_SIMILARITY - 1
        return Comparison(
            "edited" if same else "look-alike", max(similarity, 1 - bits / 64) if same or near else -1.0
        )

    def _at_full_size(self, place: int) -> Whole | None:
        with self._lock:
            if place in self._whole:
                self._whole.move_to_end(place)
                return self._whole[place]
        whole = self._pictures.whole(place) if self._pictures is not None else None
        with self._lock:
            self._whole[place] = whole
            held = sum(each.pixels for each in self._whole.values() if each is not None)
            while held > KEPT_PIXELS and len(self._whole) > 1:
                _, gone = self._whole.popitem(last=False)
                held -= gone.pixels if gone is not None else 0
        return whole

    def _picture(self, place: int, turn: str = "") -> PreparedPicture | None:
        """Return a picture, turned; None where it cannot be read or no pictures are compared."""
        if self._pictures is None:
            return None
        key = (place, turn)
        with self._lock:
            if key in self._seen:
                self._seen.move_to_end(key)
                return self._seen[key]
        if turn:
            upright = self._picture(place)
            seen = upright and turned(upright, turn)
        else:
            seen = self._pictures.prepared(place)
        with self._lock:
            self._seen[key] = seen
            while len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        return seen
