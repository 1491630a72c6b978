"""What a column takes is found by its value, by every way in: tables, edits, uploads, changes of kind."""

from __future__ import annotations

import csv
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.indexer.pictures import CATEGORY, payloads, picture, write
from vitrine.indexer.enrich.metadata import recast as module
from vitrine.indexer.enrich.metadata.annotate import AnnotateOptions, annotate
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.indexer.job import payload_writer
from vitrine.indexer.job.job import Job, Report
from vitrine.indexer.job.payload_writer import PayloadWriter
from vitrine.indexer.job.report import IndexReport
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.filters import conditions_from_pairs
from vitrine.services.domain import OrderBy
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import BadRequest
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.settings import Settings
from vitrine.services.values.kinds import column_kinds, is_missing
from vitrine.services.vector_store.edge.store import EdgeVectorStore

CELLS = {
    "whole": ["7", "10", "-3", "0", "12345678901"],
    "fraction": ["12.5", "30.0", "1e3", "-.5"],
    "truth": ["true", "FALSE"],
    "date": ["2024-05-01", "2024-05-02T10:30Z", "2024-W18-3", "2024-05-01T00:30:00+09:00"],
    "word": ["red", "007", "last week", "2024-02-30", "S"],
    "missing": ["", "n/a", "NA", "NULL", "nan"],
}


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime on the embedded engine, whose indexes hold only values of their kind."""
    settings = Settings(data=tmp_path / "data", min_free_mb=0, threads=2, offline=True, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(settings)
    spec = pool.register(ColourEncoder()).spec
    store = EdgeVectorStore(tmp_path / "vectors", min_free_mb=0)
    made = assemble(settings, store, LocalObjectStore(tmp_path / "objects", min_free_mb=0), pool)
    made.catalog.create(CATEGORY, [spec])
    yield made
    made.encoders.close()
    store.close()


def index(runtime: Runtime, folder: Path, rows: list[dict[str, str]], *kinds: str) -> IndexReport:
    """Index a table of pictures that are drawn for it."""
    write(folder, {row["file"]: picture(int(row["file"].split(".")[0])) for row in rows})
    named = column_kinds(kinds)
    source = open_source(table(folder, rows), options=SourceOptions(kinds=named))
    return index_images(source, runtime, CATEGORY, kinds=named)


def table(folder: Path, rows: list[dict[str, str]]) -> Path:
    with open(folder / "list.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "list.csv"


def found(runtime: Runtime, *pairs: tuple[str, str]) -> set[str]:
    page = runtime.searcher.listing(CATEGORY, conditions_from_pairs(pairs), limit=1000)
    return {hit.payload["filename"] for hit in page.hits}


def metadata(runtime: Runtime) -> dict[str, Any]:
    return {name: payload.get("metadata", {}) for name, payload in payloads(runtime).items()}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_taken_is_found_by_its_value(real: Runtime, tmp_path: Path, seed: int) -> None:
    seeded = random.Random(seed)
    truth: dict[tuple[str, str], str] = {}
    for run in range(3):
        flavours = {column: seeded.sample(sorted(CELLS), seeded.choice([1, 1, 2, 3])) for column in "abcde"}
        rows = [
            {"file": f"{10 * run + n}.png"}
            | {c: seeded.choice(CELLS[seeded.choice(kinds)]) for c, kinds in flavours.items()}
            for n in range(6)
        ]
        report = index(real, tmp_path, rows)
        refused = {name: message for name, _, message in report.refusals}
        assert report.error is None and report.added == len(rows) - len(refused)
        for row in rows:
            cells = {(row["file"], column): row[column] for column in "abcde" if not is_missing(row[column])}
            truth |= {} if row["file"] in refused else cells
    # edits go the same way, and leave an image as it was where they are refused
    for _ in range(10):
        (name, column), _old = seeded.choice(sorted(truth.items()))
        value = seeded.choice(CELLS[seeded.choice(sorted(set(CELLS) - {"missing"}))])
        try:
            real.editor.change(CATEGORY, [id_of(real, name)], ImageChanges(metadata={column: value}))
        except BadRequest as error:
            assert repr(column) in error.message
        else:
            truth[name, column] = value
    held = metadata(real)
    assert {(name, column) for name, columns in held.items() for column in columns} == set(truth)
    for (name, column), text in truth.items():
        assert name in found(real, (f"metadata.{column}", text)), (
            column,
            text,
            real.catalog.get(CATEGORY).indexes,
        )
        if real.catalog.get(CATEGORY).indexes[f"metadata.{column}"] in ("integer", "float", "datetime"):
            bounds = ((f"metadata.{column}.gte", text), (f"metadata.{column}.lte", text))
            assert name in found(real, *bounds)
            listed = real.searcher.listing(
                CATEGORY, conditions_from_pairs([]), order_by=OrderBy(f"metadata.{column}"), limit=1000
            )
            assert name in {hit.payload["filename"] for hit in listed.hits}


def id_of(runtime: Runtime, name: str) -> str:
    page = runtime.searcher.listing(CATEGORY, conditions_from_pairs([("filename", name)]))
    return page.hits[0].id


def test_fractions_widen_a_filled_column_of_whole_numbers(real: Runtime, tmp_path: Path) -> None:
    index(real, tmp_path, [{"file": "1.png", "price": "10"}, {"file": "2.png", "price": "20"}])
    assert real.catalog.get(CATEGORY).indexes["metadata.price"] == "integer"
    report = index(real, tmp_path, [{"file": "3.png", "price": "12.5"}, {"file": "4.png", "price": "30.0"}])
    assert report.refused == 0
    assert found(real, ("metadata.price.gte", "11")) == {"2.png", "3.png", "4.png"}
    assert found(real, ("metadata.price", "10"), ("metadata.price", "12.5")) == {"1.png", "3.png"}
    listed = real.searcher.listing(CATEGORY, conditions_from_pairs([]), order_by=OrderBy("metadata.price"))
    assert [hit.payload["metadata"]["price"] for hit in listed.hits] == [10, 12.5, 20, 30]
    assert real.vectors.info(CATEGORY).schema.indexes["metadata.price"] == "float"


def test_a_widening_that_was_cut_short_is_completed_by_the_next_fraction(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(runtime, tmp_path, [{"file": "1.png", "price": "10"}])
    runtime.vectors.change_index(
        CATEGORY, "metadata.price", "float"
    )  # and killed before the manifest is written
    assert found(runtime, ("metadata.price", "10")) == {"1.png"}
    index(runtime, tmp_path, [{"file": "2.png", "price": "12.5"}])
    assert runtime.catalog.get(CATEGORY).indexes["metadata.price"] == "float"
    assert found(runtime, ("metadata.price.gte", "9.5")) == {"1.png", "2.png"}


def test_a_row_that_its_column_does_not_hold_is_refused_by_name(runtime: Runtime, tmp_path: Path) -> None:
    index(runtime, tmp_path, [{"file": "1.png", "taken": "2024-05-01", "size": "S", "n": "1"}])
    rows = [
        {"file": "2.png", "taken": "last week", "size": "M", "n": "2"},
        {"file": "3.png", "taken": "2024-05-02", "size": "38", "n": "x"},
        {"file": "4.png", "taken": "2022", "size": "38.50", "n": "NA"},
    ]
    report = index(runtime, tmp_path, rows)
    assert (report.added, report.refused, report.exit_code) == (1, 2, 3)
    messages = {name: message for name, _, message in report.refusals}
    assert (
        "'taken' holds dates: 'last week'" in messages["2.png"]
        and "--column taken:keyword" in messages["2.png"]
    )
    assert "'n' holds whole numbers: 'x'" in messages["3.png"]
    assert metadata(runtime)["4.png"] == {"taken": "2022-01-01T00:00:00+00:00", "size": "38.50"}


def test_marks_of_missing_values_neither_refuse_a_picture_nor_make_a_column_one_of_words(
    runtime: Runtime, tmp_path: Path
) -> None:
    rows = [
        {"file": f"{n}.png", "price": cell, "country": "DE"}
        for n, cell in enumerate(["10", "NA", "30", "NULL", "nan", "n/a", ""])
    ]
    rows[3]["country"] = "NA"
    report = index(runtime, tmp_path, rows)
    assert report.added == 7 and runtime.catalog.get(CATEGORY).indexes["metadata.price"] == "integer"
    assert found(runtime, ("metadata.price.gte", "20")) == {"2.png"}
    assert (
        "list.csv: cells of column 'price' that mean that there is no value: 1 NA, 1 NULL, 1 nan, 1 n/a."
        in report.notes
    )
    assert any("--column country:keyword" in note for note in report.notes)
    index(runtime, tmp_path, [{"file": "9.png", "price": "1", "country": "NA"}], "country:keyword")
    assert found(runtime, ("metadata.country", "NA")) == {"9.png"}


def test_the_cell_that_makes_a_column_one_of_words_is_named(runtime: Runtime, tmp_path: Path) -> None:
    rows = [{"file": f"{n}.png", "price": cell} for n, cell in enumerate(["10", "cheap", "12.5", "30"])]
    report = index(runtime, tmp_path, rows)
    assert report.added == 4 and found(runtime, ("metadata.price", "12.5")) == {"2.png"}
    (note,) = report.notes
    assert (
        "'price' holds numbers, except in one cell, such as 'cheap' in row 3" in note
        and "--column price:float" in note
    )


def test_a_named_kind_decides(real: Runtime, tmp_path: Path) -> None:
    rows = [
        {"file": f"{n}.png", "price": cell, "zip": "0123"} for n, cell in enumerate(["10", "cheap", "30"])
    ]
    report = index(real, tmp_path, rows, "price:float", "zip:integer")
    assert (report.added, report.refused) == (2, 1)
    assert metadata(real)["0.png"] == {"price": 10.0, "zip": 123}
    with pytest.raises(BadRequest, match="no metadata column 'prize'"):
        index(real, tmp_path, rows, "prize:float")


def test_a_later_run_repairs_the_kind_of_a_column(real: Runtime, tmp_path: Path) -> None:
    rows = [{"file": f"{n}.png", "price": cell} for n, cell in enumerate(["10", "12.50", "cheap"])]
    index(real, tmp_path, rows)
    assert real.catalog.get(CATEGORY).indexes["metadata.price"] == "keyword"
    report = index(real, tmp_path, [{"file": "5.png", "price": "7"}], "price:float")
    assert found(real, ("metadata.price.gte", "9")) == {"0.png", "1.png"}
    assert "values of 2 images were converted" in report.notes[0] and "'cheap'" in report.notes[1]
    fixed = annotate(real, CATEGORY, table(tmp_path, [{"file": "2.png", "price": "9.5"}]))
    assert fixed.updated == 1 and found(real, ("metadata.price.gte", "9")) == {"0.png", "1.png", "2.png"}
    back = annotate(
        real, CATEGORY, table(tmp_path, [{"file": "2.png", "price": "cheap"}]), options("price:keyword")
    )
    assert back.status == "complete" and found(real, ("metadata.price", "12.5")) == {"1.png"}
    assert found(real, ("metadata.price", "cheap")) == {"2.png"}


def options(*kinds: str, **others: bool) -> AnnotateOptions:
    return AnnotateOptions(kinds=column_kinds(kinds), **others)


def test_overwriting_repairs_a_column_of_words_that_holds_none_any_more(
    real: Runtime, tmp_path: Path
) -> None:
    rows = [{"file": f"{n}.png", "price": cell} for n, cell in enumerate(["10", "12.50", "cheap", "dear"])]
    index(real, tmp_path, rows)
    path = table(tmp_path, [{"file": "2.png", "price": "7"}])
    report = annotate(real, CATEGORY, path, options(overwrite=True))
    assert real.catalog.get(CATEGORY).indexes["metadata.price"] == "keyword" and "'dear'" in report.notes[-1]
    report = annotate(
        real, CATEGORY, table(tmp_path, [{"file": "3.png", "price": "40"}]), options(overwrite=True)
    )
    assert found(real, ("metadata.price.gte", "9")) == {"0.png", "1.png", "3.png"}
    assert "Column 'price' holds numbers" in report.notes[-1]
    dry = annotate(
        real,
        CATEGORY,
        table(tmp_path, [{"file": "3.png", "price": "x"}]),
        options("price:keyword", dry_run=True),
    )
    assert dry.updated == 1 and real.catalog.get(CATEGORY).indexes["metadata.price"] == "float"


def test_uploads_are_cast_like_rows_and_refused_by_name(runtime: Runtime) -> None:
    def upload(number: int, said: dict[str, Any], **kinds: Any) -> Any:
        return index_uploads(
            runtime, CATEGORY, [Upload(f"{number}.png", picture(number), metadata=said)], kinds=kinds
        )[0]

    assert upload(1, {"size": "S", "n": 1, "weight": "12.50"}, weight="float").outcome == "added"
    assert upload(2, {"size": 38, "n": 2.5, "weight": None}).outcome == "added"
    refused = upload(3, {"weight": "heavy"})
    assert (refused.outcome, refused.reason) == (
        "refused",
        "bad_row",
    ) and "'weight' holds numbers" in refused.message
    assert found(runtime, ("metadata.size", "38")) == found(runtime, ("metadata.n.gte", "2")) == {"2.png"}
    assert found(runtime, ("metadata.weight", "12.5")) == {"1.png"}


def test_a_column_that_another_writer_made_meanwhile_decides(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure = runtime.catalog.ensure_indexes

    def late(name: str, kinds: Any, **others: Any) -> Any:
        ensure(name, {"metadata.size": "keyword", "metadata.n": "datetime"})
        return ensure(name, kinds, **others)

    monkeypatch.setattr(runtime.catalog, "ensure_indexes", late)
    report = index(
        runtime, tmp_path, [{"file": "1.png", "size": "38", "n": ""}, {"file": "2.png", "size": "", "n": "7"}]
    )
    assert (report.added, report.refused) == (1, 1) and "'n' holds dates" in report.refusals[0][2]
    assert found(runtime, ("metadata.size", "38")) == {"1.png"}


def test_columns_without_an_index_are_named(runtime: Runtime, tmp_path: Path) -> None:
    row = {"file": "1.png"} | {f"c{n:02}": str(n) for n in range(70)}
    report = index(runtime, tmp_path, [row], "c69:float")
    left = [f"metadata.c{n:02}" for n in range(63, 69)]
    assert sorted(report.unindexed) == left == report.to_json()["unindexed"]
    assert "6 columns are kept, but no filter" in report.summary() and "c63, c64" in report.summary()
    assert found(runtime, ("metadata.c69", "69")) == {"1.png"}


def test_tables_of_several_folders_agree_on_a_kind(runtime: Runtime, tmp_path: Path) -> None:
    files = {"a/1.png": picture(1), "a/metadata.csv": b"file_name,n,w\n1.png,1,5\n"}
    write(tmp_path, files | {"b/2.png": picture(2), "b/metadata.csv": b"file_name,n,w\n2.png,2.5,x\n"})
    assert index_images(open_source(tmp_path), runtime, CATEGORY).refused == 0
    assert found(runtime, ("metadata.n.gte", "1")) == {"a/1.png", "b/2.png"}
    assert found(runtime, ("metadata.w", "5")) == {"a/1.png"}


def test_dates_of_tables_are_read_like_all_dates(runtime: Runtime, tmp_path: Path) -> None:
    rows = [
        {"file": "1.png", "created_at": "2019-06-01"},
        {"file": "2.png", "created_at": "2022:03:04 05:06:07"},
        {"file": "3.png", "created_at": "0001-01-01T00:00:00+01:00"},
        {"file": "4.png", "created_at": "n/a"},
        {"file": "5.png", "created_at": "2022"},
    ]
    report = index(runtime, tmp_path, rows)
    assert [name for name, _, _ in report.refusals] == [
        "3.png"
    ] and "0001-01-01T00:00:00+01:00" in report.refusals[0][2]
    assert payloads(runtime)["2.png"]["created_at"] == "2022-03-04T05:06:07+00:00"
    assert found(runtime, ("created_at.gte", "2022"), ("created_at.lte", "2022")) == {"2.png", "5.png"}
    assert found(runtime, ("created_at.lt", "2022")) == {"1.png"}
    assert found(runtime, ("created_at.gt", "2022")) == {"4.png"}  # given no date: when it was indexed


def test_a_change_of_kind_that_was_interrupted_is_completed_by_the_same_call(
    real: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_writer, "PAGE", 2)
    index(real, tmp_path, [{"file": f"{n}.png", "price": str(n)} for n in range(6)], "price:keyword")
    stop, write = threading.Event(), PayloadWriter.write

    def stopping(self: PayloadWriter, *given: Any) -> int:
        stop.set()
        return write(self, *given)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(PayloadWriter, "write", stopping)
        module.recast(Job(real, CATEGORY, Report(), stop=stop), {"price": "float"})
    assert len(found(real, ("metadata.price.gte", "0"))) == 2
    done = module.recast(Job(real, CATEGORY, Report()), {"price": "float"})
    assert done.converted == 4 and len(found(real, ("metadata.price.gte", "0"))) == 6
