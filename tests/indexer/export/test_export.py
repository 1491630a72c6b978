from __future__ import annotations

import csv
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.indexer.pictures import CATEGORY, id_of, make_runtime, picture
from vitrine.indexer.export import common as export
from vitrine.indexer.export import table as export_table
from vitrine.indexer.export.folders import Mode, export_folders, parse_by
from vitrine.indexer.export.names import bin_name, safe_name
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.filters import parse_conditions
from vitrine.services.domain import Payload
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.images.open import content_hash
from vitrine.services.runtime import Runtime

ALL = parse_conditions({})


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Six images; two of them are called the same."""
    made = make_runtime(tmp_path / "data")
    records = [
        image(
            0,
            "a/cup.png",
            tags=("red", "new"),
            fields={"class": "cup", "quality": 0.95},
            scores={"red": 0.93},
            metadata={"year": 1999},
        ),
        image(
            1,
            "b/cup.png",
            tags=("red",),
            fields={"class": "cup", "quality": 0.5},
            scores={"red": 1.0},
            metadata={"price": 2.5},
        ),
        image(
            2,
            "plate.png",
            tags=("blue/green",),
            fields={"class": "plate"},
            scores={"red": 0.3, "red mug": 0.05},
        ),
        image(3, "bowl.png", metadata={"year": 2005, "price": 10.0, "fresh": True, "words": ["x", "y"]}),
        image(4, "no-ending", tags=("..",)),
        image(5, "wide|name?.png", fields={"class": "con"}, scores={"red": 0.0}),
    ]
    assert index_images(records, made, CATEGORY).added == 6
    yield made
    made.encoders.close()


def image(seed: int, name: str, **said: object) -> ImageRecord:
    return ImageRecord("test", name, lambda: picture(seed), **said)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, int]:
    """The seed of each file's picture by its relative path."""
    seeds = {picture(seed): seed for seed in range(6)}
    return {
        path.relative_to(folder).as_posix(): seeds[path.read_bytes()]
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(
    runtime: Runtime, target: Path, by: str, *, mode: Mode = "copy", bins: int = 10, conditions: object = ALL
) -> export.ExportReport:
    spec = parse_by(runtime, CATEGORY, by, bins)
    return export_folders(runtime, CATEGORY, target, spec, conditions=conditions, mode=mode)  # type: ignore[arg-type]


def test_by_score_in_bins(runtime: Runtime, tmp_path: Path) -> None:
    report = run(runtime, tmp_path / "out", "score:red")
    assert (report.images, report.files, report.without, report.exit_code) == (4, 4, 2, 0)
    found = files(tmp_path / "out")
    assert sorted(found.values()) == [0, 1, 2, 5]
    by_seed = {seed: path for path, seed in found.items()}
    assert by_seed[2] == "0.30-0.40/plate.png"
    assert by_seed[5] == "0.00-0.10/wide_name_.png"
    one, other = sorted((by_seed[0], by_seed[1]), key=len)
    assert one == "0.90-1.00/cup.png"
    assert other in {f"0.90-1.00/cup-{content_hash(picture(seed))[:8]}.png" for seed in (0, 1)}
    assert report.folders == {"0.90-1.00": 2, "0.30-0.40": 1, "0.00-0.10": 1}


def test_by_tag_goes_into_each_and_names_are_safe(runtime: Runtime, tmp_path: Path) -> None:
    report = run(runtime, tmp_path / "out", "tag")
    assert (report.images, report.files, report.without) == (4, 5, 2)
    folders = {path.partition("/")[0] for path in files(tmp_path / "out")}
    assert folders == {"red", "new", safe_name("blue/green"), safe_name("..")}
    assert {path.parent.parent for path in tmp_path.rglob("*.png") if "data" not in path.parts} == {
        tmp_path / "out"
    }
    assert report.to_json()["folders"]["red"] == 2


def test_by_class_and_by_other_fields(runtime: Runtime, tmp_path: Path) -> None:
    assert set(run(runtime, tmp_path / "class", "class").folders) == {"cup", "plate", safe_name("con")}
    assert run(runtime, tmp_path / "year", "metadata.year").folders == {"1999": 1, "2005": 1}
    assert run(runtime, tmp_path / "fresh", "metadata.fresh").folders == {"true": 1}
    assert run(runtime, tmp_path / "price", "metadata.price", bins=3).folders == {
        "2.50-5.00": 1,
        "7.50-10.00": 1,
    }
    assert run(runtime, tmp_path / "quality", "quality", bins=2).folders == {"0.50-1.00": 2}
    assert run(runtime, tmp_path / "words", "metadata.words").folders == {"x": 1, "y": 1}
    for wrong, error in (
        ("nothing", UnknownField),
        ("score:blue", UnknownField),
        ("tag:red", BadRequest),
        ("sha256", UnknownField),
    ):
        with pytest.raises(error):
            run(runtime, tmp_path / "wrong", wrong)
    with pytest.raises(BadRequest, match="--bins"):
        run(runtime, tmp_path / "wrong", "quality", bins=0)
    assert not (tmp_path / "wrong").exists()


def test_filters_choose_the_images(runtime: Runtime, tmp_path: Path) -> None:
    report = run(runtime, tmp_path / "out", "class", conditions=parse_conditions({"tags_all": ["red"]}))
    assert (report.images, report.folders) == (2, {"cup": 2})


def test_again_it_writes_nothing_and_other_files_are_never_touched(runtime: Runtime, tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "cup").mkdir(parents=True)
    (target / "cup" / "cup.png").write_bytes(b"mine")
    first = run(runtime, target, "class")
    assert (first.files, first.there) == (4, 0)
    assert (target / "cup" / "cup.png").read_bytes() == b"mine"
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    second = run(runtime, target, "class")
    assert (second.images, second.files, second.there) == (4, 0, 4)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before


def test_all_names_taken_is_told(runtime: Runtime, tmp_path: Path) -> None:
    sha256 = content_hash(picture(2))
    for name in ("plate.png", f"plate-{sha256[:8]}.png", f"plate-{sha256}.png"):
        (tmp_path / "out" / "plate").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "plate" / name).write_bytes(b"mine")
    report = run(runtime, tmp_path / "out", "class")
    assert report.failed == [(id_of(2), "name_taken")] and report.exit_code == 3


