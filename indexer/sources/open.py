"""Where images come from: ``open_source`` opens a folder, archive, table or bucket as records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vitrine.indexer.sources.base import (
    file_record,
    has_image_extension,
    is_archive,
    looks_like_image,
    read_head,
    shown_path,
)
from vitrine.indexer.sources.hashtags import FIELD as HASHTAGS
from vitrine.indexer.sources.joining import JoinedSource
from vitrine.indexer.sources.objects import SCHEME, ObjectsSource
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import DescribedSource, ImageRecord, Source
from vitrine.indexer.sources.tables import is_table
from vitrine.services.category.payload import clean_tags, unite_tags
from vitrine.services.download.downloader import Downloader
from vitrine.services.download.urls import is_url
from vitrine.services.errors import BadSource, because
from vitrine.services.files import expanded
from vitrine.services.images.budget import DecodeBudget, ImageLimits
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.values.field_paths import field_path


def open_source(
    location: str | Path | Source,
    *,
    options: SourceOptions | None = None,
    objects: ObjectStore | None = None,
    patience: Patience | None = None,
    downloads: Downloader | None = None,
    limits: ImageLimits | None = None,
    budget: DecodeBudget | None = None,
) -> Source:
    """Open a folder, an archive, a manifest, a list of URLs, a single image file or URL, or
    ``objects:PREFIX`` of the object store.

    A source that is open already gets the tags and the table that the options name.

    ``patience``: how long the run waits for an object store that the source itself reads; None: it does not
    wait. ``downloads``: downloads what is named by URL; None: such images are refused.
    ``limits``, ``budget``: of decoding, where all frames of a file are asked for.

    Raises ``BadSource`` if there is nothing of the kind, or if a table in it is unusable as a whole.
    """
    options = options or SourceOptions()
    # the table that is joined is the one whose columns are named, not the source's own
    own = options if options.metadata is None else replace(options, hashtags=())
    patience = patience or Patience(0)
    source = (
        location if isinstance(location, Source) else _open(str(location), own, objects, patience, downloads)
    )
    if options.metadata is not None:
        source = JoinedSource(source, options, patience)
    if options.hashtags and field_path("metadata", HASHTAGS) not in source.indexes:
        raise BadSource(f"{location} has no table, so no column {options.hashtags[0]!r} to find hashtags in.")
    labelled = options.tags or options.tags_from_folders or options.class_from == "folder"
    source = LabelledSource(source, options) if labelled else source
    if options.frames == "first":
        return source
    from vitrine.indexer.sources.frames import FramesSource

    return FramesSource(source, limits or ImageLimits(), budget)


class LabelledSource(DescribedSource):
    """A source whose images get tags, and the names of its folders as tags and class; see
    ``SourceOptions``."""

    def __init__(self, source: Source, options: SourceOptions) -> None:
        super().__init__(source)
        self._options = options
        self._tags = clean_tags(options.tags)

    def _described(self, record: ImageRecord) -> ImageRecord:
        folders = record.filename.split("/")[:-1] if record.folders is None else record.folders
        tags = [*record.tags, *folders[: self._options.tags_from_folders]]
        tags = unite_tags(tags, self._tags) if self._tags else tags
        of_folder = {"class": folders[-1]} if folders and self._options.class_from == "folder" else {}
        return replace(record, tags=tuple(tags), fields={**of_folder, **record.fields})


class SingleSource(Source):
    """One image file, as a source."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self._path = path
        self._max_bytes = options.max_bytes
        self.name, self.indexes = "file", {}

    def __iter__(self) -> Iterator[ImageRecord]:
        yield file_record(self.name, str(self._path), shown_path(self._path.name), self._max_bytes)

    @property
    def total(self) -> int | None:
        return 1


def _open(
    location: str,
    options: SourceOptions,
    objects: ObjectStore | None,
    patience: Patience,
    downloads: Downloader | None,
) -> Source:
    from vitrine.indexer.sources.archives.archive import ArchiveSource, is_archive_file
    from vitrine.indexer.sources.folder import FolderSource
    from vitrine.indexer.sources.manifest import ManifestSource
    from vitrine.indexer.sources.urls.lists import UrlListSource, UrlSource, is_url_list

    if location.startswith(SCHEME):
        if objects is None:
            raise BadSource(f"{location} needs the object store.")
        return ObjectsSource(location.removeprefix(SCHEME), options, objects, patience)
    if is_url(location):
        return UrlSource(location, downloads, patience)
    path = _path_of(location)
    if path.is_dir():
        return FolderSource(path, options)
    if not path.is_file():
        raise BadSource(f"{location} is a pipe or a device: images come from folders and files.")
    if is_table(path.name):
        return ManifestSource(path, options, objects, patience, downloads)
    try:
        if has_image_extension(path.name) or (
            not is_archive(path.name) and looks_like_image(read_head(str(path)))
        ):
            return SingleSource(path, options)
        if is_archive_file(path):
            return ArchiveSource(path, options)
        if is_url_list(path):
            return UrlListSource(path, downloads, patience)
    except OSError as error:
        raise BadSource(f"{shown_path(path.name)} cannot be read: {because(error)}.") from error
    raise BadSource(
        f"{shown_path(path.name)} is no archive, manifest (.csv, .jsonl, .parquet), list of URLs or image."
    )


def _path_of(location: str) -> Path:
    """Return the path of a location. Raises ``BadSource`` if nothing is there, or it may not be looked at."""
    path = expanded(Path(location))
    try:
        if location:
            os.stat(path)
            return path
    except (FileNotFoundError, NotADirectoryError):
        pass  # said below
    except (OSError, ValueError) as error:
        raise BadSource(f"{location} cannot be read: {because(error)}.") from error
    raise BadSource(
        f"There is no file or folder {location}. Images come from a folder, archive, manifest, list "
        f"of URLs or {SCHEME}PREFIX."
    )
