"""The page of an exported cluster run: its treemap, and its nodes with links to their sheets. It needs no
server or script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

from vitrine.services.artifacts.clusters import ROOT, ClusterRun
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable
from vitrine.services.values.words import counted

_MARK = '<meta name="generator" content="Vitrine clusters">'
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem; color: #18181b; }
h1 { font-size: 1.5rem; margin: 0; } h2 small { font-weight: normal; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; border-top: 1px solid #e4e4e7; padding-top: 1.2rem; }
p { margin: .3rem 0; color: #52525b; } a { color: #1d4ed8; } img { display: block; border-radius: 4px; }
.map img { width: 100%; height: auto; margin: 1rem 0; }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: .5rem;
  padding: 0; list-style: none; }
li { display: flex; gap: .7rem; align-items: center; background: #f7f7f8; border-radius: 6px;
  padding: .4rem; min-width: 0; }
li img, li .none { width: 64px; height: 64px; flex: none; }
li .none { background: #e4e4e7; border-radius: 4px; }
li div { min-width: 0; overflow-wrap: anywhere; } small { color: #71717a; display: block; }
"""


@dataclass(frozen=True)
class PageNode:
    """A node on the page. ``face``: a data URL of a picture, or "". ``sheets``: files in the folder
    ``sheets``."""

    id: str
    parent: str | None
    name: str
    count: int
    children: int
    face: str = ""
    sheets: Sequence[str] = field(default_factory=list)


def begin(folder: Path) -> None:
    """Make the folder ours by a page that says so, before anything else is written there. ``BadRequest`` if
    it holds files of the same names that no earlier export made."""
    page = folder / "index.html"
    try:
        ours = page.is_file() and _MARK in page.read_text(encoding="utf-8", errors="replace")[:2_000]
        others = [name for name in ("index.html", "treemap.svg", "sheets") if (folder / name).exists()]
        if others and not ours:
            raise BadRequest(f"{folder} has a {others[0]} that Vitrine did not write: choose another folder.")
        if not ours:
            make_folder(folder)
            page.write_text(
                f"<!doctype html>{_MARK}<p>This export was not completed: run it again.", encoding="utf-8"
            )
    except OSError as error:
        raise unwritable(folder, error) from error


def index_page(category: str, run: ClusterRun, images: int, nodes: Sequence[PageNode]) -> str:
    """HTML of the whole page; ``nodes`` with parents before children. All text is escaped."""
    title = escape(f"{category}: {run.run}")
    about = escape(f"{images:,} images by {run.method} on {run.using}, {run.created_at[:10]}")
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8">{_MARK}',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1><p>{about}</p>",
            '<a class="map" href="treemap.svg">'
            '<img src="treemap.svg" alt="Treemap of the nodes by their number of images"></a>',
            *_sections(nodes),
            "</body></html>",
            "",
        ]
    )


def _sections(nodes: Sequence[PageNode]) -> Iterator[str]:
    """One for each node that has sheets, with its children."""
    drawn = {node.id for node in nodes if node.sheets}
    for node in nodes:
        if node.id not in drawn:
            continue
        images = counted(node.count, "image")
        yield f'<h2 id="{escape(node.id)}">{escape(_called(node))} <small>{images}</small></h2>'
        links = [
            f'<a href="sheets/{quote(name)}">contact sheet{"" if len(node.sheets) == 1 else f" {number}"}</a>'
            for number, name in enumerate(node.sheets, 1)
        ]
        up = [f'<a href="#{escape(node.parent)}">up to {escape(node.parent)}</a>'] if node.parent else []
        yield f"<p>{' · '.join([*links, *up])}</p>"
        children = [child for child in nodes if child.parent == node.id]
        if children:
            yield "<ul>" + "\n".join(_item(child, child.id in drawn) for child in children) + "</ul>"


def _item(node: PageNode, linked: bool) -> str:
    face = f'<img src="{escape(node.face)}" alt="">' if node.face else '<span class="none"></span>'
    name = f'<a href="#{escape(node.id)}">{escape(_called(node))}</a>' if linked else escape(_called(node))
    below = f", {node.children} children" if node.children else ""
    return f"<li>{face}<div>{name}<small>{counted(node.count, 'image')}{below}</small></div></li>"


def _called(node: PageNode) -> str:
    return f"{node.id} {node.name}".strip() if node.id != ROOT else node.name or "All images"
