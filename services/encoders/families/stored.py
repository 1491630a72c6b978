"""Encoders in the object store, trained ones and folders that people named: every server that shares it can
serve them.

    _encoders/<category>/<name>/<version>/    one encoder's folder; ``config.json`` is written last

The version is the beginning of the folder's revision, so it says what the files must be, and what is there
never changes. A model called ``store:`` and that path is downloaded once into a cache folder and loaded from
there like any other folder.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from vitrine.services.encoders.folders.layout import CONFIG, OPEN_CLIP_CONFIG
from vitrine.services.encoders.reference import STORED, EncoderReference
from vitrine.services.encoders.registry import EncoderFamily
from vitrine.services.encoders.resolve import (
    LOCAL_REVISION,
    ResolvedModel,
    folder_revision,
    relevant_files,
    resolve_folder,
)
from vitrine.services.errors import BadRequest, ModelUnavailable
from vitrine.services.object_store.base import ObjectStat, ObjectStore, list_keys
from vitrine.services.object_store.keys import ENCODERS, check_key

LAST = (CONFIG, OPEN_CLIP_CONFIG)
"""The config, one of them, is written after all other files: an encoder without it was never completely
stored."""
REPORTS = ("report.json", "report.md", "curves.png", "worst.png", "reconstructions.png")
"""What training writes for people to look at."""
COMPANIONS = ("split.json", *REPORTS)
"""What travels along without being part of the encoder's revision."""
_VERSION_DIGITS = 16
_STALE_SECONDS = 3600.0
_TEMPORARY = ".tmp-"
_MODEL = re.compile(
    rf"{STORED}({ENCODERS}[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*)/([0-9a-f]{{{_VERSION_DIGITS}}})"
)


class StoredFamily(EncoderFamily):
    """Finds the encoders of an object store; ``cache`` is the folder that gets their files. Their config.json
    says what they are, as in any folder."""

    def __init__(self, objects: ObjectStore, cache: Path) -> None:
        self._objects, self._cache = objects, cache

    def find(self, reference: EncoderReference) -> ResolvedModel | None:
        if not reference.model.startswith(STORED):
            return None
        return resolve_folder(fetch_stored(self._objects, reference.model, self._cache))


def stored_prefix(category: str, name: str) -> str:
    """Return the prefix below which the versions of a category's encoder ``name`` are stored."""
    return f"{ENCODERS}{category}/{name}"


def save_stored(objects: ObjectStore, folder: Path, prefix: str) -> str:
    """Upload an encoder's folder below ``prefix`` (``stored_prefix``); the model's name,
    ``store:<prefix>/<version>``.

    What ``folder_revision`` counts goes up, with the split and the report next to it. Files that are
    there already are not sent again, so a killed upload is continued by the next. ``ModelUnavailable`` if the
    folder holds no encoder.
    """
    files = storable_files(folder)
    model = stored_model(prefix, folder_revision(folder))
    companions = {
        file.name: file for pattern in COMPANIONS for file in folder.glob(pattern) if file.is_file()
    }
    for name, file in sorted((companions | files).items(), key=lambda item: (item[0] in LAST, item[0])):
        key = f"{model.removeprefix(STORED)}/{name}"
        there = objects.stat(key)
        if name in files and there is not None and there.size == file.stat().st_size:
            continue  # the version says what it holds, and objects are never half visible
        objects.put_file(key, file)
    return model


def storable_files(folder: Path) -> dict[str, Path]:
    """Return the files that make an encoder, by their names in its folder. ``ModelUnavailable`` if it holds
    none."""
    files = {file.relative_to(folder).as_posix(): file for file in relevant_files(folder)}
    if not files.keys() & set(LAST) or not any(name.endswith(".safetensors") for name in files):
        raise ModelUnavailable(
            f"{folder} holds no trained encoder: name a folder with {CONFIG} and *.safetensors files."
        )
    return files


def stored_model(prefix: str, revision: str) -> str:
    """Return the model name of an encoder with this revision below ``prefix``:
    ``store:<prefix>/<version>``."""
    return f"{STORED}{prefix}/{_version(revision)}"


def is_stored(objects: ObjectStore, model: str) -> bool:
    """Return whether all of an encoder lies in the object store."""
    prefix, version = _parse(model)
    return any(objects.stat(f"{prefix}/{version}/{name}") is not None for name in LAST)


def fetch_stored(objects: ObjectStore, model: str, cache: Path) -> Path:
    """Return the folder of a stored encoder, downloaded into ``cache`` the first time; processes may do so at
    the same time.

    ``BadRequest`` for a name that is not a stored encoder's, ``ModelUnavailable`` where the store lacks it or
    it is damaged.
    """
    prefix, version = _parse(model)
    folder = cache / prefix.removeprefix(ENCODERS) / version
    if folder.is_dir():
        if _version(folder_revision(folder)) == version:
            return folder
        shutil.rmtree(folder, ignore_errors=True)  # a disk that filled up or a power cut: download it again
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _wipe_stale(cache)
        temporary = cache / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            _download(objects, f"{prefix}/{version}/", temporary)
            if (
                not any((temporary / name).is_file() for name in LAST)
                or _version(folder_revision(temporary)) != version
            ):
                raise ModelUnavailable(
                    f"The encoder {model} is not in the object store as it was promoted: promote its "
                    "folder again.",
                    model=model,
                )
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # another process was faster: what is there now is as good
                temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ModelUnavailable(
            f"The encoder {model} cannot be written below {cache}: {error.strerror or error}."
        ) from error
    if not folder.is_dir():
        raise ModelUnavailable(
            f"The encoder {model} cannot be put into {folder}: check that this user may write there."
        )
    return folder


def stored_reports(objects: ObjectStore, model: str) -> dict[str, ObjectStat]:
    """Return what lies in the store of the reports on an encoder's training, by file name; nothing for a
    model that is not stored."""
    if not model.startswith(STORED):
        return {}
    prefix, version = _parse(model)
    root = f"{prefix}/{version}/"
    found = {stat.key.removeprefix(root): stat for stat in objects.list(root)}
    return {name: found[name] for name in REPORTS if name in found}


def delete_stored(objects: ObjectStore, model: str) -> None:
    """Remove a stored encoder, ``config.json`` first."""
    prefix, version = _parse(model)
    root = f"{prefix}/{version}/"
    for key in [*(root + name for name in LAST), *list_keys(objects, root)]:
        objects.delete(key)


def _parse(model: str) -> tuple[str, str]:
    found = _MODEL.fullmatch(model)
    if found is None:
        raise BadRequest(
            f"{model[:120]!r} is not a stored encoder, such as {STORED}{ENCODERS}CATEGORY/NAME/VERSION."
        )
    return found[1], found[2]


def _version(revision: str) -> str:
    return revision.removeprefix(LOCAL_REVISION)[:_VERSION_DIGITS]


def _download(objects: ObjectStore, root: str, folder: Path) -> None:
    folder.mkdir()
    for key in list_keys(objects, root):
        # a bucket may hold keys with "..": they must not lead out of the folder
        path = folder / check_key(key).removeprefix(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        objects.get_file(key, path)


def _wipe_stale(cache: Path) -> None:
    """Remove what a killed process left half downloaded."""
    oldest = time.time() - _STALE_SECONDS
    for left in cache.glob(f"{_TEMPORARY}*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)
