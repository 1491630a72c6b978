"""Collections of older systems, taken over as they are: their vectors are adopted, not computed again."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from indexer.records import ADOPTED, ImageRecord, Source
from indexer.sources.base import SourceOptions, has_image_extension, modified, read_file, shown_name
from indexer.sources.folder import FolderSource
from indexer.sources.joining import refused
from indexer.sources.manifest import ManifestSource
from indexer.sources.rows import split_tags
from indexer.workers import in_order
from services.domain import EncoderSpec, Preprocessing
from services.errors import BadSource, BadVector, ImageRefused
from services.images import DecodeBudget, ImageLimits, pixel_hash
from services.search import unit
from services.walking import walk

_CHUNK = 1 << 20
_NO_PIXELS = Preprocessing(resize=1, crop=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
HashProgress = Callable[[int, int], None]
"""Told (files hashed, files in all) while the pictures of a folder are being identified."""


def adopted_spec(name: str, model: str, dim: int) -> EncoderSpec:
    """The spec of an encoder that is known only by its vectors: search by id and by vector work, nothing can be encoded."""
    return EncoderSpec(name=name, model=model, revision=ADOPTED, dim=dim, modalities=(), preprocessing=_NO_PIXELS)


class VectorDump(Source):
    """``input-metadata.json`` of an older system: a JSON object from pixel hash to file name, tags and embedding.

    ``{hash: {"file_name": ..., "image_tags": [...], "embeddings_vector": [...]}}``, where hash is BLAKE2b of the decoded pixels
    (``services.images.pixel_hash``). ``images`` is the folder where the pictures lie, under whatever names; each is hashed once.
    The file is read as a stream, entry by entry. ``spec`` is the encoder to create the category with, or to add to it.

    An entry without a picture is refused as ``image_missing``, one with a vector of another dimension, a zero vector or numbers
    that are not finite as ``bad_vector``.
    """

    def __init__(
        self,
        path: Path,
        images: Path,
        *,
        vector_name: str,
        vector_model: str,
        threads: int = 0,
        limits: ImageLimits | None = None,
        budget: DecodeBudget | None = None,
        progress: HashProgress | None = None,
    ) -> None:
        if not images.is_dir():
            raise BadSource(f"There is no folder {images} with the pictures of {path.name}.")
        self._path = path
        self._images = images
        self._limits = limits or ImageLimits()
        self._budget = budget
        self.name = shown_name(path.name)
        self.indexes = {}
        self.spec = adopted_spec(vector_name, vector_model, self._first_dim())
        self._paths = _PathIndex()
        self._hash_pictures(threads or os.cpu_count() or 1, progress)

    def __iter__(self) -> Iterator[ImageRecord]:
        for key, entry in entries(self._path):
            yield self._record(key, entry)

    def notes(self) -> list[str]:
        unnamed = self._paths.unused()
        return [f"{unnamed} pictures of the folder have no entry in {self.name}."] if unnamed else []

    def _record(self, key: str, entry: Any) -> ImageRecord:
        if not isinstance(entry, dict):
            return refused(ImageRecord(self.name, shown_name(key)), "bad_row", f"The entry {key!r} is no JSON object.")
        record = ImageRecord(self.name, shown_name(str(entry.get("file_name") or key)))
        path = self._paths.find(key.lower())
        if path is None:
            return refused(record, "image_missing", f"No picture of the folder has the pixel hash {key[:16]}... of the entry.")
        try:
            tags, vector = tuple(split_tags(entry.get("image_tags", ()))), self._vector(entry)
        except BadVector as error:
            return refused(record, "bad_vector", error.message)
        except ValueError as error:
            return refused(record, "bad_row", f"{error}.")
        limit = self._limits.max_bytes
        return ImageRecord(
            self.name,
            record.filename,
            lambda: read_file(path, limit),
            tags=tags,
            created_at=modified(path),
            vectors={self.spec.name: vector},
        )

    def _vector(self, entry: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        numbers = _numbers(entry)
        if len(numbers) != self.spec.dim:
            raise BadVector(f"The vector has {len(numbers)} components; the first entry's has {self.spec.dim}.")
        return unit(numbers)

    def _first_dim(self) -> int:
        """Dimension of the first entry that has a vector."""
        for _, entry in entries(self._path):
            try:
                numbers = _numbers(entry) if isinstance(entry, dict) else np.empty(0)
            except BadVector:
                continue
            if len(numbers):
                return len(numbers)
        raise BadSource(f"{self.name} has no entry with an embeddings_vector.")

    def _hash_pictures(self, threads: int, progress: HashProgress | None) -> None:
        total = FolderSource(self._images, SourceOptions()).total or 0
        files = (found.path for found in walk(str(self._images), has_image_extension) if not found.fault and not found.again)
        paths = (path for path in files if has_image_extension(path))
        with ThreadPoolExecutor(threads, "pixel-hash") as pool:
            for done, (path, digest) in enumerate(in_order(pool, self._hash, paths, 4 * threads), 1):
                if digest:
                    self._paths.add(digest, path)
                if progress:
                    progress(done, total)

    def _hash(self, path: str) -> tuple[str, str | None]:
        try:
            return path, pixel_hash(read_file(path, self._limits.max_bytes), limits=self._limits, budget=self._budget)
        except (OSError, ImageRefused):
            return path, None  # a picture that does not decode cannot be the one that was embedded


def open_class_table(path: Path, *, root: Path | None = None, max_bytes: int = SourceOptions.max_bytes) -> ManifestSource:
    """A CSV ``file,class,label,...`` of an older system: class as it is, the whole number label and the rest as metadata.

    ``BadSource`` if one of the three columns is missing or a label is no whole number.
    """
    source = ManifestSource(path, SourceOptions(path_column="file", root=root, max_bytes=max_bytes))
    missing = [column for column in ("class", "label") if column not in source.columns]
    if missing:
        raise BadSource(f"{path.name} has no column {missing[0]!r}: its columns are file, class, label and any others.")
    if source.indexes["metadata.label"] != "integer":
        raise BadSource(f"The column 'label' of {path.name} holds other things than whole numbers: correct it.")
    return source


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """The members of one large JSON object, one at a time. ``BadSource`` where it stops being one."""
    decoder = json.JSONDecoder()
    with open(path, encoding="utf-8-sig") as file:
        text = file.read(_CHUNK).lstrip()
        if not text.startswith("{"):
            raise BadSource(f"{path.name} is no JSON object.")
        text = text[1:]
        while True:
            text = text.lstrip(" \t\r\n,")
            if text.startswith("}"):
                return
            try:
                key, end = decoder.raw_decode(text)
                value, end = decoder.raw_decode(text, _after_colon(text, end))
            except ValueError as error:  # cut off by the end of what is read so far, or no JSON
                more = file.read(max(_CHUNK, len(text)))  # doubling keeps one huge entry from being parsed over and over
                if not more:
                    raise BadSource(f"{path.name} is damaged or cut short: {error}.") from error
                text += more
                continue
            yield str(key), value
            text = text[end:]


def _after_colon(text: str, start: int) -> int:
    """Where a member's value begins."""
    colon = text.find(":", start)
    if colon < 0 or text[start:colon].strip():
        raise ValueError("a colon is missing")
    while text[colon + 1 : colon + 2].isspace():
        colon += 1
    return colon + 1


def _numbers(entry: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        numbers = np.asarray(entry.get("embeddings_vector", ()), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BadVector(f"The vector is no list of numbers: {error}.") from error
    if numbers.ndim != 1:
        raise BadVector("The vector is no flat list of numbers.")
    return numbers


class _PathIndex:
    """Paths by pixel hash, in a temporary file."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.execute("CREATE TABLE paths (hash TEXT PRIMARY KEY, path BLOB, used INT) WITHOUT ROWID")

    def add(self, digest: str, path: str) -> None:
        self._rows.execute("INSERT OR IGNORE INTO paths VALUES (?, ?, 0)", (digest, os.fsencode(path)))

    def find(self, digest: str) -> str | None:
        found = self._rows.execute("UPDATE paths SET used = 1 WHERE hash = ? RETURNING path", (digest,)).fetchone()
        return os.fsdecode(found[0]) if found else None

    def unused(self) -> int:
        return int(self._rows.execute("SELECT count(*) FROM paths WHERE NOT used").fetchone()[0])
