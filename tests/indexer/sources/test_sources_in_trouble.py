"""One bad entry of a source is refused by name, and the rest goes on: folders, archives, manifests."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.indexer.pictures import CATEGORY, payloads, picture, write
from tests.indexer.sources.test_sources import names, reasons, records, tarred, zipped
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.thumbnails import thumbnail_key
from vitrine.services.errors import BadSource, Unavailable
from vitrine.services.images.open import content_hash, object_key, point_id
from vitrine.services.object_store.base import ObjectStat
from vitrine.services.object_store.keys import check_key
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime

# Folders
# ------------------------------------------------------------------------------------------------------------


def test_links_in_a_circle_are_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"1.png": picture(1)})
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    (folder / "me.png").symlink_to("me.png")
    (folder / "README.md").symlink_to("gone.md")
    assert reasons(records(folder)) == dict.fromkeys(["me.png", "one", "two"], "unreadable_file")


def test_folders_that_link_to_each_other_are_walked_once_each(tmp_path: Path) -> None:
    folders = [f"{number}" for number in range(9)]
    root = write(tmp_path / "set", {f"{name}/{name}.png": picture(int(name)) for name in folders})
    for name in folders:
        for other in folders:
            (root / name / f"to-{other}").symlink_to(root / other)
    source = open_source(root)
    assert names(list(source)) == [f"{name}/{name}.png" for name in folders]
    assert source.notes() == ["81 links lead to folders that were read already."]
    assert source.total == 9


def test_what_vitrine_stores_is_not_read_as_pictures_of_a_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"1.png": picture(1)})
    data = write(root / "vitrine-data", {"objects/c/images/2.png": picture(2)})
    (root / "a-link").symlink_to(data)
    source = open_source(root, options=SourceOptions(without=data))
    assert (source.total, names(list(source))) == (1, ["1.png"])
    assert source.notes() == ["The data folder of Vitrine lies in this folder and was left out."]
    asked_for = open_source(data, options=SourceOptions(without=data))
    assert names(list(asked_for)) == ["objects/c/images/2.png"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(
        tmp_path / "set", {"mine/1.png": picture(1), "private/2.png": picture(2), "z.png": picture(3)}
    )
    scandir = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", denied)
    found = records(folder)
    assert names(found) == ["mine/1.png", "private", "z.png"]
    assert found[1].refusal and "Permission denied" in found[1].refusal.message


def test_what_vanishes_between_listing_and_reading_is_refused(tmp_path: Path, runtime: Runtime) -> None:
    folder = write(
        tmp_path / "set",
        {"a.png": picture(1), "b/2.png": picture(2), "c.png": picture(3), "d.png": picture(4)},
    )

    def source() -> object:
        for record in open_source(folder):
            yield record
            if record.filename == "a.png":
                shutil.rmtree(folder / "b")
                (folder / "c.png").unlink()

    report = index_images(source(), runtime, CATEGORY)  # type: ignore[arg-type]
    assert (report.added, report.refused, report.status) == (2, 2, "refused")
    assert {name for name, _, _ in report.refusals} == {"b", "c.png"}


def test_a_folder_that_cannot_be_read_at_all_is_a_bad_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()

    def denied(path: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(BadSource, match="Permission denied"):
        open_source(tmp_path / "set")


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "~album/1.png": picture(1),
            "~back.png": picture(2),
            "home/2.png": picture(3),
            "~/3.png": picture(4),
        },
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert names(records("~album")) == ["1.png"]
    assert names(records("~back.png")) == ["~back.png"]
    assert names(records("~/2.png")) == ["2.png"]
    assert names(records("~")) == ["3.png"]
    with pytest.raises(BadSource, match="no file or folder ~nobody-of-this-name/x"):
        records("~nobody-of-this-name/x")


@pytest.mark.parametrize("name", ["IMG_0001", "photo.dat", "scan.backup"])
def test_content_says_what_a_picture_is_wherever_it_lies(tmp_path: Path, name: str) -> None:
    files = {name: picture(1), "notes": b"words", "notes.txt": b"words"}
    folder = write(tmp_path / "set", files)
    write(
        tmp_path, {"x.zip": zipped(files), "x.tar": tarred(files), "list.csv": f"path\nset/{name}\n".encode()}
    )
    for location in (folder, folder / name, tmp_path / "x.zip", tmp_path / "x.tar", tmp_path / "list.csv"):
        found = records(location)
        assert [Path(record.filename).name for record in found] == [name]
        assert found[0].read() == picture(1)
    with pytest.raises(BadSource, match="is no archive"):
        records(folder / "notes")


# Times
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [1e15, -1e15, 1e30, float("nan"), float("inf")])
def test_a_time_that_was_never_meant_is_none(tmp_path: Path, runtime: Runtime, moment: float) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for number, when in enumerate((1.6e9, moment, 1.7e9)):
            info = tarfile.TarInfo(f"{number}.png")
            info.size, info.pax_headers = len(picture(number)), {"mtime": str(when)}
            archive.addfile(info, io.BytesIO(picture(number)))
    report = index_images(open_source(tmp_path / "x.tar"), runtime, CATEGORY)
    assert (report.added, report.status) == (3, "complete")
    assert payloads(runtime)["0.png"]["created_at"] == "2020-09-13T12:26:40+00:00"


def test_a_date_that_no_calendar_has_is_its_rows_refusal(tmp_path: Path) -> None:
    write(tmp_path, {"1.png": picture(1), "2.png": picture(2)})
    write(
        tmp_path,
        {
            "list.csv": b"path,created_at\n1.png,0001-01-01T00:00:00+01:00\n"
            b"2.png,9999-12-31T23:59:59-01:00\n1.png,2020\n"
        },
    )
    found = records(tmp_path / "list.csv")
    assert {record.refusal.reason for record in found[:2] if record.refusal} <= {"bad_row"}
    joined = write(tmp_path / "set", {"1.png": picture(1), "2.png": picture(2)})
    write(tmp_path, {"about.csv": b"file,created_at\n1.png,0001-01-01T00:00:00+01:00\n2.png,2020-01-01\n"})
    assert names(records(joined, metadata=tmp_path / "about.csv")) == ["1.png", "2.png"]


# ZIP
# ------------------------------------------------------------------------------------------------------------


def raw_zip(name: bytes, data: bytes, extra: bytes = b"") -> bytes:
    """A ZIP of one member whose name has no UTF-8 flag."""
    crc, size = zlib.crc32(data), len(data)
    local = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0x5861, crc, size, size, len(name), len(extra)
    )
    entry = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50,
        0x0314,
        20,
        0,
        0,
        0,
        0x5861,
        crc,
        size,
        size,
        len(name),
        len(extra),
        0,
        0,
        0,
        0,
        0,
    )
    first, directory = local + name + extra + data, entry + name + extra
    return first + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(directory), len(first), 0)


def unicode_path(raw: bytes, name: str) -> bytes:
    field = b"\1" + struct.pack("<I", zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x5455, 5) + b"\1\0\0\0\0" + struct.pack("<HH", 0x7075, len(field)) + field


@pytest.mark.parametrize(
    ("raw", "extra", "shown"),
    [
        ("Zürich/fête.png".encode(), b"", "Zürich/fête.png"),
        ("Zürich/fête.png".encode("cp437"), b"", "Zürich/fête.png"),
        (b"Z?rich.png", unicode_path(b"Z?rich.png", "Zürich.png"), "Zürich.png"),
        (b"Z\x81rich.png", unicode_path(b"another name", "wrong.png"), "Zürich.png"),
        (b"plain.png", b"\x75\x70\xff\xff", "plain.png"),
        ("日本/猫.png".encode(), b"", "日本/猫.png"),
    ],
)
def test_zip_names_without_the_utf8_flag(tmp_path: Path, raw: bytes, extra: bytes, shown: str) -> None:
    write(tmp_path, {"x.zip": raw_zip(raw, picture(1), extra if extra[2:] != b"\xff\xff" else b"")})
    (found,) = records(tmp_path / "x.zip")
    assert (found.filename, found.read()) == (shown, picture(1))


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_member_is_refused_among_sound_ones(tmp_path: Path, method: int) -> None:
    noise = os.urandom(3000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in (("1.png", picture(1)), ("bad.png", noise), ("2.png", picture(2))):
            archive.writestr(name, data)
    data = bytearray(buffer.getvalue())
    start = data.index(b"bad.png") + 7
    data[start + 20 : start + 2000] = b"\x55" * 1980
    found = records(write(tmp_path, {"x.zip": bytes(data)}) / "x.zip")
    assert names(found) == ["1.png", "bad.png", "2.png"]
    assert reasons(found) == {"bad.png": "unreadable_file"}
    assert [found[0].read(), found[2].read()] == [picture(1), picture(2)]


def test_links_in_a_zip_are_read_through(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/1.png", picture(1))
        for name, target in (
            ("b/2.png", "../a/1.png"),
            ("b/3.png", "2.png"),
            ("out.png", "/etc/passwd"),
            ("me.png", "me.png"),
        ):
            link = zipfile.ZipInfo(name)
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    found = records(tmp_path / "x.zip")
    assert reasons(found) == {"out.png": "unreadable_file", "me.png": "unreadable_file"}
    assert {record.filename: record.read() for record in found if not record.refusal} == dict.fromkeys(
        ["a/1.png", "b/2.png", "b/3.png"], picture(1)
    )


def test_a_zip_whose_names_are_no_unicode_is_a_bad_source(tmp_path: Path) -> None:
    data = bytearray(zipped({"ä.png": picture(1)}))
    data = bytearray(bytes(data).replace("ä".encode(), b"\xff\xfe"))
    with pytest.raises(BadSource, match="no readable archive"):
        records(write(tmp_path, {"x.zip": bytes(data)}) / "x.zip")


def test_names_of_any_length_and_bytes_are_indexed(tmp_path: Path, runtime: Runtime) -> None:
    long = "d/" * 20_000 + "1.png"
    write(tmp_path, {"long.zip": zipped({long: picture(1), "2.png": picture(2)})})
    report = index_images(open_source(tmp_path / "long.zip"), runtime, CATEGORY)
    assert (report.added, report.refused) == (2, 0)
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("\udcff\udcfe.png")
        info.size = len(picture(3))
        archive.addfile(info, io.BytesIO(picture(3)))
    report = index_images(open_source(tmp_path / "x.tar"), runtime, CATEGORY)
    assert report.added == 1 and "��.png" in payloads(runtime)


# TAR
# ------------------------------------------------------------------------------------------------------------


def linked_tar(path: Path) -> Path:
    """A link before its file, links to it of both kinds and to each other, a link to a folder, and three that
    lead nowhere."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:

        def link(name: str, target: str, kind: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)

        link("early.png", "sub/1.png", tarfile.SYMTYPE)
        for name, data in (("./sub/1.png", picture(1)), ("2.png", picture(2))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link("hard.png", "./sub/1.png", tarfile.LNKTYPE)
        link("sub/soft.png", "../2.png", tarfile.SYMTYPE)
        link("chain.png", "sub/soft.png", tarfile.SYMTYPE)
        link("cover", "2.png", tarfile.SYMTYPE)
        link("latest", "sub", tarfile.SYMTYPE)
        link("out.png", "/etc/passwd", tarfile.SYMTYPE)
        link("round.png", "round.png", tarfile.SYMTYPE)
        link("gone.png", "nothing.png", tarfile.LNKTYPE)
    return path


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_links_in_a_tar_are_read_through(tmp_path: Path, name: str) -> None:
    found = records(linked_tar(tmp_path / name))
    assert reasons(found) == dict.fromkeys(["out.png", "round.png", "gone.png"], "unreadable_file")
    assert {record.filename: record.read() for record in found if not record.refusal} == {
        "sub/1.png": picture(1),
        "early.png": picture(1),
        "hard.png": picture(1),
        "2.png": picture(2),
        "sub/soft.png": picture(2),
        "chain.png": picture(2),
        "cover": picture(2),
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_what_comes_before_a_cut_is_indexed(tmp_path: Path, runtime: Runtime, suffix: str) -> None:
    compress = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.bz2": bz2.compress, ".tar.xz": lzma.compress}[
        suffix
    ]
    noise = {f"{seed}.png": picture(seed, size=(200, 200)) + os.urandom(30_000) for seed in range(40)}
    data = compress(tarred(noise))
    write(tmp_path, {f"x{suffix}": data[: len(data) * 9 // 10]})
    report = index_images(open_source(tmp_path / f"x{suffix}"), runtime, CATEGORY)
    assert report.status == "failed" and report.error and report.error.code == "bad_source"
    assert 1 <= report.added <= 36 and report.added == runtime.vectors.count(CATEGORY)
    if suffix == ".tar":
        assert (report.added, report.refused) == (36, 1)


def test_broken_archives_within_others_leave_the_rest(tmp_path: Path) -> None:
    good = {"1.png": picture(1)}
    cut = gzip.compress(tarred(good | {"2.png": picture(2) + os.urandom(9000)}))[:-3000]
    files = {
        "a.zip": zipped(good)[:-30],
        "b.tar.gz": cut,
        "c.tar": b"",
        "d.zip": b"",
        "e.tgz": b"\0" * 600,
        "z.png": picture(3),
    }
    folder = write(tmp_path / "set", files)
    write(tmp_path, {"outer.zip": zipped(files), "outer.tar": tarred(files)})
    for location in (folder, tmp_path / "outer.zip", tmp_path / "outer.tar"):
        found = records(location)
        assert {"a.zip", "b.tar.gz"} <= set(reasons(found))
        assert found[-1].filename == "z.png" and not found[-1].refusal


# Labels
# ------------------------------------------------------------------------------------------------------------


def test_archives_are_no_labels_unless_asked(tmp_path: Path) -> None:
    inner = zipped({"red/2.png": picture(2), "3.png": picture(3)})
    folder = write(
        tmp_path / "set",
        {"shop/photos.zip": zipped({"blue/1.png": picture(1), "more.tar.gz": b""}), "x.zip": inner},
    )
    write(tmp_path, {"set.zip": zipped({"photos.zip": inner})})

    def tags(location: Path, **options: object) -> dict[str, tuple[str, ...]]:
        return {
            r.filename: r.tags for r in records(location, tags_from_folders=2, **options) if not r.refusal
        }

    assert tags(folder) == {
        "shop/photos.zip/blue/1.png": ("shop", "blue"),
        "x.zip/red/2.png": ("red",),
        "x.zip/3.png": (),
    }
    assert tags(folder, archives_as_folders=True) == {
        "shop/photos.zip/blue/1.png": ("shop", "photos"),
        "x.zip/red/2.png": ("x", "red"),
        "x.zip/3.png": ("x",),
    }
    assert tags(tmp_path / "set.zip") == {"photos.zip/red/2.png": ("red",), "photos.zip/3.png": ()}
    classes = {r.filename: r.fields.get("class") for r in records(folder, class_from="folder")}
    assert classes["x.zip/3.png"] is None and classes["x.zip/red/2.png"] == "red"


# Objects
# ------------------------------------------------------------------------------------------------------------


class Bucket(LocalObjectStore):
    """A store in which other programs wrote under keys of their own, and that goes away for a while, now and
    then."""

    def __init__(self, folder: Path, others: dict[str, bytes], outages: Sequence[int] = ()) -> None:
        super().__init__(folder, min_free_mb=0)
        self.others = others
        self.outages = list(outages)
        """After so many objects a listing breaks off; the first of these, then the second ..."""

    def list(self, prefix: str = "", *, foreign: bool = False) -> Iterator[ObjectStat]:
        listed = [*super().list(prefix, foreign=foreign)]
        if foreign:
            listed += [
                ObjectStat(key, len(self.others[key]), "", datetime.now(UTC))
                for key in self.others
                if key.startswith(prefix)
            ]
        for number, found in enumerate(sorted(listed, key=lambda found: found.key.encode())):
            if self.outages and number == self.outages[0]:
                self.outages.pop(0)
                raise Unavailable("The store does not answer.")
            yield found

    def get(self, key: str, *, first: int | None = None) -> bytes:
        check_key(key, foreign=True)
        return self.others[key][:first] if key in self.others else super().get(key, first=first)


def test_keys_of_other_programs_are_read_or_refused_by_name(tmp_path: Path, runtime: Runtime) -> None:
    others = {
        "in//double.png": picture(2),
        "in/back\\slash.png": picture(3),
        "in/./dot.png": picture(4),
        "in/folder/": b"",
        "in/named/": picture(5),
        "in/new\nline.png": picture(6),
    }
    bucket = Bucket(tmp_path / "bucket", others)
    bucket.put("in/plain.png", picture(1))
    report = index_images(open_source("objects:in/", objects=bucket), runtime, CATEGORY)
    assert (report.added, report.refused, report.status) == (4, 2, "refused")
    assert set(payloads(runtime)) == {"in/plain.png", "in/double.png", "in/back/slash.png", "in/named"}
    assert {reason for _, reason, _ in report.refusals} == {"unreadable_file"}


def test_objects_are_pictures_by_name_or_content(tmp_path: Path) -> None:
    files = {
        "in/IMG_0001": picture(1),
        "in/scan.dat": picture(2),
        "in/a.txt": b"words",
        "in/list.csv": b"a,b",
        "in/.hidden": picture(3),
    }
    bucket = Bucket(tmp_path / "bucket", {})
    for key, data in (
        files | {".private/x.png": picture(4), "in/big.raw2": b"\xff\xd8\xff" + bytes(2000)}
    ).items():
        bucket.put(key, data)
    source = open_source("objects:in", options=SourceOptions(max_bytes=1000), objects=bucket)
    found = list(source)
    assert names(found) == ["in/IMG_0001", "in/big.raw2", "in/scan.dat"]
    assert reasons(found) == {"in/big.raw2": "file_too_large"}
    assert source.notes() == [
        "2 files are no pictures and were not offered: 1 .txt, 1 .csv.",
        "1 hidden file or folder was not looked at.",
    ]
    assert names(records("objects:.private/", bucket)) == [".private/x.png"]


@pytest.mark.parametrize("prefix", ["nothing/", "/in/", "../", "in/1.png/"])
def test_a_prefix_that_no_key_begins_with_is_a_bad_source(tmp_path: Path, prefix: str) -> None:
    bucket = Bucket(tmp_path / "bucket", {})
    bucket.put("in/1.png", picture(1))
    with pytest.raises(BadSource, match="No object has a key that begins with"):
        open_source(f"objects:{prefix}", objects=bucket)


def test_folders_of_keys_count_from_the_prefix(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "bucket", {"shop/in//red/2.png": picture(2)})
    bucket.put("shop/in/blue/deep/1.png", picture(1))
    bucket.put("shop/inbox/3.png", picture(3))

    def tags(prefix: str) -> list[tuple[str, ...]]:
        return [record.tags for record in records(f"objects:{prefix}", bucket, tags_from_folders=1)]

    assert tags("shop/in/") == [("red",), ("blue",)]
    assert tags("shop/in") == [("red",), ("blue",), ("inbox",)]
    assert tags("shop/in/bl") == [("blue",)]
    assert tags("shop/inbox/3.png") == [()]
    assert tags("") == [("shop",)] * 3
    (found,) = records("objects:shop/in/blue", bucket, class_from="folder")
    assert found.fields == {"class": "deep"}


def test_what_vitrine_stores_is_not_read_with_the_pictures_of_a_bucket(tmp_path: Path) -> None:
    stored, other = object_key("shop", content_hash(picture(1)), "png"), "shop/images/ab/cd/1.png"
    bucket = Bucket(tmp_path / "bucket", {"photo.png": picture(2)})
    bucket.put(stored, picture(1))
    bucket.put(other, picture(3))
    bucket.put(thumbnail_key("shop", point_id(content_hash(picture(1))), 320), picture(4, "WEBP"))
    bucket.put("_pictures/" + content_hash(picture(5)), picture(5))
    source = open_source("objects:", objects=bucket)
    assert names(list(source)) == ["photo.png", other]
    assert source.notes() == [
        "Left out: 1 of the pictures that Vitrine stored itself (objects:CATEGORY/images/ reads them)."
    ]
    assert [names(records(f"objects:{prefix}", bucket)) for prefix in ("shop", "shop/images/")] == [
        [stored, other]
    ] * 2


def test_a_listing_goes_on_where_an_outage_broke_it_off(tmp_path: Path, runtime: Runtime) -> None:
    bucket = Bucket(tmp_path / "bucket", {})
    for seed in range(9):
        bucket.put(f"in/{seed}.png", picture(seed))
    source = open_source(
        "objects:in/", objects=bucket, patience=(patience := Patience(60, pause=lambda seconds: None))
    )
    bucket.outages = [4, 0, 0, 7]
    report = index_images(source, runtime, CATEGORY, patience=patience)
    assert (report.added, report.known, report.status) == (9, 0, "complete")
    bucket.outages = [4]
    report = index_images(open_source("objects:in/", objects=bucket), runtime, CATEGORY)
    assert (
        (report.known, report.status) == (4, "failed") and report.error and report.error.code == "unavailable"
    )


# Any source
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), OverflowError("too far"), RuntimeError(), KeyError("x")]
)
def test_what_a_source_gave_before_it_failed_is_indexed(runtime: Runtime, error: Exception) -> None:
    def source() -> object:
        for seed in range(30):
            yield ImageRecord("test", f"{seed}.png", lambda seed=seed: picture(seed))  # type: ignore[misc]
        raise error

    report = index_images(source(), runtime, CATEGORY)  # type: ignore[arg-type]
    assert (report.added, report.status, report.exit_code, report.images) == (30, "failed", 1, 30)
    assert report.error is not None and report.error.code == "bad_source"
    assert type(error).__name__ not in report.error.message and report.error.__cause__ is error
