"""The table of payload fields: what there is of an image besides its vectors, one line a field.

Filters, query strings, OpenAPI, tables that are read and written, edits, colours of maps and the merging of
copies read this table, so a new field is one line here and one in docs/architecture.md. One that is to be
filtered is indexed when ``seen``: categories that are there already get its index with its first value. It
may hold a word, a number or a date; lists and truths need more: a reader in indexer/sources/rows.py, a
condition in filters.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal

from vitrine.services.values.dates import to_utc
from vitrine.services.values.kinds import MAX_TEXT, cast, number
from vitrine.services.values.words import composed

if TYPE_CHECKING:  # the domain's types bring numpy, for which a command line's options need not wait
    from vitrine.services.domain import IndexKind


@dataclass(frozen=True)
class Field:
    """One field of the payload, or a family of fields by name: ``scores.*``.

    ``holds``: the kind of its values; with ``many`` it is a list of them, with ``unit`` they are in 0..1.
    ``index``: made with the category (``always``), with the first value (``seen``), or ``never``. ``set_by``:
    ``tables`` are manifests, annotations and uploads, ``edits`` changes of single images, ``people`` both;
    taggers and runs write what they compute, ``indexing`` what it knows of the file. ``merge``: where two
    files of the same bytes, or two copies, say something: the ``first`` value stays, lists are ``united``,
    families are merged by ``key``. ``export``: tables that are written have it. ``colour``: a map can be
    coloured by it. ``help``: what it is.
    """

    name: str
    holds: IndexKind
    index: Literal["always", "seen", "never"]
    set_by: Literal["indexing", "people", "tables", "edits", "taggers", "runs"]
    merge: Literal["first", "united", "key"] | None = None
    many: bool = False
    unit: bool = False
    export: bool = True
    colour: bool = True
    help: str = ""

    @property
    def family(self) -> str:
        """The object whose members the fields are; "" for a single field."""
        return self.name[:-2] if self.name.endswith(".*") else ""

    @property
    def attribute(self) -> str:
        """Its name in Python."""
        return f"{self.name}_" if iskeyword(self.name) else self.name

    @property
    def word(self) -> str:
        """Its name in a query string, which a list has in the singular."""
        return self.name.removesuffix("s") if self.many else self.name

    @property
    def from_tables(self) -> bool:
        """Whether a column of a table says it."""
        return self.set_by in ("people", "tables")


FIELDS = (
    Field("sha256", "keyword", "never", "indexing", colour=False, help="hash of the file's bytes"),
    Field("phash", "keyword", "never", "indexing", colour=False, help="perceptual hash of the picture"),
    Field("object_key", "keyword", "never", "indexing", export=False, colour=False, help="key of the file"),
    Field("source", "keyword", "never", "indexing", help="name of the folder, archive or table"),
    Field("filename", "keyword", "always", "indexing", help="path of the file in its source"),
    Field("urls", "keyword", "seen", "indexing", "united", many=True, colour=False, help="downloaded from"),
    Field("media_type", "keyword", "always", "indexing", help="such as image/jpeg"),
    Field("width", "integer", "always", "indexing", help="in pixels"),
    Field("height", "integer", "always", "indexing", help="in pixels"),
    Field("bytes", "integer", "always", "indexing", help="size of the file"),
    Field("colour", "keyword", "never", "indexing", export=False, colour=False, help="dominant: #b04a2f"),
    Field("blur", "keyword", "never", "indexing", export=False, colour=False, help="20 bytes in base64"),
    Field("created_at", "datetime", "always", "tables", help="date of the file, or what a table says"),
    Field("indexed_at", "datetime", "always", "indexing", help="moment of indexing"),
    Field("class", "keyword", "always", "people", "first", help="the one ground-truth class"),
    Field("caption", "keyword", "never", "people", "first", help="a text"),
    Field("tags", "keyword", "always", "people", "united", many=True, help="what people said it shows"),
    Field("machine_tags", "keyword", "seen", "taggers", many=True, help="what taggers propose"),
    Field("rejected_tags", "keyword", "seen", "edits", "united", many=True, help="what they said it is not"),
    Field("scores.*", "float", "seen", "tables", "key", unit=True, help="by tag: what taggers or tables say"),
    Field("scored_by.*", "keyword", "never", "taggers", help="by tag: the tagger's signature, or `manifest`"),
    Field("quality", "float", "always", "people", "first", unit=True, help="how good the picture is"),
    Field("maps.*", "float", "seen", "runs", export=False, help="by key of a map: `x` and `y` in 0..1"),
    Field("clusters.*", "keyword", "seen", "runs", export=False, help="by key of a run: `id`, node `path`"),
    Field("duplicate_group", "keyword", "always", "runs", help="its group of near-duplicates"),
    Field("metadata.*", "keyword", "seen", "people", "key", help="by column: any other column of a table"),
)
"""All of them, in the order in which docs/architecture.md shows them."""

PLAIN = tuple(field for field in FIELDS if not field.family)
SAID: Mapping[str, Field] = {field.name: field for field in PLAIN if field.merge == "first"}
"""The single values that people give an image: class, caption, quality."""
INTERNAL = frozenset(field.family or field.name for field in FIELDS if not field.export)
"""Fields that no table says or is given: keys of files, of runs and of maps, and previews of pictures."""
STANDARD_INDEXES: Mapping[str, IndexKind] = {
    field.name: field.holds for field in PLAIN if field.index == "always"
}
QUALITY = "quality"
"""The payload field, and the tagger whose head fills it instead of a score."""
FROM_TABLE = "manifest"
"""What ``scored_by`` says of a score that a table gave."""


def read_value(field: Field, value: Any) -> Any:
    """Return a value that people give as the field holds it; None for an empty text. ``ValueError`` with a
    sentence without its end.

    >>> read_value(SAID["class"], " mug "), read_value(SAID["quality"], "0.5")
    ('mug', 0.5)
    """
    if field.unit:
        return read_unit(field.name, value)
    if field.holds == "keyword":
        if isinstance(value, dict | list):
            raise ValueError(f"{field.name} is text")
        text = str(value).strip()
        if len(text) > MAX_TEXT:
            raise ValueError(f"{field.name} has more than {MAX_TEXT:,} characters")
        return composed(text) or None
    if field.holds == "datetime":
        try:
            return to_utc(value)
        except ValueError as error:
            raise ValueError(f"{field.name} {error}") from None
    return cast(field.name, value, field.holds)


def read_unit(name: str, value: Any) -> float:
    """Return a number in 0..1; ``ValueError`` with a sentence without its end."""
    try:
        found = float(number(value))
    except ValueError:
        found = -1.0
    if not 0.0 <= found <= 1.0:
        raise ValueError(f"{name} is a number in 0..1, not {str(value)[:40]!r}")
    return found
