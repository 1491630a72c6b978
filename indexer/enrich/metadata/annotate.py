"""Joins a table to the images of a category by their names, hashes or ids.

It reads the table into an index on disk, goes once through the category to find which rows name which images,
makes the payload indexes, and writes page by page. A row is applied only where it is clear which image it
names. What is written depends on the row and the image alone, so that the same call completes an interrupted
run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.indexer.enrich.metadata.annotate_report import AnnotateReport
from vitrine.indexer.enrich.metadata.annotate_rows import Rows, join_value, key_columns
from vitrine.indexer.enrich.metadata.options import AnnotateOptions as AnnotateOptions
from vitrine.indexer.enrich.metadata.options import JoinOn
from vitrine.indexer.enrich.metadata.recast import narrower, recast, tighten
from vitrine.indexer.job.job import Advance, Job
from vitrine.indexer.job.payload_writer import PAGE, Change, PayloadWriter
from vitrine.indexer.job.payloads import additions, without_scores
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.sources.columns import ColumnKinds
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.rows import Columns, column_named, split_tags
from vitrine.indexer.sources.tables import Table, open_table
from vitrine.services.category.catalog import Category
from vitrine.services.category.changes.entries import Edits, Record
from vitrine.services.category.fields import FROM_TABLE
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Hit, Payload
from vitrine.services.errors import BadSource
from vitrine.services.runtime import Runtime
from vitrine.services.values.dates import to_utc
from vitrine.services.values.delimited import find_any

SCROLLED = 2_000
"""Images that are compared with the rows at a time."""
MAX_UNDONE = 200_000
"""Images that a table may change and still be undone: what it changed of them takes some 20 MB."""
MAX_FIELDS = 1_000
"""Each score gets an index of its own, which makes every later write slower."""
_IDENTITY: Mapping[JoinOn, tuple[str, ...]] = {
    "name": ("filename",), "stem": ("filename",), "key": ("filename",), "hash": ("sha256",), "id": (),
}  # fmt: skip


def annotate(
    runtime: Runtime,
    category: str,
    table: Path,
    options: AnnotateOptions | None = None,
    *,
    max_rows: int | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> AnnotateReport:
    """Write what a table says to the images that it names.

    Tags are united, without those that people rejected for the image. Metadata columns of the table replace
    columns of the same name; others stay. Class, caption, quality and date only fill gaps, unless
    ``overwrite``. A score replaces one of a manifest, never one of a tagger. Columns mean what they mean in a
    manifest (indexer/sources/rows.py).

    Rows are counted and not applied where they are malformed, where others of the same name say something
    else, and where several images have their name. The report's ``undo`` takes back what was written, up to
    ``MAX_UNDONE`` images, but not the kinds of columns that were asked for. Memory does not grow with the
    table or the category. Ctrl-C and ``stop`` end it after the present page.

    ``NotFound`` (category), ``BadSource`` for a table that cannot be used at all, or has more than
    ``max_rows``.
    """
    options = options or AnnotateOptions()
    cat = runtime.catalog.get(category)
    report = AnnotateReport(category, table.name, options.on, dry_run=options.dry_run)
    job = Job(runtime, category, report, progress, stop)
    with job.running():
        _Annotating(job, cat, options, report).run(table, max_rows)
    return report


@dataclass(eq=False)
class _Annotating:
    job: Job
    category: Category
    options: AnnotateOptions
    report: AnnotateReport

    @property
    def runtime(self) -> Runtime:
        return self.job.runtime

    def run(self, path: Path, max_rows: int | None) -> None:
        """Do all stages. ``InterruptedError`` where ``stop`` is set before the end."""
        with self.job.stage("looking at the table"):
            table, columns = _opened(path, self.options, max_rows)
        if columns.computed:
            shown = ", ".join(columns.computed[:8]) + (" ..." if len(columns.computed) > 8 else "")
            self.report.notes.append(f"Passed over, since Vitrine computes them itself: {shown}.")
        self.report.rows, self.report.column = table.count, columns.key
        self.report.notes += table.notes_but(columns.written)
        kinds = ColumnKinds.of(self.category, columns.indexes, self.options.kinds)
        with closing(Rows(columns, kinds, self.options.on, self.category)) as rows:
            self._join(table, rows, kinds)
        if not self.options.dry_run:
            self._recast(kinds, columns)

    def _join(self, table: Table, rows: Rows, kinds: ColumnKinds) -> None:
        with self.job.stage("reading the table", table.count) as advance:
            rows.read(table, advance)
        total = self.runtime.vectors.count(self.category.name)
        with self.job.stage("matching", total) as advance:
            self._match(rows, total, advance)
        rows.judge(self.report, all_of_a_name=self.options.all_of_a_name)
        if not self.report.images:
            self.report.notes.append(self._why_nothing(rows))
            return
        if len(rows.indexes) > MAX_FIELDS:
            raise BadSource(
                f"{self.report.table} has {len(rows.indexes):,} scores and columns, more than "
                f"{MAX_FIELDS:,}: leave some out."
            )
        if not self.options.dry_run:
            self._index(kinds, rows)
        with self.job.stage("writing", self.report.images) as advance:
            self.job.apart(lambda: self._write(rows, advance))

    def _match(self, rows: Rows, total: int, advance: Advance) -> None:
        """Read the names, hashes or ids of all images, and find the rows that name them."""
        seen, on, vectors = 0, self.options.on, self.runtime.vectors
        for page in pages(vectors, self.category.name, fields=_IDENTITY[on], size=SCROLLED):
            rows.match((key, hit.id) for hit in page if (key := _key(hit, on)))
            seen += len(page)
            advance(seen, total)

    def _write(self, rows: Rows, advance: Advance) -> None:
        writer = PayloadWriter(self.runtime, self.category.name)
        record = self.runtime.editor.record(self.category.name) if self._can_be_undone() else None
        try:
            for page in rows.pages(PAGE):
                self.job.check()
                self._write_page(writer, page, record)
                advance(self.report.updated + self.report.unchanged + self.report.gone, self.report.images)
        finally:
            writer.flush()
            self.report.undo = record.undo if record else None

    def _can_be_undone(self) -> bool:
        """Return whether what is written is noted, so that it can be taken back; the report says if not."""
        if self.report.dry_run:
            return False
        if self.report.images > MAX_UNDONE:
            self.report.notes.append(
                f"It names more than {MAX_UNDONE:,} images, so that it cannot be undone."
            )
            return False
        return True

    def _write_page(self, writer: PayloadWriter, page: Mapping[str, Payload], record: Record | None) -> None:
        """Read, merge and write back the images of a page; nobody else of this process writes meanwhile."""
        name = self.category.name
        with writer.page():
            tagged = {head.tag for head in self.runtime.taggers.in_service(name)}
            hits = [hit for hit in self.runtime.vectors.retrieve(name, list(page)) if hit is not None]
            merged = {
                hit.id: changes(
                    hit.payload, without_scores(page[hit.id], tagged), overwrite=self.options.overwrite
                )
                for hit in hits
            }
            updates = {id: Change(change) for id, change in merged.items() if change}
            if record is not None and updates:
                record.save(
                    Edits.between((hit.payload, hit.payload | merged[hit.id], hit.id) for hit in hits)
                )
            written = len(updates) if self.options.dry_run else writer.write(updates)
        self.report.updated += written
        self.report.unchanged += len(hits) - len(updates)
        self.report.gone += len(page) - len(hits) + len(updates) - written

    def _index(self, kinds: ColumnKinds, rows: Rows) -> None:
        """Make the indexes, of the kinds that were asked for, before values are written."""
        name, catalog = self.category.name, self.runtime.catalog
        named = {field: kind for field, kind in rows.indexes.items() if field in kinds.fixed}
        catalog.ensure_indexes(name, named, change=True)
        indexes = catalog.ensure_indexes(name, rows.indexes).indexes
        self.report.unindexed.update(field for field in rows.indexes if field not in indexes)

    def _recast(self, kinds: ColumnKinds, columns: Columns) -> None:
        """Cast the values of all images to the kinds that were asked for; with ``overwrite`` also columns of
        words to the table's kind, where no image has a word in them any more."""
        asked = kinds.to_recast(self.runtime.catalog.get(self.category.name))
        tighter = narrower(self.category, columns, asked) if self.options.overwrite else []
        if asked:
            self.report.notes += recast(self.job, asked).notes()
        if tighter:
            self.report.notes += tighten(self.job, tighter)

    def _why_nothing(self, rows: Rows) -> str:
        """Return a sentence with an example of both sides, which shows most mismatches at once."""
        if self.report.ambiguous or not self.report.unmatched:
            return "No row was applied."
        page = self.runtime.vectors.scroll(
            self.category.name, limit=1, with_payload=_IDENTITY[self.options.on] or False
        )
        here = next((key for hit in page.hits if (key := _key(hit, self.options.on))), None)
        if here is None:
            return f"No image of the category has a {self.options.on} to compare with."
        return (
            f"No row names an image by its {self.options.on}: the table has "
            f"{self.report.unmatched_first[0]!r}, an image has {here!r}. The names were read from column "
            f"{self.report.column!r}: name another with --column-of-names (in a form: column), or compare by "
            "another of name, stem, key, hash, id."
        )


