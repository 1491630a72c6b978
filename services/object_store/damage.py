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


def check_format(found: object, expected: int, what: str, advice: str, **details: str) -> None:
    """Raise ``OtherFormat`` unless ``what`` was written in the format that this version of Vitrine reads.

    ``advice`` says how to go on. ``details``: of the error.
    """
    if found != expected:
        raise OtherFormat(
            f"{what} was written by another version of Vitrine, in format {found}; this one reads format "
            f"{expected}. {advice}",
            **details,
        )
