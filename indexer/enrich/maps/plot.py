"""Draw a map: points coloured by a field, and small pictures among them. matplotlib is loaded when something
is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.indexer.enrich.maps.coordinates import Places
from vitrine.indexer.enrich.maps.palette import COLOURS, NOTHING, SCALE, Colouring, Entry, colouring
from vitrine.indexer.enrich.maps.points import read_points
from vitrine.indexer.enrich.maps.spread import spread
from vitrine.indexer.enrich.maps.values import Value, value_reader
from vitrine.indexer.job.thumbnails import Wanted, small_pictures
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.category.filters import Conditions
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.extras import load_extra
from vitrine.services.files import PLOTS, check_ending, writing
from vitrine.services.images.contact_sheet import one_line
from vitrine.services.runtime import Runtime
from vitrine.services.search.counts import CLUSTER_FIELD
from vitrine.services.values.words import as_label

MAX_THUMBNAILS = 500
_PIXELS = 160
_WIDTH, _DPI = 10.5, 150
"""Inches of the map's larger side; pixels an inch."""
_MARGIN = 0.02
_VECTORS_BELOW = 10_000
"""More points than these are pixels in an SVG too: browsers cannot draw a hundred thousand circles."""
_EDGE = 0.08
"""Inches between the legend and the page's edge, at least."""
_INK, _FAINT, _CONTEXT = "#18181b", "#71717a", "#e2e2e6"
_NAMED = 0.01
"""A name is written on the map where at least this share of the images has it."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """What was drawn on a plot. ``others``: images that do not meet the conditions, drawn as faint points
    behind the rest.

    ``unread``: pictures that are gone or damaged, and so were not drawn.
    """

    path: Path
    images: int
    others: int
    colours: Colouring
    thumbnails: int
    asked: int = 0
    unread: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what is drawn as a JSON object, with the legend."""
        return {
            "file": str(self.path),
            "images": self.images,
            "others": self.others,
            "thumbnails": self.thumbnails,
            "thumbnails_asked": self.asked,
            "note": self.shortfall,
            "kind": self.colours.kind,
            "legend": [vars(entry) for entry in self.colours.entries],
        }

    def summary(self) -> str:
        """Return a line or two for people."""
        grey = f", {self.others} others in grey" if self.others else ""
        return f"{self.images} images drawn to {self.path}{grey}.\n{self.shortfall}".rstrip()

    @property
    def shortfall(self) -> str:
        """Why fewer pictures are drawn than were asked for; "" if all are."""
        if self.thumbnails >= self.asked:
            return ""
        if self.asked > self.images:
            most = f"there are only {self.images} images"
        else:
            most = f"no more than {self.thumbnails + self.unread} fit without lying on each other"
        gone = f", and the files of {self.unread} cannot be read" if self.unread else ""
        return f"{self.thumbnails} of {self.asked} pictures are drawn: {most}{gone}."


def draw_map(
    runtime: Runtime,
    category: str,
    name: str,
    path: Path,
    *,
    by: str | None = None,
    depth: int = 1,
    thumbnails: int = 0,
    conditions: Conditions | None = None,
    where: str = "",
) -> Drawing:
    """Draw a map to a .png or .svg file, its points coloured ``by`` a field (see ``value_reader``).

    ``thumbnails``: the number of pictures at spread-out points, 500 at most. ``conditions``: only the images
    that meet them, in front of the others in faint grey; ``where``: these conditions in words, for the title.
    ``NotFound`` (category, map), ``UnknownField``, ``BadRequest`` (file, number, nothing on the map,
    matplotlib not installed).
    """
    check_ending(path, "a plot", PLOTS)
    if not 0 <= thumbnails <= MAX_THUMBNAILS:
        raise BadRequest(f"A map takes 0 to {MAX_THUMBNAILS} pictures, not {thumbnails}.")
    cat = runtime.catalog.get(category)
    shown = runtime.maps.get(category, name)
    reader = value_reader(runtime, category, by, depth=depth) if by else None
    ids, places, values = _gather(runtime, category, shown, reader, conditions or Conditions())
    if not ids:
        raise BadRequest(
            f"No image of category {category!r} is on the map {name!r} under these conditions.", map=name
        )
    if by and all(value is None for value in values):
        raise UnknownField(f"No image on the map has the field {by!r}.", field=by)
    dates = by is not None and cat.indexes.get(by) == "datetime"
    colours = colouring(values, dates=dates, labels=reader.labels if reader else None)
    others = _others(runtime, category, shown, ids) if conditions not in (None, Conditions()) else places[:0]
    figure, axes = _figure(shown, category, places, others, colours, by, depth, where)
    _draw_context(axes, others)
    dots = _draw_points(axes, places, colours, drawn_over=bool(thumbnails))
    drawn, tried = (
        _draw_thumbnails(runtime, category, axes, ids, places, others, colours, thumbnails)
        if thumbnails
        else (0, 0)
    )
    if by:
        if colours.kind == "words":
            _write_legend(figure, axes, places, colours, by, named=not thumbnails)
        else:
            _write_scale(figure, axes, dots, colours, by)
    with writing(path):
        figure.savefig(path, dpi=_DPI)
    return Drawing(path, len(ids), len(others), colours, drawn, thumbnails, tried - drawn)


