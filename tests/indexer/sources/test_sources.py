from __future__ import annotations

import bz2
import csv
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pyarrow.parquet
import pytest

from tests.indexer.pictures import CATEGORY, payloads, picture, write
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.services.category.filters import conditions_from_pairs, parse_conditions
from vitrine.services.category.payload import settled
from vitrine.services.errors import BadSource, ImageRefused
from vitrine.services.images.open import content_hash
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime


def records(
    location: Path | str, objects: LocalObjectStore | None = None, **options: Any
) -> list[ImageRecord]:
    return cast(open_source(location, options=SourceOptions(**options), objects=objects))


def cast(source: Source) -> list[ImageRecord]:
    """The records of a source, their metadata as an empty category would hold it."""
    return [replace(record, metadata=settled(record.metadata, source.indexes)[0]) for record in source]


def names(found: Sequence[ImageRecord]) -> list[str]:
    return [record.filename for record in found]


def reasons(found: Sequence[ImageRecord]) -> dict[str, str]:
    return {record.filename: record.refusal.reason for record in found if record.refusal}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


# Folders
# ------------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_order_and_offers_pictures_by_name_or_content(tmp_path: Path) -> None:
    files = {
        "b/2.png": picture(2),
        "b/10.PNG": picture(3),
        "a.jpg": picture(1),
        "nameless": picture(4),
        "icon.svg": b"<svg/>",
        "scan.pdf": b"%PDF",
        "notes.txt": b"words",
        "LICENSE": b"words",
        ".hidden.png": picture(5),
        ".git/x.png": picture(6),
    }
    source = open_source(write(tmp_path / "set", files))
    found = list(source)
    assert names(found) == ["a.jpg", "b/10.PNG", "b/2.png", "icon.svg", "nameless", "scan.pdf"]
    assert found[0].read() == picture(1)
    assert {record.source for record in found} == {"set"}
    assert source.total == 6
    assert source.notes() == [
        "2 files are no pictures and were not offered: 1 without extension, 1 .txt.",
        "2 hidden files and folders were not looked at.",
    ]


def test_files_that_are_not_offered_are_counted_and_named(tmp_path: Path) -> None:
    inner = zipped({"1.png": picture(1), "readme": b"words", "__MACOSX/._1.png": b"x"})
    files = {"a.png": picture(2), "notes.txt": b"words", ".git/x.png": picture(3), "b.zip": inner}
    named: list[tuple[str, str]] = []
    options = SourceOptions(tags=("red",), on_skipped=lambda name, why: named.append((name, why)))
    source = open_source(write(tmp_path / "set", files), options=options)
    assert names(list(source)) == ["a.png", "b.zip/1.png"]
    assert sorted(named) == [
        (".git", "hidden"),
        ("b.zip/__MACOSX/._1.png", "hidden"),
        ("b.zip/readme", "no_picture"),
        ("notes.txt", "no_picture"),
    ]
    assert source.skipped == {"hidden": 2, "no_picture": 2}


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"deep/1.png": picture(1)})
    other = write(tmp_path / "other", {"2.png": picture(2)})
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "linked").symlink_to(other)
    (folder / "gone.png").symlink_to(tmp_path / "nothing")
    found = records(folder)
    assert names(found) == ["deep/1.png", "gone.png", "linked/2.png"]
    assert reasons(found) == {"gone.png": "unreadable_file"}


def test_what_is_no_regular_file_or_too_large_is_refused_unread(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"big.png": b"x" * 100})
    os.mkfifo(folder / "pipe.png")
    (folder / "linked.png").symlink_to(folder / "pipe.png")
    big, *pipes = records(folder, max_bytes=99)
    with pytest.raises(ImageRefused):
        big.read()
    assert reasons(pipes) == {"linked.png": "unreadable_file", "pipe.png": "unreadable_file"}


def test_names_that_are_not_unicode_are_shown_readably(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "set") + b"/\xff.png")).write_bytes(picture(1))
    found = records(tmp_path / "set")
    assert found[0].filename == "\ufffd.png" and found[0].read() == picture(1)


