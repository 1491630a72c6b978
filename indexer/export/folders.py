"""Exports pictures into folders by tag, class, score, cluster or any other field. Files are never
overwritten."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from vitrine.indexer.export.common import ExportReport, pages
from vitrine.indexer.export.names import bin_name, file_names, safe_name
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.workers import in_order
from vitrine.services.category.catalog import Category
from vitrine.services.category.field_names import find_field, find_member
from vitrine.services.category.fields import INTERNAL
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Hit, OrderBy, Payload
from vitrine.services.errors import BadRequest, NotFound, UnknownField
from vitrine.services.files import make_folder, unwritable
from vitrine.services.images.open import content_hash
from vitrine.services.jobs.places import is_made_by_job
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime
from vitrine.services.search.score_validity import explained, is_score
from vitrine.services.values.field_paths import value_at

Mode = Literal["copy", "hardlink", "symlink"]
MAX_BINS = 1000
_READERS, _READ_AHEAD = 8, 32


class Sorting(Protocol):
    """Decides which folders an image goes into."""

    def names(self, payload: Mapping[str, Any]) -> list[str]:
        """Return the folders of an image, relative to the target, with ``/`` between parts; [] leaves it
        out."""
        ...


@dataclass(frozen=True)
class FolderBy:
    """Sorts images by a field: by its values, or for numbers by bins with these ascending ``edges``."""

    field: str
    edges: tuple[float, ...] = ()

    def names(self, payload: Mapping[str, Any]) -> list[str]:
        """Return the folders of an image; [] if it lacks the field."""
        value = value_at(payload, self.field)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if self.edges:
            numbers = [float(number) for number in values if isinstance(number, int | float)]
            return [bin_name(self.edges, number) for number in numbers[:1]]
        return list(dict.fromkeys(safe_name(words) for words in map(_words, values) if words))


def parse_by(runtime: Runtime, category: str, text: str, bins: int) -> FolderBy:
    """Read ``score:TAG``, ``tag``, ``class``, or a field such as ``quality`` or ``metadata.season``.

    Scores and quality get equal bins of 0..1, other fractional numbers equal bins from the least to the
    greatest; all else is sorted by value. ``UnknownField`` unless the field is indexed, ``BadRequest`` for
    what cannot be sorted by.
    """
    if not 1 <= bins <= MAX_BINS:
        raise BadRequest(f"--bins takes 1 to {MAX_BINS}, not {bins}.")
    cat = runtime.catalog.get(category)
    path = _field(text, cat.indexes)
    kind = cat.indexes.get(path)
    if kind is None:
        known = sorted(name for name in cat.indexes if name.partition(".")[0] not in INTERNAL)
        raise UnknownField(
            f"Category {category!r} has no field {path!r} to sort by; it has: {', '.join(known)}.", field=path
        )
    if is_score(path):
        return FolderBy(path, tuple(number / bins for number in range(bins + 1)))
    if kind == "float":
        return FolderBy(path, _edges(runtime, cat, path, bins))
    return FolderBy(path)


def export_folders(
    runtime: Runtime,
    category: str,
    target: Path,
    by: Sorting,
    *,
    conditions: Conditions,
    mode: Mode = "copy",
    placed: Callable[[Sequence[ExportedImage]], Mapping[str, str]] | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Put the pictures of a category into ``target/<value>/<file name>``; an image with several values goes
    into the folder of each.

    File names are the original ones, made safe; where another picture has the name, eight digits of the
    content hash are added. Files that are there stay as they are, and one with the same content counts as
    exported, so that the export can be run again.

    ``hardlink`` and ``symlink`` (absolute: the folder may be moved, the data may not) need the local object
    store. The linked files are the stored ones: to edit them damages the store. ``placed`` is called with
    each page of images whose files are there, and returns the reasons of those that failed after all, by id.
    ``BadRequest``, ``NotFound``, ``UnknownField``.
    """
    report = ExportReport(category, str(target))
    work = _Folders(runtime, target, by, mode, runtime.taggers.unsettled(category))
    job = Job(runtime, category, report, progress, stop)
    with job.running(keep_errors=True), ThreadPoolExecutor(_READERS, "export-readers") as readers:
        total = runtime.searcher.count(category, conditions)
        with job.stage("exporting", total) as advance:
            for page in pages(runtime, category, conditions):
                images = in_order(readers, work.read, page, _READ_AHEAD)
                done = [image for image in images if work.place(image, report)]
                reasons = placed(done) if placed is not None else {}
                report.images -= len(reasons)
                report.failed += reasons.items()
                advance(report.done, total)
    return report


def check_target(runtime: Runtime, target: Path) -> None:
    """Raise ``BadRequest`` if pictures cannot be exported to ``target``."""
    data, whole = runtime.settings.data.resolve(), target.resolve()
    if (whole == data or whole.is_relative_to(data)) and not is_made_by_job(data, whole):
        raise BadRequest(
            f"{target} lies in the data folder, which holds the stores: export to another place."
        )
    if target.exists() and not target.is_dir():
        raise BadRequest(f"{target} is not a folder.")