def _gather(
    runtime: Runtime, category: str, shown: CategoryMap, reader: Any, conditions: Conditions
) -> tuple[list[str], Places, list[Value]]:
    ids, parts, values = list[str](), list[Places](), list[Value]()
    interned: dict[Value, Value] = {}  # a hundred thousand images share some values
    cursor: str | None = None
    while True:
        page = read_points(runtime, category, shown, reader, conditions=conditions, cursor=cursor)
        ids += page.ids
        parts.append(np.array([page.x, page.y], np.float32).T)
        values += [interned.setdefault(value, value) for value in page.values]
        cursor = page.cursor
        if cursor is None:
            return ids, np.concatenate(parts), values or [None] * len(ids)


def _others(runtime: Runtime, category: str, shown: CategoryMap, ids: Sequence[str]) -> Places:
    """Return where the other images are."""
    chosen = set(ids)
    everybody, places, _ = _gather(runtime, category, shown, None, Conditions())
    rest: Places = places[np.array([id not in chosen for id in everybody], bool)]
    return rest


def _draw_context(axes: Any, others: Places) -> None:
    if len(others):
        size = float(np.clip(20_000 / len(others), 1.5, 24.0))
        axes.scatter(
            others[:, 0],
            others[:, 1],
            c=_CONTEXT,
            s=size,
            linewidths=0,
            rasterized=len(others) > _VECTORS_BELOW,
        )


def _frame(axes: Any, places: Places, beyond: float = 0.0) -> tuple[float, float]:
    """Cut the page to where there are points, and ``beyond``; return its width and height."""
    low, high = places.min(axis=0) - _MARGIN - beyond, places.max(axis=0) + _MARGIN + beyond
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
    across, up = (high - low).tolist()
    return across, up


def _figure(
    shown: CategoryMap,
    category: str,
    places: Places,
    others: Places,
    colours: Colouring,
    by: str | None,
    depth: int,
    where: str,
) -> tuple[Any, Any]:
    """Return an empty page, cut to where there are points."""
    figure = load_extra("matplotlib.figure", "cluster").Figure(layout="constrained")
    axes = figure.add_subplot()
    across, up = _frame(axes, np.concatenate([places, others]))
    scale = _WIDTH / max(across, up)
    figure.set_size_inches(max(4.0, across * scale) + _beside(colours, by), max(3.0, up * scale) + 0.8)
    level = f" at depth {depth}" if by and by.startswith(CLUSTER_FIELD) and depth > 1 else ""
    what = f", coloured by {_short(by, 60)}{level}" if by else ""
    axes.set_title(f"{category}: {shown.name}", fontsize=15, loc="left", color=_INK, pad=26)
    count = (
        f"{len(places):,} of {len(places) + len(others):,}" if len(others) or where else f"{len(places):,}"
    )
    those = f" where {_short(where, 60)}" if where else ""
    subtitle = f"{count} images{those} by {shown.method} of {shown.using}{what}"
    axes.annotate(subtitle, (0, 1), (0, 9), "axes fraction", "offset points", fontsize=10, color=_FAINT)
    axes.spines[:].set_color("#e4e4e7")
    return figure, axes


