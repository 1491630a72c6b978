"""Read collections of older systems. Their vectors are taken over as they are, not computed again."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.indexer.ingest.import_json import NamedPictures, json_files
from vitrine.indexer.job.workers import in_order
from vitrine.indexer.sources.base import file_record, read_file, shown_name
from vitrine.indexer.sources.manifest import ManifestSource
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.records import ADOPTED, ImageRecord, Source
from vitrine.indexer.sources.rows import split_tags
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.errors import BadSource, BadVector, ImageRefused
from vitrine.services.images.open import DecodeBudget, ImageLimits, pixel_hash
from vitrine.services.search.questions import unit

_CHUNK = 1 << 20
_HASH = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{128}")
_OF_ENTRIES = frozenset(
    {
        "hash_id",
        "file_name",
        "file_path",
        "file_type",
        "image_tags",
        "tags",
        "embeddings_vector",
        "embeddings_type",
        "model",
        "pretrained",
        "class",
        "caption",
        "image_size_bytes",
        "image_resolution",
        "image_xsize",
        "image_ysize",
    }
)
"""Keys of an entry: a file that begins with one of them is a single entry."""
_NO_PIXELS = Preprocessing(resize=1, crop=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
HashProgress = Callable[[int, int], None]
"""Told (files hashed, files in all) while the pictures of a folder are being identified."""


def adopted_spec(name: str, model: str, dim: int) -> EncoderSpec:
    """Return the spec of an encoder that is known only by its vectors: search by id and by vector work,
    nothing can be encoded."""
    return EncoderSpec(
        name=name, model=model, revision=ADOPTED, dim=dim, modalities=(), preprocessing=_NO_PIXELS
    )


class VectorDump(Source):
    """``input-metadata.json`` of an older system: a JSON object from pixel hash to file name, tags and
    embedding.

    ``{hash: {"file_name": ..., "image_tags": [...], "embeddings_vector": [...]}}``, where hash is BLAKE2b of
    the decoded pixels (``vitrine.services.images.open.pixel_hash``). ``images`` is the folder where the
    pictures lie, under whatever names; each is hashed once. The file is read as a stream, entry by entry.
    ``spec`` is the encoder to create the category with, or to add to it.

    ``path`` may be a folder of such files, of files with one entry each (``hash_id``, or ``file_name`` alone,
    says whose), or of lists of entries; what has no entries is passed over and named in the notes. In a
    folder, entries may all be without vectors: then ``has_vectors`` is False. An entry is found by its name
    only if it has no hash.

    An entry without a picture is refused as ``image_missing``, one with a vector of another dimension, a zero
    vector or numbers that are not finite as ``bad_vector``.
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
        self._files = json_files(path)
        self._passed: list[str] = []
        self._limits = limits or ImageLimits()
        self._budget = budget
        self.name = shown_name(path.name)
        self.indexes = {}
        dim = self._first_dim()
        if not dim and path.is_file():
            raise BadSource(f"{self.name} has no entry with an embeddings_vector.")
        self.has_vectors = dim > 0
        self.spec = adopted_spec(vector_name, vector_model, max(dim, 1))
        self._named = NamedPictures(images)
        self._paths = _PathIndex()
        self._hash_pictures(threads or os.cpu_count() or 1, progress)

    def __iter__(self) -> Iterator[ImageRecord]:
        self._passed.clear()
        for file in self._files:
            try:
                for key, entry in file_entries(file):
                    yield self._record(key, entry)
            except NoEntries as error:
                self._passed.append(file.name)
                if len(self._files) == 1:
                    raise BadSource(f"{self.name} is no dump of images: {error.message}") from error
            except BadSource as error:
                if len(self._files) == 1:
                    raise
                yield ImageRecord(self.name, shown_name(file.name)).refused("bad_row", error.message)

    def notes(self) -> list[str]:
        unnamed = self._paths.unused()
        said = [f"{unnamed} pictures of the folder have no entry in {self.name}."] if unnamed else []
        if self._passed:
            more = f" and {len(self._passed) - 5} more" if len(self._passed) > 5 else ""
            said.append(f"Files without entries were passed over: {', '.join(self._passed[:5])}{more}.")
        return said

    def _record(self, key: str, entry: Any) -> ImageRecord:
        if not isinstance(entry, dict):
            return ImageRecord(self.name, shown_name(key)).refused(
                "bad_row", f"The entry {key!r} is no JSON object."
            )
        record = ImageRecord(self.name, shown_name(str(entry.get("file_name") or key)))
        hashed = _HASH.fullmatch(key) is not None
        path = (
            self._paths.find(key.lower())
            if hashed
            else self._by_name(str(entry.get("file_name") or key), key)
        )
        if path is None:
            missing = (
                f"the pixel hash {key[:16]}... of the entry"
                if hashed
                else f"the name {key!r}, or several have"
            )
            return record.refused("image_missing", f"No picture of the folder has {missing}.")
        try:
            tags = tuple(split_tags(entry.get("image_tags") or entry.get("tags") or ()))
            vectors = {self.spec.name: self._vector(entry)} if self.has_vectors else {}
        except BadVector as error:
            return record.refused("bad_vector", error.message)
        except ValueError as error:
            return record.refused("bad_row", f"{error}.")
        said = {name: entry[name] for name in ("class", "caption") if isinstance(entry.get(name), str | int)}
        record = file_record(self.name, path, record.filename, self._limits.max_bytes)
        return replace(record, tags=tags, fields=said, vectors=vectors)

    def _by_name(self, name: str, key: str) -> str | None:
        path = self._named.find(name.replace("\\", "/")) or self._named.find(key.replace("\\", "/"))
        if path is not None:
            self._paths.use(path)
        return path

    def _vector(self, entry: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        numbers = _numbers(entry)
        if len(numbers) != self.spec.dim:
            raise BadVector(
                f"The vector has {len(numbers)} components; the first entry's has {self.spec.dim}."
            )
        return unit(numbers)

    def _first_dim(self) -> int:
        """Return the dimension of the first entry that has a vector; 0 if none has."""
        for file in self._files:
            try:
                for _, entry in file_entries(file):
                    try:
                        numbers = _numbers(entry) if isinstance(entry, dict) else np.empty(0)
                    except BadVector:
                        continue
                    if len(numbers):
                        return len(numbers)
            except BadSource:
                if len(self._files) == 1:
                    raise
        return 0

    def _hash_pictures(self, threads: int, progress: HashProgress | None) -> None:
        paths = self._named.paths
        with ThreadPoolExecutor(threads, "pixel-hash") as pool:
            for done, (path, digest) in enumerate(in_order(pool, self._hash, paths, 4 * threads), 1):
                if digest:
                    self._paths.add(digest, path)
                if progress:
                    progress(done, len(paths))

    def _hash(self, path: str) -> tuple[str, str | None]:
        try:
            return path, pixel_hash(
                read_file(path, self._limits.max_bytes), limits=self._limits, budget=self._budget
            )
        except (OSError, ImageRefused):
            return path, None  # a picture that does not decode cannot be the one that was embedded


def open_class_table(
    path: Path, *, root: Path | None = None, max_bytes: int = SourceOptions.max_bytes
) -> ManifestSource:
    """Open a CSV ``file,class,label,...`` of an older system; the whole number label and all other columns
    become metadata.

    ``BadSource`` if one of the three columns is missing or a label is no whole number.
    """
    source = ManifestSource(path, SourceOptions(path_column="file", root=root, max_bytes=max_bytes))
    missing = [column for column in ("class", "label") if column not in source.columns]
    if missing:
        raise BadSource(
            f"{path.name} has no column {missing[0]!r}: its columns are file, class, label and any others."
        )
    if source.indexes["metadata.label"] != "integer":
        raise BadSource(
            f"The column 'label' of {path.name} holds other things than whole numbers: correct it."
        )
    return source


class NoEntries(BadSource):
    """Raised for a JSON file that holds no entries of images, such as a list of tags by hash."""


def file_entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a file with their hash or name: the members of one large object, a single entry,
    or a list of entries.

    ``BadSource`` for what is no JSON, ``NoEntries`` for JSON of other things.
    """
    with open(path, encoding="utf-8-sig") as file:
        start = file.read(64).lstrip()[:1]
    if start == "[":
        listed = _loaded(path)
        if not all(isinstance(one, dict) and _keyed(one) for one in listed):
            raise NoEntries(
                f"{path.name} is a list of other things than entries with a hash_id or file_name."
            )
        yield from ((str(_keyed(one)), one) for one in listed)
        return
    first = True
    for key, value in entries(path):
        if first and key in _OF_ENTRIES and not isinstance(value, dict):
            one = _loaded(path)
            if not _keyed(one):
                raise NoEntries(f"{path.name} is an entry without a hash_id or file_name.")
            yield str(_keyed(one)), one
            return
        if first and not isinstance(value, dict):
            raise NoEntries(f"{path.name} holds other things than entries.")
        first = False
        yield key, value


def _keyed(entry: Mapping[str, Any]) -> Any:
    """Return the hash or name that an entry belongs to."""
    return entry.get("hash_id") or entry.get("file_name") or entry.get("file_path")


def _loaded(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadSource(f"{path.name} is no JSON that can be read: {error}.") from error


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the members of one large JSON object, one at a time. Raises ``BadSource`` where it stops being
    one."""
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
                more = file.read(
                    max(_CHUNK, len(text))
                )  # doubling keeps one huge entry from being parsed over and over
                if not more:
                    raise BadSource(f"{path.name} is damaged or cut short: {error}.") from error
                text += more
                continue
            yield str(key), value
            text = text[end:]


def _after_colon(text: str, start: int) -> int:
    """Return where the value of a member begins."""
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
    """Finds paths by pixel hash, in a temporary file."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.execute("CREATE TABLE paths (hash TEXT PRIMARY KEY, path BLOB, used INT) WITHOUT ROWID")

    def add(self, digest: str, path: str) -> None:
        self._rows.execute("INSERT OR IGNORE INTO paths VALUES (?, ?, 0)", (digest, os.fsencode(path)))

    def find(self, digest: str) -> str | None:
        found = self._rows.execute(
            "UPDATE paths SET used = 1 WHERE hash = ? RETURNING path", (digest,)
        ).fetchone()
        return os.fsdecode(found[0]) if found else None

    def use(self, path: str) -> None:
        """Note that a picture has an entry."""
        self._rows.execute("UPDATE paths SET used = 1 WHERE path = ?", (os.fsencode(path),))

    def unused(self) -> int:
        return int(self._rows.execute("SELECT count(*) FROM paths WHERE NOT used").fetchone()[0])
