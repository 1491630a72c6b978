"""What hits have of their payloads, as people name it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitrine.services.category.field_names import find_field
from vitrine.services.category.fields import FIELDS
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.search.counts import CLUSTER_FIELD
from vitrine.services.values.field_paths import path_keys

if TYPE_CHECKING:
    from vitrine.services.category.manifest import Category
    from vitrine.services.search.searcher import Searcher

MAX_FIELDS = 64
_MAP = "map."
_HIDDEN = ("object_key",)
_NAMES = tuple(name for field in FIELDS if (name := field.family or field.name) not in _HIDDEN)


def returned_paths(searcher: Searcher, cat: Category, names: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of the fields that hits are to have: of ``class``, ``tags``, ``scores`` (all of them),
    ``scores.<tag>``, ``metadata.<column>``, ``cluster.<run>``, ``map.<name>`` ...

    ``UnknownField``, ``NotFound`` (run, map), ``BadRequest`` for more than 64.
    """
    if len(names) > MAX_FIELDS:
        raise BadRequest(f"{len(names)} fields are too many: name up to {MAX_FIELDS}, or none for all.")
    return tuple(dict.fromkeys(_path(searcher, cat, name) for name in names))


def _path(searcher: Searcher, cat: Category, name: str) -> str:
    if name.startswith(CLUSTER_FIELD):
        run = searcher.clusters.get(cat.name, name[len(CLUSTER_FIELD[0]) :])
        return f"clusters.{run.key}"
    if name.startswith(_MAP):
        return searcher.maps.get(cat.name, name[len(_MAP) :]).payload_field
    path = find_field(name, cat.indexes)
    if path_keys(path)[0] not in _NAMES:
        raise UnknownField(
            f"{name[:80]!r} is no field of an image. Fields are: {', '.join(_NAMES)}; of scores and metadata "
            "also one, such as metadata.year.",
            field=name[:80],
        )
    return path
