"""The format of the data folder: written once, and no other is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitrine.services.errors import OtherFormat
from vitrine.services.runtime import check_data_format, open_runtime
from vitrine.services.settings import Settings


def settings(data: Path) -> Settings:
    return Settings(data=data, min_free_mb=0, offline=True, _env_file=None)  # type: ignore[call-arg,unused-ignore]


def test_a_new_folder_says_its_format_and_opens_again(tmp_path: Path) -> None:
    for _ in range(2):
        with open_runtime(settings(tmp_path / "data")) as runtime:
            assert runtime.catalog.list() == []
    assert json.loads((tmp_path / "data" / "vitrine.json").read_text())["format"] == 2
    assert not list((tmp_path / "data").glob(".vitrine*"))


@pytest.mark.parametrize("text", ['{"format": 1}', '{"format": 3}', "{}", "[]", "cut o", ""])
def test_another_format_is_refused_and_nothing_is_opened(tmp_path: Path, text: str) -> None:
    (tmp_path / "vitrine.json").write_text(text)
    refused = pytest.raises(OtherFormat, match="ndex the images again into a new folder")
    with refused as error, open_runtime(settings(tmp_path)):
        pass
    assert error.value.code == "other_format"
    assert [path.name for path in tmp_path.iterdir()] == ["vitrine.json"]


@pytest.mark.parametrize("name", ["vectors/collections/shop", "objects/_categories"])
def test_a_folder_of_an_earlier_version_says_no_format_and_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(OtherFormat, match="in format 1"):
        check_data_format(settings(tmp_path))


def test_a_folder_with_only_caches_is_new(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    check_data_format(settings(tmp_path), write=False)
    assert not (tmp_path / "vitrine.json").exists()
    check_data_format(settings(tmp_path))
    assert (tmp_path / "vitrine.json").exists()
