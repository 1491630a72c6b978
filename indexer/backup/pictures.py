"""Copy the pictures that points name into a backup, several at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from vitrine.indexer.backup.place import Place
from vitrine.services.domain import Hit
from vitrine.services.errors import NotFound
from vitrine.services.images.open import content_hash
from vitrine.services.object_store.base import ObjectStore

AT_ONCE = 8
MISSING = "its picture is missing"
DAMAGED = "its picture is damaged: it does not have the content that it is named by"


class PictureCopier:
    """Copies pictures of one category, each once. ``lacking``: by key of a picture that could not be copied,
    the id of its image, and why."""

    def __init__(self, objects: ObjectStore, place: Place) -> None:
        self._objects, self._place = objects, place
        self.lacking: dict[str, tuple[str, str]] = {}

    def copy(self, hits: Iterable[Hit]) -> None:
        """Copy the pictures of these images, unless they are in the backup. One that was damaged since it
        was copied does no harm: its content is not read again."""
        wanted: list[tuple[str, str, str]] = []
        for hit in hits:
            key, sha256 = hit.payload.get("object_key"), hit.payload.get("sha256")
            if not key or not sha256:
                continue
            if self._place.has(sha256, hit.payload.get("bytes")):
                self.lacking.pop(key, None)
            else:
                wanted.append((hit.id, key, sha256))
        with ThreadPoolExecutor(AT_ONCE, "pictures") as pool:
            for (id, key, _), why in zip(wanted, pool.map(self._copy, wanted), strict=True):
                if why:
                    self.lacking[key] = (id, why)
                else:
                    self.lacking.pop(key, None)

    def forget(self, ids: Collection[str]) -> None:
        """Ask for no pictures of images that are gone."""
        gone = set(ids)
        self.lacking = {key: (id, why) for key, (id, why) in self.lacking.items() if id not in gone}

    def _copy(self, wanted: tuple[str, str, str]) -> str:
        _, key, sha256 = wanted
        try:
            data = self._objects.get(key)
        except NotFound:
            return MISSING
        if content_hash(data) != sha256:
            return DAMAGED
        self._place.put(data)
        return ""
