"""Keys of what is replaced as a whole: ``look`` answers from ``look-1`` while ``look-2`` is written, and the
other way round."""

from __future__ import annotations

import re
from collections.abc import Collection

from vitrine.services.errors import BadRequest
from vitrine.services.object_store.base import ObjectStore, list_keys

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def check_key_name(name: str, of: str, field: str) -> None:
    """``BadRequest`` unless ``name`` can name what is called ``of``, such as "a map"; ``field`` names it in
    the error."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name {of}: use 1 to 63 letters, digits, - and _, no - or _ first.",
            **{field: name},
        )


def name_of(key: str) -> str:
    """The name that a key belongs to.

    >>> name_of("look-2"), name_of("look-2-1")
    ('look', 'look-2')
    """
    return key.rpartition("-")[0]


def stored_keys(objects: ObjectStore, folder: str, name: str) -> set[str]:
    """The keys of a name that have an object in ``folder`` (``.../``), called by the key and an ending."""
    keys = {key[len(folder) :].partition(".")[0] for key in list_keys(objects, f"{folder}{name}-")}
    return {key for key in keys if name_of(key) == name}


def free_key(name: str, taken: Collection[str]) -> str:
    """The key of the lowest number that is not ``taken``: an index of the payload stays for good, and so
    there are two of each name at most.

    >>> free_key("look", {"look-1"}), free_key("look", {"look-2"})
    ('look-2', 'look-1')
    """
    return next(key for number in range(1, len(taken) + 2) if (key := f"{name}-{number}") not in taken)
