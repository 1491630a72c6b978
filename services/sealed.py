"""JSON objects that carry a checksum of what they say, so that a changed bit is found instead of believed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

_CHECKSUM: Final = "checksum"


def sealed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as plain JSON, with its checksum beside the rest: the SHA-256 of its JSON without
    spaces, keys in order. Arrays of NumPy become lists."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(tree, option=orjson.OPT_SERIALIZE_NUMPY))
    return {**plain, _CHECKSUM: _digest(plain)}


def unsealed(tree: Any, *, optional: bool = False) -> dict[str, Any]:
    """Return what ``sealed`` made an object of, without the checksum. ``ValueError`` where it says anything
    else than was written.

    ``optional``: an object without a checksum is taken as it is: versions to 0.8 wrote none.
    """
    if not isinstance(tree, dict):
        raise ValueError("it is no JSON object")
    rest = {name: value for name, value in tree.items() if name != _CHECKSUM}
    if not (optional and len(rest) == len(tree)) and tree.get(_CHECKSUM) != _digest(rest):
        raise ValueError("it does not say what was written")
    return rest


def _digest(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)).hexdigest()
