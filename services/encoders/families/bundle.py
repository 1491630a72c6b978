"""Make a trained encoder whole: with the trunk that it only refers to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vitrine.services.encoders.families.metric_config import (
    KIND,
    TRUNK,
    folder_kind,
    read_config,
    write_config,
)
from vitrine.services.encoders.families.stored import COMPANIONS
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import LOCAL_REVISION, relevant_files


@contextmanager
def whole_folder(folder: Path, loader: EncoderLoader) -> Iterator[Path]:
    """Give the encoder's folder; a trunk that lies in another folder of this machine is put into it, by links
    in a temporary folder.

    A server that shares nothing but the object store has no such folder. Trunks of the hub stay references:
    each server finds the commit in its cache or on the hub. ``ModelUnavailable`` where the trunk is not here.
    """
    config = read_config(folder) if folder_kind(folder) == KIND else None
    if config is None or config.trunk.stored or not config.trunk.revision.startswith(LOCAL_REVISION):
        yield folder
        return
    trunk = replace(loader, offline=True).find(EncoderReference("trunk", config.trunk.model))
    if trunk.revision != config.trunk.revision:
        yield folder  # loading it says which one is wanted and which one was found
        return
    with tempfile.TemporaryDirectory(prefix="vitrine-encoder-") as temporary:
        whole = Path(temporary) / folder.resolve().name
        companions = [file for pattern in COMPANIONS for file in folder.glob(pattern)]
        _link([*relevant_files(folder), *companions], folder, whole)
        _link(relevant_files(trunk.folder), trunk.folder, whole / TRUNK)
        (whole / "config.json").unlink()  # the link, so that the encoder's own file stays as it is
        write_config(whole, replace(config, trunk=replace(config.trunk, stored=True)))
        yield whole


def _link(files: Iterator[Path] | list[Path], root: Path, target: Path) -> None:
    for file in files:
        link = target / file.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
