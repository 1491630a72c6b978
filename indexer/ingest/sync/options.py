"""How a folder is synced. Read without numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrine.services.options import Options, option


@dataclass(frozen=True)
class SyncOptions(Options):
    """How a folder is synced. The first four are those of ``SourceOptions``."""

    tags: tuple[str, ...] = option((), "A tag that every image gets; again or with commas: more.")
    tags_from_folders: int = option(0, "How many folder names become tags, outermost first.", ge=0)
    class_from: Literal["folder"] | None = option(None, "The class: folder (the innermost one).")
    archives_as_folders: bool = option(False, "For both: an archive counts as a folder of its name.")
    max_gone: int | None = option(
        None, "How many images may leave. [default: 100, or a tenth of the folder's if that is more]", ge=0
    )
    take_over: bool = option(
        False, "Images that a folder of this name brought in before are this folder's, and leave with it."
    )
    reread: bool = option(False, "Read every file, also those that have not changed.")
    dry_run: bool = option(False, "Only say what would be done.")
