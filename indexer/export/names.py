"""Names of folders and files that are valid on any system and stay inside their folder."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

_MAX_NAME, _MAX_BYTES = 120, 180
"""File systems take 255 bytes; a content hash must still fit behind the name."""
_UNSAFE = re.compile(r"[^\w .,;()+&@=#%-]+")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}
)


def safe_name(text: str) -> str:
    """Return a tag or value as a valid folder name. One that had to be changed gets six digits of its hash,
    so that it differs from others.

    >>> safe_name("red mug"), safe_name("a/b"), safe_name("..")
    ('red mug', 'a_b-c14cdd', '_-5ec1f7')
    """
    name = _clean(text)
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def bin_name(edges: tuple[float, ...], value: float) -> str:
    """Return the bin of a value, named by its edges; the last bin includes its upper edge.

    >>> bin_name((0.0, 0.5, 1.0), 0.5), bin_name((0.0, 0.5, 1.0), 1.0)
    ('0.50-1.00', '0.50-1.00')
    """
    number = min(max(bisect_right(edges, value) - 1, 0), len(edges) - 2)
    width = edges[1] - edges[0]
    # as many digits as neighbours need to differ
    digits = next((digits for digits in range(2, 12) if 10.0**-digits <= width), 12)
    return f"{edges[number]:.{digits}f}-{edges[number + 1]:.{digits}f}"


def file_names(payload: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that the file of an image may get: its own, then with eight digits of its hash, then
    with all of it."""
    sha256 = str(payload.get("sha256", ""))
    last = str(payload.get("filename", "")).replace("\\", "/").rpartition("/")[2]
    name = _clean(last) if last else f"{sha256}.{str(payload.get('object_key', '')).rpartition('.')[2]}"
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    yield name
    yield f"{stem}-{sha256[:8]}{ending}"
    yield f"{stem}-{sha256}{ending}"


def _clean(text: str) -> str:
    """Return a name without separators and control characters, short enough, that no system reserves; a long
    one keeps its ending."""
    name = _UNSAFE.sub("_", text)
    if len(name) > _MAX_NAME:
        name = name[: _MAX_NAME - 21] + "_" + name[-20:]
    while len(name.encode()) > _MAX_BYTES:
        name = name[: len(name) // 2] + name[len(name) // 2 + 1 :]
    name = name.strip(" .")
    return f"_{name}" if name.partition(".")[0].lower() in _DEVICES else name or "_"