def changes(old: Payload, said: Payload, *, overwrite: bool = False) -> Payload:
    """Return the fields to set on an image so that it has what its row says; see ``annotate``.

    >>> changes({"tags": ["red"], "class": "mug", "metadata": {"shop": "A", "year": 1999}},
    ...         {"tags": ["new"], "class": "cup", "metadata": {"year": 2001}})
    {'tags': ['red', 'new'], 'metadata': {'shop': 'A', 'year': 2001}}
    """
    rejected = old.get("rejected_tags", ())
    apart = ("metadata", "scores", "scored_by", "created_at")
    rest = {name: value for name, value in said.items() if name not in apart}
    rest["tags"] = [tag for tag in said.get("tags", ()) if tag not in rejected]
    new = additions(old, rest, overwrite=overwrite)
    former = old.get("metadata", {})
    given = {name: _as_held(former.get(name), value) for name, value in said.get("metadata", {}).items()}
    if (metadata := {**former, **given}) != former:
        new["metadata"] = metadata
    scored_by: Payload = (old | new).get("scored_by") or {}
    scores = said.get("scores", {})
    scores = {tag: scores[tag] for tag in scores if scored_by.get(tag, FROM_TABLE) == FROM_TABLE}
    if any(old.get("scores", {}).get(tag) != score for tag, score in scores.items()):
        new["scores"] = {**old.get("scores", {}), **scores}
        new["scored_by"] = {**scored_by, **dict.fromkeys(scores, FROM_TABLE)}
    # where nobody gave a date it is the moment of indexing
    if "created_at" in said and (overwrite or old.get("created_at") == old.get("indexed_at")):
        new |= {} if _is_at(old.get("created_at"), said["created_at"]) else {"created_at": said["created_at"]}
    return new