def _beside(colours: Colouring, by: str | None) -> float:
    """Return the inches that the legend or the colour bar takes."""
    if by is None:
        return 0.0
    if colours.kind != "words":
        return 1.6
    return 0.8 + 0.1 * max(len(by), *(len(_line(entry)) for entry in colours.entries))


def _line(entry: Entry) -> str:
    return f"{_short(entry.label)}  {entry.count:,}"


def _draw_points(axes: Any, places: Places, colours: Colouring, drawn_over: bool) -> Any:
    """Draw the points. Those without a value lie below; the others are in random order, so that no class
    hides another."""
    count = len(places)
    size = float(np.clip(30_000 / count, 2.0, 40.0))
    look = {
        "s": size,
        "linewidths": 0,
        "alpha": 0.35 if drawn_over else 0.8,
        "rasterized": count > _VECTORS_BELOW,
    }
    order = np.random.default_rng(0).permutation(count)
    if colours.kind == "words":
        plain = not colours.entries or all(entry.colour == NOTHING for entry in colours.entries)
        palette = np.array(
            [COLOURS[6] if plain else entry.colour for entry in colours.entries] or [COLOURS[6]]
        )
        chosen = palette[colours.number] if len(colours.entries) else np.full(count, COLOURS[6])
        order = order[np.argsort(chosen[order] != NOTHING, kind="stable")]
        return axes.scatter(places[order, 0], places[order, 1], c=chosen[order], **look)
    with_value = colours.number[order] == 0
    rest, valued = order[~with_value], order[with_value]
    axes.scatter(places[rest, 0], places[rest, 1], c=NOTHING, **look)
    low, high = np.nanpercentile(
        colours.scale, (1, 99)
    )  # a few far out would leave one colour for all others
    return axes.scatter(
        places[valued, 0],
        places[valued, 1],
        c=colours.scale[valued],
        cmap=SCALE,
        vmin=low,
        vmax=high if high > low else None,
        **look,
    )


def _write_scale(figure: Any, axes: Any, dots: Any, colours: Colouring, by: str) -> None:
    """Draw the colour bar."""
    scale = load_extra("matplotlib.cm", "cluster").ScalarMappable(norm=dots.norm, cmap=dots.cmap)
    below, above = np.nanmin(colours.scale) < dots.norm.vmin, np.nanmax(colours.scale) > dots.norm.vmax
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (bool(below), bool(above)), "neither"
    )
    bar = figure.colorbar(scale, ax=axes, shrink=0.6, pad=0.02, extend=extend)
    bar.set_label(_short(by), color=_INK)
    bar.outline.set_visible(False)
    if colours.kind == "dates":
        dates = load_extra("matplotlib.dates", "cluster")
        locator = dates.AutoDateLocator()
        bar.ax.yaxis.set_major_locator(locator)
        bar.ax.yaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    if colours.entries[1].count:
        said = f"{colours.entries[1].count:,} without a value, in grey"
        axes.annotate(
            said, (1, 0), (-6, 6), "axes fraction", "offset points", ha="right", fontsize=9, color=_FAINT
        )


def _write_legend(figure: Any, axes: Any, places: Places, colours: Colouring, by: str, named: bool) -> None:
    """Draw what each colour means, and on the map the names of the larger groups."""
    lines = load_extra("matplotlib.lines", "cluster")
    handles = [
        lines.Line2D([], [], marker="o", linestyle="", markersize=8, markeredgewidth=0, color=entry.colour,
                     label=_line(entry))
        for entry in colours.entries
    ]  # fmt: skip
    legend = axes.legend(
        handles=handles,
        title=_short(by),
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=10,
        title_fontsize=10,
        alignment="left",
        labelcolor=_INK,
    )
    _make_room(figure, legend)
    if named:
        _write_names(axes, places, colours)