def test_folder_names_become_tags_and_class(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"shop/red/mugs/1.jpg": b"", "2.jpg": b""})
    found = {r.filename: r for r in records(folder, tags_from_folders=2, class_from="folder")}
    assert (found["shop/red/mugs/1.jpg"].tags, found["shop/red/mugs/1.jpg"].fields) == (
        ("shop", "red"),
        {"class": "mugs"},
    )
    assert (found["2.jpg"].tags, found["2.jpg"].fields) == ((), {})


def test_an_image_folder_takes_its_metadata_and_names_missing_pictures(tmp_path: Path) -> None:
    rows = [
        {"file_name": "a.png", "title": "First"},
        {"file_name": "absent.png"},
        {"file_name": "sub/b.png", "tags": ["x"]},
    ]
    files = {
        "a.png": picture(1),
        "sub/b.png": picture(2),
        "train/c.png": picture(3),
        "metadata.jsonl": b"\n".join(map(orjson.dumps, rows)),
        "train/metadata.csv": b"file_name,caption\nc.png,Third\n",
    }
    source = open_source(write(tmp_path / "set", files))
    found = {record.filename: record for record in source}
    assert found["a.png"].metadata == {"title": "First"}
    assert found["sub/b.png"].tags == ("x",)
    assert found["train/c.png"].fields["caption"] == "Third"
    assert reasons(list(found.values())) == {"absent.png": "image_missing"}
    assert source.indexes == {"metadata.title": "keyword"}


# Archives
# ------------------------------------------------------------------------------------------------------------

FILES = {
    "b/1.png": picture(1),
    "a.png": picture(2),
    "readme.txt": b"words",
    "__MACOSX/._a.png": b"x",
    "no-name": picture(3),
}
OFFERED = ["b/1.png", "a.png", "no-name"]
COMPRESS = {".tar": bytes, ".tar.gz": gzip.compress, ".tgz": gzip.compress, ".tar.bz2": bz2.compress}


@pytest.mark.parametrize("suffix", [".zip", *COMPRESS])
def test_archives_are_read_in_place_in_their_own_order(tmp_path: Path, suffix: str) -> None:
    data = zipped(FILES) if suffix == ".zip" else COMPRESS[suffix](tarred(FILES))
    source = open_source(write(tmp_path, {f"x{suffix}": data}) / f"x{suffix}")
    found = list(source)
    assert names(found) == OFFERED
    assert [record.read() for record in found] == [picture(1), picture(2), picture(3)]
    assert source.name == f"x{suffix}"
    assert source.notes() == [
        "1 file is no picture and was not offered: 1 .txt.",
        "1 hidden file or folder was not looked at.",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"x{suffix}"]


def test_an_archive_may_hold_archives_one_level_deep(tmp_path: Path) -> None:
    deepest = zipped({"deep.png": picture(9)})
    inner_zip, inner_tar = (
        zipped({"1.png": picture(1), "deep.zip": deepest}),
        gzip.compress(tarred({"2.png": picture(2)})),
    )
    outer = {"one.zip": inner_zip, "two.tar.gz": inner_tar, "bad.zip": b"no archive", "3.png": picture(3)}
    for name, data in (("outer.zip", zipped(outer)), ("outer.tar", tarred(outer))):
        found = records(write(tmp_path, {name: data}) / name)
        assert names(found) == ["one.zip/1.png", "one.zip/deep.zip", "two.tar.gz/2.png", "bad.zip", "3.png"]
        assert reasons(found) == {"one.zip/deep.zip": "unsupported_format", "bad.zip": "unreadable_file"}
        assert [r.read() for r in found if not r.refusal] == [picture(1), picture(2), picture(3)]


def test_archives_in_a_folder_are_opened_in_place(tmp_path: Path) -> None:
    files = {"1.png": picture(1), "more.zip": zipped({"2.png": picture(2)}), "broken.tar.gz": b"\x1f\x8bno"}
    found = records(write(tmp_path / "set", files))
    assert names(found) == ["1.png", "broken.tar.gz", "more.zip/2.png"]
    assert reasons(found) == {"broken.tar.gz": "unreadable_file"}


