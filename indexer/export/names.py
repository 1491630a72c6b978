"""Names of folders and files that any system takes, and that nothing leads out of."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

_MAX_NAME, _MAX_BYTES = 120, 180
"""Room is left for a content hash behind the name: file systems take 255 bytes."""
_UNSAFE = re.compile(r"[^\w .,;()+&@=#%-]+")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}
)


def safe_name(text: str) -> str:
    """A tag or value as a folder's name on any system; one that had to be changed gets six digits of its
    hash, to stay apart.

    >>> safe_name("red mug"), safe_name("a/b"), safe_name("..")
    ('red mug', 'a_b-c14cdd', '_-5ec1f7')
    """
    name = _clean(text)
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def bin_name(edges: tuple[float, ...], value: float) -> str:
    """The bin that a value lies in, called by its edges; the last one includes its upper edge.

    >>> bin_name((0.0, 0.5, 1.0), 0.5), bin_name((0.0, 0.5, 1.0), 1.0)
    ('0.50-1.00', '0.50-1.00')
    """
    number = min(max(bisect_right(edges, value) - 1, 0), len(edges) - 2)
    width = edges[1] - edges[0]
    digits = next(
        (digits for digits in range(2, 12) if 10.0**-digits <= width), 12
    )  # so that neighbours differ
    return f"{edges[number]:.{digits}f}-{edges[number + 1]:.{digits}f}"


def file_names(payload: Mapping[str, Any]) -> Iterator[str]:
    """The names that an image's file may get, in order: its own, and with the beginning of its hash."""
    sha256 = str(payload.get("sha256", ""))
    last = str(payload.get("filename", "")).replace("\\", "/").rpartition("/")[2]
    name = _clean(last) if last else f"{sha256}.{str(payload.get('object_key', '')).rpartition('.')[2]}"
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    yield name
    yield f"{stem}-{sha256[:8]}{ending}"
    yield f"{stem}-{sha256}{ending}"


def _clean(text: str) -> str:
    """A name without separators and control characters, short enough, that no system reserves; its end is
    kept for the ending."""
    name = _UNSAFE.sub("_", text)
    if len(name) > _MAX_NAME:
        name = name[: _MAX_NAME - 21] + "_" + name[-20:]
    while len(name.encode()) > _MAX_BYTES:
        name = name[: len(name) // 2] + name[len(name) // 2 + 1 :]
    name = name.strip(" .")
    return f"_{name}" if name.partition(".")[0].lower() in _DEVICES else name or "_"
