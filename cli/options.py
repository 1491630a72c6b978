"""Options that several commands share, and what they are parsed to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.services.errors import BadRequest

if TYPE_CHECKING:
    from vitrine.services.category.filters import Conditions
    from vitrine.services.domain import OrderBy
    from vitrine.services.runtime import Runtime

CategoryOption = Annotated[str, typer.Option("--category", "-c", metavar="NAME", help="The category.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
UsingOption = Annotated[
    str | None,
    typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]"),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="COLUMN:KIND",
        help="What a metadata column holds: keyword (words), integer, float, bool or datetime; again: "
        "more. Other values are refused by name; what images hold in it already is cast.",
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")]

_FILTERS = "Filters (all must hold)"
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Has this tag; again: all of them.", rich_help_panel=_FILTERS),
]
AnyTagOption = Annotated[
    list[str] | None,
    typer.Option(
        "--any-tag", metavar="TAG", help="Has at least one of these tags.", rich_help_panel=_FILTERS
    ),
]
NotTagOption = Annotated[
    list[str] | None,
    typer.Option("--not-tag", metavar="TAG", help="Lacks this tag.", rich_help_panel=_FILTERS),
]
ClassOption = Annotated[
    list[str] | None,
    typer.Option(
        "--class", metavar="CLASS", help="Is of this class; again: of any of them.", rich_help_panel=_FILTERS
    ),
]
ScoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--score",
        metavar="TAG=A..B",
        help="A tagger's score, such as striped=0.5..1, =0.5.. or =..0.3.",
        rich_help_panel=_FILTERS,
    ),
]
QualityOption = Annotated[
    str | None, typer.Option("--quality", metavar="A..B", help="Quality in 0..1.", rich_help_panel=_FILTERS)
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="KEY=VALUE", rich_help_panel=_FILTERS,
        help="Any other: metadata.season=winter, metadata.year.gte=1990, width.gte=800, filename=a.jpg, "
            "cluster.RUN=root-1, map.NAME.x.gte=0.5 ...",
    ),
]  # fmt: skip

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def to_conditions(
    tag: Sequence[str] | None = None,
    any_tag: Sequence[str] | None = None,
    not_tag: Sequence[str] | None = None,
    class_: Sequence[str] | None = None,
    score: Sequence[str] | None = None,
    quality: str | None = None,
    where: Sequence[str] | None = None,
) -> Conditions:
    """The filter options as conditions. ``BadRequest`` for what is none."""
    from vitrine.services.category.filters import conditions_from_pairs

    pairs = [("tag", value) for value in tag or ()]
    pairs += [("tag.any", value) for value in any_tag or ()]
    pairs += [("tag.none", value) for value in not_tag or ()]
    pairs += [("class", value) for value in class_ or ()]
    for text in score or ():
        name, equals, span = text.rpartition("=")
        if not equals or not name:
            raise BadRequest(f"--score takes TAG=A..B, such as striped=0.5..1, not {text!r}.")
        pairs += _bounds(f"score.{name}", span)
    pairs += _bounds("quality", quality) if quality is not None else []
    for text in where or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise BadRequest(f"--where takes KEY=VALUE, such as metadata.season=winter, not {text!r}.")
        pairs.append((key.strip(), value.strip()))
    return conditions_from_pairs(pairs, joined=True)


def to_order(runtime: Runtime, category: str, text: str | None) -> OrderBy | None:
    """``FIELD``, ``FIELD:asc`` or ``FIELD:desc`` of the category; None stays None."""
    from vitrine.services.category.field_names import find_order

    return None if text is None else find_order(text, runtime.catalog.get(category).indexes)


def read_picture(path: Path) -> bytes:
    """The bytes of a picture file; ``-`` reads stdin."""
    return _read(path)


def to_example(text: str) -> str | bytes:
    """An image id as it is, or the bytes of a file."""
    if _UUID.fullmatch(text):
        return text.lower()
    if not Path(text).is_file():
        raise BadRequest(f"{text!r} is neither an image id nor a file.")
    return _read(Path(text))


def read_vector(path: Path) -> list[float]:
    """A vector from a JSON list of numbers or a ``.npy`` file with one row."""
    import io
    import json

    import numpy as np

    data = _read(path)
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False) if path.suffix == ".npy" else json.loads(data)
        vector = np.asarray(values, dtype=np.float32)
    except (ValueError, TypeError, EOFError) as error:
        raise BadRequest(f"{path} holds no vector: give a JSON list of numbers or a .npy file.") from error
    flat = vector[0] if vector.ndim == 2 and len(vector) == 1 else vector
    numbers: list[float] = flat.tolist()
    return numbers


def _read(path: Path) -> bytes:
    import sys

    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from error


def _bounds(key: str, text: str) -> Iterable[tuple[str, str]]:
    match = _RANGE.fullmatch(text.strip())
    if not match or not (match[1] or match[2]):
        raise BadRequest(f"{text!r} is no range: write A..B, A.. or ..B, such as 0.5..1.")
    return [(f"{key}.{bound}", value) for bound, value in (("gte", match[1]), ("lte", match[2])) if value]
