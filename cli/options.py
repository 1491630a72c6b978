"""Options that several commands share, and what they are parsed to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.services.errors import BadRequest
from vitrine.services.options import Options, option

if TYPE_CHECKING:
    from vitrine.services.category.filters import Conditions
    from vitrine.services.domain import OrderBy
    from vitrine.services.runtime import Runtime
    from vitrine.services.search.options import AnyConditions

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


@dataclass(frozen=True)
class Filters(Options):
    """Which images are meant: those that meet everything that is given."""

    tag: tuple[str, ...] = option((), "Has this tag; again: all of them.")
    any_tag: tuple[str, ...] = option((), "Has at least one of these tags.")
    not_tag: tuple[str, ...] = option((), "Does not have this tag.")
    class_: tuple[str, ...] = option((), "Is of this class; again: of any of them.")
    score: tuple[str, ...] = option((), "A tagger's score: striped=0.5..1, striped=0.5.. or striped=..0.3.")
    quality: str | None = option(None, "Quality in 0..1, such as 0.5..1 or 0.5...")
    where: tuple[str, ...] = option(
        (),
        "KEY=VALUE of any other field: metadata.season=winter, metadata.year.gte=1990, width.gte=800, "
        "filename=a.jpg, cluster.RUN=root-1, map.NAME.x.gte=0.5 ...",
    )

    @property
    def conditions(self) -> Conditions:
        """The conditions. ``BadRequest`` for what cannot be read."""
        from vitrine.services.category.filters import conditions_from_pairs

        pairs = [("tag", value) for value in self.tag]
        pairs += [("tag.any", value) for value in self.any_tag]
        pairs += [("tag.none", value) for value in self.not_tag]
        pairs += [("class", value) for value in self.class_]
        for text in self.score:
            name, equals, span = text.rpartition("=")
            if not equals or not name:
                raise BadRequest(f"--score takes TAG=A..B, such as striped=0.5..1, not {text!r}.")
            pairs += _bounds(f"score.{name}", span)
        pairs += _bounds("quality", self.quality) if self.quality is not None else []
        for text in self.where:
            key, equals, value = text.partition("=")
            if not equals:
                raise BadRequest(f"--where takes KEY=VALUE, such as metadata.season=winter, not {text!r}.")
            pairs.append((key.strip(), value.strip()))
        return conditions_from_pairs(pairs, joined=True)

    @property
    def asked(self) -> AnyConditions:
        """The conditions, read by pydantic only where they are not of words alone. ``BadRequest``."""
        if self.score or self.quality is not None or self.where:
            return self.conditions
        from vitrine.services.category.word_conditions import WordConditions

        return WordConditions(self.tag, self.any_tag, self.not_tag, self.class_)

    @property
    def words(self) -> str:
        """What is given in one line, for a title: ``tag=red, quality=0.5..1, width.gte=800``."""
        words = [f"{name}={value}" for name in ("tag", "any_tag", "not_tag") for value in getattr(self, name)]
        words += [f"class={value}" for value in self.class_]
        words += [*self.score, *([f"quality={self.quality}"] if self.quality else []), *self.where]
        return ", ".join(words)


FiltersOption = Annotated[Filters, "Filters (all must hold)"]
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


def to_order(runtime: Runtime, category: str, text: str | None) -> OrderBy | None:
    """Return the order that ``FIELD``, ``FIELD:asc`` or ``FIELD:desc`` asks for; None stays None."""
    from vitrine.services.category.field_names import find_order

    return None if text is None else find_order(text, runtime.catalog.get(category).indexes)


def read_picture(path: Path) -> bytes:
    """Return the bytes of a picture file; ``-`` reads stdin."""
    return _read(path)


def to_example(text: str) -> str | bytes:
    """Return an image id as it is, or the bytes of a file."""
    from vitrine.services.vector_store.base import is_id

    if is_id(text):
        return text.lower()
    if not Path(text).is_file():
        raise BadRequest(f"{text!r} is neither an image id nor a file.")
    return _read(Path(text))


def read_vector(path: Path) -> list[float]:
    """Return a vector from a JSON list of numbers or a ``.npy`` file with one row."""
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
