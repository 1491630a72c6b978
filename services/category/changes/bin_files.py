"""One object of the bin: the deleted images of one slice, whole.

    head       512 bytes of JSON: the lengths and SHA-256 of the parts that follow, padded with spaces
    ids        16 bytes an image
    payloads   gzip of lines of JSON: which images have which named vector, then a payload an image
    vectors    an .npz file without objects: for each named vector (n, dim) float32

The parts stand in the order in which they are asked for, so that a list of the bin reads no vectors.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from vitrine.services.domain import Hit
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.sealed import sealed, unsealed

if TYPE_CHECKING:
    from vitrine.services.domain import Embedding
    from vitrine.services.object_store.base import ObjectStore

HEAD_BYTES = 512
FORMAT = 1
_ADVICE = "What it held of deleted images cannot be restored; their pictures go when the bin is emptied."


@dataclass(frozen=True)
class Head:
    """What an object of the bin says of itself. ``emptying``: its pictures are being removed, so that nothing
    of it can be restored. ``parts``: length and SHA-256 of each."""

    deleted_at: str
    images: int
    emptying: bool
    parts: tuple[tuple[int, str], ...]

    def to_bytes(self) -> bytes:
        tree = {
            "format": FORMAT,
            "deleted_at": self.deleted_at,
            "images": self.images,
            "emptying": self.emptying,
            "parts": self.parts,
        }
        return orjson.dumps(sealed(tree)).ljust(HEAD_BYTES)


class BinFile:
    """One object of the bin, as it lies under ``key``. ``StoreDamaged`` where it is not as it was written."""

    def __init__(self, objects: ObjectStore, category: str, key: str) -> None:
        self._objects, self._category, self.key = objects, category, key

    def head(self) -> Head:
        """Return its head."""
        with readable(self._category, self.key, _ADVICE):
            return _head(self._objects.get(self.key, first=HEAD_BYTES), self.key)

    def ids(self) -> tuple[Head, list[str]]:
        """Return its head, and the ids of its images."""
        head, (ids,) = self._read(1)
        return head, _ids(ids)

    def payloads(self) -> tuple[Head, list[Hit]]:
        """Return its head, and its images without their vectors."""
        head, (ids, about) = self._read(2)
        with readable(self._category, self.key, _ADVICE):
            payloads = gzip.decompress(about).split(b"\n")[1:]
            return head, [Hit(id, None, payload) for id, payload in zip(_ids(ids), payloads, strict=True)]

    def images(self) -> tuple[Head, list[Hit]]:
        """Return its head, and its images with their vectors."""
        import numpy as np

        head, (ids, about, arrays) = self._read(3)
        with readable(self._category, self.key, _ADVICE):
            having_json, *payloads = gzip.decompress(about).split(b"\n")
            vectors: list[dict[str, Embedding]] = [{} for _ in range(head.images)]
            with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
                for number, (name, having) in enumerate(orjson.loads(having_json)):
                    for row, image in zip(stored[str(number)], having, strict=True):
                        vectors[image][name] = row
            found = zip(_ids(ids), payloads, vectors, strict=True)
            return head, [Hit(id, None, payload, its) for id, payload, its in found]

    def write(self, deleted_at: str, hits: Sequence[Hit], *, emptying: bool = False) -> None:
        """Write images, in place of those it held. Durable when it returns."""
        import numpy as np

        names = dict.fromkeys(name for hit in hits for name in hit.vectors)
        having = {name: [row for row, hit in enumerate(hits) if name in hit.vectors] for name in names}
        arrays = {
            str(number): np.stack([np.asarray(hits[row].vectors[name], np.float32) for row in rows])
            for number, (name, rows) in enumerate(having.items())
        }
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        lines = [orjson.dumps(list(having.items())), *(hit.payload_json for hit in hits)]
        parts = (
            b"".join(UUID(hit.id).bytes for hit in hits),
            gzip.compress(b"\n".join(lines), 5, mtime=0),
            packed.getvalue(),
        )
        marks = tuple((len(part), hashlib.sha256(part).hexdigest()) for part in parts)
        head = Head(deleted_at, len(hits), emptying, marks).to_bytes()
        self._objects.put(self.key, b"".join((head, *parts)))

    def _read(self, count: int) -> tuple[Head, list[bytes]]:
        head = self.head()
        size = HEAD_BYTES + sum(length for length, _ in head.parts[:count])
        with readable(self._category, self.key, _ADVICE):
            data = self._objects.get(self.key, first=size)
            return head, _parts(data, head, count)


def _head(data: bytes, key: str) -> Head:
    tree = unsealed(orjson.loads(data), optional=True)
    check_format(tree["format"], FORMAT, f"The object {key!r} of the bin", _ADVICE)
    parts = tuple((int(length), str(digest)) for length, digest in tree["parts"])
    return Head(str(tree["deleted_at"]), int(tree["images"]), bool(tree["emptying"]), parts)


def _parts(data: bytes, head: Head, count: int) -> list[bytes]:
    """Return the parts; ``ValueError`` for one that is not as it was written."""
    found, at = [], HEAD_BYTES
    for length, digest in head.parts[:count]:
        part = data[at : at + length]
        if hashlib.sha256(part).hexdigest() != digest:
            raise ValueError("a part is damaged")
        found.append(part)
        at += length
    return found


def _ids(data: bytes) -> list[str]:
    return [str(UUID(bytes=data[at : at + 16])) for at in range(0, len(data), 16)]


def without_vectors(hit: Hit, fields: Sequence[str]) -> Hit:
    """Return the image with these fields of its payload alone."""
    return Hit(
        hit.id, None, orjson.dumps({name: hit.payload[name] for name in fields if name in hit.payload})
    )
