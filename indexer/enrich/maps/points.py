"""Read the points of a map page by page: for a plot, and for pages that draw it themselves."""

from __future__ import annotations

from dataclasses import dataclass

from vitrine.indexer.enrich.maps.values import Value, ValueReader
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.category.filters import Conditions, MapBox, NumberRange
from vitrine.services.runtime import Runtime

NO_CONDITIONS = Conditions()


@dataclass(frozen=True)
class MapPoints:
    """Aligned lists: ids, coordinates in 0..1, and values if some were asked for. ``cursor`` asks for the
    next page."""

    ids: list[str]
    x: list[float]
    y: list[float]
    values: list[Value]
    cursor: str | None


def read_points(
    runtime: Runtime,
    category: str,
    shown: CategoryMap,
    reader: ValueReader | None = None,
    *,
    conditions: Conditions = NO_CONDITIONS,
    limit: int = 2_000,
    cursor: str | None = None,
) -> MapPoints:
    """Return a page of the images that are on a map and meet the conditions, in order of id. Errors as of
    ``Searcher.listing``."""
    if shown.name not in conditions.maps:
        box = MapBox(x=NumberRange(gte=0.0))
        conditions = conditions.model_copy(update={"maps": {**conditions.maps, shown.name: box}})
    fields = (shown.payload_field, *(reader.fields if reader else ()))
    page = runtime.searcher.listing(category, conditions, limit=limit, cursor=cursor, fields=fields)
    hits = [(hit, hit.payload.get("maps", {}).get(shown.key)) for hit in page.hits]
    placed = [(hit, place) for hit, place in hits if place]  # all, unless the map was replaced just now
    return MapPoints(
        [hit.id for hit, _ in placed],
        [place["x"] for _, place in placed],
        [place["y"] for _, place in placed],
        [reader.read(hit.payload) for hit, _ in placed] if reader else [],
        page.cursor,
    )