@pytest.mark.parametrize("mode", ["hardlink", "symlink"])
def test_links(runtime: Runtime, tmp_path: Path, mode: Mode) -> None:
    report = run(runtime, tmp_path / "out", "class", mode=mode)
    assert report.files == 4
    stored = runtime.searcher.image(CATEGORY, id_of(2)).payload["object_key"]
    link = tmp_path / "out" / "plate" / "plate.png"
    assert link.samefile(tmp_path / "data" / "objects" / stored)
    assert link.is_symlink() == (mode == "symlink")
    assert not link.is_symlink() or link.readlink().is_absolute()
    assert run(runtime, tmp_path / "out", "class", mode=mode).there == 4
    assert run(runtime, tmp_path / "out", "class", mode="copy").there == 4
    runtime.objects.delete(stored)
    assert run(runtime, tmp_path / "other", "class", mode=mode).failed == [(id_of(2), "image_missing")]


class Bucket:
    """An object store that is no folder."""

    def __init__(self, store: object) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_links_into_a_bucket_and_targets_in_the_data_folder_are_refused(
    runtime: Runtime, tmp_path: Path
) -> None:
    bucket = replace(runtime, objects=Bucket(runtime.objects))  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="--mode copy"):
        run(bucket, tmp_path / "out", "class", mode="symlink")
    assert run(bucket, tmp_path / "out", "class").images == 4
    with pytest.raises(BadRequest, match="data folder"):
        run(runtime, tmp_path / "data" / "objects" / "out", "class")


def test_missing_and_damaged_pictures_are_told(runtime: Runtime, tmp_path: Path) -> None:
    keys = {seed: str(runtime.searcher.image(CATEGORY, id_of(seed)).payload["object_key"]) for seed in (0, 2)}
    runtime.objects.delete(keys[0])
    runtime.objects.put(keys[2], b"other bytes")
    report = run(runtime, tmp_path / "out", "class")
    assert dict(report.failed) == {id_of(0): "image_missing", id_of(2): "damaged_image"}
    assert report.images == 2 and id_of(0) in report.summary()


