"""Read the points of one category into parts of a backup while others write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from uuid import UUID

from vitrine.indexer.backup.contents import StoredPart
from vitrine.indexer.backup.part import pack
from vitrine.indexer.backup.pictures import PictureCopier
from vitrine.indexer.backup.place import Place
from vitrine.services.category.changes.entries import batched
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Hit
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.changes import Version

PART_POINTS = 4_096
"""A part holds at most so many points on average, and a sixteenth of that at least: fewer to write again
where one has changed, more files otherwise."""
PAGE = 2_000


class PointsReader:
    """Writes the points of one category, and their pictures, into a backup.

    ``read`` reads all of them; ``catch_up`` what has changed since, in a fraction of the time. ``parts`` and
    ``late`` are as in ``StoredCategory``. ``knows_changes``: the engine tells of every write; without, only
    reading everything again shows what has changed.
    """

    def __init__(
        self,
        vectors: VectorStore,
        category: str,
        place: Place,
        pictures: PictureCopier,
        advance: Callable[[int], None],
    ) -> None:
        self._vectors, self._category, self._place = vectors, category, place
        self._pictures, self._advance = pictures, advance
        self._version: Version | None = None
        self._stale: set[str] = set()
        self._missed = False
        self._early: list[bytes] = []
        self._late: dict[str, bool] = {}
        self._using: tuple[str, ...] = ()
        self.knows_changes = False
        self.parts: list[StoredPart] = []
        self.late: list[StoredPart] = []

    @property
    def points(self) -> int:
        """How many points there are in what was read."""
        import numpy as np

        early = np.frombuffer(b"".join(self._early), "S16")
        late = np.frombuffer(b"".join(UUID(id).bytes for id in self._late), "S16")
        return len(early) - int(np.isin(early, late).sum()) + sum(self._late.values())

    def read(self) -> None:
        """Read every point, in place of what was read before."""
        self._using = tuple(vector.name for vector in self._vectors.info(self._category).schema.vectors)
        now = self._vectors.changes(self._category)
        self._version, self.knows_changes = now.version, now.complete
        self.parts, self.late = [], []
        self._early, self._late = [], {}
        self._stale, self._missed = set(), False
        self._pictures.lacking.clear()
        digits = _digits(self._vectors.count(self._category))
        for _, hits in groupby(self._hits(), lambda hit: hit.id.replace("-", "")[:digits]):
            found = list(hits)
            self.parts.append(self._written(found))
            self._early.append(b"".join(UUID(hit.id).bytes for hit in found))
            self._watch()

    def catch_up(self, *, until: int = 0, rounds: int = 1) -> None:
        """Read again what was changed meanwhile, until at most ``until`` changes are open or that was done
        ``rounds`` times."""
        self._watch()
        for _ in range(rounds):
            if self._missed:
                self.read()
                continue
            if len(self._stale) <= until:
                return
            stale, self._stale = sorted(self._stale), set()
            for ids in batched(stale, PAGE):
                found = self._vectors.retrieve(self._category, ids, with_vectors=self._using)
                gone = [id for id, hit in zip(ids, found, strict=True) if hit is None]
                self.late.append(self._written([hit for hit in found if hit is not None], gone))
                self._late |= {id: hit is not None for id, hit in zip(ids, found, strict=True)}
            self._watch()

    def _watch(self) -> None:
        """Note which points were written since the last call, or that nobody knows which."""
        if not self.knows_changes:
            return
        found = self._vectors.changes(self._category, self._version)
        self._version = found.version
        self._stale.update(found.ids or ())
        self._missed |= found.ids is None

    def _hits(self) -> Iterator[Hit]:
        for page in pages(self._vectors, self._category, fields=True, using=self._using, size=PAGE):
            yield from page

    def _written(self, hits: Sequence[Hit], gone: Sequence[str] = ()) -> StoredPart:
        """Write a part, and copy the pictures that its points name."""
        content = self._place.put(pack(hits, gone))
        self._pictures.copy(hits)
        self._pictures.forget(gone)
        self._advance(len(hits))
        return StoredPart(content.sha256, content.bytes, len(hits), len(gone))


def _digits(points: int) -> int:
    """Return how many hexadecimal digits of their ids the points of a part share.

    >>> [_digits(points) for points in (0, 4_096, 4_097, 65_537, 1_000_000)]
    [0, 0, 1, 2, 2]
    """
    digits = 0
    while points > PART_POINTS * 16**digits:
        digits += 1
    return digits
