"""Where metric-learned encoders lie: ``<data>/encoders/<name>/<version>/``, a number that counts up and the
time of training.

The number says which version is the latest: a clock that was set back cannot. Versions without one are older
than all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from vitrine.services.encoders.families.metric_config import KIND, MetricConfig, folder_kind, read_config
from vitrine.services.errors import BadRequest, ModelUnavailable

FOLDER = "encoders"
_VERSION = re.compile(r"v([0-9]+)-")


def new_folder(data: Path, name: str) -> Path:
    """Return the folder of the next version of an encoder."""
    latest = max((_order(version)[0] for version in (data / FOLDER / name).glob("*")), default=0)
    return data / FOLDER / name / f"v{latest + 1:04d}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def trained(data: Path) -> Iterator[tuple[Path, MetricConfig]]:
    """Return all encoders below the data folder, by name, the latest version of each first."""
    folders = [path.parent for path in (data / FOLDER).glob("*/*/config.json")]
    folders += [path.parent for path in (data / FOLDER).glob("*/config.json")]
    for folder in sorted(sorted(folders, key=_order, reverse=True), key=lambda path: path.parent):
        if folder_kind(folder) == KIND:
            try:
                yield folder, read_config(folder)
            except ModelUnavailable:
                continue


def find_folder(data: Path, text: str) -> Path:
    """Return the folder itself, or the latest version of an encoder of that name (or ``name/version``) below
    the data folder.

    ``BadRequest`` where there is none.
    """
    named = data / FOLDER / text
    for folder in (Path(text).expanduser(), named):
        if (folder / "config.json").is_file():
            return folder
    versions = sorted((path.parent for path in named.glob("*/config.json")), key=_order)
    if versions:
        return versions[-1]
    raise BadRequest(
        f"There is no trained encoder {text!r}: name its folder. `vitrine metric list` shows those there are."
    )


def _order(version: Path) -> tuple[int, str]:
    """Return what sorts the versions of an encoder, the latest last."""
    found = _VERSION.match(version.name)
    return int(found[1]) if found else 0, version.name
