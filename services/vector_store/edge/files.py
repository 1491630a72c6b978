"""The files around the engine's shards.

```
<data>/lock                                    who owns the folder, and where it listens
<data>/engine.sock, engine.log                 where the engine listens, and what it had to say
<data>/trash/                                  dropped folders on their way out
<data>/collections/<name>/collection.json      the schema; without it a creation did not finish
<data>/collections/<name>/points.json          points acknowledged at least
<data>/collections/<name>/closed.json          what it held when it was closed, see Closed
<data>/collections/<name>/current              which generation is the shard
<data>/collections/<name>/gen-<hex>/           the shard; other ones: an indexing run that did not finish
```
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import quote, unquote

import orjson

from vitrine.services.domain import CollectionSchema, IndexKind, Quantization, VectorSpec
from vitrine.services.errors import BadRequest, StorageFull, StoreDamaged, rebuilt
from vitrine.services.files import sync
from vitrine.services.sealed import sealed, unsealed

MEGABYTE = 1 << 20
_MAX_FOLDER_NAME = 200
_COPY_BYTES = 8 * MEGABYTE


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Replace the file in one step. ``durable`` also survives a power cut."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(orjson.dumps(value))
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durable:
        sync(path.parent)


def read_json(path: Path) -> Any:
    """Return the file's value; None if it is absent, empty or cut short, or cannot be read at all."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def sync_tree(folder: Path) -> None:
    """Make everything below the folder durable, which a copy alone does not."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() or path.is_file():
            sync(path)


def sync_folders(folder: Path) -> None:
    """Make the names of all files below the folder durable, which a sync of the files alone does not."""
    for above, _, _ in os.walk(folder):
        sync(above)


def folder_name(collection: str) -> str:
    """Return a safe name of one folder for any collection name. ``BadRequest`` if it is empty or too long."""
    name = quote(collection, safe=" ").replace(".", "%2E")
    if not collection or len(name) > _MAX_FOLDER_NAME:
        raise BadRequest(f"{collection!r} is no collection name: give 1 to {_MAX_FOLDER_NAME} characters.")
    return name


def check_space(folder: Path, needed: int) -> None:
    """Raise ``StorageFull`` unless ``needed`` bytes are free: the engine writes through mapped files, and a
    full disk kills it."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageFull(
            f"Only {free // MEGABYTE} MB are free under {str(folder)!r}, and "
            f"{max(1, needed // MEGABYTE)} MB are needed to write safely. Free some space, or lower "
            "VITRINE_MIN_FREE_MB.",
            free_mb=free // MEGABYTE,
            needed_mb=needed // MEGABYTE,
        )


def disk_bytes(folder: Path) -> int:
    """Return how many bytes the folder takes on the disk; holes of sparse files take nothing."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def copy_sparse(source: Path, target: Path, *, shared: Callable[[Path], bool] | None = None) -> None:
    """Copy a folder; holes stay holes: a shard's logs are hundreds of megabytes long and nearly empty.

    ``shared``: files that nobody writes to any more, which both folders may have in common.
    """
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        elif path.is_file():
            to.parent.mkdir(parents=True, exist_ok=True)
            if shared is None or not shared(path) or not _link(path, to):
                _copy_file(path, to)


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        return False
    return True


def _copy_file(source: Path, target: Path) -> None:
    if sys.platform != "linux":  # elsewhere sendfile knows no files as targets
        shutil.copyfile(source, target)
        return
    with source.open("rb") as src, target.open("wb") as dst:
        size = os.fstat(src.fileno()).st_size
        os.ftruncate(dst.fileno(), size)
        at = 0
        while at < size:
            try:
                start = os.lseek(src.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                return
            at = os.lseek(src.fileno(), start, os.SEEK_HOLE)
            os.lseek(dst.fileno(), start, os.SEEK_SET)
            while start < at:
                start += os.sendfile(dst.fileno(), src.fileno(), start, min(_COPY_BYTES, at - start))


class CollectionFiles:
    """The files of one collection; the shard itself is the engine's."""

    def __init__(self, data: Path, collection: str) -> None:
        self.name = collection
        self.folder = data / "collections" / folder_name(collection)
        self.trash = data / "trash"

    @property
    def shard(self) -> Path:
        """Folder of the current generation. ``StoreDamaged`` if the pointer to it is lost."""
        name = read_json(self.folder / "current")
        if not isinstance(name, str) or not (self.folder / name).is_dir():
            raise StoreDamaged(
                f"Collection {self.name!r} has lost the pointer to its current shard, or the shard. "
                f"{rebuilt(self.name)}",
                collection=self.name,
                folder=str(self.folder),
            )
        return self.folder / name

    def new_generation(self) -> Path:
        """Return a new folder name for a shard, not created yet."""
        return self.folder / f"gen-{uuid.uuid4().hex[:12]}"

    def point_to(self, shard: Path) -> None:
        """Make ``shard`` current, in one step. It must be flushed."""
        sync(self.folder)
        write_json(self.folder / "current", shard.name)

    def wipe_leftovers(self) -> None:
        """Remove what indexing runs that were killed left behind."""
        current = self.shard
        for path in self.folder.glob("gen-*"):
            if path != current:
                shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(current / "temp_segments", ignore_errors=True)

    def write_schema(self, schema: CollectionSchema) -> None:
        """Keep the schema: from the first time on, the collection exists."""
        write_json(self.folder / "collection.json", sealed(schema_plain(schema)))
        sync(self.folder.parent)

    def write_points(self, points: int, *, durable: bool) -> None:
        """Note how many points must be there at the next open.

        The note may say too few, never too many: it is written after the flush that added points, but durably
        before a delete.
        """
        write_json(self.folder / "points.json", sealed({"points": points}), durable=durable)

    def read_points(self) -> int:
        """Return the number of points that must exist; 0 where the note is lost, or not as it was
        written."""
        note = read_json(self.folder / "points.json")
        if isinstance(note, int):  # as versions to 0.8 wrote it
            return note
        try:
            return int(unsealed(note)["points"])
        except ValueError:
            return 0

    def discard(self) -> Path:
        """Take the whole collection away in one step; the caller removes the folder that is returned."""
        self.trash.mkdir(exist_ok=True)
        away = self.trash / uuid.uuid4().hex
        os.rename(self.folder, away)
        sync(self.folder.parent)
        return away


