"""Searches that people gave a name: one object a category, which holds all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from vitrine.services.category.catalog import Catalog
from vitrine.services.category.manifest import now
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import SAVED
from vitrine.services.sealed import sealed, unsealed
from vitrine.services.values.words import composed

MAX_SAVED = 1_000
MAX_NAME = 200
MAX_BYTES = 64 << 10
"""Of one search as JSON: a query that holds a picture is larger."""
FORMAT = 1
_ADVICE = "It holds the saved searches alone: without it there are none."


@dataclass(frozen=True)
class SavedSearch:
    """A search under a name. ``query``: the body of the search; ``view``: free text of who saved it, such as
    the address of a page; ``saved_at``: RFC 3339."""

    name: str
    query: Mapping[str, Any]
    view: str
    saved_at: str


class SavedSearches:
    """The saved searches of all categories. Thread-safe; processes that share the store lose none of each
    other's."""

    def __init__(self, catalog: Catalog, objects: ObjectStore) -> None:
        self._catalog, self._objects = catalog, objects

    def all(self, category: str) -> list[SavedSearch]:
        """Return all of a category, by name. ``NotFound`` (category)."""
        self._catalog.get(category)
        try:
            data = self._objects.get(_key(category))
        except NotFound:
            return []
        found = _read(category, data)
        return [found[name] for name in sorted(found)]

    def put(self, category: str, name: str, query: Mapping[str, Any], view: str = "") -> SavedSearch:
        """Save a search under a name, in place of the one that has it. ``BadRequest`` for a name that is
        empty or too long, a search of over 64 KB, or the 1,001st."""
        self._catalog.get(category)
        saved = SavedSearch(_tidy(name), query, view, now())
        if not 1 <= len(saved.name) <= MAX_NAME:
            raise BadRequest(
                f"A saved search has a name of 1 to {MAX_NAME} characters.", name=name[:MAX_NAME]
            )
        if len(orjson.dumps(asdict(saved))) > MAX_BYTES:
            raise BadRequest(
                f"A saved search takes at most {MAX_BYTES >> 10} KB: ask by an image of the category, or by "
                "a picture that was sent before, instead of a picture in the query.",
                name=name,
            )

        def added(present: dict[str, SavedSearch]) -> dict[str, SavedSearch]:
            if len(present) >= MAX_SAVED and saved.name not in present:
                raise BadRequest(f"A category keeps {MAX_SAVED:,} saved searches: delete one first.")
            return {**present, saved.name: saved}

        self._edit(category, added)
        return saved

    def delete(self, category: str, name: str) -> None:
        """Delete a saved search. ``NotFound``."""
        self._catalog.get(category)
        name = _tidy(name)

        def without(present: dict[str, SavedSearch]) -> dict[str, SavedSearch]:
            if name not in present:
                raise NotFound(
                    f"Category {category!r} has no saved search {name[:MAX_NAME]!r}.", category=category
                )
            return {each: saved for each, saved in present.items() if each != name}

        self._edit(category, without)

    def _edit(
        self, category: str, change: Callable[[dict[str, SavedSearch]], dict[str, SavedSearch]]
    ) -> None:
        def changed(data: bytes | None) -> bytes:
            found = change({} if data is None else _read(category, data))
            saved = [asdict(search) for search in found.values()]
            return orjson.dumps(sealed({"format": FORMAT, "saved": saved}))

        edit(self._objects, _key(category), changed)


def _read(category: str, data: bytes) -> dict[str, SavedSearch]:
    with readable(category, _key(category), _ADVICE):
        tree = unsealed(orjson.loads(data), optional=True)
        check_format(
            tree["format"],
            FORMAT,
            f"The saved searches of {category!r}",
            _ADVICE,
            category=category,
            object=_key(category),
        )
        return {saved["name"]: SavedSearch(**saved) for saved in tree["saved"]}


def _tidy(name: str) -> str:
    """Return the name on one line, in one Unicode form."""
    return composed(" ".join(name.split()))


def _key(category: str) -> str:
    return f"{SAVED}{category}/searches.json"
