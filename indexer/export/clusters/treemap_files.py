"""Write a treemap of a cluster run as an SVG or PNG file, with pictures of every node in its box."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from vitrine.indexer.export.clusters.node_pictures import members, node_counts
from vitrine.indexer.export.clusters.options import LEVELS, SIZE, TREEMAPS
from vitrine.indexer.export.clusters.treemap import Box, lay_out
from vitrine.indexer.export.clusters.treemap_marks import (
    TITLE_HEIGHT,
    Area,
    Colour,
    Drawing,
    Picture,
    Text,
    draw,
    font,
)
from vitrine.indexer.job.job import Advance, Report
from vitrine.indexer.job.thumbnails import Wanted, small_pictures
from vitrine.services.artifacts.clusters import ROOT, ClusterRun
from vitrine.services.category.filters import Conditions
from vitrine.services.errors import BadRequest
from vitrine.services.files import check_ending, writing
from vitrine.services.images.contact_sheet import one_line
from vitrine.services.runtime import Runtime

LEAST_SIDE, MOST_SIDE = 200, 8_000
_SHARPER = 1.5
"""Pixels of a picture in an SVG file for each it takes at its own size: screens have more, and it can be
enlarged."""
_QUALITY = 80


@dataclass
class TreemapReport(Report):
    """``boxes``: nodes drawn. ``pictures``: images drawn in them; ``missing``: images whose file is gone or
    does not decode."""

    category: str
    run: str
    target: str
    width: int
    height: int
    images: int
    boxes: int
    pictures: int
    missing: int

    def summary(self) -> str:
        lost = f"\n{self.missing} pictures could not be read." if self.missing else ""
        drawn = f"{self.boxes} nodes of {self.images} images drawn with {self.pictures} pictures"
        return f"{drawn}: {self.target}{lost}"


def write_treemap(
    runtime: Runtime,
    category: str,
    run: ClusterRun,
    path: Path,
    *,
    levels: int = LEVELS,
    size: tuple[int, int] = SIZE,
    conditions: Conditions | None = None,
    tell: Advance | None = None,
) -> TreemapReport:
    """Draw the nodes down to ``levels`` below the root, each as large as the number of its images that meet
    the conditions now.

    An SVG file holds everything it shows and needs nothing else. ``tell(done, of)`` counts pictures.
    ``BadRequest`` for another ending than .svg and .png, a size out of range, a file that cannot be written,
    or no images.
    """
    ending, (width, height) = path.suffix.lower(), size
    check_ending(path, "a treemap", TREEMAPS)
    if not (LEAST_SIDE <= width <= MOST_SIDE and LEAST_SIDE <= height <= MOST_SIDE) or levels < 1:
        raise BadRequest(
            f"A treemap takes {LEAST_SIDE} to {MOST_SIDE} pixels each way and at least one level."
        )
    chosen = conditions or Conditions()
    counts = node_counts(runtime, category, run, chosen, levels)
    if not counts.get(ROOT):
        raise BadRequest(
            f"No image of the run {run.run!r} is left to draw: ask for others, or run the clustering again."
        )
    boxes = lay_out(run.nodes, counts, width, height, levels=levels, top=TITLE_HEIGHT)

    def shown(box: Box, most: int) -> Sequence[str]:
        return members(runtime, category, run, box.node, chosen, min(most, box.count), more=True)

    title = f"{category}: {run.run}, {counts[ROOT]:,} images by {run.method} on {run.using}"
    drawing = draw(boxes, width, height, title, shown)
    sharper = _SHARPER if ending == ".svg" else 1.0
    wanted = [
        Wanted(one.image, round(one.rect.width * sharper), round(one.rect.height * sharper))
        for one in drawing.pictures
    ]
    missing = 0

    def pictures() -> Iterator[Image.Image | None]:
        nonlocal missing
        counted = (lambda done: tell(done, len(wanted))) if tell else None
        for picture in small_pictures(runtime, category, wanted, tell=counted):
            missing += picture is None
            yield picture

    data = svg(drawing, pictures()).encode() if ending == ".svg" else png(drawing, pictures())
    with writing(path):
        path.write_bytes(data)
    drawn = len(wanted) - missing
    return TreemapReport(
        category, run.run, str(path), width, height, counts[ROOT], len(boxes), drawn, missing
    )


def svg(drawing: Drawing, pictures: Iterator[Image.Image | None]) -> str:
    """Return the drawing as SVG 1.1 with its ``pictures`` (in order) inside as JPEG; all text escaped, no
    scripts, no links."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width} {drawing.height}" '
        f'width="{drawing.width}" height="{drawing.height}" '
        'font-family="Verdana, DejaVu Sans, Arial, sans-serif">'
    )
    lines = [head]
    for mark in drawing.marks:
        if isinstance(mark, Area):
            lines.append(_svg_area(mark))
        elif isinstance(mark, Text):
            lines.append(_svg_text(mark))
        elif (picture := next(pictures)) is not None:
            lines.append(_svg_picture(mark, picture))
    return "\n".join([*lines, "</svg>", ""])


def png(drawing: Drawing, pictures: Iterator[Image.Image | None]) -> bytes:
    """Return the drawing as a PNG file."""
    page = Image.new("RGB", (drawing.width, drawing.height), "white")
    pen = ImageDraw.Draw(page)
    for mark in drawing.marks:
        if isinstance(mark, Area):
            rect = mark.rect
            right, bottom = max(rect.x, rect.right - 1), max(rect.y, rect.bottom - 1)
            pen.rectangle((round(rect.x), round(rect.y), round(right), round(bottom)), fill=mark.fill)
        elif isinstance(mark, Text):
            pen.text((mark.x, mark.middle), mark.text, mark.fill, font(mark.size), anchor="lm")
        elif (picture := next(pictures)) is not None:
            page.paste(picture, (round(mark.rect.x), round(mark.rect.y)))
    buffer = BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _svg_area(area: Area) -> str:
    rect = area.rect
    place = (
        f'x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}" height="{rect.height:.1f}" '
        f'fill="{_hex(area.fill)}"'
    )
    return f"<rect {place}><title>{_text(area.note)}</title></rect>" if area.note else f"<rect {place}/>"


def _svg_text(text: Text) -> str:
    """Return a line of text; fonts differ, so ``textLength`` keeps the measured width."""
    length = min(text.width, font(text.size).getlength(text.text))
    return (
        f'<text x="{text.x:.1f}" y="{text.middle + 0.35 * text.size:.1f}" font-size="{text.size}" '
        f'fill="{_hex(text.fill)}" '
        f'textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" xml:space="preserve" '
        'pointer-events="none">'
        f"{_text(text.text)}</text>"
    )


def _svg_picture(mark: Picture, picture: Image.Image) -> str:
    buffer, rect = BytesIO(), mark.rect
    picture.save(buffer, "JPEG", quality=_QUALITY)
    place = f'x="{rect.x:.0f}" y="{rect.y:.0f}" width="{rect.width:.0f}" height="{rect.height:.0f}"'
    data = b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<image {place} preserveAspectRatio="none" pointer-events="none" '
        f'href="data:image/jpeg;base64,{data}"/>'
    )


def _text(text: str) -> str:
    """Escape the text, without the characters that XML cannot hold."""
    return escape(one_line(text))


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
