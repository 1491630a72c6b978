"""Read images that lie in the object store already, under a prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from vitrine.indexer.sources.base import (
    HEAD,
    has_image_extension,
    looks_like_image,
    shown_name,
    too_large,
)
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.skipped import Skipped
from vitrine.indexer.sources.tables import is_table
from vitrine.services.errors import BadRequest, BadSource, ImageRefused, NotFound, Unavailable
from vitrine.services.images.open import category_of_key, content_hash
from vitrine.services.images.walking import is_hidden
from vitrine.services.object_store.base import ObjectStat, ObjectStore
from vitrine.services.object_store.keys import is_sent_picture, is_thumbnail

SCHEME = "objects:"


def read_picture(objects: ObjectStore, key: str) -> bytes:
    """Return the bytes of an object. ``ImageRefused`` where it is a picture that Vitrine stored, and they are
    not those that it is named by: they would be taken for another image."""
    data = objects.get(key)
    if category_of_key(key) is not None and content_hash(data) != key.rpartition("/")[2].partition(".")[0]:
        raise ImageRefused("damaged_image", f"The object {key!r} is not the bytes that it is named by.")
    return data


class ObjectsSource(Source):
    """Every picture under a prefix of the object store, in order of key. Objects are offered by the same rule
    as the files of ``FolderSource``.

    Keys that only other programs could write (``a//b.jpg``, with a backslash) are read too, or refused by
    name. Folders, for tags and class, are counted from the prefix. Pictures that Vitrine stored there itself
    are left out, unless the prefix names their category; its thumbnails in any case. ``BadSource`` if no key
    begins with the prefix.
    """

    def __init__(self, prefix: str, options: SourceOptions, objects: ObjectStore, patience: Patience) -> None:
        self._prefix = prefix
        self._objects = objects
        self._max_bytes = options.max_bytes
        self._patience = patience
        self._skipped = Skipped(options.on_skipped)
        self._own = 0
        self.name = SCHEME + prefix
        self.indexes = {}
        if next(objects.list(prefix, foreign=True), None) is None:
            raise BadSource(f"No object has a key that begins with {prefix!r}.{_hint(prefix)}")

    def __iter__(self) -> Iterator[ImageRecord]:
        for stat in self._listed():
            below = self._below(stat.key)
            if is_thumbnail(stat.key) or is_sent_picture(stat.key):  # made of pictures, or not meant to stay
                continue
            if self._is_own(stat.key):
                self._own += 1
                continue
            if stat.key.endswith("/") and not stat.size:  # what tools put there for an empty folder
                continue
            if is_hidden(below):
                self._skipped.add(shown_name(stat.key), "hidden")
                continue
            record = ImageRecord(
                self.name,
                shown_name(stat.key),
                partial(read_picture, self._objects, stat.key),
                created_at=stat.modified.isoformat(timespec="seconds"),
                folders=tuple(shown_name(below).split("/")[:-1]),
            )
            yield from self._offered(stat, record)

    def notes(self) -> list[str]:
        own = (
            f"Left out: {self._own} of the pictures that Vitrine stored itself (objects:CATEGORY/images/ "
            "reads them)."
        )
        return [*self._skipped.notes(), *([own] if self._own else [])]

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped.counts

    def _is_own(self, key: str) -> bool:
        category = category_of_key(key)
        return category is not None and not self._prefix.startswith(category)

    def _offered(self, stat: ObjectStat, record: ImageRecord) -> Iterator[ImageRecord]:
        try:
            if not has_image_extension(stat.key) and not self._begins_as_image(stat):
                self._skipped.add(shown_name(stat.key))
            elif stat.size > self._max_bytes:
                error = too_large(stat.key, self._max_bytes)
                yield record.refused(error.reason, error.message)
            else:
                yield record
        except BadRequest as error:  # a key that cannot be asked for
            yield record.refused("unreadable_file", error.message)
        except NotFound:
            yield record.refused("image_missing", "It was deleted while the objects were listed.")

    def _begins_as_image(self, stat: ObjectStat) -> bool:
        if is_table(stat.key) or not stat.size:
            return False
        return looks_like_image(self._patience.call(lambda: self._objects.get(stat.key, first=HEAD)))

    def _below(self, key: str) -> str:
        """Return the key from the prefix on: below the folder that it names, or that it lies in."""
        if key.startswith(self._prefix + "/"):
            return key[len(self._prefix) + 1 :]
        return key[self._prefix.rfind("/") + 1 :]

    def _listed(self) -> Iterator[ObjectStat]:
        """Yield the listing, and go on where it was if the store goes away meanwhile."""
        listing: Iterator[ObjectStat] | None = None
        last: bytes | None = None

        def advance() -> ObjectStat | None:
            nonlocal listing
            listing = listing or self._after(last)
            try:
                return next(listing, None)
            except Unavailable:
                listing = None
                raise

        while (stat := self._patience.call(advance)) is not None:
            last = _order(stat)
            yield stat

    def _after(self, last: bytes | None) -> Iterator[ObjectStat]:
        found = self._objects.list(self._prefix, foreign=True)
        return (stat for stat in found if last is None or _order(stat) > last)


def _order(stat: ObjectStat) -> bytes:
    return stat.key.encode("utf-8", "surrogateescape")


def _hint(prefix: str) -> str:
    return " Keys have no leading slash." if prefix.startswith("/") else ""
