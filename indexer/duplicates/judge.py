"""Pictures of a category side by side: each is read and decoded once, within a bound, and each pair judged once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from indexer.duplicates.candidates import Images
from indexer.duplicates.verdict import SIDE, Seen, Thresholds, Verdict, best_turn, compare, see, turned
from services.errors import BadRequest, ImageRefused, NotFound
from services.images import open_image, pixel_hash
from services.runtime import Runtime

KEPT = 500
"""Pictures ready to be compared that are held at a time: 80 KB each."""
_NEAR_BITS, _NEAR_SIMILARITY = 4, 0.95
"""Without the pictures: hashes or embeddings this near make a duplicate, twice as far apart they may share a group."""


class Judge:
    """Judges pairs of positions in ``images``. For one thread; ``payloads`` have object_key, sha256, width and height."""

    def __init__(
        self,
        runtime: Runtime,
        images: Images,
        payloads: Mapping[int, Mapping[str, Any]],
        thresholds: Thresholds,
        *,
        flips: bool = False,
        look: bool = True,
    ) -> None:
        self.unreadable: set[int] = set()
        self.judged = 0
        self._runtime = runtime
        self._images = images
        self._payloads = payloads
        self._thresholds = thresholds
        self._flips = flips
        self._look = look
        self._seen: OrderedDict[int, Seen | None] = OrderedDict()
        self._verdicts: dict[tuple[int, int], Verdict] = {}

    def verdict(self, one: int, other: int) -> Verdict:
        """On two different images, in any order."""
        pair = (one, other) if one < other else (other, one)
        if pair not in self._verdicts:
            self._verdicts[pair] = self._compare(*pair) if self._look else self._by_numbers(*pair)
            self.judged += 1
        return self._verdicts[pair]

    def may_share(self, one: int, other: int) -> bool:
        """Whether two copies of a third may be in one group: they need not be as near each other as each is to it."""
        found = self.verdict(one, other)
        return found.same or found.similarity >= self._thresholds.radius

    def closeness(self, one: int, other: int) -> float:
        """How alike they are by what is stored."""
        return float(self._images.embeddings[one] @ self._images.embeddings[other])

    def _compare(self, one: int, other: int) -> Verdict:
        first, second = self._picture(one), self._picture(other)
        if first is None or second is None:
            return Verdict("look-alike", -1.0)
        found = compare(first, second, self._thresholds)
        if found.kind == "identical" and not self._same_pixels(one, other):
            return Verdict("resized", found.similarity)
        if self._flips and not found.same and (turn := best_turn(first, second)):
            laid = compare(first, turned(second, turn), self._thresholds)
            if laid.same:
                kind = "edited" if laid.kind == "identical" else laid.kind
                return Verdict(kind, laid.similarity, turn, laid.inliers)
        return found

    def _by_numbers(self, one: int, other: int) -> Verdict:
        bits = int(self._images.hashes[one] ^ self._images.hashes[other]).bit_count()
        similarity = self.closeness(one, other)
        same = bits <= _NEAR_BITS or similarity >= _NEAR_SIMILARITY
        near = bits <= 2 * _NEAR_BITS or similarity >= 2 * _NEAR_SIMILARITY - 1
        return Verdict("edited" if same else "look-alike", max(similarity, 1 - bits / 64) if same or near else -1.0)

    def _picture(self, place: int) -> Seen | None:
        if place in self._seen:
            self._seen.move_to_end(place)
            return self._seen[place]
        seen = self._read(place)
        if seen is None:
            self.unreadable.add(place)
        self._seen[place] = seen
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return seen

    def _read(self, place: int) -> Seen | None:
        payload, runtime = self._payloads[place], self._runtime
        try:
            data = runtime.objects.get(str(payload.get("object_key", "")))
            sha256 = str(payload.get("sha256", "")) or None
            opened = open_image(data, target=SIDE // 2, limits=runtime.limits, budget=runtime.budget, sha256=sha256)
        except (NotFound, BadRequest, ImageRefused):
            return None
        return see(opened.image, (opened.width, opened.height))

    def _same_pixels(self, one: int, other: int) -> bool:
        """Whether every pixel is the same, in its own mode; only asked where all small ones are."""
        keys = [str(self._payloads[place].get("object_key", "")) for place in (one, other)]
        try:
            hashes = [
                pixel_hash(self._runtime.objects.get(key), limits=self._runtime.limits, budget=self._runtime.budget)
                for key in keys
            ]
        except (NotFound, BadRequest, ImageRefused):
            return False
        return hashes[0] == hashes[1]
