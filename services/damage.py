"""Stored objects that cannot be read: what is damaged, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from services.errors import NotFound, StoreDamaged


def remedy(category: str) -> str:
    """What brings a category with a damaged manifest or collection back."""
    return (
        f"Restore it from a backup, or build it again: `vitrine category delete {category}` keeps the pictures of a damaged "
        f"category, then `vitrine category create {category}` and `vitrine index add objects:{category}/images/ -c {category}`. "
        "Tags, classes, metadata and file names are in the lost part; a table made with `vitrine export table` brings them back."
    )


@contextmanager
def readable(category: str, key: str, advice: str) -> Iterator[None]:
    """Within it an object that does not hold what its writer wrote raises ``StoreDamaged``, with ``advice``.

    ``NotFound`` too: it is for objects that another object names.
    """
    try:
        yield
    except NotFound as error:
        raise StoreDamaged(f"The object {key!r} of category {category!r} is missing. {advice}", category=category) from error
    except (AttributeError, LookupError, SafetensorError, TypeError, ValueError) as error:
        raise StoreDamaged(f"The object {key!r} of category {category!r} is damaged. {advice}", category=category) from error
