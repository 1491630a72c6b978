"""The images of a group in the order in which they are kept, and what each is a copy or a version of."""

from __future__ import annotations

from collections.abc import Sequence

from vitrine.indexer.enrich.duplicates.pair_cache import PairCache
from vitrine.services.artifacts.duplicates import Member


def arranged(ids: Sequence[str], places: Sequence[int], cache: PairCache) -> tuple[Member, ...]:
    """Return the images at ``places``, the one to keep first.

    Each is a copy of the first before it that is the same picture, or else a version of the one to keep. So a
    copy of a version goes with that version, and no picture is lost by way of another.
    """
    keep, *rest = places
    pictures = [keep]
    members = [Member(ids[keep], "keep", 1.0, grey=cache.is_grey(keep))]
    for place in rest:
        found = ((first, cache.copy(first, place)) for first in pictures)
        first, verdict = next(((first, copy) for first, copy in found if copy is not None), (keep, None))
        if verdict is None:
            pictures.append(place)
            verdict = cache.compare(keep, place)
        kind = verdict.kind if cache.looks else "unseen"
        of = "" if first == keep else ids[first]
        members.append(
            Member(ids[place], kind, round(verdict.similarity, 4), verdict.turn, of, cache.is_grey(place))
        )
    return tuple(members)