@dataclass(eq=False)
class ExportedImage:
    """One image: the ``folders`` it goes into, its ``files`` in them so far, its bytes while they are to be
    written, and why it could not be exported."""

    id: str
    payload: Payload
    folders: list[str]
    data: bytes = b""
    reason: str = ""
    files: list[Path] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return str(self.payload.get("sha256", ""))

    @property
    def object_key(self) -> str:
        return str(self.payload.get("object_key", ""))


@dataclass(frozen=True)
class _Folders:
    runtime: Runtime
    target: Path
    by: Sorting
    mode: Mode
    unsettled: Mapping[str, str]

    def __post_init__(self) -> None:
        objects = self.runtime.objects
        if self.mode != "copy" and not isinstance(objects, LocalObjectStore):
            raise BadRequest(
                f"--mode {self.mode} needs the pictures on this machine, but they lie in a bucket: use "
                "--mode copy."
            )
        check_target(self.runtime, self.target)

    def read(self, hit: Hit) -> ExportedImage:
        """Return the image, with its bytes if a file is to be written."""
        image = ExportedImage(hit.id, hit.payload, self.by.names(explained(hit.payload, self.unsettled)))
        if self.mode != "copy" or all(self._is_there(image, folder) for folder in image.folders):
            return image
        try:
            image.data = self.runtime.objects.get(image.object_key)
        except (NotFound, BadRequest):
            image.reason = "image_missing"
        else:
            if content_hash(image.data) != image.sha256:
                image.reason, image.data = "damaged_image", b""
        return image

    def place(self, image: ExportedImage, report: ExportReport) -> bool:
        """Write the file into each folder of the image; return whether it is in all of them."""
        if not image.folders:
            report.without += 1
            return False
        for folder in image.folders if not image.reason else ():
            written = self._write(image, folder)
            if written is None:
                image.reason = image.reason or "name_taken"
                continue
            report.files += written
            report.there += not written
            report.folders[folder] += 1
        if image.reason:
            report.failed.append((image.id, image.reason))
        else:
            report.images += 1
        image.data = b""
        return not image.reason

    def _paths(self, image: ExportedImage, folder: str) -> list[Path]:
        return [self.target / folder / name for name in file_names(image.payload)]

    def _is_there(self, image: ExportedImage, folder: str) -> bool:
        return any(same_content(path, image.sha256) for path in self._paths(image, folder))

    def _write(self, image: ExportedImage, folder: str) -> bool | None:
        """Return True: written; False: there already; None: not possible, ``image.reason`` may say why."""
        paths = self._paths(image, folder)
        there = next((path for path in paths if same_content(path, image.sha256)), None)
        if there is not None:  # whatever its name: an earlier one may have become free since
            image.files.append(there)
            return False
        for path in paths:
            if os.path.lexists(path):
                continue
            try:
                make_folder(path.parent)
                self._make(image, path)
                image.files.append(path)
                return True
            except FileExistsError:
                continue
            except NotFound:
                image.reason = "image_missing"
                return None
            except OSError as error:
                raise unwritable(path, error) from error
        return None

    def _make(self, image: ExportedImage, path: Path) -> None:
        if self.mode == "copy":
            _copy(image.data, path)
            return
        assert isinstance(self.runtime.objects, LocalObjectStore)
        source = self.runtime.objects.local_path(image.object_key)
        if self.mode == "symlink":
            path.symlink_to(source)
            return
        try:
            path.hardlink_to(source)
        except FileExistsError:
            raise
        except OSError as error:
            raise BadRequest(
                f"{path.parent} takes no hard links to the data folder ({error.strerror}): use --mode copy "
                "or symlink."
            ) from error


def _copy(data: bytes, path: Path) -> None:
    """Write the whole file or none. ``FileExistsError`` if there is one."""
    partial_path = path.parent / f".{content_hash(path.name.encode())[:16]}.part"
    partial_path.write_bytes(data)
    try:
        os.link(partial_path, path)  # unlike a rename it fails where there is a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "xb") as file:
            file.write(data)
    finally:
        with suppress(FileNotFoundError):
            partial_path.unlink()


def same_content(path: Path, sha256: str) -> bool:
    """Return whether there is a file whose bytes have this hash."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _field(text: str, known: Container[str]) -> str:
    kind, colon, tag = text.partition(":")
    if colon and kind == "score" and tag:
        return find_member("scores", tag, known)
    field = find_field({"tag": "tags"}.get(text, text), known)
    if colon and field not in known:
        raise BadRequest(
            f"--by takes score:TAG, tag, class, or a field such as quality or metadata.season, not {text!r}."
        )
    return field


def _edges(runtime: Runtime, category: Category, path: str, bins: int) -> tuple[float, ...]:
    """Return the edges of equal bins from the least to the greatest value of a number."""
    ends: list[float] = []
    for descending, extreme in ((False, min), (True, max)):
        hits = runtime.vectors.scroll(category.name, order_by=OrderBy(path, descending), limit=1).hits
        if not hits:
            return (0.0, 1.0)
        value = value_at(hits[0].payload, path)
        ends.append(float(extreme(value) if isinstance(value, list) else value))
    width = (ends[1] - ends[0]) / bins or 1.0
    return tuple(ends[0] + width * number for number in range(bins + 1))


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if isinstance(value, Mapping | list) else str(value).strip()
