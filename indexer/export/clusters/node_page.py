"""The page of an exported cluster run: its treemap, and its nodes with links to their sheets. It needs no
server or script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
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


def index_page(
    category: str,
    run: ClusterRun,
    counts: Mapping[str, int],
    faces: Mapping[str, str],
    sheets: Mapping[str, Sequence[str]],
) -> str:
    """Return the HTML of the whole page, all text escaped.

    ``counts``: images by node id; nodes without any, or without a count, are left out. ``faces``: a picture
    of a node as a data URL. ``sheets``: its files in the folder ``sheets``, if any.
    """
    title = escape(f"{category}: {run.run}")
    about = escape(f"{counts[ROOT]:,} images by {run.method} on {run.using}, {run.created_at[:10]}")
    nodes = [node for node in run.nodes.values() if counts.get(node.id)]

    def called(node: Node) -> str:
        return escape(f"{node.id} {node.name}".strip() if node.id != ROOT else node.name or "All images")

    def section(node: Node) -> Iterator[str]:
        """Yield the links to the sheets of a node, and its children."""
        count, files = counted(counts[node.id], "image"), sheets[node.id]
        yield f'<h2 id="{escape(node.id)}">{called(node)} <small>{count}</small></h2>'
        links = [
            f'<a href="sheets/{quote(name)}">contact sheet{"" if len(files) == 1 else f" {number}"}</a>'
            for number, name in enumerate(files, 1)
        ]
        up = [f'<a href="#{escape(node.parent)}">up to {escape(node.parent)}</a>'] if node.parent else []
        yield f"<p>{' · '.join([*links, *up])}</p>"
        children = [item(child) for child in nodes if child.parent == node.id]
        if children:
            yield "<ul>" + "\n".join(children) + "</ul>"

    def item(node: Node) -> str:
        face = faces.get(node.id)
        shown = f'<img src="{escape(face)}" alt="">' if face else '<span class="none"></span>'
        name = f'<a href="#{escape(node.id)}">{called(node)}</a>' if node.id in sheets else called(node)
        below = f", {len(node.children)} children" if node.children else ""
        count = counted(counts[node.id], "image")
        return f"<li>{shown}<div>{name}<small>{count}{below}</small></div></li>"

    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8">{_MARK}',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1><p>{about}</p>",
            '<a class="map" href="treemap.svg">'
            '<img src="treemap.svg" alt="Treemap of the nodes by their number of images"></a>',
            *(line for node in nodes if node.id in sheets for line in section(node)),
            "</body></html>",
            "",
        ]
    )
