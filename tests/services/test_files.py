"""What people are told of files that cannot be used, and where folders are made."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vitrine.services.errors import BadRequest, StorageFull
from vitrine.services.files import expanded, file_error, make_folder, unreadable, unwritable
from vitrine.services.settings import Settings


@pytest.mark.parametrize("path", [Path("/no-such-top-folder"), Path("/no-such-top-folder/below/it")])
def test_no_folder_is_made_at_the_root_of_the_file_system(path: Path) -> None:
    with pytest.raises(BadRequest, match="no folder /no-such-top-folder"):
        make_folder(path)
    assert not Path("/no-such-top-folder").exists()


def test_folders_below_one_that_is_there_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path)
    make_folder(Path("c/d"))
    assert (tmp_path / "a" / "b").is_dir() and (tmp_path / "c" / "d").is_dir()


def test_errors_name_the_file_and_the_reason_in_words() -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "photos/x.jpg")
    assert file_error(denied).message.startswith("photos/x.jpg cannot be used: permission denied.")
    assert unreadable("x.csv", UnicodeDecodeError("utf-8", b"\xc2", 0, 1, "bad")).message.startswith(
        "x.csv cannot be read: it is"
    )
    for error in (
        file_error(OSError(errno.ENOSPC, "No space left on device")),
        unwritable("x", OSError(errno.ENOSPC, "No space")),
    ):
        assert isinstance(error, StorageFull) and "Errno" not in error.message
    assert len(file_error(OSError(errno.ENAMETOOLONG, "File name too long", "n" * 5000)).message) < 400


def test_a_tilde_is_a_home_folder_unless_it_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert expanded(Path("~/data")) == tmp_path / "home" / "data"
    assert expanded(Path("~nobody-of-this-name/x")) == Path("~nobody-of-this-name/x")
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "data").mkdir()
    assert expanded(Path("~/data")) == Path("~/data")


def test_the_data_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRINE_DATA", "~/vitrine")
    assert Settings().data == tmp_path / "vitrine"