def _make_room(figure: Any, legend: Any) -> None:
    """Widen the page until the legend is on it: the width of letters is known once they are set."""
    for _ in range(4):
        figure.draw_without_rendering()
        over = (legend.get_window_extent().x1 - figure.bbox.x1) / figure.dpi + _EDGE
        if over <= 0:
            return
        figure.set_figwidth(figure.get_figwidth() + over)


def _write_names(axes: Any, places: Places, colours: Colouring) -> None:
    """Write the name of each colour where its images lie densest, unless another name is there already."""
    effects = load_extra("matplotlib.patheffects", "cluster")
    halo = [effects.withStroke(linewidth=3, foreground="white", alpha=0.9)]
    taken: list[tuple[float, float]] = []
    coloured = [number for number, entry in enumerate(colours.entries) if entry.colour in COLOURS]
    for number in sorted(coloured, key=lambda one: -colours.entries[one].count):
        entry = colours.entries[number]
        if entry.count < _NAMED * len(places):
            continue
        x, y = _densest(places[colours.number == number])
        if any(abs(x - other) < 0.1 and abs(y - another) < 0.03 for other, another in taken):
            continue
        taken.append((x, y))
        axes.text(
            x,
            y,
            _short(entry.label, 24),
            ha="center",
            va="center",
            fontsize=10,
            color=_INK,
            path_effects=halo,
        )


def _densest(places: Places, bins: int = 12) -> tuple[float, float]:
    """Return the place of the image in the middle of those in and around the fullest cell of a grid."""
    counts, columns, rows = np.histogram2d(places[:, 0], places[:, 1], bins=bins, range=((0, 1), (0, 1)))
    padded = np.pad(counts, 1)
    smooth = sum(padded[c : c + bins, r : r + bins] for c in range(3) for r in range(3))
    column, row = np.unravel_index(int(np.argmax(smooth + counts)), counts.shape)
    middle = np.array([(columns[column] + columns[column + 1]) / 2, (rows[row] + rows[row + 1]) / 2])
    near = places[(np.abs(places - middle) <= 1.5 / bins).all(axis=1)]
    x, y = near[np.abs(near - np.median(near, axis=0)).sum(axis=1).argmin()].tolist()
    return x, y


def _draw_thumbnails(
    runtime: Runtime,
    category: str,
    axes: Any,
    ids: Sequence[str],
    places: Places,
    others: Places,
    colours: Colouring,
    most: int,
) -> tuple[int, int]:
    """Draw pictures, each in a frame of its colour; return how many could be read, of how many."""
    chosen, side = spread(places, most)
    drawn = 0
    wanted = [Wanted(ids[position], _PIXELS, _PIXELS, whole=True) for position in chosen]
    for position, picture in zip(chosen.tolist(), small_pictures(runtime, category, wanted), strict=True):
        if picture is None:
            continue
        x, y = places[position].tolist()
        across, high = (side * 0.92 * share / max(picture.size) for share in picture.size)
        box = (x - across / 2, x + across / 2, y - high / 2, y + high / 2)
        axes.imshow(np.asarray(picture), extent=box, zorder=3, interpolation="antialiased", aspect="equal")
        frame = load_extra("matplotlib.patches", "cluster").Rectangle
        colour = _colour_of(colours, position)
        axes.add_patch(
            frame((box[0], box[2]), across, high, fill=False, edgecolor=colour, linewidth=1.8, zorder=4)
        )
        drawn += 1
    _frame(axes, np.concatenate([places, others]), side / 2)
    return drawn, len(chosen)


def _colour_of(colours: Colouring, position: int) -> Any:
    if colours.kind == "words":
        return colours.entries[colours.number[position]].colour if colours.entries else "#ffffff"
    value = colours.scale[position]
    if np.isnan(value):
        return NOTHING
    low, high = np.nanpercentile(colours.scale, (1, 99))
    return load_extra("matplotlib", "cluster").colormaps[SCALE](
        float(np.clip((value - low) / ((high - low) or 1.0), 0, 1))
    )


def _short(text: str, most: int = 34) -> str:
    """Shorten a text to one line in which dollar signs do not begin a formula."""
    line = one_line(text)
    cut = line if len(line) <= most else line[: most - 1] + "…"
    return as_label(cut)
