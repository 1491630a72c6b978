"""Where metric-learned encoders lie: ``<data>/encoders/<name>/<version>/``, the version being the time of training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import BadRequest, ModelUnavailable

if TYPE_CHECKING:
    from services.encoders.metric_config import MetricConfig

FOLDER = "encoders"


def new_folder(data: Path, name: str) -> Path:
    """Where the next version of an encoder goes."""
    return data / FOLDER / name / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def trained(data: Path) -> Iterator[tuple[Path, MetricConfig]]:
    """All encoders below the data folder, by name, the latest version of each first."""
    from services.encoders.metric_config import KIND, folder_kind, read_config

    folders = [path.parent for path in (data / FOLDER).glob("*/*/config.json")]
    folders += [path.parent for path in (data / FOLDER).glob("*/config.json")]
    for folder in sorted(sorted(folders, key=lambda path: path.name, reverse=True), key=lambda path: path.parent):
        if folder_kind(folder) == KIND:
            try:
                yield folder, read_config(folder)
            except ModelUnavailable:
                continue


def find_folder(data: Path, text: str) -> Path:
    """The folder itself, or the latest version of an encoder of that name (or ``name/version``) below the data folder.

    ``BadRequest`` where there is none.
    """
    named = data / FOLDER / text
    for folder in (Path(text).expanduser(), named):
        if (folder / "config.json").is_file():
            return folder
    versions = sorted(path.parent for path in named.glob("*/config.json"))
    if versions:
        return versions[-1]
    raise BadRequest(f"There is no trained encoder {text!r}: name its folder. `vitrine metric list` shows those there are.")
