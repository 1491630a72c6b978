"""Maps: the images of a category laid out on a plane.

A map has a name, such as ``umap``, and is stored on the images under a key, such as ``umap-1``:
``maps.umap-1`` = {x, y}. The next map of that name gets another key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vitrine.services.artifacts.store import Arrays, ArtifactStore, now
from vitrine.services.filters.conditions import Range
from vitrine.services.object_store.keys import MAPS
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    from vitrine.services.category.filters import Conditions

AXES = ("x", "y")


@dataclass(frozen=True)
class CategoryMap:
    """One map. ``using``: the named vector; its encoder had ``encoder_revision``. ``images``: how many are on
    it.

    ``metrics``: what is known of how true it is. ``created_at`` is RFC 3339 in UTC.
    """

    name: str
    method: str
    using: str
    encoder_revision: str
    images: int
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    created_at: str = ""

    @property
    def payload_field(self) -> str:
        """The payload field of the coordinates: an object {x, y} of numbers in 0..1."""
        return field_path("maps", self.key)

    @property
    def fields(self) -> tuple[str, str]:
        """The indexed payload fields of x and y, which queries filter."""
        return axis_field(self.key, "x"), axis_field(self.key, "y")


class MapStore(ArtifactStore[CategoryMap]):
    """The maps of all categories."""

    prefix, noun, detail, remake = MAPS, "map", "map", "make its maps again"

    def _name(self, artifact: CategoryMap) -> str:
        return artifact.name

    def _keyed(self, artifact: CategoryMap, key: str) -> CategoryMap:
        return replace(artifact, key=key, created_at=now())

    def _encode(self, artifact: CategoryMap) -> tuple[dict[str, Any], Arrays]:
        return asdict(artifact), {}

    def _decode(self, tree: dict[str, Any], arrays: Arrays) -> CategoryMap:
        return CategoryMap(**tree)

    def resolve(self, category: str, conditions: Conditions) -> Conditions:
        """Return the conditions with keys in service in place of the names of maps. ``NotFound`` for an
        unknown map."""
        if not conditions.maps:
            return conditions
        keys = {self.key_of(category, name): box for name, box in conditions.maps.items()}
        return conditions.model_copy(update={"maps": keys})


def axis_field(key: str, axis: str) -> str:
    """Return the payload field of one coordinate under a key.

    >>> axis_field("umap-1", "x")
    'maps.umap-1.x'
    """
    return field_path("maps", key, axis)


def on_map(key: str) -> Range:
    """Return the condition for images that have coordinates under a key; all coordinates are in 0..1."""
    return Range(axis_field(key, "x"), gte=0.0)
