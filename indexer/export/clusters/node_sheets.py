"""Contact sheets of a cluster run, one for each node with children: a row for each child, and a page that
leads to them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from vitrine.indexer.export.clusters.node_page import begin, index_page
from vitrine.indexer.export.clusters.node_pictures import members, node_counts
from vitrine.indexer.export.clusters.options import LEVELS, MOST_PER_NODE, PER_NODE
from vitrine.indexer.export.clusters.treemap_files import write_treemap
from vitrine.indexer.export.clusters.treemap_marks import INK, fit, font
from vitrine.indexer.job.job import Advance, Report
from vitrine.indexer.job.thumbnails import Wanted, small_pictures
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
from vitrine.services.category.filters import Conditions
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable, writing
from vitrine.services.runtime import Runtime
from vitrine.services.search.cluster_nodes import NodeDetail
from vitrine.services.values.words import counted

MOST_ROWS = 30
"""Children on the sheet of one node: more make a page too large to look at."""
_TILE, _GAP, _ACROSS, _MARGIN = 112, 8, 12, 28
_HEADING, _TITLE, _BETWEEN = 34, 56, 18
_MOST_HEIGHT = 20_000
"""Pixels of a sheet; the rest of the children goes on another."""
_FAINT = (113, 113, 122)
_MOUNT = (238, 238, 240)


@dataclass
class SheetsReport(Report):
    """``sheets``: files of the sheets. ``nodes``: rows on them. ``pictures``: images drawn; ``missing``:
    those whose file is gone or does not decode."""

    category: str
    run: str
    target: str
    index: str = ""
    treemap: str = ""
    sheets: list[str] = field(default_factory=list)
    nodes: int = 0
    pictures: int = 0
    missing: int = 0

    def summary(self) -> str:
        lost = f"\n{self.missing} pictures could not be read." if self.missing else ""
        drawn = f"{len(self.sheets)} sheets of {self.nodes} nodes with {self.pictures} pictures"
        return f"{drawn}. Begin at {self.index}{lost}"


@dataclass(frozen=True)
class _Row:
    node: Node
    count: int
    images: Sequence[str]

    @property
    def height(self) -> int:
        return _HEADING + max(1, ceil(len(self.images) / _ACROSS)) * (_TILE + _GAP) - _GAP + _BETWEEN


@dataclass(frozen=True)
class _Sheet:
    """One file: some or all children of a node."""

    node: Node
    count: int
    name: str
    title: str
    rows: Sequence[_Row]


def write_sheets(
    runtime: Runtime,
    category: str,
    run: ClusterRun,
    folder: Path,
    *,
    levels: int = LEVELS,
    per_node: int = PER_NODE,
    conditions: Conditions | None = None,
    tell: Advance | None = None,
) -> SheetsReport:
    """Write ``sheets/<node>.png`` for each node with children above level ``levels``, ``treemap.svg`` and
    ``index.html``.

    A row shows at most ``per_node`` images of a child that meet the conditions: its representatives, then
    others. Files of an earlier export are replaced. ``tell(done, of)`` counts pictures. ``BadRequest`` for
    numbers out of range, no images, or a folder that cannot be written or has files of these names that are
    somebody else's.
    """
    if not 1 <= per_node <= MOST_PER_NODE or levels < 1:
        raise BadRequest(f"Sheets take 1 to {MOST_PER_NODE} images a node and at least one level.")
    chosen = conditions or Conditions()
    counts = node_counts(runtime, category, run, chosen, levels)
    begin(folder)
    treemap = write_treemap(runtime, category, run, folder / "treemap.svg", levels=levels, conditions=chosen)
    report = SheetsReport(category, run.run, str(folder), str(folder / "index.html"), treemap.target)

    def row(node: Node) -> _Row:
        count = counts[node.id]
        return _Row(
            node, count, members(runtime, category, run, node, chosen, min(per_node, count), more=True)
        )

    sheets = [sheet for sheet in _sheets(category, run, counts, levels, row) if sheet.rows]
    wanted = [
        Wanted(image, _TILE, _TILE, whole=True)
        for sheet in sheets
        for one in sheet.rows
        for image in one.images
    ]
    pictures = small_pictures(
        runtime, category, wanted, tell=(lambda done: tell(done, len(wanted))) if tell else None
    )
    faces: dict[str, str] = {}
    try:
        make_folder(folder / "sheets")
        for sheet in sheets:
            path = folder / "sheets" / sheet.name
            _draw(sheet, pictures, report, faces).save(path)
            report.sheets.append(str(path))
            report.nodes += len(sheet.rows)
        names: dict[str, list[str]] = {}
        for sheet in sheets:
            names.setdefault(sheet.node.id, []).append(sheet.name)
        page = index_page(category, run, counts, faces, names)
        (folder / "index.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error
    return report


def write_node_sheet(runtime: Runtime, category: str, found: NodeDetail, path: Path) -> None:
    """Write one contact sheet: a row of representatives for each child of a node, the largest MOST_ROWS of
    them; for a leaf its own. ``BadRequest`` if the file cannot be written."""
    views = sorted(found.children, key=lambda view: -view.count)[:MOST_ROWS] or [found.view]
    views.sort(key=lambda view: list(found.run.nodes).index(view.node.id))
    rows = [_Row(view.node, view.count, view.node.representatives) for view in views]
    node = found.view.node
    sheet = _Sheet(node, found.view.count, "", f"{category}: {found.run.run} {node.id}", rows)
    wanted = [Wanted(image, _TILE, _TILE, whole=True) for row in rows for image in row.images]
    report = SheetsReport(category, found.run.run, str(path))
    page = _draw(sheet, small_pictures(runtime, category, wanted), report, {})
    with writing(path):
        page.save(path)


def _sheets(
    category: str, run: ClusterRun, counts: dict[str, int], levels: int, row: Callable[[Node], _Row]
) -> Iterator[_Sheet]:
    """Yield the sheets, largest node first within a parent, as the nodes are numbered; a leaf at the top is a
    row of its own."""
    for node in run.nodes.values():
        if node.depth >= levels or not counts.get(node.id) or (not node.children and node.id != ROOT):
            continue
        rows = [row(run.nodes[child]) for child in node.children if counts.get(child)] or [row(node)]
        parts = list(_parts(rows))
        for number, part in enumerate(parts, 1):
            name = f"{node.id}.png" if number == 1 else f"{node.id}-page-{number}.png"
            title = " ".join(word for word in (f"{category}: {run.run}  {node.id}", node.name) if word)
            pages = f"  (page {number} of {len(parts)})" if len(parts) > 1 else ""
            yield _Sheet(
                node, counts[node.id], name, f"{title}  {counted(counts[node.id], 'image')}{pages}", part
            )


def _parts(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    part: list[_Row] = []
    height = 0
    for row in rows:
        if part and height + row.height > _MOST_HEIGHT:
            yield part
            part, height = [], 0
        part.append(row)
        height += row.height
    yield part


def _draw(
    sheet: _Sheet, pictures: Iterator[Image.Image | None], report: SheetsReport, faces: dict[str, str]
) -> Image.Image:
    """Draw a sheet; ``faces`` gets the first picture of each node."""
    across = min(_ACROSS, max(6, *(len(row.images) for row in sheet.rows)))
    width = 2 * _MARGIN + across * (_TILE + _GAP) - _GAP
    page = Image.new("RGB", (width, _TITLE + _MARGIN + sum(row.height for row in sheet.rows)), "white")
    pen = ImageDraw.Draw(page)
    pen.text((_MARGIN, _TITLE / 2 + 4), fit(sheet.title, 20, width - 2 * _MARGIN), INK, font(20), anchor="lm")
    top = _TITLE
    for row in sheet.rows:
        _draw_heading(pen, row, top, width)
        for number in range(len(row.images)):
            down, along = divmod(number, _ACROSS)
            corner = _MARGIN + along * (_TILE + _GAP), top + _HEADING + down * (_TILE + _GAP)
            picture = next(pictures)
            pen.rectangle((*corner, corner[0] + _TILE - 1, corner[1] + _TILE - 1), fill=_MOUNT)
            if picture is None:
                report.missing += 1
                continue
            report.pictures += 1
            page.paste(
                picture, (corner[0] + (_TILE - picture.width) // 2, corner[1] + (_TILE - picture.height) // 2)
            )
            if row.node.id not in faces:
                faces[row.node.id] = _data_url(picture)
        top += row.height
    return page


def _draw_heading(pen: ImageDraw.ImageDraw, row: _Row, top: int, width: int) -> None:
    middle, left = top + _HEADING / 2, float(_MARGIN)
    id = f"{row.node.id}  "
    pen.text((left, middle), id, INK, font(16), anchor="lm")
    left += font(16).getlength(id)
    name = fit(row.node.name, 16, width - left - 3 * _MARGIN)
    pen.text((left, middle), name, INK, font(16), anchor="lm")
    left += font(16).getlength(f"{name}  ") if name else 0
    pen.text(
        (left, middle), fit(counted(row.count, "image"), 13, width - left), _FAINT, font(13), anchor="lm"
    )


def _data_url(picture: Image.Image) -> str:
    buffer = BytesIO()
    ImageOps.fit(picture, (64, 64), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode('ascii')}"
