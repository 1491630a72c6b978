"""A part of a backup: some points of a category as one file. Equal points give equal bytes, so that a part
that has not changed is not written again.

It is a safetensors file:

    ids         (n, 16) uint8, in order
    payloads    gzip of n lines of JSON, keys sorted
    <number>    (m, dim) float16 or float32: a named vector of the points that have it
    <number>.of (m,) uint32: which points these are
    gone        (g, 16) uint8: ids that are no more in the category

``names`` in its metadata lists the named vectors by number.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from vitrine.services.domain import Hit, Payload, Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vitrine.services.domain import Embedding, Embeddings

_AS_READ = 1e-7
"""Components of vectors are equal within this: the last bit of a float32 near 1."""


@dataclass(frozen=True)
class Part:
    """The points of a part, and the ids that have left since an earlier part was written."""

    points: tuple[Point, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True)
class PartPayloads:
    """A part without its vectors: ``payloads`` in the order of ``ids``."""

    ids: tuple[str, ...]
    payloads: tuple[Payload, ...]
    gone: tuple[str, ...]


def pack(hits: Sequence[Hit], gone: Sequence[str] = ()) -> bytes:
    """Return a part that holds these points, with the vectors that they were read with."""
    import numpy as np
    from safetensors.numpy import save

    names = sorted({name for hit in hits for name in hit.vectors})
    lines = [orjson.dumps(hit.payload, option=orjson.OPT_SORT_KEYS) for hit in hits]
    arrays: dict[str, NDArray[Any]] = {
        "ids": _packed_ids([hit.id for hit in hits]),
        "payloads": np.frombuffer(gzip.compress(b"\n".join(lines), 5, mtime=0), np.uint8),
        "gone": _packed_ids(gone),
    }
    for number, name in enumerate(names):
        having = [row for row, hit in enumerate(hits) if name in hit.vectors]
        rows = np.stack([np.asarray(hits[row].vectors[name], np.float32) for row in having])
        arrays[str(number)] = _as_stored(rows)
        arrays[f"{number}.of"] = np.asarray(having, np.uint32)
    packed: bytes = save(arrays, {"names": orjson.dumps(names).decode()})
    return packed


def unpack(data: bytes) -> Part:
    """Return the part that ``pack`` wrote. Damage raises ``LookupError``, ``TypeError`` or ``ValueError``."""
    import numpy as np

    arrays = _load(data)
    found = _payloads(arrays)
    vectors: list[dict[str, Embedding]] = [{} for _ in found.ids]
    for number, name in enumerate(_names(data)):
        rows = arrays[str(number)]
        if rows.dtype == np.float16:
            rows = _of_unit_length(rows.astype(np.float32))
        for row, image in zip(rows, arrays[f"{number}.of"].tolist(), strict=True):
            vectors[image][name] = row
    points = zip(found.ids, vectors, found.payloads, strict=True)
    return Part(tuple(Point(*point) for point in points), found.gone)


def unpack_payloads(data: bytes) -> PartPayloads:
    """Return the part that ``pack`` wrote without its vectors, in less time. Raises what ``unpack`` does."""
    return _payloads(_load(data))


def _load(data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return arrays


def _payloads(arrays: dict[str, NDArray[Any]]) -> PartPayloads:
    ids = _ids(arrays["ids"])
    lines = gzip.decompress(arrays["payloads"].tobytes()).split(b"\n") if ids else []
    if len(lines) != len(ids):
        raise ValueError(f"it has {len(lines)} payloads for {len(ids)} points")
    return PartPayloads(tuple(ids), tuple(map(orjson.loads, lines)), tuple(_ids(arrays["gone"])))


def _names(data: bytes) -> list[str]:
    """Return the named vectors by number: the metadata is in the header, which is JSON."""
    length = int.from_bytes(data[:8], "little")
    names: list[str] = orjson.loads(orjson.loads(data[8 : 8 + length])["__metadata__"]["names"])
    return names


def _as_stored(rows: Embeddings) -> NDArray[np.floating[Any]]:
    """Return the rows as float16 where that is what the engine keeps, and nothing is lost."""
    import numpy as np

    half = rows.astype(np.float16)
    kept = _of_unit_length(half.astype(np.float32))
    return half if np.allclose(kept, rows, rtol=0, atol=_AS_READ) else rows


def _of_unit_length(rows: Embeddings) -> Embeddings:
    import numpy as np

    unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _packed_ids(ids: Sequence[str]) -> NDArray[np.uint8]:
    import numpy as np

    return np.frombuffer(b"".join(UUID(id).bytes for id in ids), np.uint8).reshape(-1, 16)


def _ids(packed: NDArray[np.uint8]) -> list[str]:
    return [str(UUID(bytes=row.tobytes())) for row in packed]
