"""Offer every frame of an animation, and every page of a document, as an image of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from PIL import Image

from vitrine.indexer.sources.base import has_image_extension
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.services.errors import ImageRefused
from vitrine.services.images.budget import DecodeBudget, ImageLimits
from vitrine.services.images.open import frames_of, has_frames

MAX_FRAMES = 10_000
"""Frames of one file: more are left out."""
_MAY_HAVE = frozenset([".gif", ".png", ".apng", ".webp", ".avif", ".tif", ".tiff", ".heic", ".heif", ".hif"])
_COMPRESSION = 3
"""Of PNG, 0 to 9."""


class FramesSource(Source):
    """A source whose files of several frames or pages become a PNG each: ``fish.gif/0001.png``, with all that
    is said of the file. A frame that looks like another of the same size is the same image.

    Every file that may have frames is read and looked into as it comes.
    """

    def __init__(self, source: Source, limits: ImageLimits, budget: DecodeBudget | None = None) -> None:
        self._source, self._limits, self._budget = source, limits, budget
        self._cut: list[str] = []
        self.name, self.indexes = source.name, source.indexes

    def __iter__(self) -> Iterator[ImageRecord]:
        for record in self._source:
            if record.refusal or record.vectors or not _may_have_frames(record.filename):
                yield record
            else:
                yield from self._looked_into(record)

    def notes(self) -> list[str]:
        cut = [f"{name} has more than {MAX_FRAMES:,} frames: the others are left out." for name in self._cut]
        return [*self._source.notes(), *cut]

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._source.skipped

    def _looked_into(self, record: ImageRecord) -> Iterator[ImageRecord]:
        try:
            data = record.read()
            several = has_frames(data, limits=self._limits)
        except Exception:  # the loop meets the same error, and refuses the file by name
            yield record
            return
        if several:
            yield from self._frames(record, data)
        else:
            yield replace(record, read=lambda: data)

    def _frames(self, record: ImageRecord, data: bytes) -> Iterator[ImageRecord]:
        above = tuple(record.filename.split("/")[:-1]) if record.folders is None else record.folders
        number = 0
        try:
            for number, image in enumerate(frames_of(data, limits=self._limits, budget=self._budget), 1):
                if number > MAX_FRAMES:
                    self._cut.append(record.filename)
                    return
                file = _png(image)
                name = f"{record.filename}/{number:04d}.png"
                yield replace(record, filename=name, folders=above, read=lambda file=file: file)  # type: ignore[misc]
        except ImageRefused as error:
            damaged = replace(record, filename=f"{record.filename}/{number + 1:04d}.png")
            yield damaged.refused(error.reason, error.message)


def _may_have_frames(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _MAY_HAVE or not has_image_extension(name)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()
