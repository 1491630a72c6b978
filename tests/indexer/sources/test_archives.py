"""7z and RAR archives: read in place like ZIP. The RAR files are written here by hand, as they are stored."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

py7zr = pytest.importorskip("py7zr")
pytest.importorskip("rarfile")

from tests.indexer.pictures import CATEGORY, payloads, picture, write
from tests.indexer.sources.test_sources import FILES, OFFERED, names, reasons, records, zipped
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.errors import BadSource, MissingExtra
from vitrine.services.runtime import Runtime


def sevenzipped(files: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return buffer.getvalue()


def _block(kind: int, flags: int, rest: bytes, data: bytes = b"") -> bytes:
    head = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data


def rar4(files: dict[str, bytes], *, method: int = 0x30, flags: int = 0x8000) -> bytes:
    """A RAR archive of version 4 that stores its files as they are; another ``method`` says otherwise."""
    blocks = [b"Rar!\x1a\x07\0", _block(0x73, 0, bytes(6))]
    for name, data in files.items():
        about = struct.pack(
            "<IIBIIBBHI",
            len(data),
            len(data),
            3,
            zlib.crc32(data),
            0x5A21_0000,
            20,
            method,
            len(name),
            0o100644,
        )
        blocks.append(_block(0x74, flags, about + name.encode(), data))
    return b"".join([*blocks, _block(0x7B, 0x4000, b"")])


def _vint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def rar5(files: dict[str, bytes]) -> bytes:
    """A RAR archive of version 5 that stores its files as they are."""

    def block(kind: int, flags: int, rest: bytes, data: bytes = b"") -> bytes:
        size = _vint(len(data)) if flags & 2 else b""
        head = _vint(kind) + _vint(flags) + size + rest
        sized = _vint(len(head)) + head
        return struct.pack("<I", zlib.crc32(sized)) + sized + data

    blocks = [b"Rar!\x1a\x07\x01\0", block(1, 0, _vint(0))]
    for name, data in files.items():
        about = _vint(4) + _vint(len(data)) + _vint(0o644) + struct.pack("<I", zlib.crc32(data))
        about += _vint(0) + _vint(1) + _vint(len(name.encode())) + name.encode()
        blocks.append(block(2, 2, about, data))
    return b"".join([*blocks, block(5, 0, _vint(0))])


MAKERS = {"7z": sevenzipped, "rar": rar4, "5.rar": rar5}


@pytest.mark.parametrize("suffix", MAKERS)
def test_archives_are_read_in_place_like_zip(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, {f"x.{suffix}": MAKERS[suffix](FILES)}) / f"x.{suffix}"
    source = open_source(path)
    found = list(source)
    assert names(found) == OFFERED
    assert [record.read() for record in found] == [picture(1), picture(2), picture(3)]
    assert source.skipped == {"hidden": 1, "no_picture": 1}
    path.rename(tmp_path / "nameless")
    assert names(records(tmp_path / "nameless")) == OFFERED  # by its content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nameless"]


@pytest.mark.parametrize("suffix", MAKERS)
def test_they_are_read_within_folders_and_within_each_other(
    runtime: Runtime, tmp_path: Path, suffix: str
) -> None:
    inner = MAKERS[suffix]({"1.png": picture(1)})
    files = {
        f"in.{suffix}": MAKERS[suffix]({"a/2.png": picture(2)}),
        "out.zip": zipped({f"deep.{suffix}": inner}),
    }
    assert index_images(open_source(write(tmp_path / "set", files)), runtime, CATEGORY).added == 2
    assert sorted(payloads(runtime)) == [f"in.{suffix}/a/2.png", f"out.zip/deep.{suffix}/1.png"]


@pytest.mark.parametrize("suffix", MAKERS)
def test_bombs_and_large_members_end_at_their_limits(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {f"x.{suffix}": MAKERS[suffix]({"1.png": bytes(5_000), "2.png": picture(1)})})
    found = records(path / f"x.{suffix}", max_bytes=4_000)
    assert reasons(found) == {"1.png": "file_too_large"} and names(found) == ["1.png", "2.png"]
    monkeypatch.setattr("vitrine.indexer.sources.archives.archive.FREE_BYTES", 1_000)
    monkeypatch.setattr("vitrine.indexer.sources.archives.archive.MAX_RATIO", 0)
    with pytest.raises(BadSource, match="bombs"):
        records(path / f"x.{suffix}")


@pytest.mark.parametrize("suffix", MAKERS)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_damage_ends_an_archive_and_what_came_before_stays(tmp_path: Path, suffix: str, share: float) -> None:
    whole = MAKERS[suffix]({f"{seed}.png": picture(seed, size=(200, 200)) for seed in range(6)})
    path = write(tmp_path, {f"x.{suffix}": whole[: int(len(whole) * share)]}) / f"x.{suffix}"
    found = []
    try:
        for record in open_source(path):
            found.append(record)
    except BadSource as error:
        assert "readable archive" in error.message
    assert len([record for record in found if record.refusal is None]) < 6


def test_names_that_lead_out_of_an_archive_are_only_shown(tmp_path: Path) -> None:
    tricks = {"../../up.png": picture(1), "/etc/abs.png": picture(2)}
    for suffix, make in (("4.rar", rar4), ("5.rar", rar5)):
        found = records(write(tmp_path, {f"x{suffix}": make(tricks)}) / f"x{suffix}")
        assert names(found) == ["up.png", "etc/abs.png"]


def test_a_solid_7z_is_left_in_the_middle(tmp_path: Path) -> None:
    files = {f"{seed}.png": picture(seed) for seed in range(20)}
    path = write(tmp_path, {"x.7z": sevenzipped(files)}) / "x.7z"
    source = iter(open_source(path))
    assert next(source).filename == "0.png"
    source.close()  # type: ignore[attr-defined]  # its thread ends as well


def test_what_a_7z_or_rar_hides_behind_a_password_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"x.7z": sevenzipped({"1.png": picture(1)}, password="secret")}) / "x.7z"
    with pytest.raises(BadSource, match="password"):
        records(path)
    path = write(tmp_path, {"x.rar": rar4({"1.png": picture(1)}, flags=0x8004)}) / "x.rar"
    assert reasons(records(path)) == {"1.png": "unreadable_file"}


def test_a_compressed_rar_names_the_programs_that_unfold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    path = write(tmp_path, {"x.rar": rar4({"1.png": picture(1)}, method=0x33)}) / "x.rar"
    (found,) = records(path)
    assert found.refusal is not None and "install unrar, unar, 7-Zip or bsdtar" in found.refusal.message


@pytest.mark.parametrize(("suffix", "library"), [("7z", "py7zr"), ("rar", "rarfile")])
def test_without_the_extra_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, library: str
) -> None:
    folder = write(tmp_path, {f"x.{suffix}": MAKERS[suffix]({"1.png": picture(1)})})
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingExtra, match=r"vitrine\[archives\]"):
        records(folder / f"x.{suffix}")
    (refused,) = records(folder)
    assert refused.refusal is not None and "vitrine[archives]" in refused.refusal.message
