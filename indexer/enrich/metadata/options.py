"""How a table is joined to images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vitrine.services.options import Options, option

JoinOn = Literal["name", "stem", "key", "hash", "id"]


@dataclass(frozen=True)
class AnnotateOptions(Options):
    """How a table is joined. ``column``: the column that names the images, None: the usual ones. ``kinds``:
    of columns, by name; values that images have in them are cast."""

    on: JoinOn = option(
        "name", "What names the image in a row: its file name, that without extension, path, SHA-256 or id."
    )
    column: str | None = None
    all_of_a_name: bool = option(
        False, "Apply a row to every image of its name, instead of refusing the row."
    )
    overwrite: bool = option(
        False, "Class, caption, quality and date of the table replace what the image has."
    )
    hashtags: tuple[str, ...] = option(
        (), "A column whose #hashtags are split off to metadata.hashtags; again: more."
    )
    class_from: str | None = option(None, "The column of the class.")
    dry_run: bool = option(False, "Only say what would happen.")
    kinds: Mapping[str, Any] = field(default_factory=dict)
