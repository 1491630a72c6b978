"""How a cluster run is exported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitrine.services.errors import BadRequest
from vitrine.services.options import Options, option, options_of

Kind = Literal["file", "treemap", "sheets", "folders"]
FILES, TREEMAPS = (".json", ".csv"), (".svg", ".png")
LEVELS, PER_NODE, MOST_PER_NODE, SIZE = 2, 24, 500, (1600, 1000)
_TAKES: Mapping[Kind, tuple[str, ...]] = {
    "file": (),
    "treemap": ("levels", "size", "filters"),
    "sheets": ("sheets", "levels", "per_node", "filters"),
    "folders": ("mode", "move", "depth", "filters"),
}
_CALLED: Mapping[Kind, str] = {
    "file": "a file of nodes",
    "treemap": "a treemap",
    "sheets": "sheets",
    "folders": "folders",
}


@dataclass(frozen=True)
class RunExportOptions(Options):
    """How a run is exported; what is not given has a default that suits the kind of export."""

    sheets: bool = option(False, "Contact sheets and a page that leads to them, instead of the images.")
    levels: int | None = option(None, f"Treemap, sheets: levels below the root. [default: {LEVELS}]", ge=1)
    size: str | None = option(None, f"Treemap: pixels, such as 800x600. [default: {SIZE[0]}x{SIZE[1]}]")
    per_node: int | None = option(
        None, f"Sheets: images of a node. [default: {PER_NODE}]", ge=1, le=MOST_PER_NODE
    )
    depth: int | None = option(None, "Folders within folders. [default: as deep as the run]", ge=1)
    mode: Literal["copy", "hardlink", "symlink"] | None = option(
        None, "Links cost no space, but editing one changes the stored file. [default: copy]"
    )
    move: bool = option(False, "Take the images out of Vitrine once they lie in the folders.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None and not re.fullmatch("[0-9]{1,5}[xX][0-9]{1,5}", self.size):
            raise BadRequest(
                f"The option size must be WIDTHxHEIGHT in pixels, such as 1600x1000, not {self.size!r}.",
                option="size",
            )

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of a treemap."""
        if self.size is None:
            return SIZE
        width, _, height = self.size.lower().partition("x")
        return int(width), int(height)

    def kind(self, to: str, *, filtered: bool = False) -> Kind:
        """Return what ``to`` asks for: a folder that is there, a path with ``/`` behind or without an ending
        is a folder.

        ``BadRequest`` for another ending, and for options that mean nothing to this kind.
        """
        ending = Path(to).suffix.lower()
        if Path(to).is_dir() or to.endswith("/") or not ending:
            kind: Kind = "sheets" if self.sheets else "folders"
        elif ending not in (*FILES, *TREEMAPS):
            known = ", ".join((*FILES, *TREEMAPS))
            raise BadRequest(
                f"{to} ends in none of {known}: choose one of these, or write {to}/ for a folder."
            )
        elif self.sheets:
            raise BadRequest(f"--sheets makes several files, and {to} is one: give --to a folder.")
        else:
            kind = "file" if ending in FILES else "treemap"
        given = [one.name for one in options_of(type(self)) if getattr(self, one.name) not in (None, False)]
        for name in [*given, *(["filters"] if filtered else [])]:
            if name not in _TAKES[kind]:
                raise _no_use(kind, name)
        if self.move and self.mode in ("hardlink", "symlink"):
            raise BadRequest(
                f"--move takes the stored files away, so links to them are no use: leave out --mode "
                f"{self.mode}."
            )
        return kind


def _no_use(kind: Kind, name: str) -> BadRequest:
    takers = " or ".join(_CALLED[other] for other, names in _TAKES.items() if name in names)
    called = "filters such as --tag" if name == "filters" else f"--{name.replace('_', '-')}"
    advice = {"levels": " For folders say --depth.", "depth": " Here say --levels."}.get(name, "")
    return BadRequest(
        f"{_CALLED[kind].capitalize()} cannot use {called}, which is for {takers}: leave it out.{advice}"
    )