def test_scores_of_a_former_tagger_are_not_exported(runtime: Runtime, tmp_path: Path) -> None:
    spec = runtime.catalog.get(CATEGORY).encoder()
    head = TagHead("red", "logistic-regression", spec.name, spec.revision, np.ones(spec.dim, np.float32), 0.0)
    (saved,) = runtime.taggers.save(CATEGORY, [head], scored=["red"])
    runtime.vectors.set_payload(
        CATEGORY, {id_of(2): {"scored_by": {"red": saved.signature, "red mug": "manifest"}}}
    )
    report = run(runtime, tmp_path / "out", "score:red")
    assert (report.images, report.folders, report.without) == (1, {"0.30-0.40": 1}, 5)
    export_table.export_table(runtime, CATEGORY, tmp_path / "out.json", conditions=ALL)
    scores = {row["id"]: row["scores"] for row in json.loads((tmp_path / "out.json").read_text())}
    assert scores[id_of(2)] == {"red": 0.3, "red mug": 0.05}
    assert scores[id_of(0)] == {}


def test_names() -> None:
    assert safe_name("red mug") == "red mug"
    for text in (
        "a/b",
        "..",
        ".",
        "",
        "CON",
        "nul.txt",
        "x" * 300,
        "tab\there",
        "trailing.",
        "\u00e9" * 200,
        "a\\b",
        "\x00",
    ):
        name = safe_name(text)
        assert name != text and "/" not in name and "\\" not in name and name not in (".", "..")
        assert 0 < len(name.encode()) < 255 and name == name.strip(" .")
    assert len({safe_name(text) for text in ("a/b", "a_b", "a\\b", "a|b")}) == 4
    assert safe_name("größe") == "größe"


def test_bins_meet_at_their_edges_and_are_called_apart() -> None:
    for bins in (1, 3, 7, 10, 100, 150, 1000):
        edges = tuple(number / bins for number in range(bins + 1))
        names = [bin_name(edges, number / bins) for number in range(bins)]
        assert len(set(names)) == bins
        assert bin_name(edges, 1.0) == names[-1]
    assert bin_name((0.0, 0.5, 1.0), 0.4999) == "0.00-0.50"


def table(runtime: Runtime, path: Path, conditions: object = ALL) -> export.ExportReport:
    return export_table.export_table(runtime, CATEGORY, path, conditions=conditions)  # type: ignore[arg-type]


