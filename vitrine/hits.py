"""What a search or a listing gives: hits, to be looked at, to go on from, and to be taken elsewhere."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from vitrine.indexer.export.sheets import example_tiles, picture_of, save_sheet
from vitrine.services.domain import Hit as Found
from vitrine.services.errors import BadRequest
from vitrine.services.search.options import SearchOptions
from vitrine.services.values.field_paths import flat
from vitrine.services.values.words import counted

if TYPE_CHECKING:
    import pandas
    from PIL import Image

    from vitrine.category import Category

SHOWN_PICTURES, SHOWN_WIDTH, SHOWN_ROWS = 24, 128, 20
"""How much of many hits a notebook and a terminal show: pictures, their pixels, and lines."""


@dataclass(frozen=True, eq=False, repr=False)
class Hit(Found):
    """One image of a category. ``payload`` is all that is known of it: docs/architecture.md lists the fields.

    ``similarity`` is the cosine similarity in -1..1, higher is closer; None where nothing was compared.
    ``vectors`` by name, where they were asked for.
    """

    category: Category = field(kw_only=True)

    @property
    def filename(self) -> str:
        return str(self.payload.get("filename", ""))

    @property
    def class_(self) -> str | None:
        return self.payload.get("class")

    @property
    def caption(self) -> str | None:
        return self.payload.get("caption")

    @property
    def tags(self) -> list[str]:
        """What people said that it is."""
        return list(self.payload.get("tags", ()))

    @property
    def machine_tags(self) -> list[str]:
        """What taggers propose."""
        return list(self.payload.get("machine_tags", ()))

    @property
    def scores(self) -> dict[str, float]:
        """What taggers say, by tag, in 0..1."""
        return dict(self.payload.get("scores", {}))

    @property
    def quality(self) -> float | None:
        """In 0..1."""
        return self.payload.get("quality")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the original in pixels."""
        return int(self.payload["width"]), int(self.payload["height"])

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self.payload.get("metadata", {}))

    def picture(self) -> Image.Image:
        """Return the whole picture, upright RGB."""
        return self.category.picture(self.id)

    def _repr_html_(self) -> str:
        return _figure(self)

    def __repr__(self) -> str:
        similarity = "" if self.similarity is None else f", similarity {self.similarity:.4f}"
        return f"<vitrine.Hit {self.filename or self.id}{similarity}>"


Ids: TypeAlias = str | Hit | Iterable[str | Hit]
"""Images of a category, by their ids or as hits: one or several."""


def ids_of(images: Ids) -> list[str]:
    """Return the ids of one or several images."""
    given = [images] if isinstance(images, str | Hit) else images
    return [one.id if isinstance(one, Hit) else one for one in given]


class Hits(Sequence[Hit]):
    """Hits in order. In a notebook they show their pictures, in a terminal a table.

    ``title`` says what was asked. ``cursor`` asks ``images`` for the next page of a listing; None: there is
    none. ``similar``: with ``collapse``, how many near-duplicates of a hit were left out, by its id.
    ``encode_ms`` and ``search_ms``: milliseconds that encoding the question and the search took.
    """

    def __init__(
        self,
        category: Category,
        found: Sequence[Found],
        options: SearchOptions,
        *,
        title: str = "",
        asked_with: Sequence[str | bytes] = (),
        cursor: str | None = None,
        similar: Mapping[str, int] | None = None,
        encode_ms: float = 0.0,
        search_ms: float = 0.0,
    ) -> None:
        self._category, self._options, self._asked_with = category, options, asked_with
        self._hits = [
            Hit(hit.id, hit.similarity, hit.payload_json, hit.vectors, category=category) for hit in found
        ]
        self.title, self.cursor, self.similar = title, cursor, similar or {}
        self.encode_ms, self.search_ms = encode_ms, search_ms

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return [hit.id for hit in self._hits]

    def similar_to(self, hit: Hit | str) -> Hits:
        """Search again, by the image of a hit, under the same conditions and with the same limit."""
        return self._category.search_by_id(ids_of(hit)[0], replace(self._options, offset=0))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a flat dictionary a hit: id, similarity, and each field under its dotted name, such as
        ``scores.red``."""
        return [{"id": hit.id, "similarity": hit.similarity, **flat(hit.payload)} for hit in self._hits]

    def to_pandas(self) -> pandas.DataFrame:
        """Return a row a hit, with the columns of ``to_dicts``. ``BadRequest`` where pandas is not
        installed."""
        try:
            frames = import_module("pandas")
        except ImportError as error:
            raise BadRequest(
                "to_pandas() needs pandas, which is not installed: pip install pandas."
            ) from error
        return frames.DataFrame.from_records(self.to_dicts())

    def sheet(self, path: str | os.PathLike[str]) -> Path:
        """Draw the hits as a contact sheet (.png, .jpg or .webp), after the pictures that were searched with.

        Returns the path. Raises ``BadRequest`` for another ending.
        """
        runtime, name = self._category.library.runtime, self._category.name
        tiles = example_tiles(runtime, name, self._asked_with)
        save_sheet(runtime, Path(path), tiles, self._hits, title=self.title)
        return Path(path)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, int):
            return self._hits[index]
        some = Hits(self._category, [], self._options, title=self.title, asked_with=self._asked_with)
        some._hits = self._hits[index]
        return some

    def __len__(self) -> int:
        return len(self._hits)

    def __repr__(self) -> str:
        return "\n".join([*_table(self._hits[:SHOWN_ROWS]), f"{counted(len(self), 'image')}: {self.title}"])

    def _repr_html_(self) -> str:
        shown = self._hits[:SHOWN_PICTURES]
        more = f" ({len(shown)} shown)" if len(shown) < len(self) else ""
        figures = "".join(map(_figure, shown))
        return (
            f"<div>{counted(len(self), 'image')}: {html.escape(self.title + more)}</div>"
            f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
        )


def _figure(hit: Hit) -> str:
    """Return the picture as HTML, small, embedded in the page."""
    data = picture_of(hit.category.library.runtime, hit, SHOWN_WIDTH)
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else ""
    similarity = "" if hit.similarity is None else f"{hit.similarity:.3f} "
    caption = html.escape(f"{similarity}{hit.class_ or hit.filename}")
    size = f"max-width:{SHOWN_WIDTH}px;max-height:{SHOWN_WIDTH}px"
    image = f'<img src="{source}" alt="{html.escape(hit.filename)}" style="{size}">'
    return (
        f'<figure style="margin:0;width:{SHOWN_WIDTH}px">{image}<figcaption>{caption}</figcaption></figure>'
    )


def _table(hits: Sequence[Hit]) -> list[str]:
    """Return the hits as aligned lines under a heading."""
    rows = [["#", "similarity", "id", "class", "tags", "filename"]]
    for number, hit in enumerate(hits, 1):
        similarity = "" if hit.similarity is None else f"{hit.similarity:.4f}"
        rows.append([str(number), similarity, hit.id, hit.class_ or "", ", ".join(hit.tags), hit.filename])
    cells = [[cell if len(cell) <= 40 else f"{cell[:39]}…" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    columns = [number for number, width in enumerate(widths) if any(row[number] for row in cells[1:])]
    return ["  ".join(row[column].ljust(widths[column]) for column in columns).rstrip() for row in cells]
