"""What a name has in the stores beside a category in service: what is damaged, half deleted, or described by
no category."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vitrine.services.category.manifest import NAME
from vitrine.services.object_store.base import ObjectStore, list_keys
from vitrine.services.object_store.keys import CLUSTERS, DUPLICATES, ENCODERS, MAPS, TAGGERS

PLACES = (TAGGERS, CLUSTERS, DUPLICATES, MAPS, ENCODERS)
"""Where there are objects of a category beside its pictures."""
_FROM_POINTS = (CLUSTERS, DUPLICATES, MAPS)
"""Those that say nothing without what the points say of them. Taggers and encoders fit pictures that are
indexed again."""
_IMAGE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]+")


@dataclass(frozen=True)
class Remains:
    """What a name has in the stores that is no category in service.

    ``damaged``: a category that cannot be read. ``deleting``: a deletion or creation that was interrupted.
    ``leftover``: pictures, or a collection, that no category describes. ``message`` says what to do.
    """

    name: str
    state: Literal["damaged", "deleting", "leftover"]
    message: str


def unfinished(name: str) -> str:
    """What to do about a manifest that is not in service."""
    return f"Its creation or deletion did not end: `vitrine category delete {name}` completes it."


def left_of(objects: ObjectStore, name: str, with_collection: bool, others: tuple[str, ...]) -> str:
    """What there is of a name that has no manifest, as a sentence; empty: nothing that is ours.

    What lies below ``others`` serves another category.
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
        if first
        else ""
    )
    return (
        f"No category describes it, but there are: {', '.join(left)}. {again}`vitrine category delete "
        f"{name}` removes it all."
    )


def remove_objects(objects: ObjectStore, name: str, *, keep_images: bool, others: tuple[str, ...]) -> None:
    """Delete the objects that Vitrine made for a category, all but its manifest. People's own, below its
    name, stay.

    What lies below ``others`` serves another category as well.
    """
    prefixes = [f"{place}{name}/" for place in (_FROM_POINTS if keep_images else PLACES)]
    for prefix in prefixes if keep_images else [f"{name}/images/", *prefixes]:
        for key in list_keys(objects, prefix):
            if not key.startswith(others):
                objects.delete(key)
