"""Errors for stored objects that cannot be read: what is damaged, or of another format, and what to do about
it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from vitrine.services.errors import NotFound, OtherFormat, StoreDamaged


@contextmanager
def readable(category: str, key: str, advice: str) -> Iterator[None]:
    """Raise ``StoreDamaged``, with ``advice``, where the code inside finds that an object does not hold what
    its writer wrote.

    ``NotFound`` too: it is for objects that another object names.
    """
    try:
        yield
    except NotFound as error:
        raise StoreDamaged(
            f"The object {key!r} of category {category!r} is missing. {advice}", category=category, object=key
        ) from error
    except (AttributeError, LookupError, SafetensorError, TypeError, ValueError) as error:
        raise StoreDamaged(
            f"The object {key!r} of category {category!r} is damaged. {advice}", category=category, object=key
        ) from error


def check_format(
    found: object, latest: int, what: str, advice: str, *, oldest: int | None = None, **details: str
) -> None:
    """Raise ``OtherFormat`` unless ``what`` was written in a format that this version of Vitrine reads: from
    ``oldest`` (None: no other) to ``latest``, which it writes.

    ``advice`` says how to go on. ``details``: of the error.
    """
    first = latest if oldest is None else oldest
    if found not in range(first, latest + 1):
        reads = f"format {latest}" if first == latest else f"formats {first} to {latest}"
        raise OtherFormat(
            f"{what} was written by another version of Vitrine, in format {found}; this one reads {reads}. "
            f"{advice}",
            **details,
        )