def _is_at(old: Any, moment: str) -> bool:
    """Return whether a stored date is this moment."""
    try:
        return isinstance(old, str) and to_utc(old) == moment
    except ValueError:
        return False


def _as_held(old: Any, said: Any) -> Any:
    """Return the value of a cell; where the image has a list, the cell is read as exported tables write
    lists.

    >>> _as_held([1, 2], "1|2"), _as_held(["a"], "a|b"), _as_held("a", "a|b")
    ([1, 2], ['a', 'b'], 'a|b')
    """
    if not isinstance(old, list) or isinstance(said, list):
        return said
    if any(isinstance(item, dict | list) for item in old):
        return said
    items = split_tags(str(said)) if isinstance(said, str) else [str(said)]
    if items == [str(item) for item in old]:
        return old
    return items if all(isinstance(item, str) for item in old) else said


def _opened(path: Path, options: AnnotateOptions, max_rows: int | None) -> tuple[Table, Columns]:
    table = open_table(path)
    if max_rows is not None and table.count > max_rows:
        raise BadSource(
            f"{path.name} has {table.count:,} rows, more than {max_rows:,}: split it.", rows=table.count
        )
    if options.class_from is not None:
        column_named(table, options.class_from)
    keys = key_columns(options.on)
    wanted = options.column or find_any(keys, table.columns)
    if wanted is None:
        raise BadSource(
            f"No column of {path.name} names the image: call one {', '.join(keys[:-1])} or {keys[-1]}, or "
            "name it with --column-of-names (in a form: column). The columns are: "
            f"{', '.join(table.columns) or 'none'}."
        )
    own = SourceOptions(
        path_column=wanted, hashtags=options.hashtags, class_from=options.class_from, kinds=options.kinds
    )
    return table, Columns.of(table, own, keys=keys)


def _key(hit: Hit, on: JoinOn) -> str:
    """Return what a row must have to name this image; "" where the image lacks it."""
    if on == "id":
        return hit.id
    value = hit.payload.get("sha256" if on == "hash" else "filename")
    return join_value(value, on) if isinstance(value, str) and value else ""
