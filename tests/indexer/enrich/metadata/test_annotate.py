"""Tables joined to images that are there, on the oracle store."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.indexer.enrich.scores.heads import fill, head, id_of, stored
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.metadata import annotate as module
from vitrine.indexer.enrich.metadata.annotate import AnnotateOptions, annotate, changes
from vitrine.indexer.export.table import export_table
from vitrine.indexer.job.payload_writer import PayloadWriter
from vitrine.services.category.filters import Conditions, conditions_from_pairs
from vitrine.services.category.payload import settled
from vitrine.services.domain import Payload
from vitrine.services.errors import BadSource, NotFound
from vitrine.services.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(
        made,
        6,
        {
            0: {
                "filename": "a/mug.png",
                "tags": ["red"],
                "class": "mug",
                "metadata": {"shop": "north", "year": 1990},
            },
            1: {"filename": "b/mug.png", "sha256": "f" * 64},
            2: {
                "filename": "Hat 1.JPG",
                "rejected_tags": ["sale"],
                "created_at": "2020-01-01",
                "indexed_at": "2020-01-01",
            },
            3: {"filename": "shoe.png", "quality": 0.9, "scored_by": {"quality": "head@1"}},
        },
    )
    return made


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def payload(runtime: Runtime, number: int) -> dict[str, Any]:
    hit = runtime.vectors.retrieve(CATEGORY, [id_of(number)])[0]
    assert hit is not None
    return hit.payload


def test_rows_are_put_onto_the_images_they_name(runtime: Runtime, tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "path,tags,class,caption,quality,created_at,scores.cat,season,code\n"
        "x/Hat 1.JPG,sale|new,hat,A hat,,2021-05-06,0.5,winter,0012\n"
        "shoe.png,,shoe,,0.25,,,summer,7\n",
    )
    report = annotate(runtime, CATEGORY, path)
    assert (report.status, report.rows, report.matched, report.images, report.updated) == (
        "complete",
        2,
        2,
        2,
        2,
    )
    hat, shoe = payload(runtime, 2), payload(runtime, 3)
    assert hat["tags"] == ["new"] and hat["rejected_tags"] == ["sale"]  # what people rejected stays so
    assert (hat["class"], hat["caption"], hat["created_at"]) == ("hat", "A hat", "2021-05-06T00:00:00+00:00")
    assert hat["scores"] == {"cat": 0.5} and hat["scored_by"] == {"cat": "manifest"}
    assert hat["metadata"] == {"season": "winter", "code": "0012"} and shoe["metadata"] == {
        "season": "summer",
        "code": "7",
    }
    assert shoe["quality"] == 0.25 and shoe["scored_by"] == {}  # a person's word goes before a tagger's
    assert runtime.searcher.count(CATEGORY, Conditions(metadata={"season": "winter"})) == 1
    assert runtime.searcher.count(CATEGORY, Conditions.model_validate({"scores": {"cat": {"gte": 0.4}}})) == 1
    again = annotate(runtime, CATEGORY, path)
    assert (again.updated, again.unchanged) == (0, 2)


def test_a_table_is_taken_back_where_nobody_changed_it_since(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> list[Any]:
        hits = runtime.vectors.scroll(CATEGORY, limit=100).hits
        return [
            (hit.id, {name: value for name, value in hit.payload.items() if value not in ([], {})})
            for hit in hits
        ]

    path = table(
        tmp_path,
        "path,tags,class,quality,created_at,scores.cat,shop\n"
        "a/mug.png,new,cup,,,,south\n"
        "x/Hat 1.JPG,sale|new,hat,,2021-05-06,0.5,north\n"
        "shoe.png,,shoe,0.25,,,\n",
    )
    before = state()
    options = AnnotateOptions(on="key")
    rows = table(tmp_path, path.read_text().replace("x/Hat", "Hat"), "rows.csv")
    monkeypatch.setattr(module, "PAGE", 2)  # several pages are one change
    report = annotate(runtime, CATEGORY, rows, options)
    after = state()
    assert report.updated == 3 and report.undo is not None
    undone = runtime.editor.undo(report.undo.token)
    assert (undone.undone, undone.kept, state()) == (3, (), before) and undone.undo is not None
    runtime.editor.undo(undone.undo.token)
    assert state() == after
    assert annotate(runtime, CATEGORY, rows, options).undo is None  # nothing is changed
    assert annotate(runtime, CATEGORY, rows, AnnotateOptions(on="key", dry_run=True)).undo is None
    monkeypatch.setattr(module, "MAX_UNDONE", 2)
    other = table(tmp_path, "path,shop\na/mug.png,1\nb/mug.png,1\nshoe.png,1\n")
    report = annotate(runtime, CATEGORY, other, options)
    assert report.updated == 3 and report.undo is None and "cannot be undone" in report.notes[0]


def test_columns_replace_and_gaps_are_filled() -> None:
    old = {
        "tags": ["red"],
        "class": "mug",
        "caption": "Mine",
        "metadata": {"shop": "A", "year": 1},
        "created_at": "2019",
    }
    said = {
        "tags": ["new"],
        "class": "cup",
        "caption": "Theirs",
        "metadata": {"year": 2},
        "created_at": "2021",
    }
    assert changes(old, said) == {"tags": ["red", "new"], "metadata": {"shop": "A", "year": 2}}
    assert changes(old, said, overwrite=True) == {
        "tags": ["red", "new"],
        "class": "cup",
        "caption": "Theirs",
        "metadata": {"shop": "A", "year": 2},
        "created_at": "2021",
    }
    assert changes({**old, **changes(old, said)}, said) == {}


def test_a_score_goes_over_a_manifests_but_not_over_a_taggers(runtime: Runtime, tmp_path: Path) -> None:
    old = {"scores": {"cat": 0.1, "dog": 0.2}, "scored_by": {"cat": "manifest", "dog": "head@1"}}
    new = changes(old, {"tags": [], "scores": {"cat": 0.9, "dog": 0.9, "owl": 0.9}, "scored_by": {}})
    assert new["scores"] == {"cat": 0.9, "dog": 0.2, "owl": 0.9}
    assert new["scored_by"] == {"cat": "manifest", "dog": "head@1", "owl": "manifest"}
    runtime.taggers.save(CATEGORY, [head(runtime, "cat")])
    annotate(runtime, CATEGORY, table(tmp_path, "file,scores.cat,scores.owl\nshoe.png,1,1\n"))
    assert payload(runtime, 3)["scores"] == {"owl": 1.0}  # a tag that has a tagger is scored by it alone


def test_a_name_of_several_images_is_refused_unless_all_are_meant(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, "file,season\nmug.png,winter\nshoe.png,summer\n")
    report = annotate(runtime, CATEGORY, path)
    assert (report.matched, report.ambiguous, report.ambiguous_first, report.images) == (1, 1, ["mug.png"], 1)
    assert report.exit_code == 3 and "metadata" not in payload(runtime, 1)
    report = annotate(runtime, CATEGORY, path, AnnotateOptions(all_of_a_name=True))
    assert (report.matched, report.images, report.updated, report.unchanged, report.exit_code) == (
        2,
        3,
        2,
        1,
        0,
    )
    assert payload(runtime, 0)["metadata"] == {"shop": "north", "year": 1990, "season": "winter"}


@pytest.mark.parametrize(
    ("on", "name", "column"),
    [("stem", "mug", "stem"), ("key", "./b/mug.png", "path"), ("hash", "F" * 64, "sha256"), ("id", "", "id")],
)
def test_what_a_row_may_name(runtime: Runtime, tmp_path: Path, on: Any, name: str, column: str) -> None:
    name = name or id_of(1).upper()
    report = annotate(
        runtime,
        CATEGORY,
        table(tmp_path, f"{column},season\n{name},winter\n"),
        AnnotateOptions(on, all_of_a_name=True),
    )
    assert report.images == (2 if on == "stem" else 1) and payload(runtime, 1)["metadata"] == {
        "season": "winter"
    }


def test_every_row_is_counted_once_and_named(runtime: Runtime, tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "file,quality,season\nshoe.png,,winter\nshoe.png,,winter\nlost.png,,x\n4.png,,a\n4.png,,b\n5.png,7,a\nmug.png,,a\na,b\n,,c\n",
    )
    report = annotate(runtime, CATEGORY, path)
    assert (
        report.rows,
        report.matched,
        report.unmatched,
        report.conflicting,
        report.ambiguous,
        report.malformed,
    ) == (
        9,
        2,
        1,
        2,
        1,
        3,
    )
    assert (report.unmatched_first, report.conflicting_first) == (["lost.png"], ["4.png"])
    assert [row for row, _ in report.malformed_first] == [7, 9, 10] and "quality" in report.malformed_first[
        0
    ][1]
    tree = report.to_json()
    assert tree["status"] == "refused" and tree["unmatched"] == {"rows": 1, "first": ["lost.png"]}
    assert json.dumps(tree) and "2 of 9 rows met 1 image" in report.summary() and "row 7" in report.summary()


def test_a_dry_run_counts_and_writes_nothing(runtime: Runtime, tmp_path: Path) -> None:
    before = stored(runtime)
    report = annotate(
        runtime, CATEGORY, table(tmp_path, "file,season\nshoe.png,winter\n"), AnnotateOptions(dry_run=True)
    )
    assert report.updated == 1 and "would be updated" in report.summary()
    assert {name: said for name, (said, _) in stored(runtime).items()} == {
        name: said for name, (said, _) in before.items()
    }
    assert "metadata.season" not in runtime.catalog.get(CATEGORY).indexes


def test_against_plain_dictionaries(tmp_path: Path) -> None:
    draw = random.Random(5)
    runtime = make_runtime(tmp_path)
    names = [f"d{n % 3}/{draw.randrange(60)}.png" for n in range(80)]
    fill(runtime, 80, {n: {"filename": name, "metadata": {"old": n}} for n, name in enumerate(names)})
    rows = [(f"{draw.randrange(90)}.png", draw.choice("ab")) for _ in range(70)]
    path = table(tmp_path, "file,said\n" + "".join(f"{name},{said}\n" for name, said in rows))
    for all_of_a_name in (False, True):
        expected, matched = {}, Counter[str]()
        for n, name in enumerate(names):
            says = {said for row, said in rows if row == name.split("/")[1]}
            twins = [other for other in names if other.split("/")[1] == name.split("/")[1]]
            applies = len(says) == 1 and (all_of_a_name or len(twins) == 1)
            expected[n] = {"old": n, **({"said": says.pop()} if applies else {})}
            matched[name.split("/")[1]] += applies
        report = annotate(runtime, CATEGORY, path, AnnotateOptions(all_of_a_name=all_of_a_name))
        assert {n: payload(runtime, n)["metadata"] for n in range(80)} == expected
        assert report.matched == sum(matched[row] > 0 for row, _ in rows)
        assert report.rows == 70 == report.matched + report.unmatched + report.ambiguous + report.conflicting


@pytest.mark.parametrize("how", ["stop", "ctrl-c"])
def test_what_is_interrupted_is_completed_by_the_same_call(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    path = table(
        tmp_path,
        "file,season\n" + "".join(f"{name},winter\n" for name in ("Hat 1.JPG", "shoe.png", "4.png", "5.png")),
    )
    stop, write = threading.Event(), PayloadWriter.write

    def stopping(self: PayloadWriter, *given: Any) -> int:
        stop.set()
        return write(self, *given)

    class Interrupting:
        def start(self, stage: str, total: int | None) -> None:
            if stage == "writing":
                raise KeyboardInterrupt

        def update(self, report: object) -> None: ...

        def finish(self, report: object) -> None: ...

    with monkeypatch.context() as patched:
        if how == "stop":
            patched.setattr(PayloadWriter, "write", stopping)
            report = annotate(runtime, CATEGORY, path, stop=stop)
        else:
            report = annotate(runtime, CATEGORY, path, progress=Interrupting())
    assert (report.status, report.exit_code, report.updated) == (
        "interrupted",
        130,
        2 if how == "stop" else 0,
    )
    again = annotate(runtime, CATEGORY, path)
    assert (again.status, again.updated, again.unchanged) == ("complete", 4 - report.updated, report.updated)


def test_images_that_are_deleted_meanwhile_are_passed_over(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = PayloadWriter.write

    def deleting(self: PayloadWriter, *given: Any) -> int:
        runtime.vectors.delete(CATEGORY, [id_of(4)])
        return write(self, *given)

    monkeypatch.setattr(PayloadWriter, "write", deleting)
    report = annotate(runtime, CATEGORY, table(tmp_path, "file,season\nshoe.png,winter\n4.png,winter\n"))
    assert (report.updated, report.gone, report.status) == (1, 1, "complete")


def test_columns_keep_the_kind_they_have_in_the_category(runtime: Runtime, tmp_path: Path) -> None:
    annotate(runtime, CATEGORY, table(tmp_path, "file,code,size,year\nshoe.png,A1,1.5,1999\n"))
    report = annotate(
        runtime, CATEGORY, table(tmp_path, "file,code,size,year\n4.png,7.50,2,1999.5\nHat 1.JPG,B,1,old\n")
    )
    assert payload(runtime, 4)["metadata"] == {"code": "7.50", "size": 2.0, "year": 1999.5}
    assert runtime.searcher.count(CATEGORY, Conditions(metadata={"code": "7.50"})) == 1
    assert runtime.searcher.count(CATEGORY, conditions_from_pairs([("metadata.year.gte", "1999")])) == 2
    assert (report.malformed, report.exit_code) == (1, 3)
    row, reason = report.malformed_first[0]
    assert row == 3 and "'year'" in reason and "'old'" in reason and "--column year:keyword" in reason


def test_columns_past_the_cap_are_stored_and_told(runtime: Runtime, tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(70)]
    report = annotate(
        runtime, CATEGORY, table(tmp_path, f"file,{','.join(names)}\nshoe.png,{','.join(names)}\n")
    )
    assert len(payload(runtime, 3)["metadata"]) == 70
    assert len(report.unindexed) == 6 and "6 columns are kept, but no filter" in report.summary()
    assert report.to_json()["unindexed"] == sorted(report.unindexed)


def test_hashtags_of_a_column_come_first(runtime: Runtime, tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(64)]
    text = f"file,{','.join(names)},post\nshoe.png,{','.join(names)},At the #Beach #été\n"
    annotate(runtime, CATEGORY, table(tmp_path, text), AnnotateOptions(hashtags=("post",)))
    assert payload(runtime, 3)["metadata"]["hashtags"] == ["beach", "été"]
    assert runtime.searcher.count(CATEGORY, Conditions(metadata={"hashtags": "été"})) == 1


def test_where_nothing_meets_both_sides_are_shown(runtime: Runtime, tmp_path: Path) -> None:
    report = annotate(runtime, CATEGORY, table(tmp_path, "file,season\nshoe.webp,winter\n"))
    assert report.exit_code == 3 and "'shoe.webp'" in report.notes[0] and "'Hat 1.JPG'" in report.notes[0]
    assert "metadata.season" not in runtime.catalog.get(CATEGORY).indexes


def test_tables_that_cannot_be_joined(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, "season\nwinter\n")
    for options, said in (
        (AnnotateOptions(), "names the image"),
        (AnnotateOptions(column="nope"), "no column 'nope'"),
        (AnnotateOptions(column="season", hashtags=("nope",)), "no column 'nope'"),
        (AnnotateOptions(column="season", class_from="nope"), "no column 'nope'"),
    ):
        with pytest.raises(BadSource, match=said):
            annotate(runtime, CATEGORY, path, options)
    with pytest.raises(BadSource, match="1 rows, more than 0"):
        annotate(runtime, CATEGORY, path, AnnotateOptions(column="season"), max_rows=0)
    with pytest.raises(NotFound):
        annotate(runtime, "nope", path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_exported_table_says_what_is_there(runtime: Runtime, tmp_path: Path, ending: str) -> None:
    said = {
        "tags": ["red, and more"],
        "metadata": {"words": ["a", "b"], "one": ["c"], "sizes": [1, 2], "code": "0012", "old": True},
    }
    runtime.catalog.ensure_indexes(CATEGORY, settled(said["metadata"], {})[1])
    runtime.vectors.set_payload(
        CATEGORY, {id_of(4): said, id_of(5): {"metadata": {"words": ["x"], "code": "7"}}}
    )
    changes: dict[str, Payload] = {
        id_of(number): {
            "scores": {"cat": 0.25},
            "scored_by": {"cat": "manifest"},
            "phash": "00",
            "indexed_at": "2020-01-01",
        }
        for number in range(6)
    }
    runtime.vectors.set_payload(CATEGORY, changes)
    runtime.catalog.ensure_indexes(CATEGORY, {"scores.cat": "float"})
    path = tmp_path / f"all.{ending}"
    assert export_table(runtime, CATEGORY, path, conditions=Conditions()).images == 6
    before = [payload(runtime, number) for number in range(6)]
    report = annotate(runtime, CATEGORY, path, AnnotateOptions(on="id"))
    assert (report.status, report.matched, report.updated, report.unchanged) == ("complete", 6, 0, 6)
    assert [payload(runtime, number) for number in range(6)] == before
    assert "scored_by.cat" in report.notes[0] and report.notes[0].startswith("Passed over")


def test_columns_as_an_export_calls_them(runtime: Runtime, tmp_path: Path) -> None:
    head = "file,metadata.colour,score.cat,cluster.look,map.umap.x,similarity"
    text = f"{head}\nshoe.png,blue,0.5,root-1,0.25,0.9\n"
    report = annotate(runtime, CATEGORY, table(tmp_path, text))
    assert report.updated == 1 and payload(runtime, 3)["metadata"] == {"colour": "blue"}
    assert payload(runtime, 3)["scores"] == {"cat": 0.5}
    assert report.notes == [
        "Passed over, since Vitrine computes them itself: cluster.look, map.umap.x, similarity."
    ]
    with pytest.raises(BadSource, match="twice, as 'colour' and as 'metadata"):
        annotate(runtime, CATEGORY, table(tmp_path, "file,colour,metadata.colour\nshoe.png,a,b\n"))


def test_a_column_of_file_names_goes_before_one_of_names(runtime: Runtime, tmp_path: Path) -> None:
    report = annotate(
        runtime, CATEGORY, table(tmp_path, '{"name": "A shoe", "file_name": "shoe.png"}\n', "metadata.jsonl")
    )
    assert (report.column, report.updated) == ("file_name", 1) and payload(runtime, 3)["metadata"] == {
        "name": "A shoe"
    }
    lost = annotate(runtime, CATEGORY, table(tmp_path, "name,title\nA shoe,shoe.png\n"))
    assert lost.column == "name" and "--column-of-names" in lost.notes[0]
