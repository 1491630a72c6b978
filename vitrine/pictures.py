"""Pictures as people have them: files, bytes, Pillow images and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vitrine.indexer.sources.base import modified, read_file, shown_path
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.urls.named import url_record
from vitrine.services.domain import IndexKind
from vitrine.services.download.urls import is_url
from vitrine.services.errors import BadRequest, ImageRefused

if TYPE_CHECKING:
    from vitrine.services.runtime import Runtime

Picture: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]
"""The path of a picture file, the bytes of one, a Pillow image, or an array: (height, width), (height, width,
3) or (height, width, 4), uint8 in 0..255 or float in 0..1. What is added may be named by URL as well."""

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@dataclass(frozen=True)
class NewImage:
    """A picture to be added, with what is known of it.

    ``filename``: what it is called, where it is not a file. ``fields``: class, caption and quality, by name.
    ``metadata``: anything else, by column.
    """

    picture: Picture
    filename: str = ""
    tags: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def picture_bytes(picture: Picture) -> bytes:
    """Return the bytes of the picture as an image file; Pillow images and arrays become PNG.

    Raises ``BadRequest`` for a path that cannot be read, ``ImageRefused`` for an array that is no picture.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | os.PathLike):
        try:
            return Path(picture).read_bytes()
        except OSError as error:
            raise BadRequest(f"{os.fspath(picture)} cannot be read: {error.strerror}.") from error
    buffer = BytesIO()
    _image(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def given_pictures(
    pictures: Picture | NewImage | Iterable[Picture | NewImage], runtime: Runtime, patience: Patience
) -> GivenPictures:
    """Return one or several pictures as a source of images. ``patience``: of the run, which says when it
    ends."""
    if isinstance(pictures, bytes | NewImage | Image.Image | np.ndarray | str | os.PathLike):
        pictures = [pictures]
    if not isinstance(pictures, Iterable):
        raise BadRequest(f"Give a folder, a file or pictures, not {pictures!r}.")
    return GivenPictures(pictures, runtime, patience)


class GivenPictures(Source):
    """Pictures that a program has, as a source of images."""

    def __init__(self, pictures: Iterable[Picture | NewImage], runtime: Runtime, patience: Patience) -> None:
        self.name, self.indexes = "python", dict[str, IndexKind]()
        self._pictures = pictures
        self._runtime = runtime
        self._patience = patience

    def __iter__(self) -> Iterator[ImageRecord]:
        for number, given in enumerate(self._pictures, 1):
            new = given if isinstance(given, NewImage) else NewImage(given)
            picture = new.picture
            if isinstance(picture, str) and is_url(picture):
                yield self._downloaded(new, picture)
                continue
            path = os.fspath(picture) if isinstance(picture, str | os.PathLike) else None
            yield ImageRecord(
                self.name,
                new.filename or (shown_path(Path(path).name) if path else f"picture-{number}"),
                self._reader(picture, path),
                tags=tuple(new.tags),
                fields=new.fields,
                metadata=new.metadata,
                created_at=modified(path) if path else None,
            )

    @property
    def total(self) -> int | None:
        return len(self._pictures) if isinstance(self._pictures, Sized) else None

    @property
    def readers(self) -> int:
        first = next(iter(self._pictures), None) if isinstance(self._pictures, Sequence) else None
        picture = first.picture if isinstance(first, NewImage) else first
        named = isinstance(picture, str) and is_url(picture)
        return self._runtime.downloads.readers if named else super().readers

    def _downloaded(self, new: NewImage, url: str) -> ImageRecord:
        record = url_record(self.name, url, self._runtime.downloads, self._patience.ended)
        if record.refusal:
            return record
        said = replace(record, tags=tuple(new.tags), fields=new.fields, metadata=new.metadata)
        return replace(said, filename=new.filename or record.filename)

    def _reader(self, picture: Picture, path: str | None) -> Any:
        """Return a function that reads the bytes when they are asked for. A file that cannot be read is then
        refused, and the others go on."""
        return lambda: (
            picture_bytes(picture) if path is None else read_file(path, self._runtime.limits.max_bytes)
        )


def _image(picture: Image.Image | NDArray[Any]) -> Image.Image:
    """Return an upright Pillow image of a mode that PNG holds."""
    image = ImageOps.exif_transpose(picture) if isinstance(picture, Image.Image) else _from_array(picture)
    if image.mode in _PNG_MODES:
        return image
    converted = image.convert("RGB")
    converted.info.pop("icc_profile", None)  # it describes the colours that it had before
    return converted


def _from_array(array: NDArray[Any]) -> Image.Image:
    pixels = np.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.size and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4)))
    if fits and pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    if not fits or pixels.dtype not in (np.uint8, np.bool_):
        raise ImageRefused(
            "unsupported_format",
            f"An array of shape {pixels.shape} and type {pixels.dtype} is no picture: give (height, width), "
            "(height, width, 3) or (height, width, 4), uint8 in 0..255 or float in 0..1.",
        )
    return Image.fromarray(pixels)