def schema_plain(schema: CollectionSchema) -> dict[str, Any]:
    """Return a schema as JSON."""
    return {
        "name": schema.name,
        "vectors": [[v.name, v.dim] for v in schema.vectors],
        "indexes": dict(schema.indexes),
        "quantization": schema.quantization,
    }


def schema_from_plain(plain: dict[str, Any]) -> CollectionSchema:
    """Return the schema that ``schema_plain`` wrote. ``LookupError``, ``TypeError`` or ``ValueError`` where
    it is anything else: no other collection may suffer from what a damaged one says."""
    vectors = tuple(VectorSpec(name, dim) for name, dim in plain["vectors"])
    indexes, quantization = dict(plain["indexes"]), plain.get("quantization")  # version 0.5 wrote none
    if not all(isinstance(vector.name, str) and isinstance(vector.dim, int) for vector in vectors):
        raise ValueError("a vector is not a name and a dimension")
    if not set(indexes.values()) <= set(get_args(IndexKind)):
        raise ValueError("an index is of no known kind")
    if quantization not in (None, *get_args(Quantization)):
        raise ValueError("the quantization is unknown")
    return CollectionSchema(plain["name"], vectors, indexes, quantization)


def read_schemas(data: Path) -> tuple[dict[str, CollectionSchema], dict[str, StoreDamaged]]:
    """Return every collection's schema by name, and an error for each that has none to read. Changes
    nothing."""
    schemas, damaged = {}, {}
    for folder in _folders(data):
        if _is_unfinished(folder):
            continue
        name = unquote(folder.name)
        try:
            schema = schema_from_plain(unsealed(read_json(folder / "collection.json"), optional=True))
            if schema.name != name:
                raise ValueError("it is another collection's")
            schemas[name] = schema
        except (LookupError, TypeError, ValueError):
            message = f"The schema of collection {name!r} is lost or damaged. {rebuilt(name)}"
            damaged[name] = StoreDamaged(message, collection=name, folder=str(folder))
    return schemas, damaged


def clear_leftovers(data: Path) -> None:
    """Remove what is on its way out, and folders whose creation did not finish. The folder's lock must be
    held."""
    (data / "collections").mkdir(parents=True, exist_ok=True)
    for folder in (data, data.parent, data.parent.parent):  # the data directory may be new, too
        sync(folder)
    shutil.rmtree(data / "trash", ignore_errors=True)
    for folder in _folders(data):
        if _is_unfinished(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _folders(data: Path) -> list[Path]:
    try:
        return sorted(path for path in (data / "collections").iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _is_unfinished(folder: Path) -> bool:
    return not (folder / "collection.json").exists() and not (folder / "points.json").exists()


# What a closed collection knew of itself
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Closed:
    """What a collection held when it was closed: ``points``, exact; ``indexed``: vectors under HNSW. While
    files are as they were then, it need not be opened to tell: opening maps hundreds of megabytes and takes
    up to half a second of processor time."""

    points: int
    indexed: int


_CLOSED: Final = "closed.json"


def write_note(files: CollectionFiles, known: Closed) -> None:
    """Note what is known of a collection whose shard has just been closed. A full disk leaves no note."""
    with contextlib.suppress(OSError):
        figures = (known.points, known.indexed)
        note = {"points": known.points, "indexed": known.indexed, "hash": _state(files.folder, *figures)}
        write_json(files.folder / _CLOSED, note, durable=False)


def remove_note(files: CollectionFiles) -> None:
    """Remove the note, durably: the collection is about to be opened."""
    with contextlib.suppress(FileNotFoundError):
        (files.folder / _CLOSED).unlink()
        sync(files.folder)


def read_note(files: CollectionFiles) -> Closed | None:
    """Return what was noted; None if there is no note, if it is not as it was written, or if a file has
    changed since."""
    note = read_json(files.folder / _CLOSED)
    if not isinstance(note, dict):
        return None
    points, indexed = note.get("points"), note.get("indexed")
    if not isinstance(points, int) or not isinstance(indexed, int):
        return None
    return Closed(points, indexed) if note.get("hash") == _state(files.folder, points, indexed) else None


def _state(folder: Path, *figures: object) -> str:
    """Return a hash of these figures, of the names of all folders below this one, and of the names, sizes and
    moments of change of all files."""
    found = hashlib.sha256(repr(figures).encode())
    for path, size, changed in sorted(_files(folder, "")):
        found.update(f"{path}\0{size}\0{changed}\n".encode())
    return found.hexdigest()


def _files(folder: Path | str, prefix: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield f"{name}/", 0, 0
                yield from _files(entry.path, f"{name}/")
            elif not name.startswith(_CLOSED):
                stat = entry.stat(follow_symlinks=False)
                yield name, stat.st_size, stat.st_mtime_ns
