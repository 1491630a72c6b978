"""Find what the stores hold besides categories in service: damaged and half deleted ones, and what no
category describes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vitrine.services.category.manifest import NAME
from vitrine.services.object_store.base import ObjectStore, list_keys
from vitrine.services.object_store.keys import (
    BIN,
    CLUSTERS,
    DUPLICATES,
    ENCODERS,
    JOURNAL,
    MAPS,
    SAVED,
    SYNC,
    TAGGERS,
    THUMBNAILS,
    UNDO,
)

PLACES = (TAGGERS, CLUSTERS, DUPLICATES, MAPS, ENCODERS, THUMBNAILS, UNDO, BIN, SAVED, SYNC, JOURNAL)
"""Where a category has objects besides its pictures."""
_FROM_POINTS = (CLUSTERS, DUPLICATES, MAPS, THUMBNAILS, UNDO, BIN, SYNC)
"""Those that are of no use without the points. Taggers, encoders, saved searches and the journal can be used
when the pictures are indexed again."""
_IMAGE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]+")


@dataclass(frozen=True)
class Remains:
    """What the stores have under the name of no category in service.

    ``damaged``: a category that cannot be read. ``deleting``: a deletion or creation that was interrupted.
    ``leftover``: pictures, or a collection, that no category describes. ``message`` says what to do.
    """

    name: str
    state: Literal["damaged", "deleting", "leftover"]
    message: str


def unfinished(name: str) -> str:
    """Return what to do about a manifest that is not in service."""
    return f"Its creation or deletion did not end: `vitrine category delete {name}` completes it."


def left_of(objects: ObjectStore, name: str, with_collection: bool, others: tuple[str, ...]) -> str:
    """Return a sentence about what the stores have of a name without a manifest; "" where none of it is
    Vitrine's. ``others``: key prefixes that serve other categories.
    """
    if not NAME.fullmatch(name):
        return ""
    images = f"{name}/images/"
    first = next(objects.list(images), None)
    left = ["pictures"] if first is not None and _IMAGE.fullmatch(first.key[len(images) :]) else []
    left += ["a collection"] if with_collection else []
    for place in PLACES:
        if any(not stat.key.startswith(others) for stat in objects.list(f"{place}{name}/")):
            left.append(place.strip("_/"))
    if not left:
        return ""
    again = (
        f"`vitrine index add objects:{images} -c {name} --create` takes the pictures into a new category, "
    )
    return (
        f"No category describes it, but there are: {', '.join(left)}. {again * bool(first)}`vitrine category "
        f"delete {name}` removes it all."
    )


def remove_objects(objects: ObjectStore, name: str, *, keep_images: bool, others: tuple[str, ...]) -> None:
    """Delete the objects that Vitrine made for a category, all but its manifest. Other objects below its name
    stay. ``others``: key prefixes that serve other categories.
    """
    prefixes = [f"{place}{name}/" for place in (_FROM_POINTS if keep_images else PLACES)]
    for prefix in prefixes if keep_images else [f"{name}/images/", *prefixes]:
        for key in list_keys(objects, prefix):
            if not key.startswith(others):
                objects.delete(key)