def test_names_that_lead_out_of_an_archive_are_only_names(tmp_path: Path) -> None:
    found = records(
        write(tmp_path, {"x.tar": tarred({"../../etc/1.png": picture(1), "/abs/2.png": picture(2)})})
        / "x.tar"
    )
    assert names(found) == ["etc/1.png", "abs/2.png"]


def test_encrypted_and_damaged_members_are_refused_by_name(tmp_path: Path) -> None:
    data = bytearray(zipped({"locked.png": picture(1), "2.png": picture(2), "cut.png": picture(3) * 9}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1  # the first member says it is encrypted
    cut = data.index(b"cut.png") + 40
    data[cut : cut + 8] = b"\xff" * 8
    found = records(write(tmp_path, {"x.zip": bytes(data)}) / "x.zip")
    assert reasons(found) == {"locked.png": "unreadable_file", "cut.png": "unreadable_file"}
    assert found[1].read() == picture(2)


def test_links_in_a_tar_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert reasons(records(write(tmp_path, {"x.tar": buffer.getvalue()}) / "x.tar")) == {
        "passwd.png": "unreadable_file"
    }


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_tar_that_is_cut_short_ends_the_run_after_what_was_sound(
    tmp_path: Path, runtime: Runtime, name: str
) -> None:
    data = tarred({f"{seed}.png": picture(seed) for seed in range(9)})
    data = data[: 512 * 9 + 100] if name == "x.tar" else gzip.compress(data)[:-200]
    report = index_images(open_source(write(tmp_path, {name: data}) / name), runtime, CATEGORY)
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None and report.error.code == "bad_source"


def test_a_tar_with_a_damaged_header_does_not_end_silently(tmp_path: Path) -> None:
    data = bytearray(tarred({"1.png": picture(1)[:400], "2.png": picture(2)}))
    data[1024:1100] = b"\xff" * 76
    with pytest.raises(BadSource):
        records(write(tmp_path, {"x.tar": bytes(data)}) / "x.tar")


def test_bombs_end_at_the_size_of_a_member_and_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = zipped({"big.png": bytes(3_000_000), "1.png": picture(1)})
    found = records(write(tmp_path, {"x.zip": big}) / "x.zip", max_bytes=1_000_000)
    assert reasons(found) == {"big.png": "file_too_large"}
    monkeypatch.setattr("vitrine.indexer.sources.archives.archive.FREE_BYTES", 1_000_000)
    for name, data in {
        "a.zip": zipped({"z.bin": bytes(9_000_000)}),
        "b.zip": zipped({"i.zip": zipped({"z.bin": bytes(9_000_000)})}),
    }.items():
        with pytest.raises(BadSource, match="unfolds"):
            records(write(tmp_path, {name: data}) / name)


def test_a_member_that_lies_about_its_size_is_not_read_past_the_limit(tmp_path: Path) -> None:
    data = bytearray(zipped({"big.png": bytes(3_000_000)}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    found = records(write(tmp_path, {"x.zip": bytes(data)}) / "x.zip", max_bytes=1000)
    assert all(record.refusal or len(record.read()) <= 1000 for record in found)


# Manifests
# ------------------------------------------------------------------------------------------------------------


def manifest(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    write(folder, {f"{seed}.png": picture(seed) for seed in range(4)})
    return write(folder, {name: text if isinstance(text, bytes) else text.encode()}) / name


def test_columns_say_what_they_are_called(tmp_path: Path) -> None:
    text = (
        "\ufefffile,tags,class,caption,quality,scores.cat,score.red mug,created_at,year\n"
        '0.png,"red|a, b",pet,A cat,0.5,0.9,,2020-01-02,1999\n'
        "1.png,red; mug,,,,,1,2020-01-02T10:00:00+02:00,\n"
        '2.png,"red, mug",,,,,,,\n'
        '3.png,"[""x, y"", ""z""]",,,,,,,\n'
    )
    first, second, third, fourth = records(manifest(tmp_path, text))
    assert (first.tags, first.fields) == (
        ("red", "a, b"),
        {"class": "pet", "caption": "A cat", "quality": 0.5},
    )
    assert (first.scores, first.metadata) == ({"cat": 0.9}, {"year": 1999})
    assert first.created_at == "2020-01-02T00:00:00+00:00"
    assert (second.tags, second.scores, second.metadata) == (("red", "mug"), {"red mug": 1.0}, {})
    assert second.created_at == "2020-01-02T08:00:00+00:00"
    assert (third.tags, fourth.tags) == (("red", "mug"), ("x, y", "z"))
    assert first.read() == picture(0)


def test_a_column_has_one_type_over_the_whole_file(tmp_path: Path) -> None:
    header = "path,whole,number,truth,code,mixed,date,maybe,empty"
    lines = [
        "0.png,1,1,true,007,1,2020-01-01,2020-01-01,",
        "1.png,2,5.5,false,12,x,2021-01-01,unknown,",
        "2.png,,,,,,,,",
    ]
    source = open_source(manifest(tmp_path, "\n".join([header, *lines])))
    found = cast(source)
    assert found[0].metadata == {
        "whole": 1,
        "number": 1.0,
        "truth": True,
        "code": "007",
        "mixed": "1",
        "date": "2020-01-01T00:00:00+00:00",
        "maybe": "2020-01-01",
    }
    assert isinstance(found[0].metadata["number"], float)
    assert found[2].metadata == {}
    assert {field.removeprefix("metadata."): kind for field, kind in source.indexes.items()} == {
        "whole": "integer",
        "number": "float",
        "truth": "bool",
        "code": "keyword",
        "mixed": "keyword",
        "date": "datetime",
        "maybe": "keyword",
        "empty": "keyword",
    }


def test_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"path": "0.png", "tags": ["a", "b"], "n": 1, "list": ["x", "y"]},
        {"path": "1.png", "tags": None, "n": 2.5, "list": None},
    ]
    lines = manifest(tmp_path, b"\n".join(map(orjson.dumps, rows)), "list.jsonl")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "list.parquet")
    for path in (lines, tmp_path / "list.parquet"):
        source = open_source(path)
        first, second = cast(source)
        assert (first.tags, first.metadata, second.metadata) == (
            ("a", "b"),
            {"n": 1.0, "list": ["x", "y"]},
            {"n": 2.5},
        )
        assert source.indexes == {"metadata.n": "float", "metadata.list": "keyword"}
        assert source.total == 2


def test_a_parquet_row_may_hold_the_picture(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": picture(1), "path": "one.png"}, "label": 3}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set.parquet")
    (found,) = records(tmp_path / "set.parquet")
    assert (found.filename, found.read(), found.metadata) == ("one.png", picture(1), {"label": 3})


def test_rows_that_are_wrong_are_refused_one_by_one(tmp_path: Path) -> None:
    lines = [
        "0.png,0.5,1",
        "1.png,no,1",
        "2.png,1.5,1",
        "3.png,inf,1",
        "0.png,0.5",
        "../outside.png,0.5,1",
        "/etc/passwd,0.5,1",
        "absent.png,0.5,1",
        ",0.5,1",
        "1.png,nan,nan",
    ]
    found = records(manifest(tmp_path / "set", "path,quality,n\n" + "\n".join(lines)))
    assert [r.refusal.reason if r.refusal else "" for r in found] == [
        "", "bad_row", "bad_row", "bad_row", "bad_row", "bad_row", "bad_row", "image_missing", "bad_row", "",
    ]  # fmt: skip
    assert "row 3" in (found[1].refusal or pytest.fail()).message  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"path,a,a\n0.png,1,2\n",
        b"name,a\n0.png,1\n",
        "path,Größe\n0.png,1\n".encode("latin-1"),
        b"path," + b"a" * 201 + b"\n0.png,1\n",
        b'path,a\n0.png,"' + b"x" * 11_000_000,
    ],
)
def test_a_table_that_is_unusable_as_a_whole_is_a_bad_source(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(BadSource) as caught:
        records(manifest(tmp_path, text))
    assert "list.csv" in caught.value.message


def test_utf16_semicolons_and_index_columns_are_understood(tmp_path: Path) -> None:
    assert records(manifest(tmp_path, ";path;größe\n0;0.png;2\n".encode("utf-16")))[0].metadata == {
        "größe": 2
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [";", "\t", ",", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_are_read_as_other_programs_write_them(
    tmp_path: Path, encoding: str, separator: str, end: str
) -> None:
    cells = [
        ["FILE", "Größe", "TAGS", '"a, b; c"'],
        ["0.png", "38", '"rot;neu"', '"two\nlines, ""quoted"""'],
        ["1.png", "", "", "x"],
    ]
    text = end.join(separator.join(row) for row in cells) + end
    found = records(manifest(tmp_path, text.encode(encoding)))
    assert [record.tags for record in found] == [("rot", "neu"), ()]
    assert [record.metadata for record in found] == [
        {"Größe": 38, "a, b; c": 'two\nlines, "quoted"'},
        {"a, b; c": "x"},
    ]


def test_a_table_may_name_its_separator_and_have_empty_cells_past_its_columns(tmp_path: Path) -> None:
    (found,) = records(manifest(tmp_path, "sep=;\r\npath;a,b\r\n0.png;x,y;;\r\n"))
    assert found.metadata == {"a,b": "x,y"}
    assert names(records(manifest(tmp_path, "path\n0.png\n"))) == ["0.png"]


def test_columns_are_known_in_any_case_and_the_one_written_exactly_goes_first(tmp_path: Path) -> None:
    header = "File Name,TAGS,Class,Caption,Quality,Created At,Scores.Red,METADATA.Colour,Preis"
    path = manifest(tmp_path, f"{header}\n0.png,a|b,mug,A mug,0.5,2020-01-02,0.25,blue,5\n")
    (found,) = records(path)
    assert (found.tags, found.fields) == (("a", "b"), {"class": "mug", "caption": "A mug", "quality": 0.5})
    assert (found.created_at, found.scores) == ("2020-01-02T00:00:00+00:00", {"Red": 0.25})
    assert set(found.metadata) == {"Colour", "Preis"}
    assert records(path, path_column="FILE_NAME", class_from="preis")[0].fields["class"] == "5"
    (both,) = records(manifest(tmp_path, "File,path,Tags,tags,Quality\nx,0.png,y,z,good\n"))
    assert (both.filename, both.tags, both.metadata) == (
        "0.png",
        ("z",),
        {"File": "x", "Tags": "y", "Quality": "good"},
    )


def numbers(folder: Path, text: str) -> tuple[list[object], str, list[str]]:
    """The values of the column n of a table, the kind of its index, and what is noted of the table."""
    source = open_source(manifest(folder, text))
    values = [record.metadata.get("n") for record in cast(source)]
    return values, source.indexes["metadata.n"], source.notes()


@pytest.mark.parametrize(
    ("cells", "values", "kind"),
    [
        (["12,5", "3"], [12.5, 3.0], "float"),
        (["1.234,50", "1.234", "7"], [1234.5, 1234.0, 7.0], "float"),
        (["-0,5", "1,5E-05", "0,123"], [-0.5, 1.5e-05, 0.123], "float"),
        (["1,234", "12,5"], [1.234, 12.5], "float"),
        (["1.234", "5.678"], [1.234, 5.678], "float"),
        (["12,5", "3.5"], ["12,5", "3.5"], "keyword"),
        (["1,2,3", "12,5"], ["1,2,3", "12,5"], "keyword"),
        (["12,5", "about"], ["12,5", "about"], "keyword"),
        (["1,234", "5,678"], ["1,234", "5,678"], "keyword"),
        (["1,234", "5"], ["1,234", "5"], "keyword"),
    ],
)
def test_decimal_commas_are_read_where_nothing_else_can_be_meant(
    tmp_path: Path, cells: list[str], values: list[object], kind: str
) -> None:
    found, held, notes = numbers(
        tmp_path, "path;n\n" + "".join(f"{row}.png;{cell}\n" for row, cell in enumerate(cells))
    )
    assert (found, held) == (values, kind)
    assert any("1,234, which may be 1234 or 1.234" in note for note in notes) == (
        cells[0] == "1,234" and kind == "keyword"
    )


def test_other_columns_prove_the_decimal_comma_of_a_table_and_leave_what_is_unclear(tmp_path: Path) -> None:
    assert numbers(tmp_path, "path;n;price\n0.png;1,234;12,5\n")[:2] == ([1.234], "float")
    values, kind, notes = numbers(tmp_path, "path;n;price\n0.png;1.234;12,5\n")
    assert (values, kind) == (["1.234"], "keyword") and "1.234, which may be 1234 or 1.234" in notes[0]
    assert numbers(tmp_path, 'path,n\n0.png,"12,5"\n')[:2] == (["12,5"], "keyword")


def test_scores_and_asked_columns_may_have_decimal_commas_too(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path;quality;scores.red;n;class;w\n0.png;0,25;0,5;12,5;2,5;12,5\n1.png;;;;;\n")
    first, _ = records(path, kinds={"n": "float", "w": "keyword"})
    assert (first.fields, first.scores) == ({"quality": 0.25, "class": "2,5"}, {"red": 0.5})
    assert first.metadata == {"n": 12.5, "w": "12,5"}


def test_members_of_an_object_metadata_are_columns_unless_one_of_that_name_says_otherwise(
    tmp_path: Path,
) -> None:
    rows = [
        {"path": "0.png", "metadata": {"camera.make": "Canon", "n": 1}, "metadata.n": 2, "lens": {"f": 2.8}}
    ]
    found = records(manifest(tmp_path, b"\n".join(map(orjson.dumps, rows)), "list.jsonl"))
    assert found[0].metadata == {"camera.make": "Canon", "n": 2, "lens": '{"f":2.8}'}


def test_columns_may_have_any_name_also_as_a_field_is_printed(tmp_path: Path, runtime: Runtime) -> None:
    header = [
        "path",
        "camera.make",
        "EXIF:ISO",
        "a=b",
        'a"b',
        "a b",
        "scores.x.y",
        'metadata."price.gte"',
        r'scores."\"q\""',
    ]
    with open(manifest(tmp_path, ""), "w", newline="") as file:
        csv.writer(file).writerows([header, ["0.png", "Canon", 400, 5, "x", "y", 0.5, 7, 0.25]])
    index_images(open_source(tmp_path / "list.csv"), runtime, CATEGORY)
    payload = payloads(runtime)["0.png"]
    assert payload["metadata"] == {
        "camera.make": "Canon",
        "EXIF:ISO": 400,
        "a=b": 5,
        'a"b': "x",
        "a b": "y",
        "price.gte": 7,
    }
    assert payload["scores"] == {"x.y": 0.5, '"q"': 0.25}
    asked = [
        "metadata.camera.make=Canon",
        "metadata.EXIF:ISO.gte=400",
        "metadata.a=b=5",
        'metadata.a"b=x',
        "metadata.a b=y",
        "score.x.y.gte=0.5",
        "metadata.price.gte=7",
        r'metadata."a\"b"=x',
        'metadata."EXIF:ISO".gte=400',
    ]
    for text in asked:
        key, _, value = text.partition("=")
        assert runtime.searcher.count(CATEGORY, conditions_from_pairs([(key, value)], joined=True)) == 1, text


def test_paths_may_be_those_of_windows(tmp_path: Path) -> None:
    write(tmp_path, {"photos/1.png": picture(1), "img/0.png": picture(0), "a\\b.png": picture(2)})
    cells = [
        "photos\\1.png",
        ".\\photos\\1.png",
        "img\\0.png",
        "a\\b.png",
        "photos\\none.png",
        "..\\..\\etc\\passwd",
    ]
    found = records(manifest(tmp_path, "path\n" + "\n".join(cells)))
    assert names(found) == [
        "photos/1.png",
        "photos/1.png",
        "img/0.png",
        "a/b.png",
        "photos/none.png",
        "etc/passwd",
    ]
    assert [record.read() for record in found[:4]] == [picture(1), picture(1), picture(0), picture(2)]
    assert reasons(found) == {"photos/none.png": "image_missing", "etc/passwd": "bad_row"}


def test_paths_with_a_drive_are_found_by_their_end_if_all_have_the_same_beginning(tmp_path: Path) -> None:
    write(tmp_path, {"a/1.png": picture(1), "a/2.png": picture(2), "1.png": picture(3)})
    cells = [
        "D:\\gone\\9.png",
        "C:\\Users\\me\\a\\1.png",
        "c:\\users\\ME\\a\\2.png",
        "C:\\Users\\you\\1.png",
        "C:\\Users\\me\\a\\3.png",
    ]
    found = records(manifest(tmp_path, "path\n" + "\n".join(cells)))
    assert [record.refusal and record.refusal.reason for record in found] == [
        "bad_row", None, None, "bad_row", "image_missing",
    ]  # fmt: skip
    assert [record.read() for record in found[1:3]] == [picture(1), picture(2)]
    assert "another machine" in (found[0].refusal or pytest.fail()).message  # type: ignore[union-attr]


def test_absolute_paths_below_the_root_are_found_however_the_root_is_written(tmp_path: Path) -> None:
    real = write(tmp_path / "real", {"1.png": picture(1)})
    (tmp_path / "link").symlink_to(real)
    path = manifest(tmp_path / "elsewhere", f"path\n{real}/1.png\n{tmp_path}/link/1.png\n/etc/passwd\n")
    for root in (real, tmp_path / "link"):
        found = records(path, root=root)
        assert names(found) == ["1.png", "1.png", "etc/passwd"] and found[0].read() == found[
            1
        ].read() == picture(1)
        assert reasons(found) == {"etc/passwd": "bad_row"}


DECOMPOSED, COMPOSED = "Zu\u0308rich cafe\u0301.png", "Z\u00fcrich caf\u00e9.png"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "objects"])
def test_names_are_composed_wherever_they_come_from(tmp_path: Path, kind: str) -> None:
    files, objects = {DECOMPOSED: picture(1)}, LocalObjectStore(tmp_path / "objects", min_free_mb=0)
    objects.put(f"in/{DECOMPOSED}", picture(1))
    write(tmp_path, {"set.zip": zipped(files), "set.tar": tarred(files), "in/x": b""})
    write(tmp_path / "in", files)
    location = {
        "folder": tmp_path / "in",
        "zip": tmp_path / "set.zip",
        "tar": tmp_path / "set.tar",
        "objects": "objects:in/",
    }[kind]
    (found,) = [record for record in records(location, objects) if not record.refusal]
    assert found.filename.removeprefix("in/") == COMPOSED and found.read() == picture(1)


@pytest.mark.parametrize(("written", "stored"), [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED)])
def test_a_table_and_the_files_meet_in_one_unicode_form(
    tmp_path: Path, runtime: Runtime, written: str, stored: str
) -> None:
    folder = write(tmp_path / "set", {stored: picture(9)})
    assert records(manifest(folder, f"path\n{written}\n"))[0].read() == picture(9)
    path = manifest(
        tmp_path, f"file,tags,class,sta\u0308dte\n{written},{written},{written},{written}\n", "about.csv"
    )
    index_images(open_source(folder, options=SourceOptions(metadata=path)), runtime, CATEGORY)
    payload = payloads(runtime)[COMPOSED]
    assert (payload["tags"], payload["class"], payload["metadata"]) == (
        [COMPOSED],
        COMPOSED,
        {"st\u00e4dte": COMPOSED},
    )
    pairs = [
        ("filename", written),
        ("tag", written),
        ("tag.any", written),
        ("class", written),
        ("metadata.sta\u0308dte", written),
    ]
    for pair in pairs:
        assert runtime.searcher.count(CATEGORY, conditions_from_pairs([pair])) == 1, pair
    raw = {"where": {"must": [{"key": "tags", "match": {"any": [written]}}]}}
    assert runtime.searcher.count(CATEGORY, parse_conditions(raw)) == 1


def test_columns_and_folders_can_be_named(tmp_path: Path) -> None:
    path = manifest(tmp_path / "pictures", "x,kind\n0.png,pet\n")
    moved = path.rename(tmp_path / "moved.csv")
    (found,) = records(moved, path_column="x", root=tmp_path / "pictures", class_from="kind")
    assert (found.fields, found.read(), found.metadata) == ({"class": "pet"}, picture(0), {})
    with pytest.raises(BadSource, match="no column 'y'"):
        records(moved, path_column="y")


def test_keys_name_objects_and_prefixes_list_them(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path / "objects", min_free_mb=0)
    for key, data in {
        "in/1.png": picture(1),
        "in/sub/2": picture(2),
        "in/x.json": b"{}",
        "out/3.png": picture(3),
    }.items():
        objects.put(key, data)
    found = records(manifest(tmp_path, "key,a\nin/1.png,7\nin/none.png,8\n../x,9\nin\\1.png,10\n"), objects)
    assert found[3].read() == picture(1)
    assert found[0].read() == picture(1) and found[0].metadata == {"a": 7}
    assert reasons(found) == {"in/none.png": "image_missing", "x": "bad_row"}
    listed = records("objects:in/", objects)
    assert names(listed) == ["in/1.png", "in/sub/2"] and listed[1].read() == picture(2)
    with pytest.raises(BadSource):
        records("objects:in/")


# Joining
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["name", "stem", "key", "hash"])
def test_a_table_beside_the_pictures_is_joined(tmp_path: Path, on: str) -> None:
    folder = write(tmp_path / "set", {"sub/1.png": picture(1), "2.png": picture(2)})
    cell = {"name": "1.png", "stem": "1", "key": "sub/1.png", "hash": content_hash(picture(1)).upper()}[on]
    with open(tmp_path / "about.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [["sha256" if on == "hash" else "file", "tags", "n"], [cell, "red", 5], ["other", "", 6]]
        )
    source = open_source(folder, options=SourceOptions(metadata=tmp_path / "about.csv", join_on=on))  # type: ignore[arg-type]
    found = {record.filename: record for record in cast(source)}
    assert (found["sub/1.png"].tags, found["sub/1.png"].metadata) == (("red",), {"n": 5})
    assert found["2.png"].metadata == {}
    assert source.notes()[-1] == f"1 of 2 rows of about.csv met a picture (by {on})."
    assert source.indexes == {"metadata.n": "integer"}


def test_two_rows_for_one_picture_are_a_bad_source(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"1.png": picture(1)})
    (tmp_path / "about.csv").write_text("file,n\n1.png,1\nsub/1.png,2\n")
    with pytest.raises(BadSource, match="several rows"):
        records(folder, metadata=tmp_path / "about.csv")


# Anything
# ------------------------------------------------------------------------------------------------------------


def test_one_file_is_a_source_and_nothing_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"1.png": picture(1), "x.doc": b"words" * 200})
    assert records(tmp_path / "1.png")[0].read() == picture(1)
    for location in ("nothing", "x.doc"):
        with pytest.raises(BadSource):
            records(tmp_path / location)


def test_column_types_reach_the_indexes_of_the_category(tmp_path: Path, runtime: Runtime) -> None:
    path = manifest(
        tmp_path, "path,n\n" + "".join(f"{seed}.png,{seed}\n" for seed in range(3)) + "3.png,0.5\n"
    )
    index_images(open_source(path), runtime, CATEGORY, batch_size=2)
    assert runtime.catalog.get(CATEGORY).indexes["metadata.n"] == "float"
    assert payloads(runtime)["1.png"]["metadata"] == {"n": 1.0}