def test_json_is_a_list_of_rows(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    report = table(runtime, tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())
    assert report.images == len(rows) == 6
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    row = next(row for row in rows if row["id"] == id_of(0))
    assert list(row)[:6] == ["id", "filename", "class", "tags", "scores", "quality"]
    assert (row["filename"], row["class"], row["tags"], row["scores"], row["quality"]) == (
        "a/cup.png", "cup", ["red", "new"], {"red": 0.93}, 0.95,
    )  # fmt: skip
    assert row["metadata"] == {"year": 1999} and row["sha256"] == content_hash(picture(0))
    assert "object_key" not in row
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.json"]


def test_csv_has_a_column_for_everything(runtime: Runtime, tmp_path: Path) -> None:
    table(runtime, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    first = rows[id_of(0)]
    assert list(first)[:5] == ["id", "filename", "class", "tags", "quality"]
    assert (first["tags"], first["scores.red"], first["scores.red mug"], first["metadata.year"]) == (
        "red|new",
        "0.93",
        "",
        "1999",
    )
    assert (rows[id_of(3)]["metadata.fresh"], rows[id_of(3)]["metadata.words"]) == ("true", "x|y")


def test_parquet_has_typed_columns_and_row_groups(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    monkeypatch.setattr(export_table, "ROW_GROUP", 4)
    table(runtime, tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 2
    kinds = {field.name: str(field.type) for field in file.schema_arrow}
    assert (kinds["id"], kinds["quality"], kinds["scores.red"], kinds["metadata.year"]) == (
        "string",
        "double",
        "double",
        "int64",
    )
    assert (
        kinds["tags"].startswith("list<")
        and kinds["metadata.words"].startswith("list<")
        and kinds["metadata.fresh"] == "bool"
    )
    rows = {row["id"]: row for row in file.read().to_pylist()}
    assert rows[id_of(0)]["tags"] == ["red", "new"] and rows[id_of(3)]["scores.red"] is None
    assert rows[id_of(4)]["tags"] == [".."] and rows[id_of(3)]["tags"] == []


def test_mixed_values_of_a_column_keep_their_meaning(runtime: Runtime, tmp_path: Path) -> None:
    changes: dict[str, Payload] = {
        id_of(0): {"metadata": {"year": "unknown"}},
        id_of(1): {"metadata": {"price": 3}},
    }
    runtime.vectors.set_payload(CATEGORY, changes)
    table(runtime, tmp_path / "out.parquet")
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "out.parquet").to_pylist()}
    assert (rows[id_of(0)]["metadata.year"], rows[id_of(3)]["metadata.year"]) == ('"unknown"', "2005")
    assert (rows[id_of(1)]["metadata.price"], rows[id_of(3)]["metadata.price"]) == (3.0, 10.0)


@pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
def test_nothing_to_export_is_an_empty_table(runtime: Runtime, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    assert table(runtime, path, parse_conditions({"tags_all": ["nobody"]})).images == 0
    if ending == "json":
        assert json.loads(path.read_text()) == []
    elif ending == "csv":
        assert path.read_text().splitlines() == ["id,filename,class,tags,quality"]
    else:
        assert pq.read_table(path).num_rows == 0


def test_tables_that_cannot_be_written(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"\.parquet"):
        table(runtime, tmp_path / "out.xml")
    (tmp_path / "file").write_text("")
    report = table(runtime, tmp_path / "file" / "out.json")
    assert isinstance(report.error, BadRequest) and report.exit_code == 1


def test_an_interrupted_table_leaves_the_old_one(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("old")
    stop = threading.Event()
    stop.set()
    report = export_table.export_table(runtime, CATEGORY, tmp_path / "out.json", conditions=ALL, stop=stop)
    assert report.interrupted and report.exit_code == 130
    assert (tmp_path / "out.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.json"]


def test_a_file_that_is_there_under_a_later_name_is_left_there(runtime: Runtime, tmp_path: Path) -> None:
    target = tmp_path / "out"
    run(runtime, target, "class")
    (target / "cup" / "cup.png").unlink()
    for _ in range(2):
        run(runtime, target, "class")
        assert sorted(path.stat().st_size > 0 for path in (target / "cup").iterdir()) == [True, True]
        assert sorted(files(target).values()) == [0, 1, 2, 5]


@pytest.mark.parametrize("ending", ["sqlite", "sqlite3", "db"])
def test_sqlite_has_a_table_of_images_of_tags_and_of_scores(
    runtime: Runtime, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"out.{ending}"
    path.write_bytes(b"what was there")
    assert table(runtime, path).images == 6
    with closing(sqlite3.connect(path)) as database:
        names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert names == {"images", "tags", "scores", "metadata", "clusters", "maps"}
        rows = database.execute(
            "SELECT filename, class, quality, sha256, width FROM images WHERE id = ?", (id_of(0),)
        ).fetchall()
        assert [(*row[:3], row[3] == content_hash(picture(0))) for row in rows] == [
            ("a/cup.png", "cup", 0.95, True)
        ]
        tagged = database.execute(
            "SELECT filename FROM images JOIN tags ON id = image_id WHERE tag = 'red' ORDER BY 1"
        )
        assert tagged.fetchall() == [("a/cup.png",), ("b/cup.png",)]
        best = database.execute(
            "SELECT image_id, score, scored_by FROM scores WHERE tag = 'red' AND score > 0.9 ORDER BY 2 DESC"
        )
        assert best.fetchall() == [(id_of(1), 1.0, "manifest"), (id_of(0), 0.93, "manifest")]
        told = dict(database.execute("SELECT name, value FROM metadata WHERE image_id = ?", (id_of(3),)))
        assert told == {"year": 2005, "price": 10.0, "fresh": 1, "words": '["x","y"]'}
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        rest = [json.loads(row[0]) for row in database.execute("SELECT rest FROM images")]
        assert not any("object_key" in one or "clusters" in one for one in rest)


def test_hashes_by_tag(runtime: Runtime, tmp_path: Path) -> None:
    report = export_table.export_table(runtime, CATEGORY, tmp_path / "tags.json", conditions=ALL, by_tag=True)
    found = json.loads((tmp_path / "tags.json").read_text())
    assert report.images == 6 and list(found) == ["..", "blue/green", "new", "red"]
    assert sorted(found["red"]) == sorted(content_hash(picture(seed)) for seed in (0, 1))
    with pytest.raises(BadRequest, match=r"\.json"):
        export_table.export_table(runtime, CATEGORY, tmp_path / "tags.csv", conditions=ALL, by_tag=True)
