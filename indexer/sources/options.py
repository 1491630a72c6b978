"""How a source of images is read. Read without numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vitrine.indexer.sources.skipped import OnSkipped
from vitrine.services.domain import IndexKind
from vitrine.services.options import Options, option


@dataclass(frozen=True)
class SourceOptions(Options):
    """How a source is read.

    With ``tags_from_folders`` 2, ``shop/red/mugs/1.jpg`` gets the tags ``shop`` and ``red``. ``path_column``
    is else the first of path, file, file_name, filename, image, key. ``join_on``: by the file's name, its
    stem (name without extension), its key (whole relative path or object key) or its SHA-256. ``kinds``: the
    kinds of columns that are other than what their cells say. ``max_bytes``: larger files are
    refused unread. ``without``: a folder that a folder's walk leaves out, Vitrine's own data, since it holds
    copies of pictures. ``on_skipped`` is told of every file that is not offered.
    """

    tags: tuple[str, ...] = option((), "A tag that every image gets; again or with commas: more.")
    tags_from_folders: int = option(0, "How many folder names become tags, outermost first.", ge=0)
    class_from: str | None = option(None, "The class: folder (the innermost one), or a column.")
    archives_as_folders: bool = option(False, "For both: an archive counts as a folder of its name.")
    frames: Literal["first", "all"] = option(
        "first", "Of animations and documents of several pages: the first, or each as an image of its own."
    )
    path_column: str | None = option(None, "The manifest's column that names the picture.")
    root: Path | None = option(None, "What a manifest's paths are relative to, if not its folder.")
    metadata: Path | None = option(None, "A table (csv, jsonl, parquet) that describes the images.")
    join_on: Literal["name", "stem", "key", "hash"] = option(
        "name", "How the rows of that table are matched with the files."
    )
    hashtags: tuple[str, ...] = option(
        (), "A column whose #hashtags are split off to metadata.hashtags; again: more."
    )
    kinds: Mapping[str, IndexKind] = field(default_factory=dict)
    max_bytes: int = 256_000_000
    without: Path | None = None
    on_skipped: OnSkipped | None = None
