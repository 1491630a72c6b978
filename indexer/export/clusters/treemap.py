"""Lay out a treemap of a cluster run: nested boxes, each as large as the number of images in its node.

Squarified treemaps after M. Bruls, K. Huizing and J. J. van Wijk, "Squarified Treemaps", Data Visualization
2000, pages 33-42.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import squarify as treemap_layout

from vitrine.services.artifacts.clusters import ROOT, Node

HEADER, SMALL_HEADER = 24.0, 17.0
"""Pixels for the name of a node with children: of the first level, and of those below."""
GAP = 3.0
"""Pixels that the boxes of the first level keep from each other; below it half as much."""


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels, y downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def inset(self, margin: float, top: float = 0.0) -> Rect:
        """Return a smaller one, by ``margin`` on every side and by ``top`` above; never negative."""
        width, height = max(0.0, self.width - 2 * margin), max(0.0, self.height - 2 * margin - top)
        return Rect(
            self.x + min(margin, self.width / 2), self.y + min(margin + top, self.height), width, height
        )


@dataclass(frozen=True)
class Box:
    """Where a node is drawn.

    ``branch``: which child of the root it belongs to, from 0 on. ``header``: pixels for its name above the
    boxes of its children; None if it is drawn whole, without children. ``rect`` is inside ``cell``, its share
    of the parent.
    """

    node: Node
    count: int
    branch: int
    cell: Rect
    rect: Rect
    header: float | None


def squarify(areas: Sequence[float], rect: Rect) -> list[Rect]:
    """Cut ``rect`` into one rectangle for each of ``areas`` (not negative), aligned with them and
    proportional to them. What has no area gets none.

    >>> [(r.x, r.y, r.width, r.height) for r in squarify([6, 3, 3], Rect(0.0, 0.0, 4.0, 3.0))]
    [(0.0, 0.0, 2.0, 3.0), (2.0, 0.0, 2.0, 1.5), (2.0, 1.5, 2.0, 1.5)]
    """
    found = [Rect(rect.x, rect.y, 0.0, 0.0)] * len(areas)
    order = sorted((at for at, area in enumerate(areas) if area > 0), key=lambda at: (-areas[at], at))
    if order and rect.area > 0:
        sizes = treemap_layout.normalize_sizes([areas[at] for at in order], rect.width, rect.height)
        cuts = treemap_layout.squarify(sizes, rect.x, rect.y, rect.width, rect.height)
        for at, cut in zip(order, cuts, strict=True):
            found[at] = Rect(cut["x"], cut["y"], cut["dx"], cut["dy"])
    return found


def lay_out(
    nodes: Mapping[str, Node],
    counts: Mapping[str, int],
    width: float,
    height: float,
    *,
    levels: int = 2,
    top: float = 0.0,
) -> list[Box]:
    """Return boxes of the nodes down to ``levels`` below the root, parents before children; none for a node
    without images.

    ``counts``: images by node id. The cells of siblings are proportional to these within their parent. The
    root fills the picture below ``top`` pixels. A box that is too small for a name above its children has
    none, and one that is too small for children is drawn whole.
    """
    boxes: list[Box] = []
    whole = Rect(0.0, top, width, max(0.0, height - top))
    if counts.get(ROOT, 0) > 0:
        _put(boxes, nodes, counts, ROOT, whole, branch=0, levels=levels)
    return boxes


def _put(
    boxes: list[Box],
    nodes: Mapping[str, Node],
    counts: Mapping[str, int],
    id: str,
    cell: Rect,
    *,
    branch: int,
    levels: int,
) -> None:
    node = nodes[id]
    rect = (
        cell
        if id == ROOT
        else cell.inset(min(GAP / 2 if node.depth == 1 else GAP / 4, min(cell.width, cell.height) / 8))
    )
    children = [child for child in node.children if counts.get(child, 0) > 0]
    header = _header(node, rect) if children and node.depth < levels else None
    boxes.append(Box(node, counts[id], branch, cell, rect, header))
    if header is None:
        return
    body = rect if id == ROOT else rect.inset(1.0, header)
    numbers = {child: number for number, child in enumerate(node.children)}
    for child, part in zip(children, squarify([counts[child] for child in children], body), strict=True):
        _put(
            boxes, nodes, counts, child, part, branch=numbers[child] if id == ROOT else branch, levels=levels
        )


def _header(node: Node, rect: Rect) -> float | None:
    """Return 0 for a box too low for a header; None for one too small to show children."""
    if node.id == ROOT:
        return 0.0
    if min(rect.width, rect.height) < 12:
        return None
    height = HEADER if node.depth == 1 else SMALL_HEADER
    return height if rect.height >= 3 * height and rect.width >= 2 * height else 0.0
